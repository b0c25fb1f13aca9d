"""Backups that were harmed, mixed or made up: a typed error, and no home."""

import asyncio
import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez import crypto
from chez.crypto import Kdf
from chez.errors import BadArchive, Damaged, WrongPassphrase
from chez.home.backup import About, Backup, _Writing
from chez.home.lifecycle import new_device
from chez.store.file import connect, schema_mark
from chez.store.keyfile import KEY_FILE, wrap_key
from chez.store.sealed import CHUNK, Header, SealedWriter
from tests.home.conftest import PASSPHRASE
from tests.home.restoring import restored
from tests.tries import tries


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
    other = About(1, b"p" * 32, b"d" * 32, "other", "2024")
    await Backup(home._database, home.journal, home._device, home.path, other).write(tmp_path / "forged", False, None)
    with pytest.raises(BadArchive, match="not signed"):
        await restored(tmp_path / "forged", tmp_path / "again")
    other = About(1, b"p" * 32, home.device_id, "other", "2024")
    await Backup(home._database, home.journal, home._device, home.path, other).write(tmp_path / "wrong", False, None)
    with pytest.raises(BadArchive, match="not the one"):
        await restored(tmp_path / "wrong", tmp_path / "again")


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


ABOUT = ("about", b"")
"""A part that says whose backup it is, as it should be."""

STORE = ("chez.db", b"no store, which is read later")

PARTS: tuple[tuple[str, list[tuple[str, bytes] | bytes]], ...] = (
    ("'../stolen', which is no part", [ABOUT, STORE, ("../stolen", b"x")]),
    ("'blobs/../../stolen', which is no part", [ABOUT, STORE, ("blobs/../../stolen", b"x")]),
    ("'blobs/ab/cd/../ef', which is no part", [ABOUT, STORE, ("blobs/ab/cd/../ef", b"x")]),
    (f"'{KEY_FILE}', which is no part", [ABOUT, STORE, (KEY_FILE, b"x")]),
    ("'chez.db', which is no part", [ABOUT, STORE, STORE]),
    ("lacks its store", [ABOUT]), ("lacks its store or its signature", [ABOUT, STORE, ("signature", b"x")]),
    ("does not say whose it is[.]", [STORE]), ("does not say whose it is[.]", [("about", bytes(5000))]),
    ("does not say whose it is: ", [("about", b"x")]),
    ("does not say whose it is: ", [("about", msgspec.msgpack.encode(About(2, b"p" * 32, b"d" * 32, "a", "today")))]),
    ("too long a name", [ABOUT, (5000).to_bytes(4, "big") + bytes(5000)]),
    ("can't be read", [ABOUT, (3).to_bytes(4, "big") + b"abc"]),
)
"""Of what each backup is made that its device signed, and why none of it is taken."""


@pytest.mark.parametrize(("why", "parts"), PARTS)
async def test_parts_that_no_home_has(tmp_path: Path, why: str, parts: list[tuple[str, bytes] | bytes]) -> None:
    """What a device of somebody signed writes nothing but a store and pieces of attachments, and nothing elsewhere."""
    secret, device = b"k" * 32, new_device()
    header = Header(b"s" * 32, wrap_key(secret, PASSPHRASE, Kdf.minimum()))
    with (tmp_path / "backup").open("wb") as file:
        writing = _Writing(SealedWriter(file, header, secret), header)
        for part in parts:
            if part is ABOUT:
                writing.begin("about", msgspec.msgpack.encode(About(1, b"p" * 32, device.id, "name", "today")))
            elif isinstance(part, bytes):
                writing.add(part)
            else:
                writing.begin(*part)
        writing.sign(device)
    with pytest.raises(BadArchive, match=why):
        await restored(tmp_path / "backup", tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


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
