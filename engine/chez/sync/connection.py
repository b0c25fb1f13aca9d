"""The websocket shell around a `ClientSession`: requests that can be awaited, pushes that can be iterated.

    async with connect("ws://127.0.0.1:8787") as relay:
        await relay.open([(handle, Role.READ, key)])
        await relay.subscribe(handle, after=0, credit=DEFAULT_CREDIT)
        async for event in relay.arrivals():
            ...                                   # make it durable
            relay.credit(event.handle, size)

One task reads, one writes, one looks whether what was asked is answered. Requests may be issued side by side: they
go out in the order they were made, and one round trip serves them all.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

from chez import crypto
from chez.crypto import SigningKey
from chez.errors import ChezError, InvalidValue, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.phrasing import in_one_line
from chez.sync.events import (
    AppendDone,
    ChunkArrived,
    ChunksFound,
    Completed,
    EarlyArrived,
    EntriesArrived,
    EphemeralArrived,
    Event,
    InboxArrived,
    PacketArrived,
    Refused,
    RolesEnded,
    SpacesOpened,
    UsageTold,
    Welcomed,
)
from chez.sync.meeting import Acquaintances, Near
from chez.sync.patience import Silence, Sleep
from chez.sync.pinning import split
from chez.sync.pulse import Pulse
from chez.sync.pushes import Push, Pushes
from chez.sync.requests import NO_TOKEN, Rotation
from chez.sync.session import Claim, ClientSession
from chez_wire.certificate import instance_of
from chez_wire.frames import OpenedSpace, SealedPacket
from chez_wire.limits import DEFAULT_CREDIT, MAX_CLAIMS, MAX_PAGE
from chez_wire.login import Role

if TYPE_CHECKING:
    from chez.sync.socket import Socket

__all__ = ("RelayConnection", "connect", "open_socket", "relay_name")

OPEN_SECONDS: Final = 10.0

LISTEN: Final = 20.0
"""Seconds between two looks whether a relay answers what it was asked."""

_E = TypeVar("_E", bound=Event)


_LIKE: Final = "it looks like ws://127.0.0.1:8787 or wss://host"


def relay_name(url: str) -> str:
    """The name that logins are bound to: "host:port" of a ws:// or wss:// URL.

    Without the interface of a link-local address (`%4`), which means something on this device alone (RFC 4007, 11.2).
    Raises `InvalidValue` for anything else, a user's name without a password among it, with which nobody can dial.
    """
    if not isinstance(url, str):
        raise InvalidValue(f"{url!r} is no relay's address", _LIKE)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.username is not None and parts.password is None:
        host = None
    if "#" in url:
        raise InvalidValue(f"{url!r} is an address with pins, and here it is to be one without",
                           "`chez relay add` and `chez relay set` take pins.")
    if parts.scheme not in ("ws", "wss") or not host or not _is_name(host):
        raise InvalidValue(f"{url!r} is no relay's address", _LIKE)
    host = host.partition("%")[0]
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port or (443 if parts.scheme == 'wss' else 80)}"


def _is_name(host: str) -> bool:
    """Whether it can be anybody's name: each part between dots has 1 to 63 characters (RFC 1035, 2.3.4)."""
    return all(0 < len(part) < 64 for part in host.removesuffix(".").split("."))


async def open_socket(address: str, open_timeout: float = OPEN_SECONDS, tls: ssl.SSLContext | None = None, *,
                      near: bool = False, pulse: Pulse | None = None) -> "Socket":
    """Open the websocket at a relay's URL, with or without pins (`chez.sync.pinning`), and nothing more.

    `near` as in `chez.sync.socket`; `pulse` knows of the connections before. Raises `InvalidValue`, `RelayUnreachable`,
    `NotARelay`, `WrongPin`.
    """
    from chez.sync import socket  # the websocket library takes a tenth of the time in which a home opens

    url, pins = split(address)
    return await socket.open_socket(url, relay_name(url), open_timeout, tls, near=near, pins=pins, pulse=pulse)


