"""Connections to a relay that carry chunks: opened when there is something to move.

They are apart from the connection that keeps entries in step, so that a film does not
delay a note. What is fetched is checked against its id by the session; what is sent is
ciphertext already.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from chez.blobs import tables
from chez.blobs.files import DamagedPiece, UnreadablePiece
from chez.blobs.format import MANIFEST, chunk_count, page_count
from chez.blobs.shared import Shared
from chez.errors import BlobMissing, ChezError, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.spaces.space import SpaceKeys
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import ChunkArrived, Completed
from chez.sync.meeting import Near
from chez_wire.limits import MAX_CHUNK_IDS
from chez_wire.login import Role

__all__ = ("AHEAD", "Fetcher", "Sender", "open_roles")

AHEAD: Final = 4
"""Chunks under way at a time: 2 MiB, enough to fill a round trip and no more memory than that."""

NOTED: Final = 32
"""Chunks after whose acknowledgement the store notes how far a blob was sent."""


class Fetcher:
    """Gets pieces of one space from the first of its relays that has them, if there is one; `close` it at the end.

    `begin` returns at once, so that several are under way.
    """

    def __init__(self, urls: Sequence[str | Near], space: SpaceKeys) -> None:
        self._urls = list(urls)
        self._space = space
        self._stack = AsyncExitStack()
        self._relay: RelayConnection | None = None
        self._worst: ChezError | None = None
        """What a relay did that none should, when others were left to ask."""
        self._opening = asyncio.Lock()
        self._tasks: dict[bytes, asyncio.Task[bytes]] = {}

    def begin(self, id: bytes) -> None:
        """Ask for a piece that will be wanted; does not wait."""
        if id not in self._tasks:
            self._tasks[id] = asyncio.create_task(self._get(id))

    async def get(self, id: bytes) -> bytes:
        """A piece's bytes.

        Raises `BlobMissing` when no relay is set, none answers, or it does not have the
        piece; `RelayRefused` and `RelayMisbehaved` as they come.
        """
        self.begin(id)
        task = self._tasks[id]
        try:
            return await asyncio.shield(task)
        finally:
            if task.done():
                del self._tasks[id]

    async def close(self) -> None:
        """Give up what is under way, and hang up."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._stack.aclose()

    async def _get(self, id: bytes) -> bytes:
        again = True
        while True:
            relay = await self._connected()
            try:
                arrived: ChunkArrived = await relay.get_chunk_soon(self._space.handle, id)
                return arrived.data
            except RelayUnreachable as error:
                if again:
                    await self._hang_up(relay)
                elif not await self._go_on(relay, error):
                    raise self._failed(error) from error
                again = False
            except (RelayRefused, RelayMisbehaved) as error:
                if not await self._go_on(relay, error):
                    raise self._failed(error) from error

    async def _connected(self) -> RelayConnection:
        async with self._opening:
            while self._relay is None:
                if not self._urls:
                    raise _missing("no relay is set", "Set one with `chez relay URL`.")
                try:
                    relay = await self._stack.enter_async_context(connect(self._urls[0]))
                    if relay.met is None:  # else the space was proven, which is enough there
                        await open_roles(relay, self._space, Role.READ)
                except ChezError as error:
                    if not self._next(error):
                        raise self._failed(error) from error
                    await self._disconnect()
                    continue
                self._relay = relay
            return self._relay

    async def _go_on(self, relay: RelayConnection, error: ChezError) -> bool:
        """Ask another relay than this one from now on; False where there is none.

        Several pieces are asked for at once: after the first that failed, the others are asked for where that one is.
        """
        async with self._opening:
            if self._relay is relay:
                if not self._next(error):
                    return False
                await self._disconnect()
            return True

    def _next(self, error: ChezError) -> bool:
        """Let go of the relay that is asked, if there is another one."""
        if len(self._urls) < 2:
            return False
        del self._urls[0]
        if self._worst is None and not _is_missing(error):
            self._worst = error
        return True

    async def _hang_up(self, relay: RelayConnection) -> None:
        """Connect to the same relay anew for what is asked next."""
        async with self._opening:
            if self._relay is relay:
                await self._disconnect()

    async def _disconnect(self) -> None:
        self._relay = None
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    def _failed(self, error: ChezError) -> ChezError:
        """What to raise when no relay is left to ask: what one of them did that none should, or else what it lacks."""
        if not _is_missing(error):
            return error
        if self._worst is not None:
            return self._worst
        if isinstance(error, BlobMissing):
            return error
        if isinstance(error, RelayUnreachable):
            return _missing(f"the relay can't be reached ({error.message})", "Try again later.")
        return _missing("the relay does not have it yet",
                        "The device that added it sends it when it is in step with the relay.")


