"""What no connector knows: looked into, mapped, and read to the last value; the mapping as a file; hostile exports."""

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Found, Item, Reject, connectors, kit
from chez.connectors.exploring import ColumnSeen, Explorer, TableSeen, file_patterns, propose
from chez.connectors.mapped import Mapped, instant, is_named, root_of
from chez.connectors.mapping import TAKEN, Mapping, mapping_text, read_mapping, schema
from chez.connectors.pages import MAX_DEPTH, MAX_TOKEN
from chez.connectors.pieces import MAX_LINE
from chez.errors import ChezError, InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import VOCABULARY
from tests.tries import tries

PAGES = 800
TINY = ('format = 1\nname = "dating"\nversion = 1\n[[tables]]\nfiles = "x.jsonl"\nform = "lines"\n'
        'collection = "dating_x"\nidentity = ["n"]\ncolumns = [{ from = "n", name = "n", type = "integer" }]\n')
"""A mapping of one table."""
PROFILE = {
    "Profile": {"name": "Ada", "age": 36, "pos": {"lat": 45.75, "lon": 4.85}, "tags": ["a", "b"]},
    "Usage": {"opens": {"2024-01-01": 3, "2024-01-02": 5}},
    "Messages": [{"id": "m1", "from": {"name": "Bob"}, "sent": "2024-01-31T10:00:00Z", "likes": [1, 2]},
                 {"id": "m2", "from": {"name": "Cy"}, "sent": "2024-02-01", "likes": []}],
}


def page(number: int) -> str:
    """One of the pages that a dating app sends back."""
    return (f"<!doctype html><html><head><style>td {{}}</style><body><h1>Page {number}</h1><table><thead><tr>"
            f"<th>Date<th>From<th>Text</thead><tr><td>2024-01-02 10:{number % 60:02}<td>A &amp; B"
            f"<td>message {number}<br>goes on</table>")


def zipped(files: dict[str, str | bytes]) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def looked(data: bytes, name: str = "export.zip") -> tuple[Mapping, list[TableSeen], list[Reject]]:
    """What is in an export, and the mapping that is proposed for it."""
    items = kit.items_of(Explorer(), data, name)
    seen = [one.record for one in items if isinstance(one, Found) and isinstance(one.record, TableSeen)]
    return propose("dating", seen), seen, [one for one in items if isinstance(one, Reject)]


def rows(items: list[Item], collection: str) -> list[dict[str, Any]]:
    """The records of one collection as maps."""
    return [msgspec.structs.asdict(one.record) for one in items
            if isinstance(one, Found) and type(one.record).__collection__ == collection]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def export() -> bytes:
    """Nested JSON, a folder of CSV, 800 pages, and files that nobody reads."""
    return zipped({
        **{f"pages/page_{number}.html": page(number) for number in range(1, PAGES + 1)},
        "data.json": json.dumps(PROFILE), "csv/purchases.csv": "id;amount;class\n1;1,50;é\n2;2;b\n3\n".encode("cp1252"),
        "log.jsonl": '{"a": 1}\n{"a": 2.5}\nnonsense\n', "photo.jpg": b"\xff\xd8", "empty.json": "[]"})


@pytest.fixture(scope="module")
def mapping(export: bytes) -> Mapping:
    """What is proposed for it."""
    return looked(export)[0]


def test_an_export_is_looked_into_mapped_and_read(export: bytes) -> None:
    """Each table becomes a collection with typed fields, an identity and a time; what is not read is said, file by
    file, and the same when looking and when reading."""
    mapping, seen, rejects = looked(export)
    assert [(one.files, one.rows, one.members, one.shape) for one in seen] == [
        ("pages/page_*.html", PAGES, PAGES, "rows"), ("data.json", 1, 1, "object"), ("data.json", 1, 1, "object"),
        ("data.json", 2, 1, "values"), ("data.json", 2, 1, "pairs"), ("data.json", 2, 1, "rows"),
        ("csv/purchases.csv", 2, 1, "rows"), ("log.jsonl", 2, 1, "rows")]
    items = kit.items_of(Mapped(mapping), export, "export.zip")
    assert [(one.member, one.line) for one in items if isinstance(one, Reject)] == [
        (one.member, one.line) for one in rejects] == [
        ("csv/purchases.csv", 4), ("log.jsonl", 3), ("photo.jpg", 1), ("empty.json", 1)]
    found = rows(items, "dating_page")
    assert len(found) == PAGES and found[6]["text"] == "message 7\ngoes on" and found[6]["from_"] == "A & B"
    assert found[6]["at"].isoformat() == "2024-01-02T10:07:00+00:00"
    assert rows(items, "dating_data_messages") == [
        {"id": "m1", "from_name": "Bob", "sent": "2024-01-31T10:00:00Z", "likes": [1, 2],
         "at": instant("2024-01-31 10:00")},
        {"id": "m2", "from_name": "Cy", "sent": "2024-02-01", "likes": [], "at": instant("2024-02-01")}]
    assert [one["value"] for one in rows(items, "dating_data_opens")] == [3, 5]
    assert rows(items, "dating_purchases") == [{"id": 1, "amount": 1.5, "class_": "é"},
                                               {"id": 2, "amount": 2.0, "class_": "b"}]
    assert [one["a"] for one in rows(items, "dating_log")] == [1.0, 2.5]


