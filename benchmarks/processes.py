"""Starting the processes that a figure needs, and ending each of them."""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.harness import ROOT, BenchmarkFailed

__all__ = ("Talker", "command", "finish", "free_port", "start", "talk", "wait_for_port")

LINE_LIMIT: Final = 64 * 1024 * 1024


def command(name: str) -> str:
    """The path of a console script of this environment. Raises `BenchmarkFailed`."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise BenchmarkFailed(f"the command {name} is not installed")
    return found


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def wait_for_port(port: int, seconds: float = 30) -> None:
    """Until somebody listens there. Raises `BenchmarkFailed`."""
    for _ in range(int(seconds / 0.02)):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise BenchmarkFailed(f"nothing listens on port {port} after {seconds} s")


@asynccontextmanager
async def start(
    *arguments: str, cwd: Path = ROOT, log: Path | None = None, talks: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that ends with this block; what it says goes into `log`."""
    output = open(log, "ab") if log else asyncio.subprocess.DEVNULL  # noqa: ASYNC230
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, cwd=cwd, stdin=pipe if talks else asyncio.subprocess.DEVNULL,
            stdout=pipe if talks else output, stderr=output, limit=LINE_LIMIT)
    finally:
        if not isinstance(output, int):
            output.close()
    try:
        yield process
    finally:
        await finish(process)


async def finish(process: asyncio.subprocess.Process) -> None:
    """End a process: asked first, then by force."""
    if process.stdin:
        process.stdin.close()
    if process.returncode is None:
        try:
            process.terminate()
            await asyncio.wait_for(process.wait(), 10)
        except ProcessLookupError:
            pass
        except TimeoutError:
            process.kill()
            await process.wait()


class Talker:
    """A process that answers JSON lines with JSON lines, one for one."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    async def send(self, do: str, **parameters: Any) -> None:
        """Ask for something."""
        if self.process.stdin is None:
            raise BenchmarkFailed("this process does not listen")
        self.process.stdin.write(msgspec.json.encode({"do": do, **parameters}) + b"\n")
        await self.process.stdin.drain()

    async def answer(self) -> dict[str, Any]:
        """The next answer. Raises `BenchmarkFailed` with the process's last words."""
        line = await self.process.stdout.readline() if self.process.stdout else b""
        found = msgspec.json.decode(line, type=dict[str, Any]) if line else {"error": "the process ended"}
        if "error" in found:
            words = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
            raise BenchmarkFailed(f"{found['error']}\n{words}")
        return found

    async def ask(self, do: str, **parameters: Any) -> dict[str, Any]:
        """Ask and wait for the answer."""
        await self.send(do, **parameters)
        return await self.answer()


@asynccontextmanager
async def talk(*arguments: str, log: Path, cwd: Path = ROOT) -> AsyncIterator[Talker]:
    """Start a process that talks."""
    async with start(*arguments, cwd=cwd, log=log, talks=True) as process:
        yield Talker(process, log)
