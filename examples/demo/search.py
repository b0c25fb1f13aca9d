"""Looks for plaintext in bytes: as it is, and in the encodings in which it could hide."""

import base64
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ("forms", "search")

SHORTEST: Final = 5
"""Bytes of a needle: shorter ones are found by chance in megabytes of random bytes."""
PREFIX: Final = 8


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
    """The forms of needles that occur in `data`; any number of needles in one pass."""
    wanted: dict[bytes, list[bytes]] = {}
    for needle in needles:
        if len(needle) < SHORTEST:
            raise ValueError(f"{needle!r} is too short to tell from chance")
        for form in forms(needle):
            if len(form) < PREFIX:
                if form in data:
                    yield form
            else:
                wanted.setdefault(form[:PREFIX], []).append(form)
    for at in range(len(data) - PREFIX + 1):
        for form in wanted.get(data[at : at + PREFIX], ()):
            if data.startswith(form, at):
                yield form
