"""Texts, counters and versions on their way through the rest: export and import, transactions, deletion, JSON."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.agent.asking import plain
from chez.crypto import Kdf
from chez.errors import InvalidValue
from tests.home.consistency import problems

VALUE = {"body": chez.Text("Hello", (chez.Mark(0, 4, "bold", True),)), "n": chez.Counter(7),
         "in": [{"t": chez.Text("x"), "c": chez.Counter(-1)}], "plain": "Hello", "number": 7}


async def test_an_export_brings_texts_counters_and_versions_back(home: chez.Home, tmp_path: Path) -> None:
    """Imported elsewhere, and again over itself: the same values of the same kinds, with marks and version."""
    notes = home.collection("notes", version=4)
    await notes.put(VALUE, id="n")
    await home.export(tmp_path / "export")
    assert (await home.import_file(tmp_path / "export")).updated == 0
    await chez.create(tmp_path / "other", passphrase="x", name="other", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "other", passphrase="x") as other:
        assert (await other.import_file(tmp_path / "export")).added == 1
        found = (await other.collection("notes").get("n")).value
        assert found == VALUE and all(type(item) is type(VALUE[key]) for key, item in found.items())
        assert found["body"].marks == VALUE["body"].marks  # type: ignore[attr-defined]
        assert (await other.sql("SELECT _version FROM notes")).rows == [(4,)]


async def test_transactions_and_deletion_keep_kinds(home: chez.Home) -> None:
    """A record moved in a transaction keeps its kinds; one put over a deleted one is new, its counter too."""
    notes, done = home.collection("notes"), home.collection("done")
    await notes.put(VALUE, id="n")

    def move(transaction: chez.Transaction) -> None:
        transaction.put(done, transaction.get(notes, "n").value, id="n")
        transaction.delete(notes, "n")

    await home.transaction(move)
    assert (await done.get("n")).value == VALUE
    await notes.put({"n": chez.Counter(1), "body": chez.Text("new")}, id="n")
    assert (await notes.get("n")).value == {"n": 1, "body": "new"}
    assert plain((await done.get("n")).value) == {"body": "Hello", "n": 7, "in": [{"t": "x", "c": -1}],
                                                  "plain": "Hello", "number": 7}


async def test_zero_keeps_its_sign(home: chez.Home) -> None:
    """A zero that is put where one of the other sign is shows as its history, and so every other device, has it."""
    notes = home.collection("notes")
    for sign in (1.0, -1.0):
        await notes.put({"x": 0.0 * sign, "list": [0.0 * sign], "map": {"y": 0.0 * sign}, "sign": sign}, id="a")
        assert str((await notes.get("a")).value["x"]) == str(0.0 * sign)
        assert await home._database.read(lambda db: problems(db, home.device_id)) == []
    await asyncio.gather(*(notes.put({"x": 0.0 * sign, "n": n}, id="b") for n in range(4) for sign in (1.0, -1.0)))
    assert await home._database.read(lambda db: problems(db, home.device_id)) == []


async def test_a_receipt_is_given_as_it_is_kept(home: chez.Home) -> None:
    """What JSON writes otherwise is read back so at once; what it does not, and what is no kind, is a typed error."""
    made = await home.journal.append("note", {"bytes": b"x", "none": float("nan"), "set": {1}})
    assert made.body == {"bytes": "eA==", "none": None, "set": [1]}
    assert made in await home.journal.receipts("note")
    endless: list[object] = []
    endless.append(endless)
    bad: list[tuple[Any, dict[Any, Any]]] = [
        ("\ud800", {}), ("a\nb", {}), (None, {}), (1, {}), ("note", {1: 2}), ("note", {"x": "\ud800"}),
        ("note", {"x": endless})]
    for kind, body in bad:
        with pytest.raises(InvalidValue):
            await home.journal.append(kind, body)
    assert (await home.journal.verify()).ok


async def test_a_collection_whose_fields_sql_can_not_name_has_its_records(home: chez.Home) -> None:
    """They are counted, and have their ids."""
    await home.collection("odd").put({"zero\0": 1}, id="a")
    assert (await home.sql("SELECT _id FROM odd")).rows == [("a",)]
