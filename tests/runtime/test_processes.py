"""The worker as a process: what is in it, who waits for it, how it ends."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.errors import BadComponent, WallsMissing, WorkerFailed
from chez_sandbox.runtime import compiled, handover, walls
from chez_sandbox.runtime.artifact import find_artifact
from chez_sandbox.runtime.handover import begin, converse
from chez_sandbox.runtime.host import Limits, Outcome, Runtime, Table, doctor
from chez_sandbox.runtime.messages import MESSAGE_LIMIT, PROGRESS_STEPS, Done, Progress
from chez_sandbox.runtime.process import Child
from tests.tries import tries

from .conftest import KEY
from .jobs import component, job, looks_inside, run, workers, zygotes

LOOP = job("1", "while True: pass")
LONG = {"fuel": 10**15, "seconds": 50.0}


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition, at most 90 s: what ends by itself when its time is over must have longer."""
    with anyio.fail_after(90):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("module", ["worker", "compiler", "zygote"])
def test_no_key_can_be_in_the_process(module: str) -> None:
    """The processes that meet foreign code load nothing of chez, PyNaCl, SQLCipher or Automerge."""
    code = f"import sys, chez_sandbox.runtime.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "chez_sandbox" in loaded
    assert not loaded & {"chez", "nacl", "sqlcipher3", "automerge", "cffi", "keyring", "asyncio"}


@looks_inside
async def test_the_worker_inherits_nothing(runtime: Runtime) -> None:
    """A worker has an empty environment; open are three null streams, its channel and the sealed code. It yields, and
    its clock stands behind the filter as well."""
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    before = workers()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run(runtime, LOOP, **LONG))
            await until(lambda: workers() - before)
            (worker,) = workers() - before
            await until(lambda: "seccomp" in seccomp_state(worker))
            entry = Path("/proc") / str(worker)
            assert (entry / "environ").read_bytes() == b""
            links = sorted(os.readlink(link) for link in (entry / "fd").iterdir())
            assert [link.partition(":")[0] for link in links] == ["/dev/null"] * 3 + ["/memfd", "socket"]
            # The thread that runs the job yields to the engine; the one with the clock does not.
            ours = os.getpriority(os.PRIO_PROCESS, 0)
            (clock,) = {int(thread.name) for thread in (entry / "task").iterdir()} - {worker}
            assert seccomp_state(clock) == "seccomp"
            assert os.getpriority(os.PRIO_PROCESS, worker) == min(19, ours + 5)
            assert os.getpriority(os.PRIO_PROCESS, clock) == ours
            group.cancel_scope.cancel()
    finally:
        os.close(secret)


def seccomp_state(worker: int) -> str:
    try:
        status = (Path("/proc") / str(worker) / "status").read_text()
    except OSError:  # one that was killed is gone by now
        return ""
    return "seccomp" if "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status else ""


async def test_the_event_loop_stays_responsive(runtime: Runtime) -> None:
    """While a hostile job burns its time, other tasks of the engine go on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        result = await run(runtime, LOOP, fuel=10**15, seconds=1.0)
        group.cancel_scope.cancel()
    assert result.outcome is Outcome.TIME
    assert ticks > 50


async def test_runs_are_concurrent(runtime: Runtime) -> None:
    """Several runs at once do not mix."""
    results: dict[int, bytes | None] = {}

    async def one(number: int) -> None:
        results[number] = (await run(runtime, job("params * 2"), number)).value

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(one, number)
    assert results == {number: str(number * 2).encode() for number in range(4)}


@pytest.mark.slow
async def test_no_more_than_four_runs_at_once(runtime: Runtime) -> None:
    """Of six endless jobs four have a worker and two wait; cancelled, none leaves one."""
    before = workers()
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(lambda: run(runtime, LOOP, **LONG))
        await until(lambda: len([w for w in workers() - before if seccomp_state(w)]) == 4)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(workers() - before) == 4
        group.cancel_scope.cancel()
    assert workers() <= before


@pytest.mark.slow
async def test_a_bomb_is_held_to_its_memory(runtime: Runtime) -> None:
    """A job that fills its memory and then asks SQL for a giant sort stays within its limit and 100 MB."""
    most, limit = [0], 64 << 20
    source = (
        "def run(data, params):\n    held = []\n    try:\n        while True: held.append(bytearray(1 << 20))\n"
        "    except MemoryError: pass\n    data.query('select group_concat(a.at) as g from readings a, readings b "
        "group by a.at order by g')\n"
    )
    ends: list[Outcome] = []

    async def bomb() -> None:
        ends.append((await run(runtime, source, memory=limit, fuel=10**13, seconds=50.0)).outcome)

    before = workers()
    async with anyio.create_task_group() as group:
        group.start_soon(bomb)
        while not ends:
            most.extend(peak(worker) for worker in workers() - before)
            await asyncio.sleep(0.005)
    assert ends == [Outcome.MEMORY]
    assert limit < max(most) < limit + 100_000_000


def peak(worker: int) -> int:
    """The most bytes of memory that a worker had."""
    try:
        status = (Path("/proc") / str(worker) / "status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


async def test_cancelling_kills_the_worker(runtime: Runtime) -> None:
    """A cancelled run leaves no process behind when the cancellation returns."""
    before = workers()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: run(runtime, LOOP, **LONG))
        await until(lambda: workers() - before)
        group.cancel_scope.cancel()
    assert workers() <= before


def open_descriptors() -> list[str]:
    """What the descriptors of this process are."""
    folder = Path("/proc/self/fd")
    return sorted(os.readlink(folder / name) for name in os.listdir(folder) if os.path.lexists(folder / name))


@pytest.mark.parametrize("spares", [pytest.param(0, marks=pytest.mark.slow), 1])
async def test_closing_ends_what_runs(
    code_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spares: int
) -> None:
    """Closed while jobs run and wait, each call says so, and no process, descriptor or file is left behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    descriptors, ends = open_descriptors(), []
    async with Runtime(code_folder, KEY, spares=spares) as closing:
        await closing.prepare()
        before = workers()

        async def endless() -> None:
            with pytest.raises(WorkerFailed, match="closed") as end:
                await run(closing, LOOP, **LONG)
            ends.append(end.value.code)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(endless)
            await until(lambda: len([w for w in workers() - before if seccomp_state(w)]) >= 3)
            await closing.aclose()
            assert not workers() and not zygotes()
        with pytest.raises(WorkerFailed, match="closed"):
            await run(closing, job("1"))
    assert ends == ["WorkerFailed"] * 5
    assert open_descriptors() == descriptors
    assert list(tmp_path.iterdir()) == []


