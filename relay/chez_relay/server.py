"""The websocket shell of the relay: connections, limits, fan-out, shutdown.

Logs count and never identify: no handle, address, key or content is written anywhere.
"""

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from websockets.asyncio.server import Server, ServerConnection, serve

from chez_relay.addresses import Account, Addresses
from chez_relay.buckets import Bucket, Buckets
from chez_relay.committer import Committer
from chez_relay.connection import GOING_AWAY, Connection
from chez_relay.counts import Counts
from chez_relay.door import Door
from chez_relay.errors import Code
from chez_relay.fanout import Growth
from chez_relay.kept import KeptSessions
from chez_relay.lan.meeting import Acquaintances, Meeting
from chez_relay.limits import Limits
from chez_relay.session import RelaySession
from chez_relay.storage import Expire, Expired, Result, SharedStorage, Storage
from chez_wire.limits import MAX_FRAME
from chez_wire.meeting import fresh

__all__ = ("RelayServer", "serving")

FEW: Final = 4
"""Followers of a space that news is written to at once; for more, tasks write while the next group is committed."""

_log = logging.getLogger("chez_relay")


class _May:
    """What one connection may still do, by its own limits and its address's."""

    def __init__(self, addresses: Addresses, account: Account, limits: Limits, clock: Callable[[], float],
                 puts: Buckets, puts_of_one: Buckets, counts: Counts) -> None:
        self._addresses = addresses
        self._account = account
        self._clock = clock
        self._packets = Bucket(limits.packets_burst, limits.packets_rate)
        self._puts, self._puts_of_one = puts, puts_of_one
        self._limits = limits
        self._counts = counts
        self._ephemeral: Bucket | None = None
        self._places = 0

    def look_up(self) -> bool:
        """Look up one more packet."""
        return self._packets.take(self._clock()) and self._addresses.take(self._account.packets)

    def make_space(self) -> bool:
        """Make one more space."""
        return self._addresses.take(self._account.spaces)

    def make_inbox(self) -> bool:
        """Make or renew one more inbox."""
        return self._addresses.take(self._account.inboxes)

    def prove(self, signatures: int) -> bool:
        """Have so many signatures looked at, of roles or of what brings its own."""
        return self._addresses.take(self._account.logins, signatures)

    def keep(self, spaces: int) -> bool:
        """Keep so many spaces for a later connection, or take up as many."""
        return self._addresses.take(self._account.kept, spaces)

    def put(self, inbox: bytes) -> bool:
        """Put one more item into an inbox."""
        name, now = inbox.hex(), self._clock()
        return self._puts_of_one.take(f"{name} {self._account.name}", now) and self._puts.take(name, now)

    def broadcast(self) -> bool:
        """Pass on one more ephemeral message."""
        if self._ephemeral is None:  # most connections send none
            self._ephemeral = Bucket(self._limits.ephemeral_burst, self._limits.ephemeral_rate)
        taken = self._ephemeral.take(self._clock()) and self._addresses.take(self._account.ephemeral)
        self._counts.ephemeral_dropped["rate"] += not taken
        return taken

    def open_place(self) -> bool:
        """Hold one more space or inbox open."""
        allowed = self._addresses.place(self._account)
        self._places += allowed
        return allowed

    def end(self) -> None:
        """Give back what ends with the connection."""
        self._account.places -= self._places