def _is_missing(error: ChezError) -> bool:
    """Whether a relay just does not have a piece, or can't be reached."""
    return isinstance(error, RelayUnreachable | BlobMissing) or (
        isinstance(error, RelayRefused) and error.reason == "missing")


def _missing(why: str, hint: str) -> BlobMissing:
    return BlobMissing(f"a piece of the attachment is not on this device, and {why}", hint)


async def open_roles(relay: RelayConnection, space: SpaceKeys, *roles: Role) -> None:
    """Open a space for fetching or sending chunks. Raises `BlobMissing`, `RelayRefused`."""
    keys = {Role.READ: space.epoch.read, Role.APPEND: space.epoch.append}
    claims = [(space.handle, role, key) for role in roles if (key := keys[role]) is not None]
    for outcome in await relay.open(claims):
        if outcome.error == "unknown":
            raise _missing("the relay does not know this space yet", "Sync first.")
        if outcome.error:
            raise RelayRefused(f"the relay does not open this space ({outcome.error})",
                               "It may hold another epoch's credentials.", reason=outcome.error)


class Sender:
    """Sends what a relay does not hold; `relay` is its row in the store."""

    def __init__(self, shared: Shared, relay: int, url: str) -> None:
        self._shared = shared
        self._relay = relay
        self._url = url

    async def send_waiting(self) -> int:
        """Send every blob that waits, and return how many; no connection is made for none.

        What was acknowledged is noted as it goes, so it resumes there. Raises
        `RelayUnreachable`, `RelayRefused` (code `quota` for a full space), `RelayMisbehaved`.
        """
        skip: set[int] = set()
        first = await self._next(skip)
        if first is None:
            return 0
        sent = 0
        async with connect(self._url) as relay:
            await open_roles(relay, self._shared.space(), Role.READ, Role.APPEND)
            waiting: tables.Waiting | None = first
            while waiting is not None:
                with self._shared.reading(waiting.id):
                    if await self._send(relay, waiting):
                        sent += 1
                    else:
                        skip.add(waiting.n)
                waiting = await self._next(skip)
        return sent

    async def _next(self, skip: set[int]) -> tables.Waiting | None:
        n = self._shared.space().n
        return await self._shared.database.read(lambda db: tables.waiting(db, n, self._relay, skip))

    async def _send(self, relay: RelayConnection, blob: tables.Waiting) -> bool:
        """Send a blob, manifest last; False when a piece turns out not to be here, or not ours to send."""
        count = chunk_count(blob.size)
        for first in range(blob.sent, count, MAX_CHUNK_IDS):
            last = min(first + MAX_CHUNK_IDS, count) - 1
            if not await self._send_rows(relay, blob.n, await self._rows(blob.n, first, last)):
                return False
        pages = page_count(blob.size)
        for first in range(0, pages + 1, MAX_CHUNK_IDS):
            last = min(first + MAX_CHUNK_IDS, pages + 1) - 1
            rows = await self._rows(blob.n, MANIFEST - pages + first, MANIFEST - pages + last)
            if not await self._send_rows(relay, blob.n, rows):
                return False
        await self._shared.database.write(lambda db: tables.sent(db, blob.n, self._relay, None))
        return True

    async def _rows(self, n: int, first: int, last: int) -> list[tables.Row]:
        return await self._shared.database.read(lambda db: tables.rows(db, n, first, last))

    async def _send_rows(self, relay: RelayConnection, n: int, rows: Sequence[tables.Row]) -> bool:
        handle = self._shared.space().handle
        there = await relay.has_chunks(handle, [row.id for row in rows])
        under_way: list[tuple[int, asyncio.Future[Completed]]] = []
        done = 0
        try:
            for row, has in zip(rows, there, strict=True):
                if has:
                    continue
                may = self._shared.space().epoch.append is not None
                data = await self._read(row) if may else None
                if data is None:
                    return False
                under_way.append((row.position, relay.put_chunk_soon(handle, data)))
                if len(under_way) >= AHEAD:
                    position, future = under_way.pop(0)
                    await future
                    done += 1
                    if done % NOTED == 0 and position >= 0:
                        await self._note(n, position + 1)
            for _, future in under_way:
                await future
        finally:
            for _, future in under_way:
                future.cancel()
            await asyncio.gather(*(future for _, future in under_way), return_exceptions=True)
        if rows[-1].position >= 0:
            await self._note(n, rows[-1].position + 1)
        return True

    async def _note(self, n: int, upto: int) -> None:
        await self._shared.database.write(lambda db: tables.sent(db, n, self._relay, upto))

    async def _read(self, row: tables.Row) -> bytes | None:
        try:
            data = await asyncio.to_thread(self._shared.files.read, row.id)
        except UnreadablePiece:
            return None  # it still waits: the next sync asks the disk again
        except DamagedPiece:
            data = None
        if data is None:
            await self._shared.database.write(lambda db: tables.forget_piece(db, row.id))
        return data
