"""Waiting for a link: as long as it gets on, and no longer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.sync.patience import SLOWEST_BYTES, Headway
from chez.sync.waiting import Turns
from chez.sync.work import Progress


class _Stepped(asyncio.SelectorEventLoop):
    """A loop whose clock goes where it is put."""

    now = 0.0

    def time(self) -> float:
        return self.now


class _Link:
    """What a link is to who waits for it; each `turn` comes so many seconds after the one before."""

    def __init__(self, loop: _Stepped) -> None:
        self.progress, self.over, self._loop, self._turns = Progress(), False, loop, Turns()

    async def turn(self, after: float, **done: int) -> None:
        self._loop.now += after
        for name, more in done.items():
            setattr(self.progress, name, getattr(self.progress, name) + more)
        self._turns.tell()
        for _ in range(3):
            await asyncio.sleep(0)

    def wait(self, timeout: float | None) -> "asyncio.Task[None]":
        return asyncio.create_task(self._turns.until(lambda: self.over, lambda: self.progress, timeout))


def _run(scenario: Callable[[_Link], Coroutine[Any, Any, None]]) -> None:
    loop = _Stepped()

    async def main() -> None:
        await scenario(_Link(loop))

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_what_gets_on_is_waited_for_however_long_it_takes() -> None:
    """A hundred entries of which each takes most of the time that is given are all waited for."""
    async def scenario(link: _Link) -> None:
        waiting = link.wait(60)
        await asyncio.sleep(0)
        for number in range(100):
            await link.turn(50, **{"sent" if number % 2 else "received": 1})
            assert not waiting.done()
        link.over = True
        await link.turn(50)
        await waiting

    _run(scenario)


@pytest.mark.parametrize("idle", [{}, {"end": 1}, {"left": 1}, {"quarantined": 1, "read": 1000}])
def test_turns_without_headway_are_not_waited_for(idle: dict[str, int]) -> None:
    """Turns alone are none, nor a log that gets longer, nor what a relay drips that nobody can read."""
    async def scenario(link: _Link) -> None:
        waiting = link.wait(60)
        await asyncio.sleep(0)
        await link.turn(50, sent=1)
        await link.turn(50, **idle)
        assert not waiting.done()
        await link.turn(11, **idle)
        with pytest.raises(TimeoutError):
            await waiting

    _run(scenario)


def test_a_connection_that_is_made_again_and_again_is_no_headway() -> None:
    """What a connection counts begins anew with the next one; only what is done on it counts."""
    async def scenario(link: _Link) -> None:
        waiting = link.wait(60)
        await asyncio.sleep(0)
        await link.turn(1, sent=9, read=SLOWEST_BYTES)
        for _ in range(2):
            link.progress = Progress()
            await link.turn(29)
        assert not waiting.done()
        link.progress = Progress()
        await link.turn(3)
        with pytest.raises(TimeoutError):
            await waiting

    _run(scenario)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, SLOWEST_BYTES * 2)), max_size=50))
def test_a_log_that_is_read_counts_by_what_a_slow_line_brings(steps: list[tuple[int, int]]) -> None:
    """Without entries there is headway at most once for each so many bytes, and always after them."""
    headway, done, read, since = Headway(), 0, 0, 0
    for more, size in steps:
        done, read, since = done + more, read + size, since + size
        expected = more > 0 or since >= SLOWEST_BYTES
        assert headway.got_on(done, read) is expected
        if expected:
            since = 0
