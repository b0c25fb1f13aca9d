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