def test_thousands_are_proposed_as_no_decimals() -> None:
    """A column whose points may part thousands, by the commas of another, is proposed as text: nothing is lost."""
    mapping, _, _ = looked(b"id;sold;price\n1;1.234;7,25\n2;2.500;8\n", "sales.csv")
    assert [column.type for column in mapping.tables[0].columns] == ["integer", "text", "number"]
    found = rows(kit.items_of(Mapped(mapping), b"id;sold;price\n1;1.234;7,25\n", "sales.csv"), "dating_sales")
    assert [(one["sold"], one["price"]) for one in found] == [("1.234", 7.25)]


def test_thousands_in_a_mapped_number_are_no_decimals() -> None:
    """A mapping says that a column is numbers, and a file has `1.234` beside `7,25`: it costs its row, and is not read
    as a thousandth; where nothing else of the file says so, it is what it says."""
    text = ('format = 1\nname = "bank"\nversion = 1\n[[tables]]\nfiles = "x.csv"\nform = "csv"\ncollection = "bank_x"\n'
            'columns = [{ from = "Amount", name = "amount", type = "number" }, { from = "n", name = "n" }]\n')
    reader = Mapped(read_mapping(text.encode()))
    items = kit.items_of(reader, b"n;Amount\n1;1.234\n2;7,25\n3;12\n", "x.csv")
    assert [one["amount"] for one in rows(items, "bank_x")] == [7.25, 12.0]
    assert [(one.line, "thousands" in one.reason) for one in items if isinstance(one, Reject)] == [(2, True)]
    items = kit.items_of(reader, b"n;Amount\n1;1.234\n2;7.25\n", "x.csv")
    assert [one["amount"] for one in rows(items, "bank_x")] == [1.234, 7.25]


def test_it_is_the_same_behind_walls_and_keeps_the_promises(mapping: Mapping) -> None:
    """The mapping goes with the order, so that both sides know its types; reading twice gives the same."""
    small = zipped({"data.json": json.dumps(PROFILE), "csv/purchases.csv": "id;amount;class\n1;1,50;é".encode("cp1252"),
                    "pages/page_1.html": page(1)})
    for connector in (Mapped(mapping), Explorer()):
        kit.behind_walls(connector, kit.Sample(small, "export.zip"))
        kit.reads_twice_the_same(connector, kit.Sample(small, "export.zip"))


def test_a_mapping_is_a_file(mapping: Mapping) -> None:
    """Written and read it is the same mapping; its schema is published; what a newer export has more is told once."""
    text = mapping_text(mapping)
    assert read_mapping(text.encode()) == mapping and mapping_text(read_mapping(text.encode())) == text
    page = Path(__file__).parents[2] / "docs" / "mapping.schema.json"
    assert page.read_text(encoding="utf-8") == schema()
    newer = zipped({"data.json": json.dumps({**PROFILE, "Messages": [
        {"id": "m3", "mood": 1}, {"id": "m4", "mood": 2}, {"id": "m4"}, {"id": 5}], "New": {"a": 1}})})
    items = kit.items_of(Mapped(text.encode()), newer, "x.zip")
    assert [one["id"] for one in rows(items, "dating_data_messages")] == ["m3", "m4"]
    reasons = [one.reason for one in items if isinstance(one, Reject)]
    assert len(reasons) == 4 and sum("'mood'" in one for one in reasons) == 1 and any("'New'" in one for one in reasons)


