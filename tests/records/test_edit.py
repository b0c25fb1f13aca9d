"""Edits in place: nested values, and that the projection is what the document says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import chez
from chez import crypto
from chez.records import automerge
from chez.store.database import Database


async def test_nested_edits_reach_the_document(tmp_path: Path) -> None:
    """What `edit` changes deep inside is in the record's changes, not only in its projection."""
    await chez.create(tmp_path / "home", passphrase="x", kdf=crypto.Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase="x") as home:
        notes = home.collection("notes")
        note = await notes.put({"a": 1, "list": [{"inside": [1, 2]}]})
        for number in range(3):
            async with notes.edit(note.id) as draft:
                draft["a"] = number
                draft["list"][0]["inside"].append(number)
        expected = {"a": 2, "list": [{"inside": [1, 2, 0, 1, 2]}]}
        assert (await notes.get(note.id)).value == expected
        rows = await home._database.read(lambda db: db.execute("SELECT bytes FROM change ORDER BY n").fetchall())
        assert automerge.extract(automerge.load(b"".join(data for (data,) in rows), b"x" * 32)) == expected


async def test_an_import_during_an_edit_loses_neither(tmp_path: Path) -> None:
    """An import into a record that is being edited, and the edit, both end up in it."""
    data = Path(__file__).parents[1] / "data" / "energy-linky-fr" / "tempo_days_2014.csv"
    days, again = tmp_path / "days.csv", tmp_path / "again.csv"
    lines = data.read_text().splitlines()[:3]
    days.write_text("\r\n".join(lines) + "\r\n")
    again.write_text("\r\n".join(line.replace("BLEU", "ROUGE") for line in lines) + "\r\n")
    await chez.create(tmp_path / "home", passphrase="x", kdf=crypto.Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase="x") as home:
        assert (await home.import_file(days, connector="tempo")).added == 3
        collection = home.collection("tariff_days")
        record = await collection.where().first()
        assert record is not None
        async with collection.edit(record.id) as draft:
            draft["mine"] = "kept"
            assert (await home.import_file(again, connector="tempo")).updated == 3
        value = (await collection.get(record.id)).value
        assert (value["mine"], value["colour"]) == ("kept", "red")


async def test_an_edit_begins_without_the_writers_thread_where_it_can(
        home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record in memory is copied at once; while the writer is busy, or the record is not in memory, it is asked."""
    notes, looks = home.collection("notes"), []
    await notes.put({"n": 0}, id="r")
    look = Database.look

    async def watched(database: Database, work: Any) -> Any:
        looks.append(1)
        return await look(database, work)

    monkeypatch.setattr(Database, "look", watched)
    for busy, expected in ((False, 1), (False, 0), (True, 1), (False, 0)):
        looks.clear()
        other = asyncio.gather(*(notes.put({"n": n}, id=f"other {n}") for n in range(3 * busy)))
        await asyncio.sleep(0)
        async with notes.edit("r") as draft:
            draft["n"] += 1
        await other
        assert len(looks) == expected
    assert (await notes.get("r")).value == {"n": 4}
    assert len(await notes.history("r")) == 5
