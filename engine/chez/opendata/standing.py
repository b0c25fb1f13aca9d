"""How a followed space stands: its editions and rows, held against what was seen of it before and who publishes it.

What is seen is noted in one place, here; and of a publisher's new key the person is told once, with that.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from chez.errors import InvalidValue, NotFound
from chez.opendata.editions import COLLECTION as EDITIONS
from chez.opendata.editions import Chain, invalid
from chez.opendata.errors import DataInvalid
from chez.opendata.held import chain_of, filled
from chez.opendata.keys import key_words
from chez.opendata.lineage import Known, check_key, line_of, noted, unnoted
from chez.opendata.metadata import Metadata
from chez.opendata.rows import Content, Digest, undone
from chez.query.followed import FOLLOWED
from chez.spaces.public import Address
from chez.succession import Line, Succession

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space
    from chez.home.transaction import Transaction

__all__ = ("COLLECTION", "Standing", "back", "beside", "look", "read", "seen_of")

COLLECTION: Final = FOLLOWED
"""The private space's collection of what is followed, by the spaces' ids."""

T = TypeVar("T", Content, Digest)

SEEN: Final = 8
"""Editions whose hashes are kept: the newest."""


class Standing(msgspec.Struct, frozen=True):
    """How a followed space stands here."""

    space: str
    """The public space's id."""
    name: str
    publisher: str
    """The publisher's key, in hexadecimal; empty while nothing of it came."""
    chain: Chain
    """What verified; where there is a `problem`, no more than what its space tells of keys."""
    problem: DataInvalid | None = None
    """Why it is not to be relied on."""
    missing: int = 0
    """Editions at its end that some device of the person saw, or the catalogue tells of, and that are not here."""
    formerly: tuple[str, ...] = ()
    """The keys that its publisher had before, the first one first, as far as they are known."""
    succeeded: bool = False
    """Whether its publisher goes on with a new key, of which no device of the person had noted before."""
    rivals: tuple[str, ...] = ()
    """The keys that claim to go on as its publisher, all of them, when it is contested."""


async def look(home: "Home", space: "Space", kept: Mapping[str, Any], known: Known, dataset: str,
                allowed: Callable[[set[str]], bool], check: Callable[[], T] | None, *, note: bool,
                told: int = 0) -> tuple[Standing, T | None]:
    """How a space stands that is to have a dataset, and `allowed` collections alone.

    Its rows are checked where `check` makes what they are read into, which is given.

    `kept` is what the person's devices noted of it, `known` of all publishers' keys; `note` adds the newest edition to
    that. `told` is the edition that its catalogue tells of.
    """
    publisher, content, line, chain = str(kept.get("publisher", "")), None, None, Chain()
    seen: dict[int, bytes] = {}
    try:
        seen = seen_of(kept)
        chain, content = await read(space, check)
        last = chain.last
        line = await asyncio.to_thread(line_of, chain, publisher, known)
        check_key(chain, line, known, max([told - 1, *seen]))
        names = {info.name for info in await space.collections()} - {EDITIONS}
        if not allowed(names | set(last.tables if last else ())):
            raise invalid("it has collections that could pass for others")
        if last is not None:
            if last.dataset != dataset:
                raise invalid("it is of another dataset, or another publisher's key, than when you added it")
            for number, hash in seen.items():
                chain.holds(number, hash)
            if not names <= set(last.tables):
                raise invalid("it has rows in tables that its newest edition does not name")
            if content is not None and await asyncio.to_thread(lambda: content.hash) != last.content:
                raise invalid("its rows are not what the publisher signed")
    except DataInvalid as error:
        rivals = tuple(key.hex() for key in line.rivals) if line is not None else ()
        return Standing(space.id, space.name, publisher, Chain(formerly=chain.formerly), error, rivals=rivals), None
    succeeded = any(one.new == line.key and one not in known.said for one in chain.formerly)
    fresh = unnoted(chain, kept)
    if note and last is not None and (fresh or chain.number > max(seen, default=0)):
        await _note(home, space, line, chain, fresh, tell=succeeded)
    missing = max(0, max(seen, default=0) - chain.number)
    formerly = tuple(key.hex() for key in line.keys[:-1])
    return Standing(space.id, space.name, line.key.hex(), chain, None, missing, formerly, succeeded), content


