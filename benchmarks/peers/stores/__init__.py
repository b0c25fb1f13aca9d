"""Other stores doing the work of `store.peers`; `installed` gives what loro and pycrdt run in.

The lock is made from requirements.in by `uv pip compile --generate-hashes --no-header
--no-annotate --no-emit-index-url`: hashes, and no address.
"""

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Final

from benchmarks.harness import ROOT, Bench, say
from benchmarks.processes import start

__all__ = ("SOURCE", "installed")

SOURCE: Final = ROOT / "benchmarks" / "peers" / "stores"
MOST_SECONDS: Final = 120.0


async def installed(bench: Bench) -> Path | None:
    """A Python with the peers in an environment of their own, made if need be; None when it can't be had here."""
    if not bench.installed_peers:
        return None
    folder = bench.cache / "stores"
    python = folder / "venv" / "bin" / "python"
    lock, done = (SOURCE / "requirements.lock").read_bytes(), folder / "installed.lock"
    if done.exists() and done.read_bytes() == lock and python.exists():
        return python
    say("  installing loro and pycrdt …")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "install.log"
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
           "--require-hashes", "-r", str(SOURCE / "requirements.lock"))
    try:
        async with asyncio.timeout(MOST_SECONDS):
            for command in ((sys.executable, "-m", "venv", str(folder / "venv")), pip):
                async with start(*command, log=log) as process:
                    if await process.wait():
                        say(f"  left out, their installation failed: {log.read_text()[-300:]}")
                        return None
    except (TimeoutError, OSError) as error:
        say(f"  left out, their installation did not end: {error}")
        return None
    done.write_bytes(lock)
    return python