async def test_no_process_is_left(runtime: Runtime) -> None:
    """After runs of every kind there is soon no worker, and no zombie: none waits for another run to be cleared."""
    before = workers()
    await run(runtime, job("1"))
    await run(runtime, job("1 / 0"))
    await run(runtime, LOOP, fuel=10**8)
    await run(runtime, LOOP, fuel=10**15, seconds=0.2)
    await runtime.run_component(b"nonsense", b"1", (), Limits(), b"s", "2026-11-24")
    await until(lambda: workers() <= before)


@pytest.mark.slow
async def test_a_worker_that_ignores_its_time_is_killed(runtime: Runtime) -> None:
    """A stopped worker can't end itself; the parent's clock does, and the outcome is TIME."""
    before, ends = workers(), []

    async def hostile() -> None:
        ends.append((await run(runtime, LOOP, fuel=10**15, seconds=1.0)).outcome)

    async with anyio.create_task_group() as group:
        group.start_soon(hostile)
        await until(lambda: [w for w in workers() - before if seccomp_state(w)])
        (worker,) = workers() - before
        os.kill(worker, signal.SIGSTOP)
    assert ends == [Outcome.TIME]
    await until(lambda: workers() <= before)


async def test_a_worker_that_dies_is_an_outcome(runtime: Runtime) -> None:
    """A worker that is killed in the middle of a run ends it as CRASHED."""
    before, ends = workers(), []

    async def hostile() -> None:
        ends.append((await run(runtime, LOOP, **LONG)).outcome)

    async with anyio.create_task_group() as group:
        group.start_soon(hostile)
        await until(lambda: [w for w in workers() - before if seccomp_state(w)])
        (worker,) = workers() - before
        os.kill(worker, signal.SIGKILL)
    assert ends == [Outcome.CRASHED]


@pytest.mark.parametrize("spares", [0, pytest.param(1, marks=pytest.mark.slow)])
async def test_the_worker_dies_with_its_parent(code_folder: Path, runtime: Runtime, spares: int) -> None:
    """When the engine is killed in the middle of a run no worker stays, be it started or forked, nor a waiting one."""
    code = f"""
import asyncio, pathlib
from chez_sandbox.runtime.host import Limits, Runtime
async def main():
    async with Runtime(pathlib.Path({str(code_folder)!r}), {KEY!r}, spares={spares}) as runtime:
        await runtime.prepare()
        await runtime.run_python({LOOP!r}, b"1", (), Limits(fuel=10**15, seconds=300), b"s", "2026-11-24")
asyncio.run(main())
"""
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await until(lambda: len([w for w in workers(engine.pid) if seccomp_state(w)]) == 1)
    found = workers(engine.pid)
    engine.kill()
    await engine.wait()
    await until(lambda: all(not Path(f"/proc/{worker}").exists() or is_zombie(worker) for worker in found))


