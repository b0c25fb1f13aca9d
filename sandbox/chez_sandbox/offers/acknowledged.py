"""What a provider took of its inbox, said in its catalogue's space so that only who sent it can tell.

    token   16 bytes: BLAKE2b of a message's id ("chez/1 acknowledgement"); the id follows from what is sealed inside
            the message, 16 random bytes of the grant and the hash of the consent among it: nobody but sender and
            provider knows it, and by it the provider countersigns the consent
    batch   MessagePack array   1, provider, day, 64 tokens in order; those that are too few are made up at random
    signed  by the provider's key over the context "chez/1 acknowledgements" and the batch; by a later one of its
            catalogue (`feed`) for what was granted under a key before

A public space, and no inbox of the person's: there the relay would see who gets word, and when. Here everybody
gets the same batches with the catalogue, and the relay sees the provider write. Who has the catalogue's address learns
that there were at most so many results. A person's device writes nothing about it, in no journal either: an
entry that follows a batch would tell the relay whose results were in it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, SigningKey, hash_fields, verify
from chez.errors import InvalidValue, NotAllowed
from chez_sandbox.consent.departures import Left
from chez_sandbox.consent.run import pseudonym_of
from chez_sandbox.job_errors import CatalogueInvalid
from chez_sandbox.manifest import Predecessor
from chez_sandbox.offers.following import COLLECTION as CATALOGUES
from chez_sandbox.offers.following import pinned_keys
from chez_sandbox.offers.publishing import feed_of
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


def read_batches(records: Iterable[Mapping[str, Any]]) -> dict[bytes, str]:
    """The tokens of signed batches, whoever signed them, each with its first day. What is none says nothing."""
    found: dict[bytes, str] = {}
    for batch, _, _ in signed_batches(records):
        for token in batch.tokens:
            found[token] = min(batch.day, found.get(token, batch.day))
    return found


def signed_batches(records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Batch, bytes, bytes]]:
    """The batches that are signed by the key that they name, each with the bytes that it signed and its signature."""
    for record in islice(records, MAX_BATCHES):
        try:
            body, signature = record["batch"], record["signature"]
            batch = msgspec.msgpack.decode(body, type=Batch)
            date.fromisoformat(batch.day)
            verify(batch.provider, signature, CONTEXT, body)
        except (CryptoFailed, KeyError, TypeError, ValueError, msgspec.DecodeError):
            continue
        yield batch, body, signature


async def batches_of(space: "Space") -> dict[bytes, str]:
    """What was acknowledged in a space, by whichever of its provider's keys: tokens, with their days."""
    records = [record.value async for record in space.collection(COLLECTION)]
    return await asyncio.to_thread(read_batches, records)


async def acknowledge(home: "Home", space: "Space", signed: Sequence[tuple[Batch, bytes]]) -> None:
    """Write signed batches, all or none; durable when this returns.

    Raises `InvalidValue` for an unsigned one, and `NotAllowed` for a token that a batch has already, as what two
    batches share is not made up; and for a full catalogue.
    """
    records = [{"batch": batch.encoded, "signature": signature} for batch, signature in signed]
    for record in records:
        if not read_batches([record]):
            raise InvalidValue("a batch of acknowledgements is not signed by its provider", "compose it again")
    every = [*(token for batch, _ in signed for token in batch.tokens), *await batches_of(space)]
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


class Word(msgspec.Struct, frozen=True):
    """What a provider signed of one message: that it has it, and by its token the consent that the message names."""

    grant: str
    sequence: int
    pseudonym: bytes
    day: str
    batch: bytes
    """The bytes that are signed."""
    signature: bytes
    succession: tuple[tuple[str, str], ...] = ()
    """From the key that the consent names to the one that signed this: each key, and the signature on it by the one
    before. All hexadecimal; nothing where it is one key."""


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
            batch, body, signature, succession = word
            found.append(Word(left.grant, left.sequence, pseudonym, batch.day, body, signature, succession))
    return found


Said = tuple[Batch, bytes, bytes, tuple[tuple[str, str], ...]]


async def _acknowledged(home: "Home", providers: set[str]) -> dict[str, dict[bytes, Said]]:
    """For each of the providers its tokens, each with the earliest batch that has it: its own, or of a later key."""
    spaces = {space.id: space for space in await home.spaces()}
    found: dict[str, dict[bytes, Said]] = {}
    async for record in home.collection(CATALOGUES):
        wanted = providers.intersection(pinned_keys(record.value))
        if not wanted or record.id not in spaces:
            continue
        try:
            formerly = (feed := await feed_of(spaces[record.id])).formerly
            keys = feed.keys
        except CatalogueInvalid:  # whatever became of it, what the key itself signed is its word
            formerly, keys = (), ()
        records = [one.value async for one in spaces[record.id].collection(COLLECTION)]
        for provider in wanted:
            words = found.setdefault(provider, {})
            await asyncio.to_thread(_add_words, words, records, _successions(provider, formerly, keys))
    return found


def _successions(
    provider: str, formerly: Sequence[Predecessor], keys: Sequence[str]
) -> dict[bytes, tuple[tuple[str, str], ...]]:
    """The keys that may sign for a provider: its own and, by the words of a catalogue, those that follow it."""
    steps = [(key, one.signature) for one, key in zip(formerly, keys[1:], strict=False)]
    begins = keys.index(provider) if provider in keys else len(keys)
    later = {bytes.fromhex(keys[at]): tuple(steps[begins:at]) for at in range(begins + 1, len(keys))}
    return {bytes.fromhex(provider): (), **later}


def _add_words(
    words: dict[bytes, Said],
    records: Iterable[Mapping[str, Any]],
    signers: Mapping[bytes, tuple[tuple[str, str], ...]],
) -> None:
    for batch, body, signature in signed_batches(records):
        if batch.provider in signers:
            word = (batch, body, signature, signers[batch.provider])
            for token in batch.tokens:
                words[token] = min(word, words.get(token, word), key=lambda one: one[0].day)
