"""Inviting somebody by a short code, while both are there: the host's side, and the guest's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from chez import crypto, inboxes
from chez.errors import BadPairing, ChezError, NotAllowed, NotFound, RelayRefused
from chez.home.exchange import Exchange
from chez.home.held import Held
from chez.home.pairing import CODE_SECONDS, WRONG, Ask, agrees, check_guesses, full_code
from chez.home.replying import type_code
from chez.home.sharing import Member, RoleName, Sharing, role_named
from chez.home.syncing import Syncing, relay_row
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.spaces.card import Card
from chez.spaces.permits import check_owner
from chez.store.database import Connection, Database
from chez.sync.codes import mailbox, new_code
from chez.sync.introducing import Guest, Host
from chez.sync.owing import untold
from chez.sync.pinning import split

__all__ = ("Hosting", "host", "visit")

CLOSE_SECONDS: Final = 3.0
"""How long a relay is waited for when what is left of a code is removed."""

IN_STEP: Final = 60.0
"""Seconds that a space has to be in step with its relay, so that the guest finds it there."""


class Hosting:
    """An invitation by code that waits for its guest; made by `Space.invite_by_code`.

    `code` is to be typed by the guest (`Home.join`); it works once, for ten minutes.
    """

    def __init__(self, database: Database, held: Held, sharing: Sharing, syncing: Syncing, journal: Journal,
                 role: RoleName, url: str) -> None:
        self._database = database
        self._held = held
        self._sharing = sharing
        self._syncing = syncing
        self._journal = journal
        self._role = role
        self._url = url
        self._address = syncing.routes.address(url)
        self._code = new_code(crypto.random_bytes(8))
        self._machine = Host(self._code, crypto.random_bytes(32))
        self.code: str = full_code(self._code, url)
        """What is typed by the guest: a secret while it works."""
        self._told = False
        """Whether the guest has heard what came of it."""

    def __repr__(self) -> str:
        return f"<invitation to {self._held.space.name!r} by a code>"  # the code is a secret

    async def joined(self, ask: Ask | None = None) -> Member:
        """Wait for the guest, let the person confirm, let the guest in, and tell it where the space is.

        `ask(question, default="no")` gives the person's answer, "yes" or "no"; without it, the code alone decides.
        Raises `BadPairing` when a wrong code was tried (this one is burnt then), `NotAllowed`
        when the person says no or nobody came in ten minutes, `RelayUnreachable` when the relay
        does not get in time what the guest needs.
        """
        try:
            card = await self._guest()
        except BadPairing:
            await self._journal.append("invitation-refused", {"space": self._held.id, "reason": WRONG})
            raise
        devices = ", ".join(map(repr, card.devices))
        question = f"Let {card.name!r} (with {devices}) into {self._held.space.name!r}, as {self._role}?"
        if ask is not None and not await agrees(ask, question):
            await self._tell(self._machine.refuse())
            await self._journal.append("invitation-refused", {"space": self._held.id, "reason": "the person said no",
                                                              "name": card.name})
            raise NotAllowed(f"{card.name!r} was not let in")
        try:
            member = await self._database.write(lambda db: self._admit(db, card))
            await self._in_step()
            welcome = self._machine.welcome(self._sharing.link(self._url, split(self._address)[1]))
        except ChezError:
            with suppress(ChezError):  # the guest need not wait; why it failed is told here
                await self._tell(self._machine.refuse())
            raise
        await self._tell(welcome)
        return member

    async def _tell(self, message: bytes) -> None:
        key, box = mailbox(self._code, True, "invitation")
        await inboxes.put(self._address, box, key, message)
        self._told = True

    async def open(self) -> None:
        """Make both inboxes and leave the hello in one."""
        for to_guest in (True, False):
            key, _ = mailbox(self._code, to_guest, "invitation")
            await inboxes.create(self._address, key, key.public, ttl=CODE_SECONDS)
        key, box = mailbox(self._code, True, "invitation")
        await inboxes.put(self._address, box, key, self._machine.hello)

    async def close(self) -> None:
        """Remove what is left for the host; a welcome must stay until it is taken.

        Whoever typed the code wrong, or types it from now on, is sent away.
        """
        with suppress(ChezError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for to_guest in (False,) if self._told else (True, False):
                    key, _ = mailbox(self._code, to_guest, "invitation")
                    async with inboxes.watch(self._address, key) as items:
                        await items.ack(2**62)
                if not self._told:
                    await self._tell(self._machine.refuse())

    async def _guest(self) -> Card:
        key, _ = mailbox(self._code, False, "invitation")
        try:
            async with asyncio.timeout(CODE_SECONDS), inboxes.watch(self._address, key) as items:
                async for item in items:
                    await items.ack(item.number)
                    return self._machine.receive(item.item)
        except TimeoutError:
            pass
        raise NotAllowed("nobody used the code in ten minutes", "Make another when your guest is at hand.")

    def _admit(self, db: Connection, card: Card) -> Member:
        self._held.replica.refresh(db)
        if self._held.space.membership.state.role(card.person) is not None:
            return self._sharing.member(card.person)
        return self._sharing.admit(db, card, self._role)

    async def _in_step(self) -> None:
        link = self._syncing.standing.link_of(self._held.space)
        if link is not None:
            await link.reached(self._held.space.id, IN_STEP, said=True)
            return
        report = await Exchange(self._syncing).sync(IN_STEP)
        problem = next((one.problem for one in report.problems if one.id == self._held.id), "")
        # Changes that wait for room keep no guest away: what is said of one has room.
        n = self._held.space.n
        lacks = await self._database.write(lambda db: untold(db, n, relay_row(db, self._url), says=True))
        if problem and lacks:
            raise RelayRefused(f"the relay does not get what your guest needs: {problem}")


@asynccontextmanager
async def host(database: Database, held: Held, sharing: Sharing, syncing: Syncing, journal: Journal,
               device: DeviceKeys, role: RoleName, now: Callable[[], int]) -> AsyncIterator[Hosting]:
    """Make a code and its inboxes; on leaving, what is left in them is removed.

    `now` gives Unix milliseconds. Raises `NotAllowed` for who is no owner, and after too many
    wrong codes, `NotFound` while the space is at no relay, `InvalidValue`.
    """
    role_named(role, held.space)
    check_owner(held.space, device.id, "invites somebody")
    url = syncing.routes.relay_of(held.space)
    if url is None:
        raise NotFound("this space is at no relay, where somebody could come in", "Set it: `chez relay URL`.")
    database.check_writable()
    await check_guesses(journal, "invitation-refused", now)
    hosting = Hosting(database, held, sharing, syncing, journal, role, url)
    await hosting.open()
    try:
        yield hosting
    finally:
        await hosting.close()


async def visit(code: str, url: str, card: Card, device: DeviceKeys) -> str:
    """The guest's side: show the card to who shows the code, and wait to be let in; gives the space link.

    Raises `BadPairing` for a wrong code, `NotAllowed` when the host says no or does not answer
    in ten minutes, `NotFound` when the relay knows of no such code, `InvalidValue`,
    `RelayUnreachable`, `RelayRefused`.
    """
    machine = Guest(code, card, device, crypto.random_bytes(32))
    return await type_code(
        code, "invitation", url, machine.answer, machine.welcome, CODE_SECONDS,
        "It ended, is of another relay, or pairs devices, which needs a home that is still to be made: "
        "ask for a new one.")
