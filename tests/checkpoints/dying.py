"""A device that is killed (SIGKILL) at one step of a checkpoint; run as `python -m tests.checkpoints.dying`.

    HOME WHERE STEP COUNT     as `Kill` has it; then it makes a checkpoint, or only syncs (`--sync`)
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chez
from chez.sync import replica
from chez.sync.checkpoints import desk, drafting
from chez.sync.checkpoints.course import Course
from chez.sync.checkpoints.desk import Desk
from tests.home.pairing import PASSPHRASE

__all__ = ("ROOT", "Kill", "killed")

ROOT = Path(__file__).resolve().parents[2]


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


async def killed(home: Path, kill: Kill, *more: str) -> bool:
    """Run a device until it is killed there; False when it ended without coming by."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.checkpoints.dying", str(home), kill.where, kill.step, str(kill.count), *more,
        cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0), error.decode()
    return process.returncode != 0


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


async def main() -> None:
    """Open the home, and go on until the end or the kill."""
    folder, where, step, count, *more = sys.argv[1:]
    _arm(Kill(where, step, int(count)))
    async with chez.open(Path(folder), passphrase=PASSPHRASE) as home:
        if "--sync" in more:
            await home.sync()
        else:
            await home.space().checkpoint()


if __name__ == "__main__":
    asyncio.run(main())
