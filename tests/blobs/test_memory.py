"""Memory does not grow with an attachment, on the device or at the relay."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.relay.support import Process, relay

ROOT = Path(__file__).resolve().parents[2]
KIB_MORE = 24 * 1024
"""What a device's peak may rise by from 16 MiB to 300, or to 1024: noise of its allocators, not content."""


async def run(module: str, *words: str | Path) -> str:
    """Run a program of this folder to its end; what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.blobs.{module}", *map(str, words), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


def peak(pid: int) -> int:
    """The most memory that a process has had, in KiB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Process]:
    """A relay as a process of its own, whose memory is its alone."""
    async with relay(tmp_path / "relay") as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_memory_is_flat(tmp_path: Path, server: Process) -> None:
    """300 MiB added as a stream, sent, given up, fetched and saved take no more memory than 16 MiB do."""
    assert int(await run("streaming", tmp_path, server.url, "300")) < KIB_MORE
    assert peak(server.process.pid) < 200 * 1024


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_file_of_a_gigabyte_goes_to_another_device(tmp_path: Path, server: Process) -> None:
    """1 GiB attached from a file, sent, fetched elsewhere and read to the end takes no more memory than 16 MiB do."""
    try:
        for what in ("send", "fetch"):
            more, _ = (await run("carrying", what, tmp_path, server.url, "1024")).split()
            assert int(more) < KIB_MORE, what
        assert peak(server.process.pid) < 200 * 1024
    finally:
        for folder in ("laptop", "phone"):  # three copies of it are enough for a while
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        await server.kill()
        shutil.rmtree(server.data)
