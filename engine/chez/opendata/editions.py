"""Editions: what a publisher signs of a dataset, one line for each state of it, chained.

    edition   MessagePack array   1, publisher, space, dataset, number, previous, content, before, tables, rows, added,
              changed, removed, whole, time
    hash      BLAKE2b of it ("chez/1 open data edition hash"); `previous` is that of the edition before, or zeros
    signed    by the publisher's key over the context "chez/1 open data edition" and the edition

The space's own chains already say that a member of it wrote what is there, in this order and nothing left out. What
this adds is a name for the publisher that outlives its homes, its word on the whole content, and a number: two editions
under one number are a publisher, or who has its key, that tells different people different things.

The newest are kept, not all: a chain may begin anywhere, and what a device saw at its end is what it goes on from.

Where a key succeeded another, the statements of that (`chez.succession`) are a record beside the editions. From one
edition to the next the key may go on along them, and never back: so what a former key signs later is in no chain.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, SigningKey, hash_fields, verify
from chez.errors import InvalidValue
from chez.opendata.errors import DataForked, DataInvalid
from chez.opendata.rows import MAX_BEFORE, MAX_ROWS, MAX_TABLES
from chez.succession import MAX_CHAIN, Succession, check_chain

__all__ = (
    "COLLECTION", "KEPT", "MAX_EDITIONS", "SUCCESSION", "Chain", "Edition", "Signed", "before_hash", "forked",
    "invalid", "pack_formerly", "read_chain", "read_formerly", "record_of",
)

COLLECTION: Final = "chez.editions"
CONTEXT: Final = "chez/1 open data edition"

SUCCESSION: Final = "succession"
"""The id, among the editions, of the record of how the publisher's key came to be."""

KEPT: Final = 64
"""Editions that a publisher keeps of a dataset: so far back people can go."""

MAX_EDITIONS: Final = 256
"""Editions that a reader looks at: each costs a signature to check, some 100 microseconds."""

_START: Final = bytes(32)

Id = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ROWS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Formerly = Annotated[tuple[Succession, ...], msgspec.Meta(min_length=1, max_length=MAX_CHAIN)]


class Edition(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One edition as it is signed."""

    format: Literal[1]
    publisher: Id
    """The publisher's signing key."""
    space: Id
    """The public space that it is of: it says nothing of another."""
    dataset: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")]
    number: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    """From 1, without a gap."""
    previous: Id
    """The hash of the edition before; zeros for the first."""
    content: Id
    """The hash of all rows (`Content.hash`)."""
    before: Id
    """The hash of what leads back to the edition before; zeros where nothing does."""
    tables: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_TABLES)]
    """The collections that its rows are in."""
    rows: Count
    added: Count
    changed: Count
    removed: Count
    whole: bool
    """Whether it is all of what was published: a large dataset takes several editions."""
    time: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    """When the publisher says to have made it, in Unix seconds. Nothing is ordered by it."""

    @property
    def encoded(self) -> bytes:
        """The bytes that are signed: the one encoding there is."""
        return msgspec.msgpack.encode(self)

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for this edition and, by `previous`, for every one before it."""
        return hash_fields("chez/1 open data edition hash", self.encoded)

    def sign(self, key: SigningKey) -> bytes:
        """The publisher's word on it."""
        return key.sign(CONTEXT, self.encoded)

    def check(self, signature: bytes) -> None:
        """That the publisher signed it. Raises `DataInvalid`."""
        try:
            verify(self.publisher, signature, CONTEXT, self.encoded)
        except CryptoFailed:
            raise invalid("the publisher did not sign this edition") from None


@dataclass(frozen=True, slots=True)
class Signed:
    """An edition whose signature was checked, and what leads back to the one before (empty: nothing does)."""

    edition: Edition
    before: bytes = field(repr=False, default=b"")


class Chain(msgspec.Struct, frozen=True):
    """The editions of a dataset that are here, the oldest first; made by `read_chain`."""

    signed: tuple[Signed, ...] = ()
    formerly: tuple[Succession, ...] = ()
    """How the publisher's key came to be, by statements that were checked."""
    after: int = 0
    """The number after which an empty one begins: of a chain that was not readable any more, and is begun anew."""

    @property
    def last(self) -> Edition | None:
        """The newest edition."""
        return self.signed[-1].edition if self.signed else None

    @property
    def number(self) -> int:
        """The newest edition's number; 0 while there is none."""
        return self.signed[-1].edition.number if self.signed else self.after

    @property
    def head(self) -> str:
        """"NUMBER:HASH" of the newest edition, to compare with others; "0" while there is none."""
        return f"{self.number}:{self.signed[-1].edition.hash.hex()}" if self.signed else "0"

    def find(self, number: int) -> Signed | None:
        """The edition of a number, if it is here."""
        at = number - self.signed[0].edition.number if self.signed else -1
        return self.signed[at] if 0 <= at < len(self.signed) else None

    def holds(self, number: int, hash: bytes) -> bool:
        """Whether the edition of a number has this hash; False when it is not here.

        Raises `DataForked` when it has another one, or what is here goes on from another one.
        """
        found = self.find(number)
        first = self.signed[0].edition if self.signed else None
        if first is not None and number == first.number - 1 and first.previous not in (_START, hash):
            raise forked(number, first.previous, hash)
        if found is not None and found.edition.hash != hash:
            raise forked(number, found.edition.hash, hash)
        return found is not None

    def next(self, **said: Any) -> Edition:
        """The edition that comes after, still to be signed, with what is said of it."""
        previous = self.signed[-1].edition.hash if self.signed else _START
        return Edition(format=1, number=self.number + 1, previous=previous, **said)


