"""Workers that are started ahead of their jobs: as walled as any other, used once, never left."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest

from chez_sandbox.errors import WorkerFailed
from chez_sandbox.runtime import walls
from chez_sandbox.runtime.execution import LEAST, Instance
from chez_sandbox.runtime.host import Limits, Outcome, Runtime, Table
from chez_sandbox.runtime.messages import REQUEST, Start
from chez_sandbox.runtime.process import Child
from chez_sandbox.runtime.spare import Allowance, Spares, Standing

from .conftest import KEY
from .jobs import READINGS, component, job, run, workers, zygotes
from .test_processes import LONG, LOOP, seccomp_state, until
from .test_walls import SANDBOX


@pytest.fixture
async def warm(code_folder: Path) -> AsyncIterator[Runtime]:
    """A runtime that keeps one spare worker."""
    async with Runtime(code_folder, KEY, spares=1) as runtime:
        await runtime.prepare()
        yield runtime


async def waiting(before: set[int]) -> int:
    """The spare's process id, once it stands behind its walls."""
    found: list[int] = []

    def stands_alone() -> bool:
        found[:] = workers() - before
        return len(found) == 1 and bool(seccomp_state(found[0]))

    await until(stands_alone)
    return found[0]


def open_files(worker: int) -> list[str]:
    """What a worker's descriptors lead to."""
    found = []
    for link in (Path("/proc") / str(worker) / "fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            found.append(os.readlink(link))
    return sorted(found)


async def stood_by() -> int:
    """The spare's process id, once it went through its rehearsal: where that can be seen, for a run may as well come
    before."""
    spare = await waiting(set())
    if os.geteuid() == 0:
        await until(lambda: "/proc" not in " ".join(open_files(spare)))
    return spare


async def test_a_spare_serves_one_run_only(warm: Runtime) -> None:
    """The run takes the waiting process, which is gone afterwards; another one waits for the next run."""
    first = await waiting(set())
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: run(warm, LOOP, **LONG))
        await until(lambda: limits_of(first)[resource.RLIMIT_CPU] == int(LONG["seconds"]) + 30)
        assert workers() == {first}
        group.cancel_scope.cancel()
    assert first not in workers()
    assert await waiting(set()) != first


def limits_of(worker: int) -> dict[int, int]:
    """Its hard limits of memory, address space and processor."""
    which = (resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_CPU)
    return {limit: resource.prlimit(worker, limit)[1] for limit in which}


async def limits_while_running(runtime: Runtime, spare: int = 0) -> dict[int, int]:
    """The limits of the one worker of a long run, once the job is in it."""
    seen, others = asyncio.Event(), workers() - {spare}
    found: dict[int, int] = {}

    def progress(_rows: int, _all: int) -> None:
        (worker,) = workers() - others
        found.update(limits_of(worker))
        seen.set()

    source = job("1", "next(data.rows('readings'))", "while True: pass")
    async with anyio.create_task_group() as group:
        group.start_soon(
            lambda: runtime.run_python(
                source, b"1", (READINGS,), Limits(fuel=10**15, seconds=50.0), b"s", "2026-11-24", on_progress=progress
            )
        )
        with anyio.fail_after(90):
            await seen.wait()
        group.cancel_scope.cancel()
    return found


async def test_a_spare_is_held_to_the_limits_of_the_job(runtime: Runtime, code_folder: Path) -> None:
    """With the job in it, a spare has the very rlimits of a worker that was started for that job."""
    fresh = await limits_while_running(runtime)
    async with Runtime(code_folder, KEY, spares=1) as warm:
        await warm.prepare()
        spare = await waiting(set())
        generous = limits_of(spare)
        assert all(generous[limit] > most for limit, most in fresh.items())
        assert await limits_while_running(warm, spare) == fresh


async def test_a_spare_gives_the_same_result(runtime: Runtime, warm: Runtime) -> None:
    """Value, fuel, log and walls are those of a worker that was started for the run and rehearsed nothing."""
    source = "import random\n" + job("[random.random(), sum(r['at'] for r in data.rows('readings'))]", "print('x')")
    await stood_by()
    assert await run(warm, source) == await run(runtime, source)


def test_an_instance_that_is_there_serves_no_run_that_would_not_have_come_so_far() -> None:
    """Whether a spare waits must not show in how a run ends: with less fuel or room than making the instance took, or
    without a source, one of its own is begun, and meets its limit."""
    made = Instance(None, None, None, 1000)  # type: ignore[arg-type]
    start = Start("pass", "null", "", b"", replace(LEAST, fuel=1001), [])
    assert made.serves(start) and not made.serves(msgspec.structs.replace(start, source=None))
    for less in ({"fuel": 1000}, {"memory": LEAST.memory - 1}, {"tables": LEAST.tables - 1},
                 {"instances": LEAST.instances - 1}):  # fmt: skip
        assert not made.serves(msgspec.structs.replace(start, limits=replace(start.limits, **less)))


