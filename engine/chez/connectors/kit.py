"""The acceptance suite of connectors: what each must pass, called from its own tests.

    SAMPLE = kit.table(EXPORT.read_bytes(), head=1)

    @pytest.mark.parametrize("check", kit.CHECKS, ids=lambda check: check.__name__)
    def test_it_keeps_the_promises(check):
        check(MyConnector(), SAMPLE)

Each check reads a `Sample` and raises `KitFailed`, which says what was promised and what came.
None uses a clock: linear time is a count of calls, and bounded memory is what Python holds.
A check that a sample has nothing for (two exports that overlap, a damaged row, a file of any
size) passes over it; `table` makes all of them for formats of one row a line.

`hostile` needs the package hypothesis.
"""

import gc
import io
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import msgspec

from chez.connectors.api import HEAD_BYTES, MAX_EXCERPT, Connector, Found, Item, Progress, Reject, Source
from chez.connectors.archive import is_archive
from chez.connectors.frames import MAX_RECORD, kind_of, kinds_of
from chez.connectors.registry import recognise_open, registered
from chez.connectors.walled import WalledReading
from chez.errors import ChezError
from chez.records.types import collection_of, identity_of
from chez.records.values import check_value

__all__ = (
    "CHECKS", "DEAR", "Check", "KitFailed", "Sample", "behind_walls", "broken_rows_cost_themselves", "hostile",
    "is_registered", "items_of", "linear", "memory_is_bounded", "overlapping_exports_merge", "reads_twice_the_same",
    "table",
)

CALLS_SPARE: Final = 2000
"""Calls that reading may take whatever the file: imports, tables, a header."""

MEMORY_SPARE: Final = 128 * 1024
"""Bytes by which a larger file's reading may exceed twice a smaller one's."""


class KitFailed(AssertionError):
    """A connector does not keep a promise."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A file of a connector's format, and what is known of it.

    `parts` are two exports that overlap and together say what `data` says. `damaged` is `data`
    with some rows made unreadable, as many as `lost`. `grown(n)` is a file of about n rows.
    `named` says that the format has a part of what it says in the file's name alone.
    """

    data: bytes = field(repr=False)
    name: str = "export"
    parts: tuple[bytes, bytes] | None = field(default=None, repr=False)
    damaged: bytes | None = field(default=None, repr=False)
    lost: int = 1
    grown: Callable[[int], bytes] | None = field(default=None, repr=False)
    named: bool = False


Check = Callable[[Connector, Sample], None]
"""Raises `KitFailed`."""


def table(data: bytes, name: str = "export", *, head: int = 0, junk: bytes = b"\x00?;<no row>") -> Sample:
    """A sample of a format of one row a line after `head` lines, with parts, a damaged row, and growth."""
    lines = data.splitlines(keepends=True)
    top, rows = b"".join(lines[:head]), lines[head:]
    third, end = len(rows) // 3, b"\r\n" if b"\r\n" in data else b"\n"
    middle = len(rows) // 2
    damaged = [*rows[:middle], junk + end, *rows[middle + 1 :]]
    return Sample(
        data, name, (top + b"".join(rows[: 2 * third]), top + b"".join(rows[third:])), top + b"".join(damaged), 1,
        lambda n: top + b"".join(islice(cycle(rows), n)))


def items_of(connector: Connector, data: bytes, name: str = "export") -> list[Item]:
    """What a connector says of these bytes."""
    return list(connector.read(io.BytesIO(data), Source(name, bytes(32), len(data))))


# --- the checks ----------------------------------------------------------------------------


def is_registered(connector: Connector, sample: Sample) -> None:
    """It is found by its entry point, has a plain name and a version, and is the one that knows the sample."""
    plain = connector.name.replace("-", "").isalnum() and connector.name == connector.name.lower()
    _hold(plain and connector.name.isascii(), f"a name has lower-case letters, digits and -: {connector.name!r}")
    _hold(isinstance(connector.version, int) and connector.version >= 1, "a version is a number from 1")
    _hold(bool(connector.title) and connector.title.isprintable(), "a title can be shown")
    _hold(connector.name in {one.connector.name for one in registered()}, "it is found by an entry point")
    _hold(bool(kinds_of(connector)), "the types of its records are declared in `types`")
    source = Source(sample.name, bytes(32), len(sample.data))
    try:
        chosen = recognise_open(io.BytesIO(sample.data), source)
    except ChezError as error:
        raise KitFailed(f"it knows its sample; said was: {error}") from error
    _hold(chosen.name == connector.name, f"it knows its sample, which {chosen.name!r} took")