def test_what_a_person_leaves_out_is_left_out(export: bytes, mapping: Mapping) -> None:
    """A field that is dropped is in no record, a table that is dropped is told of once a file."""
    changed = mapping_text(mapping).replace('path = "Messages"', 'path = "Messages"\ndrop = true').replace(
        '{ from = "class", name = "class_" }', '{ from = "class", name = "class_", drop = true }')
    items = kit.items_of(Mapped(changed.encode()), export, "export.zip")
    assert not rows(items, "dating_data_messages") and "class_" not in rows(items, "dating_purchases")[0]
    assert sum("leaves it out" in one.reason for one in items if isinstance(one, Reject)) == 1


CHATS = [
    {"id": 7, "title": "Bob", "tags": ["a"], "messages": [
        {"id": "m1", "text": "hi", "sent": "2024-01-31T10:00:00Z", "by": {"name": "Bob"}, "reactions": [
            {"who": "Ada", "what": "+"}, {"who": "Ada", "what": "+"}]},
        {"id": "m2", "text": "ho", "sent": "2024-01-31T10:01:00Z", "by": {"name": "Ada"}, "reactions": []}]},
    {"id": 8, "title": "Cy", "tags": [], "messages": [
        {"id": "m3", "text": "hi", "sent": "2024-02-01T10:00:00Z", "by": {"name": "Cy"}}]},
    {"id": 9, "title": "Di", "tags": ["b"], "messages": []},
]


def test_lists_in_rows_are_rows_of_their_own() -> None:
    """Messages of a conversation, and reactions to them, are collections whose rows say in which row they are; the same
    again in another order, and with more of them, keeps every identity."""
    data = json.dumps(CHATS).encode()
    mapping, seen, _ = looked(data, "chats.json")
    assert [(one.within, one.rows, [column.source for column in one.columns]) for one in seen] == [
        ([], 3, ["id", "title", "tags"]), (["messages"], 3, ["id", "text", "sent", "by/name"]),
        (["messages", "reactions"], 2, ["who", "what"])]
    assert mapping.format == 2 and read_mapping(mapping_text(mapping).encode()) == mapping
    items = kit.items_of(Mapped(mapping), data, "chats.json")
    assert not [one for one in items if isinstance(one, Reject)]
    assert [one["title"] for one in rows(items, "dating_chats")] == ["Bob", "Cy", "Di"]
    said = rows(items, "dating_chats_messages")
    assert [(one["parent"], one["id"], one["by_name"], one["at"].day) for one in said] == [
        (7, "m1", "Bob", 31), (7, "m2", "Ada", 31), (8, "m3", "Cy", 1)]
    felt = rows(items, "dating_chats_messages_reactions")
    assert [(one["parent"], one["who"]) for one in felt] == [("m1", "Ada"), ("m1", "Ada")]
    assert felt[0]["row"] != felt[1]["row"]

    def identities(value: object) -> set[object]:
        return {(type(one.record).__name__, identity_of(one.record))
                for one in kit.items_of(Mapped(mapping), json.dumps(value).encode(), "chats.json")
                if isinstance(one, Found)}

    assert identities(CHATS[::-1]) == identities(CHATS)
    more = [*CHATS[:2], {**CHATS[2], "messages": [{"id": "m4", "text": "new", "sent": "2024-03-01"}]}]
    assert identities(CHATS) < identities(more)


def test_many_folders_with_one_name_are_one_table() -> None:
    """A conversation in each of many folders is one table of all; few folders are what they are called."""
    names = [f"inbox/friend_{who}/message_{n}.json" for who in "abcde" for n in (1, 2)]
    few = ["ads/index.json", "likes/index.json", "index.json"]
    patterns = file_patterns([*names, *few])
    assert {patterns[name] for name in names} == {"inbox/*/message_*.json"}
    assert [patterns[name] for name in few] == few
    assert all(is_named(name, pattern) for name, pattern in patterns.items())
    data = zipped({name: json.dumps([{"said": name, "n": 1}]) for name in names})
    [seen] = looked(data)[1]
    assert (seen.files, seen.rows, seen.members) == ("inbox/*/message_*.json", 10, 10)


@pytest.mark.parametrize("names", [("a.json", "b/c.json"), ("top/a.json", "top/b/c.json"),
                                   ("other/a.json", "other/b/c.json")])
