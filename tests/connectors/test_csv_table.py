"""Any table of text: how it is written, what its columns are, which rows are whose."""

import csv
import io
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Found, Reject
from chez.connectors.cells import MAX_LINES, MAX_RECORD
from chez.connectors.csv_table import CsvTable
from chez.connectors.tables import MAX_COLUMNS, RowKeys, column_names, slug
from chez.crypto import hash_fields
from chez.errors import ChezError, InvalidValue
from tests.connectors.support import read_bytes, records, rejects
from tests.tries import tries

CELLS = st.one_of(st.integers(-10**6, 10**6).map(str), st.text(
    st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(str.strip).filter(bool),
    st.sampled_from(['a"b', "a\nb", "02010", "1,5", "5\u00b0", "x;y"]))


def written(rows: Sequence[Sequence[str]], delimiter: str, codec: str = "utf-8") -> bytes:
    """A table as spreadsheets write it."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode(codec)


def values(data: bytes, table: CsvTable | None = None) -> list[dict[str, object]]:
    """The rows of a table, by field."""
    found = records(read_bytes(table or CsvTable(), data))
    return [{name: getattr(one, name) for name in one.__struct_fields__} for one in found]  # type: ignore[attr-defined]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(",;\t|"))
@settings(max_examples=tries(60), deadline=None)
def test_what_a_spreadsheet_wrote_is_read_back(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    """Whatever the delimiter, cells with quotes, line breaks and delimiters in them come back, as numbers where all of
    a column are, and twice the same."""
    data = written([("one", "two", "three"), *rows], delimiter)
    table = CsvTable(delimiter=delimiter)
    found = values(data, table)
    assert len(found) == len(rows) and read_bytes(table, data) == read_bytes(table, data)
    for row, one in zip(rows, found, strict=True):
        for cell, name in zip(row, ("one", "two", "three"), strict=True):
            got = one[name]
            assert got == cell.strip() or (isinstance(got, int | float) and float(cell.replace(",", ".")) == got)


def test_dialect_encoding_and_types_are_found() -> None:
    """Windows text, decimal commas, numbers with a zero in front, a BOM, and names that SQL and Python can't have are
    each read as what they are."""
    header = ("N°", "Coût", "class", "Code", "Code")
    data = written([header, ("1", "1,5", "é", "02010", ""), ("2", "3", "", "5", "x")], ";", "cp1252")
    one, two = values(data)
    assert list(one) == ["row", "n", "cout", "class_", "code", "code_2"]
    assert (one["n"], one["cout"], one["class_"], one["code"], one["code_2"]) == (1, 1.5, "é", "02010", None)
    assert (two["cout"], two["code"]) == (3.0, "5")
    assert values(b"\xef\xbb\xbfa\tb\n1\t2\n")[0]["a"] == 1
    with pytest.raises(InvalidValue, match="UTF-16"):
        values("a;b\n1;2\n".encode("utf-16"))
    for nothing in (b"", b"\n\n", b"only one column\n1\n", b"\x00"):
        with pytest.raises(InvalidValue):
            values(nothing)


def test_a_row_is_known_by_its_key_or_by_all_that_it_says() -> None:
    """With a key, a second row of one and an empty one are rejected; without, equal rows are told apart by their
    number, whatever the order of the others."""
    data = b"id,a\n1,x\n1,y\n,z\n2,x\n"
    items = read_bytes(CsvTable(identity=("ID",)), data)
    assert [one.row for one in items if isinstance(one, Found)] == [2, 5]
    assert [line for line, _ in rejects(items)] == [3, 4]
    rows = [b"1,x", b"1,x", b"2,y"]
    names = [one["row"] for one in values(b"id,a\n" + b"\n".join(rows))]
    assert len(set(names)) == 3
    random.Random(1).shuffle(rows)
    assert {one["row"] for one in values(b"id,a\n" + b"\n".join(rows))} == set(names)
    with pytest.raises(InvalidValue, match="no column 'nr'"):
        values(data, CsvTable(identity=("nr",)))


def test_a_type_that_is_declared_or_was_before_costs_the_cell_that_is_none() -> None:
    """A column that is declared, or was known, as numbers rejects the row that has none there, and changes no other."""
    data = b"id,a\n1,7\n2,n/a\n"
    assert [one["a"] for one in values(data)] == ["7", "n/a"]
    for table in (CsvTable(types={"a": "integer"}), CsvTable(before={"a": "integer", "gone": "text"})):
        items = read_bytes(table, data)
        assert [line for line, _ in rejects(items)] == [3] and len(records(items)) == 1
    assert values(data, CsvTable(types={"id": "text"}))[0]["id"] == "1"


def test_a_comma_that_delimits_stands_before_no_decimals() -> None:
    """In a table with commas between its cells 1,234 in quotes may be a thousand and more: it costs its row where the
    column is declared, or was before, as numbers, and is text elsewhere. With another delimiter it has decimals."""
    for delimiter, cell, found in ((",", "1,234", [5.5]), (";", "1,23", [1.23, 5.5])):
        rows = [("id", "a"), ("1", cell), ("2", "5.5")]
        for table in (CsvTable(types={"a": "number"}), CsvTable(before={"a": "number"})):
            items = read_bytes(table, written(rows, delimiter))
            assert [one.a for one in records(items)] == found  # type: ignore[attr-defined]
            assert [line for line, _ in rejects(items)] == [2][: delimiter == ","]
    assert [one["a"] for one in values(b'id,a\n1,"1,234"\n2,5.5\n')] == ["1,234", "5.5"]


@pytest.mark.parametrize(("cells", "other", "found", "declared"), [
    (["1.234", "2.500"], "7,25", ["1.234", "2.500"], []),  # thousands, by what the table has elsewhere
    (["1,234", "-2,500"], "7.25", ["1,234", "-2,500"], []),
    (["1.234", "2.5"], "7,25", [1.234, 2.5], [1.234, 2.5]),  # the column itself has decimals
    (["1.234", "0.500"], "7,25", [1.234, 0.5], [1.234, 0.5]),  # no thousands begin with a zero
    (["1.234", "7,25"], "x", ["1.234", "7,25"], [7.25]),
    (["1,234", "7.25"], "x", ["1,234", "7.25"], [7.25]),
    (["1.234", "1,234"], "x", ["1.234", "1,234"], []),
    (["1.234", "2.500"], "8.125", [1.234, 2.5], [1.234, 2.5]),  # nothing says otherwise
    (["1.234", "2.500"], "7.25", [1.234, 2.5], [1.234, 2.5]),
    (["1.234.567", "2.500"], "7,25", ["1.234.567", "2.500"], []),
    (["1234", "2.500"], "7,25", ["1234", "2.500"], [1234.0]),
])
def test_thousands_are_no_decimals(cells: list[str], other: str, found: list[object], declared: list[float]) -> None:
    """Whether a point or a comma parts thousands is said by the whole column, and else by the others: what may be both
    is text, and where numbers are declared it costs its row and is no number that nobody wrote."""
    rows = [("id", "a", "b"), *((str(n), cell, other) for n, cell in enumerate(cells))]
    for delimiter in ";\t":
        data = written(rows, delimiter)
        assert [one["a"] for one in values(data)] == found
        for table in (CsvTable(types={"a": "number"}), CsvTable(before={"a": "number"})):
            items = read_bytes(table, data)
            assert [one.a for one in records(items)] == declared  # type: ignore[attr-defined]
            assert len(rejects(items)) == len(cells) - len(declared)


def test_hostile_tables_are_bounded() -> None:
    """A quote that never ends costs its line, a giant line itself, a million columns the file; zero bytes, wrong text
    and cells too few or many cost their row."""
    lines = b"".join(b"%d,x\n" % n for n in range(3 * MAX_LINES))
    items = read_bytes(CsvTable(), b'a,b\n"open,1\n' + lines)
    assert [line for line, _ in rejects(items)] == [2] and len(records(items)) == 3 * MAX_LINES
    assert [line for line, _ in rejects(read_bytes(CsvTable(), b'a,b\n1,2\n3,"4\n5,6\n'))] == [3]
    items = read_bytes(CsvTable(), b"a,b\n1,2\n" + b"x" * (5 * MAX_RECORD) + b"\n3,4\n5\n6,7,8\n9,\x00\n10,11\n")
    assert [line for line, _ in rejects(items)] == [3, 5, 6, 7] and len(records(items)) == 3
    with pytest.raises(InvalidValue, match="columns"):
        values(b",".join([b"c"] * 10_000) + b"\n1,2\n")
    assert len(column_names(["c"] * MAX_COLUMNS)) == MAX_COLUMNS
    assert slug("5° étage !") == "c_5_etage" and slug("///", "x") == "x"
    assert [one for one in read_bytes(CsvTable(codec="utf-8"), b"a,b\n\xff,1\n2,3\n") if isinstance(one, Reject)]


PIECES = (b'"', b",", b";", b"\n", b"\r", b"\x00", b"\xff", b"a", b"1", b"\t", b'""', b"\xef\xbb\xbf")


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
@settings(max_examples=tries(100), deadline=None)
def test_any_bytes_are_rows_rejects_or_a_typed_error(data: bytes) -> None:
    """Pieces of tables in any order end in items, twice the same, no more than there are lines, or in a typed error."""
    try:
        items = read_bytes(CsvTable(), b"a,b\n" + data)
    except ChezError:
        return
    assert items == read_bytes(CsvTable(), b"a,b\n" + data)
    assert sum(isinstance(one, Found | Reject) for one in items) <= data.count(b"\n") + 2


@given(st.lists(st.text("a\u00e9", max_size=12).map(lambda text: text * 8), max_size=9))
@settings(max_examples=tries(60), deadline=None)
def test_a_key_is_given_once_and_a_name_says_how_often(keys: list[str]) -> None:
    """A key is claimed once, however long it is; a name is the hash of what is said, and which of its equals it is."""
    claimed, named, seen = RowKeys(), RowKeys(), list[str]()
    for line, key in enumerate(keys, 1):
        if key in seen:
            with pytest.raises(ValueError, match=f"line {seen.index(key) + 1}$"):
                claimed.claim([key], line)
        else:
            claimed.claim([key], line)
        seen.append(key)
        hashed = hash_fields("chez/1 table row", msgspec.json.encode([key, 1]))[:16].hex()
        assert named.name([key, 1]) == f"row:{hashed}" + (f":{many}" if (many := seen.count(key)) > 1 else "")
    with pytest.raises(ValueError, match="empty"):
        claimed.claim(["a", None], 1)