def is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_a_required_wall_that_is_missing_stops_everything(code_folder: Path) -> None:
    """With a policy that wants a wall this system lacks, nothing of the job is sent; which walls stand is told."""
    async with Runtime(code_folder, KEY, required=frozenset({"seccomp", "moat"})) as strict:
        with pytest.raises(WorkerFailed, match="required: moat"):
            await run(strict, job("1"))
        assert set(await doctor(strict)) == set(walls.ALL)


async def test_no_component_is_compiled_without_the_walls_that_are_required(tmp_path: Path) -> None:
    """A provider's component is not looked at where they don't stand; the compiler says which do."""
    async with Runtime(tmp_path, KEY, required=frozenset({"seccomp", "moat"})) as strict:
        with pytest.raises(WallsMissing, match="required: moat"):
            await strict.prepare(component())
        with pytest.raises(WallsMissing, match="required: moat"):
            await strict.run_component(component(), b"{}", (), Limits(), b"s", "2026-11-24")
    assert list(tmp_path.iterdir()) == []
    async with Runtime(tmp_path, KEY, required=walls.REQUIRED) as plain:
        await plain.prepare(component())


async def test_a_component_is_compiled_when_nothing_else_is_to_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What compiles may take minutes of a processor, and has a lower priority than who asked, as what runs has."""
    found = []

    async def looked(child: Child, required: frozenset[str]) -> tuple[str, ...] | None:
        standing = await handover.await_walls(child, required)
        found.append(os.getpriority(os.PRIO_PROCESS, child.pid))
        return standing

    monkeypatch.setattr(compiled, "await_walls", looked)
    async with Runtime(tmp_path, KEY) as runtime:
        await runtime.prepare(component())
    assert found == [min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)]


async def test_a_compilation_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that uses no processor, as one that was taken over may, meets the wall's clock; nothing is kept."""
    monkeypatch.setattr(compiled, "COMPILE_SECONDS", 0.0)
    async with Runtime(tmp_path, KEY) as runtime:
        with anyio.fail_after(60), pytest.raises(BadComponent, match="within the limits"):
            await runtime.prepare(component())
    assert list(tmp_path.iterdir()) == []


async def test_code_that_does_not_load_is_compiled_anew(tmp_path: Path) -> None:
    """Genuine code of another processor or wasmtime is dropped and compiled again, once."""
    binary = component()
    async with Runtime(tmp_path, KEY) as runtime:
        await runtime.prepare(binary)
        # The key's holder itself vouches for code that does not load here.
        (path,) = tmp_path.iterdir()
        digest = path.name.partition("-")[0]
        cache = runtime._cache
        foreign = os.memfd_create("foreign")
        os.write(foreign, b"\x7fELF not for this machine" * 100)
        cache.forget(digest)
        cache._sealed[digest] = foreign
        result = await runtime.run_component(binary, b"7", (), Limits(), b"s", "2026-11-24")
        assert (result.outcome, result.value) == (Outcome.OK, b"7"), result.log


