"""Backups: what is in them comes out again or a typed error does, and nothing stays by half."""

import asyncio
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez import crypto
from chez.crypto import Kdf
from chez.errors import BadArchive, ChezError, Damaged, HomeExists, InvalidValue, NotAllowed, NotFound, WrongPassphrase
from chez.home.backup import About, _Writing
from chez.home.lifecycle import new_device
from chez.store.file import connect, schema_mark
from chez.store.keyfile import wrap_key
from chez.store.sealed import CHUNK, Header, SealedReader, SealedWriter, read_header
from tests.blobs.support import CHUNK as PIECE
from tests.blobs.support import content, read
from tests.home.conftest import PASSPHRASE
from tests.home.test_import_twice import everything
from tests.tries import tries

SECRET = b"s" * 32


async def restored(file: Path, path: Path, **options: str) -> chez.Restored:
    """Restore at the least cost."""
    return await chez.restore(file, path, **{"passphrase": PASSPHRASE, **options}, kdf=Kdf.minimum())  # type: ignore[arg-type]


async def test_what_was_backed_up_is_restored(home: chez.Home, tmp_path: Path) -> None:
    """Records of all kinds, settings and receipts are there again, on a device with keys of its own."""
    notes = home.collection("notes")
    await notes.put({"at": datetime(2024, 1, 1, tzinfo=UTC), "raw": b"\0", "list": [1, {"a": None}]}, id="a")
    await notes.put({"n": 1}, id="gone")
    await notes.delete("gone")
    await home.set_relay("ws://127.0.0.1:1")
    for number in range(250):
        await notes.put({"n": number}, id="long")
    report = await home.backup(tmp_path / "backup", verify=True)
    assert report.verified and report.bytes == (tmp_path / "backup").stat().st_size
    assert oct((tmp_path / "backup").stat().st_mode & 0o777) == "0o600"
    assert (await home.journal.receipts())[-1].body["sha256"] == report.sha256
    before = await everything(home)
    made = (await notes.history("a"))[-1].time
    done = await restored(tmp_path / "backup", tmp_path / "again", name="second")
    assert (done.name, done.former, done.records) == ("second", home.device_id, 2)
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert await everything(again) == before
        assert again.device_id == done.device != home.device_id
        assert (again.person_id, again.name, again.relay) == (home.person_id, "second", "ws://127.0.0.1:1")
        assert (await again.collection("notes").history("a"))[-1].time == made  # though it is said anew
        await again.collection("notes").put({"writes": "again"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "backup", "home"]
    assert not list(home.path.glob(".backup-*"))


@pytest.mark.slow
async def test_a_backup_is_one_moment_of_a_home_in_use(home: chez.Home, tmp_path: Path) -> None:
    """Records that change together are never apart in a backup made while they change."""
    notes = home.collection("notes")
    await notes.put_many([{"n": 0, "pad": "x" * 500} for _ in range(2000)], ids=[f"{n:04d}" for n in range(2000)])
    making = asyncio.create_task(home.backup(tmp_path / "backup"))
    turns = 0
    while not making.done():
        turns += 1
        await notes.put_many([{"n": turns}, {"n": turns}], ids=["0000", "1999"])
    await making
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        first, last = [(await again.collection("notes").get(id)).value for id in ("0000", "1999")]
        assert turns > 1 and first["n"] == last["n"]
        assert await again.collection("notes").count() == 2000


async def test_the_journal_goes_on_where_the_old_one_ends(home: chez.Home, tmp_path: Path) -> None:
    """The old receipts stay, bound by the new journal's first line: cut or changed, it does not verify."""
    await home.collection("notes").put({"n": 1})
    await home.journal.append("told", {"what": "before"})
    old = await home.journal.receipts()
    await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert [receipt.kind for receipt in await again.journal.receipts()] == ["device-renewed"]
        assert [receipt for _, receipt in await again.journal.former()] == old
        assert (await again.journal.verify()).ok
        await again.backup(tmp_path / "second")
        await again._database.write(lambda db: db.execute("DELETE FROM former_receipt WHERE number = 2"))
        assert "cut" in (await again.journal.verify()).problem
    await restored(tmp_path / "second", tmp_path / "third")
    async with chez.open(tmp_path / "third", passphrase=PASSPHRASE) as third:
        assert (await third.journal.verify()).ok and len(await third.journal.former()) == 3
        await third._database.write(lambda db: db.execute(
            "UPDATE former_receipt SET body = '{}' WHERE device = ? AND number = 2", (home.device_id,)))
        assert "changed" in (await third.journal.verify()).problem


async def test_a_restored_device_has_nothing_to_spend(home: chez.Home, tmp_path: Path) -> None:
    """Accounts are closed, those that the backup did not know among them, until the person allows something anew."""
    await home.journal.reserve({"provider:x": 100.0}, 40.0, "run", {})
    await home.journal.allow(["provider:x", "provider:z"], 50.0)  # says nothing where no account is closed, or later
    await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        for name in ("provider:x", "provider:y", "provider:z"):
            with pytest.raises(NotAllowed, match="closed"):
                await again.journal.reserve({name: 100.0}, 1.0, "run", {})
        await again.journal.allow(["provider:x", "provider:y"], 10.0)
        await again.journal.allow(["provider:y"], 10.0)
        await again.journal.reserve({"provider:x": 100.0, "provider:y": 100.0}, 9.0, "run", {})
        with pytest.raises(NotAllowed, match="closed"):
            await again.journal.reserve({"provider:x": 100.0, "provider:y": 100.0}, 9.0, "run", {})
        await again.journal.reserve({"provider:y": 100.0}, 11.0, "run", {})
        assert [await again.journal.spent(f"provider:{one}") for one in "xyz"] == [49.0, 20.0, 0.0]
        await again.journal.allow(["provider:x"], 1000.0)
        with pytest.raises(NotAllowed, match="budget"):  # what the former device spent counts
            await again.journal.reserve({"provider:x": 100.0}, 52.0, "run", {})
        for strange in (-1.0, float("nan"), float("inf")):
            with pytest.raises(InvalidValue):
                await again.journal.allow(["provider:x"], strange)
        await again.backup(tmp_path / "second")
    await restored(tmp_path / "second", tmp_path / "third")
    async with chez.open(tmp_path / "third", passphrase=PASSPHRASE) as third:  # another device again
        with pytest.raises(NotAllowed, match="closed"):
            await third.journal.reserve({"provider:x": 100.0}, 1.0, "run", {})
    await home.journal.reserve({"provider:x": 100.0}, 60.0, "run", {})


async def test_what_is_in_the_way_stays(home: chez.Home, tmp_path: Path) -> None:
    """Neither a backup nor a restored home is written over anything; what is missing is told."""
    await home.backup(tmp_path / "backup")
    with pytest.raises(InvalidValue):
        await home.backup(tmp_path / "backup")
    with pytest.raises(HomeExists):
        await restored(tmp_path / "backup", home.path)
    with pytest.raises(NotFound):
        await restored(tmp_path / "nothing", tmp_path / "again")
    with pytest.raises(InvalidValue):
        await restored(tmp_path / "backup", tmp_path / "again", name="")
    with pytest.raises(ChezError):
        await home.backup(tmp_path / "no folder" / "backup")
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
async def test_progress_and_cancelling(home: chez.Home, tmp_path: Path) -> None:
    """Progress rises to the total, over the trial too; a backup that is cancelled leaves nothing."""
    await home.collection("notes").put_many([{"pad": crypto.random_bytes(500)} for _ in range(4000)])
    seen: list[tuple[int, int]] = []
    await home.backup(tmp_path / "backup", verify=True, progress=lambda done, total: seen.append((done, total)))
    await asyncio.sleep(0)
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] and len(seen) > 10
    started = asyncio.Event()
    task = asyncio.create_task(home.backup(tmp_path / "cut", progress=lambda *_: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "home"]
    assert not list(home.path.glob(".backup-*"))


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One backup to be harmed."""
    folder = tmp_path_factory.mktemp("backup")

    async def make() -> None:
        await chez.create(folder / "home", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
            await home.collection("notes").put({"n": 1}, id="a")
            await home.backup(folder / "backup")

    asyncio.run(make())
    return folder / "backup"


async def test_a_wrong_passphrase(backup: Path, tmp_path: Path) -> None:
    """It is told as such, and nothing is made."""
    with pytest.raises(WrongPassphrase):
        await restored(backup, tmp_path / "again", passphrase="wrong")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=tries(60), deadline=None)
@given(st.data())
def test_harmed_backups(backup: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Flipped, cut, extended, reordered: a typed error and nothing at the place, never another home."""
    whole = backup.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "extend", "swap", "repeat", "drop"]))
    start = whole.index(b"CZB") + 8 + int.from_bytes(whole[4:8], "big")
    sealed = CHUNK + crypto.TAG_BYTES
    chunks = [whole[at:at + sealed] for at in range(start, len(whole), sealed)]
    if kind == "flip":
        at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
        harmed = whole[:at] + bytes((whole[at] ^ 1 << bit,)) + whole[at + 1:]
    elif kind == "cut":
        harmed = whole[:data.draw(st.integers(0, len(whole) - 1) | st.sampled_from([start + sealed, start]))]
    elif kind == "extend":
        harmed = whole + data.draw(st.binary(min_size=1, max_size=40) | st.just(chunks[-1]))
    else:
        at = data.draw(st.integers(0, len(chunks) - 2))
        if kind == "swap":
            chunks[at], chunks[at + 1] = chunks[at + 1], chunks[at]
        elif kind == "repeat":
            chunks.insert(at, chunks[at])
        else:
            del chunks[at]
        harmed = whole[:start] + b"".join(chunks)
    folder = tmp_path_factory.mktemp("harmed")
    (folder / "backup").write_bytes(harmed)
    with pytest.MonkeyPatch.context() as patch:
        # What an altered header asks of the passphrase may take hours, within bounds.
        patch.setattr(crypto, "passphrase_key", _cheap(crypto.passphrase_key))
        with pytest.raises((BadArchive, WrongPassphrase)):
            asyncio.run(restored(folder / "backup", folder / "again"))
    assert sorted(path.name for path in folder.iterdir()) == ["backup"]


