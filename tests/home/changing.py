"""Changes the passphrase of copies of a home, or wipes them; each process dies at its n-th call to the system.

    python -m tests.home.changing change|wipe HOME FOLDER

FOLDER/before-n died before that call, FOLDER/after-n right after it; the last of each came through.
"""

import asyncio
import os
import shutil
import sys
from itertools import count
from pathlib import Path

import chez
from tests.home.dying import DIED, die_at

__all__ = ("NEW", "OLD")

OLD, NEW = "correct horse", "new passphrase"
CALLS = {
    "change": ("open", "fsync", "replace", "fdatasync"),
    "wipe": ("open", "fsync", "pwrite", "unlink", "rmdir"),
}


async def _change(path: Path, number: int, when: str) -> None:
    async with chez.open(path, passphrase=OLD) as home:
        die_at(number, when, CALLS["change"])
        await home.change_passphrase(OLD, NEW)
        os._exit(0)


async def _wipe(path: Path, number: int, when: str) -> None:
    die_at(number, when, CALLS["wipe"])
    await chez.wipe(path)
    os._exit(0)


def _main(what: str, home: Path, folder: Path) -> None:
    work = {"change": _change, "wipe": _wipe}[what]
    for name in chez.__all__:
        getattr(chez, name)  # what is loaded when it is first used is loaded here, or each child would load it
    for when in ("before", "after"):
        for number in count(1):
            copy = folder / f"{when}-{number}"
            shutil.copytree(home, copy)
            child = os.fork()  # no thread and no loop runs yet
            if child == 0:
                asyncio.run(work(copy, number, when))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == 0:
                break
            if code != DIED:
                sys.exit(f"{copy} ended with {code}")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
