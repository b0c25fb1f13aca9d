"""A cluster in memory that is hurt while devices at two relays work, and what must hold of it: by a seed.

Requests are late, lost before they are done or after, refused for want of a leader, answered by nodes that are behind
or cut off; relays are ended and killed in the middle of anything. Time is the loop's, and goes on where nothing is left
to do.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Final

from chez_relay import storage as s
from chez_relay.storage.jetstream.store import BEGUN, LEAST_GRACE, JetStreamStorage
from chez_wire.envelope import entry_id
from chez_wire.packets import PACKET_COST
from tests.relay.devices import ALL, INBOX, Devices
from tests.relay.modelled import DONE, Connection, Fate, Modelled
from tests.relay.promises import check_left, check_log
from tests.relay.storing import SPACE, create, table

__all__ = ("FAULTS", "Hurt", "Skipping")

QUOTAS: Final = s.Quotas(grace=LEAST_GRACE)

FAULTS: Final = ("lost before", "lost after", "late", "leaderless", "killed before", "killed after", "ended", "cut off",
                 "rotate", "begin_anew", "drop", "write", "attach", "send", "take", "expire")
"""What may become of a request; the last eight are what is done at another relay before it arrives."""

SCRIPT: Final = (
    "write attach attach write find drop read send write attach send take expire wait expire attach rotate write drop "
    "begin_anew write attach drop find wait expire read send take").split()


class Skipping(asyncio.SelectorEventLoop):
    """A loop whose clock goes on where nothing is left to do."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0
        plain = self._selector.select  # type: ignore[has-type]

        def select(timeout: float | None = None) -> Any:
            assert timeout is not None, "everything waits, and for nothing"
            self._passed += timeout
            return plain(0)

        self._selector.select = select  # type: ignore[has-type]

    def time(self) -> float:
        return self._passed