def _cheap(real):  # type: ignore[no-untyped-def]
    return lambda passphrase, salt, kdf: real(passphrase, salt, kdf) if kdf == Kdf.minimum() else bytes(32)


async def test_a_store_of_somebody_else_in_a_signed_backup(home: chez.Home, backup: Path, tmp_path: Path) -> None:
    """A backup whose store is not of the device that signed it is refused."""
    from chez.home.backup import About, Backup

    other = About(1, b"p" * 32, b"d" * 32, "other", "2024")
    await Backup(home._database, home.journal, home._device, home.path, other).write(tmp_path / "forged", False, None)
    with pytest.raises(BadArchive, match="not signed"):
        await restored(tmp_path / "forged", tmp_path / "again")
    other = About(1, b"p" * 32, home.device_id, "other", "2024")
    await Backup(home._database, home.journal, home._device, home.path, other).write(tmp_path / "wrong", False, None)
    with pytest.raises(BadArchive, match="not the one"):
        await restored(tmp_path / "wrong", tmp_path / "again")


# --- the sealed file ---------------------------------------------------------------


def seal(content: bytes, pieces: list[int]) -> bytes:
    """A sealed file of content that is written in pieces."""
    out = BytesIO()
    writer = SealedWriter(out, Header(b"\1" * 32, b"wrapped"), SECRET)
    at = 0
    for size in pieces:
        writer.write(content[at:at + size])
        at += size
    writer.write(content[at:])
    writer.close()
    return out.getvalue()