async def test_nothing_passes_from_one_run_to_the_next(warm: Runtime) -> None:
    """What a job leaves in the interpreter is not there for the next one."""
    leave = "import json\n" + job("1", "json.left = 1", "json.dumps.__defaults__ = None", "__builtins__['left'] = 1")
    await run(warm, leave)
    look = "import json\n" + job("[hasattr(json, 'left'), 'left' in __builtins__]")
    await stood_by()
    assert (await run(warm, look)).value == b"[false,false]"


async def test_a_job_beyond_the_spares_limits_has_a_worker_of_its_own(warm: Runtime) -> None:
    """A job that may use more than the spare could is run in a fresh process; the spare stays."""
    spare = await waiting(set())
    result = await run(warm, job("1"), memory=1 << 30)
    assert result.outcome is Outcome.OK
    assert spare in workers()


async def test_a_component_never_meets_a_spare(warm: Runtime) -> None:
    """A provider's component runs in a process of its own, and none is started ahead for it."""
    spare = await waiting(set())
    binary = component()
    await warm.prepare(binary)
    result = await warm.run_component(binary, b"7", (), Limits(), b"s", "2026-11-24")
    assert result.value == b"7"
    await until(lambda: workers() == {spare})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_spare_that_died_is_replaced(warm: Runtime, how: signal.Signals) -> None:
    """A spare that somebody ended in the meantime costs the run a start, nothing else."""
    spare = await waiting(set())
    os.kill(spare, how)
    # Until it is reaped: its first thread may be a zombie while the clock's still holds the channel.
    await until(lambda: not Path(f"/proc/{spare}").exists())
    assert (await run(warm, job("1"))).outcome is Outcome.OK


async def test_no_spare_outlives_its_runtime(code_folder: Path) -> None:
    """Whether it stands, is still starting, or its taker was cancelled: closing ends it."""
    before = workers()
    for moment in ("standing", "starting", "taken"):
        async with Runtime(code_folder, KEY, spares=1) as runtime:
            await runtime.prepare()
            if moment == "standing":
                await waiting(before)
            elif moment == "starting":
                await until(lambda: workers() - before)
            else:
                with anyio.move_on_after(0):
                    await run(runtime, LOOP, **LONG)
        assert workers() <= before, moment
        assert not zygotes()


async def test_each_worker_serves_one_run_of_one_provider(code_folder: Path) -> None:
    """Of two waiting workers each run takes one, whoever's the job is; it is gone with the run, and replaced."""
    async with Runtime(code_folder, KEY, spares=2) as runtime:
        await runtime.prepare()
        served: list[int] = []
        for provider in ("north", "south", "north"):
            await until(lambda: len(standing()) == 2)
            waiting_before = workers()
            result = await run(runtime, job(f"{provider!r}"))
            assert result.value == f'"{provider}"'.encode()
            await until(lambda before=waiting_before: before - workers())  # type: ignore[misc]
            (taken,) = waiting_before - workers()
            served.append(taken)
        assert len(set(served)) == len(served)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(lambda: run(runtime, job("1")))
        await until(lambda: len(standing()) == 2 == len(workers()))


def standing() -> list[int]:
    """The workers behind their walls."""
    return [worker for worker in workers() if seccomp_state(worker)]


async def test_the_zygote_has_nothing(warm: Runtime) -> None:
    """What workers are forked from has one thread, no environment, no code of a job, and no door but its channel."""
    await waiting(set())
    (zygote,) = zygotes()
    entry = Path("/proc") / str(zygote)
    assert (entry / "environ").read_bytes() == b""
    assert len(list((entry / "task").iterdir())) == 1
    assert [os.readlink(link).partition(":")[0] for link in sorted((entry / "fd").iterdir())].count("socket") == 1
    assert len(list((entry / "fd").iterdir())) == 4
    assert "chez-code" not in (entry / "maps").read_text()