@asynccontextmanager
async def connect(
    at: str | Near, *, open_timeout: float = OPEN_SECONDS, nonce: bytes | None = None,
    tls: ssl.SSLContext | None = None, known: Acquaintances | None = None,
) -> AsyncIterator["RelayConnection"]:
    """Connect to a relay by its URL, with or without pins, and wait for its welcome; closes on leaving.

    With `known`, or where it is a `Near`, it is one on this network, and met: `RelayUnreachable` where somebody else
    answers than is to.

    Raises `InvalidValue` for a bad URL, `RelayUnreachable` when there is no connection
    within `open_timeout` seconds, `RelayRefused` when the relay does not want it.
    """
    url, known, instance = (at, known, None) if isinstance(at, str) else (at.url, at.known, at.instance)
    name = relay_name(split(url)[0])
    socket = await open_socket(url, open_timeout, tls, near=known is not None)
    if instance is not None and instance_of(socket.certificate or b"") != instance:
        await socket.close()
        raise RelayUnreachable(f"who answers at {name} is not who was announced there")
    approach = None if known is None else known.approach(socket.certificate)
    session = ClientSession(name, nonce or crypto.random_bytes(32), approach)
    relay = RelayConnection(socket, session, name)
    try:  # from here on: who connects may be cancelled at any moment
        try:
            async with asyncio.timeout(open_timeout):
                await relay._welcomed
        except TimeoutError:
            raise RelayUnreachable(f"{name} accepted the connection and said nothing") from None
        yield relay
    finally:
        await relay.close()