@pytest.mark.parametrize("patterns", [("a.json", "b/*.json"), ("top/a.json", "top/b/*.json")])
def test_an_export_may_have_one_folder_more_or_less(names: tuple[str, ...], patterns: tuple[str, ...]) -> None:
    """A mapping made of a zip reads the folder that it was unpacked into, and one that was packed again."""
    cut, added = root_of(names, patterns)
    assert all(any(is_named(added + name[cut:], pattern) for pattern in patterns) for name in names)
    assert root_of(["x.csv"], patterns) == (0, "") and root_of([], patterns) == (0, "")


@pytest.mark.parametrize(("value", "reasons", "told"), [
    ([{"id": 1, "x": 2, "messages": [{"id": "a"}]}, {"id": 1, "x": 2, "messages": [{"id": "b"}]}], 2,
     ["the row's key is given already on line 1"]),
    ([{"id": None, "x": 2, "messages": [{"id": "a"}, {"id": "b"}]}], 0,
     ["the row's key is empty", ("the 2 rows in 'messages' are not read: nothing identifies the row that they are in "
                                 "(the row's key is empty)")]),
    ([{"id": 1, "x": 2, "messages": "none"}], 0, ["the column 'messages' is no list, and it is one elsewhere"]),
    ([{"id": 1, "x": 2, "messages": [{"id": "a", "y": 1}, 5]}], 1,
     ["the column 'y' is not read: the mapping does not know it", "it is no object, and the others of its list are"]),
])
def test_rows_in_odd_rows(value: object, reasons: int, told: list[str]) -> None:
    """A row given in two parts has the rows of both; without an identity, with no list, or with something else in it,
    each is told."""
    text = ('format = 2\nname = "dating"\nversion = 1\n[[tables]]\nfiles = "x.json"\nform = "json"\nidentity = ["id"]\n'
            'collection = "dating_x"\ncolumns = [{ from = "id", name = "id", type = "integer" }, '
            '{ from = "x", name = "x", type = "integer" }]\n[[tables]]\nfiles = "x.json"\nform = "json"\n'
            'within = ["messages"]\nidentity = ["id"]\ncollection = "dating_y"\n'
            'columns = [{ from = "id", name = "id" }]\n')
    items = kit.items_of(Mapped(text.encode()), json.dumps(value).encode(), "x.json")
    assert len(rows(items, "dating_y")) == reasons
    assert [one.reason for one in items if isinstance(one, Reject)] == told
    dropped = text.replace('collection = "dating_x"', 'collection = "dating_x"\ndrop = true')
    items = kit.items_of(Mapped(dropped.encode()), json.dumps(value).encode(), "x.json")
    assert len(rows(items, "dating_y")) == reasons
    for old, new, why in (("format = 2", "format = 1", "format = 2"), ('["messages"]', '["a", "b"]', "no table that"),
                          ('name = "id" }]', 'name = "parent" }]', "kept for Chez")):
        assert old in text
        with pytest.raises(InvalidValue, match=why):
            read_mapping(text.replace(old, new).replace('identity = ["id"]\ncollection = "dating_y"',
                                                        'collection = "dating_y"').encode())


@pytest.mark.parametrize(("old", "new", "why"), [
    ('"dating_page"', '"transactions"', "does not begin"), ('"dating_page"', '"dating_log"', "two tables"),
    ('name = "text"', 'name = "at"', "kept for Chez"), ('name = "text"', 'name = "date"', "one name"),
    ('time = "date"', 'time = "when"', "no field 'when'"), ('form = "html"', 'form = "exe"', "can't be read"),
    ("format = 1", "format = 3", "can't be read"), ("version = 1", "version = 1\nrun = 'x'", "can't be read"),
    ('identity = ["id"]', 'identity = ["likes"]', "neither identifies"), ("version", "[" * 5000, "can't be read"),
])
def test_a_mapping_that_is_none_is_refused(mapping: Mapping, old: str, new: str, why: str) -> None:
    """A mapping from somebody else writes into collections of its own only, and says nothing that is not declared."""
    text = mapping_text(mapping)
    assert old in text
    with pytest.raises(InvalidValue, match=why):
        read_mapping(text.replace(old, new, 1).encode() if why != "neither identifies" else
                     text.replace(old, new).encode())


