"""Memory does not grow with an attachment, on the device or at the relay."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.relay.support import Process

ROOT = Path(__file__).resolve().parents[2]
KIB_MORE = 24 * 1024
"""What the device's peak may rise by from 16 MiB to 300: noise of its allocators, not content."""


def peak(pid: int) -> int:
    """The most memory that a process has had, in KiB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_memory_is_flat(tmp_path: Path, server: Process) -> None:
    """300 MiB added as a stream, sent, given up, fetched and saved take no more memory than 16 MiB do."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.blobs.streaming", str(tmp_path), server.url, "300", cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert int(out) < KIB_MORE
    assert peak(server.process.pid) < 200 * 1024
