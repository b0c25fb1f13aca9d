"""Websocket clients that cost much less than the server they load: bytes counted, hardly looked at.

Frames are made before the clock starts and masked with zeros (the server unmasks all the same); all frames that a
read answers go out in one write.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from chez_wire.frames import Credit, Early, Entries, decode_relay, encode

__all__ = ("Line", "Listener", "Windowed", "framed", "paced")

READ: Final = 64 * 1024
"""Bytes that one read makes room for, as in the relay (`chez_relay.door`): with more, the system is asked for memory
for each answer, on the cores that the server has as well."""


def framed(payload: bytes) -> bytes:
    """One binary websocket message of a client, masked with zeros (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"".join((b"\x82", bytes((0x80 | size,)), bytes(4), payload))
    if size < 65536:
        return b"".join((b"\x82\xfe", size.to_bytes(2, "big"), bytes(4), payload))
    return b"".join((b"\x82\xff", size.to_bytes(8, "big"), bytes(4), payload))


class Line(asyncio.Protocol):
    """One websocket: what comes is handed to `took`, all whole messages of one read together."""

    def __init__(self, url: str) -> None:
        self._handshake = ClientProtocol(parse_uri(url))
        self._rest = b""
        self._open = False
        self._kept: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._lost: Exception | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if hasattr(transport, "max_size"):  # asyncio's own transports of sockets have it
            transport.max_size = READ
        self._handshake.send_request(self._handshake.connect())
        transport.write(b"".join(self._handshake.data_to_send()))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._lost = exc or ConnectionError("the server closed the connection")
        self._news.set()

    def data_received(self, data: bytes) -> None:
        """Take whole messages."""
        if not self._open:
            self._upgraded(data)
            return
        data = self._rest + data if self._rest else data
        at, end, messages = 0, len(data), []
        while at + 2 <= end:
            size, body = data[at + 1], at + 2
            if size >= 126:
                body += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2:body], "big")
            if body + size > end or body > end:
                break
            if data[at] == 0x82:
                messages.append(data[body:body + size])
            else:
                self._control(data[at], data[body:body + size])
            at = body + size
        self._rest = data[at:]
        if messages:
            self.took(messages, time.perf_counter())

    def _upgraded(self, data: bytes) -> None:
        self._handshake.receive_data(data)
        if self._handshake.handshake_exc is not None:
            self.transport.abort()
        elif self._handshake.events_received():
            self._open = True
            self._news.set()

    def _control(self, kind: int, body: bytes) -> None:
        if kind == 0x89:
            self.transport.write(b"\x8a" + bytes((0x80 | len(body),)) + bytes(4) + body)
        else:
            self.transport.close()

    def took(self, messages: list[bytes], now: float) -> None:
        """Messages that came together, read at `now`: kept for `next`, unless a subclass does more."""
        self._kept += messages
        self._news.set()

    async def opened(self) -> None:
        """Wait for the end of the handshake."""
        while not self._open:
            await self._wait()

    async def next(self) -> bytes:
        """The next message that was kept."""
        while not self._kept:
            await self._wait()
        return self._kept.popleft()

    def _give_up(self, done: asyncio.Future[Any]) -> None:
        if self._lost and not done.done():
            done.set_exception(self._lost)

    async def _wait(self) -> None:
        if self._lost:
            raise self._lost
        self._news.clear()
        await self._news.wait()


class Windowed(Line):
    """Sends frames, at most `window` of them unanswered; one answer comes for each.

    Paced, it sends each when it is due (`paced`), whatever is unanswered; `taken` has the seconds that each took from
    then, the line's own lateness among them, and `late` those until it was sent.
    """

    frames: Sequence[bytes] = ()
    kind: int | None = None
    """The number of the frame that every answer must be; None where answers are only counted."""

    def begin(self) -> None:
        """Answers count from now on."""
        self.sent = self.answered = 0
        self.due: deque[float] = deque()
        self.taken: list[float] = []
        self.late: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, count: int) -> None:
        """Send the next frames."""
        batch = self.frames[self.sent:self.sent + count]
        self.sent += len(batch)
        if batch:
            self.transport.write(b"".join(batch))

    def send_due(self, due: float, now: float) -> None:
        """Send the next frame, which is due since then."""
        self.due.append(due)
        self.late.append(now - due)
        self.send(1)

    def took(self, messages: list[bytes], now: float) -> None:
        """Each answer makes room for one frame more."""
        if not self.frames:
            super().took(messages, now)
            return
        if self.kind is not None and any(message[1] != self.kind for message in messages):
            self.done.set_exception(RuntimeError(f"refused: {messages}"))
        count = len(messages)
        self.answered += count
        if self.due:
            self.taken += [now - self.due.popleft() for _ in messages]
        else:
            self.send(count)
        if self.answered >= len(self.frames) and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for answers waits in vain."""
        super().connection_lost(exc)
        if self.frames:
            self._give_up(self.done)


async def paced(lines: Sequence[Windowed], rate: float, start: float) -> None:
    """Send a frame of each line in turn, `rate` a second in all, each when it is due: the loop wakes by milliseconds.

    A task of each line woke up, and was made to sleep, for every frame, though those of many lines were due by then.
    """
    turns = zip(*(range(len(line.frames)) for line in lines), strict=True)
    for number, line in enumerate(line for _ in turns for line in lines):
        due = start + number / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        line.send_due(due, time.perf_counter())


class Listener(Line):
    """Counts the entries that are pushed to it, each once it is durable, and gives credit for each page."""

    upto: int = 0
    handle: bytes = b""

    def listen(self, upto: int, handle: bytes = b"") -> None:
        """Entries count from now on, or messages where there is no space."""
        self.upto, self.handle, self.seen = upto, handle, 0
        self.early = 0
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def took(self, messages: list[bytes], now: float) -> None:
        """Count; give back as much credit as was used."""
        if not self.upto:
            super().took(messages, now)
            return
        if self.handle:
            self._pushed(messages)
        else:
            self.seen += len(messages)
        if self.seen >= self.upto and not self.done.done():
            self.done.set_result(now)

    def _pushed(self, messages: list[bytes]) -> None:
        used = 0
        for message in messages:
            page = decode_relay(message)
            if isinstance(page, Early):
                self.early = len(page.envelope)
                continue
            assert isinstance(page, Entries), page
            self.seen += len(page.entries)
            # One that came early comes again without its bytes.
            used += sum(len(entry.envelope) or self.early for entry in page.entries)
        if used:
            self.transport.write(framed(encode(Credit(self.handle, used))))

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for entries waits in vain."""
        super().connection_lost(exc)
        if self.upto:
            self._give_up(self.done)
