"""Ephemeral messages at a relay: to the other subscribers at once, to nobody else, and into no memory or file."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import RelayRefused
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EphemeralArrived
from chez_relay.bounds import MAX_PASSING
from chez_relay.counts import Counts
from chez_relay.ephemeral import Passing
from chez_relay.errors import Code
from chez_relay.limits import Limits
from chez_relay.metrics import Moment, metrics
from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.limits import MAX_EPHEMERAL
from chez_wire.login import Role
from tests.relay.link import Link, World, kinds, opened, refusals
from tests.relay.raw import frame as websocket_frame
from tests.relay.raw import raw, until
from tests.relay.support import Space, relay, seed
from tests.relay.test_kept import Keeping, kept, take_up
from tests.relay.test_process import stuck

SPACE, OTHER = Space(), Space("other")
MEMBER = (Role.READ, Role.CONTROL)


def heard(link: Link) -> list[bytes]:
    """The ephemeral messages that came over a link."""
    return [event.message for event in kinds(link, EphemeralArrived)]


def subscribed(world: World, *roles: Role, space: Space = SPACE) -> Link:
    link = opened(world, *roles, space=space)
    link.client.subscribe(space.handle, 0, 100_000)
    world.run()
    return link


@given(st.integers(0, 2**32))
def test_it_reaches_the_other_subscribers_of_its_space_and_nobody_else(number: int) -> None:
    """Each subscriber hears what others said, in their order; who did not subscribe, or to another space, nothing."""
    world = World(number)
    members = [subscribed(world, *MEMBER) for _ in range(3)]
    follower, opener = subscribed(world, Role.READ), opened(world, *MEMBER)
    stranger = subscribed(world, *MEMBER, space=OTHER)
    world.run()
    for part in range(4):
        members[0].client.broadcast(SPACE.handle, SPACE.message(part))
    opener.client.broadcast(SPACE.handle, SPACE.message(9))
    world.run()
    said = [SPACE.message(part) for part in range(4)]
    assert heard(members[0]) == [SPACE.message(9)]
    for link in (*members[1:], follower):
        assert sorted(heard(link)) == sorted([*said, SPACE.message(9)])
        assert [one for one in heard(link) if one in said] == said
    assert heard(opener) == heard(stranger) == []
    assert not any(link.client.unanswered for link in world.links)


def test_an_answer_to_its_sender_reaches_nobody_else() -> None:
    """What is sent to the sender of a message goes there alone; that name leads nowhere at another space."""
    world = World(4)
    one, two, three = (subscribed(world, *MEMBER) for _ in range(3))
    for link in (one, two):
        link.client.create_space(OTHER.admin, *OTHER.others)
        link.client.open(OTHER.claims(*MEMBER))
        link.client.subscribe(OTHER.handle, 0, 100_000)
    one.client.broadcast(SPACE.handle, SPACE.message(1))
    world.run()
    (asked,) = kinds(two, EphemeralArrived)
    assert asked.sender == kinds(three, EphemeralArrived)[0].sender
    two.client.broadcast(SPACE.handle, SPACE.message(2), asked.sender)
    two.client.broadcast(OTHER.handle, OTHER.message(3), asked.sender)
    three.client.broadcast(SPACE.handle, SPACE.message(4), bytes(16))
    world.run()
    assert heard(one) == [SPACE.message(2)] and heard(three) == [SPACE.message(1)] == heard(two)


@pytest.mark.parametrize(("roles", "message", "code"), [
    ((Role.READ,), SPACE.message(1), Code.ROLE), ((Role.APPEND,), SPACE.message(1), Code.ROLE),
    (MEMBER, SPACE.message(1, handle=OTHER.handle), Code.BAD_ENTRY), (MEMBER, SPACE.envelope(1), Code.BAD_ENTRY),
], ids=["a reader of a public space", "without the role", "of another space", "an entry"])
def test_what_may_not_be_passed_on_is_refused(roles: tuple[Role, ...], message: bytes, code: Code) -> None:
    """Without the role control, for another space, or with the shape of an entry: refused, and nobody hears it."""
    world = World(1)
    listener, sender = subscribed(world, *MEMBER), opened(world, *roles)
    world.run()
    sender.client.broadcast(SPACE.handle, message)
    world.run()
    assert refusals(sender) == [code] and heard(listener) == []


def test_a_rotation_ends_it() -> None:
    """Who was in the space under the replaced keys neither says nor hears anything more, and is told of it once."""
    world = World(2)
    outsider, owner = subscribed(world, *MEMBER), opened(world, *MEMBER)
    world.run()
    owner.client.rotate(SPACE.handle, SPACE.admin, SPACE.rotated().rotation())
    world.run()
    members = []
    for link in (owner, world.connect()):
        link.client.open(SPACE.rotated().claims(*MEMBER))
        link.client.subscribe(SPACE.handle, 0, 100_000)
        members.append(link)
    world.run()
    outsider.client.broadcast(SPACE.handle, SPACE.message(1))
    members[1].client.broadcast(SPACE.handle, SPACE.message(2))
    world.run()
    assert heard(outsider) == [] and refusals(outsider) == []
    assert heard(members[0]) == [SPACE.message(2)] and heard(members[1]) == []


@given(st.lists(st.one_of(st.integers(140, MAX_EPHEMERAL), st.none()), max_size=60))
def test_what_waits_for_a_reader_is_the_newest_and_bounded(steps: list[int | None]) -> None:
    """However much is put, no more waits than the room there is; what is taken comes in order and is the newest."""
    passing, put, gone, taken = Passing(), 0, 0, []
    for size in steps:
        if size is not None:
            gone += len(passing.put(seed("space"), put.to_bytes(4, "big").ljust(size, b"\0")))
            put += 1
        elif passing:
            taken.append(int.from_bytes(passing.take()[1][:4], "big"))
    rest = [passing.take()[1] for _ in range(len(passing))]
    assert sum(map(len, rest)) <= MAX_PASSING and len(taken) + len(rest) + gone == put
    taken += [int.from_bytes(data[:4], "big") for data in rest]
    assert taken == sorted(taken) and (not rest or taken[-1] == put - 1)


def test_what_is_taken_up_again_hears_and_says() -> None:
    """A connection that took its spaces up again, instead of logging in, says and hears as before."""
    world = Keeping(3)
    kept(world, *MEMBER)
    one, two = take_up(world), take_up(world)
    one.client.broadcast(SPACE.handle, SPACE.message(1))
    two.client.broadcast(SPACE.handle, SPACE.message(2))
    world.run()
    assert (heard(one), heard(two)) == ([SPACE.message(2)], [SPACE.message(1)])


# --- over real sockets ------------------------------------------------------------------


async def log_in(device: RelayConnection, *roles: Role, follow: bool = True) -> RelayConnection:
    await device.create_space(SPACE.admin, *SPACE.others)
    await device.open(SPACE.claims(*(roles or (*MEMBER, Role.APPEND))))
    if follow:
        await device.subscribe(SPACE.handle, 0)
    return device


async def hear(device: RelayConnection, count: int) -> list[bytes]:
    """So many messages, as they come."""
    found: list[bytes] = []
    async with asyncio.timeout(90):
        async for event in device.arrivals():
            if isinstance(event, EphemeralArrived):
                found.append(event.message)
                if len(found) == count:
                    break
    return found


async def test_nothing_of_it_is_in_any_file(tmp_path: Path) -> None:
    """Messages that were passed on between entries: no byte of one is in the relay's store, its log or its metrics."""
    log = tmp_path / "log"
    async with (relay(tmp_path / "data", "--set", f"log_file={log}") as process, connect(process.url) as one,
                connect(process.url) as two):
        for device in (one, two):
            await log_in(device)
        said = [SPACE.message(number, 4000) for number in range(20)]
        for number, message in enumerate(said):
            one.broadcast(SPACE.handle, message)
            await one.append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
        assert await hear(two, 20) == said
        kept = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert SPACE.envelope(7)[200:260] in kept
    everything = kept + log.read_bytes()
    assert not any(part in everything for message in said for part in (message[124:156], message[2000:2032]))
    page = metrics(Counts(), Moment(1, 2, 3, True, "0"))
    assert "chez_relay_ephemeral_total 0\n" in page


