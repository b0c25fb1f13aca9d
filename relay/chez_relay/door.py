"""Connections as the network shapes them: who is let in, what they make the relay hold, how they fill frames.

Everything below the frames of the protocol is here: it counts from the first byte of a connection, before
there is a websocket or a Hello.
"""

import asyncio
import fcntl
import http
import ipaddress
import ssl
import sys
import termios
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.protocol import State

from chez_relay.addresses import PREFIX, Account, Addresses, forwarded
from chez_relay.bounds import MAX_FRAGMENTS, MAX_REQUEST, MAX_UNSENT, SPARE, TURN
from chez_relay.counts import Counts
from chez_relay.handshake import Handshake
from chez_relay.limits import Limits
from chez_wire.framing import begun, between_frames, framed, message
from chez_wire.lan import is_near

__all__ = ("Door", "GuestConnection")

READ: Final = 64 * 1024
"""Bytes that one read of a socket makes room for. The event loop's own 256 KiB are memory that the C library asks the
system for, and gives back, each time, from 128 KiB on: with entries that come one by one a sixth of all that the relay
does. With TLS it is a record (`chez_relay.handshake`)."""


class GuestConnection(ServerConnection):
    """A websocket that its door watches; `held` is what it makes the relay hold, in bytes."""

    # Places for these alone: one more in the instance's dictionary would double that.
    __slots__ = ("_apart", "_arrived", "_fragments", "_handshake", "_kept", "_load", "_queued", "_turn", "_waiting",
                 "account", "asked", "began", "held", "met", "payer", "take")

    door: "Door"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.account: Account | None = None
        self.payer: Account | None = None
        """Its address's, also when it has left: what it asked the store for is held until that is answered."""
        self.held = 0
        self.asked = 0
        """How much of that the store has been asked for."""
        self.began: float | None = None
        """When the frame or message began that is not whole yet."""
        self.met: Callable[[], bool] = lambda: False
        """Whether it proved something, where only those stay that do."""
        self._apart = False  # between two frames, as far as the library is
        self._arrived = 0
        self._queued = 0
        self._waiting = 0
        self._turn = 0
        self.take: Callable[[bytes], bool] | None = None
        """Handles a message as it is found, and says so: what it does not take, and all behind that, waits for `recv`.
        A message that is waited for costs a task its turn, and more than all that is done with it."""
        self._kept = b""  # the beginning of a frame
        self._load = 0
        self._fragments = 0
        self._handshake: Handshake | None = None

    @property
    def agreeing(self) -> bool:
        """Whether it has not agreed on TLS yet."""
        return self._handshake is not None

    def connection_made(self, transport: Any) -> None:
        """A socket was accepted; with TLS, and then again when both sides agreed on it."""
        if self._handshake is not None:
            self._handshake.agree(transport)
            self._handshake = None
            super().connection_made(transport)
            return
        self.transport = transport
        if not self.door.knocked(self):
            return
        if hasattr(transport, "max_size"):  # asyncio's own transports of sockets have it
            transport.max_size = READ
        self._handshake = self.door.handshake(self)
        if self._handshake is None:
            super().connection_made(transport)
        else:
            self._handshake.begin(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._turn = TURN
        if self.request is None:  # its headers are in the library, out of sight
            self._queued += len(data)
            if self._queued > MAX_REQUEST:
                self.leave("request")
                return
        if self._kept:
            data, self._kept = self._kept + data, b""
        if self.take is not None and not self._waiting and not self._fragments and self._between_frames:
            data = self._taken_whole(data, self.take)
        if data:
            self._apart = False
            super().data_received(data)
        unsent = self.transport.get_write_buffer_size()
        if unsent > MAX_UNSENT:
            self.leave("never reads")
        if data or unsent or self._kept or self._arrived:  # else nothing of it is held here, nor was
            self._weigh()

    def process_event(self, event: Any) -> None:
        """The library found a request or a frame in them."""
        if self.request is None:
            self._queued = 0
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            whole = event.fin and not self._fragments
            self._fragments = 0 if event.fin else self._fragments + 1
            if event.fin:  # what lies in the buffer now is of another message
                self.began = None
            if whole and self._taken_at_once(event):
                return
            self._queued += len(event.data)
            self._waiting += event.fin
            if self._fragments > MAX_FRAGMENTS:
                self.leave("fragments")
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        self.door.left(self)

    @property
    def untaken(self) -> int:
        """Bytes that the other side has not taken, those that the system holds for it included where it tells."""
        answer = bytes(4)
        with suppress(OSError, AttributeError, ValueError):  # whose number is -1 once it is closed
            answer = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, answer)
        return self.transport.get_write_buffer_size() + int.from_bytes(answer, sys.byteorder)

    @property
    def _between_frames(self) -> bool:
        """Whether the library waits for a frame to begin; once it does so it stays there while it is given nothing."""
        self._apart = (self._apart and self.protocol.state is State.OPEN) or between_frames(self.protocol)
        return self._apart

    def _taken_whole(self, data: bytes, take: Callable[[bytes], bool]) -> bytes:
        """Have messages handled that `data` begins with, while their client has its turn; what is the library's."""
        at = 0
        while self._turn and (found := message(data, at, masked=True)) is not None:
            if not take(found[0]):
                return data[at:]
            self._turn -= 1
            self.began, at = None, found[1]
        rest = data[at:]
        if rest and self._turn and begun(rest):
            self._kept, rest = rest, b""
        return rest

    def _taken_at_once(self, frame: Frame) -> bool:
        """Have a message handled now, if none is before it and its client has not had its turn."""
        if self.take is None or self._waiting or not self._turn or frame.opcode is not Opcode.BINARY:
            return False
        self._turn -= 1
        return self.take(bytes(frame.data))

    def send_at_once(self, messages: Iterable[bytes]) -> bool:
        """Send several messages, each a frame, if the socket has taken all before them; whether it was done."""
        if self.protocol.state is not State.OPEN or self.transport.is_closing() or (
                self.transport.get_write_buffer_size()):
            return False
        if self.protocol.writes:
            self.protocol.writes += map(framed, messages)
            self.send_data()
        else:
            self.transport.write(b"".join(map(framed, messages)))
        return True

    async def send_all(self, messages: Iterable[bytes]) -> None:
        """Send several messages, each a frame, by one write to the socket. Raises `ConnectionClosed` as `send` does."""
        async with self.send_context():
            self.protocol.writes += map(framed, messages)

    def send_data(self) -> None:
        """The library hands on what its protocol wrote: a write, and a call of the system, for each frame."""
        writes = self.protocol.writes
        if len(writes) > 1 and all(writes):  # an empty one among them would mean the end
            self.protocol.writes = [b"".join(writes)]
        super().send_data()

    def taken(self, size: int) -> None:
        """A message of this size was handled: it is no longer held here."""
        self._queued -= size
        self._waiting -= 1
        self._weigh()

    def hold(self, change: int) -> None:
        """More, or less, is held for it elsewhere."""
        self._load += change
        if self.account is not None:
            self.door.addresses.hold(self.account, self, change)

    def ask(self, change: int) -> None:
        """More, or less, is asked of the store, and part of what is held."""
        self.asked += change
        if self.account is None and self.payer is not None:
            self.door.addresses.keep(self.payer, change)

    def leave(self, why: str) -> None:
        """End it at once."""
        if not self.transport.is_closing():
            self.door.counts.let_go[why] += 1
        self.transport.abort()
        self.door.left(self)

    def _weigh(self) -> None:
        started = len(self._kept) + len(self.protocol.reader.buffer)
        # What the relay is sending is in its load already; the rest of the buffer answers pings.
        answers = max(0, self.transport.get_write_buffer_size() - self._load)
        arrived = started + self._queued + answers
        if started or self._fragments:
            if self.began is None:
                self.began = self.door.clock()
        else:
            self.began = None
        if self.account is None:  # of who is behind a proxy it is not known yet whose it is; or it has left
            return
        change, self._arrived = arrived - self._arrived, arrived
        if change:
            self.door.addresses.hold(self.account, self, change)


