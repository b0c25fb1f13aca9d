"""Changing the passphrase: one of the two opens the home at every instant, and the journal tells of it."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import Damaged, HomeBusy, InvalidValue, NotAllowed, StorageFailed, WrongPassphrase
from chez.store.keyfile import KEY_FILE, cost_of, read_key
from tests.cuts import Cutter, each_cut
from tests.home.changing import NEW, OLD
from tests.home.conftest import PASSPHRASE

ROOT = Path(__file__).resolve().parents[2]


async def opens(path: Path, passphrase: str) -> bool:
    """Whether a passphrase opens a home; the journal must hold then."""
    try:
        async with chez.open(path, passphrase=passphrase) as home:
            assert (await home.journal.verify()).ok
            return True
    except WrongPassphrase:
        return False


async def kinds(path: Path, passphrase: str) -> list[str]:
    """The kinds of the receipts."""
    async with chez.open(path, passphrase=passphrase) as home:
        return [one.kind for one in await home.journal.receipts()]


async def test_the_new_one_opens_and_the_old_one_does_not(path: Path) -> None:
    """Only the key file changes, its cost stays, and there is one receipt, also after later openings."""
    before = (path / KEY_FILE).read_bytes()
    key = read_key(path, OLD)
    await chez.change_passphrase(path, OLD, NEW)
    assert read_key(path, NEW) == key and not await opens(path, OLD) and await opens(path, NEW)
    assert cost_of((path / KEY_FILE).read_bytes()) == cost_of(before) == Kdf.minimum()
    assert (await kinds(path, NEW)).count("passphrase-changed") == 1
    assert (path / KEY_FILE).stat().st_mode & 0o077 == 0 and not (path / (KEY_FILE + ".new")).exists()


async def test_the_cost_of_guessing_can_be_raised(path: Path) -> None:
    """With a cost given the new file has that; the receipt says which."""
    await chez.change_passphrase(path, OLD, OLD, kdf=Kdf(2, 16 * 1024))
    assert cost_of((path / KEY_FILE).read_bytes()) == Kdf(2, 16 * 1024)
    async with chez.open(path, passphrase=OLD) as home:
        assert (await home.journal.receipts("passphrase-changed"))[0].body == {"passes": 2, "memory": 16 * 1024}


async def test_what_is_refused_changes_nothing(home: chez.Home, path: Path) -> None:
    """A wrong old passphrase, an empty new one, a home that is open elsewhere: the file stays, byte for byte."""
    before = (path / KEY_FILE).read_bytes()
    with pytest.raises(WrongPassphrase):
        await home.change_passphrase("wrong", NEW)
    with pytest.raises(InvalidValue, match="empty"):
        await home.change_passphrase(OLD, "")
    with pytest.raises(InvalidValue, match="empty"):
        await chez.change_passphrase(path, OLD, "")
    with pytest.raises(HomeBusy):
        await chez.change_passphrase(path, OLD, NEW)
    assert (path / KEY_FILE).read_bytes() == before
    assert await home.journal.receipts("passphrase-changed") == []


async def test_two_changes_at_once_have_one_winner(home: chez.Home, path: Path) -> None:
    """Who is told that it worked has the passphrase that opens; the other is told that it did not."""
    results = await asyncio.gather(*[home.change_passphrase(OLD, f"new {n}") for n in range(3)],
                                   return_exceptions=True)
    [winner] = [n for n, result in enumerate(results) if result is None]
    assert read_key(path, f"new {winner}")
    # One that has read the key file only once the winner's is there is told that the old passphrase is wrong.
    assert all(isinstance(result, NotAllowed | WrongPassphrase) for n, result in enumerate(results) if n != winner)
    assert len(await home.journal.receipts("passphrase-changed")) == 1


async def test_a_failing_disk_leaves_the_old_one(home: chez.Home, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file can't be written, and when the commit fails after it was: the old one opens, as the error says."""
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StorageFailed, match="disk is full"):
            await home.change_passphrase(OLD, NEW)
    assert read_key(path, OLD)

    def failing(db: object) -> None:
        raise StorageFailed("the disk is full")

    home._database.before_commit, before = failing, home._database.before_commit
    with pytest.raises(StorageFailed):
        await home.change_passphrase(OLD, NEW)
    home._database.before_commit = before
    assert read_key(path, OLD) and await home.journal.receipts("passphrase-changed") == []
    await home.change_passphrase(OLD, NEW)
    assert read_key(path, NEW)


@pytest.mark.parametrize("error", [StorageFailed("the disk is full"), Damaged("malformed"), MemoryError()])
@pytest.mark.parametrize("given_up", [False, True])
async def test_a_receipt_that_is_not_written_leaves_the_old_one(path: Path, error: Exception, given_up: bool) -> None:
    """Whatever its commit fails with, and also where who waits gives up meanwhile: the old one opens the home, and the
    next change is an ordinary one."""
    def failing(db: object) -> None:
        assert read_key(path, NEW)
        if given_up:
            loop.call_soon_threadsafe(task.cancel)
            time.sleep(0.05)
        raise error

    loop = asyncio.get_running_loop()
    async with chez.open(path, passphrase=OLD) as home:
        home._database.before_commit, before = failing, home._database.before_commit
        task = asyncio.create_task(home.change_passphrase(OLD, NEW))
        await asyncio.wait((task,))
        assert read_key(path, OLD)
        assert task.cancelled() if given_up else isinstance(task.exception(), StorageFailed | Damaged)
        home._database.before_commit = before
        await home.change_passphrase(OLD, NEW)
    assert await kinds(path, NEW) == ["home-created", "passphrase-changed"]


