"""Who has an inbox's key puts so much into it and no more, however fast its owner takes it out."""

import asyncio
from itertools import count
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as dial

from chez.errors import RelayRefused
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import Completed, Event
from chez.sync.session import ClientSession
from chez_relay.limits import Limits
from chez_relay.server import serving
from chez_relay.storage import Quotas
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.login import Role, inbox_of
from tests.relay.support import Space, key, seed


async def test_a_flood_into_an_inbox_is_held_whoever_has_its_key() -> None:
    """Beyond its burst the inbox takes nothing, from other connections neither; others go on; time gives it back."""
    now, later = [0.0], "too_often the same may succeed later"
    limits = Limits(puts_burst_per_inbox=4, puts_rate_per_inbox=1)
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=limits, clock=lambda: now[0]) as server:
        url = f"ws://127.0.0.1:{server.port}"

        async def put(connection: RelayConnection, inbox: bytes, times: int) -> list[str]:
            puts = [connection.put(inbox, seed(f"item {now[0]} {number} {id(connection)}")) for number in range(times)]
            answers = await asyncio.gather(*puts, return_exceptions=True)
            return [answer.reason + " " + answer.hint if isinstance(answer, RelayRefused) else "done"
                    for answer in answers]

        async with connect(url) as first, connect(url) as second:
            boxes = []
            for name in ("one", "other"):
                owner, writer = key(name), key(f"{name} put")
                await first.create_inbox(owner, writer.public, 600)
                boxes.append(inbox_of(owner.public))
                for connection in (first, second):
                    await connection.open([(boxes[-1], Role.PUT, writer)])
            assert await put(first, boxes[0], 5) == ["done"] * 4 + [later]
            assert await put(second, boxes[0], 1) == [later]
            assert await put(second, boxes[1], 2) == ["done"] * 2
            now[0] += 2
            assert await put(second, boxes[0], 3) == ["done"] * 2 + [later]


async def test_one_address_fills_no_more_than_its_part_of_an_inbox_that_many_have_the_key_of() -> None:
    """Whoever is one of them keeps others out by no more than half of what the inbox takes, on all connections."""
    now, owner, writer = [0.0], key("owner"), key("writer")
    limits = Limits(puts_burst_per_inbox=6, puts_rate_per_inbox=2, puts_burst_per_inbox_and_address=3,
                    puts_rate_per_inbox_and_address=1)
    inbox, numbers = inbox_of(owner.public), count()
    async with (serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=limits, clock=lambda: now[0],
                        trusted=["127.0.0.0/8"]) as server, connect(f"ws://127.0.0.1:{server.port}") as here):
        await here.create_inbox(owner, writer.public, 600)

        async def put(address: str, times: int) -> int:
            """From an address, on a connection of its own; how much of it was taken."""
            name = f"127.0.0.1:{server.port}"
            session, events = ClientSession(name, seed("nonce")), list[Event]()
            session.open([(inbox, Role.PUT, writer)])
            for _ in range(times):
                session.put(inbox, seed(f"item {next(numbers)}"))
            async with dial(f"ws://{name}", compression=None,
                            additional_headers={"X-Forwarded-For": address}) as socket:
                while waiting := session.data_to_send():
                    for data in waiting:
                        await socket.send(data)
                        events += session.receive(await socket.recv(decode=False))
            assert len(events) == 2 + times
            return sum(isinstance(event, Completed) for event in events)

        assert [await put("192.0.2.1", 2), await put("192.0.2.1", 2), await put("192.0.2.2", 9)] == [2, 1, 3]
        now[0] += 1
        assert [await put("192.0.2.1", 9), await put("192.0.2.3", 9)] == [1, 1]


async def test_who_had_the_key_of_an_inbox_that_expired_puts_nothing_into_the_next() -> None:
    """On a connection that it opened before as well: the role is worth what its key is worth."""
    now = [0.0]
    storage = MemoryStorage(seed("i"), clock=lambda: now[0])
    async with serving(storage, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{server.port}") as device:
        owner, first, later = key("owner"), key("first writer"), key("later writer")
        inbox = inbox_of(owner.public)
        await device.create_inbox(owner, first.public, 60)
        await device.open([(inbox, Role.PUT, first)])
        await device.put(inbox, b"while it stands")
        now[0] += 61
        await device.create_inbox(owner, later.public, 60)
        with pytest.raises(RelayRefused) as caught:
            await device.put(inbox, b"with the key of the one before")
        assert caught.value.reason == "rotated"
        await device.open([(inbox, Role.PUT, later)])
        await device.put(inbox, b"with its own")


async def test_what_is_left_of_a_disk_is_for_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where little room is left, on the disk and in the file, inboxes take no more; all else goes on as before.

    Inboxes need no token: a stranger could fill the disk for all who have one.
    """
    disk = [2**40]
    monkeypatch.setattr("chez_relay.storage.sqlite._room", lambda folder: disk[0])
    storage = await SqliteStorage.open(tmp_path / "relay", quotas=Quotas(inbox_reserve=2**20))
    space, owner, writer = Space(), key("owner"), key("writer")
    inbox = inbox_of(owner.public)
    async with serving(storage, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{server.port}") as device:

        async def refused(*items: bytes) -> list[str]:
            answers = await asyncio.gather(*(device.put(inbox, item) for item in items), return_exceptions=True)
            return [answer.reason for answer in answers if isinstance(answer, RelayRefused)]

        await device.create_inbox(owner, writer.public, 600)
        await device.open([(inbox, Role.PUT, writer), (inbox, Role.TAKE, owner)])
        large = [bytes((number,)) * 60_000 for number in range(20)]
        assert await refused(*large) == []
        disk[0] = 2**20 - 1
        assert await refused(b"more", large[0]) == ["full"]  # what waits already is done
        with pytest.raises(RelayRefused, match="nearly full"):
            await device.create_inbox(key("stranger"), writer.public, 600)
        await device.create_inbox(owner, writer.public, 600)  # it lives on
        await device.create_space(space.admin, *space.others)
        await device.open(space.claims())
        await device.append(space.handle, Role.APPEND, space.envelope(1))
        await device.ack(inbox, 20)
        disk[0] = 0  # the file gives what was taken out: more than a megabyte
        assert await refused(b"more") == []
    await storage.close()
