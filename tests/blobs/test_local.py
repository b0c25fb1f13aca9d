"""Attachments on one device, without a network: added, read, saved, kept once, damaged, freed."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import chez
from chez.blobs import saving, tables
from chez.blobs.adding import _Addition
from chez.blobs.reports import BlobInfo
from chez.blobs.transfer import Fetcher
from chez.crypto import Kdf
from chez.errors import BlobDamaged, BlobMissing, InvalidValue, NotAllowed, NotFound, StorageFailed
from chez.records.reference import Blob
from chez.store.database import Connection
from tests.blobs.conftest import PASSPHRASE
from tests.blobs.support import CHUNK, content, drop, files, read, settled, stream


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 12_345])
async def test_what_was_added_is_read_and_saved(home: chez.Home, tmp_path: Path, size: int) -> None:
    """A file of any size comes back whole as a stream and as a file, and any range of it too."""
    data = content(size)
    (tmp_path / "in.bin").write_bytes(data)
    told: list[tuple[int, int]] = []
    blob = await home.blobs.add(tmp_path / "in.bin", progress=lambda done, total: told.append((done, total)))
    assert (blob.size, blob.name, blob.media_type) == (size, "in.bin", "application/octet-stream")
    assert await read(home, blob) == data
    await home.blobs.save(blob, tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == data
    assert told[-1:] == ([(size, size)] if size else [])
    for start, end in ((0, 1), (size // 3, size), (CHUNK - 1, CHUNK + 1), (size, None), (size + 5, None),
                       (1, size * 2 + 1)):
        assert await read(home, blob, start, end) == data[start:end]
    for start, end in ((-1, None), (5, 4)):
        with pytest.raises(InvalidValue):
            await read(home, blob, start, end)


async def test_it_survives_closing(path: Path) -> None:
    """An attachment in a record is there when the home is opened again, its form with it."""
    data = content(CHUNK + 5)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        photo = await home.blobs.add(stream(data[:100], b"", data[100:]), media_type="image/png", name="x.png")
        await home.collection("notes").put({"photo": photo}, id="a")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        kept = (await home.collection("notes").get("a")).value["photo"]
        assert kept == photo and (kept.media_type, kept.name, kept.size) == ("image/png", "x.png", CHUNK + 5)
        assert await read(home, kept) == data
        status = await home.blobs.status()
        assert (status.known, status.complete, status.waiting) == (1, 1, 1)
        assert (await home.status()).attachments == 1


async def test_one_content_is_kept_once(home: chez.Home, path: Path) -> None:
    """The same content again, as a file, bytes or stream, under any name, takes no more room."""
    data = content(2 * CHUNK)
    first = await home.blobs.add(data, name="a")
    before = files(path)
    again = [await home.blobs.add(data, name="b", media_type="text/plain"), await home.blobs.add(stream(data))]
    both = await asyncio.gather(*(home.blobs.add(content(CHUNK, 7)) for _ in range(3)))
    await settled(home)
    await home.blobs.collect()
    assert {blob.id for blob in again} == {first.id} and again[0].name == "b"
    assert len({blob.id for blob in both}) == 1
    assert len(files(path) - before) == 2 and before <= files(path)


async def test_equal_contents_of_two_homes_look_different(home: chez.Home, tmp_path: Path) -> None:
    """Nobody can tell from the sealed pieces that two homes, or one after a removal, hold one content."""
    one = await home.blobs.add(b"the same")
    pieces = {file.read_bytes() for file in files(home.path)}
    await home.blobs.collect()
    await chez.create(tmp_path / "other", passphrase="b", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "other", passphrase="b") as other:
        two = await other.blobs.add(b"the same")
        assert one.id != two.id
        assert not pieces & {file.read_bytes() for file in files(other.path)}


async def test_bad_sources_leave_nothing(home: chez.Home, path: Path, tmp_path: Path) -> None:
    """What can't be read, a stream that fails, wrong types and names: a typed error, and no piece is left."""
    async def failing() -> AsyncIterator[bytes]:
        yield content(3 * CHUNK)
        raise RuntimeError("the camera was unplugged")

    async def text() -> AsyncIterator[str]:
        yield "no bytes"

    for source, error in ((tmp_path / "none", NotFound), (tmp_path, InvalidValue), (failing(), RuntimeError),
                          (text(), InvalidValue), (7, InvalidValue), (None, InvalidValue)):
        with pytest.raises(error):
            await home.blobs.add(source)  # type: ignore[arg-type]
    for options in ({"media_type": "png"}, {"name": "../x"}, {"name": "a/b"}):
        with pytest.raises(InvalidValue):
            await home.blobs.add(b"x", **options)
    await settled(home)
    assert files(path) == set() and (await home.blobs.status()).known == 0