class Hurt(Devices):
    """One run: `at_random`, or `step_by_step` with some faults."""

    def __init__(self, number: int) -> None:
        super().__init__(Random(number))
        self.cluster = Modelled(remembered=8)
        self.rate = self.random.choice((0.0, 0.02, 0.06))
        self.slow = self.random.choice((0.0, 0.1, 0.4))
        self._requests = 0
        self._beside: list[asyncio.Task[None]] = []

    async def at_random(self, seconds: float) -> None:
        """Devices at work for so long, and anything happens to anything."""
        self.cluster.fate = self._any
        await self._begin()
        actors = [(self.own, 1.0), (self.read, 0.5), (self.send, 1.0), (self.take, 2.0), (self.expire, 3.0),
                  (self._trouble, self.random.choice((3.0, 10.0, 1000.0))), (self.find, 1.0),
                  *[(self.write, 0.7)] * 2, *[(self.attach, 0.5)] * 2]
        work = asyncio.gather(*(self._act(*one) for one in actors))
        await asyncio.wait((work,), timeout=seconds)
        self.over = True
        await work
        await self._finish()

    async def step_by_step(self, faults: Mapping[int, str]) -> int:
        """One operation after the other, and these faults, each of the request with its number; how many those are."""
        await self._begin()
        self.cluster.fate = lambda client, subject: self._one(client, subject, faults)
        for name in SCRIPT:
            await (asyncio.sleep(LEAST_GRACE + 1) if name == "wait" else getattr(self, name)())
        self.over = True
        requests = self._requests
        await asyncio.gather(*self._beside)
        await self._finish()
        return requests

    async def _begin(self) -> None:
        self.relays = [await self.opened() for _ in range(2)]
        self._incarnation = self.relays[0].incarnation
        await self._surely(create(2))
        self.told.packets = table(2)
        await self._surely(INBOX)

    async def _finish(self) -> None:
        await asyncio.sleep(5)
        await self.check()
        for relay in self.relays:
            await self.end(relay)

    async def _act(self, act: Callable[[], Awaitable[None]], pause: float) -> None:
        """Do something again and again, after pauses that are so long on average."""
        while not self.over:
            await asyncio.sleep(self.random.expovariate(1 / pause))
            await act()

    # --- faults -------------------------------------------------------------------------

    def _any(self, _: Connection, subject: str) -> Fate:
        if self.over:
            return DONE
        chance = self.random.random
        after = 0.0 if chance() >= self.slow else self.random.choice((0.0, 0.01, 0.3, 2.2))
        return Fate(after, chance() >= self.rate, chance() >= self.rate, chance() < self.rate,
                    self.random.randrange(8) if chance() < 0.3 else 0)

    def _one(self, client: Connection, subject: str, faults: Mapping[int, str]) -> Fate:
        self._requests += 1
        if (fault := faults.get(self._requests)) is None or self.over:
            return DONE
        self.log.append(f"{fault}: {subject}")
        match fault:
            case "lost before":
                return Fate(done=False)
            case "lost after":
                return Fate(answered=False)
            case "late":
                return Fate(after=2.2)
            case "leaderless":
                return Fate(leaderless=True)
            case "killed before" | "killed after" | "ended" | "cut off":
                place = next((n for n, one in enumerate(self.relays) if one._client is client), None)
                if place is not None:
                    client.killed = fault.startswith("killed")
                    self._beside.append(asyncio.ensure_future(self._hurt(place, fault.split()[0])))
                return Fate(done=fault != "killed before")
            case _:
                self._beside.append(asyncio.ensure_future(getattr(self, fault)()))
                return Fate(after=1.0)

    async def _trouble(self) -> None:
        await self._hurt(self.random.randrange(2), self.random.choice(("killed", "ended", "cut")))

    async def _hurt(self, at: int, what: str) -> None:
        """A relay is killed, ended and begun anew, or its node cut off for a while."""
        relay = self.relays[at]
        client: Any = relay._client
        self.log.append(f"relay {at} {what}")
        if what == "cut":
            self.cuts += 1
            client.cut_off = self.cluster.former()
            await asyncio.sleep(self.random.uniform(0.1, 9))
            client.cut_off = None
            self.cuts += 1
        else:
            client.killed = what == "killed"
            await self.end(relay)
            self.relays[at] = await self.opened()

    async def opened(self) -> JetStreamStorage:
        """A relay, which follows the space."""
        loop = asyncio.get_running_loop()
        relay = await JetStreamStorage.open(
            ["model"], shards=1, quotas=QUOTAS, clock=lambda: 1000 + loop.time(), random=self.random.randbytes)
        self.tasks[relay] = {}
        self.keep(relay, relay.hear(self.grown))
        relay.follow(SPACE.handle)
        return relay

    async def end(self, relay: JetStreamStorage) -> None:
        """A relay ends, with all that it is about to do."""
        for task in list(self.tasks[relay]):
            task.cancel()
        await relay.close()
        await asyncio.gather(*self.tasks[relay], return_exceptions=True)

    # --- what must hold -----------------------------------------------------------------

    async def check(self) -> None:
        """Nothing acknowledged is lost or doubled, what was dropped is gone, and quotas count what is there."""
        for _ in range(6):
            await asyncio.sleep(BEGUN)
            rounds = 0
            while await self.ask(s.Expire()) != [s.Expired(more=False)]:
                rounds += 1
                assert rounds < 100, "what is due does not come to an end"
        fresh = await self.opened()
        keys = self.told.keys.keys
        asked: list[s.Request] = [s.ReadPage(SPACE.handle, 0, ALL, keys.read), s.ReadUsage(SPACE.handle, keys.read)]
        answers = [await relay.perform(asked) for relay in (fresh, *self.relays)]
        assert answers[0] == answers[1] == answers[2], "relays tell different things"
        page, used = answers[0]
        assert isinstance(page, s.Page) and isinstance(used, s.SpaceUsage), answers[0]
        check_log(self.told, page, self.pushed)
        state = await fresh.spaces.known(SPACE.handle)
        assert state is not None
        control = {entry for entry, (_, is_control) in self.told.sent.items() if is_control}
        sizes = Counter[bool]()
        for one in page.entries:
            sizes[entry_id(one.envelope) in control] += len(one.envelope)
        total = used.entries.bytes + used.control.bytes
        assert total == sum(sizes.values()) + state.packets * PACKET_COST, "a quota counts what is not there"
        check_left(self.told, self.cluster, state, used.chunks.bytes)
        assert {one.incarnation for one in (fresh, *self.relays)} == {self._incarnation}, "nothing was lost"
        await self.end(fresh)
