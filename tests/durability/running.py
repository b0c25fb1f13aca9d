"""One scenario in a process of its own, over a tape.

Thousands of processes are begun here, so they are forked from a server that has loaded
everything, also what is loaded when it is first used, and has no thread (multiprocessing's
`forkserver`): that takes milliseconds.
"""

import _sqlite3
import asyncio
import multiprocessing
import pickle
import traceback
from pathlib import Path

import sqlcipher3

from chez.errors import StorageFailed
from tests.durability import system, vfs
from tests.durability.scenarios import SCENARIOS, Place
from tests.durability.tape import NO_FAULT, Fault, Recording, Tape

__all__ = ("record",)

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([
    __name__, *(f"chez.connectors.{name}" for name in ("lines", "linky", "ofx", "tempo"))])


def record(name: str, folder: Path, fault: Fault = NO_FAULT) -> Recording:
    """Run a scenario on a folder that is prepared for it, with a fault; what it did until it ended."""
    out = folder.with_name(f"{folder.name}.tape")
    process = _PROCESSES.Process(target=_run, args=(name, folder, out, fault))
    process.start()
    process.join()
    found: Recording = pickle.loads(out.read_bytes())
    out.unlink()
    assert process.exitcode == (-9 if found.ended == "killed" else 0)
    return found


def _run(name: str, folder: Path, out: Path, fault: Fault) -> None:
    tape = Tape(folder, out, fault)
    for module in (sqlcipher3._sqlite3, _sqlite3):  # a device's, and a relay's
        vfs.install(tape, module)
    system.install(tape)
    try:
        asyncio.run(SCENARIOS[name].act(Place(folder, tape.acknowledge, tape.relieve)))
    except StorageFailed as error:
        assert error.hint and error.recoverable
        tape.write("refused", str(error))
    except BaseException:
        tape.write("broken", traceback.format_exc())
    else:
        tape.write("done")
