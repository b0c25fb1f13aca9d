"""An app whose disk fills up; run as `python -m tests.home.filling FOLDER HOW`, HOW `disk` or `limit`.

`disk`: FOLDER is on a small filesystem, and a file in it is ballast that is removed to make
room. `limit`: the process may write no file beyond a size (RLIMIT_FSIZE), which is raised to
make room; the kernel then answers EFBIG instead of ENOSPC.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path
from random import Random
from typing import Any

import chez
from chez import field
from chez.crypto import Kdf
from chez.errors import ChezError, StorageFailed
from tests.home.consistency import problems

PASSPHRASE = "correct horse"
LIMIT = 3 << 20
BALLAST = 8 << 20
DISK = 14 << 20
"""Beside the ballast the write-ahead log fits, which is checkpointed from 4 MB on, and its
checkpoint, which needs as much again, does not: the disk fills up in the middle of one."""

Kept = dict[str, dict[str, Any]]


def squeeze(folder: Path, how: str) -> None:
    """Leave little room. Python ignores SIGXFSZ, so a file at its limit is an error of the write."""
    if how == "disk":
        (folder / "ballast").write_bytes(bytes(BALLAST))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))


def make_room(folder: Path, how: str) -> None:
    """Undo `squeeze`."""
    if how == "disk":
        (folder / "ballast").unlink()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def refused(error: BaseException | None, how: str) -> None:
    """A write that found no room says so, with a hint."""
    assert isinstance(error, StorageFailed) and error.recoverable, error
    if how == "disk":
        assert "full" in error.message and "Free some space" in error.hint, error
    else:
        assert error.hint, error


async def fill(home: chez.Home, kept: Kept, how: str) -> None:
    """Write until there is no room, large values and then small ones."""
    notes, random = home.collection("notes"), Random(1)
    for size in (60_000, 200):
        while True:
            value = {"n": len(kept), "text": random.randbytes(size // 2).hex()}
            try:
                await notes.put(value, id=f"n{len(kept)}")
            except ChezError as error:
                refused(error, how)
                break
            kept[f"n{len(kept)}"] = value


async def write_in_vain(home: chez.Home, kept: Kept, how: str) -> None:
    """Every kind of write, side by side: nothing is acknowledged, and nothing of it is there."""
    notes, big = home.collection("notes"), "x" * 100_000

    async def edit() -> None:
        async with notes.edit("n0") as draft:
            draft["text"] = big

    outcomes = await asyncio.gather(
        *(notes.put({"text": big + str(n)}, id=f"vain{n}") for n in range(5)), notes.put({"text": big}, id="n1"),
        edit(), notes.put_many([{"text": big * 6, "n": n} for n in range(30)], ids=[f"huge{n}" for n in range(30)]),
        notes.put_many([{"text": big, "n": n} for n in range(50)], ids=[f"many{n}" for n in range(50)]),
        home.transaction(lambda transaction: transaction.put(notes, {"text": big}, id="moved")),
        home.journal.append("note", {"text": big}), return_exceptions=True)  # fmt: skip
    for outcome in outcomes:
        refused(outcome if isinstance(outcome, BaseException) else None, how)
    await check(home, kept)


async def check(home: chez.Home, kept: Kept) -> None:
    """Reading works in every way, and gives exactly what was acknowledged."""
    notes = home.collection("notes")
    assert {record.id: record.value async for record in notes} == kept
    assert (await notes.get("n0")).value == kept["n0"]
    assert await notes.where(field("n") >= 0).count() == len(kept)
    assert (await home.sql("SELECT count(*) FROM notes")).rows == [(len(kept),)]
    assert (await home.status()).records == len(kept)
    assert (await home.journal.verify()).ok
    assert await home._database.read(lambda db: problems(db, home.device_id)) == []


async def write_again(home: chez.Home, kept: Kept, name: str) -> None:
    """Writing works: a new record, an edit of one whose edit failed, a batch."""
    notes = home.collection("notes")
    kept[name] = {"n": 10_000, "text": "y" * 100_000}
    await notes.put(kept[name], id=name)
    async with notes.edit("n0") as draft:
        draft["text"] = kept["n0"]["text"] = name
    batch = {f"{name}{n}": {"n": n} for n in range(20)}
    await notes.put_many(batch.values(), ids=batch)
    kept.update(batch)
    await check(home, kept)


async def main() -> None:
    """Full twice: room is made for a home that is open, and for one that is closed meanwhile."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    path, kept = folder / "home", Kept()
    await chez.create(path, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    squeeze(folder, how)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await fill(home, kept, how)
        await write_in_vain(home, kept, how)
        make_room(folder, how)
        await write_again(home, kept, "open")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await check(home, kept)
    if how == "disk":
        await full_while_closed(folder, kept)
    assert sorted(os.listdir(folder)) == ["home"]


async def full_while_closed(folder: Path, kept: Kept) -> None:
    """A home that is closed and opened on a full disk reads; after room was made it writes."""
    path, disk = folder / "home", os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize - (2 << 20)))
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await fill(home, kept, "disk")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await fill(home, kept, "disk")
        await write_in_vain(home, kept, "disk")
    other = await asyncio.gather(chez.create(folder / "other", passphrase=PASSPHRASE, kdf=Kdf.minimum()),
                                 return_exceptions=True)  # fmt: skip
    assert isinstance(other[0], StorageFailed) and "Free some space" in other[0].hint, other
    assert sorted(os.listdir(folder)) == ["ballast", "home"]
    make_room(folder, "disk")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await write_again(home, kept, "closed")


if __name__ == "__main__":
    asyncio.run(main())
