"""Those who come by an invitation are answered: once at each sync, and while the home is connected.

Requests lie in an inbox of the invitation, at the relay of its space (`spaces.invitations`).
One is taken out only when its answer has left, and the answer leaves when the relay has all
that the newcomer needs: so a crash at any point leads to the same answer again. Refused ones
are answered too, as long as the invitation would have lasted: then its inbox ends by itself.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import msgspec

from chez import crypto, inboxes
from chez.errors import BadEntry, ChezError, InvalidValue, RelayRefused, RelayUnreachable
from chez.home.held import Held, HeldSpaces
from chez.home.invitations import Invitations, Own, Ready
from chez.home.reports import Admitted
from chez.home.sharing import Sharing
from chez.keys.device import DeviceKeys
from chez.spaces.invitations import Reason, Refusal, Request, open_request
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection, Database
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import InboxArrived
from chez.sync.link import Link
from chez_wire.frames import InboxItem
from chez_wire.limits import MAX_INBOX_ITEMS, MAX_INBOX_TTL
from chez_wire.login import Role, inbox_of

__all__ = ("Answering",)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
"""Seconds until requests are looked for again after that failed: doubling, with jitter."""

IN_STEP: Final = 60.0
"""Seconds that a space has to be in step with its relay, so that the newcomer finds it there."""

MOST_LOOKED_AT: Final = MAX_INBOX_ITEMS
"""Items of one inbox that one sync looks at: all that can have waited in it. Who refills it meanwhile keeps nobody."""

MOST_LET_IN: Final = 1000
"""Of those who came in between two reports so many are named; the journal has all."""

MOST_TOLD: Final = 20
"""Refusals by one invitation that the journal tells of, as long as the home is open."""


class _Seen(msgspec.Struct, frozen=True):
    """The invitations that this person's devices made, as of what was `known`."""

    known: tuple[int, int]
    own: list[Own]


