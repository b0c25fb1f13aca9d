"""An entry that a relay is storing: who has it already, what comes of it, and who has it no sooner than all."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from chez.errors import RelayMisbehaved
from chez.sync.events import AppendDone, EarlyArrived, EntriesArrived, Event, Refused
from chez.sync.session import ClientSession
from chez_relay import storage as s
from chez_relay.committer import Committer
from chez_relay.connection import Connection
from chez_relay.effects import Effect, Send
from chez_relay.errors import Code
from chez_relay.server import FEW, serving
from chez_relay.session import RelaySession
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.limits import MAX_EARLY
from chez_wire.login import Role
from tests.relay.clusters import emptied
from tests.relay.conftest import modelled
from tests.relay.gates import Gate
from tests.relay.link import Link, World, envelopes, kinds, opened
from tests.relay.support import Space, seed

SPACE = Space()


# --- the cores -------------------------------------------------------------------------


def follower(world: World, credit: int = 10_000) -> Link:
    """Who follows the space from its beginning."""
    link = opened(world, Role.READ, Role.APPEND)
    link.client.subscribe(SPACE.handle, 0, credit)
    world.run()
    link.events.clear()
    return link


def early(link: Link, envelope: bytes) -> list[frames.RelayFrame]:
    """What the relay sends of an entry that it is storing; it is on its way then."""
    sent = link.relay.early(SPACE.handle, envelope)
    link.apply(sent)
    return [frames.decode_relay(effect.data) for effect in sent if isinstance(effect, Send)]


def test_what_came_early_travels_once() -> None:
    """The entry's place comes without its bytes; its reader has them, in order, with the head that follows."""
    world = World(1)
    world.early = 0
    author, reader = opened(world, Role.APPEND), follower(world)
    for number in (1, 2):
        author.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
        while not author.owed:
            author.step(world.random)
        assert early(reader, SPACE.envelope(number)) == [frames.Early(SPACE.handle, SPACE.envelope(number))]
        world.run()
        down = [type(event) for event in reader.events]
        assert down == [EarlyArrived, EntriesArrived] * number
    assert envelopes(reader) == [SPACE.envelope(1), SPACE.envelope(2)]
    assert [event.entry for event in kinds(reader, EarlyArrived)] == [
        frames.Entry(0, SPACE.envelope(number)) for number in (1, 2)]
    assert reader.caught is None


def test_the_place_of_what_came_early_comes_without_its_bytes() -> None:
    """To who had it early; where it is another entry, or one of two, with them."""
    one, two = SPACE.envelope(1), SPACE.envelope(2)
    heads = [fold_head(GENESIS_HEAD, entry_id(one)), fold_head(fold_head(GENESIS_HEAD, entry_id(one)), entry_id(two))]
    for number, first, said in ((11, one, b""), (12, two, one), (13, b"", one)):
        reader = follower(World(number))
        if first:
            early(reader, first)
        (sent,) = reader.relay.grew(SPACE.handle, s.Page((frames.Entry(1, one),), heads[0], 1))
        assert isinstance(sent, Send)
        frame = frames.decode_relay(sent.data)
        assert isinstance(frame, frames.Entries) and frame.entries == [frames.Entry(1, said)]
        (sent,) = reader.relay.grew(SPACE.handle, s.Page((frames.Entry(2, two),), heads[1], 2))
        assert isinstance(sent, Send) and two in sent.data
    reader = follower(World(14))
    early(reader, one)
    both = s.Page((frames.Entry(1, one), frames.Entry(2, two)), heads[1], 2)
    (sent,) = reader.relay.grew(SPACE.handle, both)
    assert isinstance(sent, Send) and one in sent.data and two in sent.data


class TakesNothing:
    """The socket of a reader that takes nothing of what is given to it."""

    request = response = take = None

    def __aiter__(self) -> "TakesNothing":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    def hold(self, change: int) -> None:
        """As `GuestConnection.hold`."""

    def send_at_once(self, data: list[bytes]) -> bool:
        """As `GuestConnection.send_at_once`."""
        return False

    async def send_all(self, data: list[bytes]) -> None:
        """As `GuestConnection.send_all`."""
        await asyncio.Event().wait()


async def test_for_who_takes_nothing_no_more_than_one_waits() -> None:
    """It takes no credit, so it comes only where nothing else waits: else it would pile up."""
    reader, envelope = follower(World(15)), SPACE.envelope(1)
    committer = Committer(MemoryStorage(seed("incarnation")), lambda growth: None)
    connection = Connection(cast("Any", TakesNothing()), reader.relay, committer, cast("Any", None))
    for _ in range(5):
        connection.early(SPACE.handle, envelope)
        await asyncio.sleep(0)
    assert len(envelope) < connection.load < 2 * len(envelope)
    await connection.run(30)


