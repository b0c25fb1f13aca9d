"""Trash, restore and purge through the SDK."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotFound, RecordPurged
from tests.home.conftest import PASSPHRASE
from tests.home.consistency import problems
from tests.home.test_import_twice import Pair, pair
from tests.home.test_renewal import BANK

__all__ = ("pair",)


async def test_the_trash_tells_who_and_when(pair: Pair) -> None:
    """A record deleted on one device is in the other's trash, with name and time, and is restored from there."""
    laptop, phone = pair.laptop.collection("notes"), pair.phone.collection("notes")
    await laptop.put({"title": "Tea"}, id="tea")
    await laptop.put({"title": "Milk"}, id="milk")
    await pair.meet()
    began = datetime.now(UTC).replace(microsecond=0)
    await phone.delete("tea")
    async with laptop.edit("tea") as draft:
        draft["cups"] = 2
    await pair.meet()
    (found,) = await laptop.trash()
    assert [found] == await phone.trash()
    assert (found.id, found.value, found.device_name) == ("tea", {"title": "Tea", "cups": 2}, "phone")
    assert found.time is not None and found.time >= began
    await laptop.restore("tea")
    await pair.meet()
    assert (await phone.get("tea")).value == {"title": "Tea", "cups": 2}
    assert await phone.trash() == []
    with pytest.raises(NotFound):
        await phone.restore("tea")


async def test_a_trash_is_asked_for_a_number_of_records(home: chez.Home) -> None:
    """However large it is, and none below nothing: that would have been all there are. A history says what it gives."""
    notes = home.collection("notes")
    await notes.put_many([{"n": 1}, {"n": 2}], ids=["a", "b"])
    await notes.delete("a")
    for asked in (notes.trash, home.space().trash):
        assert len(await asked(10**30)) == 1 and await asked(0) == []
        with pytest.raises(InvalidValue, match="from 0, not -1"):
            await asked(-1)
    with pytest.raises(InvalidValue, match="for a hundred"):
        await notes.history("b", limit=0)


async def test_a_purge_reaches_the_other_device(pair: Pair) -> None:
    """It leaves the other's collection, search, trash, feed and history too; the journal and the feed tell of it."""
    laptop = pair.laptop.collection("notes")
    phone = pair.phone.collection("notes", search=("title",))
    await laptop.put({"title": "unspeakable"}, id="tea")
    await laptop.put({"title": "Milk"}, id="milk")
    await pair.meet()
    assert [hit.record.id for hit in await phone.search("unspeakable")] == ["tea"]
    (page,) = [page async for page in phone.changes(live=False)]
    await laptop.delete("tea")
    async with phone.edit("tea") as draft:
        draft["more"] = "said at the same time"
    await laptop.purge("tea")
    await pair.meet()
    assert await phone.search("unspeakable") == []
    assert await phone.trash() == [] and [record.id async for record in phone] == ["milk"]
    (change,) = [change async for page in phone.changes(page.cursor, live=False) for change in page.changes]
    assert (change.id, change.kind, change.record, change.device_name) == ("tea", "deleted", None, "laptop")
    for home, notes in ((pair.laptop, laptop), (pair.phone, phone)):
        for ask in (notes.get, notes.history, notes.undo, notes.conflicts, notes.restore):
            with pytest.raises(NotFound):
                await ask("tea")
        with pytest.raises(RecordPurged):
            await notes.put({"title": "again"}, id="tea")
        assert await home._database.read(lambda db, id=home.device_id: problems(db, id)) == []
    (receipt,) = await pair.laptop.journal.receipts("purge")
    assert receipt.body == {"collection": "notes", "id": "tea"}


async def test_no_trace_is_left_in_the_store(path: Path, tmp_path: Path) -> None:
    """Deleted or not, searched, edited, undone: after the purge the word is in none of the database's tables."""
    word = "qzxunspeakable"
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes", search=("title",))
        await notes.put({"title": "other"}, id="other")
        for id in ("a", "b"):
            await notes.put({"title": f"{word} title"}, id=id)
            async with notes.edit(id) as draft:
                draft["title"] = f"{word} again"
            await notes.undo(id)
        assert len(await notes.search(word)) == 2
        await notes.delete("b")

        def dump(db: object) -> bytes:
            tables = [name for (name,) in db.execute(  # type: ignore[attr-defined]
                "SELECT name FROM sqlite_master WHERE type = 'table'")]
            return repr([db.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables]).encode()  # type: ignore[attr-defined]

        assert word.encode() in await home._database.read(dump)
        for id in ("a", "b"):
            await notes.purge(id)
        assert word[3:].encode() not in await home._database.read(dump)
        assert [record.id async for record in notes] == ["other"]
        assert len(await notes.search("other")) == 1


