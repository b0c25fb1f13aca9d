"""What a provider took of its inbox, said in its catalogue's space so that only who sent it can tell.

    token   16 bytes: BLAKE2b of a message's id ("chez/1 acknowledgement"); the id follows from what is sealed inside
            the message, 16 random bytes of the grant among it: nobody but sender and provider knows it
    batch   MessagePack array   1, provider, day, 64 tokens in order; those that are too few are made up at random
    signed  by the provider's key over the context "chez/1 acknowledgements" and the batch

A public space, and no inbox of the person's: there the relay would see who gets word, and when. Here everybody
gets the same batches with the catalogue, and the relay sees the provider write. Who has the catalogue's address learns
that there were at most so many results. A person's device writes nothing about it, in no journal either: an
entry that follows a batch would tell the relay whose results were in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, SigningKey, hash_fields, verify
from chez.errors import InvalidValue
from chez_sandbox.consent.departures import Left
from chez_sandbox.consent.run import pseudonym_of
from chez_sandbox.offers.following import COLLECTION as CATALOGUES
from chez_sandbox.release.release import message_id

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space
    from chez.home.transaction import Transaction

__all__ = (
    "BATCH",
    "COLLECTION",
    "Batch",
    "acknowledge",
    "batches_of",
    "compose_batches",
    "read_batches",
    "token_of",
    "with_received",
)

COLLECTION: Final = "chez.acknowledgements"
CONTEXT: Final = "chez/1 acknowledgements"

BATCH: Final = 64
"""Tokens of every batch."""

Token = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Batch(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One batch as it is signed."""

    format: Literal[1]
    provider: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    day: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
    """RFC 3339 full-date, in UTC: when the provider says to have taken them, at the latest."""
    tokens: Annotated[tuple[Token, ...], msgspec.Meta(min_length=BATCH, max_length=BATCH)]

    @property
    def encoded(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.msgpack.encode(self)

    def sign(self, key: SigningKey) -> bytes:
        """The provider's word on the batch."""
        return key.sign(CONTEXT, self.encoded)


def token_of(id: bytes) -> bytes:
    """The token of a message by its id (`message_id`), which it does not give away."""
    return hash_fields("chez/1 acknowledgement", id)[:16]


def compose_batches(provider: bytes, day: date, tokens: Iterable[bytes], made_up: Sequence[bytes]) -> list[Batch]:
    """Batches of all tokens, each filled with made-up ones of which there must be `BATCH` - 1 at least.

    A token's place tells nothing: they are in order. Raises `InvalidValue` for too few made-up ones.
    """
    wanted = sorted(set(tokens))
    if (short := -len(wanted) % BATCH) > len(made_up):
        raise InvalidValue(f"{short} tokens must be made up, and only {len(made_up)} were given")
    full = sorted([*wanted, *made_up[:short]])
    # Dealt out, not cut: else the made-up ones of the last batch would be told by their order.
    count = len(full) // BATCH
    return [Batch(1, provider, day.isoformat(), tuple(full[place::count])) for place in range(count)]


def read_batches(records: Iterable[Mapping[str, Any]], provider: bytes) -> dict[bytes, str]:
    """The tokens of a provider's batches, each with its first day. What it did not sign, or is none, says nothing."""
    found: dict[bytes, str] = {}
    for record in records:
        try:
            body, signature = record["batch"], record["signature"]
            batch = msgspec.msgpack.decode(body, type=Batch)
            verify(batch.provider, signature, CONTEXT, body)
        except (CryptoFailed, KeyError, TypeError, ValueError, msgspec.DecodeError):
            continue
        if batch.provider == provider:
            for token in batch.tokens:
                found[token] = min(batch.day, found.get(token, batch.day))
    return found


async def batches_of(space: "Space", provider: bytes) -> dict[bytes, str]:
    """What a provider acknowledged in a space: tokens, with their days."""
    return read_batches([record.value async for record in space.collection(COLLECTION)], provider)


async def acknowledge(home: "Home", space: "Space", signed: Sequence[tuple[Batch, bytes]]) -> None:
    """Write signed batches, all or none; durable when this returns. Raises `InvalidValue` for an unsigned one."""
    records = [{"batch": batch.encoded, "signature": signature} for batch, signature in signed]
    for (batch, _), record in zip(signed, records, strict=True):
        if not read_batches([record], batch.provider):
            raise InvalidValue("a batch of acknowledgements is not signed by its provider", "compose it again")

    def work(transaction: "Transaction") -> None:
        for record in records:
            transaction.put(space.collection(COLLECTION), record)

    await home.transaction(work)


async def with_received(home: "Home", lefts: Sequence[Left]) -> list[Left]:
    """The departures with the day on which the provider says to have received them, where its catalogue says so.

    It says so in a catalogue that this person follows; only messages of this home as it is now are looked for.
    """
    days = await _acknowledged(home, {left.provider for left in lefts})
    return [
        replace(left, received=day)
        if left.provider in days and (day := days[left.provider].get(_token(home, left))) is not None
        else left
        for left in lefts
    ]


async def _acknowledged(home: "Home", providers: set[str]) -> dict[str, dict[bytes, str]]:
    spaces = {space.id: space for space in await home.spaces()}
    found: dict[str, dict[bytes, str]] = {}
    async for record in home.collection(CATALOGUES):
        provider = record.value.get("provider")
        if provider in providers and record.id in spaces:
            for token, day in (await batches_of(spaces[record.id], bytes.fromhex(provider))).items():
                days = found.setdefault(provider, {})
                days[token] = min(day, days.get(token, day))
    return found


def _token(home: "Home", left: Left) -> bytes:
    pseudonym = pseudonym_of(home, left.grant).public
    return token_of(message_id(pseudonym, bytes.fromhex(left.grant), left.sequence))
