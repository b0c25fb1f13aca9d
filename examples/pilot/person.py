"""What a person of the pilot does, in two goes; each may be killed at any point and done again.

`arrive`: makes a home, gives each organisation an address, and subscribes the city's data; one in ten pairs a phone.
`live`: takes what was left there, adds the ways that their own phone knows, grants one job, runs it, and sends the
result. Who has a phone takes on the laptop, and does the rest on the phone, with what the laptop took.
"""

import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from examples.pilot.lives import OWN, life
from examples.pilot.phone import allowance, pair
from examples.pilot.plan import ORGANISATIONS, PilotFailed, Places, Plan, keep

import chez
from chez.crypto import Kdf
from chez.opendata import following
from chez.vocabulary import Trip
from chez_sandbox.bundle import Bundle, open_bundle
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.grants import grant_job, list_grants
from chez_sandbox.consent.run import authorise
from chez_sandbox.provider.trial import cache_folder, cache_key
from chez_sandbox.runtime.host import Runtime

__all__ = ("ARRIVED", "LIVED", "Arrived", "Lived", "Person", "sandbox")

ARRIVED: Final = "arrived.json"
LIVED: Final = "lived.json"

DATASET: Final = "velov"


def sandbox() -> Runtime:
    """A sandbox for any number of homes: what each device compiles once is that of `chez-job` here, for all of them."""
    cache = cache_folder()
    return Runtime(cache, cache_key(cache))


class Arrived(msgspec.Struct, frozen=True):
    """A person who has a home: the addresses for the organisations, and the seconds that each step took."""

    addresses: dict[str, str]
    seconds: dict[str, float]

    def __repr__(self) -> str:
        return f"<arrived in {sum(self.seconds.values()):.1f} s>"


class Lived(msgspec.Struct, frozen=True):
    """A person whose result left: how many records are at home, by collection; what left; seconds; the home's bytes."""

    records: dict[str, int]
    outcome: str
    message: str
    """The sealed message that left, in hexadecimal."""
    seconds: dict[str, float]
    disk: int
    devices: int = 1

    def __repr__(self) -> str:
        return f"<lived in {sum(self.seconds.values()):.1f} s>"


