"""Answers of one group: what goes wrong with one of them concerns nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from chez_relay.committer import Committer, cost
from chez_relay.counts import Counts
from chez_relay.errors import Code, StorageFailed
from chez_relay.fanout import Growth, growth
from chez_relay.storage import (
    AddItem,
    Done,
    Dropped,
    DropSpace,
    Entry,
    Expire,
    Expired,
    FindChunks,
    Page,
    ReadChunk,
    ReadItems,
    ReadPage,
    ReadUsage,
    Refused,
    Request,
    Result,
    SpaceUsage,
    Stored,
)
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.refusals import OTHER_SPACE_KEYS
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.limits import MAX_CHUNK, MAX_ENVELOPE, MAX_INBOX_ITEM, MAX_PAGE, MIB
from chez_wire.usage import Used
from tests.relay.storing import INBOX, READ, SPACE, chunk, create, drop, entry, rotate, table
from tests.relay.support import Space, seed


class Watched(MemoryStorage):
    """Says when it begins with a group."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(seed("incarnation"))
        self.events = events

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        self.events.append(f"began {len(requests)}")
        return [Expired(False)] * len(requests)


@asynccontextmanager
async def running(committer: Committer) -> AsyncIterator[None]:
    """Groups are performed meanwhile."""
    task = asyncio.create_task(committer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def telling(events: list[str], name: str) -> Callable[[Result], None]:
    return lambda _: events.append(name)


async def test_an_answer_that_fails_concerns_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """The others of its group are answered, and what comes after it; the log names no more than the kind."""
    events: list[str] = []
    committer = Committer(Watched(events), lambda _: events.append("grown"))

    def failing(_: Result) -> None:
        raise ValueError("a secret")

    async with running(committer):
        await committer.idle()  # nothing was asked yet
        committer.submit(Expire(), failing)
        committer.submit(Expire(), telling(events, "other"))
        await committer.idle()
        committer.submit(Expire(), telling(events, "later"))
        await committer.idle()
    assert events == ["began 2", "other", "grown", "began 1", "later", "grown"]
    assert "ValueError" in caplog.text and "secret" not in caplog.text


class Planned(MemoryStorage):
    """Answers a group as it is told to; without an answer it fails."""

    plan: Sequence[Result] = ()

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        if not self.plan:
            raise StorageFailed("the disk is full")
        return list(self.plan)


async def test_it_rests_while_a_request_would_have_a_group_of_its_own() -> None:
    """Not before it runs, nor while something waits or is under way."""
    committer = Committer(Watched([]), lambda growth: None)
    assert not committer.rests
    async with running(committer):
        await asyncio.sleep(0)
        assert committer.rests
        seen: list[bool] = []
        committer.submit(Expire(), lambda result: seen.append(committer.rests))
        assert not committer.rests
        await committer.idle()
        assert committer.rests and seen == [False]
    assert not committer.rests


async def test_a_store_that_failed_is_ready_again_when_something_was_written() -> None:
    """What was there already, was refused, or only read, is no proof of that."""
    storage, counts = Planned(seed("incarnation")), Counts()
    committer = Committer(storage, lambda _: None, counts=counts)

    async def ready(*asked: tuple[Request, Result | None]) -> bool:
        storage.plan = [answer for _, answer in asked if answer is not None]
        for request, _ in asked:
            committer.submit(request, lambda _: None)
        await committer.idle()
        return counts.writable

    read = ReadPage(SPACE.handle, 0, 1, READ), Page((), seed("head"), 0)
    async with running(committer):
        for proof in ((create(), Done()), (entry(1), Stored(1, seed("head"), fresh=True)), (Expire(), Expired(False))):
            assert not await ready((entry(1), None))
            assert not await ready((entry(1), Stored(1, seed("head"), fresh=False)))
            assert not await ready((create(), OTHER_SPACE_KEYS), read) and not await ready(read)
            assert not await ready((Expire(), Expired(more=False, able=False)))
            assert await ready(proof) and await ready((create(), OTHER_SPACE_KEYS))
        assert not await ready((Expire(), Expired(more=False, able=False))), "no room is left"


class Odd(MemoryStorage):
    """Does something that no store should, for each group once."""

    def __init__(self, *odd: BaseException | None) -> None:
        super().__init__(seed("incarnation"))
        self.odd = list(odd)

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        if self.odd and (error := self.odd.pop(0)) is not None:
            raise error
        return [Expired(False)] * (len(requests) - (1 if self.odd else 0))


async def test_whatever_a_store_does_those_after_are_answered() -> None:
    """A group that was cancelled, failed on a defect, or got too few results is refused, and ends."""
    committer = Committer(Odd(asyncio.CancelledError(), KeyError("a secret"), None, None), lambda _: None)
    told: list[Result] = []

    def cancelled(result: Result) -> None:
        told.append(result)
        raise asyncio.CancelledError

    async with running(committer):
        for number in range(4):
            committer.submit(Expire(), cancelled)
            await asyncio.wait_for(committer.idle(), 30)
            assert len(told) == number + 1
    assert [isinstance(one, Refused) and one.code is Code.STORAGE for one in told] == [True, True, True, False]


class Reading(MemoryStorage):
    """Each page has so many bytes; notes which spaces a group was about."""

    def __init__(self, size: int) -> None:
        super().__init__(seed("incarnation"))
        self.size = size
        self.groups: list[list[bytes]] = []

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        self.groups.append([one.handle for one in requests if isinstance(one, ReadPage | ReadUsage)])
        page = Page((Entry(1, bytes(self.size)),) if self.size else (), seed("head"), 1)
        usage = SpaceUsage(*[Used(0, 0)] * 3)
        return [page if isinstance(one, ReadPage) else usage for one in requests]


@pytest.mark.parametrize("size", [0, MAX_PAGE])
async def test_a_page_costs_an_address_what_was_read_for_it(size: int) -> None:
    """Who reads little has all of it at once beside others who wait; who reads much waits for as much of theirs."""
    storage, reader, other = Reading(size), seed("reader"), seed("other")
    committer = Committer(storage, lambda _: None)
    for _ in range(6000):
        committer.submit(ReadUsage(other, READ), lambda _: None, who="other")
    for _ in range(20):
        committer.submit(ReadPage(reader, 0, MAX_PAGE, READ), lambda _: None, who="reader")
    async with running(committer):
        await committer.idle()
    last = max(number for number, group in enumerate(storage.groups) if reader in group)
    before = sum(group.count(other) for group in storage.groups[:last])
    assert before > 5000 if size else before < 1500


async def test_who_asks_a_store_that_is_being_closed_is_told(tmp_path: Path) -> None:
    """Behind its end nothing is done, and nobody would ever hear of it."""
    storage = await SqliteStorage.open(tmp_path)
    closing = asyncio.create_task(storage.close())
    for _ in range(20):
        with suppress(StorageFailed):
            await asyncio.wait_for(storage.perform([ReadPage(SPACE.handle, 0, 1, READ)]), 30)
    await closing


def test_a_request_weighs_what_it_may_hold() -> None:
    """All that it brings, or that its answer may: what a connection makes the relay hold is bounded by that."""
    packets, ids = table(50), tuple(seed(f"{number}") for number in range(50))
    boxes = sum(len(one.tag) + len(one.box) for one in packets)
    for request, size in (
        (entry(1, 5000), 5000), (chunk(1, 5000), 5000), (AddItem(ids[0], bytes(5000), ids[1]), 5000),
        (create(50), boxes), (rotate(SPACE, 50), boxes), (ReadChunk(SPACE.handle, ids[0], READ), MAX_CHUNK),
        (ReadPage(SPACE.handle, 0, 5000, READ), MAX_ENVELOPE), (ReadPage(SPACE.handle, 0, 2 * MIB, READ), 2 * MIB),
        (ReadItems(ids[0], 0, 5000), MAX_INBOX_ITEM), (ReadItems(ids[0], 0, MAX_PAGE), MAX_PAGE),
        (FindChunks(SPACE.handle, ids, READ), 32 * 50), (replace(drop([]), chunks=ids), 32 * 50),
        (drop([Dropped(number, number, ids[0]) for number in range(1, 50)]), 49 * 64), (Expire(), 0),
    ):
        assert size <= cost(request) <= 2048 + 4 * size, request


def test_what_a_group_added_is_told_once_and_of_what_is_still_there() -> None:
    """Not what was there already, nor what was refused, nor entries of a space that was deleted behind them."""
    heads = [seed(f"head {number}") for number in range(5)]
    done: list[tuple[Request, Result]] = [
        (entry(3), Stored(3, heads[3], fresh=True)), (entry(1), Stored(1, heads[1], fresh=False)),
        (entry(4), Stored(4, heads[4], fresh=True)), (rotate(SPACE), Done()), (INBOX, Done()),
        (rotate(Space("refused")), OTHER_SPACE_KEYS), (AddItem(INBOX.inbox, b"x", INBOX.write_key), Done()),
        (AddItem(seed("full"), b"x", INBOX.write_key), OTHER_SPACE_KEYS)]
    page = Page((Entry(3, entry(3).envelope), Entry(4, entry(4).envelope)), heads[4], 4)
    deletion = DropSpace(SPACE.handle, SPACE.keys.admin)
    for last, spaces, credentials in (
        (OTHER_SPACE_KEYS, {SPACE.handle: page}, SPACE.keys.credentials), (Done(), {}, None),
    ):
        added = growth([*(request for request, _ in done), deletion], [*(result for _, result in done), last])
        assert added == Growth({SPACE.handle: credentials}, spaces, (INBOX.inbox,))


async def test_what_is_under_way_when_it_ends_is_told_nobody(tmp_path: Path) -> None:
    """It is done all the same. A store that is closed says so."""
    told: list[Result] = []
    storage = await SqliteStorage.open(tmp_path)
    committer = Committer(storage, lambda _: None)
    async with running(committer):
        await asyncio.sleep(0)  # it begins
        committer.submit(create(), told.append)
        await asyncio.sleep(0)  # the store was given the group
    (page,) = await storage.perform([ReadPage(SPACE.handle, 0, 1, READ)])
    assert page == Page((), GENESIS_HEAD, 0) and not told
    await storage.close()
    committer = Committer(storage, lambda _: None)
    async with running(committer):
        committer.submit(entry(1), told.append)
        await committer.idle()
    (refused,) = told
    assert isinstance(refused, Refused) and refused.code is Code.STORAGE
