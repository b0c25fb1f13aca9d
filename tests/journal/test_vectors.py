"""Receipts keep the bytes, hashes and signatures they always had."""

from pathlib import Path

import pytest

from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.store.database import Connection, Database
from tests.vectors.golden import golden
from tests.vectors.make_receipts import MOMENT, RECEIPTS, vectors

GOLDEN = golden("receipts")
COLUMNS = "number, time, kind, body, previous, hash, signature"


async def _journal(folder: Path) -> tuple[Database, Journal]:
    device = DeviceKeys.from_seeds(bytes.fromhex(GOLDEN["key"]), bytes(32))
    assert device.id.hex() == GOLDEN["device"]
    database = await Database.open(folder / "store", bytes(32))
    return database, Journal(database, device, lambda: MOMENT)


def _row(receipt: dict[str, object]) -> list[object]:
    return [bytes.fromhex(str(receipt[name])) if name in ("previous", "hash", "signature") else receipt[name]
            for name in COLUMNS.split(", ")]


async def _fill(database: Database, rows: list[list[object]]) -> None:
    """Make these the receipts of the store."""

    def work(db: Connection) -> None:
        db.execute("DELETE FROM receipt")
        db.executemany(f"INSERT INTO receipt ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    await database.write(work)


def test_golden_vectors_hold() -> None:
    """Receipts hash and sign to the bytes they always had."""
    assert vectors() == GOLDEN


async def test_the_journal_writes_the_pinned_receipts(tmp_path: Path) -> None:
    """What the journal appends for the fixed events is, column for column, what is pinned."""
    database, journal = await _journal(tmp_path)
    try:
        for kind, body in RECEIPTS:
            await journal.append(kind, body)
        rows = await database.read(lambda db: db.execute(f"SELECT {COLUMNS} FROM receipt ORDER BY number").fetchall())
        assert [list(row) for row in rows] == [_row(receipt) for receipt in GOLDEN["receipts"]]
    finally:
        await database.close()


async def test_the_pinned_receipts_verify_until_one_is_touched(tmp_path: Path) -> None:
    """The pinned rows verify by themselves; with any column of the second changed, it is named."""
    database, journal = await _journal(tmp_path)
    try:
        first, second = map(_row, GOLDEN["receipts"])
        await _fill(database, [first, second])
        assert (await journal.verify()).ok
        assert [receipt.body for receipt in await journal.receipts()] == [body for _, body in RECEIPTS]
        for place, old in enumerate(second):
            new = bytes((old[0] ^ 1,)) + old[1:] if isinstance(old, bytes) else f"{old}1"
            await _fill(database, [first, [*second[:place], new, *second[place + 1 :]]])
            found = await journal.verify()
            assert not found.ok and "receipt 2" in found.problem
    finally:
        await database.close()


@pytest.mark.parametrize("receipts", [GOLDEN["receipts"][1:], GOLDEN["receipts"][::-1]], ids=["cut", "exchanged"])
async def test_a_missing_or_moved_receipt_is_noticed(receipts: list[dict[str, object]], tmp_path: Path) -> None:
    """The chain is a chain: without its first receipt, or in another order, it does not hold."""
    database, journal = await _journal(tmp_path)
    try:
        rows = [[number, *_row(receipt)[1:]] for number, receipt in enumerate(receipts, start=1)]
        await _fill(database, rows)
        assert not (await journal.verify()).ok
    finally:
        await database.close()
