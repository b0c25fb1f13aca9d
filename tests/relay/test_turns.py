"""Addresses take turns at the store: who asks for little waits for a moment of what another piles up."""

import asyncio
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from chez.sync.session import ClientSession
from chez_relay.bounds import QUANTUM
from chez_relay.committer import cost
from chez_relay.limits import Limits
from chez_relay.server import RelayServer, serving
from chez_relay.storage import ReadUsage, Request, Result
from chez_relay.storage.memory import MemoryStorage
from chez_relay.turns import Turns
from chez_wire import frames
from chez_wire.login import Role
from tests.relay.raw import until
from tests.relay.support import Space, seed

WEIGHTS = st.integers(1, 3 * QUANTUM)
MOST = 3 * QUANTUM
ALL = 10**9
EACH = 1800
WEIGHT = cost(ReadUsage(bytes(32), bytes(32)))


@given(st.lists(st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abcd"), WEIGHTS),
    st.tuples(st.just("take"), st.integers(0, 20), st.integers(0, 10 * QUANTUM)),
    st.tuples(st.just("owe"), st.sampled_from("abcd"), st.integers(0, 10**12)))))
def test_all_that_waits_comes_once_and_in_the_order_of_who_asked(
        steps: list[tuple[str, str, int] | tuple[str, int, int]]) -> None:
    """No more at a time than is wanted, and something while anything waits."""
    turns, waiting = Turns[tuple[str, int, int]](), defaultdict[str, deque[tuple[str, int, int]]](deque)
    for number, (verb, one, two) in enumerate((*steps, ("take", ALL, ALL))):
        if verb == "put":
            item = (str(one), number, two)
            waiting[str(one)].append(item)
            turns.put(one, item, two)
        elif verb == "owe":
            turns.owe(one, two)
        else:
            there, most = len(turns), int(one)
            taken = turns.take(most, two)
            assert len(taken) <= most and (taken or not there or not most or not two)
            assert sum(weight for _, _, weight in taken[:-1]) < max(two, 1)
            assert all(waiting[item[0]].popleft() == item for item in taken)
        assert len(turns) == sum(map(len, waiting.values()))
    assert not turns


@given(st.lists(st.lists(WEIGHTS, min_size=1, max_size=40), min_size=2, max_size=5))
def test_each_gets_as_much_as_the_others(weights: list[list[int]]) -> None:
    """By bytes, as long as all have something waiting: to within a turn and what one request weighs."""
    turns = Turns[tuple[int, int]]()
    for who, mine in enumerate(weights):
        for weight in mine:
            turns.put(who, (who, weight), weight)
    left, got = Counter({who: len(mine) for who, mine in enumerate(weights)}), Counter[int]()
    while all(left.values()):
        ((who, weight),) = turns.take(1, ALL)
        left[who] -= 1
        got[who] += weight
        assert max(got.values()) - min(got[who] for who in left) <= QUANTUM + MOST