async def test_a_cancelled_addition_leaves_nothing(home: chez.Home, path: Path) -> None:
    """Cancelled at any point, an addition takes its pieces with it, and the next one is not disturbed."""
    reached, data = asyncio.Event(), content(20 * CHUNK)

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield data
            if number:
                reached.set()

    task = asyncio.create_task(home.blobs.add(endless()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settled(home)
    assert files(path) == set()
    assert await read(home, await home.blobs.add(b"next")) == b"next"


async def test_a_full_disk_is_a_typed_error(home: chez.Home, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a piece can't be written, adding says so and leaves nothing; afterwards it works."""
    real, left = os.fsync, 5

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr("chez.blobs.files.os.fsync", fsync)
        with pytest.raises(StorageFailed, match="disk is full"):
            await home.blobs.add(content(20 * CHUNK))
    await settled(home)
    assert files(path) == set() and not list((path / "blobs" / "new").iterdir())
    assert await read(home, await home.blobs.add(b"next")) == b"next"


async def test_what_fills_the_disk_goes_before_the_store_writes_that(
        home: chez.Home, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written until it is gone, and it stayed until the home was closed."""
    def commit(db: Connection) -> None:
        if files(path):
            raise StorageFailed("the disk is full")

    async def failing() -> AsyncIterator[bytes]:
        yield content(5 * CHUNK)
        monkeypatch.setattr(home._database, "before_commit", commit)
        raise StorageFailed("the disk is full")

    with pytest.raises(StorageFailed):
        await home.blobs.add(failing())
    assert files(path) == set()


class Full:
    """A disk that has no room for a commit in which something is seen."""

    def __init__(self, home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sign: str | None = None
        self._before = home._database.before_commit
        monkeypatch.setattr(home._database, "before_commit", self._commit)

    def _commit(self, db: Connection) -> None:
        if self.sign is not None and db.execute(self.sign).fetchone():
            self.sign = None
            raise StorageFailed("the disk is full")
        if self._before is not None:
            self._before(db)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_disk_that_is_full_at_the_last_step_keeps_nothing_of_it(
        home: chez.Home, path: Path, monkeypatch: pytest.MonkeyPatch, cancelled: bool) -> None:
    """What is made known of an attachment is undone with its commit: its pieces stayed until the home was closed."""
    full = Full(home, monkeypatch)
    full.sign = "SELECT 1 FROM blob WHERE id IS NOT NULL"
    adding = asyncio.create_task(home.blobs.add(content(3 * CHUNK)))
    if cancelled:
        finish = tables.finish

        def finished(*args: Any) -> tuple[int, str]:
            adding.get_loop().call_soon_threadsafe(adding.cancel)
            return finish(*args)

        monkeypatch.setattr(tables, "finish", finished)
    await asyncio.wait((adding,))
    assert adding.cancelled() if cancelled else isinstance(adding.exception(), StorageFailed)
    await settled(home)
    assert full.sign is None and files(path) == set() and (await home.blobs.status()).known == 0
    assert await read(home, await home.blobs.add(b"next")) == b"next"


async def test_an_addition_that_never_began_ends_no_other(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full as it began, and by the time that it is undone the row that it would have had is another's."""
    full, begin, loop = Full(home, monkeypatch), tables.begin, asyncio.get_running_loop()
    full.sign = "SELECT 1 FROM blob"
    second: list[asyncio.Task[Blob]] = []

    def begun(db: Connection, space: int) -> int:
        if full.sign is not None:
            loop.call_soon_threadsafe(lambda: second.append(asyncio.create_task(home.blobs.add(b"second"))))
            until = time.monotonic() + 20
            while not home._database._queue and time.monotonic() < until:
                time.sleep(0.001)
        return begin(db, space)

    monkeypatch.setattr(tables, "begin", begun)
    with pytest.raises(StorageFailed):
        await home.blobs.add(b"first")
    assert await read(home, await second[0]) == b"second"


async def test_saving_is_whole_or_not_at_all(home: chez.Home, path: Path, tmp_path: Path) -> None:
    """An existing file is not written over unasked, a folder that is missing is named, and no half file is left."""
    blob = await home.blobs.add(content(3 * CHUNK))
    target = tmp_path / "out"
    target.write_text("mine")
    with pytest.raises(NotAllowed):
        await home.blobs.save(blob, target)
    assert target.read_text() == "mine"
    await home.blobs.save(blob, target, overwrite=True)
    assert target.read_bytes() == content(3 * CHUNK)
    with pytest.raises(NotFound):
        await home.blobs.save(blob, tmp_path / "none" / "x")
    drop(path)
    with pytest.raises(BlobMissing):
        await home.blobs.save(blob, tmp_path / "half")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["home", "out"]


async def test_who_gives_up_as_the_file_is_made_that_it_is_saved_in_leaves_none(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that makes it hears of nothing: one lay about, under a hidden name."""
    loop, create, made = asyncio.get_running_loop(), saving._create, asyncio.Event()

    def creating(path: Path) -> BinaryIO:
        loop.call_soon_threadsafe(task.cancel)
        file = create(path)
        loop.call_soon_threadsafe(made.set)
        return file

    monkeypatch.setattr(saving, "_create", creating)
    blob = await home.blobs.add(content(CHUNK))
    task = asyncio.create_task(home.blobs.save(blob, tmp_path / "out"))
    await asyncio.wait((task,))
    await made.wait()
    assert task.cancelled() and [file.name for file in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("links", [True, False])
async def test_a_file_that_comes_up_while_another_is_saved_is_not_written_over(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Whoever made it meanwhile keeps it, also on a disk without hard links, where the saved one appears all the same
    if there is none."""
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr("chez.blobs.saving.os.link", link)
    blob = await home.blobs.add(content(CHUNK))
    await home.blobs.save(blob, tmp_path / "first")
    with pytest.raises(NotAllowed, match="already"):
        await home.blobs.save(blob, tmp_path / "out", progress=lambda *_: (tmp_path / "out").touch())
    assert (tmp_path / "out").read_bytes() == b"" and (tmp_path / "first").read_bytes() == content(CHUNK)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["first", "home", "out"]


async def test_what_is_not_here_is_missing(home: chez.Home) -> None:
    """An attachment that only others have, with no relay set: typed, recoverable, and it says what to do."""
    blob = Blob(id="ab" * 32, size=5)
    await home.collection("notes").put({"photo": blob}, id="a")
    with pytest.raises(BlobMissing, match="no relay is set") as caught:
        await read(home, blob)
    assert caught.value.recoverable and "chez relay" in caught.value.hint
    assert not (await home.blobs.info(blob)).complete


async def test_a_damaged_piece_is_kept_aside(home: chez.Home, path: Path) -> None:
    """A flipped bit is noticed before anything of its piece is given; the file is kept aside, the others serve on."""
    data = content(3 * CHUNK)
    blob = await home.blobs.add(data)
    await home.collection("notes").put({"photo": blob}, id="a")
    rows = await home._database.read(lambda db: db.execute("SELECT position, id FROM chunk").fetchall())
    file = home.blobs._shared.files.path(dict(rows)[1])
    broken = bytearray(file.read_bytes())
    broken[1000] ^= 1
    file.write_bytes(broken)
    with pytest.raises(BlobDamaged) as caught:
        await read(home, blob)
    assert "It was kept" in caught.value.hint
    assert [aside.read_bytes() for aside in (path / "blobs" / "damaged").iterdir()] == [broken]
    assert await read(home, blob, 0, CHUNK) == data[:CHUNK]
    assert not (await home.blobs.info(blob)).complete
    assert (await home.blobs.status()).waiting == 0
    again = await home.blobs.add(data)  # a content that is not whole here is no reason not to keep this one
    assert again.id != blob.id and await read(home, again) == data


async def test_what_is_all_here_is_read_by_who_only_reads(path: Path) -> None:
    """Also where it came in parts, and was never read from first to last: that can't be noted, which is no error."""
    data = content(2 * CHUNK)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        blob = await home.blobs.add(data)
        await home._database.write(lambda db: db.execute("UPDATE blob SET content = NULL"))
        async with chez.open(path, passphrase=PASSPHRASE, read_only=True) as beside:
            assert await read(beside, blob) == data
            some = max(files(path), key=lambda file: file.stat().st_size)
            some.write_bytes(bytes(some.stat().st_size))
            with pytest.raises(BlobDamaged):
                await read(beside, blob)
            drop(path)
            with pytest.raises(BlobMissing):
                await read(beside, blob)
        assert (await home.blobs.info(blob)).complete  # it was only looked at


async def test_what_the_owner_gives_up_meanwhile_is_read_to_its_end_by_who_only_reads(
        path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its files are there; that they are can't be noted, which is no error, and nothing is fetched."""
    data, asked = content(3 * CHUNK), list[bytes]()
    monkeypatch.setattr(Fetcher, "begin", lambda self, id: asked.append(id))
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        blob = await home.blobs.add(data)
        async with chez.open(path, passphrase=PASSPHRASE, read_only=True) as beside:
            parts = beside.blobs.read(blob)
            first = await anext(parts)
            await home._database.write(lambda db: db.execute("UPDATE chunk SET held = 0 WHERE position >= 0"))
            assert first + b"".join([part async for part in parts]) == data
            parts = beside.blobs.read(blob, 0, len(data))
            await home._database.write(lambda db: db.execute("UPDATE chunk SET held = 1"))
            await anext(parts)
            await home._database.write(lambda db: db.execute("UPDATE chunk SET held = 0 WHERE position >= 0"))
            drop(path)
            with pytest.raises(BlobMissing):
                await anext(parts)
    assert asked == []


@pytest.mark.parametrize("failing", [1, 1000])
async def test_a_piece_that_cannot_be_read_just_now_stays_where_it_is(
        home: chez.Home, path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """A disk that fails once is asked again, and nothing is told; one that fails longer has its piece again, whole,
    when it is well: nothing of it was put aside."""
    data = content(3 * CHUNK)
    blob = await home.blobs.add(data)
    rows = await home._database.read(lambda db: db.execute("SELECT position, id FROM chunk").fetchall())
    file, plain, left = home.blobs._shared.files.path(dict(rows)[1]), Path.open, failing

    def opened(at: Path, *mode: Any) -> Any:
        nonlocal left
        if at == file and left:
            left -= 1
            raise OSError(errno.EIO, "Input/output error")
        return plain(at, *mode)

    monkeypatch.setattr(Path, "open", opened)
    if failing > 1:
        with pytest.raises(BlobDamaged):
            await read(home, blob)
        assert not (await home.blobs.info(blob)).complete
        again = await home.blobs.add(data)  # a content that can't be read here is no reason not to keep this one
        assert again.id != blob.id and await read(home, again) == data
        left = 0
    assert await read(home, blob) == data
    assert (await home.blobs.info(blob)).complete and not (path / "blobs" / "damaged").exists()


async def test_a_reference_with_another_size_is_refused(home: chez.Home) -> None:
    """A record that says another size than its attachment's manifest is not followed."""
    blob = await home.blobs.add(b"hello")
    with pytest.raises(BlobDamaged, match="another size"):
        await read(home, Blob(id=blob.id, size=6))


async def test_a_piece_is_no_attachment(home: chez.Home) -> None:
    """A reference to a chunk instead of a manifest, which any member may write, is a typed error."""
    await home.blobs.add(content(5))
    ids = await home._database.read(lambda db: db.execute("SELECT id FROM chunk WHERE position = 0").fetchall())
    with pytest.raises(BlobDamaged):
        await read(home, Blob(id=ids[0][0].hex(), size=5))


async def test_nothing_is_given_up_that_is_only_here(home: chez.Home) -> None:
    """Evicting what is on no relay, what is pinned or unknown is refused."""
    blob = await home.blobs.add(b"hello")
    with pytest.raises(NotAllowed, match="on no relay"):
        await home.blobs.evict(blob)
    await home.blobs.pin(blob)
    with pytest.raises(NotAllowed, match="pinned"):
        await home.blobs.evict(blob)
    await home.blobs.unpin(blob)
    assert await home.blobs.info(blob) == BlobInfo(True, False, False)
    for call in (home.blobs.evict, home.blobs.unpin):
        with pytest.raises(NotFound):
            await call(Blob(id="ab" * 32, size=5))


async def test_what_no_record_holds_is_freed(path: Path) -> None:
    """Replaced, or added and never used: gone after the grace, which counts openings; what is held stays."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        kept, gone, never = [await home.blobs.add(content(100, seed)) for seed in range(3)]
        pinned = await home.blobs.add(content(100, 9))
        await home.blobs.pin(pinned)
        await notes.put({"a": kept, "b": gone}, id="x")
        await notes.delete("x")  # in the trash: it may come back
        other = await home.blobs.add(content(100, 5))
        await notes.put({"a": other}, id="y")
        await home.blobs.collect()
        await notes.put({"a": None}, id="y")
        for _ in range(4):  # what was added in this session and is in no record yet may still be put into one
            await home.blobs.collect()
        assert (await home.blobs.info(never)).complete and (await home.blobs.info(gone)).complete
        assert (await home.blobs.info(other)).complete is False
    for _ in range(4):
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            await settled(home)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await settled(home)
        complete = [(await home.blobs.info(blob)).complete for blob in (kept, gone, never, other, pinned)]
        assert complete == [True, True, False, False, True]
        assert len(files(path)) == 6
        with pytest.raises(BlobMissing):
            await read(home, never)


async def test_what_is_being_read_is_not_freed(home: chez.Home) -> None:
    """A reader that began before the last record let go of an attachment reads it to its end."""
    data = content(6 * CHUNK)
    blob = await home.blobs.add(data)
    notes = home.collection("notes")
    await notes.put({"a": blob}, id="x")
    await home.blobs.collect()
    parts = []
    async for part in home.blobs.read(blob):
        if not parts:
            await notes.put({"a": None}, id="x")
        parts.append(part)
        await home.blobs.collect()
    assert b"".join(parts) == data
    freed = [await home.blobs.collect() for _ in range(3)]
    assert freed == [0, 0, 1] and files(home.path) == set()


async def test_what_is_added_again_because_its_copy_was_lost_stays(home: chez.Home) -> None:
    """A content whose files are gone from the disk is not taken for one that is here: the new copy is kept."""
    data = content(2 * CHUNK)
    first = await home.blobs.add(data)
    drop(home.path)
    again = await home.blobs.add(data)
    await settled(home)
    assert again.id != first.id and not (await home.blobs.info(first)).complete and await read(home, again) == data
    assert (await home.blobs.add(data)).id == again.id



async def test_an_addition_whose_content_was_here_ends_no_other(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of a row that is given up may be another addition's before the first one ends: that one goes on."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    end, others = _Addition.end, list[asyncio.Task[Blob]]()

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()
        await go_on.wait()
        yield b"another" * 100_000

    async def end_late(self: _Addition) -> None:
        if not others:
            others.append(asyncio.create_task(home.blobs.add(slowly())))
            await begun.wait()
        await end(self)

    await home.blobs.add(b"here already")
    monkeypatch.setattr(_Addition, "end", end_late)
    await home.blobs.add(b"here already")
    go_on.set()
    assert b"".join([part async for part in home.blobs.read(await others[0])]) == b"another" * 100_000