async def test_who_is_being_closed_has_no_more_of_what_passes() -> None:
    """It would come before the end, and whoever says much would put that off."""
    reader = follower(World(16))
    committer = Committer(MemoryStorage(seed("incarnation")), lambda growth: None)
    connection = Connection(cast("Any", TakesNothing()), reader.relay, committer, cast("Any", None))
    message = SPACE.message(1)
    assert connection.hear(SPACE.handle, message, b"") == 0 and connection.load == len(message)
    connection.close(1001, "the relay shuts down")
    assert connection.hear(SPACE.handle, message, b"") == 0 and connection.load == len(message)
    running = asyncio.create_task(connection.run(30))
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def test_only_what_is_next_travels_once() -> None:
    """Whatever else comes of the subscription has its bytes: another entry, several, or what is read from the store."""
    world = World(2)
    world.early = 0
    author, reader = opened(world, Role.APPEND), follower(world)
    early(reader, SPACE.envelope(1))
    early(reader, SPACE.envelope(2))  # the first was refused
    author.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(3))
    world.run()
    author.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(2))
    world.run()
    assert envelopes(reader) == [SPACE.envelope(3), SPACE.envelope(2)] and reader.caught is None


def test_who_is_behind_waits() -> None:
    """Where a page is under way, or credit is short, or the subscription has no answer yet, nothing comes early."""
    world = World(3)
    world.early = 0
    author, reader, poor = opened(world, Role.APPEND), follower(world), follower(world, 100)
    assert early(poor, SPACE.envelope(1)) == []
    assert early(follower(world, 299), SPACE.envelope(1)) == [] != early(follower(world, 300), SPACE.envelope(1))
    fresh = opened(world, Role.READ)
    world.run()
    fresh.apply(fresh.relay.receive(frames.encode(frames.Subscribe(9, SPACE.handle, 0, 10_000))))
    assert early(fresh, SPACE.envelope(1)) == []
    author.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    reader.relay.grew(SPACE.handle, s.Page((), seed("head"), 2))  # which it has to read
    assert early(reader, SPACE.envelope(3)) == []


def test_a_large_entry_comes_no_sooner() -> None:
    """A device looks into what comes early at once, and holds it."""
    world = World(4)
    reader = follower(world, 100_000)
    large = SPACE.envelope(1)
    assert early(reader, large + bytes(MAX_EARLY - len(large))) != []
    assert early(reader, large + bytes(MAX_EARLY + 1 - len(large))) == []


def test_a_relay_keeps_nothing_of_what_it_sent_early() -> None:
    """What is refused after that has no place: the bytes would be held for each space that is followed, uncounted."""
    reader, envelope = follower(World(6)), SPACE.envelope(1)
    before = sys.getrefcount(envelope)
    reader.relay.early(SPACE.handle, envelope)
    assert sys.getrefcount(envelope) == before


def test_who_follows_no_more_has_nothing() -> None:
    """Nor who never did, or whose roles ended."""
    world = World(5)
    reader, other = follower(world), opened(world, Role.READ)
    world.run()
    assert early(other, SPACE.envelope(1)) == []
    reader.apply(reader.relay.rotated(SPACE.handle, None))
    assert early(reader, SPACE.envelope(1)) == []
    gone = follower(World(8))
    gone.apply(gone.relay.receive(b"no frame"))
    assert gone.closed is not None and early(gone, SPACE.envelope(1)) == []


def listening() -> tuple[ClientSession, int]:
    """A device that follows the space, and the ref of that."""
    session = ClientSession("relay.test:8787", seed("c"))
    session.receive(frames.encode(frames.Welcome(1, seed("n"), seed("i"))))
    ref = session.subscribe(SPACE.handle, 0, 10_000)
    session.receive(frames.encode(frames.Entries(ref, SPACE.handle, [], GENESIS_HEAD, 0)))
    return session, ref


@pytest.mark.parametrize("before", [
    [],
    [frames.Early(SPACE.handle, SPACE.envelope(2))],
])
def test_bytes_that_never_came_end_it(before: Sequence[frames.RelayFrame]) -> None:
    """A relay names an entry without bytes that it did not send, or other ones than follow from its head."""
    session, ref = listening()
    for frame in before:
        session.receive(frames.encode(frame))
    head = fold_head(GENESIS_HEAD, entry_id(SPACE.envelope(1)))
    with pytest.raises(RelayMisbehaved):
        session.receive(frames.encode(frames.Entries(ref, SPACE.handle, [frames.Entry(1, b"")], head, 1)))