class Answering:
    """The devices' side of invitations; `relay_of` tells where a space is, `pins` what a relay's key is to be, `now`
    Unix milliseconds.
    """

    def __init__(self, database: Database, spaces: HeldSpaces, device: DeviceKeys, person: bytes,
                 relay_of: Callable[[SpaceKeys], str | None], pins: Callable[[str | None], tuple[str, ...]],
                 now: Callable[[], int]) -> None:
        self._database = database
        self._spaces = spaces
        self._device = device
        self._person = person
        self._relay_of = relay_of
        self._pins = pins
        self._now = now
        self._own: dict[str, _Seen] = {}
        """By space, the invitations that are answered here."""
        self._ready = Ready()
        self._kept: dict[str, Link] = {}
        """By relay, the link for which whoever comes is answered until it ends."""
        self._let_in: deque[Admitted] = deque(maxlen=MOST_LET_IN)
        self._told: dict[bytes, set[bytes]] = {}
        """By invitation, the persons of whose refusal the journal tells, b"" for what was no request: each once, as
        long as the home is open."""

    def of(self, held: Held) -> Invitations:
        """The invitations of a space."""
        sharing = Sharing(self._database, self._spaces, held, self._device, self._person)
        return Invitations(self._database, self._spaces, held, self._device, sharing,
                           lambda: self._relay_of(held.space), lambda: self._pins(self._relay_of(held.space)),
                           self._now, self._ready,
                           lambda: self._stands(self._relay_of(held.space)))

    def _stands(self, url: str | None) -> bool:
        """Whether a link answers at a relay, or is about to: it connects for the first time, and did not fail yet."""
        link = self._kept.get(url or "")
        return link is not None and (link.status in ("syncing", "synced")
                                     or (link.status == "connecting" and link.error is None))

    def let_in(self) -> tuple[Admitted, ...]:
        """Who came in here since this was asked last, of very many the last."""
        came = tuple(self._let_in)
        self._let_in.clear()
        return came

    async def once(self, link: Link) -> str:
        """Answer what waits at a link's relay; what is to be said if more came than one sync looks at."""
        opened = await self._open(link.url)
        if not opened:
            return ""
        async with connect(link.address) as relay:
            await self._watch(relay, opened)
            left = await self._work_off(relay, link, opened)
        named = " and ".join(sorted({repr(opened[inbox].held.space.name) for inbox in left}))
        return named and (f"more came by an invitation to {named} than one sync looks at: sync again, and revoke an "
                          "invitation whose link somebody uses to fill it")

    def keep(self, link: Link) -> "asyncio.Task[None]":
        """Begin to answer whatever comes to a link's relay; the task ends when it is cancelled."""
        self._kept[link.url] = link  # at once: whoever invites in the next moment counts on it

        def ended(_: "asyncio.Task[None]") -> None:
            if self._kept.get(link.url) is link:  # else a later link to that relay is there already
                del self._kept[link.url]

        task = asyncio.create_task(self._keep(link))
        task.add_done_callback(ended)
        return task

    async def _keep(self, link: Link) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                opened = await self._open(link.url)
                if opened:
                    await self._serve(link, opened)
                else:
                    await self._changed(link, opened)
                pause = FIRST_PAUSE
            except ChezError:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE)

    # --- at the relay -----------------------------------------------------------------------

    async def _open(self, url: str) -> dict[bytes, Own]:
        """The invitations to be answered at a relay, by their inboxes."""
        there = [held for held in self._spaces.all.values() if self._relay_of(held.space) == url]
        changed = [held for held in there if not held.space.private
                   and (held.id not in self._own or self._own[held.id].known != self._known(held))]

        def look(db: Connection) -> dict[str, _Seen]:
            # In the writer's thread, where what is known of the members is kept.
            return {held.id: _Seen(self._known(held), self.of(held).own(db)) for held in changed}

        if changed:
            self._own |= await self._database.write(look)
        now = self._now()
        return {inbox_of(one.keys.inbox.public): one for held in there if held.id in self._own
                for one in self._own[held.id].own if now < one.invite.expires}

    async def _watch(self, relay: RelayConnection, opened: dict[bytes, Own]) -> None:
        """Make the inboxes, or renew them, and follow them."""
        for one in opened.values():
            left = min(MAX_INBOX_TTL, max(1, (one.invite.expires - self._now()) // 1000))
            await relay.create_inbox(one.keys.inbox, one.keys.put.public, left)
        for outcome in await relay.open([(inbox, Role.TAKE, one.keys.inbox) for inbox, one in opened.items()]):
            if outcome.error:
                raise RelayRefused(f"the relay does not open an invitation's inbox ({outcome.error})",
                                   reason=outcome.error)
        for inbox in opened:
            await relay.watch(inbox)
        self._ready.note(one.hash for one in opened.values())

    async def _work_off(self, relay: RelayConnection, link: Link, opened: dict[bytes, Own]) -> set[bytes]:
        """Answer what waits in each inbox until nothing does, or as much was looked at as one has room for.

        The inboxes in which more is left.
        """
        full, due, done = set(opened), set[bytes](), dict.fromkeys(opened, 0)
        looked, left = dict.fromkeys(opened, 0), set[bytes]()
        async for event in relay.arrivals():
            if not isinstance(event, InboxArrived):
                raise RelayUnreachable("the relay ended the watch of an invitation's inbox", "It is tried again.")
            inbox, known = event.inbox, done[event.inbox]
            items = [item for item in event.items if item.number > known][:MOST_LOOKED_AT - looked[inbox]]
            await self._take(relay, link, opened[inbox], items)
            looked[inbox] += len(items)
            if event.items:
                due.add(inbox)
                done[inbox] = max(known, event.items[-1].number)
            else:
                full.discard(inbox)
            if looked[inbox] >= MOST_LOOKED_AT and inbox in full:
                full.discard(inbox)
                left.add(inbox)
            if not full:
                return left
            if not relay.unread:  # what is under way comes by itself: asked for before, all of it would come again
                for inbox in due & full:
                    await relay.watch(inbox, done[inbox])
                due.clear()
        raise AssertionError("arrivals end by raising")  # pragma: no cover

    async def _serve(self, link: Link, opened: dict[bytes, Own]) -> None:
        """Answer what comes until there are other invitations."""
        async with connect(link.address) as relay:
            await self._watch(relay, opened)
            tasks = [asyncio.create_task(self._follow(relay, link, opened)),
                     asyncio.create_task(self._changed(link, opened))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, relay: RelayConnection, link: Link, opened: dict[bytes, Own]) -> None:
        async for event in relay.arrivals():
            if not isinstance(event, InboxArrived):
                raise RelayUnreachable("the relay ended the watch of an invitation's inbox", "It is tried again.")
            await self._take(relay, link, opened[event.inbox], event.items)

    async def _changed(self, link: Link, opened: dict[bytes, Own]) -> None:
        """Wait until there are other invitations to be answered."""
        while True:
            turns, before = link.turns, self._known_of_all()
            if (await self._open(link.url)).keys() != opened.keys():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_PAUSE):
                    while self._known_of_all() == before:
                        await link.turn(turns)
                        turns = link.turns

    def _known_of_all(self) -> list[tuple[int, int]]:
        return [self._known(held) for held in self._spaces.all.values()]

    def _known(self, held: Held) -> tuple[int, int]:
        """How much is known of a space's members, and of what gives keys: which invitations there are follows."""
        return len(held.space.membership), len(self._spaces.private.space.epochs)

    # --- one request ------------------------------------------------------------------------

    async def _take(self, relay: RelayConnection, link: Link, one: Own, items: Iterable[InboxItem]) -> None:
        inbox, rubbish = inbox_of(one.keys.inbox.public), 0
        for item in items:
            try:
                request = open_request(item.item, one.keys, one.invite.space)
            except BadEntry:
                rubbish = item.number
                await self._note_nonsense(one)
            else:
                rubbish = 0
                await self._answer(link, one, request)
                await relay.ack(inbox, item.number)
        if rubbish:  # at once: whoever fills an inbox with it shall not outrun its being taken out
            await relay.ack(inbox, rubbish)

    async def _answer(self, link: Link, one: Own, request: Request) -> None:
        """Raises what keeps it from being answered now: it is tried again."""
        invitations = self.of(one.held)
        try:
            tell = self._tells(one, request.card.person)
            answer, came = await self._database.write(lambda db: invitations.answer(db, one, request, tell))
        except InvalidValue:  # a card that leads to no device, with what is known here
            answer, came = Refusal(Reason.REMOVED), None
        if came is not None:
            self._let_in.append(came)
        if isinstance(answer, Refusal):
            self._told.setdefault(one.hash, set()).add(request.card.person)
        else:
            await link.reached(one.held.space.id, IN_STEP, said=True)
        with suppress(RelayRefused):  # the guest's inbox is gone: it asks again, or never
            await inboxes.put(link.address, inbox_of(request.reply.inbox.public), request.reply.put,
                              request.reply.seal(answer, crypto.random_bytes(crypto.NONCE_BYTES)))

    async def _note_nonsense(self, one: Own) -> None:
        if self._tells(one, b""):
            self._told.setdefault(one.hash, set()).add(b"")
            await self._database.write(lambda db: one.held.engine.receipt(
                db, "invitation-refused", {"invitation": one.hash.hex(), "reason": "no request"}))

    def _tells(self, one: Own, person: bytes) -> bool:
        """Whether the journal is to tell of a refusal: who has a link can make persons without end."""
        told = self._told.get(one.hash, set())
        return person not in told and len(told) < MOST_TOLD
