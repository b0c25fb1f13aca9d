"""How long a connection is silent before somebody asks: as long as the path bears it, which is found out."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from chez.errors import InvalidValue, RelayUnreachable
from chez.sync.connection import open_socket
from chez.sync.pulse import LONGEST, MOST, SHORTEST, Pulse, longest_from
from chez_relay.limits import Limits
from tests.people.proxy import behind, proxy

jitters = st.floats(0, 1)


def _night(bears: float, hours: float = 8.0) -> tuple[int, int]:
    """Questions and lost connections in a silent night on a path that forgets what was silent for so many seconds."""
    pulse, passed, asked, lost = Pulse(), 0.0, 0, 0
    while passed < hours * 3600:
        pause = pulse.pause(0.0)
        passed, asked = passed + pause, asked + 1
        if pause > bears:
            pulse.lost()
            lost += 1
        else:
            pulse.answered()
    return asked, lost


def test_a_night_on_a_good_path_is_a_few_questions() -> None:
    """Eight silent hours: some 130 questions where there were 1,440, and no connection is lost for it."""
    asked, lost = _night(bears=2 * 3600)
    assert asked < 135 and lost == 0


@given(st.floats(SHORTEST, LONGEST))
def test_what_a_path_forgets_is_found_out_once(bears: float) -> None:
    """However soon it forgets, one connection is lost for it, at the most; then the pause stays below."""
    asked, lost = _night(bears)
    assert lost <= 1 and asked <= 8 * 3600 / (min(bears, LONGEST) / 1.5) + 12


@given(st.lists(st.tuples(st.sampled_from(("answered", "lost", "anew")), jitters), max_size=60))
def test_a_pause_is_never_shorter_or_longer_than_it_may_be(steps: list[tuple[str, float]]) -> None:
    """Whatever happened, it is within its bounds, and drawn from the last tenth of its span."""
    pulse = Pulse()
    for what, jitter in steps:
        {"answered": pulse.answered, "lost": pulse.lost, "anew": pulse.begin_anew}[what]()
        assert SHORTEST * 0.9 <= pulse.pause(jitter) <= pulse.pause(0.0) <= LONGEST
        if what in ("lost", "anew"):
            assert pulse.pause(0.0) == SHORTEST


def test_another_network_is_found_out_anew() -> None:
    """What one network forgets says nothing of the next."""
    pulse = Pulse()
    pulse.answered()
    pulse.lost()
    for _ in range(20):
        pulse.answered()
    bounded = pulse.pause(0.0)
    pulse.begin_anew()
    for _ in range(20):
        pulse.answered()
    assert bounded < pulse.pause(0.0) == LONGEST


@pytest.mark.parametrize("said", ["nonsense", "5", "nan", "-20", "100000"])
def test_a_silence_that_cannot_be_is_refused(said: str) -> None:
    """Shorter than any path needs, or longer than a relay waits."""
    with pytest.raises(InvalidValue, match="CHEZ_PING"):
        longest_from(said)


def test_the_silence_that_a_person_wants() -> None:
    """Any number of seconds within the bounds; none is the usual one. All are below what a relay waits for."""
    assert longest_from("90") == 90 and longest_from(None) == longest_from("") == LONGEST
    assert MOST < Limits().ping_interval


async def test_a_path_that_swallows_all_is_noticed_by_a_silent_connection(tmp_path: Path) -> None:
    """Nobody writes, and nobody is told that the network is gone: the question finds out, and the pause is not tried
    again."""
    async with proxy() as front, behind(front, tmp_path / "r"):
        pulse = Pulse(shortest=0.05, longest=0.05, answer=0.2)
        socket = await open_socket(front.url, pulse=pulse)
        try:
            front.frozen = True
            with pytest.raises(OSError):
                async with asyncio.timeout(90):
                    async for _ in socket.messages():
                        raise AssertionError("nothing was asked for")
        finally:
            await socket.close()
        assert pulse.pause(0.0) == 0.05


async def test_what_can_be_no_silence_ends_the_attempt_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is read where a connection is made, before anything is dialled."""
    monkeypatch.setenv("CHEZ_PING", "1")
    with pytest.raises(InvalidValue, match="CHEZ_PING"):
        await open_socket("ws://127.0.0.1:1")
    monkeypatch.setenv("CHEZ_PING", "60")
    with pytest.raises(RelayUnreachable):
        await open_socket("ws://127.0.0.1:1")


@pytest.mark.slow
async def test_a_slow_line_is_no_silence() -> None:
    """A message that takes longer than an answer may, either way, ends no connection: what is asked waits behind it."""
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with proxy() as front, serve(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        front.target = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        front.rate = 128 * 1024
        socket = await open_socket(front.url, pulse=Pulse(shortest=0.1, longest=0.1, answer=0.1))
        try:
            message = bytes(128 * 1024)
            await socket.send(message)
            assert await anext(socket.messages()) == message
        finally:
            await socket.close()