async def test_who_sends_too_much_is_cut_down_and_hears_nothing_of_it() -> None:
    """Beyond its burst a connection's messages are let go and counted; others' are passed on; time gives it back."""
    now = [0.0]
    limits = Limits(ephemeral_burst=4, ephemeral_rate=1, ephemeral_burst_per_address=9)
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=limits, clock=lambda: now[0]) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url) as flooder, connect(url) as other, connect(url) as listener:
            for device in (flooder, other, listener):
                await log_in(device)
            for number in range(100):
                flooder.broadcast(SPACE.handle, SPACE.message(number))
            assert await hear(listener, 4) == [SPACE.message(number) for number in range(4)]
            await until(lambda: server.counts.ephemeral_dropped["rate"] == 96)
            for number in range(9):
                other.broadcast(SPACE.handle, SPACE.message(200 + number))
            assert await hear(listener, 4) == [SPACE.message(200 + number) for number in range(4)]
            await until(lambda: server.counts.ephemeral_dropped["rate"] == 96 + 5)
            now[0] += 2
            flooder.broadcast(SPACE.handle, SPACE.message(300))
            assert await hear(listener, 1) == [SPACE.message(300)]
            assert server.counts.ephemeral == 9
            assert (await flooder.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset == 1


async def test_a_reader_who_stalls_costs_no_memory_and_holds_up_nobody() -> None:
    """16 MB for a reader who takes nothing: 64 KiB wait for it, the rest is let go; another hears every one."""
    limits = Limits(ephemeral_burst=1e6, ephemeral_burst_per_address=1e6)
    async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await stuck(reader, writer, server.port)
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url) as sender, connect(url) as listener:
            for device in (sender, listener):
                await log_in(device)
            highest = 0
            for number in range(1000):
                message = SPACE.message(number, MAX_EPHEMERAL)
                sender.broadcast(SPACE.handle, message)
                assert await hear(listener, 1) == [message]
                highest = max(highest, server.load)
            assert server.counts.ephemeral_dropped["slow"] > 500
            assert highest < MAX_PASSING + 8 * MAX_EPHEMERAL
        writer.transport.abort()


