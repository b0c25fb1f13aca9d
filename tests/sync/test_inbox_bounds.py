"""What a relay sends faster than a device takes it in waits at the relay, not in the device's memory."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chez import inboxes
from chez.crypto import SigningKey
from chez.errors import ChezError, RelayUnreachable
from chez.store.database import Database
from chez.sync import inbox
from chez.sync.connection import RelayConnection, open_socket
from chez.sync.driver import Driver
from chez.sync.lanes import Lanes
from chez.sync.replica import Replica
from chez.sync.session import ClientSession
from chez_wire import frames
from chez_wire.login import inbox_of
from tests.relay.within import relay

COUNT = 30_000


async def _nothing(row: int) -> None:
    pass


def _unheard(replica: Replica, message: bytes, back: Callable[[bytes], bool]) -> None:
    pass


@pytest.mark.parametrize("size", [1024, 0])
@pytest.mark.slow
async def test_a_flood_waits_at_the_relay_and_keeps_its_order(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The driver is held up, as it is where the relay does not read, or the store is slow."""
    heard: list[bytes] = []
    monkeypatch.setattr(Lanes, "receive", lambda lanes, message: heard.append(message))
    monkeypatch.setattr(inbox, "MOST_WAITING", 256 * 1024)
    said = [b"%07d" % number + bytes(size) for number in range(COUNT)]

    async def flood(peer: ServerConnection) -> None:
        for message in said:
            await peer.send(message)
        await peer.wait_closed()

    async with serve(flood, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        lanes = Lanes(ClientSession("relay:1", bytes(32)), 1, rests=False)
        async with Driver(cast("Database", None), lanes, await open_socket(url), _nothing, _unheard, None) as driver:
            before = -1
            while before != len(driver._inbox) or not before:  # until nothing more comes
                before = len(driver._inbox)
                await asyncio.sleep(0.3)
            assert len(driver._inbox) < COUNT // 2
            async with asyncio.timeout(60):
                while len(heard) < COUNT:
                    await driver.wait()
                    await driver.round(awaited=False)
            assert heard == said


def test_only_ephemeral_messages_are_let_go_and_only_so_many_wait() -> None:
    """Behind a flood of them nothing else is lost or out of order; once all was taken they wait again; and what waits
    has a bound, up to which there is room, and from which on there is until it was taken."""
    fleeting = frames.encode(frames.Ephemeral(bytes(32), bytes(140), bytes(16)))
    others = [frames.encode(frames.Done(number)) for number in range(inbox.MOST_FLEETING + 2)]
    waiting = inbox.Inbox()
    for _ in range(2):
        assert all(waiting.put(fleeting, 0) and waiting.put(one, 0) for one in others)
        assert len(waiting) == len(others) + inbox.MOST_FLEETING
        taken = waiting.empty()
        assert [one for one in taken if one != fleeting] == others and taken.count(fleeting) == inbox.MOST_FLEETING
    assert len(waiting) == 0
    most = bytes(inbox.MOST_WAITING - inbox.PER_MESSAGE)
    assert [waiting.put(one, 1500) for one in (most, b"", b"", b"")] == [True, True, False, False]
    assert not waiting.room.is_set()
    assert waiting.empty() == [most, b"", b"", b""] and waiting.room.is_set() and waiting.put(most, 0)


@pytest.mark.parametrize("asked", ["create", "put", "watch"])
async def test_a_relay_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """It welcomes whoever comes, and answers nothing: what is asked of an inbox there ends, by a typed error."""
    monkeypatch.setattr(inboxes, "SILENCE", 0.2)
    key = SigningKey.from_seed(bytes(32))

    async def mute(peer: ServerConnection) -> None:
        await peer.send(frames.encode(frames.Welcome(1, bytes(32), bytes(32))))
        await peer.wait_closed()

    async with serve(mute, "127.0.0.1", 0, compression=None) as server, asyncio.timeout(30):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(RelayUnreachable, match="said nothing"):
            match asked:
                case "create":
                    await inboxes.create(url, key, key.public, ttl=60)
                case "put":
                    await inboxes.put(url, inbox_of(key.public), key, b"item")
                case _:
                    async with inboxes.watch(url, key):
                        pass


@pytest.mark.parametrize("ends", [False, True])
async def test_what_a_relay_says_is_told_in_one_line(ends: bool) -> None:
    """A relay that somebody else chose refuses a message, or ends the connection, in words that go on on a line of
    their own: what a person is told of it has one line."""
    key, words = SigningKey.from_seed(bytes(32)), "full\n\nIn all to Good Bank:\u2028at most 0 bits"

    async def refusing(peer: ServerConnection) -> None:
        await peer.send(frames.encode(frames.Welcome(1, bytes(32), bytes(32))))
        if ends:
            await peer.close(1011, words)
        async for message in peer:
            ref = getattr(frames.decode_client(message), "ref", 0)  # type: ignore[arg-type]
            await peer.send(frames.encode(frames.Failed(ref, "quota\nx", words)))

    async with serve(refusing, "127.0.0.1", 0, compression=None) as server, asyncio.timeout(30):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ChezError, match="full In all to Good Bank: at most 0 bits") as caught:
            await inboxes.put(url, inbox_of(key.public), key, b"item")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
async def test_items_have_their_time_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Over a slow line many items take longer than a relay may be silent: it answers, and all of them are put."""
    monkeypatch.setattr(inboxes, "SILENCE", 1.5)
    straight = RelayConnection.put

    async def slow(self: RelayConnection, inbox: bytes, item: bytes) -> None:
        await asyncio.sleep(0.1)
        await straight(self, inbox, item)

    monkeypatch.setattr(RelayConnection, "put", slow)
    key, items = SigningKey.from_seed(bytes(32)), [b"%d" % number for number in range(18)]
    async with relay(tmp_path) as server, asyncio.timeout(30):
        box = await inboxes.create(server.url, key, key.public, ttl=60)
        await inboxes.put(server.url, box, key, *items)
        async with inboxes.watch(server.url, key) as found:
            assert [(await anext(aiter(found))).item for _ in items] == items
