"""An editor's keystrokes through the SDK: shown at once, durable in batches, merged with what others write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import chez
from chez.errors import InvalidValue, Misuse, NotAllowed, NotFound, RecordPurged, StorageFailed
from tests.records.conftest import PASSPHRASE


@pytest.fixture
async def notes(home: chez.Home) -> "chez.Collection[dict[str, object]]":
    """A collection with one record that has a text."""
    notes = home.collection("notes")
    await notes.put({"title": "Tea", "body": chez.Text("Boil."), "parts": [{"note": chez.Text("a")}]}, id="tea")
    return notes


async def _body(notes: "chez.Collection[dict[str, object]]") -> str:
    return str((await notes.get("tea")).value["body"])


@asynccontextmanager
async def _full(home: chez.Home) -> AsyncIterator[None]:
    """The disk takes in no page more."""
    def pages(db: object) -> int:
        return int(db.execute("PRAGMA page_count").fetchone()[0])  # type: ignore[attr-defined]

    # A file may reuse pages that are free; a text of this size needs more than there are.
    count = await home._database.write(pages)
    await home._database.write(lambda db: db.execute(f"PRAGMA max_page_count = {count}").fetchall())
    try:
        yield
    finally:
        await home._database.write(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())


async def test_each_keystroke_shows_at_once_and_is_a_change_that_survives(path: Path) -> None:
    """The text reads as typed without any await; after `flush` it is durable, a change for each call."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        await notes.put({"body": chez.Text("Boil.")}, id="tea")
        async with notes.typing("tea", "body") as text:
            for letter in " Wait":
                text.append(letter)
            text.splice(0, 4, "Heat")
            text.delete(4)
            text.insert(4, ";")
            assert (str(text), text.content, len(text)) == ("Heat; Wait",) * 2 + (10,)
            assert text.pending == 8
            await text.flush()
            assert (text.pending, text.error) == (0, None)
            assert await _body(notes) == "Heat; Wait"
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert await _body(home.collection("notes")) == "Heat; Wait"
        changes = await home.collection("notes").history("tea")
        assert len(changes) == 9
        assert all(change.device == home.device_id and change.time is not None for change in changes)


async def test_what_is_typed_is_written_without_being_asked(notes: "chez.Collection[dict[str, object]]") -> None:
    """When the event loop gets to it, what was typed is on its way to the disk; nobody has to flush."""
    async with notes.typing("tea", "body", within=0) as text:
        text.append("!")
        async for record in notes.live("tea"):
            assert record is not None
            if str(record.value["body"]) == "Boil.!":
                break
        await text.flush()
        assert text.pending == 0


async def test_a_batch_is_noticed_once(notes: "chez.Collection[dict[str, object]]") -> None:
    """However many strokes a batch has, the change feed and whoever follows hear of it once."""
    feed = notes.changes()
    page = await anext(feed)
    async with notes.typing("tea", "body", within=60) as text:
        for _ in range(500):
            text.append("x")
        await text.flush()
        page = await anext(feed)
        assert [change.kind for change in page.changes] == ["updated"]
    assert [found async for found in notes.changes(page.cursor, live=False)] == []
    await feed.aclose()  # type: ignore[attr-defined]


async def test_an_app_that_follows_the_arrivals_shows_what_the_session_shows(
        notes: "chez.Collection[dict[str, object]]") -> None:
    """What others write comes as steps; between them positions are of what the app has in front of it."""
    view = "Boil."
    async with notes.typing("tea", "body", within=60) as text:
        arrivals = text.arrivals()
        async with notes.edit("tea") as draft:
            draft["body"].insert(0, "First: ")
        text.splice(4, 1, "!")  # it is typed in what is shown: nothing has arrived there yet
        view = "Boil!"
        assert str(text) == view
        for step in await anext(arrivals):
            view = view[: step.at] + step.insert + view[step.at + step.delete :]
        assert view == str(text) == "First: Boil!"
        await text.flush()
        assert await _body(notes) == view
        assert text.take() == ()
    assert [steps async for steps in arrivals] == []


async def test_other_writers_of_the_record_are_not_held_up(notes: "chez.Collection[dict[str, object]]") -> None:
    """Inside the block the same task may put, edit, undo; all of it is there in the end."""
    async with notes.typing("tea", "body", within=60) as text:
        text.append("A")
        await text.flush()
        await notes.put((await notes.get("tea")).value | {"title": "Coffee"}, id="tea")
        async with notes.edit("tea") as draft:
            text.append("B")
            await text.flush()
            draft["body"].insert(0, ">")
        await notes.undo("tea")
        async with notes.typing("tea", "body") as other:
            other.insert(0, "<")
        text.append("C")
    value = (await notes.get("tea")).value
    assert (value["title"], str(value["body"])) == ("Coffee", "<Boil.ABC")