def test_what_came_early_is_worth_nothing_for_another_page() -> None:
    """An answer to Read, or a page of two, has all its bytes."""
    envelope = SPACE.envelope(1)
    head = fold_head(GENESIS_HEAD, entry_id(envelope))
    session, ref = listening()
    session.receive(frames.encode(frames.Early(SPACE.handle, envelope)))
    page = session.read(SPACE.handle, 0)
    with pytest.raises(RelayMisbehaved, match="did not send"):
        session.receive(frames.encode(frames.Entries(page, SPACE.handle, [frames.Entry(1, b"")], head, 1)))
    session, ref = listening()
    session.receive(frames.encode(frames.Early(SPACE.handle, envelope)))
    two = [frames.Entry(1, envelope), frames.Entry(2, b"")]
    with pytest.raises(RelayMisbehaved, match="did not send"):
        session.receive(frames.encode(frames.Entries(ref, SPACE.handle, two, fold_head(head, entry_id(envelope)), 2)))
    session, ref = listening()
    session.receive(frames.encode(frames.Early(SPACE.handle, envelope)))
    two = [frames.Entry(1, b""), frames.Entry(2, envelope)]
    with pytest.raises(RelayMisbehaved, match="did not send"):
        session.receive(frames.encode(frames.Entries(ref, SPACE.handle, two, fold_head(head, entry_id(envelope)), 2)))


def test_what_came_early_has_one_place() -> None:
    """Its bytes are good for the next page alone, whatever that has."""
    one, two = SPACE.envelope(1), SPACE.envelope(2)
    for early, first in ((one, b""), (two, one)):
        session, ref = listening()
        head = fold_head(GENESIS_HEAD, entry_id(one))
        session.receive(frames.encode(frames.Early(SPACE.handle, early)))
        session.receive(frames.encode(frames.Entries(ref, SPACE.handle, [frames.Entry(1, first)], head, 1)))
        head = fold_head(head, entry_id(early))
        with pytest.raises(RelayMisbehaved, match="did not send"):
            session.receive(frames.encode(frames.Entries(ref, SPACE.handle, [frames.Entry(2, b"")], head, 2)))


def test_an_entry_of_a_space_that_is_not_followed_ends_it() -> None:
    """As whatever a relay sends that nobody asked for."""
    session, _ = listening()
    with pytest.raises(RelayMisbehaved, match="not followed"):
        session.receive(frames.encode(frames.Early(seed("another"), SPACE.envelope(1))))


# --- a relay ---------------------------------------------------------------------------


@dataclass
class Device:
    """A connection, and what came on it."""

    socket: ClientConnection
    session: ClientSession
    events: list[Event] = field(default_factory=list)

    async def say(self) -> None:
        for data in self.session.data_to_send():
            await self.socket.send(data)

    async def until(self, kind: type[Event]) -> Event:
        """The next event of a kind; those before it are kept."""
        while True:
            await self.say()
            data = await asyncio.wait_for(self.socket.recv(), 30)
            assert isinstance(data, bytes)
            came = self.session.receive(data)
            self.events += came
            for event in came:
                if isinstance(event, kind):
                    return event

    async def append(self, number: int, role: Role = Role.APPEND) -> None:
        self.session.append(SPACE.handle, role, SPACE.envelope(number))
        await self.say()

    async def entries(self) -> list[bytes]:
        """The next ones."""
        event = await self.until(EntriesArrived)
        assert isinstance(event, EntriesArrived)
        return [entry.envelope for entry in event.entries]

    def came_early(self) -> list[bytes]:
        """What came early so far."""
        return [event.entry.envelope for event in self.events if isinstance(event, EarlyArrived)]


@asynccontextmanager
async def devices(store: s.Storage, count: int) -> AsyncIterator[list[Device]]:
    """So many devices that follow the space at a relay over this store."""
    async with serving(store, "127.0.0.1", 0) as server:
        made: list[Device] = []
        for number in range(count):
            name = f"127.0.0.1:{server.port}"
            device = Device(await dial(f"ws://{name}", compression=None), ClientSession(name, seed(str(number))))
            if not made:
                device.session.create_space(SPACE.admin, *SPACE.others)
            device.session.open(SPACE.claims(Role.READ, Role.APPEND, Role.CONTROL))
            device.session.subscribe(SPACE.handle, 0, 100_000)
            assert await device.entries() == []
            made.append(device)
        try:
            yield made
        finally:
            if isinstance(store, Gate):
                store.open.set()
            for device in made:
                await device.socket.close()


