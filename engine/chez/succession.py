"""One key goes on as another: a statement that both sign, and what follows from all statements that are known.

    array   old key, new key, count, signature of the old key, signature of the new one

Each signs its context, the old key, the new one and the count: the old key gives, the new one takes, so that nobody is
made another's successor without knowing. `count` says how many keys there were before the new one: it rises by one with
each, so that statements have one order, and one that is old fits nowhere later.

What follows is the same on every device that has the same statements, in whatever order they came. A key that signed
two successors is where a line ends (`Line.rivals`): somebody else has it, and no statement can tell who is who. It is
people who say which goes on, by the words of its key.

Who has an old key can make it a successor, as long as there is none: a key that was stolen is no way to a new one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez.crypto import CryptoFailed, SigningKey, verify
from chez.errors import InvalidValue

__all__ = ("MAX_CHAIN", "Line", "Succession", "Whose", "check_chain", "follow", "succeed")

Whose = Literal["organisation", "publisher"]
"""Whose keys they are: a statement of one kind is none of another."""

_CONTEXTS: Final[dict[Whose, str]] = {
    "organisation": "chez/1 organisation succession",
    "publisher": "chez/1 publisher succession",
}

MAX_CHAIN: Final = 8
"""Statements that come together at most: who has missed more is given the new key in another way."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Succession(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """That `new` goes on as `old` did; see the module. One from elsewhere is checked first (`check_chain`)."""

    old: Id
    new: Id
    count: Annotated[int, Meta(ge=1, lt=2**16)]
    given: Signature
    taken: Signature

    def __repr__(self) -> str:
        return f"<succession {self.count}: {self.old.hex()[:12]} to {self.new.hex()[:12]}>"


@dataclass(frozen=True, slots=True)
class Line:
    """The keys of one party as far as they are told, the first one first.

    `rivals` claim to be the next one, all of them signed by the last: two or more, or none.
    """

    keys: tuple[bytes, ...]
    rivals: tuple[bytes, ...]

    @property
    def key(self) -> bytes:
        """The one that signs now."""
        return self.keys[-1]


def succeed(whose: Whose, old: SigningKey, new: SigningKey, before: Sequence[Succession] = ()) -> Succession:
    """The statement that `new` succeeds `old`, which came to be by those `before`. Raises `InvalidValue` for a key that
    was one of them already."""
    if new.public == old.public or any(new.public in (one.old, one.new) for one in before):
        raise InvalidValue("a key is said to succeed itself", "Make a new one.")
    count = before[-1].count + 1 if before else 1
    said = (old.public, new.public, count.to_bytes(2, "big"))
    return Succession(*said[:2], count, old.sign(_CONTEXTS[whose], *said), new.sign(_CONTEXTS[whose], *said))


def check_chain(whose: Whose, chain: Sequence[Succession], key: bytes) -> None:
    """Raise `InvalidValue` unless these statements follow one another up to `key`, each signed by both of its keys, and
    no key comes twice."""
    keys = [*(one.old for one in chain), key]
    if len(chain) > MAX_CHAIN or len(set(keys)) != len(keys):
        raise InvalidValue("this is no succession of keys: one comes twice, or there are too many")
    for place, (one, following) in enumerate(zip(chain, keys[1:], strict=True)):
        if one.new != following or one.count != chain[0].count + place:
            raise InvalidValue("this is no succession of keys: one does not follow the other")
        said = (one.old, one.new, one.count.to_bytes(2, "big"))
        try:
            verify(one.old, one.given, _CONTEXTS[whose], *said)
            verify(one.new, one.taken, _CONTEXTS[whose], *said)
        except CryptoFailed:
            raise InvalidValue(f"the key {one.old.hex()[:16]}… did not sign its successor, or that did not consent",
                               "Somebody else put this together: do not trust it.") from None


def follow(first: bytes, said: Iterable[Succession]) -> Line:
    """Who goes on as `first` did, by statements that were checked, in any order and any number of times.

    A statement whose count does not follow, or that names a key which the line had already, counts for nothing.
    """
    after: dict[bytes, set[tuple[int, bytes]]] = {}
    for one in said:
        after.setdefault(one.old, set()).add((one.count, one.new))
    keys, count = [first], 0
    while True:
        found = {(number, new) for number, new in after.get(keys[-1], ())
                 if new not in keys and count in (0, number - 1)}
        rivals = sorted({new for _, new in found})
        if len(rivals) != 1:
            return Line(tuple(keys), tuple(rivals))
        keys.append(rivals[0])
        # Of one that was told under several counts the first: any of them is the same on each device.
        count = min(number for number, _ in found)