@given(st.integers(1, 20), WEIGHTS, st.integers(0, 100))
def test_who_asks_for_little_waits_for_a_turn_of_each_at_most(others: int, weight: int, begun: int) -> None:
    """And for nobody's who had one: it comes first then, however many they are and whatever they pile up."""
    turns, each = Turns[object](), 3 * (QUANTUM // weight + 1)
    for other in range(others):
        for _ in range(each):
            turns.put(other, other, weight)
    turns.take(min(begun, len(turns) - 1), ALL)
    turns.put("lone", "lone", weight)
    before = Counter[object]()
    while (taken := turns.take(1, ALL)) != ["lone"]:
        before.update(taken)
    assert all(count * weight < QUANTUM + weight for count in before.values())
    if begun * weight >= others * (QUANTUM + weight):
        assert not before


def test_who_asks_anew_each_time_is_not_always_first() -> None:
    """Many have one request each, and the next as soon as that is taken: who has waited gets well above half as much.
    """
    turns, got = Turns[str](), Counter[str]()
    sly = [f"sly {number}" for number in range(10)]
    for _ in range(1000):
        turns.put("patient", "patient", QUANTUM)
    for one in sly:
        turns.put(one, one, QUANTUM)
    for _ in range(200):
        for one in (taken := turns.take(5, ALL)):
            if one in sly:
                turns.put(one, one, QUANTUM)
        got.update(taken)
    assert got["patient"] > 0.6 * max(got.values())


def test_what_is_left_of_a_turn_is_not_added_to_the_next() -> None:
    """Who had little to ask for has no more than one turn when it asks for much."""
    turns = Turns[str]()
    turns.put("a", "a", 1)
    for _ in range(10):
        turns.put("b", "b", QUANTUM)
    assert turns.take(2, ALL) == ["a", "b"]
    for _ in range(40):
        turns.put("a", "a", QUANTUM // 8)
    assert turns.take(18, ALL) == ["a"] * 8 + ["b"] + ["a"] * 8 + ["b"]


@pytest.mark.parametrize(("waiting", "rests"), [(20, 0), (1, 0), (1, 1)])
def test_what_is_known_later_is_owed(waiting: int, rests: int) -> None:
    """Pages cost what was read for them, also who asks for one after the other, and rests before he does: beside them
    entries go on as fast."""
    turns, got, page = Turns[str](), Counter[str](), 40 * QUANTUM
    asks = deque([waiting, *[0] * rests])
    for _ in range(20_000):
        turns.put("writer", "writer", 1000)
    while got["writer"] < 19 * 10**6:
        for _ in range(asks.popleft()):
            turns.put("reader", "reader", page, 500)
        taken = Counter(turns.take(100, 8 * page))
        asks.append(taken["reader"])
        turns.owe("reader", taken["reader"] * page)
        got.update(reader=taken["reader"] * page, writer=taken["writer"] * 1000)
    assert 0.8 * got["writer"] < got["reader"] < got["writer"] + 8 * page


@pytest.mark.parametrize(("owed", "before"), [(0, 0), (1, 3)])
def test_who_owes_for_what_he_had_is_not_new(owed: int, before: int) -> None:
    """However little it was, his turn is behind those of who waits already; who had nothing comes first, as ever."""
    turns = Turns[str]()
    for _ in range(20):
        turns.put("other", "other", QUANTUM // 4)
    turns.take(5, ALL)
    turns.owe("he", owed)
    turns.put("he", "he", 1)
    assert turns.take(before + 1, ALL) == ["other"] * before + ["he"]


def test_pages_that_bring_nothing_cost_next_to_nothing() -> None:
    """Who comes back asks for a page of each space, and most are empty: that is one turn, whatever they might weigh."""
    turns = Turns[str]()
    for other in range(100):
        for _ in range(100):
            turns.put(other, "", 1000)
    turns.take(100 * 20, ALL)
    for _ in range(30):
        turns.put("back", "back", 40 * QUANTUM, 500)
    assert turns.take(30, ALL) == ["back"] * 30


def test_debts_of_many_are_passed_over_at_once() -> None:
    """Who owes the least comes first, and it takes no turn after turn to find that out."""
    turns = Turns[int]()
    for one in range(1000):
        for _ in range(3):
            turns.put(one, one, QUANTUM)
    turns.take(1000, ALL)
    for one in range(1000):
        turns.owe(one, 10**15 + (one - 500) ** 2 * QUANTUM)
    assert turns.take(1, ALL) == [500] and set(turns.take(3, ALL)) <= {499, 500, 501}


def test_nobody_is_remembered_of_whom_nothing_waits() -> None:
    """Addresses come without end."""
    class Who:
        pass

    turns = Turns[str]()
    for count in (1, 3):
        asked = [Who() for _ in range(3)]
        for who in asked:
            turns.put(who, "", 1)
        left = [weakref.ref(who) for who in asked]
        del asked, who
        while turns:
            turns.take(count, ALL)
            left.append(weakref.ref(one := Who()))
            turns.owe(one, 1)
            del one
        assert not any(who() for who in left)


class Gated(MemoryStorage):
    """Notes each group whose requests are of `ReadUsage`, and performs none before the gate opens."""

    def __init__(self) -> None:
        super().__init__(seed("incarnation"))
        self.gate = asyncio.Event()
        self.groups: list[list[bytes]] = []

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        if handles := [one.handle for one in requests if isinstance(one, ReadUsage)]:
            self.groups.append(handles)
            await self.gate.wait()
        return await super().perform(requests)


@asynccontextmanager
async def asking(server: RelayServer, space: Space, host: str, behind: str) -> AsyncIterator[ClientConnection]:
    """A connection from an address, which may read a space's usage; a proxy says that it is `behind` it, or nothing."""
    name = f"127.0.0.1:{server.port}"
    async with dial(f"ws://{name}", compression=None, local_addr=(host, 0),
                    additional_headers={"X-Forwarded-For": behind} if behind else None) as socket:
        session = ClientSession(name, seed("nonce"))
        session.create_space(space.admin, *space.others)
        session.open(space.claims(Role.READ))
        while waiting := session.data_to_send():
            for data in waiting:
                await socket.send(data)
                session.receive(await socket.recv(decode=False))
        yield socket


@pytest.mark.parametrize(("flooding", "beside", "trusted", "at_once"), [
    (("127.0.0.2", ""), ("127.0.0.3", ""), (), True),
    (("127.0.0.2", ""), ("127.0.0.2", ""), (), False),
    (("127.0.0.2", "192.0.2.1"), ("127.0.0.3", "192.0.2.2"), ("127.0.0.0/8",), True),
    (("127.0.0.2", "2001:db8:1:2::3"), ("127.0.0.3", "2001:db8:1:2::4"), ("127.0.0.0/8",), False),
], ids=["another address", "the same", "another behind the proxy", "one network's"])
async def test_a_flood_of_one_address_keeps_no_other_waiting(
        flooding: tuple[str, str], beside: tuple[str, str], trusted: tuple[str, ...], at_once: bool) -> None:
    """Thousands of requests wait, of several connections: what another address asks for is in the very next group."""
    storage, mine, others = Gated(), Space("mine"), [Space(f"flood {n}") for n in range(3)]
    async with serving(storage, "127.0.0.1", 0, trusted=trusted) as server, AsyncExitStack() as stack:
        floods = [await stack.enter_async_context(asking(server, space, *flooding)) for space in others]
        lone = await stack.enter_async_context(asking(server, mine, *beside))
        for socket, space in zip(floods, others, strict=True):
            for number in range(EACH):
                await socket.send(frames.encode(frames.GetUsage(number, space.handle)))
        await until(lambda: server.load == len(floods) * EACH * WEIGHT)
        await lone.send(frames.encode(frames.GetUsage(1, mine.handle)))
        await until(lambda: server.load == (len(floods) * EACH + 1) * WEIGHT)
        storage.gate.set()
        await lone.recv()
        found = next(number for number, group in enumerate(storage.groups) if mine.handle in group)
        for socket in floods:
            for _ in range(EACH):
                await socket.recv()
    assert sum(map(len, storage.groups)) == len(floods) * EACH + 1
    assert found == 1 if at_once else found > 3


async def test_what_waits_is_held_also_of_who_left() -> None:
    """Who piles up, and goes on by other connections, has no more waiting than twice what an address may hold."""
    storage, mine, others = Gated(), Space("mine"), [Space(f"flood {n}") for n in range(4)]
    most = 3 * EACH * WEIGHT
    limits = Limits(memory_per_address=most // 2)
    async with serving(storage, "127.0.0.1", 0, limits=limits) as server, AsyncExitStack() as stack:
        floods = [await stack.enter_async_context(asking(server, space, "127.0.0.2", "")) for space in others]
        lone = await stack.enter_async_context(asking(server, mine, "127.0.0.3", ""))
        for count, (socket, space) in enumerate(zip(floods[:3], others, strict=False), 1):
            for number in range(EACH):
                await socket.send(frames.encode(frames.GetUsage(number, space.handle)))
            await until(partial(lambda load: server.load == load, count * EACH * WEIGHT))
            socket.transport.abort()
        await until(lambda: server.connections == 2)
        assert server.load == most and not server.counts.let_go["memory"]
        await lone.send(frames.encode(frames.GetUsage(1, mine.handle)))
        await floods[3].send(frames.encode(frames.GetUsage(1, others[3].handle)))
        await until(lambda: server.connections == 1)
        assert server.counts.let_go["memory"] == 1
        storage.gate.set()
        await lone.recv()
        await until(lambda: server.load == 0)
        assert sum(map(len, storage.groups)) == 3 * EACH + 2
        found = {one: number for number, group in enumerate(storage.groups) for one in group}
        assert found[mine.handle] == 1 and found[others[3].handle] > 3, "what it asked last keeps its place, too"
