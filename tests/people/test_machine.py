"""Persons with several devices share a space, say and write whatever they like, lose their lines and are killed.

Held to a reference: each device refuses what the plain definition of membership refuses by the
statements that it holds, and once all are in step, all who belong show the same, and nobody else
shows what is not his to read.
"""

import sys

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from chez.errors import ChezError, NotAllowed, NotFound
from chez.home.sharing import RoleName
from tests.people.inviting import ROLE, WHO, Inviting
from tests.people.watched import NAMES, ROLES
from tests.people.watching import Writing, view_of
from tests.people.world import Device

MOST_DEVICES = 6


class People(Inviting):
    """Three persons, their devices at one relay, and the books of what they said, wrote and were shown."""

    @initialize(seed=st.integers(0, 2**32), berta=st.sampled_from([*ROLES, None]), carl=st.sampled_from([*ROLES, None]))
    def begin(self, seed: int, berta: RoleName | None, carl: RoleName | None) -> None:
        """Anna makes the space, and lets some of the others in."""
        self.run(self._begin(seed, {"berta": berta, "carl": carl}))

    async def _begin(self, seed: int, given: dict[str, RoleName | None]) -> None:
        await self.world.start(seed)
        for name in NAMES:
            device = await self.world.person(name)
            self.private[name] = bytes.fromhex(device.home.space().id)
        anna, *others = self.world.devices
        space = await anna.home.create_space("Trip")
        self.world.space, self.link = bytes.fromhex(space.id), space.link()
        for device in others:
            if (role := given[device.person]) is not None:
                await space.add(await device.home.card(), role)
        await self._sync(anna)
        for device in others:
            if given[device.person] is not None:
                await device.home.join(space.link())
            await self._sync(device)

    def teardown(self) -> None:
        """In the end everybody comes back, unless a step failed: that is what is told of then."""
        try:
            if sys.exc_info()[0] is None and self.world.space:
                self.run(self._all_in_step())
        finally:
            self.run(self.world.end())
            self.loop.close()

    # --- records ------------------------------------------------------------------------------

    @rule(who=WHO, which=st.integers(0, 3))
    def write(self, who: int, which: int) -> None:
        """A device writes a new record, or into one that it shows."""
        self.run(self._write(self.device(who), which))

    @rule(who=WHO, which=st.integers(0, 3))
    def delete(self, who: int, which: int) -> None:
        """A device deletes a record that it shows."""
        self.run(self._write(self.device(who), which, delete=True))

    async def _write(self, device: Device, which: int, *, delete: bool = False) -> None:
        space = self.world.shared(device)
        if space is None:
            return
        view = await self._view(device, space)
        notes = space.collection("notes")
        ids = sorted([one.id async for one in notes])[:3]
        self.tokens += 1
        token = f"t{self.tokens}"
        id = ids[which] if which < len(ids) else token
        if delete and id == token:
            return

        async def edit() -> None:
            if id == token:
                await notes.put({token: device.name}, id=id)
            elif delete:
                await notes.delete(id)
            else:
                async with notes.edit(id) as draft:
                    draft[token] = device.name

        if not await self._try(device, view.writing(device.id), edit):
            return
        for one in self.books.writings:
            if one.record == id and one.device is not device:
                one.built_on = True
        if delete:
            self.books.deleted.add(id)
        else:
            barred = frozenset() if view.owed else view.outsiders()
            self.books.writings.append(Writing(token, id, device, view, barred))
            assert token in await self.books.show(device, space), "what was written does not show"

    # --- sync, and what keeps from it -----------------------------------------------------------

    @rule(who=WHO)
    def sync(self, who: int) -> None:
        """A device that is not cut off comes in step."""
        device = self.device(who)
        if device not in self.away:
            self.run(self._sync(device))

    @rule(first=WHO, second=WHO)
    def meet(self, first: int, second: int) -> None:
        """Two devices come in step one after the other."""
        self.sync(first)
        self.sync(second)

    @rule(who=WHO)
    def cut_off(self, who: int) -> None:
        """A device is out of reach, or comes back."""
        self.away ^= {self.device(who)}

    @rule(who=WHO, commits=st.integers(1, 12))
    def lose_the_line(self, who: int, commits: int) -> None:
        """In the middle of a sync the line breaks."""
        self.run(self._cut(self.device(who), commits))

    async def _cut(self, device: Device, commits: int) -> None:
        await self.world.cut(device, commits)
        await self._looked(device)
        self._interrupted(device)

    def _interrupted(self, device: Device) -> None:
        for space in device.home._spaces.all.values():
            said = self.books.of(space.space.id)
            said.perhaps |= said.note(space.space.membership.statements)

    @rule(who=WHO, commits=st.integers(0, 12))
    def kill(self, who: int, commits: int) -> None:
        """At rest, or in the middle of a sync, a device's process is killed; nothing that it showed is lost."""
        self.run(self._ended(self.device(who), commits))

    @rule(who=WHO)
    def restart(self, who: int) -> None:
        """A home is closed and opened."""
        self.run(self._ended(self.device(who), None))

    async def _ended(self, device: Device, commits: int | None) -> None:
        before = await self._looked(device)
        if commits is None:
            await self.world.restart(device)
        else:
            await self.world.kill(device, commits)
        after = await self._looked(device)
        self._interrupted(device)
        if before is not None and not commits:
            assert after == before, "a home is another after it was closed"

    # --- who belongs ----------------------------------------------------------------------------

    @rule(who=WHO, whom=WHO, role=ROLE)
    def add(self, who: int, whom: int, role: RoleName) -> None:
        """Somebody lets a person in, by the card that one of its devices gives."""
        device, (name, person) = self.device(who), self.person(whom)
        card = self.run(self.world.of(name)[whom % len(self.world.of(name))].home.card())
        self.say(device, lambda view: view.adding(device.id, person), lambda space: space.add(card, role))

    @rule(who=WHO, whom=WHO, role=ROLE)
    def give(self, who: int, whom: int, role: RoleName) -> None:
        """Somebody gives a member, or himself, a role."""
        device, (_, person) = self.device(who), self.person(whom)
        if person == device.home.person_id:
            self.run(self._sync(device))
        self.say(device, lambda view: view.giving(device.id, person, ROLES[role]),
                 lambda space: space.set_role(person, role))

    @rule(who=WHO, whom=WHO)
    def remove(self, who: int, whom: int) -> None:
        """Somebody takes a member out."""
        device, (_, person) = self.device(who), self.person(whom)
        self.say(device, lambda view: view.removing(device.id, person), lambda space: space.remove(person))

    @rule(who=WHO, whom=WHO)
    def transfer(self, who: int, whom: int) -> None:
        """An owner makes another the owner, while nobody has an epoch of his own (test_epochs_apart.py)."""
        device, (_, person) = self.device(who), self.person(whom)
        if self.run(self._alone_with_it(device)):
            self.say(device, lambda view: view.transferring(device.id, person), lambda space: space.transfer(person))
            self.run(self._sync(device))

    async def _alone_with_it(self, device: Device) -> bool:
        """Whether a device is in step, and no other has an epoch that is not at the relay."""
        await self._sync(device)
        said = self.books.of(self.world.space)
        held = [(await self.books.holding(one, space)).said for one in self.world.devices
                if (space := self.world.shared(one)) is not None]
        return not said.epochs(frozenset().union(*held)) - said.arrived

    @rule(who=WHO)
    def leave(self, who: int) -> None:
        """A member leaves, whose epochs have arrived (test_epochs_apart.py tells why)."""
        device = self.device(who)
        self.run(self._sync(device))
        self.say(device, lambda view: view.leaving(device.id), lambda space: space.leave())

    @rule(role=st.sampled_from(["writer", "reader", None]))
    def owners_go(self, role: RoleName | None) -> None:
        """All in step, all owners give their role up, or leave, at the same time: each knows that another one stays."""
        self.away.clear()
        self.run(self._owners_go(role))

    async def _owners_go(self, role: RoleName | None) -> None:
        await self._all_in_step()
        for name in NAMES:
            device = next((one for one in self.world.of(name) if one not in self.outside and (
                space := self.world.shared(one)) is not None and space.role == "owner"), None)
            if device is None:
                continue
            id, person = device.id, device.home.person_id
            if role is None:
                await self._say(device, lambda view, id=id: view.leaving(id), lambda space: space.leave())
            else:
                await self._say(device, lambda view, id=id, person=person: view.giving(id, person, ROLES[role]),
                                lambda space, person=person: space.set_role(person, role))

    @rule(who=WHO)
    def rotate(self, who: int) -> None:
        """Somebody starts an epoch."""
        device = self.device(who)
        self.say(device, lambda view: view.owning(device.id), lambda space: space.rotate())

    @rule(who=WHO, name=st.sampled_from(["Trip", "Rome", "Milan"]))
    def rename(self, who: int, name: str) -> None:
        """Somebody calls the space differently."""
        device = self.device(who)
        self.say(device, lambda view: view.owning(device.id), lambda space: space.rename(name))

    @rule(who=WHO, archived=st.sampled_from([True, False, False]))
    def archive(self, who: int, archived: bool) -> None:
        """Somebody puts the space away, or takes it out."""
        device = self.device(who)
        self.say(device, lambda view: view.owning(device.id), lambda space: space.archive(archived))

    @rule(who=WHO)
    def move(self, who: int) -> None:
        """While all are in step an owner takes the space to another place; each of the others comes by the new link."""
        self.away.clear()
        self.run(self._move(self.device(who)))

    async def _move(self, device: Device) -> None:
        await self._all_in_step()
        space = self.world.shared(device)
        if space is None or device in self.outside:
            return
        view, before = await self._view(device, space), await self.books.holding(device, space)
        if await self._try(device, view.owning(device.id), space.move, before):
            self.link = space.link()
            await self._looked(device)
            await self._sync(device)

    @rule(who=WHO)
    def join(self, who: int) -> None:
        """A device comes into the space by its link, if its person was let in."""
        self.run(self._join(self.device(who)))

    # --- devices --------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.devices) < MOST_DEVICES)
    @rule(who=WHO)
    def pair(self, who: int) -> None:
        """A person who has one device lets another one in."""
        device = self.device(who)
        if len(self.world.of(device.person)) < 3 and self.run(self._active(device)) == {device.id}:
            name = f"{device.person}{len(self.world.of(device.person)) + 1}"
            self.run(self.world.pair(device, name))
            self.run(self._looked(device))

    @rule(who=WHO, which=WHO)
    def expel(self, who: int, which: int) -> None:
        """A device takes another one of its person out."""
        self.run(self._expel(self.device(who), which))

    async def _active(self, device: Device) -> set[bytes]:
        """The devices of a person, by what one of them knows."""
        private = device.home.space()
        view = view_of(self.books, self.private[device.person], await self.books.holding(device, private))
        return {id for id in view.facts.devices if view.right(id) is not None} if (
            view.right(device.id) is not None) else set()

    async def _expel(self, device: Device, which: int) -> None:
        if not await self._at_its_place(device):
            return
        own = self.world.of(device.person)
        other = own[which % len(own)]
        active = await self._active(device)
        if device.id not in active:
            refusal: type[ChezError] | None = NotAllowed
        elif other is device:
            refusal = NotAllowed
        else:
            refusal = None if other.id in active else NotFound
        holdings = [await self.books.holding(device, space) for space in await device.home.spaces()]
        if await self._try(device, refusal, lambda: device.home.devices.remove(other.id), *holdings):
            await self._looked(device)
            assert other.id not in await self._active(device)

    @rule()
    def come_back(self) -> None:
        """Everybody comes back, and all come in step."""
        self.away.clear()
        self.run(self._all_in_step())


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def test_people_agree() -> None:
    """In a few short histories, the same each time."""
    run_state_machine_as_test(People, settings=settings(
        max_examples=2, stateful_step_count=12, deadline=None, derandomize=True, suppress_health_check=QUIET))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("histories", [pytest.param(1, marks=pytest.mark.slow),
                                       pytest.param(40, marks=pytest.mark.exhaustive)])
def test_people_agree_through_long_histories(histories: int) -> None:
    """In a longer one, and in many, the same each time."""
    run_state_machine_as_test(People, settings=settings(
        max_examples=histories, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=QUIET))
