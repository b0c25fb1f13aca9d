"""Looks for plaintext in bytes: as it is, and in the encodings in which it could hide."""

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

__all__ = ("Search", "forms", "search")

SHORTEST: Final = 5
"""Bytes of a needle: shorter ones are found by chance in megabytes of random bytes."""
PREFIX: Final = 8
_NONE: Final[Mapping[int, set[bytes]]] = {}


def forms(needle: bytes) -> set[bytes]:
    """The needle as it is, in UTF-16, hexadecimal, and base64 at each of the three alignments."""
    found = {needle, needle.hex().encode(), needle.hex().upper().encode()}
    try:
        found.add(needle.decode().encode("utf-16-le"))
    except UnicodeDecodeError:
        pass
    for shift in range(3):
        # Characters that neighbours share bits with are cut away at both ends.
        usable = needle[(3 - shift) % 3 :]
        usable = usable[: len(usable) // 3 * 3]
        if usable:
            found |= {base64.b64encode(usable), base64.urlsafe_b64encode(usable)}
    return {form for form in found if len(form) >= SHORTEST}


def search(data: bytes, needles: Iterable[bytes]) -> Iterator[bytes]:
    """The forms of needles that occur in `data`."""
    return Search(needles)(data)


class Search:
    """Any number of needles, looked for in one pass over each data; raises ValueError for a short one."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._short: set[bytes] = set()
        self._long: dict[bytes, dict[int, set[bytes]]] = {}
        """Forms by their beginnings, and by their lengths: a thousand may begin alike, as the hours of a month do."""
        for needle in needles:
            if len(needle) < SHORTEST:
                raise ValueError(f"{needle!r} is too short to tell from chance")
            for form in forms(needle):
                if len(form) < PREFIX:
                    self._short.add(form)
                else:
                    self._long.setdefault(form[:PREFIX], {}).setdefault(len(form), set()).add(form)
        self._likely = _likely(self._long)

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """The forms of the needles that occur in `data`."""
        yield from (form for form in self._short if form in data)
        for found in self._likely.finditer(data):
            at = found.start()
            for length, wanted in self._long.get(data[at : at + PREFIX], _NONE).items():
                if (form := data[at : at + length]) in wanted:
                    yield form


def _likely(beginnings: Collection[bytes]) -> re.Pattern[bytes]:
    """Where one of these may stand: at each of its bytes one that some beginning has there.

    Of random bytes that is next to nowhere, so that a hundred megabytes take a second.
    """
    if not beginnings:
        return re.compile(rb"(?!)")
    classes = ({re.escape(one[place : place + 1]) for one in beginnings} for place in range(PREFIX))
    return re.compile(b"(?=" + b"".join(b"[" + b"".join(sorted(one)) + b"]" for one in classes) + b")", re.DOTALL)
