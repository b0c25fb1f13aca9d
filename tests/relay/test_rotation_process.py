"""Rotation over real sockets and a real disk: who is put out at once, and what a kill leaves behind."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chez.errors import RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EntriesArrived, RolesEnded
from chez_relay.limits import Limits
from chez_relay.server import serving
from chez_relay.storage import Request, Result
from chez_relay.storage.census import census
from chez_relay.storage.memory import MemoryStorage
from chez_wire.login import Role
from tests.relay.raw import until
from tests.relay.support import Process, Space, packet, relay, seed

SPACE = Space()
NEXT, THIRD = SPACE.rotated(), SPACE.rotated("third")
HANDLE, READ = SPACE.handle, (Role.READ,)
ME = packet("me")


async def make(connection: RelayConnection) -> None:
    """Create the space, with one packet."""
    await connection.create_space(SPACE.admin, *SPACE.others, packets=[ME])


async def opens(connection: RelayConnection, space: Space, *roles: Role) -> list[str]:
    """Open roles under a generation of the space's credentials: what each is refused with."""
    return [outcome.error for outcome in await connection.open(space.claims(*roles))]


async def code(request: "asyncio.Future[object]") -> str:
    """What a request is refused with."""
    with pytest.raises(RelayRefused) as caught:
        await request
    return caught.value.reason


async def ended(connection: RelayConnection) -> RolesEnded:
    """Wait until the relay says that roles ended."""
    async for event in connection.arrivals():
        if isinstance(event, RolesEnded):
            return event
    raise AssertionError


async def test_open_roles_end_at_once_on_all_connections(tmp_path: Path) -> None:
    """A follower, one with an open role that follows nothing, the rotating one: told, pushed nothing, refused."""
    async with (relay(tmp_path) as process, connect(process.url) as owner, connect(process.url) as follower,
                connect(process.url) as quiet, connect(process.url) as stranger):
        await make(owner)
        for connection in (owner, follower, quiet):
            assert await opens(connection, SPACE, Role.READ, Role.APPEND) == ["", ""]
        assert await opens(stranger, SPACE, Role.READ) == [""]
        await follower.subscribe(HANDLE, 0)
        await owner.append(HANDLE, Role.APPEND, SPACE.envelope(1))
        await owner.rotate(HANDLE, SPACE.admin, NEXT.rotation(packet("me", 1)))
        assert await opens(owner, NEXT, Role.READ, Role.APPEND) == ["", ""]
        await owner.append(HANDLE, Role.APPEND, SPACE.envelope(2))
        for connection in (owner, follower, quiet, stranger):
            assert await asyncio.wait_for(ended(connection), 90) == RolesEnded(HANDLE, "rotated")
        for connection in (follower, quiet, stranger):
            assert await code(connection.read(HANDLE, 0)) == "rotated"  # type: ignore[arg-type]
            assert await opens(connection, SPACE, Role.READ) == ["denied"]
        assert await code(follower.append_soon(HANDLE, Role.APPEND, SPACE.envelope(3))) == "rotated"  # type: ignore[arg-type]
        # What reached the follower's side is all in its queue by now: a later answer came on the same socket.
        assert not len(follower._pushes)
        box = await quiet.get_packet(HANDLE, ME.tag)
        assert box == packet("me", 1).box and await opens(quiet, NEXT, Role.READ) == [""]
        await quiet.subscribe(HANDLE, 0)
        page = await anext(quiet.arrivals())  # type: ignore[arg-type]
        assert isinstance(page, EntriesArrived)
        assert [entry.envelope for entry in page.entries] == [SPACE.envelope(1), SPACE.envelope(2)]


async def test_deletion_ends_all_and_survives(tmp_path: Path) -> None:
    """A deleted space is gone for those who had it open, and after a restart."""
    async with relay(tmp_path) as process, connect(process.url) as owner, connect(process.url) as member:
        await make(owner)
        await opens(member, SPACE, Role.READ)
        await owner.delete_space(HANDLE, SPACE.admin)
        await owner.delete_space(HANDLE, SPACE.admin)
        assert await asyncio.wait_for(ended(member), 90) == RolesEnded(HANDLE, "deleted")
        await process.kill()
    async with relay(tmp_path) as process, connect(process.url) as member:
        assert await opens(member, SPACE, Role.READ) == ["deleted"]
        assert census(tmp_path).spaces == 0 and census(tmp_path).packets == 0


async def check(process: Process, now: Space, before: Space, box: bytes) -> None:
    """The space has one generation's keys and packet, and nothing of the one before."""
    async with connect(process.url) as device:
        assert await opens(device, before, Role.READ, Role.APPEND, Role.CONTROL) == ["denied"] * 3
        assert await opens(device, now, Role.READ, Role.APPEND, Role.CONTROL) == [""] * 3
        assert await device.get_packet(HANDLE, ME.tag) == box


class Held(MemoryStorage):
    """A storage that is busy until it is let go."""

    def __init__(self) -> None:
        super().__init__(seed("incarnation"))
        self.free = asyncio.Event()
        self.free.set()
        self.busy = False

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        self.busy = True
        await self.free.wait()
        self.busy = False
        return await super().perform(requests)


