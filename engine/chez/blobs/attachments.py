"""`Blobs`: the attachments of a home, as applications use them (`home.blobs`)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from chez.blobs import adding, collector, tables
from chez.blobs.adding import OnProgress, Source
from chez.blobs.files import FOLDER, PieceFiles
from chez.blobs.format import CHUNK, Content
from chez.blobs.pieces import Reader, reading
from chez.blobs.reports import BlobInfo, BlobStatus
from chez.blobs.saving import Target
from chez.blobs.shared import Shared
from chez.blobs.transfer import Sender
from chez.checked import checked
from chez.errors import BlobDamaged, ChezError, InvalidValue, NotAllowed, NotFound, RelayUnreachable
from chez.records.reference import DEFAULT_TYPE, Blob
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection, Database
from chez.sync.beside import EndedHere
from chez.sync.link import Link
from chez.sync.meeting import Near
from chez.sync.pinning import split
from chez.tasks import happened, stop

__all__ = ("Blobs", "blobs_beside", "blobs_of")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Seconds between attempts to send to a relay that refuses or is gone: doubling."""

LOOK_AGAIN: Final = 600.0
"""Seconds until it is looked whether anything is to be sent though nothing told of it: somebody may have released what
a record names again."""

EVENTS: Final = 16
"""Additions, fetches and evictions after which the collector makes a pass."""


