"""What a home hears from the process of its own relay is no more than a hint, whatever it is."""

import signal
import sys
from pathlib import Path

import msgspec
import pytest

from chez.errors import Unavailable
from chez.lan.child import Child, start
from chez.lan.recognition import Served
from chez_wire.lan import Guests, Listening

LISTENING = msgspec.json.encode(Listening(4711, bytes(32), bytes(32))).decode()
GUESTS = msgspec.json.encode(Guests([b"g" * 32])).decode()
LONG = "'x' * (3 << 20)"


async def running(tmp_path: Path, script: str) -> Child:
    """A process in the relay's place."""
    command = (sys.executable, "-c", f"import sys\n{script}")
    return await start(tmp_path, tmp_path, Served(), "127.0.0.1", command=command)


async def test_lines_without_end_are_passed_over(tmp_path: Path) -> None:
    """Megabytes without a line's end, and what is no report, hide no report behind them, and block nobody."""
    child = await running(tmp_path, f"print({LISTENING!r}); sys.stderr.write({LONG}); print({LONG}); print('[]')\n"
                                    f"print({GUESTS!r}, flush=True); sys.stderr.write('\\nthe end')")
    assert child.port == 4711
    assert [guests async for guests in child.guests()] == [frozenset([b"g" * 32])]
    assert await child.ended() == "the end"
    await child.end()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_what_a_relay_logs_of_its_day_is_no_reason_for_its_end(how: signal.Signals, tmp_path: Path) -> None:
    """A real one that is killed, or told to stop, had said that it listens, or that it has stopped: not why."""
    (tmp_path / "pieces").mkdir()
    child = await start(tmp_path / "lan", tmp_path / "pieces", Served(), "127.0.0.1")
    child._process.send_signal(how)
    assert await child.ended() == ""
    await child.end()


@pytest.mark.parametrize("said", [LONG, "'{}'", "''", repr(GUESTS), repr(LISTENING.replace("4711", "0"))])
async def test_a_relay_that_says_nothing_of_use_did_not_come_up(tmp_path: Path, said: str) -> None:
    """What begins with anything but where it listens is ended, and told of with its last word."""
    with pytest.raises(Unavailable, match=r"did not come up \(its word\)"):
        await running(tmp_path, f"sys.stderr.write('its word\\n'); print({said}, flush=True); sys.stdin.read()")
