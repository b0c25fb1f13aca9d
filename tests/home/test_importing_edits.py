"""What a person changed in what was imported stays, whatever file comes after."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import msgspec
import pytest

import chez
from chez.connectors import Found, Item, Source
from chez.crypto import random_bytes
from chez.errors import ImportStopped
from chez.home.importing import ImportReport
from chez_wire.limits import MAX_CHANGE


class Booking(msgspec.Struct):
    """A line of an account."""

    __collection__: ClassVar = "bookings"
    __identity__: ClassVar = ("number",)
    number: int
    label: str
    state: str | None = None
    tags: list[str] = []
    place: dict[str, str] = {}


class Said(Booking, omit_defaults=True):
    """One of which a row leaves out what it does not know."""


class Lines:
    """A connector whose file has a booking on each line, as JSON."""

    name, version, title, types = "lines", 1, "lines", (Booking,)

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for row, line in enumerate(file, 1):
            yield Found(msgspec.json.decode(line, type=Booking), row)


class Cut(Lines):
    """The same, which ends after its second line."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        yield from islice(super().read(file, source), 2)
        raise ImportStopped("cut off")


async def bring(home: chez.Home, tmp_path: Path, *bookings: dict[str, Any], overwrite: bool = False,
                by: type[Lines] = Lines) -> ImportReport:
    """Import a file of these bookings."""
    path = tmp_path / "export.lines"
    path.write_text("".join(json.dumps(one) + "\n" for one in bookings))
    return await home.import_file(path, connector=by(), in_process=True, overwrite=overwrite)


async def shown(home: chez.Home) -> dict[str, Any]:
    """The one booking that there is, without what is empty."""
    [record] = [record async for record in home.collection("bookings")]
    return {name: value for name, value in record.value.items() if value}


JUNE = {"number": 1, "label": "CB CARREFOUR 0612", "state": "pending", "tags": ["card"], "place": {"town": "Lyon"}}
JULY = {**JUNE, "label": "CARREFOUR LYON", "state": "booked", "tags": ["card", "food"], "place": {"town": "LYON 03"}}


async def test_what_a_person_changed_stays_and_the_rest_follows_the_file(home: chez.Home, tmp_path: Path) -> None:
    """A label, a list and a part of a field that were changed stay with the same export, a newer and an older one."""
    await bring(home, tmp_path, JUNE)
    bookings = home.collection("bookings")
    [record] = [record async for record in bookings]
    mine = {"number": 1, "label": "Shopping", "state": "pending", "tags": ["card", "mine"],
            "place": {"town": "Lyon", "street": "rue Garibaldi"}, "note": "with Ada"}
    await bookings.put(mine, id=record.id)
    again = await bring(home, tmp_path, JUNE)
    assert (again.unchanged, again.edited, again.updated) == (1, 1, 0) and await shown(home) == mine
    newer = await bring(home, tmp_path, JULY)
    assert (newer.unchanged, newer.edited, newer.updated) == (0, 0, 1)
    assert await shown(home) == {**mine, "state": "booked"}
    older = await bring(home, tmp_path, JUNE)
    assert older.updated == 1 and await shown(home) == mine


async def test_who_overwrites_takes_the_files_word_for_what_it_says(home: chez.Home, tmp_path: Path) -> None:
    """Also for what came before an import was cut off; all follows the file from then on, and what it lacks stays."""
    files = [{**JUNE, "number": number} for number in range(3)]
    await bring(home, tmp_path, *files)
    bookings = home.collection("bookings")
    ids = {record.value["number"]: record.id async for record in bookings}
    for number, id in ids.items():
        await bookings.put({"number": number, "label": "mine", "tags": ["mine"], "note": "with Ada"}, id=id)
    with pytest.raises(ImportStopped):
        await bring(home, tmp_path, *files, by=Cut)
    report = await bring(home, tmp_path, *files, overwrite=True)
    assert (report.updated, report.edited, report.resumed, report.unchanged) == (3, 0, 0, 0)
    for number, id in ids.items():
        assert (await bookings.get(id)).value.items() >= {**JUNE, "number": number, "note": "with Ada"}.items()
    assert (await bring(home, tmp_path, JULY)).updated == 1
    assert (await bookings.get(ids[1])).value["label"] == JULY["label"]


async def test_a_field_that_was_taken_out_stays_out(home: chez.Home, tmp_path: Path) -> None:
    """And so does one that was added before a connector came to give it."""
    await bring(home, tmp_path, {"number": 1, "label": "a", "state": "pending"})
    bookings = home.collection("bookings")
    [record] = [record async for record in bookings]
    async with bookings.edit(record.id) as it:
        del it["state"]
        it["extra"] = "mine"
    assert (await bring(home, tmp_path, {"number": 1, "label": "b", "state": "booked"})).updated == 1
    assert await shown(home) == {"number": 1, "label": "b", "extra": "mine"}


