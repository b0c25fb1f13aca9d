"""Clients that mean harm, over real sockets: each is bounded, those beside it are served as ever."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chez.crypto import SigningKey
from chez.errors import RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez_relay.bounds import TURN
from chez_relay.door import READ
from chez_relay.effects import Effect
from chez_relay.errors import Code
from chez_relay.limits import Limits
from chez_relay.server import RelayServer, serving
from chez_relay.session import RelaySession
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.limits import MAX_FRAME, MIB
from chez_wire.login import Role, login_message, resume_message
from tests.relay.raw import Raw, frame, raw, until
from tests.relay.storing import Clock
from tests.relay.support import Space, key, seed

SPACE = Space()
LATER = "the same may succeed later"
TEXT, BINARY, PING, MORE = 1, 2, 9, 0


@asynccontextmanager
async def relay(**limits: float) -> AsyncIterator[RelayServer]:
    """A relay with small limits, which serves a well-behaved device before and after."""
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=Limits(**limits)) as server:  # type: ignore[arg-type]
        async with connect(url(server)) as device:
            await log_in(device)
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
            yield server
            assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2))).offset == 2
        await until(lambda: server.connections == 0)
        assert server.load == 0


def url(server: RelayServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


async def log_in(device: RelayConnection) -> None:
    await device.create_space(SPACE.admin, *SPACE.others)
    await device.open(SPACE.claims())


async def flood(client: Raw, data: bytes, times: int) -> None:
    """Send without ever reading, until it is done or the other side has had enough."""
    for _ in range(times):
        if client.writer.is_closing():
            return
        client.send(data)
        try:
            await asyncio.wait_for(client.writer.drain(), 5)
        except (ConnectionError, TimeoutError):
            return


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_handshake_that_never_ends_is_let_go(begun: bytes) -> None:
    """Slow loris: whoever says nothing, or part of a request, is dropped in time."""
    async with relay(hello=0.5) as server, raw(server.port) as client:
        client.send(begun)
        await client.ended()
    assert server.counts.connections == 1


async def test_a_handshake_without_end_is_cut_by_its_size() -> None:
    """A line or a list of headers that goes on for ever is refused at a few kilobytes, whatever the time."""
    for endless in (b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
                    b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 8000 + b"\r\n") * 100):
        async with relay(hello=60.0) as server, raw(server.port) as client:
            await flood(client, endless, 20)
            await client.ended()


async def test_a_frame_that_never_ends_is_let_go() -> None:
    """A frame, or a message in pieces, that is begun and not ended in time ends the connection; pings don't save it."""
    parts = (frame(BINARY, bytes(1000))[:500], frame(BINARY, bytes(10), first=0))
    for part in parts:
        async with relay(frame=0.2) as server, raw(server.port) as client:
            await client.upgrade()
            client.send(frame(BINARY, frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))))
            client.send(part)
            await client.ended()
            assert server.counts.let_go["slow frame"] == 1


async def test_an_answer_that_fails_is_held_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in what becomes of a result leaves its connection no load, which would let it ask ever less."""
    async with relay() as server, connect(url(server)) as device:
        await device.open(SPACE.claims(Role.APPEND))

        failed: list[int] = []

        def defect(*_: object) -> list[Effect]:
            failed.append(server.load)
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(RelaySession, "completed", defect)
            lost = asyncio.create_task(device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)))
            await until(lambda: bool(failed))
        assert failed[0] > 0 and server.load == 0
        assert all(guest.held == 0 for guest in server.door.guests)
        lost.cancel()


async def test_a_defect_in_what_a_frame_does_ends_its_connection_alone(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is let go at once, others go on, and the log has no more than the kind of the error."""
    async with relay() as server, connect(url(server)) as other, dial(url(server), compression=None) as client:
        await talk(client, frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))

        def defect(*_: object) -> list[Effect]:
            raise ValueError("a secret")

        with monkeypatch.context() as patch:
            patch.setattr(RelaySession, "receive", defect)
            await client.send(b"whatever")
            await client.wait_closed()
        await until(lambda: server.connections == 2)
        await other.open(SPACE.claims(Role.READ))
    assert "ValueError" in caplog.text and "a secret" not in caplog.text