class Door:
    """Lets connections in, and counts those that it does not.

    `trusted` are the networks of proxies whose `header` says who is behind them; with `tls` sockets speak it. With
    `near` nobody is let in whose address the internet routes.
    """

    def __init__(
        self, limits: Limits, clock: Callable[[], float], counts: Counts, *, trusted: Collection[str], header: str,
        tls: ssl.SSLContext | None = None, near: bool = False,
    ) -> None:
        # On one network all share a prefix: each device has its whole address there.
        self.addresses = Addresses(limits, clock, 128 if near else PREFIX)
        self.clock = clock
        self.counts = counts
        self._limits = limits
        self._networks = [ipaddress.ip_network(one) for one in trusted]
        self._header = header
        self.tls = tls
        """What connections that begin from now on are spoken to with."""
        self._near = near
        self.guests: dict[GuestConnection, None] = {}  # in the order in which they came

    def factory(self) -> type[GuestConnection]:
        """What the websocket library makes of each socket."""
        return type("Guest", (GuestConnection,), {"door": self, "__slots__": ()})

    @property
    def agreeing(self) -> int:
        """Connections that have not agreed on TLS yet."""
        return sum(guest.agreeing for guest in self.guests)

    def handshake(self, guest: GuestConnection) -> Handshake | None:
        """What agrees on TLS with a socket that was accepted; None where the relay speaks without."""
        if self.tls is None:
            return None
        return Handshake(self.tls, guest, lambda tried: self._disagreed(guest, tried), seconds=self._limits.hello,
                         closing=self._limits.drain)

    def knocked(self, guest: GuestConnection) -> bool:
        """A socket was accepted: note it, or drop it, if far too many are there; whether it may go on."""
        self.guests[guest] = None
        host = _host(guest)
        if not self._is_proxy(host):
            self._assign(guest, host)
        account = guest.account
        if self._near and not is_near(host):
            return self._drop(guest, "far")
        if account is not None and not self.addresses.take(account.dials):
            return self._drop(guest, "dials")
        if self._near and len(self.guests) > self._limits.connections:
            self._make_room(guest)
        if len(self.guests) > self._limits.connections + SPARE or (
            account is not None and len(account.guests) > self._limits.connections_per_address + SPARE
        ):
            return self._drop(guest, "connections")
        return True

    def _make_room(self, newcomer: GuestConnection) -> None:
        """End one that proved nothing yet, of the address that has most of them: on one network everybody has addresses
        enough to take all places. Of several the first, and before those that agreed on TLS, which costs something."""
        waiting = [one for one in self.guests if one is not newcomer and not one.met()]
        of = Counter(one.account for one in waiting)
        if waiting:
            max(waiting, key=lambda one: (of[one.account], one.agreeing)).leave("room")

    def admit(self, socket: ServerConnection, request: HttpRequest) -> Response | None:
        """Look at a websocket's handshake: turn away one too many with a word."""
        guest = self.guest(socket)
        if guest not in self.guests:  # it ended meanwhile, and does not end again: nobody would take it out
            return None
        if guest.account is None:
            behind = forwarded(request.headers.get_all(self._header), self._is_proxy)
            self._assign(guest, behind or _host(guest))
            if not self.addresses.take(self.account(guest).dials):
                return self._refused(guest, "dials")
        account = self.account(guest)
        if len(account.guests) > self._limits.connections_per_address or len(self.guests) > self._limits.connections:
            return self._refused(guest, "connections")
        return None

    def guest(self, socket: ServerConnection) -> GuestConnection:
        """One of the connections that the door's factory made."""
        if not isinstance(socket, GuestConnection):
            raise TypeError("the server makes its connections by the door's factory")
        return socket

    def account(self, guest: GuestConnection) -> Account:
        """The account of a connection that was let in; that of one that has ended meanwhile holds nothing."""
        if guest.account is None:
            return self.addresses.at(_host(guest))
        return guest.account

    def left(self, guest: GuestConnection) -> None:
        """A connection ended, or is about to: nothing is held for it any more but what it asked the store for."""
        self.guests.pop(guest, None)
        if guest.account is not None:
            self.addresses.hold(guest.account, guest, -guest.held)
            self.addresses.keep(guest.account, guest.asked)
            guest.account.guests.discard(guest)
            guest.account = None

    def drop_agreeing(self) -> None:
        """Drop those who have not agreed on TLS, or on a websocket: the relay shuts down, and nothing was asked."""
        for guest in [one for one in self.guests if one.agreeing or one.protocol.state is State.CONNECTING]:
            guest.transport.abort()

    def drop_all(self) -> None:
        """Drop who is still there: the relay ends."""
        for guest in list(self.guests):
            guest.transport.abort()

    def drop_slow_frames(self) -> None:
        """Drop those who have begun a frame and not ended it in time."""
        before = self.clock() - self._limits.frame
        for guest in [one for one in self.guests if one.began is not None and one.began < before]:
            guest.leave("slow frame")

    def _assign(self, guest: GuestConnection, host: str) -> None:
        account = self.addresses.at(host)
        account.guests.add(guest)
        guest.account = guest.payer = account  # it holds nothing yet: that is weighed from now on

    def _refused(self, guest: GuestConnection, limit: str) -> Response:
        self.counts.turned_away[limit] += 1
        return guest.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "too many connections\n")

    def _drop(self, guest: GuestConnection, limit: str) -> bool:
        self.counts.turned_away[limit] += 1
        guest.transport.set_protocol(asyncio.Protocol())  # nothing of a connection was made that could be lost
        guest.transport.abort()
        self.left(guest)
        return False

    def _disagreed(self, guest: GuestConnection, tried: bool) -> None:
        self.counts.handshakes_failed += tried
        self.left(guest)

    def _is_proxy(self, host: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _host(socket: ServerConnection) -> str:
    remote = socket.remote_address
    return str(remote[0]) if remote else ""
