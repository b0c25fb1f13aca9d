"""The real runtime: built by bin/build-runtime, compiled once, kept between test runs."""

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import AsyncIterator
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
    """Compiled code survives the test run: compiling the runtime takes 13 s."""
    return compiled_code()


def compiled_code() -> Path:
    """The folder of compiled code, with that of the Python runtime: one of the processes that test makes it."""
    subprocess.run([sys.executable, str(ROOT / "bin" / "build-runtime")], check=True)
    folder = ROOT / ".cache" / "tests-runtime"

    async def prepare() -> None:
        async with Runtime(folder, KEY) as runtime:
            await runtime.prepare()

    folder.parent.mkdir(exist_ok=True)  # a fresh clone whose runtime was built elsewhere has none
    with (folder.parent / "tests-runtime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asyncio.run(prepare())
    return folder


def job_cache(folder: Path) -> Path:
    """An XDG cache folder, made here, in which `chez-job` finds that code."""
    code = compiled_code()
    (code / "key").write_bytes(KEY)
    (code / "key").chmod(0o600)
    folder.mkdir()
    (folder / "chez-job").symlink_to(code)
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
        cache = CodeCache(code_folder, KEY)
        code = await cache.get(await Binary.of(find_artifact(), trusted=True))
        engine = make_engine()
        component = wc.Component.deserialize_file(engine, f"/dev/fd/{code}")
        cache.close()
        return engine, component

    return asyncio.run(load())