async def test_a_read_makes_room_for_no_more_than_it_may() -> None:
    """What the socket's own transport asks the system for at each read is the relay's choice, not the event loop's."""
    async with relay() as server, raw(server.port) as client:
        await client.upgrade()
        assert {guest.transport.max_size for guest in server.door.guests} == {READ}  # type: ignore[attr-defined]


async def test_whoever_ends_each_frame_in_time_is_not_slow() -> None:
    """A client that always has a part of its next frame under way, for longer than one frame may take, goes on."""
    clock = Clock()
    storage, limits = MemoryStorage(seed("i")), Limits(frame=10.0)
    async with serving(storage, "127.0.0.1", 0, limits=limits, clock=clock) as server, raw(server.port) as client:
        await client.upgrade()
        client.send(frame(BINARY, frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))))
        asked = frame(BINARY, frames.encode(frames.Credit(seed("nowhere"), 1)))
        client.send(asked[:20])
        await client.reader.read(1)
        for _ in range(10):
            client.send(asked[20:] + asked[:20])
            assert await asyncio.wait_for(client.reader.readuntil(b"not_subscribed"), 90)
            clock.now += 6
            server.door.drop_slow_frames()
        assert server.counts.let_go["slow frame"] == 0
        clock.now += 6
        server.door.drop_slow_frames()
        assert server.counts.let_go["slow frame"] == 1


async def test_a_giant_frame_is_refused_before_it_is_there() -> None:
    """What announces more than a frame is closed at the announcement: nothing of it is held."""
    async with relay() as server, raw(server.port) as client:
        await client.upgrade()
        client.send(b"\x82\xff" + (2**62).to_bytes(8, "big") + bytes(4))
        assert b"\x88" in await client.ended()
    assert server.counts.connections == 2


async def test_a_message_in_crumbs_is_refused() -> None:
    """A message in pieces of one byte, which would take two hundred times its size, ends after a few of them."""
    async with relay() as server, raw(server.port) as client:
        await client.upgrade()
        client.send(frame(BINARY, b"x", first=0))
        await flood(client, frame(MORE, b"x", first=0) * 1000, 1000)
        await until(lambda: server.counts.let_go["fragments"] == 1)


