"""A waiting worker's rehearsal: it leaves warm pages, no open file, and no trace in the run that follows."""

import mmap
import os
import socket
from itertools import pairwise

import msgspec
import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import component as wc

from chez_sandbox.runtime import walls
from chez_sandbox.runtime.execution import make_ahead
from chez_sandbox.runtime.host import Limits, Outcome, Runtime
from chez_sandbox.runtime.messages import StandBy, ToWorker
from chez_sandbox.runtime.process import Child
from chez_sandbox.runtime.rehearsal import Pages, stand_by
from chez_sandbox.runtime.spare import Allowance, Spares, Standing

from .jobs import job, looks_inside, run
from .test_hostile_jobs import run_bare
from .test_processes import until
from .test_spare import Ended, open_files, stood_by, warm

__all__ = ("warm",)

DECODER = msgspec.msgpack.Decoder[ToWorker](ToWorker)
DRAWS = "import random\n" + job("[random.random(), sum(r['at'] for r in data.rows('readings'))]", "print('x')")
COUNT = 64
"""Pages of a file that is looked at."""


@given(st.sets(st.integers(0, COUNT - 1)))
def test_the_pages_that_were_written_are_found_and_copied_elsewhere(numbers: set[int]) -> None:
    """Of a private mapping exactly the pages written to are told, joined; touched, another mapping has the same."""
    size = mmap.PAGESIZE
    file = os.memfd_create("image")
    pages = Pages.open(file)
    assert pages
    try:
        os.ftruncate(file, COUNT * size)
        with mmap.mmap(file, COUNT * size, flags=mmap.MAP_PRIVATE) as one:
            for number in numbers:
                one[number * size] = 1
            written = pages.written()
        assert {at // size + n for at, length in written for n in range(length // size)} == numbers
        assert all(sum(a) < b[0] for a, b in pairwise(written))
        with mmap.mmap(file, COUNT * size, flags=mmap.MAP_PRIVATE) as other:
            assert pages.written() == []
            pages.touch(written)
            assert pages.written() == written
            assert bytes(other) == bytes(COUNT * size)
    finally:
        pages.close()
        os.close(file)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (DRAWS, {}),
        (job("1 / 0"), {}),
        (job("[str(data.run_date) for _ in range(50)]"), {"calls": 50}),
        (job("len(bytearray(30 << 20))"), {"memory": 24 << 20}),
        (job("1"), {"memory": 12 << 20}),
        (job("1"), {"instances": 3}),
        (job("1"), {"tables": 10}),
        (job("1"), {"fuel": 1}),
        (job("1"), {"fuel": 5_000_000}),
        (job("1", "while True: pass"), {"fuel": 10**8}),
        (job("return"), {}),
    ],
)
def test_an_instance_made_ahead_shows_nowhere(
    bare: tuple[wasmtime.Engine, wc.Component], source: str, options: dict[str, int]
) -> None:
    """With a rehearsal and an instance made ahead, a run ends as without: outcome, value, fuel and log."""
    limits = Limits(**options)
    made = stand_by(*bare, DECODER, None)
    assert made is not None
    assert run_bare(*bare, source, limits, ahead=made) == run_bare(*bare, source, limits)


def test_an_instance_made_ahead_uses_fuel_that_is_counted(bare: tuple[wasmtime.Engine, wc.Component]) -> None:
    """What making the instance took is the same each time, and part of the run's fuel."""
    fuel = {make_ahead(*bare).fuel for _ in range(3)}
    assert len(fuel) == 1
    made, limits = make_ahead(*bare), Limits()
    done = run_bare(*bare, job("1"), limits, ahead=made)
    assert done.outcome is Outcome.OK and done.fuel > fuel.pop()
    assert made.store.get_fuel() == limits.fuel - done.fuel  # it is this instance that ran


@looks_inside
async def test_a_waiting_worker_closes_what_it_looked_at(warm: Runtime) -> None:
    """Once it stood by, open are three null streams, the channel and the sealed code, as in any worker."""
    worker = await stood_by()
    kinds = [link.partition(":")[0] for link in open_files(worker)]
    assert kinds == ["/dev/null"] * 3 + ["/memfd", "socket"]
    assert (await run(warm, job("1"))).outcome is Outcome.OK


@pytest.mark.parametrize("waited_for", [False, True])
async def test_a_worker_that_a_run_waits_for_does_not_stand_by(
    waited_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to stand by only where no run waits already: that would wait for the rehearsal, too."""
    monkeypatch.setattr(walls, "CAN_TIGHTEN", True)
    monkeypatch.setattr(walls, "tighten", lambda *_, **__: True)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    standing = Standing(Child(Ended(), ours), ())

    async def make(_allowance: Allowance) -> Standing:
        return standing

    spares = Spares(1, Allowance(1, 1, 1), 60.0)
    try:
        async with spares.busy():
            spares.begin(make)
            if not waited_for:
                await until(lambda: peek(theirs))
            assert await spares.take(spares.allowance) is standing
        body = msgspec.msgpack.encode(StandBy())
        assert peek(theirs) == (b"" if waited_for else len(body).to_bytes(4, "big") + body)
    finally:
        await standing.child.end()
        theirs.close()
        await spares.aclose()


def peek(channel: socket.socket) -> bytes:
    """What was sent and not received yet."""
    try:
        return channel.recv(1 << 16, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