@settings(max_examples=tries(200), deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_whatever_a_worker_says_is_bounded(noise: bytes, framed: bool) -> None:
    """Bytes that are no message, cut, too long or of no known kind are WorkerFailed, never anything else."""

    async def listen() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.sendall((len(noise).to_bytes(4, "big") if framed else b"") + noise)
        theirs.close()
        with ours, pytest.raises(WorkerFailed):
            child = Child(None, ours)  # type: ignore[arg-type]
            while True:
                await child.receive()

    asyncio.run(listen())


async def test_a_message_longer_than_any_is_not_taken() -> None:
    """A worker that was taken over fills no memory of the engine: it is not even asked for what it says to have."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        theirs.sendall((MESSAGE_LIMIT + 1).to_bytes(4, "big"))
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(WorkerFailed, match="too long"):
            await Child(None, ours).receive()  # type: ignore[arg-type]


async def test_a_worker_that_never_stops_talking_is_not_listened_to() -> None:
    """One that reports its progress without end ends as CRASHED at once; the engine's loop does not stand still."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def flood() -> None:
        body = msgspec.msgpack.encode(Progress(1))
        with suppress(OSError), theirs:
            for _ in range(400):
                theirs.sendall(1000 * (len(body).to_bytes(4, "big") + body))

    heard = list[int]()
    talking = asyncio.create_task(asyncio.to_thread(flood))
    with ours:
        started = begin(None, b"{}", (), Limits(), b"s", "2026-11-24")
        done = await converse(Child(None, ours), started, (), lambda rows, _: heard.append(rows))  # type: ignore[arg-type]
    await talking
    assert done.outcome is Outcome.CRASHED and len(heard) <= PROGRESS_STEPS + 1
    assert set(heard) == {0}, "no more rows than there are"


LONGEST = Limits().output - 2
DONE = msgspec.msgpack.encode(Done(Outcome.OK, b'"text"', log="text"))


@pytest.mark.parametrize(("said", "outcome"), [
    (DONE, Outcome.OK),
    (DONE.replace(b'"text"', b'"te\xfft"'), Outcome.REFUSED),
    (DONE[:-4] + b"te\xfft", Outcome.CRASHED),
    (b"\x82" + msgspec.msgpack.encode({"type": "progress", "more": 0})[1:-1] + b"\x91" * 10**5, Outcome.CRASHED),
], ids=["honest", "a result", "a log", "deep"])  # fmt: skip
async def test_a_worker_that_says_what_is_no_text_or_nests_has_ended(said: bytes, outcome: Outcome) -> None:
    """One that was taken over says what no honest one can: its run ends as one that broke, or is refused."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        theirs.sendall(len(said).to_bytes(4, "big") + said)
        started = begin(None, b"{}", (), Limits(), b"s", "2026-11-24")
        done = await converse(Child(None, ours), started, (), None)  # type: ignore[arg-type]
    assert done.outcome is outcome


@pytest.mark.parametrize(("done", "expected"), [
    (Done(Outcome.TIME, b"1", "internal", 5), Done(Outcome.TIME, fuel=5)),
    (Done(Outcome.FAILED, b"1", "internal", -5), Done(Outcome.FAILED, None, "internal")),
    (Done(Outcome.OK, b"1", "internal", 10**18), Done(Outcome.OK, b"1", fuel=Limits().fuel)),
    (Done(Outcome.OK, None, "", 10**18), Done(Outcome.REFUSED, fuel=Limits().fuel)),
    (Done(Outcome.OK, b'"%s"' % (b"x" * LONGEST + b"x")), Done(Outcome.REFUSED)),
    (Done(Outcome.OK, b'"%s"' % (b"x" * LONGEST)), Done(Outcome.OK, b'"%s"' % (b"x" * LONGEST))),
], ids=["no result", "a failure", "fuel", "nothing", "too long", "the longest"])  # fmt: skip
async def test_what_a_worker_says_beside_its_outcome_is_what_belongs_to_it(done: Done, expected: Done) -> None:
    """One that was taken over hands out a value with a result alone, a code with a failure alone, and no more fuel and
    no longer a value than its run could have."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    said = msgspec.msgpack.encode(done)
    with ours, theirs:
        theirs.sendall(len(said).to_bytes(4, "big") + said)
        started = begin(None, b"{}", (), Limits(), b"s", "2026-11-24")
        assert await converse(Child(None, ours), started, (), None) == expected  # type: ignore[arg-type]


async def test_a_worker_hands_out_no_longer_log_than_an_honest_one() -> None:
    """One that was taken over says as much as its pipe takes: what is shown of it has a bound."""
    said = msgspec.msgpack.encode(Done(Outcome.FAILED, fail="why", log="x" * 2**20))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        talking = asyncio.create_task(asyncio.to_thread(theirs.sendall, len(said).to_bytes(4, "big") + said))
        with ours:
            started = begin(None, b"{}", (), Limits(), b"s", "2026-11-24")
            done = await converse(Child(None, ours), started, (), None)  # type: ignore[arg-type]
        await talking
    assert done.outcome is Outcome.FAILED and Limits().log <= len(done.log) <= Limits().log + 1000


async def test_a_worker_that_takes_no_rows_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped, or was taken over, before it has its rows ends as CRASHED: its time is not counted by then,
    and it would keep its run, and one of four turns, for good."""
    monkeypatch.setattr(handover, "_TAKE_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    table = Table("t", ("text",), [("x" * 1000,)] * 5000)
    with ours, theirs:
        started = begin(None, b"{}", (table,), Limits(), b"s", "2026-11-24")
        done = await converse(Child(None, ours), started, (table,), None)  # type: ignore[arg-type]
    assert done.outcome is Outcome.CRASHED and "did not take its job" in done.log


async def test_progress_is_reported_as_often_as_was_said(runtime: Runtime) -> None:
    """A job that takes its rows one by one is heard of 50 times at most, whatever their number."""
    for rows in (49, 99):
        table = Table("t", ("n",), tuple((n,) for n in range(rows)))
        told = list[int]()
        source = "def run(data, params):\n    while data._host.next_batch('t', 1): pass\n    return 1\n"
        done = await runtime.run_python(source, b"{}", (table,), Limits(), b"s", "2026-11-24",
                                        on_progress=lambda rows, _, told=told: told.append(rows))  # type: ignore[misc]
        assert done.outcome is Outcome.OK and rows / 3 < len(told) <= PROGRESS_STEPS and told == sorted(set(told))


def test_the_artifact_is_one_file() -> None:
    """There is exactly one built runtime, under its inputs' hash."""
    assert find_artifact().name.startswith("python-")
    assert len(list(find_artifact().parent.glob("python-*.wasm"))) == 1