async def test_a_change_that_was_undone_is_nobodys(home: chez.Home, tmp_path: Path) -> None:
    """What reads as the import left it follows the file again; who wants the file's word undoes their own."""
    await bring(home, tmp_path, JUNE)
    bookings = home.collection("bookings")
    [record] = [record async for record in bookings]
    await bookings.put({**JUNE, "label": "Shopping"}, id=record.id)
    assert (await bring(home, tmp_path, JULY)).updated == 1
    assert await shown(home) == {**JULY, "label": "Shopping"}
    await bookings.put({**JULY, "label": JUNE["label"]}, id=record.id)
    assert (await bring(home, tmp_path, JULY)).updated == 1 and await shown(home) == JULY


async def test_a_deleted_one_stays_so_and_a_restored_one_keeps_its_changes(home: chez.Home, tmp_path: Path) -> None:
    """The trash is no change of a field."""
    await bring(home, tmp_path, JUNE)
    bookings = home.collection("bookings")
    [record] = [record async for record in bookings]
    await bookings.put({**JUNE, "label": "Shopping"}, id=record.id)
    await bookings.delete(record.id)
    assert (await bring(home, tmp_path, JULY)).unchanged == 1
    await bookings.restore(record.id)
    assert (await bring(home, tmp_path, JULY)).updated == 1 and await shown(home) == {**JULY, "label": "Shopping"}


async def test_what_no_change_holds_costs_itself(home: chez.Home, tmp_path: Path) -> None:
    """A record that is too large to be sent is a reject with its row, new or known; those beside it are kept, also when
    the same file comes again."""
    large = random_bytes(MAX_CHANGE // 2 + 1).hex()
    for number in (2, 3):  # the third is there by then
        file = [{**JUNE, "number": one, **({"label": large} if one == number else {})} for one in range(1, 5)]
        done = await bring(home, tmp_path, *file)
        assert [(one.line, one.reason[:15]) for one in done.rejects] == [(number, "this edit takes")]
        assert (await bring(home, tmp_path, *file)).added == 0
    labels = {record.value["number"]: record.value["label"] async for record in home.collection("bookings")}
    assert labels == dict.fromkeys(range(1, 5), JUNE["label"])


async def test_what_says_source_in_a_list_or_a_text_is_a_persons_and_stops_no_import(
        home: chez.Home, tmp_path: Path) -> None:
    """An item and a word that are called as Chez's own field are no source; the history shows them, too."""
    await bring(home, tmp_path, JUNE)
    bookings = home.collection("bookings")
    [record] = [record async for record in bookings]
    await bookings.put({**JUNE, "note": chez.Text("see ")}, id=record.id)
    async with bookings.edit(record.id) as it:
        it["note"].append("_source")
    async with bookings.edit(record.id) as it:
        it["tags"].append("_source")
    assert (await bring(home, tmp_path, JULY)).updated == 1
    mine = await shown(home)
    assert (mine["label"], mine["tags"], str(mine["note"])) == (JULY["label"], ["card", "_source"], "see _source")
    kinds = [one.kind for one in await bookings.history(record.id)]
    assert kinds[1:3] == ["edited", "edited"] and kinds.count("imported") == len(kinds) - 3


async def test_a_text_in_which_only_marks_were_changed_is_the_persons(home: chez.Home, tmp_path: Path) -> None:
    """What was made bold stays as it is, and follows the file again where the mark was taken off; also inside."""
    await bring(home, tmp_path, JUNE)
    bookings = home.collection("bookings")
    [record] = [record async for record in bookings]
    texts = {"label": chez.Text(JUNE["label"]), "place": {"town": chez.Text("Lyon")}}
    await bookings.put({**JUNE, **texts}, id=record.id)
    async with bookings.edit(record.id) as it:
        it["label"].mark(0, 2, "bold")
        it["place"]["town"].mark(0, 2, "bold")
    assert (await bring(home, tmp_path, JULY)).updated == 1
    mine = await shown(home)
    assert (str(mine["label"]), str(mine["place"]["town"]), mine["state"]) == (JUNE["label"], "Lyon", "booked")
    assert mine["label"].marks == mine["place"]["town"].marks == (chez.Mark(0, 2, "bold", True),)
    async with bookings.edit(record.id) as it:
        it["label"].unmark(0, 2, "bold")
    assert (await bring(home, tmp_path, JULY)).updated == 1 and str((await shown(home))["label"]) == JULY["label"]


async def test_who_overwrites_takes_the_word_of_each_row_of_a_file(home: chez.Home, tmp_path: Path) -> None:
    """Also of an earlier one, for what the last one about the same thing does not say."""
    class Sparse(Lines):
        def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
            for row, line in enumerate(file, 1):
                yield Found(msgspec.json.decode(line, type=Said), row)

    files = ({"number": 1, "label": "first", "state": "booked"}, {"number": 1, "label": "last"})
    await bring(home, tmp_path, *files, by=Sparse)
    [record] = [record async for record in home.collection("bookings")]
    async with home.collection("bookings").edit(record.id) as it:
        it["state"], it["label"] = "mine", "mine"
    for _ in range(2):
        await bring(home, tmp_path, *files, by=Sparse, overwrite=True)
        assert await shown(home) == {"number": 1, "label": "last", "state": "booked"}
