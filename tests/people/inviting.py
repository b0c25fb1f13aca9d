"""Persons who come into the space by invitations: by a link, answered by whichever device comes, and by a code."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule

import chez
from chez.errors import ChezError, NotAllowed, NotFound, RelayMisbehaved, Unanswered
from chez.home.sharing import RoleName
from chez.spaces.statements import Add, Create, Revoke, Role
from tests.people.knowing import Said
from tests.people.watched import ROLES, Watched
from tests.people.world import Device

__all__ = ("ROLE", "WHO", "Inviting")

WHO = st.integers(0, 9)
ROLE = st.sampled_from(list(ROLES))

SOON: Final = 0.3
"""Seconds that a guest waits for an answer in the middle: it comes again in the end."""
LATE: Final = 20.0


@dataclass
class Issued:
    """An invitation that a device made."""

    link: str
    hash: bytes
    uses: int
    device: Device
    asked: set[Device] = field(default_factory=set)
    """Who asked by it, and has not been answered yet."""


class Inviting(Watched):
    """What the machine's persons do with invitations; `issued` are all that were made."""

    def __init__(self) -> None:
        super().__init__()
        self.issued: list[Issued] = []

    @rule(who=WHO, role=ROLE, uses=st.integers(1, 2))
    def invite(self, who: int, role: RoleName, uses: int) -> None:
        """Somebody makes an invitation for one or two persons."""
        device = self.device(who)

        async def make(space: chez.Space) -> None:
            made = await space.invite(role, uses=uses)
            assert made.link is not None
            self.issued.append(Issued(made.link, bytes.fromhex(made.id), uses, device))

        self.say(device, lambda view: view.owning(device.id), make)

    @precondition(lambda self: self.issued)
    @rule(who=WHO, which=WHO)
    def revoke(self, who: int, which: int) -> None:
        """Somebody revokes an invitation that he knows of."""
        device, one = self.device(who), self.issued[which % len(self.issued)]
        space = self.world.shared(device)
        if space is not None and any(known.id == one.hash.hex() for known in self.run(space.invitations())):
            self.say(device, lambda view: view.owning(device.id), lambda space: space.revoke(one.hash.hex()))

    @precondition(lambda self: self.issued)
    @rule(who=WHO, which=WHO)
    def come(self, who: int, which: int) -> None:
        """Somebody comes by an invitation: it is answered, or waits for the answer."""
        self.run(self._come(self.device(who), self.issued[which % len(self.issued)], SOON))

    async def _come(self, device: Device, one: Issued, timeout: float) -> None:
        space = self.world.shared(device)
        here = space is not None and not space.status().removed and not self._astray(device)
        try:
            await device.home.join(one.link, timeout=timeout)
        except Unanswered:
            assert not here
            one.asked.add(device)
            return
        except (NotAllowed, NotFound, RelayMisbehaved) as error:
            said = self.books.of(self.world.space)
            if isinstance(error, NotAllowed):
                one.asked.discard(device)
                assert here or self._may_refuse(one, device, said), error
            elif isinstance(error, RelayMisbehaved):
                assert not self._ruled() or said.perhaps - said.arrived, error
            return
        one.asked.discard(device)
        assert not here, "who was in the space already came in once more"
        joined = self.world.shared(device)
        assert joined is not None and (await self._view(device, joined)).right(device.id) is not None
        await self._looked(device)

    def _may_refuse(self, one: Issued, device: Device, said: Said) -> bool:
        """Whether anything that anybody said lets an invitation be refused to this device."""
        bodies = [statement.body for statement in said.statements()]
        came = sum(isinstance(body, Add) and body.invite == one.hash for body in bodies)
        person = device.home.person_id
        return (came >= one.uses or any(isinstance(body, Revoke) and body.invite == one.hash for body in bodies)
                or any(isinstance(body, Add | Create) and body.person == person for body in bodies)
                or said.out(one.device.id) or said.view(said.arrived).facts.right(one.device.id) is not Role.OWNER
                or self.books.of(self.private[device.person]).out(device.id))

    async def _answered(self) -> None:
        """In the end nobody waits whom a device could answer that is in step."""
        said = self.books.of(self.world.space)
        for one in self.issued:
            for device in tuple(one.asked):
                await self._come(device, one, SOON)
            able = [other for other in self.world.of(one.device.person) if other not in self.outside
                    and self.world.shared(other) is not None
                    and said.view(said.arrived).facts.right(other.id) is Role.OWNER]
            assert not able or not one.asked, f"{[device.name for device in one.asked]} wait for {able[0].name}"

    # --- by a code --------------------------------------------------------------------------------

    @rule(who=WHO, whom=WHO, role=ROLE)
    def show_a_code(self, who: int, whom: int, role: RoleName) -> None:
        """Two who are there at the same time: the one shows a code, the other comes by it."""
        host, guest = self.device(who), self.device(whom)
        if not {host, guest} & self.away and host.person != guest.person:
            self.run(self._show(host, guest, role))

    async def _show(self, host: Device, guest: Device, role: RoleName) -> None:
        await self._sync(host)
        await self._sync(guest)
        space, said = self.world.shared(host), self.books.of(self.private[guest.person])
        if space is None or host in self.outside or said.out(guest.id):
            return
        view, before = await self._view(host, space), await self.books.holding(host, space)
        belongs = guest.home.person_id in view.facts.roles  # who is in it already is only led to it
        refusal = view.owning(host.id) if belongs else view.adding(host.id, guest.home.person_id)

        async def both() -> None:
            async with space.invite_by_code(role) as shown:
                coming = asyncio.create_task(guest.home.join(shown.code, timeout=LATE))
                try:
                    await shown.joined()
                except ChezError:
                    coming.cancel()
                    with suppress(asyncio.CancelledError, ChezError):
                        await coming
                    raise
                with suppress(NotAllowed):  # of who was in it before, and had not heard that it was taken out
                    await coming

        if await self._try(host, refusal, both, before):
            await self._looked(host)
            await self._looked(guest)
