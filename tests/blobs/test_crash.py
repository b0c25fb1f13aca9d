"""kill -9 while files are attached and sent: what was acknowledged is whole, and nothing else takes room."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

import chez
from tests.blobs.conftest import PASSPHRASE
from tests.blobs.crashing import expected
from tests.blobs.support import files, joined, read, settled
from tests.relay.within import Within

ROOT = Path(__file__).resolve().parents[2]


async def killed(path: Path, seed: str, after: int, *more: str) -> list[str]:
    """Run the app, kill it when it has said so many lines; all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.blobs.crashing", str(path), seed, *more, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    said = b""
    while said.count(b"\n") < after:
        part = await process.stdout.read(1 << 16)
        assert part, (await process.stderr.read()).decode()
        said += part
    process.kill()
    said += await process.stdout.read()
    await process.communicate()
    return said.decode().rpartition("\n")[0].split()


async def holding(home: chez.Home) -> dict[str, bytes | None]:
    """What each record's attachment is, read whole."""
    found = {}
    async for record in home.collection("files"):
        blob = record.value["file"]
        found[record.id] = None if blob is None else await read(home, blob)
    return found


async def check(home: chez.Home, acknowledged: Sequence[str]) -> None:
    """Every acknowledged record is there; whatever a record holds is its content; no file is anybody's."""
    found = await holding(home)
    assert set(acknowledged) <= set(found)
    assert {name: data for name, data in found.items() if data is not None and data != expected(name)} == {}
    assert sum(data is None for data in found.values()) <= len(found) / 2
    await settled(home)
    for _ in range(3):
        await home.blobs.collect()
    held = await home._database.read(lambda db: db.execute("SELECT id FROM chunk WHERE held = 1").fetchall())
    assert {home.blobs._shared.files.path(id) for (id,) in held} == files(home.path)
    assert not list((home.path / "blobs" / "new").iterdir())
    referenced = await home._database.read(lambda db: db.execute(
        "SELECT count(*) FROM blob WHERE id NOT IN (SELECT blob FROM blob_reference)").fetchone())
    assert referenced == (0,)


async def rounds(path: Path, kills: Sequence[int]) -> None:
    """Kill the app again and again on one home."""
    acknowledged: list[str] = []
    for number, after in enumerate(kills):
        acknowledged += await killed(path, f"s{number}", after)
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            await check(home, acknowledged)


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_when_the_app_is_killed(path: Path) -> None:
    """Additions side by side, and the collector: each attachment whole or absent, and no file is left over."""
    await rounds(path, [1, 9])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow),
                                   pytest.param(12, marks=pytest.mark.exhaustive)])
async def test_many_kills_of_one_home(path: Path, kills: int) -> None:
    """The same for more rounds."""
    random = Random(3)
    await rounds(path, [random.randint(1, 40) for _ in range(kills)])


@pytest.mark.slow
async def test_killed_while_it_sends(path: Path, tmp_path: Path, server: Within) -> None:
    """Killed in the middle of sending, twice: after one sync another device reads all that records hold."""
    acknowledged = await killed(path, "a", 6, server.url)
    acknowledged += await killed(path, "b", 9, server.url)
    async with chez.open(path, passphrase=PASSPHRASE) as laptop:
        await laptop.sync()
        assert (await laptop.status()).attachments == 0
        async with joined(tmp_path / "phone", laptop) as phone:
            found = await holding(phone)
            assert set(acknowledged) <= set(found) and found == await holding(laptop)
