"""The elements of arrays in a JSON file, one at a time: memory is that of some elements, however long the array.

The keys that lead to an array are followed token by token, strictly. In the array most of what was read is a run of
whole elements that begin alike: a parser in C tells them apart, and makes values of them, in one call. What it does not
take, it takes nothing of: then an element is cut at its last bracket, and parsed by itself.

What is bounded: the bytes of an element (`MAX_ELEMENT`), its values (`MAX_VALUES`), its depth, and that of the file. An
element beyond that, or whose bytes are no JSON, is a `Reject`, and reading goes on after it. A longer text is nowhere
gathered. Source: RFC 8259.

`objects` is another streamer, on purpose: it cuts a file at one depth, whatever the keys that lead there, drops all
that is no object, and so outlives what is broken around them. Here the keys matter, values beside the arrays are
wanted, an element that is no object is told of, and what is no JSON around the elements ends the file.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import Progress, Reject, excerpt
from chez.connectors.json_bytes import MAX_ELEMENT, JsonBytes, TooLong, is_low, values_in
from chez.errors import InvalidValue

__all__ = ("MAX_DEPTH", "MAX_VALUES", "Element", "Named", "elements")

MAX_VALUES: Final = 20_000
"""Values in one element, as values, keys and ends: the outline of a large district."""

MAX_DEPTH: Final = 24
"""Objects and arrays inside each other: around the arrays, and in an element."""

RUNS: Final = 2
"""How often a run is looked for in what was read: each time costs all its bytes."""

KEY: Final = re.compile(rb'\{[ \t\n\r]{0,64}"[^"\\]{0,64}"')
"""How an element begins that may be followed by others that begin so."""

SCALAR: Final = re.compile(rb"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null)")

_TOO_DEEP: Final = f"it is nested more than {MAX_DEPTH} deep"
_TOO_MANY: Final = f"it has more than {MAX_VALUES} values"
_TOO_LONG: Final = f"it is longer than {MAX_ELEMENT} bytes"
_MISPLACED: Final = "there is something that can't stand where it stands"
_ENDS: Final = "it ends too early"
_CUT: Final = tuple(b'{["')
_BAD_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

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


def elements(file: BinaryIO, arrays: Collection[Path],
             kind: Any = Any) -> Iterator[Element | Named | Reject | Progress]:
    """The elements of the arrays at these paths, and the plain values outside of them, in the order of the file.

    `kind` is a type of which most elements are: such a one comes as that, for a fraction of the cost, any other one as
    what JSON says. Both are to be handled, for which comes depends on the elements that stand beside it.

    Raises `InvalidValue` for what is no JSON, or nested too deep, before any element came; later it is a `Reject`.
    """
    source = JsonBytes(file)
    reader = _Reader(source, arrays, kind)
    try:
        yield from reader.document()
    except ValueError as error:
        if not reader.number:
            raise InvalidValue(f"the file is not JSON that can be read: {error}",
                               "Download it again from the service.") from None
        yield Reject(reader.number + 1, f"the file breaks here: {error}", "")
    yield Progress(source.done)


class _Reader:
    """Where in the document reading is, and how many elements there were."""

    __slots__ = ("_any", "_arrays", "_separator", "_source", "_told", "_typed", "number")

    def __init__(self, source: JsonBytes, arrays: Collection[Path], kind: Any) -> None:
        self.number = 0
        self._source = source
        self._arrays = arrays
        self._any = msgspec.json.Decoder(list[Any])
        self._typed = self._any if kind is Any else msgspec.json.Decoder(list[kind])
        self._separator = b""
        self._told = 0

    def document(self) -> Iterator[Element | Named | Reject | Progress]:
        """All of the file. Raises `ValueError` where it is no JSON, or ends."""
        source = self._source
        # For each open object or array the key by which it stands in the one around it, and how it is closed.
        at: list[str | None] = []
        ends: list[int] = []
        key: str | None = None
        while True:
            byte = source.peek()
            if byte == 0x7B or byte == 0x5B:
                at.append(key)
                ends.append(byte + 2)
                key = None
                if len(at) > MAX_DEPTH:
                    raise ValueError(_TOO_DEEP)
                source.at += 1
                if byte == 0x5B and tuple(one for one in at if one is not None) in self._arrays:
                    yield from self._array()
                    at.pop()
                    ends.pop()
                elif source.peek() != byte + 2:
                    key = self._key() if byte == 0x7B else None
                    continue
            else:
                try:
                    named = self._plain()
                    if key is not None:
                        yield Named((*(one for one in at if one is not None), key), named)
                except TooLong as error:
                    yield Reject(max(1, self.number), f"{error}: it is not read", "")
            while ends and source.peek() == ends[-1]:
                source.at += 1
                at.pop()
                ends.pop()
            if source.done != self._told:
                yield self._progress()
            if not ends:
                if source.peek() >= 0:
                    raise ValueError(_MISPLACED)
                return
            if source.peek() != 0x2C:
                raise ValueError(_ENDS if source.peek() < 0 else _MISPLACED)
            source.at += 1
            key = self._key() if ends[-1] == 0x7D else None

    def _progress(self) -> Progress:
        self._told = self._source.done
        return Progress(self._told)

    def _key(self) -> str:
        """The name that is next, and the colon after it."""
        if self._source.peek() != 0x22:
            raise ValueError(_ENDS if self._source.peek() < 0 else _MISPLACED)
        key: str = self._plain()
        if self._source.peek() != 0x3A:
            raise ValueError(_ENDS if self._source.peek() < 0 else _MISPLACED)
        self._source.at += 1
        return key

    def _plain(self) -> Any:
        """The text, the number or the word that is next."""
        byte = self._source.peek()
        try:
            (value,) = self._any.decode(b"[%b]" % (self._source.value() if byte == 0x22 else self._bare()))
        except _BAD_JSON as error:
            raise ValueError(excerpt(str(error))) from None
        return value

    def _bare(self) -> bytes:
        token = self._source.bare()
        if not SCALAR.fullmatch(token):
            raise ValueError(_MISPLACED if token or self._source.peek() >= 0 else _ENDS)
        return token

    # --- the elements of one array ---

    def _array(self) -> Iterator[Element | Reject | Progress]:
        """From behind its first bracket to behind its last one."""
        source, runs, seen = self._source, 0, 0
        if source.peek() == 0x5D:
            source.at += 1
            return
        while True:
            if source.done != seen:
                runs, seen = 0, source.done
            values: list[Any] = []
            if runs < RUNS and self._separator:
                runs += 1
                values = self._run()
                yield from map(Element, count(self.number + 1), values)
                self.number += len(values)
            if source.done != self._told:
                yield self._progress()
            if not values:
                yield self._one()
            if not self._goes_on():
                return

    def _goes_on(self) -> bool:
        """Past the comma after an element; False past the end of the array."""
        source = self._source
        byte = source.peek()
        if byte != 0x2C and byte != 0x5D:
            raise ValueError(_ENDS if byte < 0 else _MISPLACED)
        begin, done = source.at, source.done
        source.at += 1
        if byte == 0x2C:
            source.peek()
            if source.done == done:
                self._separator = source.data[begin:source.at]
        return byte == 0x2C

    def _one(self) -> Element | Reject:
        """The next element, cut out by itself."""
        byte = self._source.peek()
        if byte < 0:
            raise ValueError(_ENDS)
        try:
            data = self._source.value() if byte in _CUT else self._bare()
        except TooLong:
            self.number += 1
            return Reject(self.number, _TOO_LONG, "")
        self.number += 1
        made = self._made(data)
        return Reject(self.number, made, "") if isinstance(made, str) else Element(self.number, *made)

    def _made(self, data: bytes) -> list[Any] | str:
        """The value of an element, or why it is none."""
        if len(data) > MAX_VALUES and values_in(data) > MAX_VALUES:
            return _TOO_MANY
        data = b"[%b]" % data
        try:
            values = self._decoded(data)
        except _BAD_JSON as error:
            return f"it is no JSON that can be read: {excerpt(str(error))}"
        return values if is_low(data, MAX_DEPTH + 1) else _TOO_DEEP

    def _decoded(self, data: bytes) -> list[Any]:
        try:
            return self._typed.decode(data)
        except msgspec.ValidationError:
            return self._any.decode(data)

    def _run(self) -> list[Any]:
        """The elements from here to the last one that begins as the first does, if a parser says that this is what
        they are; none otherwise.
        """
        source = self._source
        data, begin = source.data, source.at
        found = KEY.match(data, begin)
        last = -1 if found is None else data.rfind(self._separator + found[0], found.end())
        end = data.rfind(b"}", begin, last) + 1 if last >= 0 else 0
        if not end:
            return []
        run = b"[%b]" % data[begin:end]
        # No element can have more values than all have brackets, commas and colons.
        if sum(map(run.count, (b",", b":", b"{", b"[", b"{", b"["))) > MAX_VALUES:
            return []
        try:
            values = self._decoded(run)
        except _BAD_JSON:
            return []
        if not is_low(run, MAX_DEPTH + 1):
            return []
        source.at = end
        return values
