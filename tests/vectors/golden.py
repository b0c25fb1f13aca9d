"""Golden files, and the ways in which a byte of them goes wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ("flips", "golden", "survivors")


def golden(name: str) -> Any:
    """The vectors of a file beside this one."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text())


def flips(data: bytes) -> Iterator[bytes]:
    """The bytes with each one changed in turn, in its lowest and its highest bit."""
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            yield data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]


def survivors(parse: Callable[[bytes], object], data: bytes, *refusals: type[Exception]) -> list[bytes]:
    """Which of the flips a parser takes; it may refuse the others with these errors alone."""
    taken = []
    for flipped in flips(data):
        try:
            parse(flipped)
        except refusals:
            continue
        taken.append(flipped)
    return taken
