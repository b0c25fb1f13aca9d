"""The sandbox's compiled code, kept for the next pilot: compiling takes a device half a minute, once."""

import asyncio
import os
import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from examples.pilot.plan import ROOT, PilotFailed

from chez_sandbox.runtime.host import Runtime

__all__ = ("code_folder", "code_key", "prepare")


def code_folder() -> Path:
    """Where it lies: in the repository's own cache."""
    return ROOT / ".cache" / "pilot" / "code"


def code_key() -> bytes:
    """The secret that protects it, made when there is none."""
    path = code_folder().with_name("key")
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        part = path.with_name(f"key.{os.getpid()}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(part, path)
        finally:
            part.unlink()
    return path.read_bytes()


async def prepare() -> None:
    """Build and compile what was not yet. Raises `PilotFailed`."""
    built = await asyncio.to_thread(subprocess.run, [sys.executable, str(ROOT / "bin" / "build-runtime")],
                                    capture_output=True, text=True, check=False)
    if built.returncode:
        raise PilotFailed(f"the sandbox's Python can't be built: {built.stderr}")
    async with Runtime(code_folder(), code_key()) as runtime:
        await runtime.prepare()
