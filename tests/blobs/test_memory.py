"""Memory does not grow with an attachment, on the device or at the relay."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.relay.support import Process, relay

ROOT = Path(__file__).resolve().parents[2]
KIB_MORE = 32 * 1024
"""What a device's peak may rise by from 16 MiB to a hundred or a thousand: it was 0.5 to 3 MiB (up to 512), and where a
third of the pieces of the smaller file were kept it would be 40."""

OWN_MAPPINGS = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
"""What is as large as a piece is mapped by itself and given back when it is freed (mallopt(3)).

By default glibc raises that size as such blocks are freed, and then each thread of the pool keeps an arena of its own
with holes that pieces of 512 KiB left: 17 to 28 MiB, by how threads were scheduled, of which nothing is held.
"""


async def run(module: str, *words: str | Path) -> str:
    """Run a program of this folder to its end; what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.blobs.{module}", *map(str, words), cwd=ROOT, env=os.environ | OWN_MAPPINGS,
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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mib", [pytest.param(128, marks=pytest.mark.slow),
                                 pytest.param(300, marks=pytest.mark.exhaustive)])
async def test_memory_is_flat(tmp_path: Path, server: Process, mib: int) -> None:
    """128 MiB, or 300, added as a stream, sent, given up, fetched and saved take no more memory than 16 MiB do."""
    assert int(await run("streaming", tmp_path, server.url, str(mib))) < KIB_MORE
    assert peak(server.process.pid) < 200 * 1024


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mib", [pytest.param(128, marks=pytest.mark.slow),
                                 pytest.param(1024, marks=pytest.mark.exhaustive)])
async def test_a_large_file_goes_to_another_device(tmp_path: Path, server: Process, mib: int) -> None:
    """128 MiB, or 1 GiB, attached from a file, sent, fetched elsewhere and read to the end take no more memory than
    16 MiB do."""
    try:
        for what in ("send", "fetch"):
            more, _ = (await run("carrying", what, tmp_path, server.url, str(mib))).split()
            assert int(more) < KIB_MORE, what
        assert peak(server.process.pid) < 200 * 1024
    finally:
        for folder in ("laptop", "phone"):  # three copies of it are enough for a while
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        await server.kill()
        shutil.rmtree(server.data)
