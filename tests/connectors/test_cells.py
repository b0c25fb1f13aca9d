"""Rows of tables and lines of files, however a file falls into blocks."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.connectors import Item, Progress, Reject, line_blocks
from chez.connectors import cells as table_cells
from chez.connectors.cells import Cells, Dialect, cells
from chez.connectors.lines import Line, lines

HOSTILE = st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r\n", b"\r", b"\0", b"\xe9", b"\xc3\xa9", b" "]),
                   max_size=80).map(b"".join)
BLOCKS = st.sampled_from([1, 3, 16, 10_000])


def rows_of(data: bytes, block: int, **limits: int) -> list[Cells | Reject]:
    """What the rows of a table are, the file read in blocks of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "BLOCK", block)
        for name, value in limits.items():
            patch.setattr(table_cells, name, value)
        return [one for one in cells(io.BytesIO(data), Dialect(",", "utf-8")) if not isinstance(one, Progress)]


@given(st.lists(st.lists(st.text('ab,"\n é', max_size=8), min_size=2, max_size=3), max_size=6),
       st.sampled_from(["\n", "\r\n"]), BLOCKS)
def test_what_csv_writes_is_read(table: list[list[str]], end: str, block: int) -> None:
    """Rows that were written with the quotes they need come back as they were, in whatever blocks."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(table)
    found = rows_of(text.getvalue().encode(), block)
    assert [one.values for one in found if isinstance(one, Cells)] == [row for row in table if any(map(str.strip, row))]
    assert len(found) == sum(isinstance(one, Cells) for one in found)


@given(HOSTILE, BLOCKS)
def test_the_cheap_ways_read_what_row_by_row_gives(data: bytes, block: int) -> None:
    """Whatever the bytes, rows split in one go are those that are read one by one, and so are the rejects."""
    limits = {"MAX_LINES": 3, "MAX_RECORD": 40}
    assert rows_of(data, block, **limits) == rows_of(data, 10_000, MAX_TRIES=0, **limits)


@given(HOSTILE, BLOCKS)
def test_lines_do_not_depend_on_blocks(data: bytes, block: int) -> None:
    """Each line that is no blank is told with its number, or rejected, in whatever blocks the file is read."""
    def read() -> list[Item | Line]:
        return [one for one in lines(io.BytesIO(data)) if not isinstance(one, Progress)]

    expected = [(number, raw) for number, raw in enumerate(data.split(b"\n"), 1) if raw.strip(b"\r\n \t")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "BLOCK", block)
        found = read()
    assert [one.number if isinstance(one, Line) else one.line for one in found] == [number for number, _ in expected]
    for one, (_, raw) in zip(found, expected, strict=True):
        assert isinstance(one, Reject) or one.text.encode() == raw.strip(b"\r\n \t")
