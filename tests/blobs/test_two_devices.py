"""Attachments between two devices and a real relay process: sent, fetched lazily, resumed, refused, tampered with."""

import asyncio
import errno
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from examples.demo.search import search

import chez
from chez.blobs import attachments, format, tables
from chez.blobs.files import PieceFiles
from chez.blobs.format import chunk_count
from chez.blobs.pieces import reading
from chez.blobs.reports import BlobInfo
from chez.blobs.transfer import Sender, open_roles
from chez.errors import (
    BlobDamaged,
    BlobMissing,
    ChezError,
    NotAllowed,
    RelayMisbehaved,
    RelayRefused,
    RelayUnreachable,
)
from chez.records.reference import Blob
from chez.store.database import Connection
from chez.sync.connection import connect
from chez.sync.entry import padded_size
from chez_wire.chunks import chunk_id
from chez_wire.login import Role
from tests.blobs.support import CHUNK, content, drop, files, joined, made, read, settled
from tests.relay.support import Process
from tests.relay.support import relay as relay_process
from tests.relay.within import Within, relay
from tests.security.wire import recorded_relay
from tests.vectors.fixed import filled


def stored(data: Path) -> dict[str, int]:
    """The chunks a relay holds, with their sizes."""
    with closing(sqlite3.connect(data / "relay.sqlite")) as db:
        return dict(db.execute("SELECT hex(chunk), length(data) FROM chunks"))


def tamper(data: Path, change: str) -> None:
    """Do something to what a relay stores."""
    with closing(sqlite3.connect(data / "relay.sqlite", timeout=10)) as db, db:
        assert db.execute(change).rowcount > 0


async def attached(home: chez.Home, data: bytes, id: str = "a", **options: str) -> Blob:
    """A note with this content attached."""
    blob = await home.blobs.add(data, **options)
    await home.collection("notes").put({"photo": blob}, id=id)
    return blob


async def test_another_device_fetches_what_it_reads(tmp_path: Path, server: Within) -> None:
    """The reference arrives with the record, content when it is read, and then it is there without the relay."""
    data = content(5 * CHUNK + 7)
    async with made(tmp_path / "laptop", server.url) as laptop, joined(tmp_path / "phone", laptop) as phone:
        blob = await attached(laptop, data, media_type="image/png", name="x.png")
        assert (await laptop.status()).attachments == 1
        await laptop.sync()
        assert (await laptop.status()).attachments == 0
        assert await laptop.blobs.info(blob) == BlobInfo(True, False, True)
        await phone.sync()
        found = (await phone.collection("notes").get("a")).value["photo"]
        assert found == blob and files(phone.path) == set()
        assert await read(phone, found, CHUNK + 1, CHUNK + 5) == data[CHUNK + 1 : CHUNK + 5]
        assert len(files(phone.path)) == 2 and not (await phone.blobs.info(found)).complete
        assert await read(phone, found) == data
        assert (await phone.blobs.info(found)).complete
        assert await laptop.blobs.info(blob) == BlobInfo(True, False, True)
        again = await phone.blobs.add(data)  # what was seen whole is not kept twice, whoever added it
        assert again.id == blob.id
        await phone.sync()
        assert len(stored(server.data)) == len(files(laptop.path))
        await server.kill()
        assert await read(phone, found) == data


async def test_it_is_given_up_and_fetched_again(tmp_path: Path, server: Within) -> None:
    """Evicting frees the disk, reading fetches it again, pinning does so at once and keeps it."""
    data = content(3 * CHUNK)
    async with made(tmp_path / "laptop", server.url) as home:
        blob = await attached(home, data)
        await home.sync()
        whole = files(home.path)
        await home.blobs.evict(blob)
        await settled(home)
        assert len(files(home.path)) == 1  # the manifest stays
        assert await read(home, blob) == data
        assert files(home.path) == whole
        parts = home.blobs.read(blob)
        await anext(parts)
        with pytest.raises(NotAllowed, match="being read"):
            await home.blobs.evict(blob)
        await parts.aclose()
        await home.blobs.evict(blob)
        await home.blobs.pin(blob)
        assert await home.blobs.info(blob) == BlobInfo(True, True, True)
        drop(home.path)  # pieces that somebody removed are fetched like those that were given up
        assert await read(home, blob) == data and files(home.path) == whole


