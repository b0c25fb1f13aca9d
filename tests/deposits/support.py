"""Organisations, addresses and records for the tests of this folder."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import chez
from chez.crypto import SealingKey, SigningKey
from chez.deposits.address import Address, AddressKeys, Quota, Terms, read_address, sign_address
from chez.deposits.message import Section, seal_deposit
from chez.deposits.types import RecordType, type_named
from chez.home.deposits.intake import Verdict
from chez.sync.connection import connect
from chez_deposit import Book, Built, Collected, OrganisationKeys, Sent, build, collect, new_keys, send, stage
from chez_wire.login import Role
from tests.relay.support import seed

NOW = 1_800_000_000
"""The organisations' clock, Unix seconds."""

POLICIES = RecordType("policies", ("number",), {"number": "text", "premium": "decimal", "until": "date?",
                                                  "note": "text?"})


def policy(number: object, premium: str = "10.00", **more: Any) -> dict[str, Any]:
    """A policy as an organisation has it."""
    return {"number": str(number), "premium": premium, **more}


def lines(customer: str, records: Iterable[dict[str, Any]], collection: str = "policies") -> str:
    """Lines of a batch."""
    return "".join(json.dumps({"customer": customer, "collection": collection, "record": one}) + "\n"
                   for one in records)


def organisation(name: str = "Insurer SA", relay: str = "ws://127.0.0.1:1") -> OrganisationKeys:
    """Keys that depend on the name alone."""
    counter = iter(range(4))
    return new_keys(name, "dpo@insurer.example", "insurer.example", relay,
                    lambda _: seed(f"{name} {next(counter)}"))


def address_keys(name: str = "address") -> AddressKeys:
    """The keys of an address that depend on a name alone."""
    return AddressKeys(SigningKey.from_seed(seed(name)), SealingKey.from_seed(seed(name + " sealing")),
                       SigningKey.from_seed(seed(name + " inbox")), SigningKey.from_seed(seed(name + " put")))


def address(name: str = "address", *, relay: str = "ws://127.0.0.1:1", types: Sequence[RecordType] = (POLICIES,),
            quota: Quota | None = None, whose: OrganisationKeys | None = None, until: int = (NOW + 10**6) * 1000,
            acknowledged: bool = True) -> Address:
    """An address without a home."""
    return sign_address(address_keys(name), Terms(
        "Insurer", relay, (), tuple(types), quota or Quota(), acknowledged, until,
        b"" if whose is None else whose.signing.public))


def message(to: Address, by: OrganisationKeys, records: Sequence[dict[str, Any] | bytes], *, era: int = 1,
            number: int = 1, collection: str = "policies", card: str = "") -> bytes:
    """One sealed message, whatever its records are."""
    packed = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
    return seal_deposit(to, by.signing, era, number, [Section(collection, b"\n".join(packed))], card)[0]


async def put(to: Address, *items: bytes) -> None:
    """Put items into an address's inbox, as whoever holds its text can."""
    async with connect(to.relay) as relay:
        (outcome,) = await relay.open([(to.inbox, Role.PUT, to.writer)])
        assert not outcome.error, outcome.error
        for item in items:
            await relay.put(to.inbox, item)


@dataclass(frozen=True)
class Insurer:
    """An organisation at work: its keys, its book in a folder."""

    folder: Path
    keys: OrganisationKeys

    @cached_property
    def book(self) -> Book:
        """Its book, open."""
        return Book(self.folder / f"{self.keys.name}.book", self.keys, now=NOW)

    def prepare(self, customer: str, records: Sequence[dict[str, Any]], batch: str, collection: str = "policies",
                ) -> Built:
        """Make the messages of a batch for one customer."""
        file = self.folder / f"{batch}.jsonl"
        file.write_text(lines(customer, records, collection))
        return build(self.book, self.keys, stage(self.book, file, batch=batch).batch, now=NOW)

    async def leave_file(self, file: Path) -> Sent:
        """Send a batch in a file."""
        build(self.book, self.keys, stage(self.book, file).batch, now=NOW)
        return await self.send()

    async def send(self) -> Sent:
        """Send what is queued."""
        return await send(self.book, self.keys, now=lambda: NOW)

    async def collect(self) -> Collected:
        """Take the acknowledgements that are there."""
        return await collect(self.book, self.keys, now=lambda: NOW, wait=0.5)

    async def leave(self, customer: str, records: Sequence[dict[str, Any]], batch: str, collection: str = "policies",
                    ) -> Sent:
        """Send one batch to one customer."""
        self.prepare(customer, records, batch, collection)
        return await self.send()


async def given(home: chez.Home, insurer: Insurer, label: str, **terms: Any) -> Address:
    """An address that the insurer has; the relay knows of it when the home has looked for deposits."""
    made = await home.deposits.new(label, [POLICIES], card=insurer.keys.card.text,
                                   **{"acks": "soon", **terms})
    assert made.text is not None
    insurer.book.add_customer(label, made.text)
    return read_address(made.text)


async def values(home: chez.Home, collection: str = "policies") -> dict[str, dict[str, Any]]:
    """The records of a collection by their number, without what is null."""
    return {record.value["number"]: {name: item for name, item in record.value.items() if item is not None}
            async for record in home.collection(collection)}


async def judged(home: chez.Home, to: Address, item: bytes, now: int) -> tuple[Verdict, Counter[str]]:
    """What becomes of an item that comes at a time (Unix milliseconds), no relay between."""
    desk = home.deposits

    def work(db: Any) -> tuple[Verdict, Counter[str]]:
        stored = desk._book.by_id(db, to.key)
        assert stored is not None
        keys = desk._book.keys(stored)
        assert keys is not None
        return desk._taking._intake.take(db, stored, keys, item, now)

    return await desk._database.write(work)


TRANSACTIONS = type_named("transactions")
