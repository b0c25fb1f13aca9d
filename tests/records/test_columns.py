"""Changes that claim more operations than they have bytes for are refused before they are loaded."""

import hashlib

import pytest

from chez.records import automerge
from chez.records.automerge import BadChange
from chez.records.columns import MAX_OPERATIONS
from chez.records.diff import write_difference
from chez.records.encode import _MAGIC, _run, _sleb, _uleb


def _bomb(count: int) -> bytes:
    """A valid change of `count` operations on one key, in under a hundred bytes."""
    columns = [(0x15, _sleb(count) + _uleb(1) + b"a"), (0x34, _uleb(count)), (0x42, _run(1, count)),
               (0x56, _run(0, count)), (0x70, _run(0, count))]
    body = b"".join((_uleb(0), _uleb(32), b"a" * 32, _uleb(1), _uleb(1), b"\0\0\0", _uleb(len(columns)),
                     *[_uleb(id) + _uleb(len(data)) for id, data in columns], *[data for _, data in columns]))
    tail = b"\1" + _uleb(len(body)) + body
    return _MAGIC + hashlib.sha256(tail).digest()[:4] + tail


@pytest.mark.parametrize("count", [MAX_OPERATIONS + 1, 10_000_000, 2**40, 2**62])
def test_a_run_length_bomb_is_refused(count: int) -> None:
    """Under a hundred bytes that claim millions of operations never reach the document library."""
    bomb = _bomb(count)
    assert len(bomb) < 120
    with pytest.raises(BadChange, match="operations"):
        automerge.read_change(bomb)


def test_what_is_not_a_bomb_is_read() -> None:
    """The same change with a few operations is read and loaded; so are large honest edits."""
    assert automerge.read_change(_bomb(3)).sequence == 1
    automerge.load(_bomb(3), b"b" * 32)
    document = automerge.new(b"a" * 32)
    value = {"list": list(range(20_000)), "same": [0] * 5_000, "text": ["é" * 10] * 300, "nested": {"a": [{"b": None}]}}
    change = write_difference(document, {}, value)
    assert change is not None
    assert automerge.read_change(change).bytes == change
