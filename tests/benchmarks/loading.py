"""A load under way, in a process of its own as the benchmarks have it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from benchmarks.load import Load

__all__ = ("loading",)

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def loading(port: int, **what: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that loads the server on that port, for a minute at most; it is gone at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", msgspec.json.encode(Load(port=port, **what)).decode(), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
