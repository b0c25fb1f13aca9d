"""What is read of records' pasts, all of them or one, while others write or where some are damaged."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.errors import Damaged
from chez.records import automerge
from chez.store import database
from chez.store.file import connect
from tests.home.test_import_twice import Pair, pair, part

__all__ = ("pair",)

async def spoil(home: chez.Home, id: str) -> None:
    """Damage what the store has of a record's changes."""
    await home._database.write(lambda db: db.execute(
        "UPDATE change SET bytes = substr(bytes, 1, 40) WHERE record = (SELECT n FROM record WHERE id = ?)", (id,)))


async def edited(notes: Any, times: int) -> None:
    """Write a note again and again, in one commit."""
    await asyncio.gather(*[notes.put({"n": number}, id="a") for number in range(times)])


async def test_a_damaged_record_is_named_and_hides_no_conflict(pair: Pair) -> None:
    """Of a record that can't be read it is told which; the conflicts of others are there, and the trash is shown."""
    laptop, phone = pair.laptop.collection("notes"), pair.phone.collection("notes")
    await laptop.put_many([{"title": id} for id in ("cup", "milk", "tea")], ids=["cup", "milk", "tea"])
    await pair.meet()
    for notes, title in ((laptop, "Green tea"), (phone, "Black tea")):
        for id in ("milk", "tea"):
            async with notes.edit(id) as draft:
                draft["title"] = title
    await laptop.delete("cup")
    await pair.meet()
    for id in ("cup", "milk"):
        await spoil(pair.laptop, id)
    space = pair.laptop.space()
    with pytest.raises(Damaged, match="the history of record 'milk' in 'notes' can't be read") as caught:
        await space.conflicts()
    assert "chez doctor" in caught.value.hint
    told: list[Damaged] = []
    assert list(await space.conflicts(damaged=told.append)) == [("notes", "tea")]
    assert [one.message for one in told] == [caught.value.message]
    for look in (laptop.conflicts, laptop.history):
        with pytest.raises(Damaged, match="'milk'"):
            await look("milk")
    (gone,) = await space.trash()
    assert (gone.id, gone.value, gone.device, gone.device_name, gone.time) == ("cup", {"title": "cup"}, b"", None, None)


async def test_only_records_that_may_have_a_conflict_are_opened(
        home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one device wrote after the other, no document is made to see that there is no conflict; it tells how far
    it is."""
    notes = home.collection("notes")
    ids = [f"n{number}" for number in range(300)]
    await notes.put_many([{"title": "Tea"}] * len(ids), ids=ids)
    await notes.put_many([{"title": "Milk"}] * len(ids), ids=ids)
    made: list[Any] = []
    load = automerge.load
    monkeypatch.setattr(automerge, "load", lambda *given: made.append(given) or load(*given))
    steps: list[tuple[int, int]] = []
    assert await home.space().conflicts(progress=lambda done, total: steps.append((done, total))) == {}
    await asyncio.sleep(0)  # what it told last is heard
    assert made == [] and steps == [(0, 300), (256, 300)]


async def test_what_two_devices_imported_of_one_file_is_told_from_the_log(
        pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both said the same of each record, not knowing of each other: to see that, no document is made; but where one
    said something else besides, and so did the other."""
    file = part(tmp_path, 0, 50)
    for home, note in ((pair.laptop, "high"), (pair.phone, "low")):
        await home.import_file(file)
        readings = home.collection("readings")
        ids = sorted([record.id async for record in readings])
        async with readings.edit(ids[7]) as draft:
            draft["note"] = note
    await pair.meet()
    made: list[Any] = []
    load = automerge.load
    monkeypatch.setattr(automerge, "load", lambda *given: made.append(given) or load(*given))
    found = await pair.laptop.space().conflicts()
    assert list(found) == [("readings", ids[7])] and [one.field for one in found["readings", ids[7]]] == ["note"]
    assert len(made) == 1


async def test_chez_own_collections_are_left_out_of_all(home: chez.Home) -> None:
    """What Chez keeps for itself is in the trash and the conflicts of its own collection, not in those of all."""
    for name in ("chez-contacts", "chez.grants", "chezmoi"):
        await home.collection(name).put({"title": name}, id="one")
        await home.collection(name).delete("one")
    assert [one.collection for one in await home.space().trash()] == ["chezmoi"]
    assert [one.id for one in await home.collection("chez.grants").trash()] == ["one"]


async def test_a_past_is_of_one_state(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that is taken while a record's past is read takes none of its changes away from who reads."""
    notes, loop = pair.laptop.collection("notes"), asyncio.get_running_loop()
    for _ in range(5):
        await edited(notes, 38)
    await pair.meet()
    begun: list[str] = []

    def meanwhile(statement: str) -> None:
        if not begun and statement.startswith("SELECT bytes FROM change"):
            begun.append(statement)
            asyncio.run_coroutine_threadsafe(edited(notes, 20), loop).result()

    def watched(*given: Any, **named: Any) -> Any:
        db = connect(*given, **named)
        db.set_trace_callback(meanwhile)
        return db

    monkeypatch.setattr(database, "connect", watched)
    assert len(await notes.history("a", limit=1000)) == 190
    assert begun and len(await notes.history("a", limit=1000)) == 210