async def test_many_purges_merge_an_index_once_for_each_commit(pair: Pair) -> None:
    """Two hundred purges at once, and two hundred that arrive: the words are gone, without a pass for each of them."""
    ids = [f"n{number:03d}" for number in range(200)]
    for home in (pair.laptop, pair.phone):
        notes = home.collection("notes", search=("title",))
        if home is pair.laptop:
            await notes.put_many([{"title": f"qzx{id} tea"} for id in ids], ids=ids)
            await notes.put({"title": "kept tea"}, id="kept")
            await pair.meet()
        assert len(await notes.search("tea", limit=300)) == 201
    merges: dict[str, list[str]] = {"laptop": [], "phone": []}
    for home in (pair.laptop, pair.phone):
        seen = merges[home.name]
        await home._database.write(lambda db, seen=seen: db.set_trace_callback(seen.append))  # type: ignore[misc]
    await asyncio.gather(*[pair.laptop.collection("notes").purge(id) for id in ids])
    await pair.meet()
    for home in (pair.laptop, pair.phone):
        await home._database.write(lambda db: db.set_trace_callback(None))
        asked = [text for text in merges[home.name] if "'optimize'" in text]
        assert 1 <= len(asked) <= merges[home.name].count("COMMIT") < 60
        assert [hit.record.id for hit in await home.collection("notes").search("tea")] == ["kept"]
        parts = await home._database.read(lambda db: db.execute('SELECT block FROM "search 1_data"').fetchall())
        assert not any(b"qzxn" in block for (block,) in parts)
        assert await home._database.read(lambda db: db.execute("SELECT sum(purged) FROM search").fetchone()) == (0,)


async def test_it_waits_for_an_open_edit_and_stays_through_restarts(path: Path) -> None:
    """A purge asked for during an edit comes after it; a live record ends with None; after a restart it is gone."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        await notes.put({"n": 0}, id="a")
        live = notes.live("a")
        assert (await anext(live)) is not None
        async with notes.edit("a") as draft:
            task = asyncio.create_task(notes.purge("a"))
            draft["n"] = 1
        await task
        while await anext(live) is not None:
            pass
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with pytest.raises(RecordPurged):
            await home.collection("notes").put({"n": 2}, id="a")
        with pytest.raises(RecordPurged):
            await home.collection("notes").put_many([{"n": 2}, {"n": 3}], ids=["b", "a"])
        assert await home.collection("notes").count() == 0


async def test_imports_say_what_they_left_out(home: chez.Home, tmp_path: Path) -> None:
    """A file and an export that have a purged record are imported without it, and the report counts it."""
    await home.import_file(BANK)
    transactions = home.collection("transactions")
    record = await anext(aiter(transactions))
    await home.export(tmp_path / "export")
    before = await transactions.count()
    await transactions.purge(record.id)
    for source in (BANK, tmp_path / "export"):
        report = await home.import_file(source)
        assert (report.purged, report.added) == (1, 0)
    assert await transactions.count() == before - 1
    await home.export(tmp_path / "with history", history=True)


async def test_a_restored_home_says_what_was_purged(pair: Pair, tmp_path: Path) -> None:
    """A purge that was not sent before a device was lost is sent by the home that is restored in its place."""
    laptop = pair.laptop.collection("notes")
    await laptop.put({"title": "Tea"}, id="tea")
    await pair.meet()
    await laptop.purge("tea")
    await pair.laptop.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as home:
        assert (await home.sync(pair.url)).quarantined == 0
        assert (await pair.phone.sync(pair.url)).quarantined == 0
        assert await pair.phone.collection("notes").count() == 0
        with pytest.raises(RecordPurged):
            await pair.phone.collection("notes").put({"title": "x"}, id="tea")
