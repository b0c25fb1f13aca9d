"""A recovery that is killed leaves nothing half made, at home and at the relay; the same call begins anew."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chez.errors import HomeExists, RelayRefused
from chez_relay.storage.sqlite import FILE_NAME
from tests.people.recovering import DIED, back, founded
from tests.people.support import ids, join, open_again, raw_entries
from tests.relay.within import Within


async def _begun(path: Path, words: str, url: str, how: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.people.recovering", str(path), url, how,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(words.encode() + b"\n")
    await process.stdin.drain()
    return process


async def _killed_at(path: Path, words: str, url: str, how: str, line: int | str) -> None:
    """Kill it when it has said so many lines, or this one."""
    process = await _begun(path, words, url, how)
    assert process.stdout is not None
    count = 0
    async for said in process.stdout:
        count += 1
        if line in (count, said.decode().strip()):
            process.kill()
    assert await process.wait() == -9


def _read_key(folder: Path) -> bytes:
    with closing(sqlite3.connect(f"file:{folder / FILE_NAME}?mode=ro", uri=True)) as db:
        (key,) = db.execute("SELECT read_key FROM spaces").fetchone()
        return bytes(key)


async def test_killed_before_the_home_has_its_place_it_never_was(tmp_path: Path, server: Within) -> None:
    """Killed while it reads and while it asks: nothing at the path, nothing new at the relay; then it succeeds."""
    path = tmp_path / "new" / "c"
    async with founded(tmp_path, server.url) as (a, words):
        await a.collection("notes").put({"n": 1}, id="one")
        await a.sync()
    before = raw_entries(server.data)
    for how, line in (("on", 3), ("ask", "asked")):
        await _killed_at(path, words, server.url, how, line)
        assert not path.exists() and raw_entries(server.data) == before
        # At most what this one left: the next takes it away.
        assert len(list(path.parent.iterdir() if path.parent.exists() else [])) <= 1
    result = await back(path, words, server.url)
    assert result.problem == "" and [entry.name for entry in path.parent.iterdir()] == ["c"]
    async with open_again(path) as c:
        assert await ids(c) == {"one"}
        assert [info.name for info in await c.devices.all()] == ["new", "a"]


async def test_killed_just_after_the_home_is_whole(tmp_path: Path, server: Within) -> None:
    """What was decided stands in the home: its next sync tells the relay, and the old devices are out."""
    path = tmp_path / "c"
    async with founded(tmp_path, server.url) as (a, words):
        await a.collection("notes").put({"n": 1}, id="one")
        await a.sync()
        before, key = raw_entries(server.data), _read_key(server.data)
        process = await _begun(path, words, server.url, "placed")
        await process.communicate()
        assert process.returncode == DIED and raw_entries(server.data) == before
        with pytest.raises(HomeExists, match="already") as told:
            await back(path, words, server.url)
        assert "chez sync" in told.value.hint
        async with open_again(path) as c:
            assert await ids(c) == {"one"}
            await c.sync()
            assert [(info.name, info.active) for info in await c.devices.all()] == [("new", True), ("a", False)]
            assert _read_key(server.data) != key
        with pytest.raises(RelayRefused):
            await a.sync()


async def test_who_was_taken_out_hears_of_it_from_a_home_that_was_killed(tmp_path: Path, server: Within) -> None:
    """The root says farewell when the home is whole: a device that was taken out hears so, whoever tells the relay,
    and one that was away for a later epoch too."""
    path = tmp_path / "c"
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "b", "b", server.url) as b:
        trip = await a.create_space("Trip")
        await a.sync()
        await b.sync(server.url)
        process = await _begun(path, words, server.url, "placed")
        await process.communicate()
        async with open_again(path) as c:
            await c.sync()
            with pytest.raises(RelayRefused):
                await a.sync()
            assert (await a.status()).removed and trip.status().removed
            await c.devices.rotate(everywhere=True)
            await c.sync()
            with pytest.raises(RelayRefused):
                await b.sync(server.url)
            assert (await b.status()).removed and b.space("Trip").status().removed


async def test_two_at_once_make_one_home(tmp_path: Path, server: Within) -> None:
    """A second recovery of the same home leaves the first one's folder alone; one of them has the place."""
    path = tmp_path / "c"
    async with founded(tmp_path, server.url) as (_, words):
        process = await _begun(path, words, server.url, "ask")
        assert process.stdout is not None
        async for said in process.stdout:
            if said == b"asked\n":
                break
        left = [folder for folder in tmp_path.iterdir() if folder.name.startswith(".c.")]
        await back(path, words, server.url)
        assert len(left) == 1 and left[0].exists()
        process.kill()
        await process.wait()