@settings(deadline=None)
@given(st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]),
       st.lists(st.integers(0, 2 * CHUNK), max_size=4), st.lists(st.integers(0, 2 * CHUNK), max_size=4))
def test_sealed_files_give_back_their_content(size: int, written: list[int], read: list[int]) -> None:
    """Whatever the pieces in which it is written and read, and each length around a chunk's."""
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    sealed = seal(content, written)
    assert sealed == seal(content, [])
    file = BytesIO(sealed)
    reader = SealedReader(file, read_header(file), SECRET)
    out = b""
    for piece in read:
        out += reader.read(min(piece, size - len(out)))
    out += reader.read(size - len(out))
    reader.end()
    assert out == content
    with pytest.raises(BadArchive):
        reader.read(1)


@given(st.binary(max_size=200))
def test_headers_of_any_bytes(data: bytes) -> None:
    """A header is read or refused with a typed error."""
    for start in (b"", b"CZB\x01", b"CZB\x01" + len(data).to_bytes(4, "big")):
        try:
            read_header(BytesIO(start + data))
        except BadArchive:
            pass


def test_a_chunk_opens_in_its_own_file_only() -> None:
    """Two files under one secret: their chunks can't be exchanged, for each has a salt."""
    files = []
    for salt in (b"\1", b"\2"):
        out = BytesIO()
        writer = SealedWriter(out, Header(salt * 32, b""), SECRET)
        writer.write(b"x" * CHUNK * 2)
        writer.close()
        files.append(out.getvalue())
    assert len(files[0]) == len(files[1])
    start = len(files[0]) - 2 * (CHUNK + crypto.TAG_BYTES)
    file = BytesIO(files[0][:start] + files[1][start:])
    reader = SealedReader(file, read_header(file), SECRET)
    with pytest.raises(BadArchive):
        reader.read(1)


META = f"PRAGMA user_version = 1; PRAGMA application_id = {schema_mark()}; CREATE TABLE meta (key, value); "