class RelayServer:
    """All connections of one relay process over one storage; see `serving`."""

    def __init__(
        self, storage: Storage, *, tokens: Collection[str], limits: Limits, random: Callable[[int], bytes],
        clock: Callable[[], float], trusted: Collection[str] = (), header: str = "",
        tls: ssl.SSLContext | None = None, known: Acquaintances | None = None,
    ) -> None:
        self._storage = storage
        self._known = known
        self._meetings: dict[Connection, Meeting] = {}
        self._shared = storage if isinstance(storage, SharedStorage) else None
        # One list for all connections: a token that is taken back is worth nothing on those that are open either.
        self._tokens = list(tokens)
        self._limits = limits
        self._random = random
        self._clock = clock
        self._kept = KeptSessions(clock, limits.kept_bytes, limits.kept_bytes_per_address, limits.kept_seconds)
        self._puts = Buckets(limits.puts_burst_per_inbox, limits.puts_rate_per_inbox)
        self._puts_of_one = Buckets(limits.puts_burst_per_inbox_and_address, limits.puts_rate_per_inbox_and_address)
        self.counts = Counts()
        self.door = Door(limits, clock, self.counts, trusted=trusted, header=header, tls=tls, near=known is not None)
        self._committer = Committer(storage, self._grown, counts=self.counts, clock=clock)
        self._connections: dict[Connection, asyncio.Task[None] | None] = {}
        self._followers: dict[bytes, dict[Connection, None]] = {}
        self.names: frozenset[str] = frozenset()
        self.port = 0
        self._draining = False

    @property
    def tokens(self) -> Sequence[str]:
        """What is accepted for making spaces, on connections that are open as well; empty: everybody may."""
        return tuple(self._tokens)

    @tokens.setter
    def tokens(self, accepted: Collection[str]) -> None:
        self._tokens[:] = accepted

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    @property
    def load(self) -> int:
        """Bytes that all connections together make the relay hold."""
        return self.door.addresses.held + self.door.addresses.left

    @property
    def followed(self) -> int:
        """Spaces and inboxes that connections follow now, each counted once."""
        return len(self._followers)

    @property
    def ready(self) -> bool:
        """Whether it takes connections and could write when it last wanted to."""
        return not self._draining and self.counts.writable

    def follow(self, name: bytes, connection: Connection) -> None:
        """Tell `connection` when the space or inbox grows, or its credentials are replaced."""
        followers = self._followers.setdefault(name, {})
        if self._shared is not None and not followers:
            self._shared.follow(name)
        followers[connection] = None

    def pass_on(self, name: bytes, data: bytes, to: bytes, sender: Connection | None) -> None:
        """Give a frame to all who follow a space, but for its sender, as far as they keep up; nothing is kept of it.

        With `to`, to the one who is called so. `sender` is None for what another relay passed on.
        """
        self.counts.ephemeral += 1
        if self._shared is not None and sender is not None:
            self.counts.ephemeral_dropped["cluster"] += not self._shared.pass_on(name, data, to)
        for connection in list(self._followers.get(name, ())):
            if connection is not sender:
                self.counts.ephemeral_dropped["slow"] += connection.hear(name, data, to)

    def early(self, handle: bytes, envelope: bytes, sender: Connection) -> None:
        """Send an entry that is about to be stored to those who follow the space, but for its sender, if they are few.

        They may show it while this disk works; that it is stored they hear as ever.
        """
        followers = self._followers.get(handle, {})
        if len(followers) <= FEW:
            for connection in list(followers):
                if connection is not sender:
                    connection.early(handle, envelope)

    def ended(self, why: Code) -> None:
        """Count a connection that is ended by what its client did."""
        self.counts.let_go[why] += 1

    def _grown(self, growth: Growth) -> None:
        for handle, credentials in growth.rotated.items():
            for connection in list(self._followers.get(handle, ())):
                connection.rotated(handle, credentials)
        for handle, page in growth.spaces.items():
            followers = list(self._followers.get(handle, ()))
            for connection in followers:
                connection.grew(handle, page, few=len(followers) <= FEW)
        for inbox in growth.inboxes:
            for connection in list(self._followers.get(inbox, ())):
                connection.inbox_grew(inbox)
        for handle, data, to in growth.ephemeral:
            self.pass_on(handle, data, to, None)

    async def handle(self, websocket: ServerConnection) -> None:
        """Serve one accepted websocket until it closes."""
        socket = self.door.guest(websocket)
        account = self.door.account(socket)
        kept = self._kept.at(account.name)
        may = _May(self.door.addresses, account, self._limits, self._clock, self._puts, self._puts_of_one,
                   self.counts)
        session = RelaySession(
            names=self._names_for(websocket), nonce=self._random(32), incarnation=self._storage.incarnation,
            tokens=self._tokens, may=may, kept=kept, known=self._known,
        )
        connection = Connection(socket, session, self._committer, self)
        if session.meeting is not None:
            self._meetings[connection] = proving = session.meeting
            socket.met = lambda: bool(proving.met)
        self._connections[connection] = asyncio.current_task()
        self.counts.connections += 1
        try:
            await connection.run(self._limits.hello)
        finally:
            del self._connections[connection]
            if (meeting := self._meetings.pop(connection, None)) is not None:
                meeting.known.left(meeting)
            may.end()
            kept.close()
            self._forget(connection)

    def _names_for(self, websocket: ServerConnection) -> frozenset[str]:
        """What a client may have dialled: on its own network a relay has the address that it was reached at."""
        return self.names if self._known is None else _names((), *_reached_at(websocket))

    def renew(self, secrets: Mapping[bytes, Collection[bytes]]) -> None:
        """Serve these spaces from now on, each with its meeting secrets: where known devices alone are served.

        Where there is a secret more, all that were not met about that space meet anew, for they may have it too; who
        proved what is served no more is let go. A secret that was replaced is worth something for a while to
        who is here already, who fetches the new keys meanwhile.
        """
        if self._known is None:
            raise TypeError("this relay serves everybody")
        more = fresh(self._known.secrets, secrets)
        self._known.secrets = dict(secrets)
        for connection, meeting in list(self._meetings.items()):
            if meeting.met and (more - meeting.met.keys() or meeting.gone):
                connection.close(GOING_AWAY, "meet anew")
        asyncio.get_running_loop().call_later(self._known.grace, self._drop_outdated)

    def _drop_outdated(self) -> None:
        for connection, meeting in list(self._meetings.items()):
            if meeting.outdated:
                connection.close(GOING_AWAY, "meet anew")

    def _forget(self, connection: Connection) -> None:
        for name in connection.followed:
            followers = self._followers.get(name)
            if followers is not None:
                followers.pop(connection, None)
                if not followers:
                    del self._followers[name]
                    if self._shared is not None:
                        self._shared.unfollow(name)

    async def commit(self) -> None:
        """Perform what connections ask for, in groups, for ever."""
        await self._committer.run()

    async def hear(self) -> None:
        """Tell connections what other relays over the same store did, for ever."""
        if self._shared is not None:
            await self._shared.hear(self._grown)

    async def part_when_renewed(self) -> None:
        """Have devices connect anew when the store is not what it was, so that they see it; for ever."""
        while self._shared is not None:
            await self._shared.renewed()
            _log.error("the store lost something, and has another incarnation: devices fill it")
            for connection in list(self._connections):
                connection.close(GOING_AWAY, "the store is another one")

    async def expire(self) -> None:
        """Delete what expired, now and then, and what deleted spaces held, at once but in slices; for ever."""
        while True:
            result = await self._expired()
            if not (isinstance(result, Expired) and result.more):
                self.door.addresses.forget_idle()
                self._kept.forget_old()
                for puts in (self._puts, self._puts_of_one):
                    puts.forget_full(self._clock())
                await asyncio.sleep(self._limits.expiry_interval)

    async def _expired(self) -> Result:
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        # Shutting down, the answer may come when nobody waits any more.
        self._committer.submit(Expire(), lambda result: None if done.done() else done.set_result(result))
        return await done

    async def drop_stalled(self) -> None:
        """Drop clients that take nothing of what waits for them, for ever."""
        while True:
            await asyncio.sleep(self._limits.stall)
            for connection in list(self._connections):
                self.counts.let_go["stalled"] += connection.drop_if_stalled()

    async def drop_slow_frames(self) -> None:
        """Drop clients that began a frame and don't end it, for ever."""
        while True:
            await asyncio.sleep(self._limits.frame / 8)
            self.door.drop_slow_frames()

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Answer what was asked, then close all connections (1001, going away): devices come back by themselves.

        Whoever does not take the answers within the limit is dropped; a storage that hangs is waited for as long.
        Once `hurry` is set, nobody is waited for.
        """
        self._draining = True
        _log.info("draining", extra={"numbers": {"connections": len(self._connections)}})
        waiting: list[asyncio.Future[object]] = [asyncio.ensure_future(self._part())]
        if hurry is not None:
            waiting.append(asyncio.ensure_future(hurry.wait()))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for connection in list(self._connections):
            connection.abort()
        self.door.drop_all()

    async def _part(self) -> None:
        tasks = [task for task in self._connections.values() if task is not None]
        self.door.drop_agreeing()
        for connection in list(self._connections):
            connection.stop_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain):  # Python 3.11's `wait_for` may lose what `hurry` says
                await self._committer.idle()
        for connection in list(self._connections):
            connection.close(GOING_AWAY, "the relay shuts down")
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.drain)


def _reached_at(websocket: ServerConnection) -> tuple[str, int]:
    """The address and port of this side, as they were dialled: a socket for both families maps those of IPv4."""
    host, port = websocket.local_address[:2]
    return host.removeprefix("::ffff:") if "." in host else host, port


def _names(given: Collection[str], host: str, port: int) -> frozenset[str]:
    """The names a relay answers to: those given, else the listen address and loopback's."""
    local = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    own = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return frozenset(name.lower() for name in given or {own, *local})


