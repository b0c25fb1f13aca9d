"""Two devices with a newer app each, through a relay: both migrate the same record, and edit it together."""

from pathlib import Path
from typing import Any

import pytest

import chez
from chez.errors import Damaged
from chez.store.database import Connection
from tests.home.pairing import paired
from tests.relay.within import relay as running_relay


def _newer(value: dict[str, Any]) -> dict[str, Any]:
    return {"title": value["title"], "tags": value["tags"].split(","), "body": chez.Text(value["body"]),
            "seen": chez.Counter(value.get("seen", 0))}


async def test_both_devices_edits_of_a_record_they_migrated_at_once_are_there(tmp_path: Path) -> None:
    """List, text and counter that the migration made hold what each device did to them; nothing is quarantined."""
    async with running_relay(tmp_path / "relay") as relay, paired(tmp_path, relay.url) as (a, b):
        await a.collection("notes").put({"title": "Tea", "tags": "hot,green", "body": "Boil.", "seen": 2}, id="tea")
        await a.sync(relay.url)
        await b.sync(relay.url)
        for home, mark in ((a, "A"), (b, "B")):
            notes = home.collection("notes", version=2, migrations={1: _newer})
            async with notes.edit("tea") as draft:
                draft["tags"].append(mark)
                draft["body"].append(mark)
                draft["seen"] += 1
        for home in (a, b, a):
            await home.sync(relay.url)
        for home in (a, b):
            value = (await home.collection("notes").get("tea")).value
            assert value["tags"][:2] == ["hot", "green"] and set(value["tags"][2:]) == {"A", "B"}
            assert str(value["body"]) in ("Boil.AB", "Boil.BA") and value["seen"] == 4
            assert (await home.status()).quarantined == 0
            assert (await home.sql("SELECT seen, _version FROM notes")).rows == [(4, 2)]


async def test_a_damaged_record_keeps_no_other_from_being_migrated(home: chez.Home) -> None:
    """It is told beside those that were: one of them ended it, with nothing migrated behind it."""
    notes = home.collection("notes", version=2, migrations={1: lambda value: value | {"new": True}})
    for id in ("a", "b", "c"):
        await home.collection("notes").put({"n": 1}, id=id)
    await _damage(home, "b")
    done = await notes.migrate()
    assert done.written == 2 and len(done.failed) == 1 and "'b'" in str(done.failed[0])
    assert (await home.sql("SELECT _id FROM notes WHERE _version = 2 ORDER BY 1")).rows == [("a",), ("c",)]


async def test_who_writes_in_a_damaged_record_is_told_which_and_what_to_do(home: chez.Home) -> None:
    """Not how its bytes could not be read alone: that is no word for a person, nor for an app that goes by the type."""
    notes = home.collection("notes")
    await notes.put({"body": chez.Text("x")}, id="b")
    await _damage(home, "b")

    async def edit() -> None:
        async with notes.edit("b") as draft:
            draft["n"] = 2

    async def type() -> None:
        async with notes.typing("b", "body") as text:
            text.splice(0, 0, "y")

    for work in (notes.put({}, id="b"), notes.put_many([{}], ids=["b"]), edit(), type(), notes.delete("b"),
                 notes.undo("b"), notes.cursor("b", "body", 0)):
        with pytest.raises(Damaged, match="record 'b' in 'notes'") as caught:
            await work
        assert "chez doctor" in caught.value.hint
    await notes.put({}, id="c")
    await notes.delete("c")
    await _damage(home, "c")
    assert [one.device_name for one in await notes.trash()] == [None]
    await notes.purge("b")


async def _damage(home: chez.Home, id: str) -> None:
    def work(db: Connection) -> None:
        db.execute("UPDATE change SET bytes = x'00' WHERE record = (SELECT n FROM record WHERE id = ?)", (id,))
        home._spaces.records.forget()

    await home._database.write(work)