def reads_twice_the_same(connector: Connector, sample: Sample) -> None:
    """Equal items in the same order each time, each of them sound, and at least one record."""
    items = items_of(connector, sample.data, sample.name)
    for item in items:
        _sound(connector, item, len(sample.data))
    done = [item.done for item in items if isinstance(item, Progress)]
    _hold(done == sorted(done), "progress only rises")
    _hold(bool(_records(connector, sample.data)), "the sample has a record")
    _hold(items == items_of(connector, sample.data, sample.name), "reading twice gives equal items")
    _hold(sample.named or _records(connector, sample.data) == _records(connector, sample.data, "another name"),
          "what a record is does not depend on the file's name")


def overlapping_exports_merge(connector: Connector, sample: Sample) -> None:
    """Two exports that overlap make the records that the whole export makes, each once, whichever comes first."""
    if sample.parts is None:
        return
    first, second = (_records(connector, part) for part in sample.parts)
    whole = _records(connector, sample.data)
    _hold(bool(first.keys() & second.keys()), "overlapping exports merge; the two parts share no record")
    _hold((first | second).keys() == whole.keys(),
          f"overlapping exports merge; beside the whole: {sorted((first | second).keys() ^ whole.keys())[:3]}")
    different = [key for key in first.keys() & second.keys() if first[key] != second[key]]
    _hold(not different, f"both exports say the same of what they share; not of {different[:3]}")


def broken_rows_cost_themselves(connector: Connector, sample: Sample) -> None:
    """A damaged row is a reject with its line and reason, and every other record is there as before."""
    if sample.damaged is None:
        return
    items = items_of(connector, sample.damaged, sample.name)
    for item in items:
        _sound(connector, item, len(sample.damaged))
    before = sum(isinstance(item, Reject) for item in items_of(connector, sample.data, sample.name))
    _hold(sum(isinstance(item, Reject) for item in items) > before, "a damaged row is a reject")
    whole, left = _records(connector, sample.data), _records(connector, sample.damaged)
    missing = whole.keys() - left.keys()
    _hold(len(missing) <= sample.lost, f"a damaged row costs itself; missing are {sorted(missing)[:5]}")


def linear(connector: Connector, sample: Sample) -> None:
    """The second half of a file takes twice the calls that the quarter before it took."""
    if sample.grown is None:
        return
    files = [sample.grown(rows) for rows in (100, 200, 400)]
    _calls(connector, files[0])  # what is imported or built once is not counted
    first, second, third = (_calls(connector, file) for file in files)
    share = (len(files[2]) - len(files[1])) / (len(files[1]) - len(files[0]))
    _hold(third - second <= (second - first) * share * 1.25 + CALLS_SPARE,
          f"time is linear; files of {', '.join(f'{len(file):,}' for file in files)} bytes took {first:,}, {second:,} "
          f"and {third:,} calls")


