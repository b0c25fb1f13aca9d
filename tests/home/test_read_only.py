"""A home opened for reading only, beside its owner."""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

import chez
from chez import field
from chez.errors import HomeBusy, HomeMissing, NotAllowed, WrongPassphrase
from tests.home.conftest import PASSPHRASE

READER = """
import asyncio, sys, chez
async def main():
    async with chez.open(sys.argv[1], passphrase=sys.argv[2], read_only=True) as home:
        notes = home.collection("notes", indexes=("n",))
        print(await notes.count(), flush=True)
        sys.stdin.readline()
        print([record.value["n"] async for record in notes.where(chez.field("n") >= 0).order_by("n")], flush=True)
asyncio.run(main())
"""


async def test_another_process_reads_beside_the_owner(home: chez.Home) -> None:
    """It sees what is committed each time it looks, and the owner goes on writing."""
    notes = home.collection("notes")
    await notes.put({"n": 1})
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, str(home.path), PASSPHRASE,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert reader.stdin is not None and reader.stdout is not None
    assert await reader.stdout.readline() == b"1\n"
    await notes.put({"n": 2})
    reader.stdin.write(b"\n")
    assert await reader.stdout.readline() == b"[1, 2]\n"
    reader.stdin.close()
    assert await reader.wait() == 0
    await notes.put({"n": 3})


class Price(msgspec.Struct):
    """A price."""

    __collection__ = "prices"
    amount: Decimal


async def test_what_the_owner_declares_counts_for_who_reads(home: chez.Home) -> None:
    """A field that becomes a decimal is one to a reader that asked before."""
    await home.collection("prices").put({"amount": "9.5"}, id="text")
    async with chez.open(home.path, passphrase=PASSPHRASE, read_only=True) as reader:
        query = reader.collection("prices").where(field("amount") > 1)
        assert await query.all() == []
        await home.collection(Price).where().all()
        assert [record.id for record in await query.all()] == ["text"]


async def test_every_write_is_refused(path: Path) -> None:
    """Puts, edits, deletions, transactions, receipts, settings, syncing: a typed error each; reading goes on."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 1}, id="a")
    before = (path / "chez.db").read_bytes()
    async with chez.open(path, passphrase=PASSPHRASE, read_only=True) as home:
        notes = home.collection("notes")

        async def edit() -> None:
            async with notes.edit("a") as draft:
                draft["n"] = 2

        for write in (lambda: notes.put({"n": 2}), lambda: notes.put({"n": 2}, id="a"), lambda: notes.put_many([{}]),
                      edit, lambda: notes.delete("a"), lambda: home.transaction(lambda transaction: None),
                      lambda: home.journal.append("x", {}), lambda: home.set_relay("ws://127.0.0.1:1"),
                      lambda: home.sync("ws://127.0.0.1:1")):
            with pytest.raises(NotAllowed, match="reading only"):
                await write()
        assert (await notes.get("a")).value == {"n": 1}
        assert [record.id async for record in notes.where(field("n") == 1)] == ["a"]
        assert (await home.sql("select count(*) from notes")).rows == [(1,)]
        assert (await home.journal.verify()).ok and (await home.status()).records == 1
        assert await home.examine() == []
    assert (path / "chez.db").read_bytes() == before


async def test_no_lock_is_taken(path: Path) -> None:
    """Readers do not keep an owner out, nor each other; a second owner is told who has the home."""
    async with (chez.open(path, passphrase=PASSPHRASE, read_only=True) as first,
                chez.open(path, passphrase=PASSPHRASE, read_only=True),
                chez.open(path, passphrase=PASSPHRASE) as owner):
        with pytest.raises(HomeBusy, match="process"):
            async with chez.open(path, passphrase=PASSPHRASE):
                pass
        await owner.collection("notes").put({"n": 1}, id="a")
        assert (await first.collection("notes").get("a")).value == {"n": 1}


async def test_what_an_owner_that_was_killed_left_is_read(path: Path, tmp_path: Path) -> None:
    """What was committed and is only in the store's log yet is seen, with no owner running."""
    import shutil

    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 1}, id="a")
        shutil.copytree(path, tmp_path / "left")
    async with chez.open(tmp_path / "left", passphrase=PASSPHRASE, read_only=True) as left:
        assert (await left.collection("notes").get("a")).value == {"n": 1}


async def test_the_same_errors_as_ever(path: Path, tmp_path: Path) -> None:
    """No home, a wrong passphrase."""
    with pytest.raises(HomeMissing):
        async with chez.open(tmp_path / "none", passphrase=PASSPHRASE, read_only=True):
            pass
    with pytest.raises(WrongPassphrase):
        async with chez.open(path, passphrase="wrong", read_only=True):
            pass