@pytest.mark.parametrize("script", [
    "", "CREATE TABLE other (a);", "CREATE TABLE meta (key, value);", "PRAGMA user_version = -5;",
    "PRAGMA user_version = 99;", "PRAGMA user_version = 1; CREATE TABLE meta (key, value);", META,
    META + "INSERT INTO meta VALUES ('device.signing', 'abc'), ('device.sealing', 7);",
])
async def test_a_backup_that_somebody_made_up(tmp_path: Path, script: str) -> None:
    """A file that is sealed and signed as it should be, with any database inside: a typed error, and nothing stays."""
    secret, device = b"k" * 32, new_device()
    store = connect(tmp_path / "made.db", secret)
    store.executescript("PRAGMA journal_mode = DELETE;" + script)
    store.close()
    header = Header(b"s" * 32, wrap_key(secret, PASSPHRASE, Kdf.minimum()))
    with (tmp_path / "backup").open("wb") as file:
        parts = _Writing(SealedWriter(file, header, secret), header)
        parts.begin("about", msgspec.msgpack.encode(About(1, b"p" * 32, device.id, "name", "today")))
        parts.begin("chez.db", (tmp_path / "made.db").read_bytes())
        parts.sign(device)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((BadArchive, Damaged)):
        await restored(tmp_path / "backup", tmp_path / "again")
    assert sorted(tmp_path.iterdir()) == before


DECLARED = '"declared notes cups {}"'.format(b'["notes",[["cups",false]]]'.hex())

FOREIGN = (
    "CREATE TRIGGER more AFTER INSERT ON record BEGIN UPDATE meta SET value = x'00' WHERE key = 'relay'; END",
    "CREATE TRIGGER less BEFORE DELETE ON change BEGIN SELECT RAISE(IGNORE); END",
    "CREATE VIEW unused AS SELECT secret FROM epoch", "CREATE TABLE unused (a)", "CREATE INDEX unused ON record (json)",
    "CREATE VIRTUAL TABLE unused USING fts5(a)", "CREATE TABLE sneaky AS SELECT * FROM epoch",
    "DROP TRIGGER record_updated", "DROP INDEX change_by_record", "DROP TABLE witness",
    "DROP TABLE search; CREATE VIEW search AS SELECT 1 AS n, 1 AS space, 'x' AS collection, '[]' AS fields, 0 AS upto",
    "ALTER TABLE receipt ADD COLUMN more TEXT DEFAULT 'x'", "ALTER TABLE account RENAME COLUMN spent TO unspent",
    "CREATE INDEX \"declared notes cups 00\" ON record (json)",
    "CREATE INDEX \"declared notes cups zz\" ON record (json)",
    f"DROP INDEX {DECLARED}; CREATE INDEX {DECLARED} ON record (space, json) WHERE collection = 'notes'",
    "UPDATE search SET fields = '[\"body\"]'", "UPDATE search SET fields = 'no list'",
    "UPDATE search SET fields = x'ff'",
    "UPDATE search SET collection = 7", "DELETE FROM search", "INSERT INTO search VALUES (9, 1, 'x', '[\"a\"]', 0, 0)",
    'DROP TRIGGER "search 1 added"; CREATE TRIGGER "search 1 added" AFTER INSERT ON record BEGIN SELECT 1; END',
    "DROP TRIGGER record_deleted; CREATE TRIGGER record_deleted AFTER DELETE ON record BEGIN SELECT 1; END",
)


async def test_a_schema_with_declared_indexes_comes_back(home: chez.Home, tmp_path: Path) -> None:
    """What apps declare is in a backup's schema, and no reason to refuse it."""
    await home.collection("notes", indexes=("cups",), search=("title",)).search("tea")
    await home.backup(tmp_path / "sound")
    await restored(tmp_path / "sound", tmp_path / "fine")


@pytest.mark.parametrize("script", [
    script if number % 3 == 0 else pytest.param(script, marks=pytest.mark.slow)
    for number, script in enumerate(FOREIGN)])