async def test_what_is_not_sent_yet_is_missing_and_then_comes(tmp_path: Path, server: Within) -> None:
    """A device that is told of an attachment before its content is at the relay says so, and gets it later."""
    async with made(tmp_path / "laptop", server.url) as laptop, joined(tmp_path / "phone", laptop) as phone:
        blob = await attached(laptop, content(CHUNK + 1))
        held = await laptop._database.write(lambda db: db.execute("UPDATE chunk SET held = 0 WHERE position = 1"))
        assert held is not None
        await laptop.sync()
        await phone.sync()
        with pytest.raises(BlobMissing, match="does not have it yet") as caught:
            await read(phone, blob)
        assert caught.value.recoverable
        await laptop._database.write(lambda db: db.execute("UPDATE chunk SET held = 1"))
        await laptop.sync()
        assert await read(phone, blob) == content(CHUNK + 1)


async def test_no_relay_in_reach_is_missing(tmp_path: Path, server: Within) -> None:
    """Fetching with the relay gone is a typed, recoverable error; what was here meanwhile is read."""
    async with made(tmp_path / "laptop", server.url) as home:
        blob = await attached(home, content(2 * CHUNK))
        await home.sync()
        await home.blobs.evict(blob)
        await settled(home)
        await server.kill()
        with pytest.raises(BlobMissing, match="can't be reached"):
            await read(home, blob)


