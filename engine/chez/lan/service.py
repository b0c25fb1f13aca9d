"""Being on a network, for one home: its own relay runs, is announced, and who keeps a space of it too is kept in step.

Each device that is met is one more relay to the home (docs/decisions/0025): a link for as long as it is
there. The home's own relay is filled as soon as somebody has come by it, and no sooner.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import random
from typing import Any, Final, Protocol

from chez.errors import ChezError, RelayMisbehaved, RelayRefused, RelayUnreachable, Unavailable
from chez.lan.child import Child, start
from chez.lan.discovery import Discovery, Neighbour
from chez.lan.memory import relay_label
from chez.lan.policy import MAX_NEIGHBOURS, Policy
from chez.lan.recognition import Served
from chez.sync.connection import connect
from chez.sync.link import Link
from chez.sync.lookout import look_out
from chez.sync.meeting import Acquaintances, Near
from chez.sync.patience import Backoff
from chez_wire.limits import ID_BYTES
from chez_wire.meeting import fresh

__all__ = ("Links", "Service")


OPEN_SECONDS: Final = 5.0
"""For somebody on the same network to answer."""


LOOK_AGAIN: Final = 600.0
"""Seconds until all are looked for once more where more were announced than there is room for, as in a flood, or
somebody was said to have left: who was passed over may be announced still, and nobody tells of it a second time."""


class Links(Protocol):
    """What keeps the home in step."""

    async def meet(self, url: str, label: str, known: Acquaintances) -> Link:
        """Keep what both prove to keep in step with a relay on this network; the store knows its log by a label."""

    async def part(self, link: Link) -> None:
        """No more."""


@dataclass(slots=True)
class _Peer:
    """A relay on this network that is kept in step with; `instance` is zeros for the home's own."""

    instance: bytes
    incarnation: bytes
    link: Link
    began: float = field(default_factory=time.monotonic)
    watch: "asyncio.Task[None] | None" = None

    @property
    def own(self) -> bool:
        """Whether it is the home's own."""
        return self.instance == bytes(ID_BYTES)

    @property
    def alive(self) -> bool:
        """Whether it is connected, or is to be for the first time."""
        begins = self.link.status == "connecting" and time.monotonic() < self.began + OPEN_SECONDS
        return begins or self.link.status in ("syncing", "synced")


