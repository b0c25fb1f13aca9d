"""Backups: what is in them comes out again, and nothing stays by half."""

import asyncio
import errno
import os
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import chez
from chez import crypto
from chez.errors import Damaged, HomeExists, InvalidValue, NotAllowed, NotFound, StorageFailed
from chez.journal import Journal
from tests.blobs.support import CHUNK as PIECE
from tests.blobs.support import content, read
from tests.home.conftest import PASSPHRASE
from tests.home.restoring import restored
from tests.home.test_doctor import harm
from tests.home.test_import_twice import everything


async def test_what_was_backed_up_is_restored(home: chez.Home, tmp_path: Path) -> None:
    """Records of all kinds, settings and receipts are there again, on a device with keys of its own."""
    notes = home.collection("notes")
    await notes.put({"at": datetime(2024, 1, 1, tzinfo=UTC), "raw": b"\0", "list": [1, {"a": None}]}, id="a")
    await notes.put({"n": 1}, id="gone")
    await notes.delete("gone")
    await home.set_relay("ws://127.0.0.1:1")
    for number in range(250):
        await notes.put({"n": number}, id="long")
    report = await home.backup(tmp_path / "backup", verify=True)
    assert report.verified and report.bytes == (tmp_path / "backup").stat().st_size
    assert oct((tmp_path / "backup").stat().st_mode & 0o777) == "0o600"
    assert (await home.journal.receipts())[-1].body["sha256"] == report.sha256
    before = await everything(home)
    made = (await notes.history("a"))[-1].time
    done = await restored(tmp_path / "backup", tmp_path / "again", name="second")
    assert (done.name, done.former, done.records) == ("second", home.device_id, 2)
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert await everything(again) == before
        assert again.device_id == done.device != home.device_id
        assert (again.person_id, again.name, again.relay) == (home.person_id, "second", "ws://127.0.0.1:1")
        assert (await again.collection("notes").history("a"))[-1].time == made  # though it is said anew
        await again.collection("notes").put({"writes": "again"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "backup", "home"]
    assert not list(home.path.glob(".backup-*"))


async def test_what_a_killed_restore_left_is_taken_away_by_the_next(home: chez.Home, tmp_path: Path) -> None:
    """A copy of the whole store would stay for each; one that is at it still, or is another home's, is left alone."""
    await home.collection("notes").put({"n": 1}, id="a")
    await home.backup(tmp_path / "backup")
    for path in (tmp_path / "again", tmp_path / "again", tmp_path / "other"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.home.restoring", str(tmp_path / "backup"), str(path))
        assert await process.wait() == -9 and not path.exists()
    left = sorted(path.name for path in tmp_path.glob(".*"))
    assert [name[:7] for name in left] == [".again.", ".other."]
    await restored(tmp_path / "backup", tmp_path / "again")
    assert [path.name for path in tmp_path.glob(".*")] == left[1:]
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert [note.id async for note in again.collection("notes")] == ["a"]
    assert not list((tmp_path / "again").glob("*recovering*"))


@pytest.mark.slow
async def test_a_backup_is_one_moment_of_a_home_in_use(home: chez.Home, tmp_path: Path) -> None:
    """Records that change together are never apart in a backup made while they change."""
    notes = home.collection("notes")
    await notes.put_many([{"n": 0, "pad": "x" * 500} for _ in range(2000)], ids=[f"{n:04d}" for n in range(2000)])
    making = asyncio.create_task(home.backup(tmp_path / "backup"))
    turns = 0
    while not making.done():
        turns += 1
        await notes.put_many([{"n": turns}, {"n": turns}], ids=["0000", "1999"])
    await making
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        first, last = [(await again.collection("notes").get(id)).value for id in ("0000", "1999")]
        assert turns > 1 and first["n"] == last["n"]
        assert await again.collection("notes").count() == 2000


async def test_who_closes_a_home_ends_its_backup_and_waits_for_that(
        path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was copied after that was sealed under the wiped key, zeros, which everybody has."""
    loop, begun, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def gate(*_: object, **options: Any) -> str:
        loop.call_soon_threadsafe(begun.set)
        assert goes_on.wait(60)
        return mkdtemp(**options)

    mkdtemp = tempfile.mkdtemp
    monkeypatch.setattr("chez.home.backup.tempfile.mkdtemp", gate)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        making = asyncio.create_task(home.backup(tmp_path / "backup"))
        await begun.wait()
        loop.call_later(0.1, goes_on.set)  # the home is being closed by then
    with pytest.raises(StorageFailed, match="closed"):
        await making
    assert [one.name for one in tmp_path.iterdir()] == ["home"] and not list(path.glob(".backup-*"))


async def test_no_backup_is_left_that_the_journal_does_not_tell_of(
        path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a home that is opened for reading alone none is made."""
    async with chez.open(path, passphrase=PASSPHRASE, read_only=True) as home:
        with pytest.raises(NotAllowed, match="reading only"):
            await home.backup(tmp_path / "backup")

    async def full(*_: object) -> None:
        raise StorageFailed("the disk is full")

    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with monkeypatch.context() as patch, pytest.raises(StorageFailed, match="full"):
            patch.setattr(Journal, "append", full)
            await home.backup(tmp_path / "backup")
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


async def test_a_backup_of_what_is_damaged_is_not_said_to_be_tried(path: Path, tmp_path: Path) -> None:
    """Who has it tried hears that it restores a damaged store, and no file stays; untried, it is made all the same."""
    harm(path, lambda db: db.execute("INSERT INTO witness VALUES (999, x'00', 1, x'00')"))
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with pytest.raises(Damaged, match="what this backup restores is damaged"):
            await home.backup(tmp_path / "backup", verify=True)
        assert [one.name for one in tmp_path.iterdir()] == ["home"] and await home.journal.receipts("backup") == []
        assert not (await home.backup(tmp_path / "backup")).verified


async def test_the_journal_goes_on_where_the_old_one_ends(home: chez.Home, tmp_path: Path) -> None:
    """The old receipts stay, bound by the new journal's first line: cut or changed, it does not verify."""
    await home.collection("notes").put({"n": 1})
    await home.journal.append("told", {"what": "before"})
    old = await home.journal.receipts()
    await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert [receipt.kind for receipt in await again.journal.receipts()] == ["device-renewed"]
        assert [receipt for _, receipt in await again.journal.former()] == old
        assert (await again.journal.verify()).ok
        await again.backup(tmp_path / "second")
        await again._database.write(lambda db: db.execute("DELETE FROM former_receipt WHERE number = 2"))
        assert "cut" in (await again.journal.verify()).problem
    await restored(tmp_path / "second", tmp_path / "third")
    async with chez.open(tmp_path / "third", passphrase=PASSPHRASE) as third:
        assert (await third.journal.verify()).ok and len(await third.journal.former()) == 3
        await third._database.write(lambda db: db.execute(
            "UPDATE former_receipt SET body = '{}' WHERE device = ? AND number = 2", (home.device_id,)))
        assert "changed" in (await third.journal.verify()).problem


async def test_a_restored_device_has_nothing_to_spend(home: chez.Home, tmp_path: Path) -> None:
    """Accounts are closed, those that the backup did not know among them, until the person allows something anew."""
    await home.journal.reserve({"provider:x": 100.0}, 40.0, "run", {})
    await home.journal.allow(["provider:x", "provider:z"], 50.0)  # says nothing where no account is closed, or later
    await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        for name in ("provider:x", "provider:y", "provider:z"):
            with pytest.raises(NotAllowed, match="closed"):
                await again.journal.reserve({name: 100.0}, 1.0, "run", {})
        await again.journal.allow(["provider:x", "provider:y"], 10.0)
        await again.transaction(lambda transaction: transaction.allow(["provider:y"], 10.0))
        await again.journal.reserve({"provider:x": 100.0, "provider:y": 100.0}, 9.0, "run", {})
        with pytest.raises(NotAllowed, match="closed"):
            await again.journal.reserve({"provider:x": 100.0, "provider:y": 100.0}, 9.0, "run", {})
        await again.journal.reserve({"provider:y": 100.0}, 11.0, "run", {})
        assert [await again.journal.spent(f"provider:{one}") for one in "xyz"] == [49.0, 20.0, 0.0]
        await again.journal.allow(["provider:x"], 1000.0)
        with pytest.raises(NotAllowed, match="budget"):  # what the former device spent counts
            await again.journal.reserve({"provider:x": 100.0}, 52.0, "run", {})
        for strange in (-1.0, float("nan"), float("inf")):
            with pytest.raises(InvalidValue):
                await again.journal.allow(["provider:x"], strange)
        await again.backup(tmp_path / "second")
    await restored(tmp_path / "second", tmp_path / "third")
    async with chez.open(tmp_path / "third", passphrase=PASSPHRASE) as third:  # another device again
        with pytest.raises(NotAllowed, match="closed"):
            await third.journal.reserve({"provider:x": 100.0}, 1.0, "run", {})
    await home.journal.reserve({"provider:x": 100.0}, 60.0, "run", {})


async def test_what_is_in_the_way_stays(home: chez.Home, tmp_path: Path) -> None:
    """Neither a backup nor a restored home is written over anything; what is missing is told."""
    await home.backup(tmp_path / "backup")
    with pytest.raises(InvalidValue):
        await home.backup(tmp_path / "backup")
    with pytest.raises(HomeExists):
        await restored(tmp_path / "backup", home.path)
    with pytest.raises(NotFound):
        await restored(tmp_path / "nothing", tmp_path / "again")
    with pytest.raises(InvalidValue):
        await restored(tmp_path / "backup", tmp_path / "again", name="")
    with pytest.raises(NotFound, match=r"there is no folder .*no folder.*Make it"):
        await home.backup(tmp_path / "no folder" / "backup")
    with pytest.raises(NotFound, match="there is no folder"):
        await home.backup(tmp_path / "backup" / "backup")
    with pytest.raises(StorageFailed):
        await home.backup(Path("/proc/backup"))
    assert not (tmp_path / "again").exists() and not list(home.path.glob(".backup-*"))


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("taken", [True, False])
async def test_what_comes_into_the_way_at_the_last_moment_stays(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, taken: bool) -> None:
    """Whoever made a file of that name just before the backup got it keeps it, also on a disk without hard links; where
    nobody did the backup is there all the same."""
    def coming(name: str) -> Any:
        true = getattr(os, name)

        def call(source: Any, target: Any, **options: Any) -> None:
            if taken and not path.exists():
                path.write_bytes(b"another's")
            if name == "link" and not links:
                raise OSError(errno.EPERM, "Operation not permitted")
            true(source, target, **options)

        return call

    path = tmp_path / "backup"
    with monkeypatch.context() as patch:
        for name in ("link", "rename", "replace"):
            patch.setattr(os, name, coming(name))
        if taken:
            with pytest.raises(InvalidValue, match="by now"):
                await home.backup(path)
        else:
            await home.backup(path)
    if taken:
        assert path.read_bytes() == b"another's" and await home.journal.receipts("backup") == []
    else:
        await restored(path, tmp_path / "again")
    assert {one.name for one in tmp_path.iterdir()} <= {"again", "backup", "home"}


@pytest.mark.slow
async def test_progress_and_cancelling(home: chez.Home, tmp_path: Path) -> None:
    """Progress rises to the total, over the trial too; a backup that is cancelled leaves nothing."""
    await home.collection("notes").put_many([{"pad": crypto.random_bytes(500)} for _ in range(4000)])
    seen: list[tuple[int, int]] = []
    await home.backup(tmp_path / "backup", verify=True, progress=lambda done, total: seen.append((done, total)))
    await asyncio.sleep(0)
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] and len(seen) > 10
    started = asyncio.Event()
    task = asyncio.create_task(home.backup(tmp_path / "cut", progress=lambda *_: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "home"]
    assert not list(home.path.glob(".backup-*"))


async def test_attachments_are_in_a_backup(home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sealed pieces come out again, private to the person; trying a backup takes no room for them."""
    data = content(3 * PIECE + 5)
    blob = await home.blobs.add(data)
    await home.collection("notes").put({"file": blob}, id="a")
    made: list[str] = []

    def watched(path: Path, *args: int, **options: int) -> int:
        made.append(str(path))
        return os_open(path, *args, **options)

    os_open = os.open
    monkeypatch.setattr("chez.home.backup.os.open", watched)
    await home.backup(tmp_path / "backup", verify=True)
    assert made and not any("blobs" in name for name in made)
    monkeypatch.undo()
    assert data[:64] not in (tmp_path / "backup").read_bytes()
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        kept = (await again.collection("notes").get("a")).value["file"]
        assert kept == blob and await read(again, kept) == data
        assert (await again.blobs.info(kept)).at_relay is False
    for path in (tmp_path / "again" / "blobs").rglob("*"):
        assert oct(path.stat().st_mode & 0o777) == ("0o700" if path.is_dir() else "0o600")
    assert all(not path.stat().st_mode & 0o077 for path in (tmp_path / "again").glob("chez*"))
    assert not (tmp_path / "again" / "blobs").stat().st_mode & 0o077


async def test_what_is_attached_meanwhile_is_not_in_a_backup(home: chez.Home, tmp_path: Path) -> None:
    """A piece that the backup's store does not hold, as one written since, is left out: there it would be nobody's."""
    blob = await home.blobs.add(b"before")
    await home.collection("notes").put({"file": blob}, id="a")
    stray = home.path / "blobs" / "ab" / ("cd" * 31)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"sealed since")
    await home.backup(tmp_path / "backup", verify=True)
    await restored(tmp_path / "backup", tmp_path / "again")
    assert not (tmp_path / "again" / "blobs" / "ab" / stray.name).exists()
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        assert await read(again, blob) == b"before"