async def test_tiny_frames_by_the_thousand_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one client sends small frames as fast as it can, another logs in, and asks: between what it asks and its
    being looked at the first has two turns at most, though more than a thousand of its frames come with each read."""
    handled: list[bytes] = []
    tiny = frames.encode(frames.Credit(seed("nowhere"), 1))
    receive = RelaySession.receive

    def noted(session: RelaySession, message: bytes) -> list[Effect]:
        handled.append(message)
        return receive(session, message)

    monkeypatch.setattr(RelaySession, "receive", noted)
    async with relay() as server, raw(server.port) as client, dial(url(server), compression=None) as other:
        hello = frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}")
        await client.upgrade()
        client.send(frame(BINARY, frames.encode(hello)))
        await talk(other, hello)
        flooding = asyncio.create_task(flood(client, frame(BINARY, tiny) * 3000, 10**6))
        await until(lambda: handled.count(tiny) > 1000)
        waits = []
        for ref in range(1, 21):
            asked, since = frames.GetUsage(ref, SPACE.handle), len(handled)
            await talk(other, asked)
            waits.append(handled.index(frames.encode(asked), since) - since)
        async with connect(url(server)) as device:
            await log_in(device)
        assert not flooding.done()
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    assert max(waits) <= 128, "a read of 64 KiB brings some 1500 of them: that alone gives nobody a turn"


async def test_what_is_sent_in_one_go_is_answered_in_its_order() -> None:
    """More frames than one turn takes, some in fragments, a text among the last: none overtakes another."""
    async with relay() as server, dial(url(server), compression=None) as client:
        whole = [frames.encode(frames.GetUsage(ref, SPACE.handle)) for ref in range(3 * TURN)]
        sent = [frame(BINARY, data[:9], first=0) + frame(MORE, data[9:]) if ref % 50 == 49 else frame(BINARY, data)
                for ref, data in enumerate(whole)]
        client.transport.write(b"".join(sent))
        answers = [frames.decode_relay(await client.recv(decode=False)) for _ in sent]
        client.transport.write(b"".join([*sent[:5], frame(TEXT, b"text"), *sent]))
        answers += [frames.decode_relay(await client.recv(decode=False)) for _ in range(6)]
        refused = [(one.ref, one.code) for one in answers if isinstance(one, frames.Failed)]
        assert refused == [*[(ref, Code.OUT_OF_ORDER) for ref in (*range(3 * TURN), *range(5))], (0, Code.MALFORMED)]


@pytest.mark.parametrize(("message", "words"), [
    (b"\x93\x18\x01\x02", "this relay knows no frame 24"), (b"\x91\x1f", "this relay knows no frame 31"),
    (b"\x92\xcc\xc8\x01", "this relay knows no frame 200"), ("hello", "a frame is a binary message"),
    (b"", "a frame is a binary message"), (b"hello", "no frame a client may send"),
], ids=["24", "31", "200", "text", "empty", "no array"])
async def test_an_unknown_frame_is_refused_by_its_number(message: bytes | str, words: str) -> None:
    """A client of a later version reads what was not understood, and nothing that it sent behind is carried out."""
    async with relay() as server, dial(url(server), compression=None) as client:
        await talk(client, frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))
        await client.send(message)
        await client.send(frames.encode(frames.GetUsage(1, SPACE.handle)))
        answer = frames.decode_relay(await client.recv(decode=False))
        assert isinstance(answer, frames.Failed) and (answer.ref, answer.code) == (0, Code.MALFORMED)
        assert answer.message.startswith(words) and not answer.retry
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1002, Code.MALFORMED)


async def test_a_compression_bomb_meets_no_decompression() -> None:
    """The relay agrees to no compression, and closes on a frame that says it is compressed, unread."""
    bomb = zlib.compress(bytes(50 * MIB), 9)[2:-4]
    async with relay() as server, raw(server.port) as client:
        head = await client.upgrade("Sec-WebSocket-Extensions: permessage-deflate")
        assert b"101" in head and b"permessage-deflate" not in head
        client.send(frame(BINARY, bomb, first=0xC0))
        answer = await client.ended()
        assert b"\x03\xea" in answer  # 1002, a protocol error


async def test_a_half_open_connection_is_noticed() -> None:
    """A client that is gone without a word answers no ping, and is dropped; its memory comes back."""
    async with relay(ping_interval=0.3, ping_timeout=0.5, drain=0.2) as server, raw(server.port) as client:
        await client.upgrade()
        client.send(frame(BINARY, frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))))
        await until(lambda: server.connections == 2)
        await client.ended()
        await until(lambda: server.connections == 1)


async def test_pings_whose_answers_nobody_reads_are_bounded() -> None:
    """Whoever pings and never reads is dropped when a few megabytes of answers wait for it."""
    async with relay(memory_per_address=64 * MIB) as server, raw(server.port) as client:
        await client.upgrade()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await flood(client, frame(PING, bytes(125)) * 2000, 400)
        await until(lambda: server.counts.let_go["never reads"] == 1)


async def test_a_flood_of_connections_is_held_to_the_address() -> None:
    """Above the limit an answer says so, far above it there is none; from the first byte on, handshake or not."""
    async with relay(connections_per_address=3) as server:
        async with raw(server.port) as one, raw(server.port) as two, raw(server.port):
            with pytest.raises(InvalidStatus):
                async with dial(url(server)):
                    pass
            with pytest.raises(RelayUnreachable):
                async with connect(url(server)):
                    pass
            many = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(60)]
            await until(lambda: server.counts.turned_away["connections"] > 20)
            for _, writer in many:
                writer.transport.abort()
            one.writer.transport.abort()
            two.writer.transport.abort()
        await until(lambda: len(server.door.guests) == 1)
        async with connect(url(server)):
            pass


async def test_dialling_again_and_again_is_held_to_a_rate() -> None:
    """So many new connections at once, then so many each second, though each ended before the next."""
    async with relay(dials_burst_per_address=6.0, dials_rate_per_address=0.001) as server:
        for _ in range(5):
            async with dial(url(server)):
                pass
        async with raw(server.port) as client:
            assert await client.ended() == b""
        assert server.counts.turned_away["dials"] == 1


async def test_spaces_and_inboxes_are_made_at_a_rate() -> None:
    """A flood of either is refused with a word to come back later, on whichever connections of the address."""
    async with relay(spaces_burst_per_address=4.0, inboxes_burst_per_address=3.0, spaces_rate_per_address=0.001,
                     inboxes_rate_per_address=0.001) as server:
        refused = []
        for number in range(2):
            async with connect(url(server)) as device:
                for n in range(4):
                    space, owner = Space(f"{number} {n}"), key(f"owner {number} {n}")
                    for making in (device.create_space(space.admin, *space.others),
                                   device.create_inbox(owner, key("writer").public, 60)):
                        try:
                            await making
                        except RelayRefused as error:
                            refused.append((error.reason, error.hint))
        assert refused == [("too_often", LATER)] * 10


async def test_subscriptions_are_held_to_the_address() -> None:
    """An address holds so many spaces open, over all its connections; they come back when one ends."""
    spaces = [Space(f"space {n}") for n in range(8)]
    async with relay(places_per_address=7) as server:
        for again in range(2):
            async with connect(url(server)) as one, connect(url(server)) as two:
                outcomes = []
                for space in spaces:
                    await one.create_space(space.admin, *space.others)
                for device, some in ((one, spaces[:4]), (two, spaces[4:])):
                    opened = await device.open([claim for space in some for claim in space.claims(Role.READ)])
                    outcomes += [one.error for one in opened]
                assert outcomes == [""] * 6 + ["too_many"] * 2, again
            await until(lambda: server.connections == 1)


async def test_a_token_that_is_taken_back_is_worth_nothing_on_open_connections() -> None:
    """Who has a connection since before makes no space with it any more, and with the next one as anybody."""
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, tokens=["leaked"]) as server:
        async with connect(url(server)) as device:
            await device.create_space(SPACE.admin, *SPACE.others, token="leaked")
            server.tokens = ["next"]
            other = Space("other")
            with pytest.raises(RelayRefused) as caught:
                await device.create_space(other.admin, *other.others, token="leaked")
            assert caught.value.reason == "token"
            await device.create_space(other.admin, *other.others, token="next")


async def test_roles_are_proven_at_a_rate() -> None:
    """Each proof costs a signature to look at, right or wrong: so many for an address, on whichever connections."""
    async with relay(logins_burst_per_address=9.0, logins_rate_per_address=0.001) as server:
        async with connect(url(server)) as one, connect(url(server)) as two:
            assert [each.error for each in await one.open(SPACE.claims(Role.READ, Role.APPEND) * 2)] == [""] * 4
            with pytest.raises(RelayRefused) as caught:
                await two.open(SPACE.claims(Role.READ) * 4)
            assert (caught.value.reason, caught.value.hint) == ("too_often", LATER)
            assert [each.error for each in await two.open(SPACE.claims(Role.READ))] == [""]


async def test_signatures_of_requests_are_looked_at_at_a_rate() -> None:
    """Who signs nothing, and only has signatures looked at, is held as who logs in: in the frames that no role opens.

    A drop has two.
    """
    wrong, none = key("else").sign_bytes(b"something else"), bytes(32)

    def wrongs(ref: int) -> list[frames.ClientFrame]:
        signer, ranges = key("else").public, [frames.Dropped(1, 1, none)]
        return [frames.DeleteSpace(ref, SPACE.handle, signer, wrong),
                frames.Rotate(ref, SPACE.handle, signer, *[none] * 5, [], wrong),
                frames.Resume(ref, signer, wrong, 100, 1000, [0]),
                frames.Drop(ref, SPACE.handle, signer, signer, seed("i"), none, none, ranges, [], wrong, wrong)]

    async with relay(logins_burst_per_address=7.0, logins_rate_per_address=0.001) as server:  # two of them to log in
        told = []
        for _ in range(2):
            async with dial(url(server), compression=None) as socket:
                await talk(socket, frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}"))
                told += [(one.code, one.retry) for one in await talk(socket, *wrongs(1))
                         if isinstance(one, frames.Failed)]
        assert told == [(Code.DENIED, False)] * 4 + [(Code.TOO_OFTEN, True)] * 4


async def talk(socket: ClientConnection, *asked: frames.ClientFrame) -> list[frames.RelayFrame]:
    """Send frames, and take an answer for each."""
    for one in asked:
        await socket.send(frames.encode(one))
    return [frames.decode_relay(await socket.recv(decode=False)) for _ in asked]


async def test_spaces_are_kept_and_taken_up_at_a_rate() -> None:
    """A frame of forty bytes has the relay look through all that a connection follows: so many for an address.

    Who is refused opens its spaces as the first time. What is signed by another key is not looked for.
    """
    spaces = [Space(f"space {n}") for n in range(3)]
    async with relay(kept_burst_per_address=8.0, kept_rate_per_address=0.001) as server:
        name = f"127.0.0.1:{server.port}"
        async with connect(url(server)) as device:
            for space in spaces:
                await device.create_space(space.admin, *space.others)

        def resume(by: SigningKey, welcome: frames.RelayFrame) -> frames.Resume:
            assert isinstance(welcome, frames.Welcome)
            signature = by.sign_bytes(resume_message(name, seed("c"), welcome.nonce, key("kept 1").public))
            return frames.Resume(9, key("kept 1").public, signature, 10, 1000, [0, 0, 0])

        def opening(welcome: frames.RelayFrame) -> frames.Open:
            assert isinstance(welcome, frames.Welcome)
            return frames.Open(1, [frames.Claim(space.handle, Role.READ, space.credential(Role.READ).sign_bytes(
                login_message(name, seed("c"), welcome.nonce, space.handle, Role.READ))) for space in spaces])

        def codes(answers: list[frames.RelayFrame]) -> list[str]:
            return [one.code + " for now" * one.retry if isinstance(one, frames.Failed) else type(one).__name__
                    for one in answers]

        hello = frames.Hello([1], seed("c"), name)
        async with dial(url(server), compression=None) as one:
            (welcome,) = await talk(one, hello)
            await talk(one, opening(welcome), *(frames.Subscribe(2, space.handle, 0, 1000) for space in spaces))
            keeps = [frames.Keep(3, key(f"kept {n}").public) for n in range(4)]
            assert codes(await talk(one, *keeps[:2], *keeps[2:])) == ["Kept", "Kept"] + ["too_often for now"] * 2
        async with dial(url(server), compression=None) as two:
            (welcome,) = await talk(two, hello)
            assert codes(await talk(two, resume(key("thief"), welcome))) == ["denied"]
            answers = await talk(two, resume(key("kept 1"), welcome), opening(welcome))
            assert codes(answers) == ["too_often for now", "Opened"]


async def test_a_login_that_was_recorded_opens_nothing(  # the same bytes, on a connection of the thief's own
) -> None:
    """Replaying all that a device sent, byte for byte, opens no role: the relay's own nonce is another."""
    from chez.sync.session import ClientSession

    async with relay() as server:
        name = f"127.0.0.1:{server.port}"
        recorded: list[bytes] = []
        async with dial(url(server), compression=None) as honest:
            session = ClientSession(name, seed("nonce"))
            recorded += session.data_to_send()
            await honest.send(recorded[0])
            session.receive(await honest.recv(decode=False))
            session.open(SPACE.claims(Role.READ, Role.APPEND))
            recorded += session.data_to_send()
            await honest.send(recorded[1])
            opened = frames.decode_relay(await honest.recv(decode=False))
            assert isinstance(opened, frames.Opened) and [one.error for one in opened.spaces] == ["", ""]
        async with dial(url(server), compression=None) as thief:
            for data in recorded:
                await thief.send(data)
            await thief.recv()
            denied = frames.decode_relay(await thief.recv(decode=False))
            assert isinstance(denied, frames.Opened) and [one.error for one in denied.spaces] == ["denied", "denied"]


