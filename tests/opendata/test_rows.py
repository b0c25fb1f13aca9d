"""What an edition is of: rows, the hash of them all, and the ways between two states."""

import resource
import subprocess
import sys
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import StorageFailed
from chez.opendata.errors import DataInvalid
from chez.opendata.rows import (
    MAX_FIELDS,
    MAX_ROW,
    Content,
    Digest,
    Row,
    canonical,
    changes,
    pack_before,
    row_id,
    undone,
)
from tests.tries import tries

MANY = """
import os, random
from chez.opendata.rows import Content, Digest, Row, changes
from chez.opendata import rows as module
from tests.blobs.streaming import peak
module._IN_MEMORY = 8_192  # so that fewer rows show it
noise = random.Random(1)
def rows(count):
    return (Row("open_a", f"{n:06}", b'{"a":"secret name of a street %s"}' % noise.randbytes(200).hex().encode())
            for n in range(count))
def passed(count):
    here, wanted = Content(), Content(rows(count))
    assert sum(1 for _ in changes(here, wanted)) == count == len(wanted) == len(Digest(wanted.after([])))
    return wanted
passed(1_000)
before, wanted, most = peak(), passed(60_000), peak()
files = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
files = [file for file in files if os.path.islink(file) and "(deleted)" in os.readlink(file)]
spilt = [open(file, "rb").read() for file in files]
print(most - before, max(map(len, spilt)), sum(data.count(b"street") for data in spilt))
"""

VALUES = st.dictionaries(st.sampled_from(["a", "b", "name"]), st.one_of(
    st.none(), st.booleans(), st.integers(-2**40, 2**40), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5)), max_size=3)
CONTENTS = st.dictionaries(st.tuples(st.sampled_from(["open_a", "open_b"]), st.sampled_from("pqrs")), VALUES)
Given = dict[tuple[str, str], dict[str, Any]]


def content(rows: Given) -> Content:
    """The content that has these rows."""
    return Content(Row(table, id, canonical(value)) for (table, id), value in rows.items())


@given(CONTENTS, CONTENTS)
@settings(max_examples=tries(50), deadline=None)
def test_changes_lead_from_one_state_to_the_other_and_back(one: Given, other: Given) -> None:
    """The changes between two states make the one the other, what is kept of them leads back, and there are none
    exactly where the hashes are the same."""
    here, wanted = content(one), content(other)
    made = list(changes(here, wanted))
    assert here.with_changes(made).hash == Digest(here.after(made)).hash == Digest(reversed(list(wanted))).hash
    assert here.with_changes(made).hash == wanted.hash
    assert [(row.table, row.id) for row in wanted] == sorted(other) and len(wanted) == len(other)
    assert undone(wanted, pack_before(made)).hash == here.hash
    assert (here.hash == wanted.hash) == (not made)


@given(CONTENTS)
@settings(max_examples=tries(30), deadline=None)
def test_the_hash_is_of_the_rows_and_not_of_their_order(rows: Given) -> None:
    """Rows in any order, and their fields in any order, have one hash."""
    turned = {key: dict(reversed(value.items())) for key, value in reversed(rows.items())}
    assert content(turned).hash == content(rows).hash


@given(st.binary(max_size=200))
@settings(max_examples=tries(50), deadline=None)
def test_what_leads_nowhere_back_is_refused(before: bytes) -> None:
    """Bytes that lead back to no state are a typed error."""
    with pytest.raises(DataInvalid):
        undone(Content(), before)


def test_bombs_and_giants_are_refused() -> None:
    """What unpacks to more than there can be, a row or a table that is too wide, and values that are none of open data
    are refused."""
    bomb = zlib.compress(msgspec.msgpack.encode([("open_a", "p", bytes(1 << 25))]), 9)
    with pytest.raises(DataInvalid):
        undone(Content(), bomb)
    with pytest.raises(DataInvalid, match="bytes"):
        canonical({"a": "x" * MAX_ROW})
    with pytest.raises(DataInvalid, match="fields"):
        Content(Row("open_a", str(n), canonical({f"f{n}": 1})) for n in range(MAX_FIELDS + 1))
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    for json in (b"5", b"null", b"[{}]", b"{"):
        with pytest.raises(DataInvalid, match="leads back"):
            undone(Content(), zlib.compress(msgspec.msgpack.encode([("open_a", "p", json)])))
    for odd in ({"a": object()}, {"a": deep}):
        with pytest.raises(DataInvalid):
            canonical(odd)
    with pytest.raises(DataInvalid, match="one id"):
        Content([Row("open_a", "p", b"{}"), Row("open_a", "p", b"{}")])


def test_a_row_id_follows_from_the_identity() -> None:
    """The same identity gives the same id in any order of its fields, another gives another."""
    assert row_id({"a": 1, "b": "x"}) == row_id({"b": "x", "a": 1}) != row_id({"a": 1, "b": "y"})


def test_a_disk_without_room_is_an_error_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't grow is told as that by whatever touches rows: reading pushes some of them out as well."""
    monkeypatch.setattr("chez.opendata.rows._IN_MEMORY", 512)
    found = Content(Row("open_a", row_id({"id": number}), b'{"a":"%s"}' % (b"x" * 1000)) for number in range(2_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        with pytest.raises(StorageFailed):
            list(found)
        with pytest.raises(StorageFailed):
            for number in range(2_000):
                found.get("open_a", row_id({"id": number}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(list(found)) == len(found)


@pytest.mark.slow
def test_rows_are_not_held_in_memory_nor_written_in_plain() -> None:
    """Of rows of 27 MB a process that compares and hashes them holds a part, and what is on the disk meanwhile has no
    name and no word of them."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True, timeout=240)
    grown, spilt, words = map(int, done.stdout.split())
    assert grown < 18 * 1024  # KiB: the pages that are kept, 32 bytes a row, and one row at a time
    assert spilt > 20_000_000 and words == 0
