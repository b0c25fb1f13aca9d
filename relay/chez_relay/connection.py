"""One websocket connection: carries a session's effects out, with bounded memory.

What a connection can make the relay hold at any moment is its *load*: the cost of its
requests at the storage plus the bytes not yet taken by the socket. Above the window the
relay stops reading from this connection and holds back its pushes, which cost nothing
while they wait, since only the session's cursors remember them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec
from websockets.exceptions import ConnectionClosed

from chez_relay.bounds import TAKEN, TURN, WINDOW
from chez_relay.committer import Committer, cost
from chez_relay.door import GuestConnection
from chez_relay.effects import Ask, Close, Effect, Follow, PassOn, Send
from chez_relay.ephemeral import Passing
from chez_relay.errors import Code
from chez_relay.session import RelaySession, State
from chez_relay.storage import AddEntry, Credentials, Page, Request, Result, Stored

__all__ = ("GOING_AWAY", "POLICY_VIOLATION", "Connection", "Followers")

GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008

BATCH_BYTES: Final = 16 * 1024
"""Bytes of frames that go to the socket together: many answers are one write, a page is one of its own."""


_log = logging.getLogger("chez_relay")


class Followers(Protocol):
    """Where a connection registers for news of a space or an inbox."""

    def follow(self, name: bytes, connection: "Connection") -> None:
        """Tell `connection` when `name` grows, or its credentials are replaced."""

    def early(self, handle: bytes, envelope: bytes, sender: "Connection") -> None:
        """An entry is about to be stored, alone: the few others who follow the space may have it now."""

    def pass_on(self, name: bytes, data: bytes, to: bytes, sender: "Connection | None") -> None:
        """Give a frame to all others who follow `name`, or to the one called `to`, as far as they keep up."""

    def ended(self, why: Code) -> None:
        """A connection is ended by what its client did."""


class Connection:
    """Drives one `RelaySession` over one websocket until it closes (`run`)."""

    __slots__ = ("_closing", "_committer", "_deaf", "_followers", "_held", "_left_before", "_load", "_outbox",
                 "_over", "_passing", "_room", "_sending", "_sent", "_sent_before", "_session", "_socket", "_soon",
                 "_stored", "_writer", "followed")

    def __init__(
        self, socket: GuestConnection, session: RelaySession, committer: Committer, followers: Followers
    ) -> None:
        self._socket = socket
        self._session = session
        self._committer = committer
        self._followers = followers
        # Lists, and nothing that waits before there is something to wait for: a connection that
        # stands still costs a relay memory and nothing else.
        self._outbox: list[bytes] = []
        self._held: list[Ask] = []
        self._passing: Passing | None = None
        self.followed: set[bytes] = set()
        self._load = 0
        self._sending = False
        self._soon = False
        self._sent = 0
        self._sent_before = -1
        self._left_before = 0
        self._closing: Close | None = None
        self._deaf = False
        self._over = False
        self._stored = True  # whether the entry that was last given here was stored, as a new one
        self._writer: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def load(self) -> int:
        """Bytes that this connection keeps in memory, at most."""
        return self._load

    async def run(self, hello_seconds: float) -> None:
        """Serve until either side closes; a client that says no Hello in time is let go."""
        loop = asyncio.get_running_loop()
        late = loop.call_later(hello_seconds, self._hello_is_late)
        request, response = self._socket.request, self._socket.response
        if request is not None and response is not None:  # nothing asks for what was in them any more
            request.path = ""
            request.headers.clear()
            response.headers.clear()
        handled = 0
        self._socket.take = self._take
        try:
            async for message in self._socket:
                while self._full:
                    self._room = loop.create_future()
                    await self._room
                self._socket.taken(len(message))
                if self._deaf:
                    continue
                # A text message is no frame, whatever its bytes: handled as an empty one.
                self._apply(self._session.receive(message if isinstance(message, bytes) else b""))
                handled += 1
                if handled % TURN == 0:  # the library gives what is there without waiting once
                    await asyncio.sleep(0)
        except ConnectionClosed:
            pass
        finally:
            late.cancel()
            self._socket.take = None
            self._deaf = True
            self._held.clear()
            try:
                await self._end_writing()
            finally:
                self._over = True

    def _take(self, message: bytes) -> bool:
        """Handle a message as the socket finds it, if there is room for what it asks; whether that was done."""
        if self._full:
            return False
        try:
            if not self._deaf:
                self._apply(self._session.receive(message))
        except Exception as error:  # the event loop would print it with what it is about
            _log.error("a connection failed on something unexpected (%s)", type(error).__name__)
            self.abort()
        return True

    def grew(self, handle: bytes, page: Page, *, few: bool = False) -> None:
        """A space grew: the new entries go out at once if this connection keeps up.

        Where `few` follow it they are written here and now: a task would have its turn a tenth of a millisecond later.
        """
        if self._load > WINDOW:
            page = Page((), page.head, page.end)
        self._apply(self._session.grew(handle, page), self._answer if few else None)

    def early(self, handle: bytes, envelope: bytes) -> None:
        """An entry that another connection gave is about to be stored: it goes out at once, if nothing waits to."""
        if self._writer is None and not self._outbox:
            self._apply(self._session.early(handle, envelope), self._answer)

    def inbox_grew(self, inbox: bytes) -> None:
        """An inbox grew."""
        self._apply(self._session.inbox_grew(inbox))

    def hear(self, name: bytes, data: bytes, to: bytes) -> int:
        """An ephemeral message of a space, as a frame: it is sent when nothing else waits; how many went for it."""
        if self._closing is not None or not self._session.hears(name, to):
            return 0
        if self._passing is None:
            self._passing = Passing()
        gone = self._passing.put(name, data)
        self._hold(len(data) - sum(map(len, gone)))
        self._begin_writing()
        return len(gone)

    def rotated(self, handle: bytes, credentials: Credentials | None) -> None:
        """A space has other credentials now, or was deleted (None)."""
        self._apply(self._session.rotated(handle, credentials))

    def stop_reading(self) -> None:
        """Ignore what still arrives; what was asked is answered."""
        self._deaf = True

    def close(self, code: int, reason: str) -> None:
        """Close after everything in the outbox was sent."""
        self._apply([Close(code, reason)])

    def abort(self) -> None:
        """Drop the connection at once, whatever was not sent."""
        self._socket.transport.abort()

    def drop_if_stalled(self) -> bool:
        """Drop the connection if the client took next to nothing of what waited at the last call; whether so.

        A page takes minutes on a slow line: what counts is bytes, not frames that have gone. (Pings don't notice:
        behind a full socket they wait as well.)
        """
        left = self._socket.untaken if self._sending else 0
        # Nothing of it waited at the last call: what does was begun since, a moment ago for all that is known.
        stalled = self._sent == self._sent_before and 0 < self._left_before < left + TAKEN and left > 0
        if stalled:
            self.abort()
        self._sent_before, self._left_before = self._sent, left
        return stalled

    def _hello_is_late(self) -> None:
        if self._session.state in (State.GREETING, State.MEETING):
            self.close(POLICY_VIOLATION, "no Hello in time")

    def _apply(self, effects: list[Effect], write: Callable[[], None] | None = None, change: int = 0) -> None:
        """Carry effects out in their order; `write` has what is to be sent written, else a task does.

        By `change` the load changes with them: it is accounted for together with what they send, for that costs as
        much for one byte as for many.
        """
        sends = False
        for effect in effects:
            match effect:
                case Send(data):
                    change += len(data)
                    self._outbox.append(data)
                    sends = True
                case Ask():
                    if change:
                        self._hold(change)
                        change = 0
                    if effect.push and self._load > WINDOW:
                        self._held.append(effect)
                    else:
                        self._submit(effect)
                case Follow(name):
                    self.followed.add(name)
                    self._followers.follow(name, self)
                case PassOn(name, data, to):
                    self._followers.pass_on(name, data, to, self)
                case Close():
                    self._closing = effect
                    self._deaf = True
                    if effect.why is not None:
                        self._followers.ended(effect.why)
                    self._begin_writing()
        if change:
            self._hold(change)
        if sends:
            (write or self._begin_writing)()
        if self._held or self._room is not None:
            self._update_room()

    def _submit(self, ask: Ask) -> None:
        weight = cost(ask.request)
        self._socket.ask(weight)
        self._hold(weight)
        early = self._early(ask.request)
        if early is not None:  # first: the storage's thread would want the interpreter meanwhile
            self._pass_early(early)
        self._committer.submit(ask.request, _Done(self, ask, weight), weight, self._socket.payer)

    def _early(self, request: Request) -> AddEntry | None:
        """An entry that others may have while it is stored: it is alone in its group. Who was refused the last one, or
        gave it before, has the next one stored first: else who has no room would go on by it, and one entry could be
        passed on without end.
        """
        if not isinstance(request, AddEntry) or request.control:
            return None
        return request if self._stored and self._committer.rests else None

    def _pass_early(self, entry: AddEntry) -> None:
        try:
            self._followers.early(entry.handle, entry.envelope, self)
        except Exception as error:  # as in `_take`
            _log.error("passing on what is being stored failed on something unexpected (%s)", type(error).__name__)

    def done(self, ask: Ask, weight: int, result: Result) -> None:
        """The storage answered what weighed so much until then."""
        effects: list[Effect] = []
        self._socket.ask(-weight)
        if isinstance(ask.request, AddEntry):
            self._stored = isinstance(result, Stored) and result.fresh
        if self._over:  # what it would open and follow now nobody would let go of any more
            self._hold(-weight)
            return
        try:
            effects = self._session.completed(ask, result)
        finally:  # whatever comes of it, the storage holds it no more
            # Those who follow what was just stored come first: nobody waits for an answer
            # as long as they wait for news.
            self._apply(effects, self._begin_answering, -weight)

    def _hold(self, change: int) -> None:
        self._load += change
        self._socket.hold(change)

    @property
    def _full(self) -> bool:
        return not self._deaf and (self._load > WINDOW or self._session.busy)

    def _update_room(self) -> None:
        while self._held and self._load <= WINDOW:
            self._submit(self._held.pop(0))
        if self._room is not None and not self._full:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    def _begin_answering(self) -> None:
        if not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._answer_soon)

    def _answer_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._answer)  # what was written to others meanwhile went first

    def _answer(self) -> None:
        """Give what is to be sent to the socket, all at once; a task is made where it has to be waited for."""
        self._soon = False
        if self._writer is not None or not (outbox := self._outbox):
            return
        size = sum(map(len, outbox))
        if size > BATCH_BYTES or self._closing is not None or not self._socket.send_at_once(outbox):
            self._begin_writing()
            return
        self._outbox = []
        self._sent += len(outbox)
        self._hold(-size)
        if self._held or self._room is not None:
            self._update_room()

    def _begin_writing(self) -> None:
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _end_writing(self) -> None:
        if self._closing is not None:
            self._begin_writing()
        if (writer := self._writer) is not None:
            if self._closing is None:
                writer.cancel()
            try:
                await asyncio.wait((writer,))  # to await it would take a cancellation of this task for the writer's
            finally:
                writer.cancel()
            if not writer.cancelled():
                writer.result()

    def _next(self) -> list[bytes]:
        """What is to be sent now; of what is ephemeral one at a time, for whatever comes up meanwhile goes first."""
        while self._passing and not self._outbox:
            name, data = self._passing.take()
            if self._session.hears(name):
                return [data]
            self._hold(-len(data))  # its roles ended, and were said to have: nothing about it may come behind that
        batch, self._outbox = self._outbox, []
        return batch

    async def _write(self) -> None:
        """Send what is there, then close if that is wanted."""
        try:
            while outbox := self._next():
                for batch in _batches(outbox):
                    self._sending = True
                    await self._socket.send_all(batch)
                    self._sending = False
                    self._sent += len(batch)
                    self._hold(-sum(map(len, batch)))
                    self._update_room()
            if self._closing is not None:
                await self._socket.close(self._closing.code, self._closing.reason)
        except ConnectionClosed:
            # The reader sees it too; it may be waiting for room.
            self._deaf = True
            self._update_room()
        finally:
            self._writer = None


class _Done(msgspec.Struct, frozen=True):
    """Hands a result to its connection: one object of each request, where a function would be five."""

    connection: Connection
    ask: Ask
    weight: int

    def __call__(self, result: Result) -> None:
        self.connection.done(self.ask, self.weight, result)


def _batches(frames: list[bytes]) -> Iterator[list[bytes]]:
    """The frames in order, small ones together."""
    batch: list[bytes] = []
    size = 0
    for data in frames:
        if batch and size + len(data) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(data)
        size += len(data)
    yield batch
