"""Devices of two persons and a guest at two relays, whose calls are given up, and who are killed, while lines break.

What a call returned from is written down (`Storm.done`), and held in the end, when everything has settled. A seed
chooses the calls and the moments at which they are given up; in what order threads and sockets answer it does not.
"""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import chez
from chez import inboxes
from chez.crypto import Kdf
from chez.errors import ChezError, NotAllowed
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.run import authorise, settle_all
from chez_sandbox.provider.results import ResultBook
from tests.cuts import cut
from tests.home.pairing import PASSPHRASE
from tests.jobs.samples import INBOX_OWNER, INBOX_WRITER, LATER, WHOLE
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_retries import keys_at
from tests.people.killing import kill
from tests.people.proxy import Proxy

__all__ = ("Device", "Storm")

CONTACTS: Final = Path(__file__).parents[1] / "data" / "contacts-vcard" / "gmail-list.vcf"
ROUNDS: Final = 3
"""In which all that was said comes to all: each says what it owes, hears of what is owed by others, and says that."""


@dataclass(eq=False)
class Device:
    """A device, whose home is open."""

    name: str
    folder: Path
    home: chez.Home = field(repr=False)
    stack: AsyncExitStack = field(repr=False)


class Storm:
    """The devices, and what they do; each step is a method whose name begins with `do_`."""

    def __init__(self, folder: Path, fronts: list[Proxy], seed: int) -> None:
        self.folder = folder
        self.fronts = fronts
        self.chance = random.Random(seed)
        self.devices: list[Device] = []
        self.done: dict[str, set[str]] = {"private": set(), "Trip": set()}
        """By space, the notes that were written, as a call said."""
        self.told: list[str] = []
        """What was done, for who reads of a failure."""
        self.imported = False
        self.links: list[tuple[str, str]] = []
        """The invitations, by id, and their links."""
        self.ends: set[str] = set()
        """The spaces that were to be deleted, by id."""
        self._number = 0
        self._grants: dict[str, str] = {}

    async def begin(self) -> None:
        """Anna's devices a and b, and Berta's c; Anna shares a space with her; a may run a job. Dora, d, is a guest."""
        for name in ("a", "c", "d"):
            await chez.create(self.folder / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
            await self._open(name)
            await self.of(name).set_relay(self.fronts[0].url)
            await self.of(name).relays.add(self.fronts[1].url)
        a, c = self.of("a"), self.of("c")
        trip = await a.create_space("Trip")
        await trip.add(await c.card(), "writer")
        await a.sync()
        await self.pair("b")
        await c.join(trip.link())
        await self.settle()
        await inboxes.create(self.fronts[0].url, INBOX_OWNER, INBOX_WRITER.public, ttl=86_400)
        await a.collection("readings").put({"local": "2026-11-20T00:00", "watts": 100, "flow": "consumption"})
        self.job = bundle(relay=self.fronts[0].url, reads=WHOLE)
        self.grant = (await grant(a, self.job, 1)).grant.id

    async def end(self) -> None:
        """Close all homes."""
        for device in self.devices:
            await device.stack.aclose()

    def of(self, name: str) -> chez.Home:
        """The home of a device."""
        return next(device.home for device in self.devices if device.name == name)

    async def _open(self, name: str) -> None:
        stack = AsyncExitStack()
        home = await stack.enter_async_context(chez.open(self.folder / name, passphrase=PASSPHRASE))
        self.devices.append(Device(name, self.folder / name, home, stack))

    async def pair(self, name: str) -> None:
        """Another device of Anna's."""
        async with self.of("a").pair() as pairing:
            joined = asyncio.create_task(chez.join(
                self.folder / name, pairing.code, passphrase=PASSPHRASE, name=name, relay=self.fronts[0].url,
                kdf=Kdf.minimum()))
            await pairing.confirm()
            await joined
        await self._open(name)

    # --- the storm ----------------------------------------------------------------------------

    async def rage(self, steps: int) -> None:
        """So many calls, most of which are given up, while lines break and homes are closed and opened."""
        every = sorted(name for name in dir(self) if name.startswith("do_"))
        for _ in range(steps):
            name, device = self.chance.choice(every), self.chance.choice(self.devices)
            calls = [getattr(self, name)(device)]
            if name not in ("do_close", "do_run") and self.chance.random() < 0.15:
                await self._killed(name, device, calls[0])
                continue
            if self.chance.random() < 0.3:
                calls.append(self.do_sync(self.chance.choice(self.devices)))
            if self.chance.random() < 0.2:
                self.chance.choice(self.fronts).cut()
            await asyncio.gather(*[self._given_up(name, device, call) for call in calls])
            if name == "do_close":
                device.home = await device.stack.enter_async_context(chez.open(device.folder, passphrase=PASSPHRASE))

    async def _given_up(self, name: str, device: Device, call: Coroutine[Any, Any, None]) -> None:
        at = self.chance.choice([1, 2, 3, 5, 8, 13, 21, 34, 10_000, 10_000])
        outcome, _ = await cut(call, at, self.chance.random() < 0.5)
        self._ended(f"{name} on {device.name}, cut at {at}", outcome)

    async def _killed(self, name: str, device: Device, call: Coroutine[Any, Any, None]) -> None:
        commits = self.chance.choice([0, 1, 2, 3, 5, 8])
        self._ended(f"{name} on {device.name}, killed at {commits}", await kill(device, call, commits))

    def _ended(self, what: str, outcome: object) -> None:
        self.told.append(f"{what}: {outcome!r:.200}")
        if isinstance(outcome, BaseException) and not isinstance(outcome, ChezError | asyncio.CancelledError):
            raise outcome

    def _id(self) -> str:
        self._number += 1
        return f"n{self._number}"

    def _space(self, device: Device) -> chez.Space:
        name = "Trip" if device.name in "cd" or self.chance.random() < 0.5 else "private"
        return device.home.space() if name == "private" else device.home.space("Trip")

    def _wrote(self, device: Device, space: chez.Space, id: str) -> None:
        if device.name != "d":  # who is taken out meanwhile: that may count for nothing
            self.done[space.name].add(id)

    async def do_put(self, device: Device) -> None:
        """Write a note."""
        space, id = self._space(device), self._id()
        await space.collection("notes").put({"by": device.name, "n": 0}, id=id)
        self._wrote(device, space, id)

    async def do_edit(self, device: Device) -> None:
        """Change a note, and undo the change."""
        notes = self._space(device).collection("notes")
        first = await notes.where().first()
        if first is not None:
            async with notes.edit(first.id) as draft:
                draft["n"] = self.chance.randrange(100)
            with suppress(ChezError):
                await notes.undo(first.id)

    async def do_throw_away(self, device: Device) -> None:
        """Write a note, delete it and bring it back."""
        space, id = self._space(device), self._id()
        notes = space.collection("notes")
        await notes.put({"by": device.name, "n": 1}, id=id)
        await notes.delete(id)
        await notes.restore(id)
        self._wrote(device, space, id)

    async def do_attach(self, device: Device) -> None:
        """Write a note with a file."""
        space, id = self._space(device), self._id()
        photo = await space.blobs.add(self.chance.randbytes(70_000))
        await space.collection("notes").put({"by": device.name, "photo": photo}, id=id)
        self._wrote(device, space, id)

    async def do_sync(self, device: Device) -> None:
        """Sync."""
        await device.home.sync()

    async def do_connect(self, device: Device) -> None:
        """Be connected for a moment."""
        async with device.home.connect() as link:
            await link.synced(10)

    async def do_rotate(self, device: Device) -> None:
        """Begin new epochs."""
        await device.home.devices.rotate(everywhere=True)

    async def do_checkpoint(self, device: Device) -> None:
        """Write what relays have smaller."""
        await self._space(device).checkpoint()

    async def do_import(self, device: Device) -> None:
        """Import contacts, and keep the file."""
        if device.name in "ab":
            self.imported = True
            await device.home.import_file(CONTACTS, in_process=True, keep=True)

    async def do_export(self, device: Device) -> None:
        """Export everything."""
        await device.home.export(self.folder / f"export {self._id()}", history=True)

    async def do_backup(self, device: Device) -> None:
        """Back up."""
        await device.home.backup(self.folder / f"backup {self._id()}")

    async def do_close(self, device: Device) -> None:
        """Close a home, which is opened again once that was given up, or is done."""
        await device.stack.aclose()

    async def do_run(self, device: Device) -> None:
        """Run a job, and send what left."""
        if device.name == "a":
            async with authorise(device.home, self.grant, TODAY) as run:
                await run.release(await run.execute(INSTANT))
            await deliver(device.home, LATER)

    async def do_role(self, device: Device) -> None:
        """Berta may write no more, and again."""
        if device.name in "ab":
            await device.home.space("Trip").set_role("c", "reader")
            await device.home.space("Trip").set_role("c", "writer")

    async def do_found(self, device: Device) -> None:
        """Make a space, and delete it."""
        space = await device.home.create_space(f"Space {self._id()}")
        self.ends.add(space.id)
        await space.collection("notes").put({"n": 1})
        if self.chance.random() < 0.5:
            await device.home.sync()
        await space.delete()

    async def do_invite(self, device: Device) -> None:
        """Invite somebody."""
        made = await device.home.space("Trip").invite(uses=2)
        assert made.link is not None
        self.links.append((made.id, made.link))

    async def do_withdraw(self, device: Device) -> None:
        """Let an invitation be worth nothing any more."""
        if self.links:
            await device.home.space("Trip").revoke(self.chance.choice(self.links)[0])

    async def do_come(self, device: Device) -> None:
        """Come by an invitation, while one of those syncs who may let somebody in."""
        if self.links:
            host = self.chance.choice([one for one in self.devices if one.name in "ab"])
            coming = self.of("d").join(self.links[-1][1], timeout=1)
            for outcome in await asyncio.gather(coming, host.home.sync(), return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def do_turn_out(self, device: Device) -> None:
        """Take the guest out."""
        await device.home.space("Trip").remove("d")

    async def do_leave(self, device: Device) -> None:
        """The guest leaves, and forgets the space."""
        trip = self.of("d").space("Trip")
        with suppress(ChezError):
            await trip.leave()
        if self.chance.random() < 0.5:
            await self.of("d").sync()
            await trip.forget()

    # --- what holds afterwards ------------------------------------------------------------------

    async def settle(self) -> None:
        """All hear of everything."""
        for _ in range(ROUNDS):
            for device in self.devices:
                await device.home.sync(everywhere=True)

    async def check(self) -> None:
        """All promises, once nothing breaks any more."""
        await self.settle()
        if (await self.of("a").space("Trip").member("c")).role != "writer":
            await self.of("a").space("Trip").set_role("c", "writer")
            await self.settle()
        if self.imported:
            report = await self.of("a").import_file(CONTACTS, in_process=True, keep=True)
            assert report.added + report.unchanged == 3 and len(await self.of("a").kept_exports()) == 1
        assert await self._results() == len(await self.of("a").journal.receipts("run"))
        await self.settle()
        inside = await self._guest()
        await self._ends()
        anna = [device for device in self.devices if device.name in "ab"]
        await self._alike("Trip", [device for device in self.devices if inside or device.name != "d"])
        await self._alike("private", anna)
        assert len({tuple(space.id for space in await device.home.spaces()) for device in anna}) == 1
        for device in self.devices:
            await self._sound(device.home, guest=device.name == "d" and not inside)

    async def _guest(self) -> bool:
        """Whether the guest is in, where it was let in; else it reads nothing that is written from now on."""
        trip, guest = self.of("a").space("Trip"), self.of("d")
        inside = "d" in [member.name for member in await trip.members()]
        if inside:
            with suppress(NotAllowed):  # it has the space already
                await guest.join(trip.link())
        await trip.collection("notes").put({"n": 0}, id="late")
        await self.settle()
        here = [space for space in await guest.spaces() if space.id == trip.id]
        assert inside or not here or here[0].status().removed
        for space in here:
            assert inside is ("late" in {note.id async for note in space.collection("notes")})
        return inside

    async def _ends(self) -> None:
        """What was cut off while it was deleted is deleted by the next call, everywhere."""
        for device in self.devices:
            for space in await device.home.spaces():
                if space.id in self.ends:
                    await space.delete()
        await self.settle()

    async def _alike(self, space: str, devices: list[Device]) -> None:
        shown = {}
        for device in devices:
            there = device.home.space(None if space == "private" else space)
            shown[device.name] = {name: {record.id: record.value async for record in there.collection(name)}
                                  for name in [one.name for one in await there.collections()]}
        first, *others = shown.values()
        assert all(other == first for other in others), shown
        assert self.done[space] <= set(first.get("notes", {})), self.done[space] - set(first["notes"])

    async def _results(self) -> int:
        """How many runs a provider hears of, each once."""
        home = self.of("a")
        await settle_all(home, TODAY)
        assert (await deliver(home, LATER)).waiting == 0
        new = 0
        with ResultBook(self.folder / "results.jsonl", keys_at(self.job.manifest.provider.relay), [self.job]) as book:
            async with inboxes.watch(self.fronts[0].url, INBOX_OWNER) as items:
                left = len(await home.journal.receipts("delivered"))
                while new < left:
                    async with asyncio.timeout(10):
                        new += book.keep((await anext(items)).item, datetime.now(UTC)).new
        return new

    async def _sound(self, home: chez.Home, *, guest: bool) -> None:
        """All is in step, and nothing is amiss; a `guest` that was taken out may have written what counts for nothing,
        and the others are told of that.
        """
        report, status = await home.sync(everywhere=True), await home.status()
        left = (status.quarantined, *(() if guest else (status.pending, status.attachments, report.problems)))
        assert not any(left), f"{home.name}: {report} {status}"
        assert not [space for space in status.spaces if space.problem or space.owed], status
        assert guest or not [space for space in status.spaces if space.removed], status
        assert not [one for one in status.relays if one.problem], status
        assert (await home.journal.verify()).ok
        aside = ([one for one in await home.audit() if one.name != "d"], await home.alarms(),
                 [one for one in await home.examine() if one.harm])
        assert not any(aside), f"{home.name}: {aside}"
        assert not (home.path / "unexpected.txt").exists()
