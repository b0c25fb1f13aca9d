"""The home's own relay on its network: `chez-relay lan`, a child process that holds no key which opens anything.

It is a command, as a job's worker is one: nothing of the relay is imported here. What it is to serve
goes through a pipe, whose end is its end, so it never outlives this process.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from chez.crypto import SigningKey
from chez.errors import Unavailable
from chez.lan.recognition import Served
from chez_wire.lan import Guests, Listening, MeetingSecret, Report, Secrets

__all__ = ("Child", "start")

_START_SECONDS: Final = 30.0  # a loaded machine starts a process slowly
_END_SECONDS: Final = 10.0
_KEPT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
_COMMAND: Final = (sys.executable, "-m", "chez_relay", "lan")
_USUAL: Final = re.compile(rb"\S+ \S+ (INFO|DEBUG) ")

_reports: Final = msgspec.json.Decoder(Report)


class Child:
    """A relay that runs; made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, listening: Listening, last: "asyncio.Task[str]") -> None:
        self._process = process
        self._last = last
        self.port = listening.port
        """Where it can be dialled, on all addresses of this device."""
        self.incarnation = listening.incarnation
        """That of its store."""
        self.key = SigningKey.from_seed(listening.seed)
        """What it shows: it is announced as the public half."""

    def tell(self, served: Served) -> None:
        """Serve these spaces from now on."""
        if (pipe := self._process.stdin) is not None and not pipe.is_closing():
            pipe.write(_line(served))

    async def guests(self) -> AsyncIterator[frozenset[bytes]]:
        """The instances of those who are connected, whenever they changed; ends when the process does."""
        assert self._process.stdout is not None
        while line := await _line_of(self._process.stdout):
            with suppress(msgspec.DecodeError):  # what it says is no more than a hint
                report = _reports.decode(line)
                if isinstance(report, Guests):
                    yield frozenset(report.instances)

    async def ended(self) -> str:
        """Wait until the process has ended; the last that it said that may be why, if it said anything like that."""
        await self._process.wait()
        return await self._last

    async def end(self) -> None:
        """Let it end: it answers what was asked of it, for some seconds."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._last


async def start(folder: Path, pieces: Path, served: Served, host: str, *,
                command: Sequence[str] = _COMMAND) -> Child:
    """Start the relay with its store in a folder, on an address of this device (`::`: all) and any free port.

    `pieces` is the folder with the sealed pieces of attachments, which it reads.

    Raises `Unavailable` when it does not come up.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, "--data", str(folder), "--pieces", str(pieces), "--listen",
            f"{f'[{host}]' if ':' in host else host}:0", limit=1 << 20,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in _KEPT if name in os.environ})
    except OSError as error:
        raise Unavailable(f"the relay for this network can't be started: {error.strerror}") from error
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    last = asyncio.create_task(_last_line(process.stderr))
    listening = None
    try:
        async with asyncio.timeout(_START_SECONDS):
            process.stdin.write(_line(served))
            listening = _reports.decode(await _line_of(process.stdout) or b"null")
    except (TimeoutError, OSError, msgspec.DecodeError):
        pass
    finally:
        if not isinstance(listening, Listening):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if not isinstance(listening, Listening):
        said = await last
        raise Unavailable("the relay for this network did not come up" + (f" ({said})" if said else ""),
                          "Other sync goes on; this is tried again.")
    return Child(process, listening, last)


async def _line_of(stream: asyncio.StreamReader) -> bytes:
    """The next line; of one that is longer than any report a space, so that what follows is read. Empty at the end."""
    try:
        return await stream.readline()
    except ValueError:  # a megabyte of it is gone now
        return b" "


async def _last_line(stream: asyncio.StreamReader) -> str:
    """Read to the end; the last line that may say why it ended, which what is logged of its day does not."""
    last = b""
    while line := await _line_of(stream):
        if not _USUAL.match(line):
            last = line.strip() or last
    return last.decode(errors="replace")[:200]


def _line(served: Served) -> bytes:
    spaces = [MeetingSecret(handle, secret) for handle, several in served.secrets.items() for secret in several]
    return msgspec.json.encode(Secrets(spaces, list(served.hosted))) + b"\n"