async def test_undo_and_redo_of_what_was_typed(notes: "chez.Collection[dict[str, object]]") -> None:
    """One undo takes back what was typed in one go, and tells the app the steps; others' work stays."""
    async with notes.typing("tea", "body", within=60) as text:
        for letter in " Pour":
            text.append(letter)
        async with notes.edit("tea") as draft:
            draft["body"].insert(0, "1. ")
        await text.flush()
        text.take()
        steps = text.undo()
        assert [(one.at, one.delete, one.insert) for one in steps] == [(8, 5, "")]
        assert str(text) == "1. Boil."
        assert text.undo() == ()
        text.redo()
        await text.flush()
    assert await _body(notes) == "1. Boil. Pour"


async def test_a_text_inside_of_a_list_can_be_typed_in(notes: "chez.Collection[dict[str, object]]") -> None:
    """A path leads to it, as for cursors."""
    async with notes.typing("tea", ("parts", 0, "note")) as text:
        text.append("bc")
    value = (await notes.get("tea")).value
    assert value["parts"] == [{"note": "abc"}]
    assert str(value["body"]) == "Boil."


async def test_a_full_disk_is_told_and_nothing_is_lost(
        home: chez.Home, notes: "chez.Collection[dict[str, object]]") -> None:
    """`flush` raises it, and it stays visible; typing goes on, and all of it is written once there is room."""
    async with notes.typing("tea", "body", within=60) as text:
        async with _full(home):
            for n in range(600):
                text.append(f"{n} ")
            with pytest.raises(StorageFailed, match="full"):
                await text.flush()
            assert isinstance(text.error, StorageFailed)
            assert text.pending == 600
            text.insert(0, "> ")
            assert await _body(notes) == "Boil."
        await text.flush()
        assert (text.error, text.pending) == (None, 0)
        assert await _body(notes) == str(text) == "> Boil." + "".join(f"{n} " for n in range(600))


async def test_a_block_that_can_not_write_what_is_left_says_so(
        home: chez.Home, notes: "chez.Collection[dict[str, object]]") -> None:
    """Its end raises why; what was typed can still be read from the session."""
    async with _full(home):
        with pytest.raises(StorageFailed, match="full"):
            async with notes.typing("tea", "body", within=60) as text:
                text.append("x" * 200_000)
        assert (len(text), text.pending) == (200_005, 7)


async def test_what_was_typed_is_written_though_the_block_fails(notes: "chez.Collection[dict[str, object]]") -> None:
    """An exception in the block, or its task being cancelled, takes nothing back that a person typed."""
    with pytest.raises(ZeroDivisionError):
        async with notes.typing("tea", "body", within=60) as text:
            text.append("1")
            raise ZeroDivisionError
    typed = asyncio.Event()

    async def editor() -> None:
        async with notes.typing("tea", "body", within=60) as text:
            text.append("2")
            typed.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(editor())
    await typed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _body(notes) == "Boil.12"


async def test_a_record_that_is_deleted_takes_the_text_in_once_it_is_restored(
        notes: "chez.Collection[dict[str, object]]") -> None:
    """While it is in the trash `flush` raises `NotFound`; purged, `RecordPurged`; the session keeps what was typed."""
    with pytest.raises(RecordPurged):
        async with notes.typing("tea", "body", within=60) as text:
            text.append("1")
            await notes.delete("tea")
            with pytest.raises(NotFound, match="there is no record"):
                await text.flush()
            await notes.restore("tea")
            await text.flush()
            assert await _body(notes) == "Boil.1"
            await notes.purge("tea")
            text.append("2")
    assert (str(text), text.pending) == ("Boil.12", 1)


async def test_misuse_is_told(path: Path, home: chez.Home, notes: "chez.Collection[dict[str, object]]") -> None:
    """No text there, no such record, a place outside, a block that ended, a home opened for reading: typed errors."""
    for id, field in (("tea", "title"), ("tea", "nothing"), ("none", "body")):
        with pytest.raises(NotFound):
            async with notes.typing(id, field):
                pass
    for within in (-1, 61, True, "soon"):
        with pytest.raises(InvalidValue):
            async with notes.typing("tea", "body", within=within):  # type: ignore[arg-type]
                pass
    async with notes.typing("tea", "body") as text:
        for at, delete in ((6, 0), (-1, 0), (0, 6)):
            with pytest.raises(InvalidValue):
                text.splice(at, delete, "x")
        assert "Boil" not in repr(text)
    for act in (lambda: text.append("x"), text.undo, text.redo):
        with pytest.raises(Misuse, match="any more"):
            act()
    with pytest.raises(Misuse):
        await text.flush()
    assert str(text) == "Boil."
    async with chez.open(path, passphrase=PASSPHRASE, read_only=True) as beside:
        with pytest.raises(NotAllowed):
            async with beside.collection("notes").typing("tea", "body"):
                pass


async def test_arrivals_end_when_the_home_closes(path: Path) -> None:
    """Whoever waits for what others write is let go; what is typed afterwards is refused by name."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"body": chez.Text("")}, id="tea")
        block = home.collection("notes").typing("tea", "body", within=60)
        text = await block.__aenter__()
        waiting = asyncio.create_task(anext(text.arrivals()))
        await text.flush()
    with pytest.raises(StopAsyncIteration):
        await waiting
    text.append("x")
    with pytest.raises(StorageFailed, match="closed"):
        await text.flush()
    with pytest.raises(StorageFailed, match="closed"):
        await block.__aexit__(None, None, None)
