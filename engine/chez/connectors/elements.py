"""The elements of arrays in a JSON file, one at a time: memory is that of one element, however long the array.

What is bounded: the values of an element (`MAX_VALUES`), its depth, and the depth of the file. An element beyond that
is a `Reject`, and reading goes on after it. Text and numbers are ijson's, which reads in C; a single string may be as
long as the file. Source: RFC 8259.

`objects` is another streamer, on purpose: it cuts a file at one depth, whatever the keys that lead there, drops all
that is no object, and so outlives a broken object. Here the keys matter, values beside the arrays are wanted, an
element that is no object is told of, and what is no JSON ends the file.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import Progress, Reject
from chez.errors import InvalidValue

__all__ = ("MAX_VALUES", "Element", "Named", "elements")

MAX_VALUES: Final = 20_000
"""Values in one element: the outline of a large district."""

MAX_DEPTH: Final = 24
"""Objects and arrays inside each other, in an element and around it."""

_TOO_DEEP: Final = f"it is nested more than {MAX_DEPTH} deep"
PROGRESS_ELEMENTS: Final = 256

Path = tuple[str, ...]


class Element(msgspec.Struct, frozen=True):
    """One element, and its number in the array from 1."""

    number: int
    value: Any

    def __repr__(self) -> str:
        return f"Element(number={self.number})"


@dataclass(frozen=True, slots=True)
class Named:
    """A value beside the arrays: the keys that lead to it."""

    path: Path
    value: Any = field(repr=False)


def elements(file: BinaryIO, arrays: Collection[Path]) -> Iterator[Element | Named | Reject | Progress]:
    """The elements of the arrays at these paths, and the plain values outside of them, in the order of the file.

    Raises `InvalidValue` for what is no JSON, or nested too deep, before any element came; later it is a `Reject`.
    """
    import ijson

    number = 0
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    try:
        for one in _read(iter(ijson.basic_parse(file, use_float=True)), arrays):
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


def _read(events: Iterator[tuple[str, Any]], arrays: Collection[Path]) -> Iterator[Element | Named | Reject]:
    # Where we are: for each open object or array the key by which it stands in the one around it.
    at: list[str | None] = []
    key: str | None = None
    inside, number = 0, 0
    for kind, value in events:
        if inside and len(at) == inside and kind != "end_array":
            number += 1
            made, count = _built(events, kind, value, MAX_DEPTH - inside)
            yield (Reject(number, f"it has more than {MAX_VALUES} values", "") if count > MAX_VALUES
                   else Element(number, made))
        elif kind == "map_key":
            key = value
        elif kind in ("start_map", "start_array"):
            at.append(key)
            if len(at) > MAX_DEPTH:
                raise ValueError(_TOO_DEEP)
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


def _built(events: Iterator[tuple[str, Any]], kind: str, value: Any, deepest: int) -> tuple[Any, int]:
    """The element that begins with this event, and of how many events it is: what is beyond `MAX_VALUES` is counted,
    and not kept.
    """
    if kind not in ("start_map", "start_array"):
        return value, 1
    inner: Any = {} if kind == "start_map" else []
    opened, key, count = [inner], "", 1
    for kind, value in events:
        count += 1
        if kind == "map_key":
            key = value
            continue
        if kind == "end_map" or kind == "end_array":
            made = opened.pop()
            if not opened:
                return made, count
            inner = opened[-1]
            continue
        one = {} if kind == "start_map" else [] if kind == "start_array" else value
        if count <= MAX_VALUES:
            if type(inner) is dict:
                inner[key] = one
            else:
                inner.append(one)
        if kind == "start_map" or kind == "start_array":
            opened.append(one)
            inner = one
            if len(opened) > deepest:
                raise ValueError(_TOO_DEEP)
    raise ValueError("it ends too early")
