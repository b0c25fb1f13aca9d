"""A home kept in step: one link for each relay that its spaces are at.

The private space goes to the relay that is named, or the home's, and to those beside it; the
spaces that have no relay of their own go with it. A space that is made, or that another device tells of, while
the home is connected joins the link of its relay, or begins one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from chez.errors import ChezError, Misuse, NotFound, RelayRefused
from chez.home.answering import Answering
from chez.home.erasing import erase
from chez.home.held import Held, HeldSpaces
from chez.home.leftovers import note_leftovers
from chez.home.routes import Routes, no_relay
from chez.home.standing import Standing
from chez.lan.memory import KEPT_SECONDS, forget_relays, met_relays, note_met
from chez.spaces.handover import buried, rows_here
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection, Database
from chez.sync.driver import Said
from chez.sync.keeping import Keeping
from chez.sync.link import Link
from chez.sync.meeting import Acquaintances, Near
from chez.sync.moving import go_to, strayed
from chez.tasks import stop

__all__ = ("Syncing", "relay_row")

FAREWELL: Final = 5.0
"""Seconds without headway in which a relay that is let go of, and is connected, has to take what is said of that."""

T = TypeVar("T")


@dataclass(slots=True)
class _Running:
    """What lasts as long as the home is connected."""

    retry: bool
    send: bool
    stack: AsyncExitStack
    sending: dict[tuple[int, Link], AsyncExitStack] = field(default_factory=dict)
    """What sends a space's attachments over a link: as long as both are there."""
    answers: dict[Link, "asyncio.Task[None]"] = field(default_factory=dict)
    """What answers those who come by an invitation, over each link."""
    places: dict[int, bytes] = field(default_factory=dict)
    """By row, the handle that each space had when it was taken up by the links that keep it."""
    steady: asyncio.Event = field(default_factory=asyncio.Event)
    """Neither just beginning nor just ending."""


