"""kill -9 in an app that writes: what was acknowledged is there, and nothing is there by half."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from random import Random

import pytest

import chez
from chez.crypto import Kdf
from tests.home.consistency import problems
from tests.home.crashing import PASSPHRASE, State, look, plan

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def app(module: str, *words: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of this folder as a process of its own; killed, if it still runs at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.home.{module}", *map(str, words), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def killed(process: asyncio.subprocess.Process, after: int) -> list[str]:
    """Kill a program when it has written so many lines; every whole line it wrote."""
    assert process.stdout is not None and process.stderr is not None
    said = b""
    while said.count(b"\n") < after:
        more = await process.stdout.read(1 << 16)
        assert more, (await process.stderr.read()).decode()
        said += more
    process.kill()
    said += await process.stdout.read()
    assert await process.wait() == -9, (await process.stderr.read()).decode()
    return said.decode().rpartition("\n")[0].split()


def allowed(seed: str, worker: int, before: State, acknowledged: int) -> tuple[State, State]:
    """What may be there of one task: all that was acknowledged, and at most the one step in flight."""
    last = following = before
    for _, state in islice(plan(seed, worker, before), acknowledged + 1):
        last, following = following, state
    return last, following


async def check(path: Path, seed: str, before: list[State], acknowledged: Counter[str]) -> list[State]:
    """Open the home again and hold it against the plans; what it has of each task."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        now = await look(home)
        for worker, state in enumerate(now):
            assert state in allowed(seed, worker, before[worker], acknowledged[str(worker)]), (seed, worker)
        assert await home._database.read(lambda db: problems(db, home.device_id)) == []
        verified = await home.journal.verify()
        assert verified.ok, verified
        moved = len(await home.journal.receipts("moved"))
        assert moved == sum(state["(debit)"] for state in now)
        waiting = await home._database.read(lambda db: db.execute("SELECT min(state) FROM change").fetchone())
        assert waiting == (1,)  # nothing acknowledged is missing in the outbox
        await home.collection("shared").put({"writes": "again"}, id=f"after {seed}")
    return now


async def rounds(path: Path, name: str, kills: list[int]) -> None:
    """Let the app write and kill it, again and again on one home."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("shared").put({}, id="one")
        states = await look(home)
    for number, after in enumerate(kills):
        seed = f"{name}.{number}"
        async with app("crashing", path, seed) as process:
            acknowledged = Counter(await killed(process, after))
        states = await check(path, seed, states, acknowledged)


async def test_nothing_acknowledged_is_lost_when_the_app_is_killed(path: Path) -> None:
    """Puts, edits, deletes, batches and transactions side by side: each whole or absent, and there once it returned."""
    random = Random(1)
    await rounds(path, "quick", [1, *(random.randint(2, 400) for _ in range(2))])


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, 8])
async def test_many_kills_of_one_home(path: Path, kills: int) -> None:
    """The same for more rounds, one of them long enough for records to get snapshots."""
    random = Random(2)
    await rounds(path, "slow", [*(int(10 ** random.uniform(0, 3)) for _ in range(kills)), 2500, 1, 50])
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert await home._database.read(lambda db: db.execute("SELECT count(*) FROM snapshot").fetchone()) > (0,)


async def test_the_check_sees_a_projection_that_differs(home: chez.Home) -> None:
    """A record whose JSON is not what its changes give is reported: the tests above can fail."""
    await home.collection("notes").put({"n": 1}, id="a")
    assert await home._database.read(lambda db: problems(db, home.device_id)) == []
    await home._database.write(lambda db: db.execute("""UPDATE record SET json = '{"n":2}'"""))
    assert len(await home._database.read(lambda db: problems(db, home.device_id))) == 1


@pytest.mark.slow
async def test_a_home_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """An app killed while it makes homes: those that were acknowledged open, the one in flight opens or is absent."""
    for number, after in enumerate((1, 3, 7)):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with app("creating", folder) as process:
            made = await killed(process, after)
        homes = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        assert set(made) <= set(homes) and len(homes) <= len(made) + 1
        for name in homes:
            async with chez.open(folder / name, passphrase=PASSPHRASE) as home:
                assert await home._database.read(lambda db, id=home.device_id: problems(db, id)) == []
                assert (await home.journal.verify()).receipts == 1
        await chez.create(folder / "next", passphrase=PASSPHRASE, kdf=Kdf.minimum())