async def test_nothing_of_a_space_comes_behind_the_end_of_its_roles() -> None:
    """A reader who is behind when its roles end is told of that, and sent nothing more that waited for it."""
    limits = Limits(ephemeral_burst=1e6, ephemeral_burst_per_address=1e6)
    async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await stuck(reader, writer, server.port)
        async with connect(f"ws://127.0.0.1:{server.port}") as owner:
            await log_in(owner, follow=False)
            while not server.counts.ephemeral_dropped["slow"]:
                owner.broadcast(SPACE.handle, SPACE.message(server.counts.ephemeral, MAX_EPHEMERAL))
                await owner.open(SPACE.claims(Role.READ))
            await owner.rotate(SPACE.handle, SPACE.admin, SPACE.rotated().rotation())
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            data = b""
            while b"rotated" not in data:
                data = data[-100:] + await asyncio.wait_for(reader.read(65536), 90)
            await until(lambda: server.load == 0)
            writer.write(websocket_frame(8))
            rest = data.split(b"rotated")[1]
            while more := await asyncio.wait_for(reader.read(65536), 90):
                rest += more
            assert b"CZM" not in rest
        writer.transport.abort()


async def test_a_giant_or_broken_one_ends_its_sender_alone() -> None:
    """A message above the limit is no frame; what is no ephemeral message is refused: whoever listens goes on."""
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=Limits(drain=0.2)) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url) as listener, connect(url) as sender, connect(url) as crooked:
            await log_in(listener)
            await log_in(sender)
            await log_in(crooked)
            crooked.broadcast(SPACE.handle, SPACE.envelope(1))
            with pytest.raises(RelayRefused, match="bad_entry"):
                async for _ in crooked.arrivals():
                    pass
            giant = frames.encode(frames.Broadcast(SPACE.handle, SPACE.message(1, MAX_EPHEMERAL + 1)))
            async with raw(server.port) as client:
                await client.upgrade()
                hello = frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))
                client.send(websocket_frame(2, hello) + websocket_frame(2, giant))
                assert b"malformed" in await client.ended()
            sender.broadcast(SPACE.handle, SPACE.message(2, MAX_EPHEMERAL))
            assert await hear(listener, 1) == [SPACE.message(2, MAX_EPHEMERAL)]