@pytest.mark.slow
async def test_a_zygote_that_died_is_replaced(warm: Runtime) -> None:
    """Its workers end with it, none is left, and the next run starts another one."""
    spare, (zygote,) = await waiting(set()), zygotes()
    os.kill(zygote, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{spare}").exists())
    assert (await run(warm, job("1"))).outcome is Outcome.OK
    assert zygotes() != {zygote}


def test_a_zygote_that_can_not_fork_lives_on() -> None:
    """Without memory for another process whoever asked hears the end of its channel, each time; workers stay."""
    ours, theirs = socket.socketpair()
    code = (
        "import os, sys; sys.path[:0] = sys.argv[1].split('|')\n"
        "def fork(): raise OSError(12, 'no memory')\n"
        "os.fork = fork\n"
        "from chez_sandbox.runtime.zygote import main; main(sys.argv[2:])"
    )
    arguments = [sys.executable, "-c", code, str(SANDBOX), str(theirs.fileno()), str(os.getpid())]
    with ours, subprocess.Popen(arguments, pass_fds=(theirs.fileno(),)) as zygote:
        theirs.close()
        for _ in range(2):
            channel, other = socket.socketpair()
            with channel, other:
                socket.send_fds(ours, [REQUEST.pack(1, 2, 3, 0)], [other.fileno()])
                other.close()
                channel.settimeout(60)
                assert channel.recv(1) == b""
        assert zygote.poll() is None
        ours.close()
        assert zygote.wait(60) == 0


async def test_what_nobody_needs_for_a_while_ends(code_folder: Path) -> None:
    """After the idle time no process is left; runs that come at that very moment are served all the same."""
    async with Runtime(code_folder, KEY, spares=1, idle_seconds=0.0) as runtime:
        for _ in range(3):
            assert (await run(runtime, job("1"))).outcome is Outcome.OK
            await asyncio.sleep(0)
        await until(lambda: not workers() and not zygotes())
        assert (await run(runtime, job("1"))).outcome is Outcome.OK


@pytest.mark.slow
async def test_a_start_that_is_cancelled_leaves_no_worker(code_folder: Path) -> None:
    """Wherever a run is cancelled on the way to its forked worker, that worker is gone when the run is."""
    binary = component()
    async with Runtime(code_folder, KEY, spares=1) as runtime:
        await runtime.prepare(binary)
        await runtime.run_component(binary, b"7", (), Limits(), b"s", "2026-11-24")
        await until(lambda: not workers())
        for turns in range(12):
            going = asyncio.create_task(runtime.run_component(binary, b"7", (), Limits(), b"s", "2026-11-24"))
            for _ in range(turns):
                await asyncio.sleep(0)
            going.cancel()
            await asyncio.wait({going})
            assert workers() == set(), turns


async def test_a_missing_wall_stops_a_spare_too(code_folder: Path) -> None:
    """With a required wall missing no spare stays, and the run says why."""
    async with Runtime(code_folder, KEY, required=frozenset({"moat"}), spares=1) as strict:
        before = workers()
        await strict.prepare()
        with pytest.raises(WorkerFailed, match="moat"):
            await run(strict, job("1"), tables=(Table("t", ("a",), ()),))
    assert workers() <= before


class Ended:
    """A process that was ended when it was asked to."""

    pid, has_ended, awaited = -1, False, False

    def kill(self) -> None:
        """It ended."""

    async def end(self) -> None:
        self.awaited = True


async def test_a_spare_that_ends_while_it_is_held_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits go by the process id: if a worker ended meanwhile they may be another's; the next one is taken."""
    generous, processes = Allowance(3, 3, 3), [Ended(), Ended()]
    pairs = [socket.socketpair() for _ in processes]
    standing = []
    for process, (ours, _) in zip(processes, pairs, strict=True):
        ours.setblocking(False)
        standing.append(Standing(Child(process, ours), ()))

    def first_ends(_process: int, **_limits: int) -> bool:
        pairs[0][1].close()
        return True

    monkeypatch.setattr(walls, "CAN_TIGHTEN", True)
    monkeypatch.setattr(walls, "tighten", first_ends)

    async def make(_allowance: Allowance) -> Standing:
        return ready.pop(0)

    ready, spares = list(standing), Spares(2, generous, 60.0)
    try:
        async with spares.busy():
            spares.begin(make)
            assert await spares.take(generous) is standing[1]
        assert [process.awaited for process in processes] == [True, False]
    finally:
        await standing[1].child.end()
        pairs[1][1].close()
        await spares.aclose()


async def test_limits_are_lowered_only(warm: Runtime) -> None:
    """A waiting worker's limits can be lowered from outside and not raised."""
    spare = await waiting(set())
    have = limits_of(spare)
    data, space, cpu = (have[limit] for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_CPU))
    assert not walls.tighten(spare, data=data + 1, address_space=space, cpu_seconds=cpu)
    assert walls.tighten(spare, data=data - 4096, address_space=space, cpu_seconds=cpu - 1)
    assert limits_of(spare)[resource.RLIMIT_CPU] == cpu - 1