async def test_others_have_an_entry_while_it_is_stored() -> None:
    """Its author has neither the entry nor an answer before it is; then it is everywhere, once."""
    store = Gate()
    async with devices(store, FEW) as (author, *others):
        store.open.clear()
        await author.append(1)
        for other in others:
            await other.until(EarlyArrived)
        await (await author.socket.ping())
        assert not kinds_of(author, AppendDone) and not any(kinds_of(other, EntriesArrived)[1:] for other in others)
        store.open.set()
        await author.until(AppendDone)
        for other in others:
            assert await other.entries() == other.came_early() == [SPACE.envelope(1)]
        assert not author.came_early()


def kinds_of(device: Device, kind: type[Event]) -> list[Event]:
    return [event for event in device.events if isinstance(event, kind)]


async def test_a_defect_in_it_concerns_nobody_and_tells_nothing(caplog: pytest.LogCaptureFixture,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged as what it is, without a space or its bytes; the entry is stored, and comes as ever."""
    def fails(self: RelaySession, handle: bytes, envelope: bytes) -> list[Effect]:
        raise ValueError(f"{envelope!r}")

    monkeypatch.setattr(RelaySession, "early", fails)
    async with devices(MemoryStorage(seed("incarnation")), 2) as (author, other):
        await author.append(1)
        await author.until(AppendDone)
        assert await other.entries() == [SPACE.envelope(1)] and not other.came_early()
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.name == "chez_relay" and told.getMessage() == (
        "passing on what is being stored failed on something unexpected (ValueError)")
    assert told.exc_info is None


async def test_where_many_follow_nobody_has_it_sooner() -> None:
    """A frame more for each would be the larger part of a relay's work."""
    async with devices(MemoryStorage(seed("incarnation")), FEW + 1) as (author, *others):
        await author.append(1)
        for other in others:
            assert await other.entries() == [SPACE.envelope(1)] and not other.came_early()


async def test_what_is_said_of_the_space_comes_no_sooner() -> None:
    """Statements: a device can show nothing of them."""
    async with devices(MemoryStorage(seed("incarnation")), 2) as (author, other):
        await author.append(1, Role.CONTROL)
        assert await other.entries() == [SPACE.envelope(1)] and not other.came_early()


async def test_who_was_refused_the_last_one_has_the_next_one_stored_first() -> None:
    """Else who has no room left at a relay would go on by it, and who has no disk."""
    store = Gate()
    async with devices(store, 2) as (author, other):
        store.fails = True
        for number in (1, 2, 3):
            await author.append(number)
            refused = await author.until(Refused)
            assert isinstance(refused, Refused) and refused.code == Code.STORAGE
        store.fails = False
        for number in (4, 5):
            await author.append(number)
            await author.until(AppendDone)
            assert await other.entries() == [SPACE.envelope(number)]
        assert other.came_early() == [SPACE.envelope(number) for number in (1, 5)]


async def test_who_gives_an_entry_again_has_the_next_one_stored_first() -> None:
    """It takes no room at the relay: one entry, given again and again, would be sent to all others without end."""
    async with devices(MemoryStorage(seed("incarnation")), 2) as (author, other):
        for number in (1, 1, 1, 1, 2, 3):
            await author.append(number)
            await author.until(AppendDone)
        assert [await other.entries() for _ in range(3)] == [[SPACE.envelope(number)] for number in (1, 2, 3)]
        assert other.came_early() == [SPACE.envelope(number) for number in (1, 1, 3)]


async def test_behind_a_group_that_is_under_way_an_entry_waits_for_its_own() -> None:
    """It is stored with others then: they are many, and each is sent once."""
    store = Gate()
    async with devices(store, 3) as (author, second, other):
        store.open.clear()
        await author.append(1)
        await other.until(EarlyArrived)
        await second.append(2)
        await (await second.socket.ping())  # the relay has read it
        store.open.set()
        await second.until(AppendDone)
        assert [await other.entries(), await other.entries()] == [[SPACE.envelope(1)], [SPACE.envelope(2)]]
        assert other.came_early() == [SPACE.envelope(1)]


async def test_over_a_shared_store_nobody_has_it_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another relay may have replaced the space's keys: who was taken out would be sent what the store refuses."""
    async with emptied(modelled(monkeypatch)) as store, devices(store, 2) as (author, other):
        await author.append(1)
        assert await other.entries() == [SPACE.envelope(1)] and not other.came_early()
