"""Changes the passphrase of copies of a home, each in a process that dies at its n-th call to the system.

    python -m tests.home.changing HOME FOLDER

FOLDER/before-n died before that call, FOLDER/after-n right after it; the last of each came through.
"""

import asyncio
import os
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import Any

import chez

__all__ = ("NEW", "OLD")

OLD, NEW = "correct horse", "new passphrase"
CALLS = ("open", "fsync", "replace", "fdatasync")
DIED = 9


def _dying(name: str, left: list[int], when: str) -> None:
    """Let a function of `os` end the process, as a power cut would, when it is its turn."""
    true: Any = getattr(os, name)

    def call(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os._exit(DIED)
        result = true(*arguments, **options)
        if left[0] == 0:
            os._exit(DIED)
        return result

    setattr(os, name, call)


async def _change(path: Path, number: int, when: str) -> None:
    async with chez.open(path, passphrase=OLD) as home:
        left = [number]
        for name in CALLS:
            _dying(name, left, when)
        await home.change_passphrase(OLD, NEW)
        os._exit(0)


def _main(home: Path, folder: Path) -> None:
    for when in ("before", "after"):
        for number in count(1):
            copy = folder / f"{when}-{number}"
            shutil.copytree(home, copy)
            child = os.fork()  # no thread and no loop runs yet
            if child == 0:
                asyncio.run(_change(copy, number, when))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == 0:
                break
            if code != DIED:
                sys.exit(f"{copy} ended with {code}")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