async def test_who_opens_a_space_that_is_made_anew_does_not_hear_that_it_was_deleted() -> None:
    """Deleted, made and opened by one commit: the roles stand, and who had it open before is the one that is told."""
    async with (serving(storage := Held(), "127.0.0.1", 0) as server, AsyncExitStack() as stack):
        owner, member, other = [await stack.enter_async_context(connect(f"ws://127.0.0.1:{server.port}"))
                                for _ in range(3)]
        await make(owner)
        assert await opens(member, SPACE, Role.READ) == [""]
        storage.free.clear()
        requests = [asyncio.ensure_future(other.get_packet(HANDLE, ME.tag))]
        await until(lambda: storage.busy)
        for asked, request in enumerate((owner.delete_space(HANDLE, SPACE.admin), make(owner),
                                         opens(other, SPACE, Role.READ, Role.APPEND)), 1):
            requests.append(asyncio.ensure_future(request))  # type: ignore[arg-type]
            await until(lambda asked=asked: len(server._committer._waiting) == asked)  # type: ignore[misc]
        storage.free.set()
        assert (await asyncio.gather(*requests))[1:] == [None, None, ["", ""]]
        assert (await other.append(HANDLE, Role.APPEND, SPACE.envelope(1))).offset == 1
        assert [one.envelope for one in (await other.read(HANDLE, 0)).entries] == [SPACE.envelope(1)]
        assert await asyncio.wait_for(ended(member), 90) == RolesEnded(HANDLE, "deleted")


async def test_members_are_put_out_also_where_the_quota_was_lowered_since(tmp_path: Path) -> None:
    """Below what the packets of a space take, on the disk: they are replaced by as many, or fewer, and not by more."""
    three = sorted([ME, packet("you"), packet("them")], key=lambda one: one.tag)
    async with relay(tmp_path) as process, connect(process.url) as owner:
        await owner.create_space(SPACE.admin, *SPACE.others, packets=three)
    async with relay(tmp_path, "--space-quota", "100") as process, connect(process.url) as owner:
        await owner.rotate(HANDLE, SPACE.admin, NEXT.rotation(*three))
        after = NEXT.credential(Role.READ).public
        await owner.rotate(HANDLE, NEXT.admin, THIRD.rotation(*three[:2], previous=after))
        assert await opens(owner, THIRD, Role.READ) == [""]
        assert await opens(owner, NEXT, Role.READ) == ["denied"]
        again = SPACE.rotated("fourth").rotation(*three, previous=THIRD.credential(Role.READ).public)
        assert await code(asyncio.ensure_future(owner.rotate(HANDLE, THIRD.admin, again))) == "quota"  # type: ignore[arg-type]


async def test_an_acknowledged_rotation_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 right after Done: the new keys and packets are there, the old ones are not."""
    async with relay(tmp_path) as process, connect(process.url) as owner:
        await make(owner)
        await owner.rotate(HANDLE, SPACE.admin, NEXT.rotation(packet("me", 1)))
        await process.kill()
    async with relay(tmp_path) as process:
        await check(process, NEXT, SPACE, packet("me", 1).box)
        assert census(tmp_path).packets == 1


@pytest.mark.slow
@pytest.mark.parametrize("questions", [0, 1, 2, None], ids=str)
async def test_a_kill_between_rotation_and_answer_is_made_good(tmp_path: Path, questions: int | None) -> None:
    """Killed at any instant of a rotation with the largest table: it happened or not, whole; repeated it is done.

    Somebody else's questions tell how far the relay is: so many of them, or until it happened.
    """
    packets = [packet("me", 1), *(packet(f"{number}") for number in range(2047))]
    async with relay(tmp_path) as process, connect(process.url) as owner, connect(process.url) as other:
        await make(owner)
        under_way = asyncio.ensure_future(owner.rotate(HANDLE, SPACE.admin, NEXT.rotation(*packets)))
        asked, seen = 0, ME.box
        while asked != questions and seen == ME.box:
            seen, asked = await other.get_packet(HANDLE, ME.tag), asked + 1
        await process.kill()
        acknowledged = (await asyncio.gather(under_way, return_exceptions=True)) == [None]
    async with relay(tmp_path) as process, connect(process.url) as owner:
        box = await owner.get_packet(HANDLE, ME.tag)
        happened = box == packet("me", 1).box
        assert happened or questions is not None
        assert happened or (box == ME.box and not acknowledged)
        assert census(tmp_path).packets == (2048 if happened else 1)
        await owner.rotate(HANDLE, SPACE.admin, NEXT.rotation(*packets))
        await check(process, NEXT, SPACE, packet("me", 1).box)
        assert await code(owner.rotate(HANDLE, SPACE.admin, THIRD.rotation())) == "stale"  # type: ignore[arg-type]


async def test_a_flood_of_questions_for_packets_is_held_per_connection_and_address() -> None:
    """Beyond its burst a connection is refused, then its address on new connections too; time gives it back."""
    now = [0.0]
    limits = Limits(packets_burst=3, packets_rate=1, packets_burst_per_address=5, packets_rate_per_address=1)
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=limits, clock=lambda: now[0]) as server:
        url = f"ws://127.0.0.1:{server.port}"

        async def ask(connection: RelayConnection, times: int) -> list[str]:
            asked = [connection.get_packet(HANDLE, seed(str(number))) for number in range(times)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            return [answer.reason for answer in answers if isinstance(answer, RelayRefused)]

        async with connect(url) as first:
            assert await ask(first, 5) == ["unknown"] * 3 + ["too_often"] * 2
        async with connect(url) as second:
            assert await ask(second, 4) == ["unknown"] * 2 + ["too_often"] * 2
            await make(second)
            now[0] += 2
            assert await second.get_packet(HANDLE, ME.tag) == ME.box
            assert await ask(second, 3) == ["unknown", "too_often", "too_often"]


async def test_requests_of_a_connection_that_the_relay_ends_are_answered(tmp_path: Path) -> None:
    """A relay that goes while packets and rotations are asked for leaves no request waiting."""
    async with relay(tmp_path) as process, connect(process.url) as device:
        await process.kill()
        for request in (device.get_packet(HANDLE, ME.tag), device.delete_space(HANDLE, SPACE.admin),
                        device.rotate(HANDLE, SPACE.admin, NEXT.rotation())):
            with pytest.raises(RelayUnreachable):
                await request