def read_chain(records: Iterable[Mapping[str, Any]], space: bytes, formerly: tuple[Succession, ...] = ()) -> Chain:
    """The chain that the records of a space make, in whatever order they come.

    A record has `edition` and `signature`, and `before` where one can go back. `formerly` are the statements by which
    its publisher's key went on. Raises `DataForked` for two editions under one number, or one that follows another than
    the one here; `DataInvalid` for a record that is none, of another space or publisher, for a gap, and for more than a
    chain has.
    """
    keys = [*(one.old for one in formerly), *(one.new for one in formerly[-1:])]
    found: dict[int, Signed] = {}
    for count, record in enumerate(records, 1):
        if count > 2 * MAX_EDITIONS:
            raise invalid(f"it has more than {MAX_EDITIONS} editions")
        one = _read(record, space)
        other = found.setdefault(one.edition.number, one)
        if other.edition != one.edition:
            raise forked(one.edition.number, *sorted((other.edition.hash, one.edition.hash)))
    chain = tuple(found[number] for number in sorted(found))
    for last, one in pairwise(chain):
        edition = one.edition
        if edition.number != last.edition.number + 1:
            raise invalid(f"its edition {last.edition.number + 1} is missing")
        if not _goes_on(keys, last.edition.publisher, edition.publisher) or edition.dataset != last.edition.dataset:
            raise invalid(f"its edition {edition.number} is of another publisher's key or dataset than the one before")
        if edition.previous != last.edition.hash:
            raise forked(last.edition.number, last.edition.hash, edition.previous)
    if formerly and chain and chain[-1].edition.publisher not in keys:
        raise invalid("it tells of keys that led to another than its publisher's")
    return Chain(chain, formerly)


def _goes_on(keys: Sequence[bytes], before: bytes, now: bytes) -> bool:
    return now == before or (before in keys and now in keys and keys.index(before) < keys.index(now))


def pack_formerly(formerly: Sequence[Succession]) -> dict[str, Any]:
    """The record of how a publisher's key came to be."""
    return {"formerly": msgspec.msgpack.encode(formerly)}


def read_formerly(record: Mapping[str, Any]) -> tuple[Succession, ...]:
    """The statements of such a record, checked: both keys of each step signed it. Raises `DataInvalid`."""
    try:
        found = msgspec.msgpack.decode(record["formerly"], type=_Formerly)
        check_chain("publisher", found, found[-1].new)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise invalid("what it tells of its publisher's former keys is not readable") from None
    except InvalidValue as error:
        raise invalid(error.message) from None
    return found


def record_of(edition: Edition, signature: bytes, before: bytes) -> dict[str, Any]:
    """The record of an edition. Raises `DataInvalid` unless it is signed, and `before` the one that it names."""
    edition.check(signature)
    if edition.before != before_hash(before):
        raise invalid("what leads back is not what the edition names")
    return {"edition": edition.encoded, "signature": signature} | ({"before": before} if before else {})


def before_hash(before: bytes) -> bytes:
    """What an edition says of the bytes that lead back; zeros for none."""
    return hash_fields("chez/1 open data before", before) if before else _START


def forked(number: int, here: bytes, there: bytes) -> DataForked:
    """That a publisher signed two editions under one number."""
    return DataForked(
        f"the publisher signed two different editions {number}: {here.hex()[:16]} and {there.hex()[:16]}",
        "Somebody is shown other data than others: do not rely on it, and tell others both hashes.")


def invalid(problem: str) -> DataInvalid:
    """That a dataset does not verify, and why."""
    return DataInvalid(f"the data does not verify: {problem}", "Do not rely on it; ask its publisher.")


def _read(record: Mapping[str, Any], space: bytes) -> Signed:
    try:
        body, signature, before = record["edition"], record["signature"], record.get("before", b"")
        edition = msgspec.msgpack.decode(body, type=Edition)
        readable = edition.encoded == body and isinstance(before, bytes) and len(before) <= MAX_BEFORE
        if not readable or not isinstance(signature, bytes):
            raise ValueError
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise invalid("one of its records is no signed edition") from None
    edition.check(signature)
    if edition.space != space:
        raise invalid(f"its edition {edition.number} is of another space")
    if before and edition.before != before_hash(before):
        raise invalid(f"what leads back from its edition {edition.number} was altered")
    return Signed(edition, before)
