"""A home opens by the operating system's keyring where its person said so, and only with both halves."""

import asyncio
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from hypothesis import example, given, settings
from keyring.backend import KeyringBackend
from keyring.backends import fail

import chez
from chez.errors import (
    ChezError,
    Damaged,
    HomeLocked,
    KeyringUnavailable,
    NotAllowed,
    StorageFailed,
    WrongPassphrase,
)
from chez.home import unlocking
from chez.store.keyfile import KEY_FILE
from chez.store.keyring import KEYRING_FILE, add_key, keyring_key, keyring_status, remove_key
from tests.home.conftest import PASSPHRASE
from tests.home.rings import Deaf, Locked, MemoryRing
from tests.parsers.mutations import attempt, bytes_like
from tests.tries import tries

Ring = Callable[[KeyringBackend], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Ring:
    """Make a backend the one that keyring uses."""
    before = keyring.get_keyring()
    monkeypatch.setattr("keyring.core._keyring_backend", before)  # put back at the end

    def chosen(backend: KeyringBackend) -> None:
        keyring.set_keyring(backend)

    return chosen


async def added(path: Path, ring: KeyringBackend, use: Ring) -> None:
    """Let a keyring open a home."""
    use(ring)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert await home.keyring.add() == ring.name


@pytest.mark.parametrize("given_up", [0, 1, 2])
async def test_no_keyring_opens_a_home_whose_journal_does_not_tell_of_it(
        path: Path, use: Ring, monkeypatch: pytest.MonkeyPatch, given_up: int) -> None:
    """The disk was too full for the receipt, or who added it gave up while the keyring asked, once or more: it
    opened the home, and the journal said nothing of that."""
    def adding(folder: Path, key: bytearray) -> Any:
        if given_up and not done.is_set():
            for _ in range(given_up):
                loop.call_soon_threadsafe(task.cancel)
                time.sleep(0.02)
        done_so = add_key(folder, key)
        loop.call_soon_threadsafe(done.set)
        return done_so

    def full(*_: object) -> None:
        raise StorageFailed("the disk is full")

    ring, loop, done = MemoryRing(), asyncio.get_running_loop(), asyncio.Event()
    use(ring)
    monkeypatch.setattr(unlocking, "add_key", adding)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with monkeypatch.context() as patched:
            if not given_up:
                patched.setattr(home._database, "before_commit", full)
            task = asyncio.create_task(home.keyring.add())
            await asyncio.wait((task,))
            await done.wait()
        assert task.cancelled() if given_up else isinstance(task.exception(), StorageFailed)
        assert not (path / KEYRING_FILE).exists() and ring.kept == {}
        await home.keyring.add()
        assert len(await home.journal.receipts("keyring-added")) == 1
    async with chez.open(path):
        pass


async def test_no_keyring_opens_a_home_whose_program_ended_while_it_asked(
        path: Path, use: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C shows nothing while the keyring asks, so it comes again, and ends the loop with all its tasks: the thread
    goes on, and lets the keyring open nothing."""
    def adding(folder: Path, key: bytearray) -> Any:
        loop.call_soon_threadsafe(asked.set)
        assert ended.wait(20)
        done_so = add_key(folder, key)
        loop.call_soon_threadsafe(added.set)
        return done_so

    ring, loop, ended = MemoryRing(), asyncio.get_running_loop(), threading.Event()
    asked, added = asyncio.Event(), asyncio.Event()
    use(ring)
    monkeypatch.setattr(unlocking, "add_key", adding)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        before = asyncio.all_tasks()
        task = asyncio.create_task(home.keyring.add())
        await asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        for one in asyncio.all_tasks() - before:
            one.cancel()
        await asyncio.wait((task,))
        ended.set()
        async with asyncio.timeout(20):
            await added.wait()
            while (path / KEYRING_FILE).exists() or ring.kept:  # noqa: ASYNC110 - nobody hears of the thread any more
                await asyncio.sleep(0.005)
        assert task.cancelled()
        assert await home.journal.receipts("keyring-added") == []


async def test_the_journal_tells_also_where_who_removes_the_keyring_gives_up(
        path: Path, use: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun is done all the same: the keyring opened the home no longer, and no receipt said so."""
    def removing(folder: Path) -> bool:
        loop.call_soon_threadsafe(task.cancel)
        there = remove_key(folder)
        loop.call_soon_threadsafe(removed.set)
        return there

    use(MemoryRing())
    loop, removed = asyncio.get_running_loop(), asyncio.Event()
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.keyring.add()
        monkeypatch.setattr(unlocking, "remove_key", removing)
        task = asyncio.create_task(home.keyring.remove())
        await asyncio.wait((task,))
        await removed.wait()
        assert task.cancelled() and not (path / KEYRING_FILE).exists()
        assert [one.kind for one in await home.journal.receipts()][-1] == "keyring-removed"


@pytest.mark.parametrize("word", ["add", "remove"])
async def test_a_process_killed_before_the_receipt_has_one_written_by_the_next(
        path: Path, tmp_path: Path, use: Ring, word: str) -> None:
    """The file was in place, or gone, and the journal said the opposite for ever; the opening that sees it says so."""
    def copying(db: object) -> None:
        shutil.copytree(path, tmp_path / "killed")

    use(MemoryRing())
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        if word == "remove":
            await home.keyring.add()
        home._database.before_commit = copying
        await getattr(home.keyring, word)()
    for _ in range(2):
        async with chez.open(tmp_path / "killed", passphrase=PASSPHRASE if word == "remove" else None) as home:
            kinds = [one.kind for one in await home.journal.receipts()]
            assert kinds[1:] == (["keyring-file-changed"] if word == "add" else ["keyring-added", "keyring-removed"])
            assert (await home.journal.verify()).ok


async def test_receipts_come_in_the_order_of_what_was_done(
        path: Path, use: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added and removed at once, whichever the keyring answers first: the last receipt says how it is."""
    def adding(folder: Path, key: bytearray) -> Any:
        added = add_key(folder, key)
        loop.call_soon_threadsafe(there.set)
        time.sleep(0.05)
        return added

    use(MemoryRing())
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(unlocking, "add_key", adding)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        add = asyncio.create_task(home.keyring.add())
        await there.wait()
        assert await home.keyring.remove()
        await add
        assert [one.kind for one in await home.journal.receipts()][1:] == ["keyring-added", "keyring-removed"]
        assert not (await home.keyring.status()).added


async def test_a_second_add_whose_receipt_fails_leaves_the_first(path: Path, use: Ring) -> None:
    """The journal says that the keyring opens the home, and so it does still; a removal whose receipt fails says what
    is, and the receipt is written by the next one."""
    def full(*_: object) -> None:
        raise StorageFailed("the disk is full")

    ring = MemoryRing()
    await added(path, ring, use)
    kept = dict(ring.kept)
    async with chez.open(path) as home:
        home._database.before_commit, before = full, home._database.before_commit
        with pytest.raises(StorageFailed):
            await home.keyring.add()
        assert ring.kept == kept and (await home.keyring.status()).opens
        with pytest.raises(StorageFailed, match="opens this home no longer"):
            await home.keyring.remove()
        assert not (await home.keyring.status()).added
        home._database.before_commit = before
        assert not await home.keyring.remove()
        assert [one.kind for one in await home.journal.receipts()][1:] == ["keyring-added", "keyring-removed"]


async def test_who_only_reads_changes_no_way_in(path: Path, use: Ring) -> None:
    """It can write no receipt, so it neither adds nor removes: either took away what opened the home."""
    await added(path, MemoryRing(), use)
    async with chez.open(path, read_only=True) as beside:
        for call in (beside.keyring.add, beside.keyring.remove):
            with pytest.raises(NotAllowed, match="reading only"):
                await call()
        assert (await beside.keyring.status()).opens


async def test_a_home_opens_without_its_passphrase_once_added(path: Path, use: Ring) -> None:
    """add lets it open, remove ends that; both are receipts, and the passphrase works throughout."""
    ring = MemoryRing()
    with pytest.raises(HomeLocked):
        async with chez.open(path):
            pass
    await added(path, ring, use)
    async with chez.open(path) as home:
        assert (await home.keyring.status()).opens
        assert await home.keyring.remove() and not await home.keyring.remove()
        kinds = [one.kind for one in await home.journal.receipts()]
        assert kinds[-2:] == ["keyring-added", "keyring-removed"]
    assert ring.kept == {} and not (path / KEYRING_FILE).exists()
    with pytest.raises(HomeLocked):
        async with chez.open(path):
            pass
    async with chez.open(path, passphrase=PASSPHRASE):
        pass


async def test_neither_half_opens_it_alone(path: Path, use: Ring) -> None:
    """The keyring holds no key of the home, and the file none either; the passphrase is in neither."""
    ring = MemoryRing()
    await added(path, ring, use)
    async with chez.open(path) as home:
        key = home._database.key.hex()
    [(_, secret)] = ring.kept.items()
    assert key not in secret and PASSPHRASE not in secret
    assert key not in (path / KEYRING_FILE).read_text() and secret not in (path / KEYRING_FILE).read_text()
    assert (path / KEYRING_FILE).stat().st_mode & 0o077 == 0
    kept = dict(ring.kept)
    ring.kept.clear()
    with pytest.raises(HomeLocked, match="no longer holds"):
        keyring_key(path)
    ring.kept.update(dict.fromkeys(kept, "00" * 32))
    with pytest.raises(Damaged):
        keyring_key(path)
    ring.kept.update(dict.fromkeys(kept, "no hex"))
    with pytest.raises(Damaged):
        keyring_key(path)


async def test_a_new_passphrase_leaves_the_keyring_alone(path: Path, use: Ring) -> None:
    """The keyring wraps the database's key, which a change of the passphrase does not touch."""
    await added(path, MemoryRing(), use)
    await chez.change_passphrase(path, PASSPHRASE, "new")
    async with chez.open(path):
        pass
    with pytest.raises(WrongPassphrase):
        async with chez.open(path, passphrase=PASSPHRASE):
            pass


async def test_a_keyring_that_refuses_a_second_add_leaves_the_first(path: Path, use: Ring,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """What opened the home goes on opening it, whether the keyring refuses or the disk does; no entry is left over."""
    ring = MemoryRing()
    await added(path, ring, use)
    kept = dict(ring.kept)
    async with chez.open(path) as home:
        use(Deaf())
        with pytest.raises(KeyringUnavailable):
            await home.keyring.add()
        use(ring)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(StorageFailed):
                await home.keyring.add()
    assert ring.kept == kept
    async with chez.open(path):
        pass


async def test_a_keyring_that_does_not_load_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is named in the environment and is not there, or breaks, is an error of the keyring."""
    monkeypatch.setattr("keyring.core._keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "nowhere.Keyring")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with pytest.raises(KeyringUnavailable, match="refuses"):
            await home.keyring.add()
        assert "refuses" in (await home.keyring.status()).problem


async def test_a_damaged_key_file_does_not_matter_to_the_keyring(path: Path, use: Ring) -> None:
    """The keyring opens a home whose key file no passphrase opens any more; the journal says that it changed."""
    await added(path, MemoryRing(), use)
    (path / KEY_FILE).write_bytes(b"nonsense")
    async with chez.open(path) as home:
        assert (await home.journal.receipts())[-1].body == {"damaged": True}


async def test_adding_again_leaves_one_secret(path: Path, use: Ring) -> None:
    """A second add replaces the first: nothing piles up in the keyring."""
    ring = MemoryRing()
    await added(path, ring, use)
    await added(path, ring, use)
    assert len(ring.kept) == 1
    async with chez.open(path):
        pass


@pytest.mark.parametrize(("backend", "words"), [
    (fail.Keyring, "no keyring on this system"), (Locked, "refuses"), (Deaf, "does not keep")])
async def test_a_keyring_that_is_none_says_so(path: Path, use: Ring, backend: type[KeyringBackend],
                                               words: str) -> None:
    """None there, a locked one, one that forgets: a typed error each, no file, and the passphrase opens as before."""
    use(backend())
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with pytest.raises(KeyringUnavailable, match=words) as error:
            await home.keyring.add()
        assert error.value.hint and "secret text" not in str(error.value)
        status = await home.keyring.status()
        assert not (status.added or status.opens)
    assert not (path / KEYRING_FILE).exists()


async def test_a_keyring_that_goes_away_later_is_named(path: Path, use: Ring) -> None:
    """Removing works without it, and opening says what is wrong."""
    await added(path, MemoryRing(), use)
    use(Locked())
    with pytest.raises(KeyringUnavailable):
        async with chez.open(path):
            pass
    status = keyring_status(path)
    assert status.added and not status.opens and "refuses" in status.problem
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert await home.keyring.remove()
    assert not keyring_status(path).added


async def test_without_the_library_it_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is an extra: without it, the error names it, and a passphrase opens as ever."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with pytest.raises(KeyringUnavailable, match="not installed") as error:
            await home.keyring.add()
    assert "chez[keyring]" in error.value.hint


FILE = b'{"version": 1, "id": "%s", "nonce": "%s", "wrapped": "%s"}' % (b"01" * 16, b"02" * 24, b"03" * 48)


@given(bytes_like([FILE], (b'"', b"\\", b"9" * 30, b"null", b"{}", b"[" * 3000, b"\xff", "é".encode())))
@settings(max_examples=tries(100), deadline=None)
@example(b"")
@example(FILE)
def test_any_keyring_file_is_opened_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """A damaged file is damaged, and never asks the keyring for something strange."""
    folder = tmp_path_factory.mktemp("ring")
    (folder / KEYRING_FILE).write_bytes(data)
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryRing())
    try:
        attempt(lambda _: keyring_key(folder), data, Damaged, HomeLocked)
    finally:
        keyring.set_keyring(before)


def test_every_flipped_bit_of_the_file_is_noticed(tmp_path: Path, use: Ring) -> None:
    """Whatever is changed in the file, it does not open with another key."""
    use(MemoryRing())
    add_key(tmp_path, bytes(32))
    good = (tmp_path / KEYRING_FILE).read_bytes()
    for at in range(len(good)):
        (tmp_path / KEYRING_FILE).write_bytes(good[:at] + bytes((good[at] ^ 1,)) + good[at + 1:])
        try:
            assert keyring_key(tmp_path) == bytes(32)  # the case of a hexadecimal digit, a space
        except ChezError:
            pass
