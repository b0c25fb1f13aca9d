"""What is given to a statement is bound as it is, and nobody is asked how."""

from pathlib import Path
from typing import Any

import pytest
import sqlcipher3
from hypothesis import given
from hypothesis import strategies as st

from chez.store.file import connect


class Named(bytes):
    """A kind of bytes of its own."""


@pytest.mark.parametrize("value", [b"", b"\0\xff", None, True, False])
def test_a_home_binds_plain_values_without_asking_anybody(tmp_path: Path, value: bytes | bool | None) -> None:
    """The binding's registry answers for each: before, it raised and dropped two errors to find that nobody did."""
    connect(tmp_path / "chez.db", bytes(32)).close()
    assert sqlcipher3.adapt(value) == value


@given(st.lists(st.binary() | st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text()
                | st.floats(allow_nan=False) | st.builds(Named, st.binary()) | st.builds(bytearray, st.binary()),
                min_size=1, max_size=20))
def test_values_come_back_as_they_were_given(values: list[Any]) -> None:
    """Each by itself and many by one call, in the same type that SQLite has for it."""
    db = connect(":memory:", bytes(32))
    try:
        marks = ", ".join("?" * len(values))
        assert list(db.execute(f"SELECT {marks}", values).fetchone()) == values
        db.execute("CREATE TABLE kept (n INTEGER PRIMARY KEY, value)")
        db.executemany("INSERT INTO kept (value) VALUES (?)", [(value,) for value in values])
        kept = [(value, kind) for value, kind in db.execute("SELECT value, typeof(value) FROM kept ORDER BY n")]
    finally:
        db.close()
    assert [value for value, _ in kept] == values
    assert [kind for _, kind in kept] == [_kind(value) for value in values]


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case int():
            return "integer"
        case float():
            return "real"
        case str():
            return "text"
        case _:
            return "blob"
