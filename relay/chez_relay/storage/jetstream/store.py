"""`JetStreamStorage`: the relay's store on a cluster, shared by as many relays as there are."""

import asyncio
import dataclasses
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final

from nats.aio.client import Client

from chez_relay.errors import Code, StorageFailed
from chez_relay.fanout import Growth, growth
from chez_relay.storage import (
    AddInbox,
    AddItem,
    DropItems,
    Expire,
    Expired,
    Found,
    Gone,
    InboxInfo,
    Lookup,
    Quotas,
    ReadItems,
    Refused,
    Request,
    Result,
    SpaceInfo,
)
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.blocks import decode_block, decode_time, encode_time
from chez_relay.storage.jetstream.boxes import Boxes
from chez_relay.storage.jetstream.dialling import dial, let_go
from chez_relay.storage.jetstream.engine import Engine, Kept, Unavailable
from chez_relay.storage.jetstream.ephemeral import Ephemerals
from chez_relay.storage.jetstream.lanes import Lanes
from chez_relay.storage.jetstream.news import News
from chez_relay.storage.jetstream.patience import PATIENCE, patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.spaces import Spaces
from chez_relay.storage.jetstream.streams import opened, record, renew
from chez_relay.storage.refusals import DAMAGED
from chez_relay.storage.standing import Standing
from chez_wire.limits import MIB

__all__ = ("OPENING", "JetStreamStorage")

_log = logging.getLogger("chez_relay")

SWEEP: Final = 16
"""Deleted lives that one `Expire` removes."""

LEAST_GRACE: Final = 2 * PATIENCE
"""Seconds that what is dropped stays at least: whoever puts a chunk tries for so long to count it, and let go before it
counted it would give back bytes of others."""

BEGUN: Final = 120.0
"""Seconds after which a relay that removes blocks of a space is taken for gone: its requests last for 20."""

LATER: Final = 3600.0
"""Seconds until a damaged log is looked at again for what is due there: whoever reads or writes it has it mended."""

OPENING: Final = 60.0
"""Seconds for reaching a cluster and opening its store. One that starts has its leaders in ten or so and can place
streams when the nodes know of each other: a relay that was started with it waits for that, one to whom too few nodes
answer says so."""

LOOKUP: Final = 256
"""Spaces looked up by one request."""

_NO_ANSWER: Final = Refused(Code.STORAGE, "the relay's cluster gives no answer: try again later", retry=True)