def test_no_mapping_writes_where_something_else_lives() -> None:
    """No collection of the vocabulary, of a connector or of the home begins as that of any mapping may."""
    kinds: list[Any] = [*VOCABULARY, *(kind for one in connectors() for kind in getattr(one, "types", ()))]
    for name in ("kept_exports", "table_stops", *(kind.__collection__ for kind in kinds)):
        parts = name.split("_")
        services = {"_".join(parts[:count]) for count in range(1, len(parts))}
        assert len(parts) == 1 or services & TAKEN, name
        for service in services & TAKEN:
            with pytest.raises(InvalidValue, match="begin so"):
                read_mapping(TINY.replace("dating", service).encode())
    for service in ("open", "open_velov"):  # tables of open data, whose rows their publishers sign
        with pytest.raises(InvalidValue, match="begin so"):
            read_mapping(TINY.replace("dating", service).encode())
    read_mapping(TINY.replace("dating", "opened").encode())
    seen = TableSeen("a.csv", "csv", "rows", "", 1, 1, [ColumnSeen("a", "text", 1, [], False, False)])
    assert propose("Kept!", [seen]).name == "my_kept" and propose("Open data", [seen]).name == "my_open_data"


# --- nothing is lost -----------------------------------------------------------------------

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2**63, 2**63 - 1),
                    st.floats(allow_nan=False, allow_infinity=False), st.just("2024-01-31"),
                    st.text(st.characters(blacklist_categories=["Cs"]), max_size=6))
KEYS = st.one_of(st.text(st.characters(blacklist_categories=["Cs"]), max_size=4),
                 st.sampled_from(["id", "row", "at", "a/b", "a~", "class", "2024-01-31", "2024-02-01"]))
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4),
                                                          st.dictionaries(KEYS, inner, max_size=4)), max_leaves=15)


def leaves(value: Any) -> Iterator[str]:
    """The values in a document, whole numbers as the floats they may become."""
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif value is not None:
        number = isinstance(value, int) and not isinstance(value, bool) and float(value) == value
        yield repr(float(value) + 0.0 if number else value)


def read_values(data: bytes, name: str) -> tuple[Counter[str], list[Reject]]:
    """All values of the records that the proposed mapping makes of a file."""
    mapping, _, _ = looked(data, name)
    items = kit.items_of(Mapped(mapping), data, name)
    found = Counter(leaf for item in items if isinstance(item, Found)
                    for field, value in msgspec.structs.asdict(item.record).items() if field not in ("row", "at")
                    for leaf in leaves(value))
    return found, [item for item in items if isinstance(item, Reject)]


def names(value: Any) -> Iterator[str]:
    """The names in a document, which are values where an object is a table of names and values."""
    if isinstance(value, dict):
        yield from map(repr, value)
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from names(one)


@given(st.lists(DOCUMENTS, min_size=1, max_size=2))
@settings(max_examples=tries(25), deadline=None)
def test_no_value_of_json_is_lost(documents: list[Any]) -> None:
    """Whatever JSON says, looked into, mapped and read, each of its values is in a record, and nothing else than its
    names."""
    wanted = Counter(leaves(documents))
    data = zipped({f"part{number}.json": json.dumps(one) for number, one in enumerate(documents)})
    if not wanted:
        return
    found, rejects = read_values(data, "x.zip")
    assert not wanted - found and set(found - wanted) <= set(names(documents))
    assert all("no rows" in one.reason for one in rejects)


CELLS = st.text(st.characters(whitelist_categories=["L", "N", "P"]), min_size=1, max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(["csv", "html"]))
@settings(max_examples=tries(30), deadline=None)
def test_no_cell_of_a_table_is_lost(table: list[tuple[str, str, str]], form: str) -> None:
    """Each cell of a CSV file or of a table in a page comes back, as it is or as the number that it says."""
    if form == "csv":
        out = io.StringIO()
        csv.writer(out, delimiter=";").writerows([("x", "y", "z"), *table])
        data = out.getvalue().encode()
    else:
        escaped = [[cell.replace("&", "&amp;").replace("<", "&lt;") for cell in row] for row in table]
        data = ("<table><tr><th>x<th>y<th>z" + "".join(f"<tr><td>{'<td>'.join(row)}" for row in escaped)).encode()
    mapping, _, rejects = looked(data, f"t.{form}")
    found = rows(kit.items_of(Mapped(mapping), data, f"t.{form}"), "dating_t")
    assert len(found) == len(table) and not rejects
    for row, one in zip(table, found, strict=True):
        for cell, value in zip(row, (one["x"], one["y"], one["z"]), strict=True):
            assert value == cell or (isinstance(value, int | float) and float(cell.replace(",", ".")) == value)