async def test_games_with_offsets_get_typed_answers() -> None:
    """Offsets beyond the end, beyond 64 bits, negative ones, limits of nothing and of everything: typed refusals."""
    largest = 2**62
    async with relay() as server, connect(url(server)) as device:
        await log_in(device)
        for call, reason in (
            (lambda: device.read(SPACE.handle, largest), "ahead"), (lambda: device.read(SPACE.handle, 2), "ahead"),
            (lambda: device.subscribe(SPACE.handle, largest, 1), "ahead"),
            (lambda: device.watch(seed("nowhere"), largest), "role"), (lambda: device.ack(seed("nowhere"), 5), "role"),
        ):
            with pytest.raises(RelayRefused) as caught:
                await call()
            assert caught.value.reason == reason
        assert (await device.read(SPACE.handle, 0, 1)).end == 1
        for numbers in ((-1, 1), (0, -1), (2**64, 1), (0, 2**64)):
            async with dial(url(server), compression=None) as bad:
                await bad.send(frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}")))
                await bad.recv()
                good = frames.encode(frames.Read(1, SPACE.handle, 7, 8))
                packed = [b"\xd3" + n.to_bytes(8, "big", signed=True) if n < 2**63 else b"\xcf" + b"\xff" * 8
                          for n in numbers]
                await bad.send(good[:-2] + b"".join(packed))
                answer = frames.decode_relay(await bad.recv(decode=False))
                assert isinstance(answer, frames.Failed) and answer.code == "malformed"


