"""Loads a relay, or a bare websocket server, from one process: `python -m benchmarks.load '{"do": …}'`.

    append   so many clients, each in a space of its own, append entries one a frame, a fixed window unanswered;
             with `rate`, so many in all each second instead, how long each took from when it was due, and how late
             this process itself was to send it
    fanout   one client appends, all others follow the space
    lone     so many clients, each in a space of its own, append one entry after the other; with `followers`, so many
             others follow each space, at another relay if `port_followers` names one
    login    clients, each with `spaces` spaces that are there already, come all at once, prove two roles at each and
             follow them
    idle     connections that have logged in to their spaces and follow them stand still until standard input ends
    flood    as append, until standard input ends, which has to be before the last is sent

Without `relay` the server is a bare one: the messages have the same sizes. Prints one JSON line; what was appended
is asked back from the relay before it counts. `watched` are processes whose processor time is told with it.
"""

import asyncio
import gc
import hashlib
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Iterable
from typing import Final, TypeVar

import msgspec

from benchmarks.lines import Line, Listener, Windowed, framed, paced
from benchmarks.processor import processor
from chez.crypto import SigningKey
from chez.sync.events import SpacesOpened
from chez.sync.session import ClientSession
from chez_wire.envelope import Header
from chez_wire.frames import Append, encode
from chez_wire.limits import MAX_CREDIT
from chez_wire.login import Role, handle_of

__all__ = ("Load", "envelope", "main")

ENTRY_BYTES: Final = 300
APPENDED: Final = 36
TOGETHER: Final = 32
"""Clients that get ready at a time."""

L = TypeVar("L", bound=Line)


class Load(msgspec.Struct):
    """What to do: `clients` connections, `each` messages a client, `window` of them unanswered or `rate` a second.

    They come after `first`, which an earlier load put into the same spaces; another load's spaces are others from
    `space` on, and its addresses others from 127.0.0.`address` on.
    """

    do: str
    port: int
    clients: int
    each: int = 0
    first: int = 0
    window: int = 64
    rate: float = 0
    relay: bool = True
    size: int = ENTRY_BYTES
    followers: int = 0
    port_followers: int = 0
    spaces: int = 1
    space: int = 0
    address: int = 2
    tls: bool = False
    watched: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"ws://127.0.0.1:{self.port}"


def envelope(handle: bytes, number: int, size: int = ENTRY_BYTES) -> bytes:
    """Bytes with the shape of a sealed entry, another one for each number."""
    header = Header(handle, bytes(32), bytes(32), number.to_bytes(24, "big")).encode()
    return header + hashlib.shake_128(number.to_bytes(8, "big")).digest(size - len(header))


def _unchecked() -> ssl.SSLContext:
    """For a relay on loopback whose certificate was made for this run."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Keys:
    """The credentials of one space, which its number gives."""

    def __init__(self, space: int) -> None:
        self.admin, self.recovery, *others = [
            SigningKey.from_seed(hashlib.blake2b(f"load {space} {name}".encode(), digest_size=32).digest())
            for name in ("admin", "recovery", "read", "append", "control")]
        self.roles = dict(zip((Role.READ, Role.APPEND, Role.CONTROL), others, strict=True))
        self.handle = handle_of(self.admin.public)


class Login:
    """A client's session over a line, as far as logging in."""

    def __init__(self, line: Line, relay: str, *spaces: int) -> None:
        self._line = line
        self._spaces = [Keys(space) for space in spaces]
        self.keys = self._spaces[0]
        self._session = ClientSession(relay, os.urandom(32))

    async def open(self, *roles: Role, create: bool) -> int:
        """Open roles at the spaces, made first if asked; returns the last offset of the first."""
        session = self._session
        if create:
            for keys in self._spaces:
                session.create_space(keys.admin, keys.recovery.public, *(key.public for key in keys.roles.values()))
        session.open([(keys.handle, role, keys.roles[role]) for keys in self._spaces for role in roles])
        while True:
            self._flush()
            for event in session.receive(await self._line.next()):
                if isinstance(event, SpacesOpened):
                    assert not any(space.error for space in event.spaces), event
                    return event.spaces[0].offset

    async def follow(self) -> None:
        """Subscribe to the spaces from their beginning, with all the credit there is."""
        for keys in self._spaces:
            self._session.subscribe(keys.handle, 0, MAX_CREDIT)
        self._flush()
        for _ in self._spaces:
            self._session.receive(await self._line.next())

    def _flush(self) -> None:
        for data in self._session.data_to_send():
            self._line.transport.write(framed(data))


