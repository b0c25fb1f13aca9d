"""A change shows on another device while the relay stores it, and is here whatever becomes of that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.store.database import Connection
from chez.sync import driver
from chez.sync.link import Link
from chez.sync.replica import Replica
from chez.sync.several import Several
from chez_relay.limits import Limits
from chez_relay.server import serving
from chez_wire.frames import Early, encode
from tests.home.pairing import PASSPHRASE, paired
from tests.relay.gates import Gate
from tests.sync.wires import lanes_of


@dataclass
class Live:
    """A writes and B follows a record; what B's live answer says comes into the queue."""

    following: "asyncio.Task[None]"
    a: chez.Home
    b: chez.Home
    store: Gate
    url: str
    relay: AsyncExitStack
    first: Link
    second: Link
    leaves: AsyncExitStack
    """Ends A's connection."""
    links: AsyncExitStack
    answers: "asyncio.Queue[Any]"

    async def next(self) -> Any:
        """What the live answer says next."""
        return await asyncio.wait_for(self.answers.get(), 30)

    async def put(self, n: int) -> None:
        """A changes the record."""
        await self.a.collection("notes").put({"n": n}, id="r")

    async def value(self) -> Any:
        """What B's store has."""
        return (await self.b.collection("notes").get("r")).value["n"]

    async def synced(self) -> None:
        """Both are in step."""
        await self.first.synced(30)
        await self.second.synced(30)


@asynccontextmanager
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """Two devices in step over a relay, of which one follows a record of the other's."""
    store = Gate()
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(AsyncExitStack())
        server = await relay.enter_async_context(serving(store, "127.0.0.1", 0, limits=Limits(drain=0.2)))
        a, b = await stack.enter_async_context(paired(tmp_path, url := f"ws://127.0.0.1:{server.port}"))
        answers: asyncio.Queue[Any] = asyncio.Queue()

        async def follow() -> None:
            async for record in b.collection("notes").live("r"):
                answers.put_nowait(None if record is None else record.value["n"])

        links = await stack.enter_async_context(AsyncExitStack())
        leaves = await links.enter_async_context(AsyncExitStack())
        first = await leaves.enter_async_context(a.connect(url))
        second = await links.enter_async_context(b.connect(url))
        following = asyncio.create_task(follow())
        stack.callback(store.open.set)
        stack.callback(following.cancel)
        one = Live(following, a, b, store, url, relay, first, second, leaves, links, answers)
        for n in range(4):
            await one.put(n)
            await one.synced()
            while await one.next() != n:
                pass
        yield one


@pytest.fixture(params=[0.0, 30.0], ids=["late", "in time"])
def hold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How long an entry waits here for its place: until the relay has it, or not at all."""
    monkeypatch.setattr(driver, "HOLD", request.param)
    return float(request.param)


async def test_a_change_shows_while_the_relay_stores_it(tmp_path: Path, hold: float,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is acknowledged to its author; and when it is stored it is here once, in step. It takes a transaction
    of its own only where the relay is late."""
    lacking, unproven = [], Several.unproven

    def noted(self: Several, db: Connection, relay: int, row: int) -> None:
        lacking.append(row)
        unproven(self, db, relay, row)

    monkeypatch.setattr(Several, "unproven", noted)
    async with live(tmp_path) as one:
        lacking.clear()
        before = one.store.entries
        one.store.open.clear()
        await one.put(10)
        assert await one.next() == 10
        assert one.store.entries == before and (await one.a.status()).pending
        if not hold:
            async with asyncio.timeout(30):
                while not lacking:  # noqa: ASYNC110 (nobody is told)
                    await asyncio.sleep(0.01)
        one.store.open.set()
        await one.synced()
        assert len(lacking) == (0 if hold else 1)
        assert await one.value() == 10 and one.store.entries == before + 1
        assert not (await one.a.status()).pending and not (await one.b.status()).pending
        assert one.answers.empty() and len(await one.b.collection("notes").history("r")) == 5
        await one.put(11)
        assert await one.next() == 11