class JetStreamStorage:
    """`Storage` on NATS JetStream; make it with `JetStreamStorage.open`.

    A group is no transaction here: each space's requests are one, and the results tell what was done. One that the
    cluster did not answer is refused (STORAGE): it may have happened, and asking again answers what became of it.
    """

    def __init__(self, client: Client, engine: Engine, places: Places, incarnation: bytes, quotas: Quotas,
                 clock: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._client = client
        self.engine = engine
        self._places = places
        self._incarnation = incarnation
        self._random = random
        self._clock = clock
        self._standing, self._late = Standing(), False
        self._quotas = quotas = dataclasses.replace(quotas, grace=max(quotas.grace, LEAST_GRACE))
        self._renewed = asyncio.Event()
        self.spaces = Spaces(engine, places, quotas, clock, random, self.renew)
        self._boxes = Boxes(engine, places, quotas, clock, random)
        self._lanes = Lanes(self._together)
        self._ephemerals = Ephemerals(client, engine, places, random(8))
        self._news = News(engine, places, self.spaces, self._look, self._ephemerals)

    @classmethod
    async def open(
        cls, urls: Sequence[str], *, prefix: str = "chez", shards: int = 4, replicas: int = 3,
        quotas: Quotas | None = None, clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes, seconds: float = OPENING,
    ) -> "JetStreamStorage":
        """Reach the cluster and open its store, made when there is none; `shards` counts only then.

        A cluster that is starting is waited for, as many seconds in all: until a node answers, it has a leader, and
        nodes enough for `replicas`. Raises `StoreUnusable` when a part of the store is missing or of another make,
        `StorageFailed` when the cluster gives no answer in time.
        """
        end = asyncio.get_running_loop().time() + seconds

        async def reconnected() -> None:
            if storage:
                _log.warning("a node of the cluster was gone: this or another one is asked")
                storage[0]._news.look_again()

        storage: list[JetStreamStorage] = []
        client = await dial(
            sorted(urls, key=lambda _: random(8)), seconds, reconnected=reconnected, name="chez-relay",
            max_reconnect_attempts=-1, reconnect_time_wait=1, ping_interval=2, max_outstanding_pings=2)
        engine = Engine(client)
        try:
            left = end - asyncio.get_running_loop().time()
            known = await patiently(engine, lambda: opened(engine, prefix, shards, replicas, random(32)), left)
        except Unavailable as error:
            await let_go(client)
            raise StorageFailed(
                f"the cluster is not ready after {seconds:.0f} s: {error}",
                f"do {replicas} nodes run, as the store wants, and have they found each other?") from error
        except BaseException:
            await let_go(client)
            raise
        made = cls(client, engine, Places(prefix, known.shards), known.incarnation, quotas or Quotas(), clock, random)
        storage.append(made)
        return made

    @property
    def incarnation(self) -> bytes:
        """32 random bytes made when the store was."""
        return self._incarnation

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`; see the class for what is a transaction."""
        if self._client.is_closed:
            raise StorageFailed("the connection to the cluster was closed")
        return await self._lanes.run(requests)

    async def close(self) -> None:
        """Let go of the cluster."""
        await self._news.close()
        await let_go(self._client)

    # --- what other relays do -----------------------------------------------------------------

    async def renewed(self) -> None:
        """Wait until the store has another incarnation."""
        await self._renewed.wait()
        self._renewed.clear()

    async def renew(self) -> None:
        """Give the store another incarnation: it lost something, and devices must look at all of it."""
        self._now(await patiently(self.engine, lambda: renew(self.engine, self._places.prefix, self._random(32))))

    async def _look(self) -> None:
        """See whether another relay renewed the store."""
        known = await record(self.engine, self._places.prefix)
        if known is not None:
            self._now(known.incarnation)

    def _now(self, incarnation: bytes) -> None:
        if incarnation != self._incarnation:
            self._incarnation = incarnation
            self._renewed.set()

    async def hear(self, grown: Callable[[Growth], None]) -> None:
        """Tell `grown` of all that any relay stores in what is followed; for ever."""
        await asyncio.gather(self._news.run(grown), self._ephemerals.run())

    def follow(self, name: bytes) -> None:
        """From now on tell of a space or inbox."""
        self._news.follow(name)

    def pass_on(self, name: bytes, data: bytes, to: bytes) -> bool:
        """Give an ephemeral message to other relays that have who follows its space."""
        return self._ephemerals.pass_on(name, data, to)

    def unfollow(self, name: bytes) -> None:
        """Nobody here follows a space or inbox any more."""
        self._news.unfollow(name)

    # --- requests ------------------------------------------------------------------------------

    async def _together(self, requests: Sequence[Request]) -> list[Result]:
        """Requests that concern the same names."""
        first = requests[0]
        try:
            match first:
                case Lookup(handles):
                    incarnation, found = self._incarnation, await self._found(handles)
                    # Who asks was greeted by a store that had more: it is to hear of another one first.
                    return [Found(tuple(found)) if incarnation == self._incarnation else _NO_ANSWER]
                case Expire():
                    return [await self._expire()]
                case AddInbox() | AddItem() | ReadItems() | DropItems():
                    boxes = [one for one in requests if isinstance(one, AddInbox | AddItem | ReadItems | DropItems)]
                    return await self._boxes.perform(first.inbox, boxes)
                case _:
                    spaces = [one for one in requests if not isinstance(
                        one, Lookup | Expire | AddInbox | AddItem | ReadItems | DropItems)]
                    results = await self.spaces.perform(first.handle, spaces)
                    # Before anything else is done in this space: whose roles ended is sent nothing that comes after,
                    # and the group that this was asked in may wait for other spaces yet.
                    if rotated := growth(spaces, results).rotated:
                        self._news.tell(Growth(rotated, {}, ()))
                    return results
        except Unavailable:
            return [_NO_ANSWER] * len(requests)
        except Damaged:  # the last block is none that this version reads, and concerns nobody else of the group
            return [DAMAGED] * len(requests)

    async def _found(self, handles: Sequence[bytes]) -> list[SpaceInfo | InboxInfo | Gone | Refused | None]:
        shards: dict[int, list[bytes]] = {}
        for handle in dict.fromkeys(handles):
            shards.setdefault(self._places.shard(handle), []).append(handle)
        parts = [(shard, names[at:at + LOOKUP]) for shard, names in shards.items()
                 for at in range(0, len(names), LOOKUP)]
        found: dict[bytes, SpaceInfo | InboxInfo | Gone | Refused | None] = {}
        for part in await asyncio.gather(*(patiently(self.engine, lambda p=p: self._part(*p)) for p in parts)):  # type: ignore[misc]
            found |= part
        return [found[handle] for handle in handles]

    async def _part(self, shard: int, handles: Sequence[bytes]) -> dict[
            bytes, SpaceInfo | InboxInfo | Gone | Refused | None]:
        """Spaces and inboxes of one shard, as of now: all that was acknowledged before is in the answer."""
        agreed = await self.spaces.views.barrier(shard)
        stream = self._places.stream("log", handles[0])
        subjects = {handle: self._places.log(handle) for handle in handles}
        near, upto = await self.engine.lasts(stream, list(subjects.values()))

        async def one(handle: bytes) -> SpaceInfo | InboxInfo | Gone | Refused | None:
            kept = near.get(subjects[handle]) if upto >= agreed else None
            behind = kept is None or self.spaces.views.behind(handle, kept.seq)
            block = None if kept is None or behind else decode_block(kept.data, kept.seq)
            try:
                state = await self.spaces.known(handle) if block is None else block.state
                if state is not None and state.alive:
                    return SpaceInfo(state.keys, state.end, state.head)
                return await self._boxes.known(handle) or (None if state is None else Gone())
            except Damaged:
                return DAMAGED

        found = dict(zip(handles, await asyncio.gather(*(one(handle) for handle in handles)), strict=True))
        if unknown := [handle for handle, known in found.items() if known is None]:
            await self._boxes.barrier(shard)  # the leader of the inboxes may be a former one
            found |= zip(unknown, await asyncio.gather(*(one(handle) for handle in unknown)), strict=True)
        return found

    async def _expire(self) -> Result:
        """Sweep a few deleted lives of each shard, and a slice of what is to be dropped.

        (What expires, the cluster removes by itself.)
        """
        more, now = False, self._clock()
        latest = now + self._quotas.grace
        ahead, self._late = self._standing.believed(now, late=self._late), False
        for shard, stream in enumerate(self._places.streams("log")):
            swept = 0
            # What is told anew meanwhile, to be due later, is looked at the next time.
            end = await patiently(self.engine, lambda shard=shard: self.spaces.views.barrier(shard))  # type: ignore[misc]
            async for kept in self._all(stream, self._places.all_gone(shard), end):
                handle, birth = (bytes.fromhex(part) for part in kept.subject.split(".")[-2:])
                with suppress(Damaged):
                    if await self.spaces.removal.sweep(handle, birth):
                        # This one alone: whoever stored a chunk late says so again, and it may be just now.
                        await self.engine.delete(stream, kept.seq)
                        swept += 1
                if swept == SWEEP:
                    more = True
                    break
            async for kept in self._all(stream, self._places.all_due(shard), end):
                late = decode_time(kept.data) > latest
                self._late = self._late or late
                if decode_time(kept.data) <= now or (late and ahead):
                    more = await self._drop_due(stream, kept, now, ahead=ahead) or more
            async for kept in self._all(stream, self._places.all_begun(shard), end):
                if abs(now - decode_time(kept.data)) >= BEGUN:
                    with suppress(Damaged):
                        await self.spaces.removal.clear(bytes.fromhex(kept.subject.split(".")[-1]))
                    await self.engine.delete(stream, kept.seq)
        return Expired(more)

    async def _drop_due(self, stream: str, kept: Kept, now: float, *, ahead: bool) -> bool:
        """Drop a slice of what a message says is due in a space; whether more is."""
        handle = bytes.fromhex(kept.subject.split(".")[-1])
        try:
            next_due = await self.spaces.removal.drop_due(handle, ahead=ahead)
        except Damaged:
            next_due = now + LATER
        if next_due is None:
            await self.engine.delete(stream, kept.seq)
        elif next_due > now:
            await self.engine.publish(kept.subject, encode_time(next_due), alone=True)
        return next_due is not None and next_due <= now

    async def _all(self, stream: str, subjects: str, end: int) -> AsyncIterator[Kept]:
        """All messages under a wildcard up to a sequence, in the order in which they were stored. Raises `Unavailable`.
        """
        seq = 1
        while seq <= end:
            found = await patiently(self.engine, lambda seq=seq: self.engine.run(stream, subjects, seq, size=MIB))  # type: ignore[misc]
            if not found:  # the node that answered may be behind
                last = await patiently(self.engine, lambda seq=seq: self.engine.next(stream, subjects, seq))  # type: ignore[misc]
                if last is None:
                    return
                found = [last]
            for kept in found:
                if kept.seq <= end:
                    yield kept
            seq = found[-1].seq + 1
