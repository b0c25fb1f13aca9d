"""What a provider took of its inbox, said in its catalogue's space so that only who sent it can tell.

    token   16 bytes: BLAKE2b of a message's id ("chez/1 acknowledgement"); the id follows from what is sealed inside
            the message, 16 random bytes of the grant and the hash of the consent among it: nobody but sender and
            provider knows it, and by it the provider countersigns the consent
    batch   MessagePack array   1, provider, day, 64 tokens in order; those that are too few are made up at random
    signed  by the provider's key over the context "chez/1 acknowledgements" and the batch

A public space, and no inbox of the person's: there the relay would see who gets word, and when. Here everybody
gets the same batches with the catalogue, and the relay sees the provider write. Who has the catalogue's address learns
that there were at most so many results. A person's device writes nothing about it, in no journal either: an
entry that follows a batch would tell the relay whose results were in it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, SigningKey, hash_fields, verify
from chez.errors import InvalidValue, NotAllowed
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
    "Word",
    "acknowledge",
    "batches_of",
    "compose_batches",
    "read_batches",
    "signed_batches",
    "token_of",
    "with_received",
    "words_of_providers",
)

COLLECTION: Final = "chez.acknowledgements"
CONTEXT: Final = "chez/1 acknowledgements"

BATCH: Final = 64
"""Tokens of every batch."""

MAX_BATCHES: Final = 10_000
"""Batches of one catalogue: each costs whoever reads it a signature to check; what is beyond is not read."""

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
    for batch, _, _ in signed_batches(records, provider):
        for token in batch.tokens:
            found[token] = min(batch.day, found.get(token, batch.day))
    return found


def signed_batches(records: Iterable[Mapping[str, Any]], provider: bytes) -> Iterator[tuple[Batch, bytes, bytes]]:
    """The batches that a provider signed, each with the bytes that it signed and its signature."""
    for record in islice(records, MAX_BATCHES):
        try:
            body, signature = record["batch"], record["signature"]
            batch = msgspec.msgpack.decode(body, type=Batch)
            date.fromisoformat(batch.day)
            verify(batch.provider, signature, CONTEXT, body)
        except (CryptoFailed, KeyError, TypeError, ValueError, msgspec.DecodeError):
            continue
        if batch.provider == provider:
            yield batch, body, signature


async def batches_of(space: "Space", provider: bytes) -> dict[bytes, str]:
    """What a provider acknowledged in a space: tokens, with their days."""
    records = [record.value async for record in space.collection(COLLECTION)]
    return await asyncio.to_thread(read_batches, records, provider)


async def acknowledge(home: "Home", space: "Space", signed: Sequence[tuple[Batch, bytes]]) -> None:
    """Write signed batches, all or none; durable when this returns.

    Raises `InvalidValue` for an unsigned one, and `NotAllowed` for a token that a batch has already, as what two
    batches share is not made up; and for a full catalogue.
    """
    records = [{"batch": batch.encoded, "signature": signature} for batch, signature in signed]
    for (batch, _), record in zip(signed, records, strict=True):
        if not read_batches([record], batch.provider):
            raise InvalidValue("a batch of acknowledgements is not signed by its provider", "compose it again")
    every = [token for batch, _ in signed for token in batch.tokens]
    for provider in {batch.provider for batch, _ in signed}:
        every += await batches_of(space, provider)
    if len(set(every)) < len(every):
        raise NotAllowed("a message is acknowledged already, in another batch", "compose again: what is new is left")
    if len(every) > BATCH * MAX_BATCHES:
        raise NotAllowed(f"a catalogue has at most {MAX_BATCHES} batches of acknowledgements", "no more are read")

    def work(transaction: "Transaction") -> None:
        for record in records:
            transaction.put(space.collection(COLLECTION), record)

    await home.transaction(work)


async def with_received(home: "Home", lefts: Sequence[Left]) -> list[Left]:
    """The departures with the day on which the provider says to have received them, where its catalogue says so.

    It says so in a catalogue that this person follows; only messages of this home as it is now are looked for.
    """
    words = {(one.grant, one.sequence): one.day for one in await words_of_providers(home, lefts)}
    return [replace(left, received=words.get((left.grant, left.sequence), left.received)) for left in lefts]


@dataclass(frozen=True, slots=True)
class Word:
    """What a provider signed of one message: that it has it, and by its token the consent that the message names."""

    grant: str
    sequence: int
    pseudonym: bytes
    day: str
    batch: bytes
    """The bytes that are signed."""
    signature: bytes


async def words_of_providers(home: "Home", lefts: Sequence[Left]) -> list[Word]:
    """The provider's earliest word of each departure that it acknowledged in a catalogue that is followed here."""
    # The hash of what was signed when the job was granted: tokens cover it.
    consents = {one.body["grant"]: bytes.fromhex(one.body["hash"]) for one in await home.journal.receipts("grant")}
    said = await _acknowledged(home, {left.provider for left in lefts})
    found = []
    for left in lefts:
        if left.provider not in said or left.grant not in consents:
            continue
        pseudonym = pseudonym_of(home, left.grant).public
        token = token_of(message_id(pseudonym, bytes.fromhex(left.grant), left.sequence, consents[left.grant]))
        if (word := said[left.provider].get(token)) is not None:
            batch, body, signature = word
            found.append(Word(left.grant, left.sequence, pseudonym, batch.day, body, signature))
    return found


async def _acknowledged(home: "Home", providers: set[str]) -> dict[str, dict[bytes, tuple[Batch, bytes, bytes]]]:
    """For each of the providers its tokens, each with the earliest batch that has it."""
    spaces = {space.id: space for space in await home.spaces()}
    found: dict[str, dict[bytes, tuple[Batch, bytes, bytes]]] = {}
    async for record in home.collection(CATALOGUES):
        provider = record.value.get("provider")
        if isinstance(provider, str) and provider in providers and record.id in spaces:
            records = [one.value async for one in spaces[record.id].collection(COLLECTION)]
            words = found.setdefault(provider, {})
            await asyncio.to_thread(_add_words, words, records, provider)
    return found


def _add_words(
    words: dict[bytes, tuple[Batch, bytes, bytes]], records: Iterable[Mapping[str, Any]], provider: str
) -> None:
    for word in signed_batches(records, bytes.fromhex(provider)):
        for token in word[0].tokens:
            words[token] = min(word, words.get(token, word), key=lambda one: one[0].day)
