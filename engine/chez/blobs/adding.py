"""A stream of content becomes a blob: sealed, stored and known, piece by piece.

    row without id -> pieces' files -> their rows, some at a time -> id and content in the row

Nothing of it is visible before the last step. An addition that is cut off, by an error
or by a crash, leaves a row without id, and what it wrote goes with that row.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from chez import crypto
from chez.blobs import tables
from chez.blobs.format import CHUNK, Piece, Sealer
from chez.blobs.shared import Shared
from chez.errors import ChezError, InvalidValue, NotFound
from chez.shown import NO_FILE
from chez.store.database import Connection
from chez.store.disk import disk_error

__all__ = ("OnProgress", "Source", "add")

Source = Path | str | bytes | AsyncIterable[bytes]
"""A file's path, bytes, or a stream of them."""

OnProgress = Callable[[int, int], None]
"""Told how many bytes are done, and of how many (0 when that is not known)."""

NOTED: Final = 32
"""Pieces whose rows are written together: 16 MiB of content."""

AT_ONCE: Final = 4
"""Pieces sealed in one hop to a thread: 2 MiB of content."""


async def add(shared: Shared, source: Source, progress: OnProgress | None) -> tuple[str, int]:
    """Add a content; the blob's id (of one that was here, if it has this content) and size.

    Raises `NotFound`, `InvalidValue`, `StorageFailed`, and what a stream raises; then
    nothing of it stays.
    """
    addition = _Addition(shared)
    try:
        await addition.begin()
        async for data, total in _parts(source):
            await addition.take(data)
            if progress is not None:
                progress(addition.size, total)
        return await addition.finish()
    finally:
        # Also when the caller was cancelled: what was begun is undone first.
        await asyncio.shield(addition.end())


class _Addition:
    """One addition under way."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._sealer = Sealer(shared.entropy(crypto.KEY_BYTES), shared.space().id)
        self._noted: list[tables.Piece] = []
        self._begun: asyncio.Future[int] | None = None
        self._ended: asyncio.Future[str] | None = None
        self._last = b""
        self._busy: asyncio.Future[bool] | None = None

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._sealer.size

    @property
    def _n(self) -> int:
        """Its row."""
        assert self._begun is not None  # begin() was called
        return self._begun.result()

    async def begin(self) -> None:
        """Say in the store that an addition is under way."""
        shared = self._shared

        def work(db: Connection) -> int:
            n = tables.begin(db, shared.space().n)
            shared.adding.add(n)
            return n

        self._begun = shared.database.submit(work)
        await asyncio.shield(self._begun)  # of a caller that is cancelled it is ended all the same

    async def take(self, data: bytes) -> None:
        """Seal and store the next part."""
        for at in range(0, len(data), AT_ONCE * CHUNK):
            await self._store(self._sealer.feed(memoryview(data)[at : at + AT_ONCE * CHUNK]))

    async def finish(self) -> tuple[str, int]:
        """Seal what is left, and make the blob known."""
        shared, sealer = self._shared, self._sealer
        await self._store(sealer.finish(shared.space().epoch, shared.entropy(crypto.NONCE_BYTES)))
        await self._note()

        def work(db: Connection) -> str:
            n, id = tables.finish(db, self._n, self._last.hex(), sealer.size, sealer.content,
                                 shared.files.has)
            shared.fresh.add(id)
            db.execute("UPDATE blob SET idle = NULL WHERE n = ?", (n,))
            # Its row may be gone, for that of a blob with this content, and the number be
            # another addition's before this one ends.
            shared.adding.discard(self._n)
            return id

        self._ended = shared.database.submit(work)
        return await asyncio.shield(self._ended), sealer.size

    async def end(self) -> None:
        """Undo what was not finished."""
        shared = self._shared
        if self._busy is not None:  # a caller that was cancelled did not wait for the thread
            await asyncio.wait((self._busy,))
        begun, ended = self._begun, self._ended
        if steps := [step for step in (begun, ended) if step is not None]:
            await asyncio.wait(steps)
        # What their commits undid is not there: the row's number may be another addition's by now.
        if begun is None or begun.exception() is not None or (ended is not None and ended.exception() is None):
            return

        def remove() -> None:
            for _, id, _ in self._noted:
                shared.files.remove(id)

        def work(db: Connection) -> None:
            shared.adding.discard(self._n)
            shared.fresh.discard(self._last.hex())
            if db.execute("SELECT 1 FROM blob WHERE n = ? AND id IS NULL", (self._n,)).fetchone():
                tables.abandon(db, self._n)
                db.executemany("INSERT OR IGNORE INTO doomed (id) VALUES (?)", [(id,) for _, id, _ in self._noted])

        # A store that refuses even this is cleaned up when it is opened again.
        with suppress(ChezError):
            await asyncio.to_thread(remove)  # first, for what fills the disk may keep the store from writing
            await shared.database.write(work)

    async def _store(self, pieces: Iterator[Piece]) -> None:
        while await self._in_thread(partial(self._write, pieces)):
            if len(self._noted) >= NOTED:
                await self._note()

    def _write(self, pieces: Iterator[Piece]) -> bool:
        """Seal and store some pieces; whether there were any."""
        before = self._last
        for piece in islice(pieces, AT_ONCE):
            # First, so that a file that is there when the next one fails is undone too.
            self._noted.append((piece.position, piece.id, len(piece.data)))
            self._shared.files.write(piece.id, piece.data)
            self._last = piece.id
        return self._last is not before

    async def _in_thread(self, work: Callable[[], bool]) -> bool:
        self._busy = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.wait((self._busy,))
        return self._busy.result()

    async def _note(self) -> None:
        """Say which files are there, once they are for good."""
        await asyncio.to_thread(self._shared.files.settle)
        n, noted = self._n, self._noted
        await self._shared.database.write(lambda db: tables.add_pieces(db, n, noted))
        self._noted = []


async def _parts(source: Source) -> AsyncIterator[tuple[bytes, int]]:
    """The content in parts, each with the whole size, 0 where that is not known."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield bytes(source), len(source)
    elif isinstance(source, Path | str):
        async for part in _file(Path(source)):
            yield part
    elif isinstance(source, AsyncIterable):
        async for data in source:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise InvalidValue(f"a stream of an attachment gives bytes, not {type(data).__name__}",
                                   "Give an asynchronous iterator of bytes, or bytes, or a path.")
            yield bytes(data), 0
    else:
        raise InvalidValue(f"{type(source).__name__} can't be attached", "Give a path, bytes, or a stream of bytes.")


async def _file(path: Path) -> AsyncIterator[tuple[bytes, int]]:
    try:
        file = await asyncio.to_thread(_open, path)
        try:
            total = await asyncio.to_thread(lambda: path.stat().st_size)
            while data := await asyncio.to_thread(file.read, AT_ONCE * CHUNK):
                yield data, total
        finally:
            file.close()
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as error:
        raise disk_error(error, f"{path} can't be read") from None


def _open(path: Path) -> BinaryIO:
    # To open a named pipe waits for its writer otherwise; of a regular file it changes nothing.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise InvalidValue(f"{path} is a folder", "Attach its files, or an archive of it.")
        if not stat.S_ISREG(kind):
            # A device may never end, and a pipe never begin.
            raise InvalidValue(f"{path} is not a file but a device or a pipe", "Save what it gives to a file first.")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