def memory_is_bounded(connector: Connector, sample: Sample) -> None:
    """Reading holds no more of a file of 2,000 rows than of one of 500."""
    if sample.grown is None:
        return
    small, large = sample.grown(500), sample.grown(2000)
    _held(connector, small[: len(small) // 10])
    first, second = _held(connector, small), _held(connector, large)
    _hold(second <= first * 2 + MEMORY_SPARE,
          f"memory is bounded; {len(small):,} bytes held {first:,}, {len(large):,} bytes held {second:,}")


def behind_walls(connector: Connector, sample: Sample) -> None:
    """In the walled process, which opens no file and imports nothing, the same items come."""
    with tempfile.TemporaryFile() as file:
        file.write(sample.data)
        file.flush()
        file.seek(0)
        source = Source(sample.name, bytes(32), len(sample.data))
        try:
            with WalledReading(connector, file, source) as reading:
                items = list(reading)
        except ChezError as error:
            raise KitFailed(f"reading behind walls works as in the open; said was: {error}") from error
    _hold(items == items_of(connector, sample.data, sample.name), "reading behind walls gives the same items")


CHECKS: Final[tuple[Check, ...]] = (
    is_registered, reads_twice_the_same, overlapping_exports_merge, broken_rows_cost_themselves, linear,
)
"""Milliseconds each."""

DEAR: Final[tuple[Check, ...]] = (memory_is_bounded, behind_walls)
"""A second or so each."""


def hostile(connector: Connector, seeds: Sequence[bytes], pieces: Sequence[bytes] = (), *, examples: int = 100) -> None:
    """Seeds with parts cut, repeated, moved and inserted end in sound items or a `ChezError`, twice the same.

    `pieces` are inserted: what the format's own syntax is made of. Raises what a connector raises
    that it should not, with the bytes that made it; `ModuleNotFoundError` without hypothesis.
    """
    from hypothesis import HealthCheck, given, note, settings
    from hypothesis import strategies as st

    @given(st.data())
    @settings(max_examples=examples, deadline=None, report_multiple_bugs=False,
              suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no flaw of the connector's
    def attack(draw: st.DataObject) -> None:
        data = bytearray(draw.draw(st.sampled_from(list(seeds))))
        for _ in range(draw.draw(st.integers(0, 12))):
            at = draw.draw(st.integers(0, len(data)))
            to = min(len(data), at + draw.draw(st.integers(0, 40)))
            match draw.draw(st.integers(0, 3)):
                case 0 if pieces:
                    data[at:to] = draw.draw(st.sampled_from(list(pieces)))
                case 1:
                    data[at:at] = data[at:to] * 3
                case 2:
                    data[at:to] = draw.draw(st.binary(max_size=8))
                case _:
                    del data[at:to]
        note(repr(bytes(data)))
        _survives(connector, bytes(data))

    attack()


def _survives(connector: Connector, data: bytes) -> None:
    connector.recognise(data[:HEAD_BYTES], "export")
    try:
        items = items_of(connector, data)
    except ChezError as error:
        _hold(error.message.isprintable(), "what an error says can be shown")
        return
    _hold(items == items_of(connector, data), "reading twice gives equal items")
    # Every syntax marks a row or a field by one of these: items are no more than that.
    most = 4 + sum(map(data.count, (b"\n", b"\r"))) + 4 * sum(map(data.count, (b"<", b"{", b"[")))
    _hold(is_archive(data) or len(items) <= most, f"{len(data)} bytes hold no {len(items)} items")
    for item in items:
        _sound(connector, item, len(data))


# --- what they share -----------------------------------------------------------------------


def _hold(kept: bool, promise: str) -> None:
    if not kept:
        raise KitFailed(promise)


def _sound(connector: Connector, item: Item, size: int) -> None:
    """One item is what it should be, and what a store can keep."""
    if isinstance(item, Progress):
        _hold(0 <= item.done <= size, f"progress is within the file: {item.done} of {size}")
    elif isinstance(item, Reject):
        _hold(item.line >= 1 and bool(item.reason), f"a reject has a line and a reason: {item}")
        _hold((item.reason + item.text + item.member).isprintable(), f"a reject can be shown: {item}")
        _hold(len(item.text) <= MAX_EXCERPT, "a reject shows the beginning of a row (`excerpt`)")
    else:
        _hold(item.row >= 1, "a record has a row")
        kind = type(item.record)
        _hold(kind_of(kind) in kinds_of(connector), f"a record's type is declared in `types`: {kind}")
        _hold(any(identity_of(item.record)), f"a {kind.__name__} has an identity")
        data = msgspec.msgpack.encode(item.record)
        _hold(len(data) <= MAX_RECORD, f"a record has at most {MAX_RECORD:,} bytes")
        _hold(msgspec.msgpack.decode(data, type=kind) == item.record, f"a {kind.__name__} is what its type says")
        check_value(msgspec.to_builtins(item.record, builtin_types=(bytes,)))


def _records(connector: Connector, data: bytes, name: str = "export") -> dict[tuple[str, ...], msgspec.Struct]:
    """The records as a home would have them: by collection and identity, the last one of each."""
    return {(collection_of(type(item.record)), *identity_of(item.record)): item.record
            for item in items_of(connector, data, name) if isinstance(item, Found)}


def _calls(connector: Connector, data: bytes) -> int:
    """How many functions are called while these bytes are read."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    source, before = Source("export", bytes(32), len(data)), sys.getprofile()
    sys.setprofile(note)
    try:
        for _ in connector.read(io.BytesIO(data), source):
            pass
    finally:
        sys.setprofile(before)
    return count


def _held(connector: Connector, data: bytes) -> int:
    """The most bytes that are held at once while a file with these bytes is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export")
        path.write_bytes(data)
        source = Source("export", bytes(32), len(data))
        del data
        gc.collect()
        tracemalloc.start()
        try:
            with path.open("rb") as file:
                for _ in _each(connector.read(file, source)):
                    pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def _each(items: Iterator[Item]) -> Iterator[Item]:
    """The items of a growing file, which may end in an error: a header that comes twice, say."""
    try:
        yield from items
    except ChezError:
        return