@dataclass(slots=True)
class Watch:
    """How long each step takes, in seconds of the wall's clock."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """One step; of one that is made twice both count."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Person:
    """One of them."""

    places: Places
    plan: Plan
    number: int

    @property
    def folder(self) -> Path:
        """Where the home is, and what this person did so far."""
        return self.places.person(self.number)

    async def arrive(self) -> Arrived:
        """Home, addresses, and the city's data. Raises `ChezError`, `PilotFailed`."""
        if (self.folder / ARRIVED).exists():
            return msgspec.json.decode((self.folder / ARRIVED).read_bytes(), type=Arrived)
        watch = Watch()
        self.folder.mkdir(parents=True, exist_ok=True)
        with watch("create"):
            if not (self.folder / "home" / "chez.key").exists():
                await chez.create(self.folder / "home", passphrase=self._passphrase, name="laptop", kdf=Kdf.minimum())
        async with self._home(watch) as home:
            with watch("addresses"):
                await home.set_relay(self.plan.url)
                addresses = await self._addresses(home)
                await following.add_catalogue(home, self.places.catalogue.read_text().strip())
            with watch("sync"):
                await self._sync(home)
            with watch("subscribe"):
                await following.subscribe(home, DATASET)
            with watch("open data"):
                await self._sync(home)
                (dataset,) = await following.subscribed(home, check=True)
                if dataset.standing.problem is not None or not dataset.rows:
                    raise PilotFailed(f"person {self.number} has no data of the city: {dataset.standing.problem}")
            if self.plan.two_devices(self.number):
                with watch("pair"):
                    await self._phone(home)
        arrived = Arrived(addresses, watch.seconds)
        keep(self.folder / ARRIVED, msgspec.json.encode(arrived))
        return arrived

    async def live(self, runtime: Runtime) -> Lived:
        """Deposits, one's own ways, a job and its result. Raises `ChezError`, `SandboxError`, `PilotFailed`."""
        if (self.folder / LIVED).exists():
            return msgspec.json.decode((self.folder / LIVED).read_bytes(), type=Lived)
        watch = Watch()
        two = self.plan.two_devices(self.number)
        async with self._home(watch) as home:
            with watch("deposits"):
                await self._sync(home)
            if two:
                async with self._home(watch, "phone") as phone:
                    with watch("from the laptop"):
                        await self._sync(phone)
                    outcome, message = await self._day(phone, runtime, watch, laptop=home)
                    records = await _counts(phone)
            else:
                outcome, message = await self._day(home, runtime, watch)
                records = await _counts(home)
        disk = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        lived = Lived(records, outcome, message.hex(), watch.seconds, disk, 1 + two)
        keep(self.folder / LIVED, msgspec.json.encode(lived))
        return lived

    async def _day(self, home: chez.Home, runtime: Runtime, watch: Watch, laptop: chez.Home | None = None
                   ) -> tuple[str, bytes]:
        """One's own ways, a job and its result: the outcome, and the sealed message."""
        with watch("own"):
            trips = [msgspec.convert(record, Trip) for _, record in life(self.plan, self.number, OWN)]
            await home.collection(Trip).put_many(trips, ids=[trip.reference for trip in trips])
        outcome, message = await self._job(home, runtime, watch, laptop)
        with watch("sync"):
            await self._sync(home)
        return outcome, message

    async def _phone(self, home: chez.Home) -> None:
        """Let the phone in; one whose pairing was interrupted is left, and another is let in."""
        phone, done = self.folder / "phone", self.folder / "paired"
        if not done.exists():
            shutil.rmtree(phone, ignore_errors=True)
            await pair(home, phone, self._passphrase, self.plan.url)
            keep(done, b"")
        await self._sync(home)
        async with chez.open(phone, passphrase=self._passphrase) as other:
            await self._sync(other)

    @asynccontextmanager
    async def _home(self, watch: Watch, which: str = "home") -> AsyncIterator[chez.Home]:
        """The home, or another device's, opened."""
        async with AsyncExitStack() as stack:
            with watch("open"):
                home = await stack.enter_async_context(
                    chez.open(self.folder / which, passphrase=self._passphrase))
            yield home
            with watch("close"):
                await stack.aclose()

    @property
    def _passphrase(self) -> str:
        return self.places.passphrase.read_text().strip()

    async def _addresses(self, home: chez.Home) -> dict[str, str]:
        """The text of each organisation's address: what was made before is given again."""
        known = {one.label: one for one in await home.deposits.addresses()}
        found = {}
        for partner in ORGANISATIONS:
            made = known.get(partner.name)
            if made is None:
                card = (self.places.organisation(partner.key) / "card").read_text()
                made = await home.deposits.new(partner.name, partner.collections, card=card, acks="soon")
            if made.text is None:
                raise PilotFailed(f"the address of person {self.number} for {partner.name} has no text")
            found[partner.key] = made.text
        return found

    async def _sync(self, home: chez.Home) -> None:
        report = await home.sync()
        if report.deposits.problems:
            raise PilotFailed(f"person {self.number}: {'; '.join(report.deposits.problems)}")

    async def _job(self, home: chez.Home, runtime: Runtime, watch: Watch, laptop: chez.Home | None
                   ) -> tuple[str, bytes]:
        """Grant this person's job, run it, and let its result leave: the outcome, and the sealed message."""
        service = self.plan.service_of(self.number)
        bundle = open_bundle((self.places.service(service.job) / "job.chez").read_bytes())
        with watch("grant"):
            id = await self._grant(home, bundle)
        if laptop is not None:
            with watch("allowance"):
                await allowance(laptop, home, id)
        with watch("run"):
            async with authorise(home, id, self.plan.day) as run:
                departure = await run.answered() or await run.release(await run.execute(runtime))
        with watch("send"):
            sent = await deliver(home, datetime.now(UTC))
            if sent.waiting:
                raise PilotFailed(f"the result of person {self.number} could not leave: {sent.problem}")
        return departure.outcome, departure.message

    async def _grant(self, home: chez.Home, bundle: Bundle) -> str:
        given = [one for one in await list_grants(home) if one.grant.job == bundle.manifest.id]
        if not given:
            given = [await grant_job(
                home, bundle, id=secrets.token_bytes(16), seed=secrets.token_bytes(32),
                now=datetime.now(UTC).isoformat(timespec="seconds"), until=self.plan.day + timedelta(days=30),
                slots="at-once")]
        return given[0].grant.id


async def _counts(home: chez.Home) -> dict[str, int]:
    return {one.name: one.records for one in await home.collections()}