class Syncing:
    """The links of one home; `relay` gives the home's relay."""

    def __init__(self, database: Database, device: bytes, relay: Callable[[], str | None]) -> None:
        self.links: list[Link] = []
        """Those that run, that of the private space first."""
        self.routes = Routes(relay)
        self._database = database
        self._device = device
        self._standing: Standing | None = None
        self._answering: Answering | None = None
        self._running: _Running | None = None
        self._said: Said = lambda replica, message, back: None
        self._settling, self._beginning = asyncio.Lock(), asyncio.Lock()
        self._placing = asyncio.Lock()
        """Held while a space is taken from some links to others, so that it ends up at those that are its last ones."""
        self._also: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        self._around: Callable[[], list[Near]] = list

    async def load(self) -> None:
        """Learn from the store which relays the home has. Called when it opens."""
        await self.routes.load(self._database, self.spaces.private.space.n)
        met = await self._database.read(met_relays)
        for held in self.spaces.all.values():  # what they lack is to be known when they are met again
            held.replica.relays.kept |= met

    async def catch_up(self) -> None:
        """Open the spaces that are in the store, go where others are now, and erase those that were deleted elsewhere:
        what was read of any is durable before it is `found`, and the line or the process may end in between. Raises
        `StorageFailed`.
        """
        # In the writer's thread: what an exchange that was given up began may be committed only now.
        there, deleted = await self._database.write(rows_here)
        known = {n: held.space.handle for n, held in list(self.spaces.all.items())}
        for n in sorted({n for n, handle in there.items() if known.get(n) != handle} | deleted):
            await self.found(n)

    @property
    def database(self) -> Database:
        """The home's database."""
        return self._database

    def serve(self, spaces: HeldSpaces, answering: Answering, said: Said) -> None:
        """These are the spaces to be kept in step; this answers who comes by an invitation to one, this hears what is
        said in them just now.
        """
        self._standing = Standing(self._device, spaces, self.routes, self.links)
        self._answering, self._said = answering, said

    def also(self, work: Callable[[], AbstractAsyncContextManager[None]], around: Callable[[], list[Near]]) -> None:
        """What goes on too while the home is connected: on its network; and who was met there."""
        self._also, self._around = work, around

    @property
    def device(self) -> bytes:
        """This device's id."""
        return self._device

    @property
    def spaces(self) -> HeldSpaces:
        """The spaces that are kept in step."""
        return self.standing.held

    @property
    def standing(self) -> Standing:
        """How they stand."""
        assert self._standing is not None  # the home serves them when it opens
        return self._standing

    @property
    def answering(self) -> Answering:
        """What answers who comes by an invitation."""
        assert self._answering is not None  # the home serves it when it opens
        return self._answering

    @property
    def stays(self) -> bool:
        """Whether the home is connected until further notice, and does by itself what a sync does once."""
        return self._running is not None and self._running.retry

    def leading(self) -> list[Link]:
        """The links that a sync stands or falls with: the private space's; of a home that has no relay, all to relays
        that keep a space in step.
        """
        own = self.standing.links_of(self.spaces.private.space)
        if own or self.routes.home is not None:
            return own
        return [link for link in self.links if not link.near and any(
            link.keeps(held.replica) for held in self.spaces.all.values())]

    def nearest(self, space: SpaceKeys) -> list[str | Near]:
        """Where pieces of a space are fetched from: devices on this network, then relays by their addresses, that it
        stands best with first."""
        here = [] if space.public else self._around()
        urls, best = self.routes.urls_of(space), self.standing.link_of(space)
        ordered = urls if best is None else [best.url, *(url for url in urls if url != best.url)]
        return [*here, *(self.routes.address(url) for url in ordered)]

    @asynccontextmanager
    async def connected(self, url: str | None, *, retry: bool, send: bool) -> AsyncIterator[Link]:
        """Keep all spaces in step while the block lasts; with `send` their attachments too, in the background.

        Without `url` those that have a relay of their own. Whoever calls it has caught up (`catch_up`), which takes a
        while, before it looked whether the home is connected already. Raises `NotFound` where none has, and `Misuse`.
        """
        await self.be_free()  # nothing is waited for from here until it is noted that it is connected
        spaces = list(self.spaces.all.values())  # whatever comes from here on joins by itself
        async with AsyncExitStack() as stack:
            running = self._running = _Running(retry, send, stack)
            self.routes.begin(url)
            stack.callback(self._stopped, running)
            async with self._placing:
                await self._begin_all(spaces)
            if retry:
                await stack.enter_async_context(self._also())
            running.steady.set()
            try:
                yield self.links[0]
            finally:
                running.steady.clear()

    async def _begin_all(self, spaces: list[Held]) -> None:
        groups: dict[str, list[Held]] = {}
        for held in spaces:
            for at in self.routes.urls_of(self._placed(held)):
                groups.setdefault(at, []).append(held)
        if not groups:
            raise no_relay()
        for one, group in groups.items():
            await self._begin(one, group)
        for held in spaces:
            await self._keep_sending(held)

    async def under_way(self) -> bool:
        """Whether the home is connected, or syncs; what just begins or ends is waited for."""
        while (running := self._running) is not None and not running.steady.is_set():
            await running.steady.wait()
        return self._running is not None

    async def be_free(self, url: str | None = None) -> None:
        """Raises `Misuse` when the home is connected: with `url`, when that is elsewhere."""
        if await self.under_way() and (url is None or url not in self.routes.urls_of(self.spaces.private.space)):
            raise Misuse(f"this home is connected to {self.routes.at or 'the relays of its spaces'} already",
                         "`chez relay add` keeps it in step with one more.")

    async def _join(self, held: Held) -> None:
        if self._running is None:
            return
        for url in self.routes.urls_of(self._placed(held)):
            await self._begin(url, [held])
        for link in self.near if not held.space.public else ():
            link.add(held.replica)
        await self._keep_sending(held)

    def _placed(self, held: Held) -> SpaceKeys:
        """The space as it is now, and is taken up by links; what the store says of its place later is `found`."""
        space = held.space
        if self._running is not None:
            self._running.places[space.n] = space.handle
        return space

    @property
    def near(self) -> list[Link]:
        """Those to devices on this network, which come and go."""
        return [link for link in self.links if link.near]

    async def meet(self, url: str, label: str, known: Acquaintances) -> Link:
        """Keep what both prove to keep in step with a relay on this network; the store knows its log by a label."""
        replicas = [held.replica for held in self.spaces.all.values() if not held.space.public]

        def work(db: Connection) -> tuple[int, set[int]]:
            row, before, now = relay_row(db, label), met_relays(db), int(time.time())
            here = {row}.union(*(replica.relays.linked for replica in replicas)) & before
            for one in here:
                note_met(db, one, now)
            forget_relays(db, now - KEPT_SECONDS, here)
            return row, before - met_relays(db)

        row, forgotten = await self._database.write(work)
        for replica in replicas:
            replica.relays.kept -= forgotten
        link = Link(self._database, self._device, replicas, row, url, retry=True, found=self.found, known=known,
                    said=self._said)
        self.links.append(link)
        link.start()
        return link

    async def part(self, link: Link) -> None:
        """Keep nothing in step over a link any more that `meet` gave."""
        if link in self.links:
            self.links.remove(link)
            await link.close()

    async def replace(self, held: Held, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own after which a space may be at another place; go on there."""
        async with self._placing:
            return await self._replace(held, work)

    async def _replace(self, held: Held, work: Callable[[Connection], T]) -> T:
        self._leave(held)

        def whole(db: Connection) -> T:
            result = work(db)
            held.replica.hear()
            held.replica.refresh(db)
            return result

        try:
            return await self._database.write(whole)
        finally:
            for link in [link for link in self.links if link.ended]:
                if not link.near and any(link.keeps(one.replica) for one in self.spaces.all.values()):
                    link.begin_anew()  # this space may be at its relay still, as others are
                else:
                    await self._end(link)
            await self._join(held)

    def _leave(self, held: Held) -> None:
        for link in self.links:
            link.drop(held.replica)

    async def _begin(self, url: str, spaces: list[Held]) -> None:
        """Keep these at a relay: over the link to it if there is one, for several may want it at the same time."""
        async with self._beginning:
            running = self._running
            if running is None:
                return
            link = next((one for one in self.links if one.url == url and not one.near), None)
            if link is None:
                keeping = await self._database.write(
                    lambda db: Keeping.load(db, relay_row(db, url), asks=running.retry))
                if self._running is not running:  # it was disconnected meanwhile: nobody would end this link
                    return
                link = self._new_link(running, url, keeping)
            for held in spaces:
                held.replica.automatic = running.retry
                link.add(held.replica)

    def _new_link(self, running: _Running, url: str, keeping: Keeping) -> Link:
        link = Link(self._database, self._device, [], keeping.relay, url, retry=running.retry, found=self.found,
                    keeping=keeping, address=self.routes.address(url), said=self._said)
        self.links.append(link)
        running.stack.push_async_callback(self._end, link)
        link.start()
        if running.retry and self._answering is not None:
            running.answers[link] = self._answering.keep(link)
        return link

    async def _end(self, link: Link) -> None:
        if link in self.links:
            self.links.remove(link)
            try:
                if self._running is not None and (task := self._running.answers.pop(link, None)) is not None:
                    await stop(task)
                await self._end_sending(lambda n, over: over is link)
            finally:  # who ends it may be cancelled meanwhile, and nobody else has it any more
                await link.close()

    async def _keep_sending(self, held: Held) -> None:
        if self._running is None or not self._running.send:
            return
        held.blobs.look_again()  # it may be at another place than before
        for link in self.standing.links_of(held.space):
            if (held.space.n, link) not in self._running.sending:
                sending = self._running.sending[held.space.n, link] = AsyncExitStack()
                await sending.enter_async_context(held.blobs.keep_sending(link))

    async def _end_sending(self, ended: Callable[[int, Link], bool]) -> None:
        running = self._running
        if running is None:
            return
        for one in [one for one in running.sending if ended(*one)]:
            if (sending := running.sending.pop(one, None)) is not None:  # else it is ended already
                await sending.aclose()

    async def found(self, n: int) -> None:
        """There is a space in row `n` of the store, or more of it than before; or it was deleted elsewhere."""
        async with self._placing:
            await self._found(n)

    async def _found(self, n: int) -> None:
        try:
            new = await self.spaces.open(n)
        except NotFound:  # its end came over another link, too
            return
        held = self.spaces.all[n] if new is None else new
        moved, gone = await self._database.write(
            lambda db: (new is None and self._moved(db, held), buried(db, held.space.id)))
        if gone:  # whether it was here before, or came and ended in one page
            await self._erase(held, lambda db: note_leftovers(db, held.space))
            return
        if moved:
            await self._replace(held, lambda db: None)
        if new is not None:
            await self._join(new)
        else:
            for link in (*self.standing.links_of(held.space), *self.near):
                link.wake(held.space.id)

    def _moved(self, db: Connection, held: Held) -> bool:
        """Whether a space is at another place than the one where links keep it. Called in the writer's thread.

        Other work may have read of the new place before.
        """
        held.replica.forget()
        held.replica.refresh(db)
        handle = strayed(held.space)
        if handle is not None:
            go_to(db, held.space, handle)
        running = self._running
        return running is not None and running.places.get(held.space.n, held.space.handle) != held.space.handle

    async def erase(self, held: Held, word: Callable[[Connection], None]) -> None:
        """Take a space off this device, after `word` in one transaction. Raises `StorageFailed`: then it is here still.
        """
        async with self._placing:
            await self._erase(held, word)

    async def _erase(self, held: Held, word: Callable[[Connection], None]) -> None:
        spaces = self.spaces
        spaces.drop(held.space.n)
        self._leave(held)

        def work(db: Connection) -> None:
            word(db)
            erase(db, held.space.n, spaces.news.touch)
            spaces.records.forget()

        try:
            await self._database.write(work)
        except ChezError:
            spaces.put_back(held)
            await self._join(held)
            raise
        held.replica.forget()  # whoever holds it still finds that it is gone
        await self._end_sending(lambda n, over: n == held.space.n)
        await held.blobs.close()

    def _stopped(self, running: _Running) -> None:
        self._running = None
        self.routes.end()
        running.steady.set()

    async def settle(self) -> None:
        """Go by what the store says of relays now: begin links, end them, and dial anew where pins changed, or what
        refused the home may not any more.
        """
        async with self._settling:
            former = self.routes.kept
            await self.load()
            self.spaces.private.space.relay = self.routes.kept
            if self._running is None:
                return
            self.routes.moved(former)
            async with self._placing:
                for held in list(self.spaces.all.values()):
                    await self._join(held)
            for link in [link for link in self.links if not link.near]:
                await self._trim(link)

    async def _trim(self, link: Link) -> None:
        """Keep over a link what its relay is to have, under its pins; end it where that is nothing.

        One that is let go of is told so first, if it can be: other devices may hear of it there only.
        """
        spaces = list(self.spaces.all.values())
        kept = [held for held in spaces if link.url in self.routes.urls_of(held.space)]
        private = self.spaces.private
        if private not in kept and link.keeps(private.replica) and link.status in ("syncing", "synced"):
            with suppress(ChezError):
                await link.reached(private.space.id, FAREWELL)
        gone = {held.space.n for held in spaces if held not in kept}
        for held in spaces:
            if held.space.n in gone:
                link.drop(held.replica)
        await self._end_sending(lambda n, over: over is link and n in gone)
        if not kept:
            await self._end(link)
        elif link.address != self.routes.address(link.url):
            await self._dial_anew(link)
        elif self.stays and (link.ended or any(
                isinstance(error, RelayRefused) and error.reason == "token" for error in link.problems.values())):
            link.begin_anew()

    async def _dial_anew(self, link: Link) -> None:
        """Have all connections to a relay made anew, for others than before may answer there."""
        link.address = self.routes.address(link.url)
        link.begin_anew()
        link.try_now()
        try:
            await link.end_beside()
        finally:  # who changed it may give up waiting, and what is dialled is no other the next time
            await self._answer_anew(link)

    async def _answer_anew(self, link: Link) -> None:
        running = self._running
        if running is not None and (task := running.answers.pop(link, None)) is not None:
            try:
                await stop(task)
            finally:
                if self._running is running and link in self.links:  # else it was disconnected meanwhile
                    running.answers[link] = self.answering.keep(link)


def relay_row(db: Connection, url: str) -> int:
    """The row of a relay in the store, by its address."""
    db.execute("INSERT OR IGNORE INTO relay (url) VALUES (?)", (url,))
    n: int = db.execute("SELECT n FROM relay WHERE url = ?", (url,)).fetchone()[0]
    return n