async def dial(kind: type[L], load: Load, number: int, port: int = 0) -> L:
    """A line to the server. Each thousand connections come from another address: a relay counts them by it."""
    host = f"127.0.0.{load.address + number // 900}"
    _, line = await asyncio.get_running_loop().create_connection(
        lambda: kind(load.url), "127.0.0.1", port or load.port, local_addr=(host, 0),
        ssl=_unchecked() if load.tls else None)
    await line.opened()
    return line


async def together(work: Iterable[Awaitable[None]]) -> None:
    """All of it, some at a time: a relay over a cluster answers each after some milliseconds."""
    room = asyncio.Semaphore(TOGETHER)

    async def one(what: Awaitable[None]) -> None:
        async with room:
            await what

    async with asyncio.TaskGroup() as tasks:
        for what in work:
            tasks.create_task(one(what))


def appends(handle: bytes, first: int, count: int, size: int = ENTRY_BYTES) -> list[bytes]:
    """The frames that append so many entries after the first so many."""
    return [framed(encode(Append(2**31 + n, handle, Role.APPEND, envelope(handle, first + n, size))))
            for n in range(count)]


async def appending(load: Load) -> list[tuple[Windowed, Login | None]]:
    """Clients that are about to append, and what each logged in by."""
    lines = [await dial(Windowed, load, n) for n in range(load.clients)]
    name = f"127.0.0.1:{load.port}"
    logins = [Login(line, name, load.space + n) if load.relay else None for n, line in enumerate(lines)]
    for login in filter(None, logins):
        await login.open(Role.APPEND, create=True)
    for line, login in zip(lines, logins, strict=True):
        handle = login.keys.handle if login else bytes(32)
        line.frames, line.kind = appends(handle, load.first, load.each), APPENDED if login else None
        line.begin()
    gc.collect()
    gc.disable()  # it makes no cycles worth the while, and looking for some stops all clients at once
    return list(zip(lines, logins, strict=True))


async def append(load: Load) -> dict[str, object]:
    """See the module."""
    clients = await appending(load)
    lines = [line for line, _ in clients]
    began = time.perf_counter()
    if load.rate:
        await paced(lines, load.rate, began)
    else:
        for line in lines:
            line.send(load.window)
    await asyncio.gather(*(line.done for line in lines))
    seconds = time.perf_counter() - began
    for line, login in clients:
        line.frames = ()
        if login:
            held = await login.open(Role.READ, create=False)
            assert held == load.first + load.each, f"the relay holds {held} of {load.first} and {load.each}"
    return {"seconds": seconds, "taken": [one for line in lines for one in line.taken],
            "late": [one for line in lines for one in line.late]}