async def test_in_the_background(tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """While connected, what is attached leaves by itself once a record holds it, and not before."""
    left, send = asyncio.Event(), Sender.send_waiting

    async def sending(sender: Sender) -> int:
        sent = await send(sender)
        if sent:
            left.set()
        return sent

    monkeypatch.setattr(Sender, "send_waiting", sending)
    async with made(tmp_path / "laptop", server.url) as home, home.connect() as link:
        await link.synced(90)
        unused, used = await home.blobs.add(content(CHUNK, 1)), await home.blobs.add(content(CHUNK, 2))
        await home.collection("notes").put({"photo": used}, id="a")
        await asyncio.wait_for(left.wait(), 90)
        assert (await home.blobs.info(used)).at_relay
        assert not (await home.blobs.info(unused)).at_relay
        await home.collection("notes").put({"photo": unused}, id="b")
        await home.sync()
        assert (await home.status()).attachments == 0


class Sending:
    """How many attachments were sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = 0
        self._news, self._send = asyncio.Event(), Sender.send_waiting
        monkeypatch.setattr(Sender, "send_waiting", lambda sender: self._sending(sender))

    async def _sending(self, sender: Sender) -> int:
        sent = await self._send(sender)
        self.sent += sent
        self._news.set()
        return sent

    async def until(self, sent: int) -> None:
        """Wait for so many."""
        async with asyncio.timeout(30):
            while self.sent < sent:
                await self._news.wait()
                self._news.clear()


async def test_what_was_added_before_leaves_once_a_record_holds_it(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that was closed in between names it when the home is connected: it waited for the next connection."""
    async with made(tmp_path / "laptop", server.url) as home:
        await home.sync()
        blob = await home.blobs.add(content(CHUNK))
    sending, look, loop, looked = Sending(monkeypatch), tables.unreferenced, asyncio.get_running_loop(), asyncio.Event()

    def looking(*args: Any) -> bool:
        loop.call_soon_threadsafe(looked.set)
        return look(*args)

    monkeypatch.setattr(tables, "unreferenced", looking)
    async with chez.open(tmp_path / "laptop", passphrase="a") as home, home.connect(), asyncio.timeout(30):
        await looked.wait()
        await home.collection("notes").put({"photo": blob}, id="a")
        await sending.until(1)
        assert (await home.blobs.info(blob)).at_relay


async def test_what_is_added_while_it_is_looked_whether_anything_waits_leaves(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came after the look, and before what that found was gone by: it waited for the next connection."""
    sending, look, loop = Sending(monkeypatch), tables.unreferenced, asyncio.get_running_loop()
    meanwhile: asyncio.Future[Blob] = loop.create_future()
    async with made(tmp_path / "laptop", server.url) as home, home.connect() as link:
        def looking(*args: Any) -> bool:
            found = look(*args)
            if not meanwhile.done():
                added = asyncio.run_coroutine_threadsafe(home.blobs.add(content(CHUNK, 2)), loop).result(10)
                loop.call_soon_threadsafe(meanwhile.set_result, added)
            return found

        await link.synced(90)
        monkeypatch.setattr(tables, "unreferenced", looking)
        await attached(home, content(CHUNK, 1))
        await sending.until(1)
        await home.collection("notes").put({"photo": await meanwhile}, id="b")
        await sending.until(2)


async def until_at_relay(home: chez.Home, blob: Blob) -> None:
    """Wait until the relay has an attachment."""
    async with asyncio.timeout(10):
        while not (await home.blobs.info(blob)).at_relay:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


async def test_what_a_record_comes_to_hold_just_after_it_was_looked_what_waits_leaves(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look found nothing to send, and right after it there was nothing either that no record holds."""
    held = False
    async with made(tmp_path / "laptop", server.url) as home, home.connect() as link:
        await link.synced(90)
        look = Sender.send_waiting

        async def looked(sender: Sender) -> int:
            nonlocal held
            sent = await look(sender)
            if not held:
                held = True
                await home.collection("notes").put({"photo": blob}, id="a")
            return sent

        monkeypatch.setattr(Sender, "send_waiting", looked)
        blob = await home.blobs.add(content(CHUNK))
        await home.collection("notes").put({"n": 1}, id="b")  # the link has a turn
        await until_at_relay(home, blob)


async def test_what_is_seen_whole_just_after_it_was_looked_what_waits_leaves(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looked while that was being noted found nothing to send, and did not look again."""
    async with made(tmp_path / "laptop", server.url) as home, home.connect() as link:
        blob = await attached(home, content(CHUNK))
        await link.synced(90)
        await home.blobs.send(home._syncing.links[0])

        def not_seen(db: Connection) -> None:
            db.execute("UPDATE blob SET content = NULL")
            db.execute("DELETE FROM blob_relay")

        await home._database.write(not_seen)
        note, loop = tables.seen_whole, asyncio.get_running_loop()

        async def look() -> None:
            turned = asyncio.create_task(home._syncing.links[0].turn())
            await asyncio.sleep(0)
            home._syncing.links[0]._stir()
            await turned
            for _ in range(10):  # it is the reading connection that is asked
                await home._database.read(lambda db: None)

        def noting(*args: Any) -> None:
            asyncio.run_coroutine_threadsafe(look(), loop).result(10)
            note(*args)

        monkeypatch.setattr(tables, "seen_whole", noting)
        await read(home, blob)
        await home.collection("notes").put({"n": 1}, id="b")  # the link has a turn
        await until_at_relay(home, blob)


async def test_what_the_relay_has_is_not_looked_for_with_every_change(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is pinned, or was in a record until lately, had all of them looked through whenever anything changed."""
    looks, send = 0, Sender.send_waiting

    async def looking(sender: Sender) -> int:
        nonlocal looks
        looks += 1
        return await send(sender)

    async with made(tmp_path / "laptop", server.url) as home:
        notes = home.collection("notes")
        await home.blobs.pin(await attached(home, content(CHUNK)))
        await home.sync()
        await notes.put({"n": 0}, id="a")
        monkeypatch.setattr(Sender, "send_waiting", looking)
        async with home.connect() as link, asyncio.timeout(10):
            for n in range(20):
                await notes.put({"n": n}, id="b")
                await link.synced(90)
                for _ in range(10):  # it is the reading connection that is asked
                    await home._database.read(lambda db: None)
            assert 0 < looks < 10


async def test_what_somebody_released_is_sent_again_though_nothing_else_is(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is heard of that tells nobody who sends attachments: it is looked for now and then."""
    monkeypatch.setattr(attachments, "LOOK_AGAIN", 0.02)
    sending = Sending(monkeypatch)
    async with made(tmp_path / "laptop", server.url) as home, home.connect() as link:
        await link.synced(90)
        await attached(home, content(CHUNK))
        await sending.until(1)
        await home._database.write(lambda db: db.execute("DELETE FROM blob_relay"))
        await sending.until(2)


async def test_a_relay_that_lost_its_store_gets_all_again(tmp_path: Path) -> None:
    """With another store behind the same address, attachments are sent again, as entries are."""
    data = content(2 * CHUNK)
    async with relay(tmp_path / "one") as first:
        port = first.name.rsplit(":")[-1]
        async with made(tmp_path / "laptop", first.url) as home:
            blob = await attached(home, data)
            await home.sync()
            await first.kill()
            async with relay(tmp_path / "two", "--listen", f"127.0.0.1:{port}") as second:
                report = await home.sync()
                assert report.reset and len(stored(second.data)) == len(files(home.path))
                await home.blobs.evict(blob)
                assert await read(home, blob) == data


@pytest.mark.slow
async def test_sending_resumes_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay killed in the middle of an upload: what it acknowledged is not sent again, and the rest follows."""
    data, half, loop = content(24 * CHUNK), asyncio.Event(), asyncio.get_running_loop()
    taken, take, count = [0], PieceFiles.read, chunk_count(24 * CHUNK)

    def counted(files: PieceFiles, id: bytes) -> bytes | None:
        taken[0] += 1
        if taken[0] == 14:
            loop.call_soon_threadsafe(half.set)
        return take(files, id)

    monkeypatch.setattr(PieceFiles, "read", counted)
    async with relay(tmp_path / "data") as first:
        port = first.name.rsplit(":")[-1]
        async with made(tmp_path / "laptop", first.url) as home:
            blob = await attached(home, data)
            syncing = asyncio.create_task(home.sync())
            await asyncio.wait_for(half.wait(), 90)
            await first.kill()
            with pytest.raises(RelayUnreachable):
                await syncing
            before = set(stored(first.data))
            assert 8 <= len(before) <= count
            taken[0] = 1000
            async with relay(tmp_path / "data", "--listen", f"127.0.0.1:{port}") as second:
                await home.sync()
                assert before < set(stored(second.data)) and len(stored(second.data)) == count + 1
                assert taken[0] - 1000 == count + 1 - len(before)
                await home.blobs.evict(blob)
                assert await read(home, blob) == data


async def test_a_full_relay_says_so_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Beyond the quota for attachments syncing names it; entries are in step, and what fits is sent."""
    async with relay(tmp_path / "relay", "--blob-quota", str(3 * CHUNK)) as server, \
            made(tmp_path / "laptop", server.url) as home:
        small = await attached(home, content(CHUNK), "a")
        await home.sync()
        large = await attached(home, content(4 * CHUNK), "b")
        with pytest.raises(RelayRefused) as caught:
            await home.sync()
        assert caught.value.reason == "quota"
        status = await home.status()
        assert (status.pending, status.attachments) == (0, 1)
        assert "attachments" in (await home.blobs.status()).problem
        assert (await home.blobs.info(small)).at_relay and not (await home.blobs.info(large)).at_relay


ALTERED = pytest.mark.parametrize("change", [
    "UPDATE chunks SET data = CAST(substr(data, 1, length(data) - 1) AS BLOB) WHERE length(data) > 500000",
    "UPDATE chunks SET data = CAST(data || x'00' AS BLOB) WHERE length(data) > 500000",
    "UPDATE chunks SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE length(data) > 500000",
    "UPDATE chunks SET data = (SELECT data FROM chunks ORDER BY number LIMIT 1) WHERE number = 2",
], ids=["cut", "longer", "flipped", "swapped"])


@ALTERED
async def test_a_relay_that_alters_chunks_is_caught(tmp_path: Path, change: str) -> None:
    """Cut, longer, flipped or swapped: none of it is given to the reader, and the relay is named."""
    async with relay_process(tmp_path / "relay", command=(sys.executable, "-m", "tests.blobs.lying")) as server:
        await _altered(tmp_path, server, change, RelayMisbehaved)


@pytest.mark.slow
@ALTERED
async def test_a_relay_whose_disk_alters_chunks_says_so(tmp_path: Path, server: Within, change: str) -> None:
    """An honest relay hands nothing of it out: the reader is told that it is damaged there."""
    refused = await _altered(tmp_path, server, change, RelayRefused)
    assert isinstance(refused, RelayRefused) and refused.reason == "damaged"


async def _altered(tmp_path: Path, server: Process | Within, change: str, error: type[ChezError]) -> ChezError:
    async with made(tmp_path / "laptop", server.url) as home:
        blob = await attached(home, content(3 * CHUNK))
        await home.sync()
        await home.blobs.evict(blob)
        await settled(home)
        tamper(server.data, change)
        got = b""
        with pytest.raises(error) as caught:
            async for part in home.blobs.read(blob):
                got += part
        assert content(3 * CHUNK).startswith(got)
        return caught.value


async def test_a_relay_that_withholds_a_chunk(tmp_path: Path, server: Within) -> None:
    """A chunk that the relay deleted is missing by name; a device that has it still does."""
    async with made(tmp_path / "laptop", server.url) as laptop, joined(tmp_path / "phone", laptop) as phone:
        blob = await attached(laptop, content(3 * CHUNK))
        await laptop.sync()
        await phone.sync()
        tamper(server.data, "DELETE FROM chunks WHERE number = 2")
        with pytest.raises(BlobMissing):
            await read(phone, blob)
        assert await read(laptop, blob) == content(3 * CHUNK)


async def test_a_piece_damaged_here_is_fetched_again(tmp_path: Path, server: Within) -> None:
    """A flipped bit on the disk costs a fetch, and the file is kept aside."""
    data = content(3 * CHUNK)
    async with made(tmp_path / "laptop", server.url) as home:
        blob = await attached(home, data)
        await home.sync()
        for file in files(home.path):
            whole = file.read_bytes()
            file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert await read(home, blob) == data
        assert len(list((home.path / "blobs" / "damaged").iterdir())) == 4
        assert (await home.blobs.info(blob)).complete


async def test_what_cannot_be_read_just_now_is_sent_later(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while an attachment is to be sent: it waits still, as the status says, and goes with the next
    sync."""
    plain = Path.open

    def opened(at: Path, *mode: Any) -> Any:
        if failing and "blobs" in at.parts:
            raise OSError(errno.EIO, "Input/output error")
        return plain(at, *mode)

    async with made(tmp_path / "laptop", server.url) as laptop, joined(tmp_path / "phone", laptop) as phone:
        blob = await attached(laptop, content(CHUNK + 1))
        monkeypatch.setattr(Path, "open", opened)
        for failing in (True, False):
            await laptop.sync()
            assert (await laptop.blobs.status()).waiting == int(failing)
        await phone.sync()
        assert await read(phone, blob) == content(CHUNK + 1)


async def test_a_member_that_lies_about_the_content_is_caught(tmp_path: Path, server: Within) -> None:
    """A manifest whose hash of the content is another's: reading it whole ends in an error, and it is no twin."""
    async with made(tmp_path / "laptop", server.url) as laptop, joined(tmp_path / "phone", laptop) as phone:
        lie = format.Content()
        lie.update(b"what the victim will add")
        space, nonce = laptop._replica.space, filled(8, 24)
        sealer = format.Sealer(filled(7), space.id)
        *chunks, last = [*sealer.feed(b"what the attacker added!"), *sealer.finish(space.epoch, nonce)]
        manifest = format.open_manifest(last.data, space.id, space.epochs)
        forged = format.seal_manifest(
            format.Manifest(1, manifest.key, manifest.size, lie.digest(), manifest.ids), space.id, space.epoch, nonce)
        blob = Blob(id=chunk_id(forged).hex(), size=24)
        await laptop.sync()
        async with connect(server.url) as wire:
            await open_roles(wire, space, Role.APPEND)
            for data in (*(piece.data for piece in chunks), forged):
                await wire.put_chunk_soon(space.handle, data)
        await laptop.collection("notes").put({"photo": blob}, id="a")
        await laptop.sync()
        await phone.sync()
        with pytest.raises(BlobDamaged):
            await read(phone, blob)
        mine = await phone.blobs.add(b"what the victim will add")
        assert mine.id != blob.id and await read(phone, mine) == b"what the victim will add"


async def test_the_relay_learns_padded_sizes_and_nothing_else(tmp_path: Path) -> None:
    """Marks in content, names and types are in no byte that the relay stored or carried; sizes are padded."""
    marks = [b"MARKER-content-7d2e", b"MARKER-name-51aa", b"x-marker-type-9b"]
    data = b"MARKER-content-7d2e" * 41_000
    with recorded_relay(tmp_path) as wire:
        async with made(tmp_path / "laptop", wire.proxy.url) as laptop, joined(tmp_path / "phone", laptop) as phone:
            blob = await attached(laptop, data, name="MARKER-name-51aa.txt", media_type="text/x-marker-type-9b")
            small = await attached(laptop, b"MARKER-content-7d2e", "b")
            await laptop.sync()
            await phone.sync()
            assert await read(phone, blob) == data and await read(phone, small) == b"MARKER-content-7d2e"
        seen = wire.seen()
    assert len(seen["wire"]) > 2 * len(data)
    assert {name: list(search(bytes, marks)) for name, bytes in seen.items()} == {name: [] for name in seen}
    sizes = sorted(stored(wire.data).values())
    padded = padded_size(len(data))
    headers = 16, 4 + 32 + 24 + 16  # a chunk's tag; a manifest's magic, epoch, nonce and tag
    assert sizes == sorted([1024 + headers[0], 1024 + headers[1], 1024 + headers[1], CHUNK + 16, padded - CHUNK + 16])
    assert padded > len(data) and not re.search(str(len(data)).encode(), seen["log"])


async def test_what_is_still_on_the_disk_is_not_fetched(tmp_path: Path, server: Within) -> None:
    """Read right after it was given up, before its files are gone: they serve, and nothing is asked of the relay."""
    async with made(tmp_path / "laptop", server.url) as home:
        blob = await attached(home, content(9 * CHUNK))
        await home.sync()
        await home._database.write(lambda db: tables.unhold(db, tables.ensure(db, 1, blob.id).n))
        async with reading(home.blobs._shared, blob, server.url) as reader:
            for position in range(reader.count):
                await reader.chunk(position, reader.count)
            assert not reader._fetcher._tasks and reader._fetcher._relay is None
        assert await read(home, blob) == content(9 * CHUNK)