async def test_memory_held_for_one_address_is_bounded() -> None:
    """Connections that each leave a megabyte unfinished are let go before they hold more than the address may."""
    async with relay(memory_per_address=5 * MIB) as server:
        clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(12)]
        begun = frame(BINARY, bytes(MAX_FRAME))[:-1]
        for reader, writer in clients:
            await Raw(reader, writer).upgrade()
            writer.write(begun)
        await until(lambda: server.counts.let_go["memory"] >= 7)
        assert server.load <= 5 * MIB
        for _, writer in clients:
            writer.transport.abort()
        await until(lambda: len(server.door.guests) == 1)


async def test_a_header_is_believed_from_a_trusted_proxy_only() -> None:
    """Without trust each connection counts for its own address; with it, for the one that the proxy names."""
    storage, limits = MemoryStorage(seed("i")), Limits(connections_per_address=2)
    for trusted, let_in in (((), 2), (("127.0.0.0/8",), 4)):
        async with serving(storage, "127.0.0.1", 0, limits=limits, trusted=trusted) as server:
            heads = []
            opened = []
            for number in range(4):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                opened.append(writer)
                heads.append(await Raw(reader, writer).upgrade(f"X-Forwarded-For: 192.0.2.9, 198.51.100.{number}"))
            assert sum(b" 101 " in head for head in heads) == let_in
            if trusted:  # what the client wrote itself, before the proxy's word, changes nothing
                for number in range(2):
                    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    opened.append(writer)
                    head = await Raw(reader, writer).upgrade(f"X-Forwarded-For: 192.0.2.{number}, 198.51.100.0")
                    assert (b" 101 " in head) is (number == 0)
            for writer in opened:
                writer.transport.abort()


@pytest.mark.parametrize("named", ["198.51.100.7:{}", "[2001:db8:1:2::7]:{}", "[2001:db8:1:2::{}]"])
async def test_connections_of_one_address_count_together_where_a_proxy_adds_their_ports(named: str) -> None:
    """Each has another port: taken for addresses of their own they would be held to no limit."""
    limits = Limits(connections_per_address=2)
    async with (serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=limits, trusted=("127.0.0.0/8",)) as server,
                AsyncExitStack() as stack):
        clients = [await stack.enter_async_context(raw(server.port)) for _ in range(4)]
        heads = [await client.upgrade(f"X-Forwarded-For: {named.format(5000 + number)}")
                 for number, client in enumerate(clients)]
        assert [head.split()[1] for head in heads] == [b"101", b"101", b"429", b"429"]


async def test_a_frame_after_the_end_is_not_read() -> None:
    """After the relay ended a connection for nonsense it does not look at what else comes."""
    async with relay() as server, dial(url(server), compression=None) as client:
        await client.send(b"\xc1")
        with pytest.raises(ConnectionClosed):
            for _ in range(100):
                await client.send(frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{server.port}")))
                await asyncio.wait_for(client.recv(), 90)