@dataclass(slots=True)
class Service:
    """One home on a network, from `run` until that is cancelled.

    `folder` is for the relay's store, `pieces` has those of attachments, `served` gives what of the home's spaces is
    served; `host` is the address that the relay listens on, `::` for all that this device has.
    """

    folder: Path
    pieces: Path
    served: Callable[[], Served]
    links: Links
    discovery: Discovery
    host: str
    port: int = 0
    """Where the home's own relay listens; 0 while it does not."""
    peers: list[_Peer] = field(default_factory=list)
    _policy: Policy = field(default_factory=Policy)
    _known: Acquaintances = field(default_factory=Acquaintances)
    _serves: Served = field(default_factory=Served)
    _child: Child | None = None
    _guests: frozenset[bytes] = frozenset()
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _linking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One is linked at a time: two may have been met at once that have one store."""
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One looks anew, or is announced, at a time: what another began meanwhile would be ended by nobody."""
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _looking: bool = False
    _looked: float = 0.0
    _relay_problem: str = ""
    _network_problem: str = ""

    @property
    def problem(self) -> str:
        """Why others can't come by this device, or it can't find them; empty if they can."""
        return " ".join(one for one in (self._relay_problem, self._network_problem) if one)

    @property
    def strangers(self) -> int:
        """How many are announced on this network that keep no space of this home."""
        return self._policy.strangers

    @property
    def met(self) -> list[Link]:
        """The links to other devices."""
        return [peer.link for peer in self.peers if not peer.own]

    @property
    def places(self) -> list[Near]:
        """Where pieces of attachments can be asked for: at those that were met, whoever of the two dialled."""
        dialled = [link.url for link in self.met if link.status in ("synced", "syncing")]
        came = [url for one in self._guests if (found := self._policy.neighbour(one)) is not None
                for url in found.urls[:2]]  # one of each family
        return [Near(url, self._known) for url in (*dialled, *came)]

    @property
    def guests(self) -> int:
        """How many devices have come by this one's relay, and are here."""
        return len(self._guests - self._policy.own)

    async def run(self) -> None:
        """Be on the network until cancelled."""
        self._serve_from_now_on(self.served())
        try:
            self._begin(self._keep_child())
            await self._look()
            self._begin(look_out(self._tick))
            await self._dial_when_due()
        finally:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for peer in tuple(self.peers):
                await self._part(peer)
            await self.discovery.end()

    def renew(self) -> None:
        """The home's spaces, or their epochs, may be others: whoever is here is to know."""
        before, now = self._serves, self.served()
        if now == before:
            return
        self._serve_from_now_on(now)
        if self._child is not None:
            self._child.tell(now)
        if more := fresh(before.secrets, now.secrets):
            self._policy.renewed(self._now)
            for peer in [peer for peer in self.peers if more - peer.link.met]:
                peer.link.begin_anew()
        self._news.set()

    def _serve_from_now_on(self, served: Served) -> None:
        self._serves, self._known.secrets = served, dict(served.secrets)

    # --- the home's own relay -----------------------------------------------------------------

    async def _keep_child(self) -> None:
        """Let the relay run, and again when it has ended."""
        backoff = Backoff(first=1.0)
        while True:
            began = self._now
            try:
                await self._serve()
            except ChezError as error:
                self._relay_problem = str(error)
            finally:
                if self._child is not None:
                    await self._child.end()
                self.port, self._child = 0, None
            self._note_guests(frozenset())
            for own in [peer for peer in self.peers if peer.own]:
                await self._part(own)
            await asyncio.sleep(backoff.pause(self._now - began, random()))

    async def _serve(self) -> None:
        """Run the relay until it ends, and say so. Raises `ChezError`."""
        self._child = child = await start(self.folder, self.pieces, self._serves, self.host)
        self.port, self._relay_problem = child.port, ""
        child.tell(self._serves)  # that may be another since it was started
        await self._be_announced(child)
        async for guests in child.guests():
            self._note_guests(guests)
            if guests - self._policy.own and not any(peer.own for peer in self.peers):
                # Others are here: what they are to have, and what they bring, goes through it.
                own = Neighbour(bytes(ID_BYTES), ("127.0.0.1" if self.host == "::" else self.host,), child.port)
                await self._keep_in_step(own.instance, child.incarnation, own.urls[0])
        said = await child.ended()
        raise Unavailable("the relay for this network ended, and is started again" + (f" ({said})" if said else ""))

    def _note_guests(self, guests: frozenset[bytes]) -> None:
        self._guests = guests
        self._policy.guests(guests)
        self._news.set()

    async def _be_announced(self, child: Child) -> None:
        self._known.own = child.key
        self._policy.announced(child.key.public, self._now)
        async with self._beginning:
            if self._looking:
                await self._announce(child)
        self._news.set()

    async def _announce(self, child: Child) -> None:
        try:
            await self.discovery.announce(child.key.public, child.port)
        except (ChezError, OSError) as error:
            self._looking = False  # with the next tick anew
            self._network_problem = f"this device can't be announced on this network: {error}"

    # --- the others ---------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look for others, from now on; what keeps from that passes, perhaps, with the next network."""
        self._looked = self._now
        try:
            await self.discovery.begin(self._seen, self._gone)
            self._looking, self._network_problem = True, ""
            if self._child is not None:
                await self._announce(self._child)
        except (ChezError, OSError) as error:
            self._looking, self._network_problem = False, str(error)

    def _tick(self, changed: bool) -> None:
        """Another network, or a sleep: everything is looked for anew. Who was missed: all are looked for once more."""
        if changed or not self._looking:
            self._begin(self._look_anew())
        elif (self._policy.missed or self.discovery.missed) and self._now >= self._looked + LOOK_AGAIN:
            self._looked, self._policy.missed = self._now, False
            self._begin(self.discovery.again())

    async def _look_anew(self) -> None:
        async with self._beginning:
            await self.discovery.end()
            await self._look()

    def _seen(self, neighbour: Neighbour) -> None:
        self._policy.seen(neighbour, self._now)
        self._news.set()

    def _gone(self, instance: bytes) -> None:
        self._policy.gone(instance)
        for peer in [peer for peer in self.peers if peer.instance == instance and peer.link.status == "connecting"]:
            self._begin(self._part(peer))

    async def _dial_when_due(self) -> None:
        while True:
            self._news.clear()
            if self._known.secrets:  # with nothing to prove everybody is a stranger
                for neighbour in self._policy.due(self._now):
                    self._begin(self._dial(neighbour))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._policy.wait(self._now) if self._known.secrets else None):
                    await self._news.wait()

    async def _dial(self, neighbour: Neighbour) -> None:
        """Meet somebody who is announced; then keep in step with it."""
        try:
            url, incarnation = await self._meet(neighbour)
            async with self._linking:
                await self._link(neighbour.instance, incarnation, url)
        except (RelayRefused, RelayMisbehaved):
            self._policy.stranger(neighbour.instance, self._now)
        except ChezError:
            self._policy.away(neighbour.instance, self._now)
        self._news.set()

    async def _link(self, instance: bytes, incarnation: bytes, url: str) -> None:
        """Keep in step with who was met, unless somebody is here who has its store."""
        same = [peer for peer in self.peers if peer.incarnation == incarnation and not peer.own]
        if len(self.met) - len(same) >= MAX_NEIGHBOURS:
            # A member that is met, and announced no more, makes room among the announcements, not here.
            self._policy.away(instance, self._now)
        elif any(peer.alive for peer in same):
            # Who began anew has no connection left. Another one would be put out by whoever knows a space in common and
            # says to have its store.
            self._policy.away(instance, self._now)
        elif self._child is None or incarnation != self._child.incarnation:  # else: announced as that before
            for former in same:
                await self._part(former)
                self._policy.parted(former.instance, self._now)
            peer = await self._keep_in_step(instance, incarnation, url)
            self._policy.linked(instance)
            peer.watch = self._begin(self._watch(peer))

    async def _meet(self, neighbour: Neighbour) -> tuple[str, bytes]:
        """Where somebody can be met, and his relay's incarnation. Raises what the last of his addresses came to.

        Anybody may announce an address, and answer there, or forward what is said, which is refused for the name of
        that place: none of them is who was announced, and the next address may be his.
        """
        problem: ChezError = RelayUnreachable("it is announced at no address")
        for url in neighbour.urls:
            try:
                async with connect(Near(url, self._known, neighbour.instance), open_timeout=OPEN_SECONDS) as relay:
                    return url, relay.incarnation
            except RelayUnreachable as error:
                problem = error
            except RelayRefused as error:
                if error.reason != "wrong_relay":
                    raise
                problem = RelayUnreachable(error.message)
        raise problem

    async def _keep_in_step(self, instance: bytes, incarnation: bytes, url: str) -> _Peer:
        peer = _Peer(instance, incarnation, await self.links.meet(url, relay_label(incarnation), self._known))
        self.peers.append(peer)
        return peer

    async def _watch(self, peer: _Peer) -> None:
        """Part when it refuses, or is not there any more; it may come back as somebody new, or at another address."""
        while peer.link.status != "failed":
            known = self._policy.neighbour(peer.instance)
            if peer.link.status == "connecting" and (known is None or peer.link.url not in known.urls):
                break
            await peer.link.turn()
        peer.watch = None
        self._policy.parted(peer.instance, self._now)
        self._news.set()
        await self._part(peer)

    async def _part(self, peer: _Peer) -> None:
        if peer in self.peers:
            self.peers.remove(peer)
            if peer.watch is not None:
                peer.watch.cancel()
            await self.links.part(peer.link)

    # --- helpers ------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return time.monotonic()

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # a defect of ours must not pass for a quiet network
                self._relay_problem = (f"sync on this network stopped on something unexpected "
                                       f"({type(error).__name__}). Please report it.")

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
