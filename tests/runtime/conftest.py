"""The real runtime: built and compiled by bin/build-runtime, kept between test runs."""

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime.artifact import find_artifact
from chez_sandbox.runtime.compiled import Binary, CodeCache
from chez_sandbox.runtime.engine import make_engine
from chez_sandbox.runtime.host import Runtime

ROOT = Path(__file__).resolve().parents[2]
KEY = b"a key for tests, of no value...."


@pytest.fixture(scope="session")
def code_folder() -> Path:
    """Where components are compiled to; the runtime's own code is beside it."""
    return compiled_code()


@cache
def compiled_code() -> Path:
    """That folder, with the Python runtime compiled: one of the processes that test does it, in 20 s."""
    folder = ROOT / ".cache" / "tests-runtime"
    folder.mkdir(parents=True, exist_ok=True)  # a fresh clone whose runtime was built elsewhere has none
    with (folder.parent / "tests-runtime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([sys.executable, str(ROOT / "bin" / "build-runtime")], check=True)
    return folder


@pytest.fixture(scope="session")
async def runtime(code_folder: Path) -> AsyncIterator[Runtime]:
    """One runtime for all tests; each run is a process of its own anyway."""
    async with Runtime(code_folder, KEY) as runtime:
        await runtime.prepare()
        yield runtime


@pytest.fixture(scope="session")
def bare(code_folder: Path) -> tuple[wasmtime.Engine, wc.Component]:
    """The Python runtime loaded into this very process: no wall but the component."""

    async def load() -> tuple[wasmtime.Engine, wc.Component]:
        codes = CodeCache(code_folder, KEY)
        code = await codes.get(await Binary.of(find_artifact(), trusted=True))
        engine = make_engine()
        component = wc.Component.deserialize_file(engine, f"/dev/fd/{code}")
        codes.close()
        return engine, component

    return asyncio.run(load())
