"""What chunks of attachments count for on a cluster whose answers get lost, and whose relays are killed."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.jetstream.attachments import Attachments
from chez_relay.storage.jetstream.engine import Unavailable
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.refusals import DAMAGED
from tests.relay.clusters import Reached, emptied, lose, messages
from tests.relay.storing import QUOTAS, READ, SPACE, Clock, chunk, codes, create, drop, entry, rotate
from tests.relay.support import Space

USAGE = s.ReadUsage(SPACE.handle, READ)


def lose_answer(store: JetStreamStorage, monkeypatch: pytest.MonkeyPatch, subject: Callable[[str], bool],
                before: Callable[[], Any] | None = None) -> None:
    """The next thing that is published on such a subject is stored, and its answer does not come."""
    plain, lost = store.engine.publish, False

    async def publish(on: str, data: bytes, **options: Any) -> int:
        nonlocal lost
        if lost or not subject(on):
            return await plain(on, data, **options)
        lost = True
        try:
            await plain(on, data, **options)
        finally:
            if before is not None:
                await before()
            raise Unavailable("the answer was lost")

    monkeypatch.setattr(store.engine, "publish", publish)


def is_log(subject: str) -> bool:
    return ".log." in subject and ".s." in subject


def is_chunk(subject: str) -> bool:
    return ".blob." in subject


async def blob_bytes(store: s.Storage) -> int:
    """What the chunks of the space count for."""
    (used,) = await store.perform([USAGE])
    assert isinstance(used, s.SpaceUsage)
    return used.chunks.bytes


@pytest.mark.parametrize("subject", [is_log, is_chunk], ids=["counting", "storing"])
async def test_a_chunk_whose_answer_is_lost_counts_once(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, subject: Callable[[str], bool]) -> None:
    """Whether it was stored, or counted as well, when a leader fell: it is told once, and counts once."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        await store.perform([create()])
        lose_answer(store, monkeypatch, subject)
        assert await store.perform([chunk(1), chunk(2)]) == [s.Done(), s.Done()]
        assert await blob_bytes(store) == 600


