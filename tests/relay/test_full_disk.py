"""The real relay on a filesystem without room: a typed refusal, nothing acknowledged is lost, and on it goes."""

import asyncio
import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chez.errors import RelayRefused
from chez.sync.connection import RelayConnection, connect
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.writeback import PAGE_BYTES
from chez_wire.frames import Entry
from chez_wire.limits import MAX_FRAME
from chez_wire.login import Role
from tests.missing import leave_out
from tests.relay.support import Process, Space, relay
from tests.relay.test_operating import STATUS, fetched, status

SPACE = Space()
ROOM = 3 * 1024 * 1024
LOG_INDEX = 4060
"""How many pages of the log the smallest file beside the store tells of, in which SQLite finds them: then it grows."""
FILLER = "of another program"
APART = ("unshare", "--user", "--map-root-user", "--mount")
"""Mounting needs rights that anybody has in a namespace of one's own, where the system lets people make one."""


def mounting(folder: Path, room: int = ROOM) -> tuple[str, ...]:
    """A command in front of another, which then has a small filesystem of its own at the folder."""
    return (*APART, "sh", "-c", f'mount -t tmpfs -o size={room} tmpfs "$0" && exec "$@"', str(folder))


def cannot_mount(folder: Path) -> str:
    """Why this system lets nobody have a filesystem of their own; empty where it does."""
    try:
        tried = subprocess.run([*mounting(folder), "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    return f"no filesystem can be mounted: {tried.stderr.strip()}" if tried.returncode else ""


@asynccontextmanager
async def cramped(folder: Path, *options: str, room: int = ROOM) -> AsyncIterator[tuple[Process, Path]]:
    """A relay whose data folder has so much room, and where that folder is to be found from here."""
    folder.mkdir()
    if why := cannot_mount(folder):
        leave_out(why)
    command = (*mounting(folder, room), sys.executable, "-m", "chez_relay")
    async with relay(folder, *options, command=command) as process:
        yield process, Path(f"/proc/{process.process.pid}/root{folder}")


def fill(inside: Path) -> Path:
    """Take all the room that is left, as another program would."""
    filler = inside / FILLER
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError) as full:
        while True:
            file.write(bytes(4096))
    assert full.value.errno == errno.ENOSPC
    return filler


async def log_in(device: RelayConnection) -> None:
    await device.create_space(SPACE.admin, *SPACE.others)
    await device.open(SPACE.claims(Role.READ, Role.APPEND))


async def log(device: RelayConnection) -> list[Entry]:
    entries: list[Entry] = []
    while True:
        page = await device.read(SPACE.handle, len(entries))
        entries += page.entries
        if len(entries) == page.end:
            return entries


async def append_until_full(device: RelayConnection, first: int, size: int) -> list[bytes]:
    """The envelopes that were acknowledged before one was refused."""
    acknowledged: list[bytes] = []
    with pytest.raises(RelayRefused) as caught:
        for number in range(first, first + 1000):
            envelope = SPACE.envelope(number, size)
            await device.append(SPACE.handle, Role.APPEND, envelope)
            acknowledged.append(envelope)
    assert caught.value.reason == "storage"
    return acknowledged


@pytest.mark.parametrize("size", [300, 60_000])
async def test_on_a_full_filesystem_appends_are_refused_and_nothing_is_lost(tmp_path: Path, size: int) -> None:
    """Full before or in the middle of a commit, once and again: refused; what was acknowledged is read, is whole on the
    disk, and after room is made the same connection appends behind it."""
    async with cramped(tmp_path / "data") as (process, inside), connect(process.url) as device:
        await log_in(device)
        acknowledged = []
        for again in range(3):
            acknowledged.append(SPACE.envelope(10_000 * again, size))
            await device.append(SPACE.handle, Role.APPEND, acknowledged[-1])
            filler = fill(inside)
            acknowledged += await append_until_full(device, 10_000 * again + 1, size)
            assert [one.envelope for one in await log(device)] == acknowledged
            copied = tmp_path / f"copy {again}"
            shutil.copytree(inside, copied, ignore=shutil.ignore_patterns(FILLER, "relay.lock"))
            report = check(copied / FILE_NAME)
            assert report.sound and len(acknowledged) <= report.entries
            filler.unlink()
        last = SPACE.envelope(99_999, size)
        assert (await device.append(SPACE.handle, Role.APPEND, last)).offset == len(acknowledged) + 1
        assert [one.envelope for one in await log(device)] == [*acknowledged, last]


async def test_a_filesystem_filled_by_entries_alone_refuses_and_reads_on(tmp_path: Path) -> None:
    """Without anybody else on it: when the store has taken all the room, what is there is read, and others log in."""
    async with cramped(tmp_path / "data") as (process, _):
        async with connect(process.url) as device:
            await log_in(device)
            acknowledged = await append_until_full(device, 0, 60_000)
        async with connect(process.url) as other:
            await other.open(SPACE.claims(Role.READ, Role.APPEND))
            assert [one.envelope for one in await log(other)] == acknowledged
            with pytest.raises(RelayRefused) as caught:
                await other.append(SPACE.handle, Role.APPEND, SPACE.envelope(5000, 900_000))
            assert caught.value.reason == "storage"


async def test_a_relay_on_a_full_filesystem_is_not_ready_until_there_is_room(tmp_path: Path) -> None:
    """What it does by itself now and then, or for who sends again what is there, has nothing to write, and does not
    pass for a write that worked."""
    often = ("--set", "limits.expiry_interval=0.05")
    async with cramped(tmp_path / "data", *STATUS, *often) as (process, inside), connect(process.url) as device:
        url = await status(process)
        await log_in(device)
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2000))
        filler = fill(inside)
        await append_until_full(device, 0, 300)
        seen = set()
        for _ in range(20):
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2000))  # it is there
            seen.add((await fetched(f"{url}/readyz"))[0])
            await asyncio.sleep(0.05)
        assert seen == {503}
        filler.unlink()
        async with asyncio.timeout(60):
            while (await fetched(f"{url}/readyz"))[0] != 200:  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.05)


