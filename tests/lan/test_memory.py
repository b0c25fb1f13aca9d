"""What a store remembers of devices that were met, and forgets."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.lan.memory import forget_relays, met_relays, note_met, relay_label
from chez.store.database import Connection
from chez.sync.link import Link
from chez.sync.meeting import Acquaintances
from tests.home.pairing import PASSPHRASE
from tests.relay.support import seed

TABLES = {
    "cursor": "INSERT INTO cursor (space, relay, incarnation, position, head, acknowledged) "
              "VALUES (1, ?, x'', 0, x'', 0)",
    "relay_head": "INSERT INTO relay_head (space, relay, position, head) VALUES (1, ?, 1, x'')",
    "claim": "INSERT INTO claim (space, relay, author, position, head) VALUES (1, ?, x'', 1, x'')",
}


async def test_a_device_that_was_not_met_for_long_is_forgotten_whole(tmp_path: Path) -> None:
    """Nothing of it stays in any table, what others brought stays, and one whose log was an alarm is kept."""
    await chez.create(tmp_path / "a", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
        def work(db: Connection) -> tuple[int, set[int], list[int]]:
            rows = []
            for name, when in (("old", 100), ("alarming", 100), ("new", 300)):
                db.execute("INSERT INTO relay (url) VALUES (?)", (relay_label(seed(name)),))
                (row,) = db.execute("SELECT max(n) FROM relay").fetchone()
                note_met(db, row, when)
                rows.append(row)
                for statement in TABLES.values():
                    db.execute(statement, (row,))
            db.execute("INSERT INTO relay (url) VALUES ('ws://relay.example')")
            db.execute("INSERT INTO alarm (space, relay, author, position, hidden) VALUES (1, ?, x'', 1, 0)",
                       (rows[1],))
            forgotten = forget_relays(db, 200)
            left = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]
            assert db.execute("SELECT count(*) FROM relay WHERE url LIKE 'ws:%'").fetchone()[0] == 1
            return forgotten, met_relays(db) ^ set(rows[1:]), left

        forgotten, wrong, left = await home._database.write(work)
        assert (forgotten, wrong, left) == (1, set(), [2, 2, 2])


async def test_the_next_relay_is_not_taken_for_one_that_was_forgotten(tmp_path: Path) -> None:
    """A row's number may be given again: what the forgotten one had shown is at none that there is."""
    await chez.create(tmp_path / "a", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
        def work(db: Connection) -> bool:
            rows = []
            for name in ("old", "next"):
                db.execute("INSERT INTO relay (url, met) VALUES (?, 100)", (relay_label(seed(name)),))
                rows += db.execute("SELECT max(n) FROM relay").fetchone()
                if name == "old":
                    db.execute("INSERT INTO shown (space, hash, relay) VALUES (1, x'00', ?)", (rows[0],))
                    forget_relays(db, 200)
            assert db.execute("SELECT relay FROM shown").fetchall() == [(0,)]
            return rows[0] == rows[1]

        assert await home._database.write(work)


async def test_of_stores_without_end_those_that_were_met_last_are_remembered(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is met with a new store each time leaves so many behind, and puts out nobody who is here; it
    is noted for these alone what they lack."""
    monkeypatch.setattr("chez.lan.memory.MOST", 3)
    await chez.create(tmp_path / "a", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
        async def meet(name: str) -> Link:
            return await home._syncing.meet("wss://127.0.0.1:1", relay_label(seed(name)), Acquaintances())

        def remembered(db: Connection) -> tuple[int, int]:
            row = db.execute("SELECT n FROM relay WHERE url = ?", (relay_label(seed("here")),)).fetchone()
            return len(met_relays(db)), len(met_relays(db) & {*(row or ())})

        here = await meet("here")
        for n in range(8):
            await home._syncing.part(await meet(f"store {n}"))
        assert await home._database.read(remembered) == (1 + 1 + 3, 1)  # who is here, who came last, and others
        (space,) = home._syncing.spaces.all.values()
        assert space.replica.relays.kept == await home._database.read(met_relays)
        await home._syncing.part(here)
        for n in range(5):
            await home._syncing.part(await meet(f"another {n}"))
        assert await home._database.read(remembered) == (1 + 3, 0)