class RelayConnection:
    """One open connection; see `connect`.

    Every request raises `RelayRefused` when the relay says no, `RelayUnreachable` when the
    connection breaks first or it does not answer (`patience.Silence`), `RelayMisbehaved` when it answers with nonsense.
    """

    def __init__(self, socket: "Socket", session: ClientSession, relay: str) -> None:
        self.relay = relay
        """The relay's name as dialled."""
        self.incarnation = b""
        """32 bytes naming the relay's store: a new one means that the store is another."""
        self.met: frozenset[bytes] | None = None
        """The handles of the spaces that both sides proved to keep; None where that is not asked."""
        self._socket = socket
        self._session = session
        self._answers: dict[int, asyncio.Future[Event]] = {}
        self._pushes = Pushes()
        self._failure: ChezError | None = None
        self._news = asyncio.Event()
        self._wake = asyncio.Event()
        self._wake.set()
        self._welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answered = 0  # requests
        self._tasks = tuple(asyncio.create_task(work) for work in (self._read(), self._write(), self._listen()))

    # --- requests -----------------------------------------------------------------------

    async def open(self, claims: Sequence[Claim]) -> tuple[OpenedSpace, ...]:
        """Prove roles; each outcome has an empty `error` where the role is open now."""
        parts = [claims[start:start + MAX_CLAIMS] for start in range(0, len(claims), MAX_CLAIMS)]
        answers = [self._ask(self._session.open(part), SpacesOpened) for part in parts]
        return tuple([space for answer in answers for space in (await answer).spaces])

    async def create_space(
        self, admin: SigningKey, recovery_key: bytes, read_key: bytes, append_key: bytes, control_key: bytes,
        token: str = "", packets: Sequence[SealedPacket] = (),
    ) -> None:
        """Create a space (again is fine)."""
        keys = (recovery_key, read_key, append_key, control_key)
        await self._ask(self._session.create_space(admin, *keys, token, packets), Completed)

    async def rotate(self, handle: bytes, signer: SigningKey, rotation: Rotation) -> None:
        """Replace a space's admin key, credentials and packets (again is fine)."""
        await self._ask(self._session.rotate(handle, signer, rotation), Completed)

    async def get_packet(self, handle: bytes, tag: bytes) -> bytes:
        """The box under a tag of a space; needs no role. `RelayRefused` with reason "unknown" when there is none."""
        return (await self._ask(self._session.get_packet(handle, tag), PacketArrived)).box

    async def delete_space(self, handle: bytes, signer: SigningKey) -> None:
        """Delete a space with all that is in it (again is fine)."""
        await self._ask(self._session.delete_space(handle, signer), Completed)

    def append_soon(self, handle: bytes, role: Role, envelope: bytes) -> "asyncio.Future[AppendDone]":
        """Send an entry now, in the order of the calls; the future tells when it is durable."""
        return self._ask(self._session.append(handle, role, envelope), AppendDone)

    async def append(self, handle: bytes, role: Role, envelope: bytes) -> AppendDone:
        """Append one entry and wait until it is durable."""
        return await self.append_soon(handle, role, envelope)

    async def subscribe(
        self, handle: bytes, after: int, credit: int = DEFAULT_CREDIT, *, head: bytes | None = None
    ) -> None:
        """Follow a space; its first page, and all others, come through `arrivals`."""
        await self._ask(self._session.subscribe(handle, after, credit, head=head), EntriesArrived)

    def credit(self, handle: bytes, credit: int) -> None:
        """Allow more bytes on a subscription."""
        self._check()
        self._session.credit(handle, credit)
        self._wake.set()

    async def read(self, handle: bytes, after: int, limit: int = MAX_PAGE) -> EntriesArrived:
        """One page of entries after an offset."""
        return await self._ask(self._session.read(handle, after, limit), EntriesArrived)

    def broadcast(self, handle: bytes, message: bytes, to: bytes = b"") -> None:
        """Pass a sealed ephemeral message on to a space's other subscribers, or to one; `arrivals` has theirs."""
        self._check()
        self._session.broadcast(handle, message, to)
        self._wake.set()

    async def create_inbox(self, owner: SigningKey, write_public: bytes, ttl: int) -> None:
        """Create or renew an inbox for `ttl` seconds."""
        await self._ask(self._session.create_inbox(owner, write_public, ttl), Completed)

    async def put(self, inbox: bytes, item: bytes) -> None:
        """Put one item into an inbox and wait until it is durable."""
        await self._ask(self._session.put(inbox, item), Completed)

    async def watch(self, inbox: bytes, after: int = 0) -> None:
        """Follow an inbox; its items come through `arrivals`."""
        self._pushes.watched(inbox, after)
        await self._ask(self._session.watch(inbox, after), InboxArrived)

    async def ack(self, inbox: bytes, upto: int) -> None:
        """Delete an inbox's items numbered up to `upto`."""
        await self._ask(self._session.ack(inbox, upto), Completed)

    def put_chunk_soon(self, handle: bytes, data: bytes) -> "asyncio.Future[Completed]":
        """Send a piece of an attachment now; the future tells when it is durable."""
        return self._ask(self._session.put_chunk(handle, data), Completed)

    def get_chunk_soon(self, handle: bytes, chunk: bytes) -> "asyncio.Future[ChunkArrived]":
        """Ask for a piece of an attachment now; the future has it, checked against its id."""
        return self._ask(self._session.get_chunk(handle, chunk), ChunkArrived)

    async def has_chunks(self, handle: bytes, chunks: Sequence[bytes]) -> tuple[bool, ...]:
        """Which of up to 1024 chunks the relay holds."""
        return (await self._ask(self._session.has_chunks(handle, chunks), ChunksFound)).held

    async def usage(self, handle: bytes) -> UsageTold:
        """How much room a space takes at the relay."""
        return await self._ask(self._session.usage(handle), UsageTold)

    # --- what comes by itself ------------------------------------------------------------

    async def arrivals(self) -> AsyncIterator[Push]:
        """Pages of subscriptions and items of watches, in the order they came.

        Of more items than there is room for, those that were let go come again when the rest was taken.

        A `Refused` means that the relay gave up one of them, a `RolesEnded` that all roles at
        a space ended, because it was rotated or deleted. Ends by raising what broke
        the connection. One iteration at a time.
        """
        while True:
            while self._pushes:
                yield self._pushes.take()
            self._check()
            if (missed := self._pushes.missed()) is not None:
                await self.watch(*missed)
                continue
            self._news.clear()
            await self._news.wait()

    @property
    def carried(self) -> int:
        """How many bytes came and went on the connection: of messages not yet whole, too."""
        return self._socket.carried

    @property
    def unread(self) -> bool:
        """Whether something came that `arrivals` has still to give."""
        return bool(self._pushes)

    async def close(self) -> None:
        """Close the connection; what was not answered raises `RelayUnreachable`."""
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._fail(RelayUnreachable("the connection was closed"))
            await self._socket.close()

    # --- the tasks ------------------------------------------------------------------

    def _ask(self, ref: int, _kind: type[_E]) -> "asyncio.Future[_E]":
        self._check()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[ref] = future
        self._wake.set()
        return future

    def _check(self) -> None:
        if self._failure is not None:
            _raise(self._failure)

    async def _write(self) -> None:
        with suppress(OSError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                for data in self._session.data_to_send():
                    await self._socket.send(data)

    async def _read(self) -> None:
        try:
            async for message in self._socket.messages():
                for event in self._session.receive(message):
                    self._dispatch(event, len(message))
                if self._session.sends:  # what is proven behind the welcome
                    self._wake.set()
            self._fail(self._gone(self._socket.reason or "it went away"))
        except OSError as error:
            self._fail(self._gone(self._socket.reason or str(error)))
        except RelayMisbehaved as error:
            self._fail(error)
            await self._socket.close(1002)

    async def _listen(self) -> None:
        """End the connection of a relay that is there, was asked something, and does not answer."""
        silence, sleep, now = Silence(), Sleep(LISTEN), asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LISTEN)
            held = sleep.tick(now(), time.time())  # then what came meanwhile is still to be read
            if not held and silence.over(now(), asked=bool(self._answers), heard=self._answered,
                                         carried=self._socket.carried):
                break
        self._fail(RelayUnreachable(f"{self.relay} was asked something, and does not answer", "try again later"))
        await self._socket.close()

    def _gone(self, reason: str) -> ChezError:
        return RelayUnreachable(f"the connection to {self.relay} ended: {in_one_line(reason)}", "try again")

    def _dispatch(self, event: Event, size: int) -> None:
        match event:
            case Welcomed(incarnation):
                self.incarnation, self.met = incarnation, event.met
                if not self._welcomed.done():  # cancelled: whoever connects gave up in this very moment
                    self._welcomed.set_result(None)
            case Refused(ref=0):
                self._fail(_refusal(event))
            case Refused(ref=ref):
                self._answered += 1
                if (future := self._answers.pop(ref, None)) is None:
                    self._push(event, size)
                elif not future.done():
                    future.set_exception(_refusal(event))
            case RolesEnded() | EphemeralArrived():
                self._push(event, size)
            case EarlyArrived():
                pass  # whoever reads here waits for what is stored
            case EntriesArrived(ref=ref) | InboxArrived(ref=ref):
                self._answer(ref, event)
                if self._session.follows(ref):
                    self._push(event, size)
            case _:
                self._answer(event.ref, event)

    def _answer(self, ref: int, event: Event) -> None:
        future = self._answers.pop(ref, None)
        self._answered += future is not None
        if future is not None and not future.done():
            future.set_result(event)

    def _push(self, event: Push, size: int) -> None:
        self._pushes.put(event, size)
        self._news.set()

    def _fail(self, error: ChezError) -> None:
        # The first reason stays: a refusal is followed by the end of the connection.
        if self._failure is None:
            self._failure = error
        if not self._welcomed.done():
            self._welcomed.set_exception(self._failure)
            self._welcomed.exception()  # nobody may be waiting for it any more
        for future in self._answers.values():
            if not future.done():
                future.set_exception(self._failure)
                future.exception()
        self._answers.clear()
        self._news.set()


def _refusal(event: Refused) -> RelayRefused:
    hint = NO_TOKEN if event.code == "token" else "the same may succeed later" if event.retry else ""
    return RelayRefused(f"the relay refused ({event.code}): {event.message}", hint, reason=event.code)


def _raise(error: ChezError) -> NoReturn:
    # A fresh traceback each time: one failure is raised to many callers.
    raise error.with_traceback(None)
