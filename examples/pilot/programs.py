"""The real programs, as their users start them; and each process that was started, ended."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from examples.pilot.plan import PilotFailed

__all__ = ("finish", "run", "serving")

PROGRAMS: Final = {"chez": "chez.cli.main", "chez-deposit": "chez_deposit.cli", "chez-job": "chez_sandbox.provider.cli",
                   "chez-relay": "chez_relay.cli"}
"""The modules whose `main` they are: this very environment's, whatever else is on the path."""

READY_SECONDS: Final = 60


async def run(folder: Path, *words: str) -> str:
    """One command to its end, in a folder; what it printed. Raises `PilotFailed`."""
    process = await asyncio.create_subprocess_exec(
        *_command(words), cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True)
    try:
        out, err = await process.communicate()
    finally:
        await finish(process)
    if process.returncode:
        raise PilotFailed(f"`{' '.join(words)}` ended with {process.returncode}:\n{out.decode()}{err.decode()}")
    return out.decode()


def _command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-c", f"from {PROGRAMS[words[0]]} import main; main()", *words[1:]]


@asynccontextmanager
async def serving(folder: Path, *words: str, ready: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that goes on until the block ends; with `ready`, first a line in which that matches is waited for."""
    with (folder / f"{words[0]}.out").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(words), cwd=folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if ready else log, stderr=log, start_new_session=True)
    try:
        if process.stdout is not None:
            await _until(process.stdout, ready, words)
        yield process
    finally:
        await finish(process)


async def _until(output: asyncio.StreamReader, ready: str, words: tuple[str, ...]) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while line := await output.readline():
                if re.search(ready, line.decode(errors="replace")):
                    return
    except TimeoutError:
        pass
    raise PilotFailed(f"`{' '.join(words)}` is not ready")


async def finish(process: asyncio.subprocess.Process) -> None:
    """End a process and its children: asked first, then by force. It began a session of its own."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
    except ProcessLookupError:
        await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