async def test_a_relay_with_a_used_up_quota_is_not_ready_until_it_may_write_again(tmp_path: Path) -> None:
    """The disk has room and the system refuses all the same: as on a full disk, and no restart is needed after it."""
    often = ("--set", "limits.expiry_interval=0.05")
    async with relay(tmp_path / "data", *STATUS, *often) as process, connect(process.url) as device:
        url = await status(process)
        await log_in(device)
        # The room that the log was given is beyond it, and so is a frame, with which the relay tries the disk.
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (MAX_FRAME // 2, resource.RLIM_INFINITY))
        acknowledged = await append_until_full(device, 0, 3000)
        codes = set()
        for _ in range(6):
            await asyncio.sleep(0.05)
            codes.add((await fetched(f"{url}/readyz"))[0])
        assert codes == {503}
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        acknowledged.append(SPACE.envelope(99_999))
        await device.append(SPACE.handle, Role.APPEND, acknowledged[-1])
        assert [one.envelope for one in await log(device)] == acknowledged
        assert (await fetched(f"{url}/readyz"))[0] == 200


async def test_a_full_filesystem_on_which_the_index_of_the_log_can_not_grow_is_no_broken_disk(tmp_path: Path) -> None:
    """A commit has its last pages of room when SQLite makes that file longer, which it calls an I/O error."""
    async with cramped(tmp_path / "data", room=24 << 20) as (process, inside), connect(process.url) as device:
        await log_in(device)
        written, beside = inside / f"{FILE_NAME}-wal", inside / f"{FILE_NAME}-shm"
        acknowledged: list[bytes] = []
        while (left := LOG_INDEX - written.stat().st_size // (PAGE_BYTES + 24)) > 40:
            acknowledged.append(SPACE.envelope(len(acknowledged), 60_000 if left > 120 else 300))
            await device.append(SPACE.handle, Role.APPEND, acknowledged[-1])
        before, failed = beside.stat().st_size, False
        while not failed:
            filler = fill(inside)
            os.truncate(filler, filler.stat().st_size - 4 * 4096)  # enough for the log alone
            try:
                await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(len(acknowledged)))
                acknowledged.append(SPACE.envelope(len(acknowledged)))
            except RelayRefused:
                failed = beside.stat().st_size > before
            filler.unlink()
        assert beside.stat().st_size < 2 * before, "it had room for that"
        acknowledged.append(SPACE.envelope(99_999))
        await device.append(SPACE.handle, Role.APPEND, acknowledged[-1])
        assert [one.envelope for one in await log(device)] == acknowledged
        copied = tmp_path / "copy"
        shutil.copytree(inside, copied, ignore=shutil.ignore_patterns("relay.lock"))
        assert check(copied / FILE_NAME).sound