async def test_a_schema_that_chez_does_not_write(home: chez.Home, tmp_path: Path, script: str) -> None:
    """A provider's own backup, sealed and signed as it should be, brings no trigger, view or table, and lacks none."""
    await home.collection("notes", indexes=("cups",), search=("title",)).search("tea")
    await home._database.write(lambda db: [db.execute(part) for part in _statements(script)])
    await home.backup(tmp_path / "backup")
    with pytest.raises(BadArchive, match="not written by this Chez"):
        await restored(tmp_path / "backup", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def _statements(script: str) -> list[str]:
    """The statements of a script, by SQLite's own reading."""
    found, text = [], ""
    for part in script.split(";"):
        text += part
        if sqlite3.complete_statement(text + ";"):
            found.append(text)
            text = ""
        else:
            text += ";"
    return found


async def test_a_copy_of_a_home_with_a_schema_of_its_own(home: chez.Home, path: Path, tmp_path: Path) -> None:
    """A folder that somebody gave away does not become a device of its own with a trigger in it."""
    await home._database.write(lambda db: db.execute(FOREIGN[0]))
    shutil.copytree(path, tmp_path / "copy")
    with pytest.raises(BadArchive):
        await chez.become_new_device(tmp_path / "copy", passphrase=PASSPHRASE)


async def test_every_index_a_home_has_is_known_when_it_is_restored(home: chez.Home, tmp_path: Path) -> None:
    """Indexes on odd names, on decimals, on several fields, and full text that was replaced: all is ours."""
    odd = home.collection("odd-name.x", indexes=('a"b\'c', ("x", "y\\.z")), search=("t", "u.v"))
    await odd.put({'a"b\'c': 1, "x": 2, "t": "tea"}, id="a")
    assert len(await odd.search("tea")) == 1
    assert len(await home.collection("odd-name.x", search=("u.v",)).search("tea")) == 0
    await odd.purge("a")
    assert await home.collection(Cost, indexes=("amount", ("paid", "amount"))).where().count() == 0
    await home.backup(tmp_path / "backup", verify=True)
    assert (await restored(tmp_path / "backup", tmp_path / "again")).records == 0


class Cost(msgspec.Struct):
    """Has a decimal, which indexes see as a number."""

    __collection__: ClassVar[str] = "costs"

    amount: Decimal
    paid: bool = False


async def test_parts_of_two_backups_do_not_mix(home: chez.Home, tmp_path: Path) -> None:
    """Two backups of one home have keys of their own: no chunk, nor a header, of one fits into the other."""
    await home.blobs.add(b"x" * 300_000)
    await home.backup(tmp_path / "one")
    await home.backup(tmp_path / "two")
    one, two = (tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()
    head, sealed = 8 + int.from_bytes(one[4:8], "big"), CHUNK + crypto.TAG_BYTES
    assert not {one[at : at + 32] for at in range(head, len(one), sealed)} & {
        two[at : at + 32] for at in range(head, len(two), sealed)}
    first = head + sealed
    for mixed in (two[:head] + one[head:], one[:first] + two[first:], one[:first] + one[first + sealed:],
                  one[:first] + one[head:first] + one[first:], one[:first], one + two[head:]):
        (tmp_path / "mixed").write_bytes(mixed)
        with pytest.raises(BadArchive):
            await restored(tmp_path / "mixed", tmp_path / "again")
    assert not (tmp_path / "again").exists()


async def test_attachments_are_in_a_backup(home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sealed pieces come out again, private to the person; trying a backup takes no room for them."""
    data = content(3 * PIECE + 5)
    blob = await home.blobs.add(data)
    await home.collection("notes").put({"file": blob}, id="a")
    made: list[str] = []

    def watched(path: Path, *args: int) -> int:
        made.append(str(path))
        return os_open(path, *args)

    os_open = os.open
    monkeypatch.setattr("chez.home.backup.os.open", watched)
    await home.backup(tmp_path / "backup", verify=True)
    assert made and not any("blobs" in name for name in made)
    monkeypatch.undo()
    assert data[:64] not in (tmp_path / "backup").read_bytes()
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        kept = (await again.collection("notes").get("a")).value["file"]
        assert kept == blob and await read(again, kept) == data
        assert (await again.blobs.info(kept)).at_relay is False
    for path in (tmp_path / "again" / "blobs").rglob("*"):
        assert oct(path.stat().st_mode & 0o777) == ("0o700" if path.is_dir() else "0o600")
    assert all(not path.stat().st_mode & 0o077 for path in (tmp_path / "again").glob("chez*"))
    assert not (tmp_path / "again" / "blobs").stat().st_mode & 0o077


async def test_what_is_attached_meanwhile_is_not_in_a_backup(home: chez.Home, tmp_path: Path) -> None:
    """A piece that the backup's store does not hold, as one written since, is left out: there it would be nobody's."""
    blob = await home.blobs.add(b"before")
    await home.collection("notes").put({"file": blob}, id="a")
    stray = home.path / "blobs" / "ab" / ("cd" * 31)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"sealed since")
    await home.backup(tmp_path / "backup", verify=True)
    await restored(tmp_path / "backup", tmp_path / "again")
    assert not (tmp_path / "again" / "blobs" / "ab" / stray.name).exists()
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert await read(again, blob) == b"before"
