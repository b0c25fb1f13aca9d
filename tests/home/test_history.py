"""History, undo and conflicts through the SDK, on homes that close, are restored, and meet."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

import chez
from chez.agent.pasts import VERBS
from chez.agent.ui import Ui
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotFound
from tests.home.conftest import PASSPHRASE
from tests.home.test_import_twice import Pair, pair
from tests.home.test_renewal import BANK

__all__ = ("pair",)


async def test_a_note_goes_back_and_forth(path: Path) -> None:
    """History with names and times, values at points, what differs; an undo is redone after a restart."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        await notes.put({"title": "Tea", "cups": 1}, id="tea")
        async with notes.edit("tea") as draft:
            draft["cups"] = 2
        newest, oldest = await notes.history("tea")
        assert (newest.kind, newest.fields, newest.device_name) == ("edited", ("cups",), "laptop")
        assert (oldest.kind, oldest.fields) == ("created", ("title", "cups"))
        assert oldest.time is not None and newest.time is not None and newest.device == home.device_id
        assert await notes.history("tea", limit=1, before=newest.hash) == [oldest]
        assert await notes.at("tea", oldest.hash[:12]) == {"title": "Tea", "cups": 1}
        (differs,) = await notes.diff("tea", oldest.hash)
        assert (differs.field, differs.before, differs.after) == ("cups", 1, 2)
        assert await notes.undo("tea") == chez.Reversal(newest.hash, ("cups",), ())
        assert (await notes.get("tea")).value == {"title": "Tea", "cups": 1}
        with pytest.raises(InvalidValue):
            await notes.history("tea", limit=0)
        with pytest.raises(NotFound):
            await notes.history("coffee")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        await notes.redo("tea")
        assert (await notes.get("tea")).value["cups"] == 2
        with pytest.raises(NotFound):
            await notes.redo("tea")


async def test_undo_waits_for_an_open_edit(home: chez.Home) -> None:
    """An undo asked for while the record is being edited undoes that edit, once it is made."""
    notes = home.collection("notes")
    await notes.put({"n": 0}, id="a")
    async with notes.edit("a") as draft:
        task = asyncio.create_task(notes.undo("a"))
        await asyncio.sleep(0)
        draft["n"] = 1
    await task
    assert (await notes.get("a")).value == {"n": 0}
    assert [one.kind for one in await notes.history("a")] == ["edited", "edited", "created"]


async def test_what_an_import_brought_is_not_undone(home: chez.Home) -> None:
    """Of an imported record only the person's own changes are undone; its history says what was imported."""
    await home.import_file(BANK)
    transactions = home.collection("transactions")
    record = await anext(aiter(transactions))
    async with transactions.edit(record.id) as draft:
        draft["note"] = "mine"
    assert [one.kind for one in await transactions.history(record.id)] == ["edited", "imported", "imported"]
    await transactions.undo(record.id)
    assert (await transactions.get(record.id)).value == record.value
    with pytest.raises(NotFound):
        await transactions.undo(record.id)


async def test_devices_settle_a_conflict(pair: Pair) -> None:
    """Two devices edit a title at once: both see both with their names, one chooses, both agree and can see who did."""
    laptop, phone = pair.laptop.collection("notes"), pair.phone.collection("notes")
    await laptop.put({"title": "Tea"}, id="tea")
    await pair.meet()
    for notes, title in ((laptop, "Green tea"), (phone, "Black tea")):
        async with notes.edit("tea") as draft:
            draft["title"] = title
    await pair.meet()
    ui = cast("Ui", None)  # this verb says nothing
    (conflict,) = await phone.conflicts("tea")
    assert [conflict] == await laptop.conflicts("tea")
    assert {version.device_name: version.value for version in conflict.versions} == {
        "laptop": "Green tea", "phone": "Black tea"}
    assert await pair.phone.space().conflicts() == {("notes", "tea"): [conflict]}
    assert await pair.phone.space().conflicts("books") == {}
    hidden = conflict.versions[1]
    asked = {"collection": "notes", "id": "tea", "field": "title"}
    for number, refusal in ((3, InvalidValue), (1, NotFound)):
        with pytest.raises(refusal):
            await VERBS["resolve"](pair.phone, asked | {"number": number, "field": "title" if number == 3 else "x"}, ui)
    await VERBS["resolve"](pair.phone, asked | {"number": 2}, ui)  # as `chez resolve notes tea title 2`
    await pair.meet()
    assert (await laptop.get("tea")).value == (await phone.get("tea")).value == {"title": hidden.value}
    assert await laptop.conflicts("tea") == []
    assert [one.device_name for one in await laptop.history("tea", limit=1)] == ["phone"]
    await laptop.undo("tea")
    await pair.meet()
    assert (await laptop.get("tea")).value == (await phone.get("tea")).value


async def test_a_restored_home_begins_anew(path: Path, tmp_path: Path) -> None:
    """What the former device undid is not redone by the restored one, and its cursors are not there."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        await notes.put({"n": 0}, id="a")
        async with notes.edit("a") as draft:
            draft["n"] = 1
        await notes.undo("a")
        (page,) = [page async for page in notes.changes(live=False)]
        await home.transaction(lambda transaction: transaction.save_cursor("mine", page.cursor))
        await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        with pytest.raises(NotFound):
            await notes.redo("a")
        assert await home.saved_cursor("mine") is None
        with pytest.raises(InvalidValue):
            _ = [page async for page in notes.changes(page.cursor, live=False)]
