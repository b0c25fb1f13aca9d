"""A device that is killed (SIGKILL) at one step of a checkpoint, in a forked process (see tests/forked.py)."""

import asyncio
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import chez
from chez.sync import replica
from chez.sync.checkpoints import desk, drafting
from chez.sync.checkpoints.course import Course
from chez.sync.checkpoints.desk import Desk
from tests.forked import PROCESSES
from tests.home.pairing import PASSPHRASE

__all__ = ("Kill", "killed")


@dataclass(frozen=True, slots=True)
class Kill:
    """At which step: the `count`-th of its name.

    `where`: "within" its transaction, once that is "committed", or "answered" by the relay and not noted yet.
    """

    where: str
    step: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.where} {self.step} {self.count}"


async def killed(home: Path, kill: Kill, *, sync: bool = False) -> bool:
    """Let a device make a checkpoint, or only sync, until it is killed there; False when it ended without coming by."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_run, args=(home, kill, sync, there))
    process.start()
    there.close()
    with here:
        await asyncio.to_thread(process.join)
        assert process.exitcode in (-signal.SIGKILL, 0), here.recv()
    return process.exitcode != 0


def _run(home: Path, kill: Kill, sync: bool, told: Connection) -> None:
    _arm(kill)
    try:
        asyncio.run(_go_on(home, sync))
    except BaseException:
        told.send(traceback.format_exc())
        raise


async def _go_on(home: Path, sync: bool) -> None:
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        await (opened.sync() if sync else opened.space().checkpoint())


def _arm(kill: Kill) -> None:
    left = kill.count
    drafting.LEAST = 1024  # type: ignore[misc]
    for module in (drafting, desk, replica):  # so that there are many turns to be killed after
        module.TURN = 300  # type: ignore[attr-defined]

    def met(where: str, step: str) -> None:
        nonlocal left
        if (where, step) != (kill.where, kill.step):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(owner: type, method: str, told: Callable[..., None]) -> None:
        plain = getattr(owner, method)

        def wrapped(self: Any, *args: Any) -> Any:
            if owner is Desk and method == "step":
                errand = plain(self, *args)
                told(errand)
                return errand
            told(*args)
            return plain(self, *args)

        setattr(owner, method, wrapped)

    wrap(Desk, "step", lambda errand: met("within", type(errand).__name__))
    wrap(Course, "_stepped", lambda errand: met("committed", type(errand).__name__))
    for name, step in (("put", "Put"), ("got", "Get"), ("dropped", "Drop")):
        wrap(Desk, name, lambda *_, step=step: met("answered", step))  # type: ignore[misc]
