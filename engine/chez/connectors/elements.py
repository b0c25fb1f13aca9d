"""The elements of arrays in a JSON file, one at a time: memory is that of one element, however long the array.

What is bounded: the values of an element (`MAX_VALUES`), its depth, and the depth of the file. An element beyond that
is a `Reject`, and reading goes on after it. Text and numbers are ijson's, which reads in C; a single string may be as
long as the file. Source: RFC 8259.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from chez.connectors.api import Progress, Reject
from chez.errors import InvalidValue

__all__ = ("MAX_VALUES", "Element", "Named", "elements")

MAX_VALUES: Final = 20_000
"""Values in one element: the outline of a large district."""

MAX_DEPTH: Final = 24
"""Objects and arrays inside each other, in an element and around it."""

PROGRESS_ELEMENTS: Final = 256

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Element:
    """One element, and its number in the array from 1."""

    number: int
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Named:
    """A value beside the arrays: the keys that lead to it."""

    path: Path
    value: Any = field(repr=False)


class _Builder:
    """One element while it is read."""

    def __init__(self) -> None:
        self.value: Any = None
        self.count = 0
        self.depth = 0
        self._open: list[Any] = []
        self._key = ""

    @property
    def over(self) -> bool:
        """Whether it is more than an element may be: then its rest is counted, and not kept."""
        return self.count > MAX_VALUES

    def event(self, kind: str, value: Any) -> bool:
        """Take one event in; whether the element ended with it."""
        self.count += 1
        if kind in ("end_map", "end_array"):
            self.depth -= 1
            if not self.over:
                self._open.pop()
            return not self.depth
        if kind == "map_key":
            self._key = value
            return False
        made: Any = {} if kind == "start_map" else [] if kind == "start_array" else value
        opens = kind in ("start_map", "start_array")
        self.depth += opens
        if not self.over:
            self._put(made)
            if opens:
                self._open.append(made)
        return not self.depth

    def _put(self, made: Any) -> None:
        if not self._open:
            self.value = made
        elif isinstance(self._open[-1], list):
            self._open[-1].append(made)
        else:
            self._open[-1][self._key] = made


def elements(file: BinaryIO, arrays: Collection[Path]) -> Iterator[Element | Named | Reject | Progress]:
    """The elements of the arrays at these paths, and the plain values outside of them, in the order of the file.

    Raises `InvalidValue` for what is no JSON, or nested too deep, before any element came; later it is a `Reject`.
    """
    import ijson

    number = 0
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    try:
        for one in _read(ijson.basic_parse(file, use_float=True), arrays):
            if isinstance(one, Element | Reject):
                number += 1
                if number % PROGRESS_ELEMENTS == 0:
                    yield Progress(file.tell())
            yield one
    except (ijson.common.JSONError, ValueError, RecursionError, OverflowError) as error:
        if not number:
            raise InvalidValue(f"the file is not JSON that can be read: {_why(error)}",
                               "Download it again from the service.") from None
        yield Reject(number + 1, f"the file breaks here: {_why(error)}", "")
    yield Progress(file.tell())


def _why(error: Exception) -> str:
    lines = (line for line in str(error).splitlines() if line.isprintable() and line.strip())
    return next(lines, "it ends too early")[:80]


def _read(events: Iterable[tuple[str, Any]], arrays: Collection[Path]) -> Iterator[Element | Named | Reject]:
    # Where we are: for each open object or array the key by which it stands in the one around it.
    at: list[str | None] = []
    key: str | None = None
    inside, number = 0, 0
    builder: _Builder | None = None
    for kind, value in events:
        if builder is None and inside and len(at) == inside and kind != "end_array":
            builder, number = _Builder(), number + 1
        if builder is not None:
            if len(at) + builder.depth > MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
            if builder.event(kind, value):
                yield (Reject(number, f"it has more than {MAX_VALUES} values", "") if builder.over
                       else Element(number, builder.value))
                builder = None
        elif kind == "map_key":
            key = value
        elif kind in ("start_map", "start_array"):
            at.append(key)
            if len(at) > MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
            if kind == "start_array" and tuple(one for one in at if one is not None) in arrays and not inside:
                inside = len(at)
            key = None
        elif kind in ("end_map", "end_array"):
            if len(at) == inside:
                inside = 0
            at.pop()
            key = None
        elif key is not None:
            yield Named((*(one for one in at if one is not None), key), value)