async def test_a_disk_that_fails_again_when_the_old_one_is_put_back(
        home: chez.Home, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one is in place, though not durably yet: nobody is told that it is the new one."""
    def failing(db: object) -> None:
        monkeypatch.setattr("chez.store.keyfile.sync_folder", failing_folder)
        raise StorageFailed("the disk is full")

    def failing_folder(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    home._database.before_commit = failing
    with pytest.raises(StorageFailed, match="the disk is full"):
        await home.change_passphrase(OLD, NEW)
    assert read_key(path, OLD)


@pytest.mark.parametrize("late", [False, True])
async def test_who_gives_up_finds_it_changed_or_as_it_was(path: Path, late: bool) -> None:
    """Given up at any moment: when that is heard one of the two opens the home, and the journal has a receipt of the
    new one; nothing goes on after."""
    found = set()

    async def trial(path: Path, cutter: Cutter) -> None:
        async with chez.open(path, passphrase=OLD) as home:
            await cutter(home.change_passphrase(OLD, NEW))
            at_once, receipts = (path / KEY_FILE).read_bytes(), await home.journal.receipts("passphrase-changed")
            await home.collection("notes").put({}, id="a")  # after all that was being written
            assert (path / KEY_FILE).read_bytes() == at_once
            assert await home.journal.receipts("passphrase-changed") == receipts
        assert await opens(path, NEW if receipts else OLD) and not await opens(path, OLD if receipts else NEW)
        found.add(bool(receipts))

    await each_cut(path, trial, late=late)
    assert found == {False, True}


@pytest.mark.slow
async def test_killed_at_any_call_one_of_the_two_opens(path: Path, tmp_path: Path) -> None:
    """A process that dies before or after each call to the system leaves a home that old or new opens, never neither.

    Where it is the new one, the journal has a receipt: the change's own, or that the opening saw another key file.
    """
    async with chez.open(path, passphrase=OLD):
        pass  # the store knows its key file

    folder = tmp_path / "killed"
    folder.mkdir()
    words = [sys.executable, "-m", "tests.home.changing", "change", str(path), str(folder)]
    await asyncio.to_thread(subprocess.run, words, check=True, timeout=250, cwd=ROOT)
    found = {}
    for copy in sorted(folder.iterdir()):
        old, new = await opens(copy, OLD), await opens(copy, NEW)
        assert old != new, copy
        found[copy.name] = "new" if new else "old"
        written = await kinds(copy, NEW if new else OLD)
        changed = written.count("passphrase-changed") + written.count("key-file-changed")
        assert changed == (1 if new else 0), (copy, written)
    assert len(found) >= 8 and set(found.values()) == {"old", "new"}


async def test_a_key_file_put_back_is_seen(path: Path, tmp_path: Path) -> None:
    """Who puts an old key file back opens the home with the old passphrase; the journal says that it changed."""
    async with chez.open(path, passphrase=OLD):
        pass
    shutil.copy(path / KEY_FILE, tmp_path / "kept")
    await chez.change_passphrase(path, OLD, NEW)
    shutil.copy(tmp_path / "kept", path / KEY_FILE)
    assert (await kinds(path, OLD))[-1] == "key-file-changed"
    assert (await kinds(path, OLD)).count("key-file-changed") == 1


async def test_a_backup_keeps_the_passphrase_it_was_made_with(home: chez.Home, tmp_path: Path) -> None:
    """A backup made before opens with the old one; the home that comes of it has no false receipt."""
    await home.backup(tmp_path / "backup")
    await home.change_passphrase(OLD, NEW)
    with pytest.raises(WrongPassphrase):
        await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=NEW, kdf=Kdf.minimum())
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=OLD, kdf=Kdf.minimum())
    assert not {"passphrase-changed", "key-file-changed"} & set(await kinds(tmp_path / "again", OLD))


@pytest.mark.parametrize("wrong", ["four \ud800 otters", "\udfff"])
async def test_a_passphrase_that_is_no_text_is_refused(path: Path, tmp_path: Path, wrong: str) -> None:
    """Without an error of the encoding, which would carry it; one with question marks is as good as any."""
    for act in (chez.create(tmp_path / "new", passphrase=wrong, kdf=Kdf.minimum()),
                chez.change_passphrase(path, PASSPHRASE, wrong), chez.change_passphrase(path, wrong, "new?")):
        with pytest.raises(InvalidValue, match="half a surrogate pair") as caught:
            await act
        assert caught.value.__context__ is None
    await chez.change_passphrase(path, PASSPHRASE, "quoi ? \u00e9?")
    async with chez.open(path, passphrase="quoi ? \u00e9?"):
        pass
