"""Whose a followed space is when its publisher has a new key; no I/O.

A space is known by the key that signed it when it was added. What the person's devices saw of how keys went on is noted
beside what they follow, and whose a space is now follows from all of that and from what the space itself tells
(`chez.succession`), on each device alike. What is noted of one space counts for the others: who has a former key, and
no more than that, comes with a catalogue of its own, and is told from the publisher by what the publisher's says.

Where a key signed two successors nothing is relied on until the person says by its words which of them goes on, or
follows no more what only the other has.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from chez.errors import InvalidValue
from chez.opendata.editions import Chain, invalid
from chez.opendata.errors import DataContested
from chez.opendata.keys import key_words
from chez.succession import Line, Succession, check_chain, follow

__all__ = ("MAX_NOTED", "NOTHING", "Choice", "Known", "check_key", "choice", "known_of", "line_of", "noted", "unnoted")

MAX_NOTED: Final = 64
"""Statements that are noted of one space: a publisher could tell of other former keys each time, without end."""


class Known(msgspec.Struct, frozen=True):
    """What the person's devices noted of publishers' keys: how they went on, and which the person said are right."""

    said: frozenset[Succession] = frozenset()
    chosen: frozenset[bytes] = frozenset()


_KEY: Final = re.compile(r"[0-9a-f]{64}")

NOTHING = Known()
"""What is known of no key."""


def known_of(kept: Iterable[Mapping[str, Any]]) -> Known:
    """What was noted beside all that is followed. What is not readable, or signed, counts for nothing."""
    said, chosen = set[Succession](), set[bytes]()
    for value in kept:
        found = value.get("successions")
        said |= {one for one in map(_read, found.values() if isinstance(found, dict) else ()) if one is not None}
        picked = value.get("chosen")
        chosen |= {bytes.fromhex(key) for key in (picked if isinstance(picked, dict) else ()) if _KEY.fullmatch(key)}
    return Known(frozenset(said), frozenset(chosen))


def noted(said: Iterable[Succession]) -> dict[str, bytes]:
    """Statements as they are noted, by the keys that they lead from and to."""
    return {f"{one.old.hex()}-{one.new.hex()}": msgspec.msgpack.encode(one) for one in said}


def unnoted(chain: Chain, kept: Mapping[str, Any]) -> tuple[Succession, ...]:
    """What a space tells of keys and is not noted beside it, as far as more is.

    It counts as noted beside this space alone: what was noted beside another is forgotten with that.
    """
    there = kept.get("successions")
    mine = there if isinstance(there, dict) else {}
    told = {key: one for one in chain.formerly for key in noted([one])}
    fresh = [key for key, one in told.items() if mine.get(key) != msgspec.msgpack.encode(one)]
    grown = [key for key in fresh if key not in mine][:max(0, MAX_NOTED - len(mine))]
    return tuple(told[key] for key in fresh if key in mine or key in grown)


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
    origin, said = _origin(chain, first), {*known.said, *chain.formerly}
    line = follow(origin, said)
    while len(chosen := known.chosen.intersection(line.rivals)) == 1:
        # What leads back to a key that was is left out, so this ends.
        said = {one for one in said if one.new not in line.keys}
        (key,) = chosen
        rest = follow(key, said)
        line = Line((*line.keys, *rest.keys), rest.rivals)
    return line


def _origin(chain: Chain, first: str) -> bytes:
    try:
        origin = bytes.fromhex(first)
    except ValueError:
        raise invalid("what you know of its publisher's key is not readable") from None
    if not origin and chain.last is not None:
        origin = chain.formerly[0].old if chain.formerly else chain.last.publisher
    return origin


class Choice(msgspec.Struct, frozen=True):
    """That one key goes on as a publisher: which keys are right then, and which of their rivals are not."""

    key: bytes
    right: frozenset[bytes]
    wrong: frozenset[bytes]


def choice(chain: Chain, first: str, known: Known, words: Sequence[str]) -> Choice | None:
    """What the person says by the words of a key, of a space where several claim, or claimed, to go on; else None.

    They may be those of a key that came after one which claims: a publisher tells the newest. And they may be of
    another than was chosen before: who was deceived can say so. Raises `InvalidValue` where no key has these words.
    """
    origin, heirs = _origin(chain, first), dict[bytes, set[bytes]]()
    for one in {*known.said, *chain.formerly}:
        heirs.setdefault(one.old, set()).add(one.new)
    ways: dict[bytes, tuple[bytes, ...]] = {origin: (origin,)}
    found = [origin]
    for key in found:  # it grows
        for heir in sorted(heirs.get(key, set()) - ways.keys()):
            ways[heir] = (*ways[key], heir)
            found.append(heir)
    contested = False
    for key in found[1:]:
        right = frozenset(ways[key][1:])
        wrong = frozenset[bytes]().union(*(heirs[one] for one in ways[key][:-1])) - right
        contested = contested or bool(wrong)
        if wrong and key_words(key).split() == list(words):
            line = line_of(chain, first, Known(known.said, (known.chosen - wrong) | right))
            if key in line.keys:
                return Choice(key, right, wrong)
    if contested:
        raise InvalidValue("no key that claims it has these words", "Ask its publisher for all six of them.")
    return None


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
