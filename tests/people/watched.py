"""The state machine's world and books, and what must hold of every device at every step, and in the end."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine

import chez
from chez.errors import ChezError, NotAllowed, NotFound, RelayMisbehaved, RelayRefused
from chez.home.sharing import RoleName
from chez.spaces.link import SpaceLink
from chez.spaces.statements import Role
from tests.people.knowing import View
from tests.people.watching import Books, Holding, leftovers, may_write, view_of
from tests.people.world import Device, World

__all__ = ("NAMES", "ROLES", "Watched")

NAMES: Final = ("anna", "berta", "carl")
ROLES: Final[dict[RoleName, Role]] = {"owner": Role.OWNER, "writer": Role.WRITER, "reader": Role.READER}
Step = Callable[[], Awaitable[Any]]
ROUNDS: Final = 8
"""Syncs of everybody until nothing moves any more, at most."""


class Watched(RuleBasedStateMachine):
    """Persons with devices at one relay, and the books of what they said, wrote and were shown."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.world = World(Path(tempfile.mkdtemp()))
        self.books = Books()
        self.away: set[Device] = set()
        self.outside: set[Device] = set()
        """Those whom the relay let into the space no more when they came last, whether they know why or not."""
        self.tokens = 0
        self.link = ""
        self.private: dict[str, bytes] = {}

    def run(self, work: Awaitable[Any]) -> Any:
        async def whole() -> Any:
            return await work

        return self.loop.run(whole())

    def device(self, who: int) -> Device:
        """One of the devices, by a number."""
        chosen = self.world.devices[who % len(self.world.devices)]
        note(f"  {chosen.name}")
        return chosen

    def person(self, who: int) -> tuple[str, bytes]:
        """One of the persons, by a number: its name and id."""
        name = NAMES[who % len(NAMES)]
        note(f"  of {name}")
        return name, self.world.of(name)[0].home.person_id

    def say(self, device: Device, refusal: Callable[[View], type[ChezError] | None],
            step: Callable[[chez.Space], Awaitable[Any]]) -> None:
        """A device says something of the space: it is refused as the reference says, or is in effect here."""
        self.run(self._say(device, refusal, step))

    async def _say(self, device: Device, refusal: Callable[[View], type[ChezError] | None],
                   step: Callable[[chez.Space], Awaitable[Any]]) -> None:
        space = self.world.shared(device)
        if space is None or not await self._at_its_place(device):
            return
        view = await self._view(device, space)
        before = await self.books.holding(device, space)
        if await self._try(device, refusal(view), lambda: step(space), before):
            await self._looked(device)

    async def _try(self, device: Device, refusal: type[ChezError] | None, step: Step, *holdings: Holding) -> bool:
        """Do it; whether it was done. What is refused is what shall be, or waits for what the device does not hold."""
        try:
            await step()
        except NotAllowed as error:
            if any(one.lacks for one in holdings) and "not here yet" in error.message:
                return False
            if not all(one.whole for one in holdings) and "read" in error.message:
                return False
            assert refusal is NotAllowed, f"{device.name} was refused: {error}"
            return False
        except NotFound as error:
            assert refusal is NotFound, f"{device.name} was refused: {error}"
            return False
        assert refusal is None, f"{device.name} was not refused"
        return True

    async def _join(self, device: Device) -> None:
        space = self.world.shared(device)
        link = self.link
        here = space is not None and not space.status().removed and not self._astray(device)
        said = self.books.of(self.world.space)
        arrived = said.view(said.arrived)
        try:
            await device.home.join(link)
        except (NotAllowed, NotFound, RelayMisbehaved) as error:
            assert isinstance(error, NotAllowed) or not here, error
            if isinstance(error, RelayMisbehaved):  # the keys there are of a void epoch, or were replaced just now
                assert not self._ruled() or said.perhaps - said.arrived, error
                return
            left = space is not None and (await self._view(device, space)).facts.right(device.id) is None
            if not here and not left:
                assert said.out(device.id) or arrived.owed or not arrived.packed(device.id), error
            return
        assert not here, "who was in the space already came in once more"
        joined = self.world.shared(device)
        assert joined is not None and (await self._view(device, joined)).right(device.id) is not None
        await self._looked(device)

    async def _view(self, device: Device, space: chez.Space) -> View:
        return view_of(self.books, self.world.space, await self.books.holding(device, space))

    async def _looked(self, device: Device) -> tuple[Holding, set[str]] | None:
        """Hold what a device shows of the space against what it must show by what it holds."""
        await self.books.holding(device, device.home.space())
        space = self.world.shared(device)
        if space is None:
            return None
        holding = await self.books.holding(device, space)
        view = view_of(self.books, self.world.space, holding)
        members = await space.members()
        assert {member.id: ROLES[member.role] for member in members} == view.facts.roles
        right = view.right(device.id)
        assert space.role == (None if right is None else right.name.lower())
        assert (space.name, space.archived) == (view.name, view.archived)
        assert space.status().removed == (right is None)
        return holding, await self.books.show(device, space)

    def _astray(self, device: Device) -> bool:
        """Whether a device has the space at a place that it was taken from."""
        space = self.world.shared(device)
        return space is not None and space._held.space.handle != SpaceLink.read(self.link).handle

    async def _at_its_place(self, device: Device) -> bool:
        """Whether a device has the space at its place, or comes there now.

        Who is still at the former one says nothing of others' rights: a move whose author loses the right to it at
        the same time is void, and they would part (docs/spaces.md).
        """
        if self._astray(device):
            await self._sync(device)
        return not self._astray(device)

    async def _sync(self, device: Device) -> bool:
        """Bring a device in step; whether anything moved. Who belongs is refused by nobody.

        It comes by the link first where the space was moved, and somebody else than its own person told it.
        """
        if self._astray(device):
            await self._join(device)
        private = self.books.of(self.private[device.person])
        try:
            report = await device.home.sync(timeout=90)
        except RelayRefused as error:
            assert private.out(device.id), f"{device.name}: {error}"
            await self._looked(device)
            return False
        assert not report.quarantined and not report.reset and not report.unanswered
        held = await self.books.holding(device, device.home.space())
        assert private.arrived <= held.said, f"{device.name} is in step, and was not told everything"
        private.arrived |= held.said
        looked = await self._looked(device)
        if looked is not None:
            self._in_step(device, looked[0], [problem.problem for problem in report.problems])
        return bool(report.sent or report.received)

    def _in_step(self, device: Device, holding: Holding, problems: list[str]) -> None:
        said = self.books.of(self.world.space)
        view = view_of(self.books, self.world.space, holding)
        if self._astray(device):  # it was taken out, or its own person told it of the former place: nothing is there
            self.outside.add(device)
            return
        (self.outside.add if problems else self.outside.discard)(device)
        if problems:
            packed = said.view(said.arrived).packed(device.id)
            assert said.out(device.id) or not packed, f"{device.name}: {problems}"
        elif view.right(device.id) is not None:
            told = said.arrived <= holding.said
            said.arrived |= holding.said
            assert told or not self._ruled(), f"{device.name} is in step, and was not told everything"
            for one in self.books.writings:
                one.arrived |= one.device is device and may_write(view, device.id)
        else:  # who left says so, if the line holds
            said.perhaps |= holding.said

    def _ruled(self) -> bool:
        """Whether the space has an owner: without one nobody starts the epochs that are owed."""
        said = self.books.of(self.world.space)
        return bool(said.view(said.arrived | said.perhaps).owners() and said.view(said.arrived).owners())

    async def _settled(self) -> None:
        for _ in range(ROUNDS):
            moved = [await self._sync(device) for device in self.world.devices]
            if not any(moved):
                return
        raise AssertionError(f"after {ROUNDS} rounds something still moves")

    async def _all_in_step(self) -> None:
        await self._settled()
        said = self.books.of(self.world.space)
        view = said.view(said.arrived)
        for name in NAMES:  # who was let in comes by the link, with one device
            own = [device for device in self.world.of(name) if view.facts.right(device.id) is not None]
            outside = [device for device in own if (space := self.world.shared(device)) is None
                       or space.status().removed or self._astray(device)]
            if outside and outside == own:
                await self._join(outside[0])
        await self._settled()
        await self._answered()
        await self._settled()
        members = []
        for device in self.world.devices:
            space = self.world.shared(device)
            if space is not None and device not in self.outside and (
                    await self._view(device, space)).right(device.id) is not None:
                members.append((device, space))
        if not self._ruled():
            await self._agree_unruled(members)
            return
        seen = [await self._whole(device, space) for device, space in members]
        for (device, _), one in zip(members, seen, strict=True):
            differ = {key: (seen[0][key], value) for key, value in one.items() if value != seen[0][key]}
            assert not differ, f"{members[0][0].name} and {device.name} differ: {differ}"
        if members:
            await self._final(members, seen[0])

    async def _agree_unruled(self, members: list[tuple[Device, chez.Space]]) -> None:
        """Without an owner nobody starts the epochs that are owed; who has the same words and keys shows the same."""
        seen: dict[Any, Any] = {}
        for device, space in members:
            holding = await self.books.holding(device, space)
            known = holding.said, frozenset(space._held.space.epochs)
            shown = ([(one.id, one.role) for one in sorted(await space.members(), key=lambda one: one.id)],
                     {note.id: note.value async for note in space.collection("notes")})
            assert seen.setdefault(known, shown) == shown, f"{device.name} differs in a space of nobody"

    async def _answered(self) -> None:
        """Whoever waits for an answer has it."""

    async def _whole(self, device: Device, space: chez.Space) -> dict[str, Any]:
        """All that members agree on."""
        replica = space._held.replica
        left = await device.home._database.read(lambda db: leftovers(db, replica))
        assert not left, f"{device.name} has {left}"
        holding = await self.books.holding(device, space)
        return {
            "said": holding.said, "lacks": holding.lacks, "epoch": replica.space.epoch.id,
            "members": [(one.id, one.name, one.role, one.devices) for one in sorted(
                await space.members(), key=lambda one: one.id)],
            "name": space.name, "archived": space.archived,
            "records": {note.id: note.value async for note in space.collection("notes")},
            "audit": [(one.kind, one.device, one.sequence, one.entries, one.counts, one.count)
                      for one in await device.home.audit() if one.space == space.id],
        }

    async def _final(self, members: list[tuple[Device, chez.Space]], agreed: dict[str, Any]) -> None:
        said = self.books.of(self.world.space)
        view = said.view(agreed["said"])
        assert not agreed["lacks"]
        ids = {device.id for device, _ in members}
        for device in self.world.devices:
            private = self.books.of(self.private[device.person])
            expelled = private.view(private.arrived).facts.right(device.id) is None
            assert device.id in ids or expelled or view.facts.right(device.id) is None, f"{device.name} is not told"
            assert device.id not in ids or view.facts.right(device.id) is not None, f"{device.name} thinks it is in"
            if (space := self.world.shared(device)) is not None and view.facts.right(device.id) is None:
                told = expelled or self._astray(device) or space.status().removed
                assert told, f"{device.name} was not told that it is out"
        if any(view.facts.right(device) is Role.OWNER for device in ids):
            assert not view.owed, "an epoch is owed that nobody starts"
        tokens = {token for value in agreed["records"].values() for token in value}
        for one in self.books.owed(self.world.space, view):
            assert one.token in tokens, f"{one.token} of {one.device.name} is lost"
        for one in self.books.denied(self.world.space, view):
            assert one.token not in tokens, f"{one.token} of {one.device.name} shows after its removal"
        for device in self.world.devices:
            space = self.world.shared(device)
            shown = set() if space is None else await self.books.show(device, space)
            for one in self.books.secret(self.world.space, device):
                assert one.token not in shown, f"{device.name}, which was taken out, reads {one.token}"