async def test_a_chunk_that_is_stored_late_counts(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and comes just before it is put again: it is whoever's it was, and no room for nothing."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        await store.perform([create()])
        plain, sent = store.engine.publish, 0

        async def publish(on: str, data: bytes, **options: Any) -> int:
            nonlocal sent
            if is_chunk(on):
                sent += 1
                if sent == 1:
                    raise Unavailable("on its way yet")
                await plain(on, data, **options)
            return await plain(on, data, **options)

        monkeypatch.setattr(store.engine, "publish", publish)
        assert await store.perform([chunk(1)]) == [s.Done()]
        assert sent == 2 and await blob_bytes(store) == 300


async def test_a_chunk_that_is_there_counts_once_whatever_answer_is_lost(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put again, and that it was there already is not heard."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        await store.perform([create(), chunk(1)])
        lose_answer(store, monkeypatch, is_chunk)
        assert await store.perform([chunk(1)]) == [s.Done()]
        assert await blob_bytes(store) == 300


async def test_a_chunk_that_was_acknowledged_stays_where_putting_it_again_is_refused(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put again, the answer is lost, the space rotated: what was there before is not taken for what was not."""
    then = Space("next")
    async with emptied(cluster, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS)
        await store.perform([create(), chunk(1)])
        lose_answer(store, monkeypatch, is_chunk, lambda: other.perform([rotate(then)]))
        assert codes(await store.perform([chunk(1)])) == [Code.ROTATED]
        (found,) = await store.perform([s.ReadChunk(SPACE.handle, chunk(1).chunk, then.keys.read)])
        assert found == s.ChunkData(chunk(1).data)
        await other.close()


class KilledError(Exception):
    """A relay is gone."""


async def test_a_chunk_that_was_never_counted_takes_no_space_with_it(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay is killed after it stored a chunk and before it counted it; let go, it gives no more room back than was
    taken, and the space is read and written as before."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        plain = store.engine.publish

        async def killed(on: str, data: bytes, **options: Any) -> int:
            if is_log(on):
                raise KilledError
            return await plain(on, data, **options)

        await store.perform([create(), entry(1), chunk(1, 200)])
        with monkeypatch.context() as patched, pytest.raises(KilledError):
            patched.setattr(store.engine, "publish", killed)
            await store.perform([chunk(2, 400)])
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        assert await other.perform([chunk(2, 400), drop([], [chunk(1, 200), chunk(2, 400)])]) == [s.Done()] * 2
        clock.now += QUOTAS.grace
        assert codes(await other.perform([s.Expire(), entry(2)])) == [None, None]
        assert await blob_bytes(other) == 0
        await other.close()


async def test_a_chunk_that_was_named_before_it_was_put_counts(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner has one let go that is not there, and puts it, through a relay that has not heard of it, just when
    another one lets go what is due: it is no room for nothing."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        await store.perform([create(), chunk(1, 500)])
        await other.perform([drop([], [chunk(2, 400)])])
        clock.now += QUOTAS.grace
        plain, came = store.engine.publish, False

        async def publish(on: str, data: bytes, **options: Any) -> int:
            nonlocal came
            if is_log(on) and not came:
                came = True
                assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
            return await plain(on, data, **options)

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "publish", publish)
            assert await store.perform([chunk(2, 400)]) == [s.Done()]
        assert came and await blob_bytes(store) == 900
        await other.close()


@pytest.mark.parametrize("refused", [Code.ROTATED, Code.QUOTA], ids=str)
async def test_a_chunk_that_another_relay_acknowledged_stays_where_who_put_it_is_refused(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, refused: Code) -> None:
    """Before one relay counts what it stored, another is sent the same, which is there, and the space rotates or gets
    full: whoever was told that the relay has it finds it there, and it counts. Room is not refused for what is there.
    """
    then = Space("next")
    async with emptied(cluster, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS)
        await store.perform([create()])
        plain, came = store.engine.publish, False

        async def publish(on: str, data: bytes, **options: Any) -> int:
            nonlocal came
            if is_log(on) and not came:
                came = True
                assert await other.perform([chunk(1)]) == [s.Done()]
                meanwhile = rotate(then) if refused is Code.ROTATED else chunk(2, QUOTAS.blob_bytes - 100)
                assert await other.perform([meanwhile]) == [s.Done()]
            return await plain(on, data, **options)

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "publish", publish)
            (told,) = codes(await store.perform([chunk(1)]))
        assert told == (Code.ROTATED if refused is Code.ROTATED else None)
        under = then.keys.read if refused is Code.ROTATED else READ
        found, used = await other.perform([s.ReadChunk(SPACE.handle, chunk(1).chunk, under),
                                           s.ReadUsage(SPACE.handle, under)])
        assert came and found == s.ChunkData(chunk(1).data)
        assert isinstance(used, s.SpaceUsage)
        assert used.chunks.bytes == 300 + (0 if refused is Code.ROTATED else QUOTAS.blob_bytes - 100)
        await other.close()


async def test_a_chunk_counts_once_where_its_block_is_replaced_unheard(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one that was let go, and is wanted again, it is put; the answer is lost, and another relay lets go more."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS)
        first = drop([], [chunk(1)])
        await store.perform([create(), chunk(1), chunk(3), first])
        lose_answer(store, monkeypatch, is_log, lambda: other.perform([drop([], [chunk(3)], first.drop)]))
        assert await store.perform([chunk(1), chunk(2)]) == [s.Done(), s.Done()]
        assert await blob_bytes(store) == 900
        (found,) = await other.perform([s.FindChunks(SPACE.handle, (chunk(1).chunk, chunk(2).chunk), READ)])
        assert isinstance(found, s.FoundChunks) and found.held == (True, True)
        await other.close()


async def test_a_chunk_that_comes_after_its_space_was_swept_goes(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its space is deleted, and swept, through another relay while a slow one stores it, once more with another life
    begun: nobody could read it ever, nor let it go."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS)
        await store.perform([create()])
        plain, came = store.engine.publish, 0

        async def publish(on: str, data: bytes, **options: Any) -> int:
            nonlocal came
            if is_chunk(on) and came < 2:
                came += 1
                gone = s.DropSpace(SPACE.handle, SPACE.keys.admin)
                again = [create()] if came == 1 else []
                assert set(codes(await other.perform([gone, s.Expire(), *again]))) == {None}
            return await plain(on, data, **options)

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "publish", publish)
            assert codes(await store.perform([chunk(1)])) == [Code.UNKNOWN]
        assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
        assert came == 2 and await messages(other, f"chez.blob.0.{SPACE.handle.hex()}.>") == []
        await other.close()


async def test_a_chunk_that_comes_while_its_space_is_swept_goes(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow relay stores it, and says that its space is to be swept, just after another one removed that space's
    chunks, and before that takes such a word back: it takes back the one that it did, and no later one."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS)
        await store.perform([create()])
        plain, removing, asked = store.engine.publish, other.engine.api, list[str]()
        removed, said, sweeping = asyncio.Event(), asyncio.Event(), list[asyncio.Task[Any]]()

        async def api(name: str, wanted: object = None) -> dict[str, Any]:
            asked.extend([name] if "PURGE" in name or "DELETE" in name else [])
            if len(asked) == 3:  # chunks, and the log, are removed
                removed.set()
                await said.wait()
            return await removing(name, wanted)

        async def publish(on: str, data: bytes, **options: Any) -> int:
            if is_chunk(on):
                assert codes(await other.perform([s.DropSpace(SPACE.handle, SPACE.keys.admin)])) == [None]
                sweeping.append(asyncio.create_task(other.perform([s.Expire()])))
                await removed.wait()
            seq = await plain(on, data, **options)
            if ".gone." in on:
                said.set()
            return seq

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "publish", publish)
            patched.setattr(other.engine, "api", api)
            async with asyncio.timeout(60):
                assert codes(await store.perform([chunk(1)])) == [Code.UNKNOWN]
                await sweeping[0]
        assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await messages(other, f"chez.blob.0.{SPACE.handle.hex()}.>") == []
        await other.close()


async def test_a_chunk_is_not_let_go_before_whoever_puts_it_counted_it(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its grace is set to a second, and the answer to who stored it is lost: another relay lets go in that second what
    counts for nothing yet, and gave back bytes of others for it."""
    clock, quotas = Clock(), dataclasses.replace(QUOTAS, grace=1.0)
    async with emptied(cluster, clock=clock, quotas=quotas) as store:
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=quotas)
        await store.perform([create(), chunk(1, 500)])

        async def let_go() -> None:
            assert await other.perform([drop([], [chunk(2, 400)])]) == [s.Done()]
            clock.now += 20
            assert await other.perform([s.Expire()]) == [s.Expired(more=False)]

        lose_answer(store, monkeypatch, is_chunk, let_go)
        assert await store.perform([chunk(2, 400)]) == [s.Done()]
        assert await blob_bytes(store) == 900
        await other.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_chunk_whose_removal_was_begun_goes_with_the_next_round(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """A relay is killed just before or after it removes a chunk whose time came: another one does what is left, and
    gives its room back."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        await store.perform([create(), chunk(1, 100), chunk(2, 600), chunk(3, 200), drop([], [chunk(2, 600)])])
        clock.now += QUOTAS.grace
        plain = Attachments.delete

        async def killed(self: Attachments, handle: bytes, seq: int) -> None:
            if when == "after":
                await plain(self, handle, seq)
            raise KilledError

        with monkeypatch.context() as patched, pytest.raises(KilledError):
            patched.setattr(Attachments, "delete", killed)
            await store.perform([s.Expire()])
        assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await blob_bytes(other) == 300
        assert len(await messages(other, f"chez.blob.0.{SPACE.handle.hex()}.>")) == 2
        await other.close()


async def test_a_deletion_that_was_begun_takes_nothing_of_a_space_that_is_there(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay is killed after it said that a space is to be swept, and before the space was deleted: who was not
    answered goes on with it. Deleted after all, it is swept."""
    async with emptied(cluster, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS)
        await store.perform([create(1), entry(1), chunk(1)])
        gone, plain = s.DropSpace(SPACE.handle, SPACE.keys.admin), store.engine.publish

        async def killed(on: str, data: bytes, **options: Any) -> int:
            if is_log(on):
                raise KilledError
            return await plain(on, data, **options)

        with monkeypatch.context() as patched, pytest.raises(KilledError):
            patched.setattr(store.engine, "publish", killed)
            await store.perform([gone])
        assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
        page, found = await other.perform([
            s.ReadPage(SPACE.handle, 0, 1000, READ), s.ReadChunk(SPACE.handle, chunk(1).chunk, READ)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [1]
        assert found == s.ChunkData(chunk(1).data)
        assert await other.perform([gone, s.Expire()]) == [s.Done(), s.Expired(more=False)]
        for subject in (f"chez.blob.0.{SPACE.handle.hex()}.>", "chez.log.0.gone.>"):
            assert await messages(other, subject) == []
        await other.close()


async def test_a_damaged_chunk_is_no_damaged_log(cluster: Reached) -> None:
    """Other bytes are in its place: whoever reads it is told so, and the log is not laid anew, which every device would
    have to read again."""
    async with emptied(cluster) as store:
        await store.perform([create(), entry(1), chunk(1)])
        before, (there,) = store.incarnation, await messages(store, f"chez.blob.0.{SPACE.handle.hex()}.>")
        await lose(cluster, store, [there])
        await store.engine.publish(there.subject, b"other bytes")
        results = await store.perform([s.ReadChunk(SPACE.handle, chunk(1).chunk, READ), entry(2)])
        assert results[0] == DAMAGED and isinstance(results[1], s.Stored)
        assert results[1].offset == 2 and store.incarnation == before
