"""One scenario in a process of its own, over a tape. Thousands are begun here, so they are forked (tests/forked.py)."""

import _sqlite3
import asyncio
import pickle
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import sqlcipher3

from chez.errors import StorageFailed
from tests.durability import system, vfs
from tests.durability.scenarios import SCENARIOS, Place
from tests.durability.tape import NO_FAULT, Fault, Recording, Tape
from tests.forked import PROCESSES

__all__ = ("record",)

Act = Callable[[Place], Awaitable[None]]


def record(what: str | Act, folder: Path, fault: Fault = NO_FAULT, after: Recording | None = None) -> Recording:
    """Run a scenario, or a function of a module, on a folder that is prepared for it, or left by a process before, with
    a fault; what it did until it ended.
    """
    out = folder.with_name(f"{folder.name}.tape")
    process = PROCESSES.Process(target=_run, args=(what, folder, out, fault, after.nodes if after else {}))
    process.start()
    process.join()
    found: Recording = pickle.loads(out.read_bytes())
    out.unlink()
    assert process.exitcode == (-9 if found.ended == "killed" else 0)
    return found


def _run(what: str | Act, folder: Path, out: Path, fault: Fault, known: dict[int, int]) -> None:
    tape = Tape(folder, out, fault, known)
    for module in (sqlcipher3._sqlite3, _sqlite3):  # a device's, and a relay's
        vfs.install(tape, module)
    system.install(tape)
    act = SCENARIOS[what].act if isinstance(what, str) else what
    try:
        asyncio.run(_acted(act, Place(folder, tape.acknowledge, tape.relieve)))
    except StorageFailed as error:
        assert error.hint and error.recoverable
        tape.write("refused", str(error))
    except BaseException:
        tape.write("broken", traceback.format_exc())
    else:
        tape.write("done")


async def _acted(act: Act, place: Place) -> None:
    await act(place)
