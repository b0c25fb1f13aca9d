"""Whose a followed space is when its publisher has a new key; no I/O.

A space is known by the key that signed it when it was added. What the person's devices saw of how keys went on is noted
beside what they follow, and whose a space is now follows from all of that and from what the space itself tells
(`chez.succession`), on each device alike. What is noted of one space counts for the others: who has a former key, and
no more than that, comes with a catalogue of its own, and is told from the publisher by what the publisher's says.

Where a key signed two successors nothing is relied on until the person says by its words which of them goes on, or
follows no more what only the other has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from chez.errors import InvalidValue
from chez.opendata.editions import Chain, invalid
from chez.opendata.errors import DataContested
from chez.opendata.keys import key_words
from chez.succession import Line, Succession, check_chain, follow

__all__ = ("NOTHING", "Known", "check_key", "known_of", "line_of", "noted")


@dataclass(frozen=True, slots=True)
class Known:
    """What the person's devices noted of publishers' keys: how they went on, and which the person said are right."""

    said: frozenset[Succession] = frozenset()
    chosen: frozenset[bytes] = frozenset()


NOTHING = Known()
"""What is known of no key."""


def known_of(kept: Iterable[Mapping[str, Any]]) -> Known:
    """What was noted beside all that is followed. What is not readable, or signed, counts for nothing."""
    said, chosen = set[Succession](), set[bytes]()
    for value in kept:
        found = value.get("successions")
        said |= {one for one in map(_read, found.values() if isinstance(found, dict) else ()) if one is not None}
        if isinstance(key := value.get("chosen"), bytes):
            chosen.add(key)
    return Known(frozenset(said), frozenset(chosen))


def noted(said: Iterable[Succession]) -> dict[str, bytes]:
    """Statements as they are noted, by the keys that they lead from and to."""
    return {f"{one.old.hex()}-{one.new.hex()}": msgspec.msgpack.encode(one) for one in said}


def _read(body: object) -> Succession | None:
    try:
        one = msgspec.msgpack.decode(body, type=Succession) if isinstance(body, bytes) else None
        if one is not None:
            check_chain("publisher", [one], one.new)
    except (msgspec.DecodeError, InvalidValue):
        return None
    return one


def line_of(chain: Chain, first: str, known: Known) -> Line:
    """How the key that a space was added with (hexadecimal; empty: it was not yet) went on, as far as is known.

    Of two that claim to go on, the one counts which the person chose. Raises `DataInvalid` for a key that is none.
    """
    try:
        origin = bytes.fromhex(first)
    except ValueError:
        raise invalid("what you know of its publisher's key is not readable") from None
    if not origin and chain.last is not None:
        origin = chain.formerly[0].old if chain.formerly else chain.last.publisher
    said = {*known.said, *chain.formerly}
    line = follow(origin, said)
    while len(chosen := known.chosen.intersection(line.rivals)) == 1:
        # What leads back to a key that was is left out, so this ends.
        said = {one for one in said if one.new not in line.keys}
        (key,) = chosen
        rest = follow(key, said)
        line = Line((*line.keys, *rest.keys), rest.rivals)
    return line


def check_key(chain: Chain, line: Line, known: Known, seen: int) -> None:
    """That a chain with editions is its publisher's, whose keys are that line.

    `seen` is the last edition that may be a former key's: it was there before that was succeeded. Raises
    `DataContested` where two keys claim to go on, `DataInvalid` for another's key, and for a former one's.
    """
    if line.rivals:
        words = " and ".join(f"“{key_words(key)}”" for key in line.rivals)
        raise DataContested(
            f"two keys claim to go on as its publisher, and the one before signed both: {words}",
            "Somebody else has that key. Ask the publisher which words are right, then `chez data trust NAME WORDS`.")
    last = chain.last
    if last is None or last.publisher == line.key:
        return
    if last.publisher not in _before(line, {*known.said, *chain.formerly}):
        raise invalid("it is of another dataset, or another publisher's key, than when you added it")
    if last.number > seen:
        raise invalid(f"its edition {last.number} is signed by a key that its publisher has given up")


def _before(line: Line, said: Iterable[Succession]) -> set[bytes]:
    """All keys that led to the one that signs now."""
    statements, found, fresh = tuple(said), set[bytes](), {line.key}
    while fresh:
        fresh = {one.old for one in statements if one.new in fresh} - found
        found |= fresh
    return found - {line.key}