# --- hostile -------------------------------------------------------------------------------


def test_hostile_exports_are_bounded() -> None:
    """Deep nesting, a million keys or columns, giant names and lines, tags without end, bombs and foreign encodings
    cost themselves, with a reason; nothing else of the export."""
    files = {
        "deep.json": "[" * 100_000, "names.json": '[{"%s": 1}, {"a": 2}]' % ("n" * 5000),
        "tower.json": '{"a":' * 40 + "1" + "}" * 40, "wide.json": json.dumps([{f"k{n}": n for n in range(3000)}] * 2),
        "map.json": json.dumps({f"k{n}": n for n in range(3000)}), "utf16.json": "[1]".encode("utf-16"),
        "wide.csv": ",".join(f"c{n}" for n in range(100_000)) + "\n1\n", "zero.csv": b"a,b\n1,\x00\n2,3\n",
        "line.jsonl": '{"a": "' + "x" * MAX_LINE + '"}\n{"a": 1}\n', "tag.html": "<a " + "x" * (2 * MAX_TOKEN),
        "tables.html": "<table><tr><td>" * (MAX_DEPTH + 1), "cells.html": "<table><tr>" + "<td>1" * 1000,
        "entity.html": '<!DOCTYPE x [<!ENTITY a "boom">]><table><tr><td>&a;</table>', "good.json": '[{"a": 1}]',
        "font.html": f"<style>{'x' * 200_000}</style><table><tr><td>kept</table>",
    }
    data = zipped(files)
    mapping, seen, rejects = looked(data)
    refused = {one.member for one in rejects}
    assert {"deep.json", "names.json", "tower.json", "utf16.json", "wide.csv", "zero.csv", "line.jsonl", "tag.html",
            "tables.html", "cells.html"} <= refused and not refused & {"good.json", "map.json", "wide.json"}
    assert {one.files: one.shape for one in seen}["wide.json"] == "whole"
    items = kit.items_of(Mapped(mapping), data, "x.zip")
    assert len(rows(items, "dating_map")) == 3000 and len(rows(items, "dating_wide")[0]["value"]) == 3000
    assert rows(items, "dating_font")[0]["column_1"] == "kept"
    assert rows(items, "dating_entity")[0]["column_1"] == "&a;" and rows(items, "dating_good")[0]["a"] == 1
    with pytest.raises(ChezError, match="no table"):
        looked(b"\x00\x01", "x.bin")


PARTS = (b"<table>", b"</table>", b"<tr>", b"<td>", b"<th>", b"<!--", b"<![CDATA[", b"<script>", b"&#", b"{", b"}",
         b"[", b"]", b'"', b":", b",", b"1", b"\n", b"\x00", b"\xff", b"a", b"null", b"\xef\xbb\xbf", b"-1e999")


@given(st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join),
       st.sampled_from(["json", "jsonl", "csv", "html"]))
@settings(max_examples=tries(80), deadline=None)
def test_any_bytes_are_rows_rejects_or_a_typed_error(data: bytes, form: str) -> None:
    """Pieces of all forms in any order end in items or a typed error, when looking and when reading what was seen."""
    name = f"x.{form}"
    try:
        connector = Mapped(looked(data, name)[0])
    except ChezError:
        return
    assert kit.items_of(connector, data, name) == kit.items_of(connector, data, name)


def test_patterns_and_instants() -> None:
    """`*` stays within a name; an instant is read of ISO text and of numbers that count seconds or milliseconds."""
    assert is_named("a/page_12.html", "a/page_*.html") and is_named("a/x/1", "*/*/*") and is_named("ab", "a*b")
    assert not is_named("a/b/page_1.html", "a/page_*.html")
    assert not is_named("a", "a*a") and not is_named("abc", "a*b*b")
    assert instant("2024-01-31T10:00:00+01:00") == instant(1706691600) == instant(1706691600000)
    for nothing in ("31/1/2024", "2024-13-01", "", True, None, 10**30, [], "9999-12-31T23:59:59-14:00"):
        assert instant(nothing) is None