@checked
class Blobs:
    """Files beside records: added as a stream, sealed, kept once, fetched when they are read.

        photo = await home.blobs.add("photo.jpg", media_type="image/jpeg")
        await notes.put({"title": "Summer", "photo": photo})
        async for piece in home.blobs.read(photo):
            ...

    Memory stays flat whatever the size. What no record holds is freed by and by.

    An attachment is of one space: its keys open it, its relay has it, and a reference to it is
    worth something in records of that space.
    """

    def __init__(self, shared: Shared, relays: Callable[[], Sequence[str | Near]],
                 first: "Blobs | None" = None) -> None:
        self._shared = shared
        self._database = shared.database
        self._relays = relays
        self._first = first
        self._recovery: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._events = 0
        self._used = asyncio.Event()  # set once there is, or was lately, an attachment
        self._links: set[Link] = set()
        self._unsent: set[Link] = set()  # whose relays may lack something
        self._problem = ""

    def __repr__(self) -> str:
        return f"<Blobs in {self._database.path.parent}>"

    # --- adding and reading ---------------------------------------------------------------

    async def add(self, source: Source, *, media_type: str = DEFAULT_TYPE, name: str | None = None,
                  progress: OnProgress | None = None) -> Blob:
        """Add a file (by its path), bytes, or an asynchronous stream of bytes; put the result into a record.

        `name` is the file's own where that is left out. A content that is here already is
        not kept twice. `progress(done, total)` in bytes, total 0 for a stream. Durable when
        it returns. Raises `NotFound`, `InvalidValue`, `NotAllowed` where this device may not
        write, `StorageFailed` (disk full): then, and when it is cancelled, nothing stays.
        """
        self._shared.permit()
        if name is None:
            name = Path(source).name if isinstance(source, Path | str) else ""
        _checked("0" * 64, 0, media_type, name)  # before anything is read
        await self._recovered()
        self._used.set()
        try:
            id, size = await adding.add(self._shared, source, progress)
        finally:
            self._event()
        self._unsent |= self._links
        return _checked(id, size, media_type, name)

    async def read(self, blob: Blob, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The content from byte `start` to before byte `end`, in parts of up to 512 KiB.

        What is not on this device is fetched from the relay and stays here. Each part is
        checked before it is given; read from first to last, the whole is checked too, at
        the end. Raises `BlobMissing` (try later: it goes on where it was), `BlobDamaged`,
        `InvalidValue`, `StorageFailed`, `RelayRefused`, `RelayMisbehaved`.
        """
        size = blob.size
        stop = size if end is None else min(end, size)
        if start < 0 or (end is not None and end < start):
            raise InvalidValue(f"bytes {start} to {end} are no part of an attachment",
                               "Begin at 0 or later, and end after that, or with None at its end.")
        async with reading(self._shared, blob, self._relays()) as reader:
            if (start, stop) == (0, size):
                async for part in self._whole(reader):
                    yield part
                return
            end_of = -(-stop // CHUNK)
            for position in range(start // CHUNK, end_of):
                data = await reader.chunk(position, end_of)
                at = position * CHUNK
                if part := data[max(start - at, 0) : stop - at]:
                    yield part

    async def _whole(self, reader: Reader) -> AsyncIterator[bytes]:
        content = Content()
        for position in range(reader.count):
            # Those of padding too: else what is fetched would tell the size.
            data = await reader.chunk(position, reader.count)
            if data:
                content.update(data)
                yield data
        if content.digest() != reader.manifest.content:
            raise BlobDamaged("an attachment's content is not what its manifest says",
                              "Whoever added it made it so: do not use it.")
        await reader.settle()
        if not (reader.whole or self._database.read_only):
            self._used.set()
            await self._database.write(lambda db: tables.seen_whole(db, reader.n, content.digest()))
            self._unsent |= self._links  # now: who looked before that found nothing, and does not look again
            self._event()

    async def save(self, blob: Blob, path: Path | str, *, overwrite: bool = False,
                   progress: OnProgress | None = None) -> None:
        """Write the content to a file, which appears only when all of it is there and checked.

        Raises `NotAllowed` when the file exists, and what `read` raises.
        """
        async with Target.open(Path(path), overwrite=overwrite) as target:
            done = 0
            async with aclosing(self.read(blob)) as parts:
                async for part in parts:
                    await target.write(part)
                    done += len(part)
                    if progress is not None:
                        progress(done, blob.size)

    # --- what is kept on this device ------------------------------------------------------

    async def pin(self, blob: Blob, *, progress: OnProgress | None = None) -> None:
        """Fetch all of an attachment and keep it on this device, whatever records hold. Raises as `read`."""
        done = 0
        async with aclosing(self.read(blob)) as parts:
            async for part in parts:
                done += len(part)
                if progress is not None:
                    progress(done, blob.size)
        await self._set_pinned(blob, True)

    async def unpin(self, blob: Blob) -> None:
        """Let an attachment be freed or given up again; what is here stays for now. Raises `NotFound`."""
        await self._set_pinned(blob, False)

    async def _set_pinned(self, blob: Blob, pinned: bool) -> None:
        def work(db: Connection) -> None:
            known = self._known(db, blob)
            db.execute("UPDATE blob SET pinned = ? WHERE n = ?", (pinned, known.n))

        await self._database.write(work)

    async def evict(self, blob: Blob) -> None:
        """Free an attachment's space on this device; it is fetched again when it is read.

        Raises `NotFound`, and `NotAllowed` for one that is pinned, being read, or only here.
        """
        urls = self._asked()

        def work(db: Connection) -> None:
            known = self._known(db, blob)
            if known.pinned:
                raise NotAllowed("this attachment is pinned", "Unpin it first.")
            if self._shared.is_read(known.id):
                raise NotAllowed("this attachment is being read or sent", "Try again later.")
            if not urls or not tables.at_relay(db, known.n, urls):  # it must be fetched again from one
                raise NotAllowed("this attachment is on no relay yet", "Sync first.")
            tables.unhold(db, known.n)

        await self._database.write(work)
        self._event()

    def _known(self, db: Connection, blob: Blob) -> tables.Known:
        known = tables.get(db, self._shared.space().n, blob.id)
        if known is None:
            raise NotFound("nothing of this attachment is on this device", "Read it first.")
        return known

    async def info(self, blob: Blob) -> BlobInfo:
        """How an attachment stands, without the network."""
        urls = self._asked()

        def work(db: Connection) -> BlobInfo:
            known = tables.get(db, self._shared.space().n, blob.id)
            if known is None:
                return BlobInfo(False, False, False)
            return BlobInfo(tables.complete(db, known.n), known.pinned, tables.at_relay(db, known.n, urls))

        return await self._database.read(work)

    async def status(self) -> BlobStatus:
        """How all attachments stand, without the network."""
        n, urls = self._shared.space().n, self._asked()
        known, complete, size, waiting = await self._database.read(lambda db: tables.totals(db, n, urls))
        return BlobStatus(known, complete, size, waiting, self._problem)

    def _asked(self) -> list[str]:
        """The relays that pieces are fetched from."""
        return [split(one)[0] for one in self._relays() if isinstance(one, str)]

    @property
    def problem(self) -> str:
        """Why sending stopped, empty if it did not."""
        return self._problem

    # --- freeing --------------------------------------------------------------------------

    async def collect(self) -> int:
        """Make one pass of the collector now; how many attachments were freed.

        One that no record holds is freed by the second pass after the one that finds it so.
        """
        await self._recovered()
        return await self._tidy()

    async def _tidy(self) -> int:
        shared = self._shared

        freed = await self._database.write(lambda db: collector.collect(db, shared.in_use(db)))
        await self._remove()
        return len(freed)

    async def _remove(self) -> None:
        files, left = self._shared.files, 1
        while left and (ids := await self._database.write(lambda db: collector.remove(db, files.remove))):
            await asyncio.to_thread(files.settle)
            left = await self._database.write(partial(collector.removed, ids=ids, there=files.has))

    def _event(self) -> None:
        """Something was added, fetched or given up: now and then that is an occasion for a pass."""
        self._events += 1
        if self._tidying is None or self._tidying.done():
            due = self._events >= EVENTS
            self._events = 0 if due else self._events
            self._tidying = asyncio.create_task(self._in_background(self._tidy if due else self._remove))

    async def _in_background(self, work: Callable[[], Awaitable[object]]) -> None:
        # What fails here is tried again at the next occasion, and nobody waits for it.
        with suppress(ChezError):
            await work()

    async def _recover(self) -> None:
        """After an addition was cut off, what it wrote belongs to no row: those files go."""
        shared = self._shared
        # Their rows go last: they tell whoever is killed in between, and comes again, to look.
        if await self._database.read(lambda db: collector.unfinished(db, shared.adding)):
            batches = shared.files.names()
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                known = await self._database.read(partial(tables.known_of, ids=batch))
                for id in set(batch) - known:
                    await asyncio.to_thread(shared.files.remove, id)
            await asyncio.to_thread(shared.files.settle)
            await self._database.write(lambda db: collector.drop_unfinished(db, shared.adding))
        await self._tidy()

    async def _recovered(self) -> None:
        """Wait until what an earlier process left is cleared up."""
        first = self._first or self
        if first._recovery is not None:
            await asyncio.shield(first._recovery)

    async def start(self) -> None:
        """Begin: what was left is cleared up, and a pass made, in the background. Called when the home opens."""
        n = self._shared.space().n
        here, anywhere = await self._database.read(lambda db: tables.anything(db, n))
        if here:
            self._used.set()
        if anywhere and self._first is None:
            await asyncio.to_thread(self._shared.files.clear_new)
            self._recovery = asyncio.create_task(self._in_background(self._recover))

    async def close(self) -> None:
        """End what runs in the background. Called when the home closes."""
        for task in (self._recovery, self._tidying):
            if task is not None:
                await stop(task)

    # --- sending --------------------------------------------------------------------------

    async def send(self, link: Link) -> int:
        """Send what the relay of a link does not hold; how many attachments that was.

        Raises `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`.
        """
        async with self._sending:
            try:
                sent = await self._send(link)
            except EndedHere:
                raise  # and no problem of the space's
            except ChezError as error:
                self._problem = str(error)
                raise
            self._problem = ""
            return sent

    async def _send(self, link: Link) -> int:
        while True:
            sender, address = Sender(self._shared, link.relay, link.address), link.address
            try:
                return await link.beside(self._shared.space().id, sender.send_waiting)
            except EndedHere:
                if link.address == address:
                    raise  # the relay is let go of, and not dialled anew

    async def sent(self, link: Link, timeout: float | None) -> None:
        """Send what waits, at the longest for so many seconds. Raises as `send`."""
        try:
            async with asyncio.timeout(timeout):
                await self.send(link)
        except TimeoutError:
            raise RelayUnreachable(f"the attachments were not all sent after {timeout:g} seconds",
                                   "What was sent stays there: the next time goes on.") from None

    def look_again(self) -> None:
        """Relays that are kept sent to may lack what they had: with the next turn of each it is looked what waits."""
        if self._used.is_set():
            self._unsent |= self._links

    @asynccontextmanager
    async def keep_sending(self, link: Link) -> AsyncIterator[None]:
        """Send in the background while the block lasts: what was added, once a record holds it."""
        self._links.add(link)
        if self._used.is_set():
            self._unsent.add(link)  # the relay may have lost what it had
        task = asyncio.create_task(self._listen(link))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._links.discard(link)
            self._unsent.discard(link)

    async def _listen(self, link: Link) -> None:
        # A space without attachments, as most are, is not woken by every turn of the link.
        await self._used.wait()
        turned = asyncio.Event()
        turned.set()

        async def listen() -> None:
            while True:
                await link.turn()
                turned.set()

        listener = asyncio.create_task(listen())
        try:
            await self._keep_sending(link, turned)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _keep_sending(self, link: Link, turned: asyncio.Event) -> None:
        pause, seen, n = FIRST_PAUSE, link.connections, self._shared.space().n
        while True:
            if not await happened(turned, LOOK_AGAIN):
                self._unsent.add(link)
            turned.clear()
            if link.connections != seen:  # connected anew: to another store, maybe
                seen = link.connections
                self._unsent.add(link)
            if link not in self._unsent or link.status not in ("syncing", "synced"):
                continue
            self._unsent.discard(link)  # first: there may be more while this is sent
            try:
                # Before it is looked what waits: a record may come to hold one in between.
                later = await self._database.read(lambda db: tables.unreferenced(db, n, link.relay))
                await self.send(link)
                if later:
                    self._unsent.add(link)
                pause = FIRST_PAUSE
            except EndedHere:
                self._unsent.add(link)  # with the link's next turn
            except ChezError:  # `status` tells; a relay that refuses is not asked all the time
                self._unsent.add(link)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                turned.set()
            except Exception as error:  # a defect of ours must not pass for a quiet relay
                self._problem = f"sending stopped on something unexpected ({type(error).__name__}); please report it"
                return


def _checked(id: str, size: int, media_type: str, name: str) -> Blob:
    try:
        return Blob(id=id, size=size, media_type=media_type, name=name)
    except (ValueError, TypeError, msgspec.ValidationError) as error:
        raise InvalidValue(str(error)) from None


def blobs_of(folder: Path, database: Database, space: Callable[[], SpaceKeys], entropy: Callable[[int], bytes],
             relays: Callable[[], Sequence[str | Near]]) -> Blobs:
    """Those of a home's private space; `space` gives it as it is now, `relays` where pieces are fetched, best first."""
    return Blobs(Shared(database, PieceFiles(folder / FOLDER), space, entropy), relays)


def blobs_beside(first: Blobs, space: Callable[[], SpaceKeys], relays: Callable[[], Sequence[str | Near]],
                 permit: Callable[[], None]) -> Blobs:
    """Those of another space of the same home: the files lie beside those of the first.

    `permit` raises `NotAllowed` where this device may add nothing.
    """
    return Blobs(first._shared.elsewhere(space, permit), relays, first)