async def read(space: "Space", into: Callable[[], T] | None) -> tuple[Chain, T | None]:
    """The editions of a space and its rows: both of one moment, for rows change with an edition only."""
    chain = await chain_of(space)
    while into is not None:
        content = await filled(into(), space, chain.last.tables if chain.last else ())
        again = await chain_of(space)
        if again.head == chain.head:
            return chain, content
        chain = again
    return chain, None


def beside(standing: Standing, said: Metadata) -> Standing:
    """A dataset held against what its catalogue says of it: of its space, for it may be published in another one since.
    """
    chain = standing.chain
    if _elsewhere(standing.space, said.address):
        problem = DataInvalid(f"its publisher has {said.id!r} in another space now: nothing newer comes to this one",
                              "Unsubscribe it, and subscribe it again.")
        return Standing(standing.space, standing.name, standing.publisher, Chain(), problem)
    there = chain.find(said.edition)
    if there is not None and said.content is not None and there.edition.content.hex() != said.content:
        problem = invalid(f"its edition {said.edition} is another than the catalogue tells of")
        return Standing(standing.space, standing.name, standing.publisher, Chain(), problem)
    return msgspec.structs.replace(standing, missing=max(standing.missing, said.edition - chain.number))


def _elsewhere(space: str, address: str | None) -> bool:
    """Whether an address, as somebody says, is of another space."""
    try:
        return address is not None and Address.read(address).space.hex() != space
    except InvalidValue:
        return False


def back(content: Content, chain: Chain, number: int) -> Content:
    """The rows of an edition, by its number, from those of the newest; blocks. Raises `NotFound`, `DataInvalid`."""
    at = chain.number
    while True:
        signed = chain.find(at)
        if signed is None or (at > number and not signed.before):
            raise NotFound(f"one can't go back beyond the edition {at}",
                           "It was too large a change, or the publisher keeps no older ones.")
        if at == number:
            if content.hash != signed.edition.content:
                raise invalid(f"the rows of edition {at} are not what the publisher signed")
            return content
        content = undone(content, signed.before)
        at -= 1


async def _note(home: "Home", space: "Space", line: Line, chain: Chain, fresh: tuple[Succession, ...], *,
                tell: bool) -> None:
    """Note the newest edition as seen, and how its publisher's key went on, of which the journal tells once.

    It is a record, so the person's other devices hold theirs against it. The key stays that by which it was added.
    """
    last, kept = chain.last, home.collection(COLLECTION)

    def work(transaction: "Transaction") -> None:
        value = transaction.get(kept, space.id).value
        value["publisher"] = value.get("publisher") or line.keys[0].hex()
        if last is not None and last.number > max(map(int, value["seen"]), default=0):
            value["seen"][str(last.number)] = last.hash.hex()
            for number in sorted(value["seen"], key=int)[:-SEEN]:
                del value["seen"][number]
        if fresh:
            value["successions"] = {**(value.get("successions") or {}), **noted(fresh)}
        transaction.put(kept, value, id=space.id)
        key = line.key.hex()
        if tell and not transaction.receipts("data-key-succeeded", key=key):
            transaction.receipt("data-key-succeeded", {"space": space.id, "name": space.name, "key": key,
                                                       "words": key_words(line.key)})

    await home.transaction(work)


def seen_of(kept: Mapping[str, Any]) -> dict[int, bytes]:
    """The editions that were the newest when somebody looked: their hashes by their numbers. Raises `DataInvalid`."""
    try:
        seen = {int(number): bytes.fromhex(hash) for number, hash in kept["seen"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataInvalid("what you saw of this before is not readable", "Add it again.") from None
    return seen