async def test_what_nobody_follows_waits_for_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would see it sooner, and it would be two transactions."""
    monkeypatch.setattr(driver, "HOLD", 0.0)
    taken, early = [], Replica.early
    monkeypatch.setattr(Replica, "early", lambda self, *rest: taken.append(rest) or early(self, *rest))
    async with live(tmp_path) as one:
        taken.clear()
        one.following.cancel()
        with suppress(asyncio.CancelledError):
            await one.following
        await one.put(10)
        await one.synced()
        assert await one.value() == 10 and not taken


@pytest.mark.parametrize("how", ["get", "query", "history", "edit", "put"])
async def test_who_reads_or_writes_meanwhile_finds_what_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              how: str) -> None:
    """The store has it before the relay: nobody waits for a network."""
    monkeypatch.setattr(driver, "HOLD", 1000.0)
    async with live(tmp_path) as one, asyncio.timeout(30):
        one.store.open.clear()
        await one.put(10)
        assert await one.next() == 10
        notes = one.b.collection("notes")
        match how:
            case "get":
                assert await one.value() == 10
            case "query":
                assert [record.value["n"] async for record in notes.where(chez.field("n") == 10)] == [10]
            case "history":
                assert len(await notes.history("r")) == 5
            case "edit":
                async with notes.edit("r") as draft:
                    assert draft == {"n": 10}
                    draft["n"] = 11
                assert await one.next() == 11 and not await notes.conflicts("r")
            case _:
                await notes.put({"n": 11}, id="r")
                assert await one.next() == 11 and not await notes.conflicts("r")
        one.store.open.set()
        await one.synced()
        assert await one.value() == (11 if how in ("edit", "put") else 10)
        assert (await one.a.collection("notes").get("r")).value["n"] == await one.value()


async def test_what_a_relay_loses_it_is_given_by_who_has_it(tmp_path: Path, hold: float) -> None:
    """It ends before it has stored the change, and the author never comes back."""
    async with live(tmp_path) as one:
        before = one.store.entries
        one.store.open.clear()
        one.store.fails = True
        await one.put(10)
        assert await one.next() == 10
        await one.relay.aclose()  # it answers nobody any more
        await one.links.aclose()
        assert one.store.entries == before
        one.store.fails = False
        one.store.open.set()
        async with serving(one.store, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.port}"
            for _ in range(2):  # the second time there is nothing to give
                assert await one.b.sync(url)
                assert await one.value() == 10 and one.store.entries == before + 1
            await one.a.sync(url)  # it comes back after all, and has another seal for the very same entry
            await one.b.sync(url)
            assert await one.value() == 10 and len(await one.b.collection("notes").history("r")) == 5


async def test_what_a_relay_refuses_to_its_author_it_is_given_while_it_stands(tmp_path: Path) -> None:
    """By who had it early, once there is room; and what shows stays."""
    async with live(tmp_path) as one:
        one.store.open.clear()
        one.store.fails = True
        await one.put(10)
        assert await one.next() == 10 and await one.value() == 10
        one.store.open.set()
        await one.leaves.aclose()
        one.store.fails = False
        before = one.store.entries
        for _ in range(2):  # now and then, as a link does: what is lacking at both is given
            await one.second.synced(30)
            one.second.forward(at_once=False)
        await one.second.synced(30)
        assert await one.value() == 10 and one.store.entries == before + 1


async def test_what_shows_is_here_after_the_home_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody read it, and no relay ever had it: it is not taken back by who ends a connection, and then the home."""
    monkeypatch.setattr(driver, "HOLD", 1000.0)
    async with live(tmp_path) as one:
        one.store.open.clear()
        one.store.fails = True
        await one.put(10)
        assert await one.next() == 10
    async with chez.open(tmp_path / "b", passphrase=PASSPHRASE) as b:
        assert (await b.collection("notes").get("r")).value["n"] == 10


def test_a_relay_has_one_entry_opened_until_it_says_where_it_is() -> None:
    """Each is opened while all else waits, and takes no credit: any number would come for nothing."""
    wire, lanes = lanes_of(1)
    handle = wire.device.replica.space.handle

    def early(n: int) -> int:
        """How much work it is."""
        wire.device.receive(encode(Early(handle, bytes((n,)) * 200)))
        return sum(job.work.early for job in lanes.take())

    assert [early(n) for n in range(20)] == [1] + 19 * [0]
    wire.put(1, "a")
    wire.settle()
    assert [early(n) for n in range(20)] == [1] + 19 * [0]