async def flood(load: Load) -> dict[str, object]:
    """See the module."""
    lines = [line for line, _ in await appending(load)]
    for line in lines:
        line.send(load.window)
    print("{}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    assert all(line.sent < load.each for line in lines), "there was not enough of it"
    answered = [line.answered for line in lines]
    # One that was let go just now is not heard of before something else would have come.
    while any(line.answered == before and not line.done.done()  # noqa: ASYNC110 (nobody is told)
              for line, before in zip(lines, answered, strict=True)):
        await asyncio.sleep(0.001)
    assert not any(line.done.done() for line in lines), "a part of it was let go, or refused"
    return {}


async def fanout(load: Load) -> dict[str, object]:
    """See the module."""
    name = f"127.0.0.1:{load.port}"
    writer = await dial(Windowed, load, 0)
    login = Login(writer, name, 0)
    handle = login.keys.handle
    if load.relay:
        await login.open(Role.APPEND, create=True)
    listeners = [await dial(Listener, load, n) for n in range(load.clients)]
    for listener in listeners:
        if load.relay:
            reader = Login(listener, name, 0)
            await reader.open(Role.READ, create=False)
            await reader.follow()
        listener.listen(load.each, handle if load.relay else b"")
    writer.frames, writer.kind = appends(handle, 0, load.each), APPENDED if load.relay else None
    writer.begin()
    began = time.perf_counter()
    writer.send(load.window)
    ends = await asyncio.gather(*(listener.done for listener in listeners))
    return {"seconds": max(ends) - began, "taken": []}


async def lone(load: Load) -> dict[str, object]:
    """See the module."""
    lines: list[Windowed] = []
    listeners: list[Listener] = []
    beside = load.port_followers or load.port

    async def ready(number: int) -> None:
        line = await dial(Windowed, load, number)
        handle = bytes(32)
        if load.relay:
            login = Login(line, f"127.0.0.1:{load.port}", number)
            await login.open(Role.APPEND, create=True)
            handle = login.keys.handle
        for other in range(load.followers):
            listener = await dial(Listener, load, load.clients + load.followers * number + other, beside)
            reader = Login(listener, f"127.0.0.1:{beside}", number)
            await reader.open(Role.READ, create=False)
            await reader.follow()
            listener.listen(load.each, handle)
            listeners.append(listener)
        line.frames, line.kind = appends(handle, 0, load.each, load.size), APPENDED if load.relay else None
        line.begin()
        lines.append(line)

    await together(map(ready, range(load.clients)))
    gc.collect()
    gc.disable()
    before, began = [*map(processor, load.watched)], time.perf_counter()
    for line in lines:
        line.send(1)
    await asyncio.gather(*(line.done for line in lines), *(listener.done for listener in listeners))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "busy": _since(load, before)}


def _since(load: Load, before: list[float]) -> list[float]:
    return [processor(pid) - then for pid, then in zip(load.watched, before, strict=True)]


async def login(load: Load) -> dict[str, object]:
    """See the module."""
    name = f"127.0.0.1:{load.port}"

    async def come(number: int, create: bool) -> None:
        line = await dial(Line, load, number)
        one = Login(line, name, *range(number * load.spaces, (number + 1) * load.spaces))
        await one.open(Role.READ, Role.APPEND, create=create)
        await one.follow()
        line.transport.close()

    await together(come(number, True) for number in range(load.clients))
    before, began = [*map(processor, load.watched)], time.perf_counter()
    await together(come(number, False) for number in range(load.clients))
    return {"seconds": time.perf_counter() - began, "busy": _since(load, before)}


async def idle(load: Load) -> dict[str, object]:
    """See the module."""
    lines = []

    async def stand(number: int) -> None:
        line = await dial(Line, load, number)
        lines.append(line)
        if load.relay:
            first = load.first + number * load.spaces
            login = Login(line, f"127.0.0.1:{load.port}", *range(first, first + load.spaces))
            await login.open(Role.READ, Role.APPEND, create=True)
            await login.follow()

    await together(map(stand, range(load.clients)))
    print("{}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    return {}


def main() -> None:
    """Do what the first argument says."""
    load = msgspec.json.decode(sys.argv[1], type=Load)
    kinds = {"append": append, "fanout": fanout, "lone": lone, "login": login, "idle": idle, "flood": flood}
    print(msgspec.json.encode(asyncio.run(kinds[load.do](load))).decode())


if __name__ == "__main__":
    main()
