"""Edits in place: nested values, and that the projection is what the document says."""

from pathlib import Path

import chez
from chez import crypto
from chez.records import automerge


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