@asynccontextmanager
async def serving(
    storage: Storage, host: str, port: int, *, names: Collection[str] = (), tokens: Collection[str] = (),
    limits: Limits | None = None, random: Callable[[int], bytes] = secrets.token_bytes,
    clock: Callable[[], float] = time.monotonic, tls: ssl.SSLContext | None = None,
    trusted: Collection[str] = (), header: str = "X-Forwarded-For", known: Acquaintances | None = None,
    listening: socket.socket | None = None, hurry: asyncio.Event | None = None,
) -> AsyncIterator[RelayServer]:
    """Serve `storage` on host and port (0: any free one, see `.port`) while the context is open; with `tls`, wss://.

    With `known` it is a home's own relay on its network: for who proves to keep a space that it has, and for
    addresses of such a network alone. `listening` is a socket that is bound already; host and port name it then.

    Leaving it stops accepting, answers what was asked, closes the connections, without waiting for clients once
    `hurry` is set; the storage stays open. Raises OSError when the address can't be bound.
    """
    limits = limits or Limits()
    server = RelayServer(storage, tokens=tokens, limits=limits, random=random, clock=clock, trusted=trusted,
                         header=header, tls=tls, known=known)
    quiet = logging.getLogger("chez_relay.websocket")
    quiet.disabled = True  # websockets would log peers' addresses and headers
    async with serve(
        server.handle, *((host, port) if listening is None else ()), sock=listening, process_request=server.door.admit,
        create_connection=server.door.factory(), compression=None, max_size=MAX_FRAME,
        max_queue=4, ping_interval=limits.ping_interval, ping_timeout=limits.ping_timeout,
        open_timeout=limits.hello, close_timeout=limits.drain, server_header=None, logger=quiet,
    ) as listener:
        server.port = next(iter(listener.sockets)).getsockname()[1]
        server.names = _names(names, host, server.port)
        loops = (server.commit(), server.hear(), server.part_when_renewed(), server.expire(), server.drop_stalled(),
                 server.drop_slow_frames())
        tasks = [asyncio.create_task(loop) for loop in loops]
        _log.info("listening")
        try:
            yield server
        finally:
            await _accepted(listener)
            listener.close(close_connections=False)
            await server.drain(hurry)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _log.info("stopped")


async def _accepted(listener: Server) -> None:
    """Accept no more, and let who was accepted just now become a connection that is ended as the others are.

    asyncio drops one that it has not made by the time its server closes, and leaves its socket open.
    """
    loop = asyncio.get_running_loop()
    for listening in listener.sockets:
        loop.remove_reader(listening)
    await asyncio.sleep(0)
