"""The cache of compiled code: attacked on the disk."""

import fcntl
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from chez_sandbox.errors import BadInput, RuntimeMissing, WorkerFailed
from chez_sandbox.runtime import compiled, host
from chez_sandbox.runtime.compiled import Binary, CodeCache, compile_ahead
from chez_sandbox.runtime.host import Limits, Outcome, Runtime
from chez_sandbox.runtime.process import Child
from chez_sandbox.runtime.spare import Allowance, start_worker

from .conftest import KEY
from .jobs import component, job, run

BINARY = component()
ADD_SEALS = 1033
"""F_ADD_SEALS, which Python has no name for everywhere."""


async def answer(folder: Path, key: bytes = b"k" * 32) -> bytes | None:
    async with Runtime(folder, key) as runtime:
        result = await runtime.run_component(BINARY, b"7", (), Limits(), b"s", "2026-11-24")
        assert result.outcome is Outcome.OK, result.log
        return result.value


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


async def test_code_is_compiled_once(tmp_path: Path) -> None:
    """A second runtime over the same folder uses the file that is there."""
    await answer(tmp_path)
    before = only(tmp_path).stat()
    await answer(tmp_path)
    assert only(tmp_path).stat().st_ino == before.st_ino


async def test_what_was_not_used_for_longest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder has so many bytes of code: of more, that of versions which nobody runs any more is removed, and what a
    killed process left half written."""
    half, writing = tmp_path / ".code-killed", tmp_path / ".code-now"
    half.write_bytes(b"x")
    writing.write_bytes(b"x")
    await answer(tmp_path)
    used = next(tmp_path.glob("*.code"))
    size = used.stat().st_size
    old = [tmp_path / f"{number}-wasmtime1-x.code" for number in range(2)]
    for number, path in enumerate(old):
        path.write_bytes(bytes(size))
        os.utime(path, (1000 + number, 1000 + number))
    for path in (used, half):
        os.utime(path, (10, 10))
    await answer(tmp_path)
    monkeypatch.setattr(compiled, "STORED", 3 * size + size // 2)
    other = component(run="unreachable")
    async with Runtime(tmp_path, b"k" * 32) as runtime:
        await runtime.prepare(other)
    assert used.exists() and old[1].exists() and not old[0].exists() and not half.exists() and writing.exists()


@pytest.mark.parametrize("where", ["mac", "start", "middle", "end"])
async def test_a_flipped_byte_is_compiled_anew(tmp_path: Path, where: str) -> None:
    """A changed byte anywhere is never run: the code is compiled again and the file replaced."""
    await answer(tmp_path)
    path = only(tmp_path)
    good = path.read_bytes()
    at = {"mac": 0, "start": 32, "middle": len(good) // 2, "end": len(good) - 1}[where]
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    assert await answer(tmp_path) == b"7"
    assert path.read_bytes()[at] == good[at]


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 32, b"x" * 10_000, None])
async def test_any_damage_is_compiled_anew(tmp_path: Path, content: bytes | None) -> None:
    """An empty, short, foreign or cut file costs a compilation, nothing else."""
    await answer(tmp_path)
    path = only(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    assert await answer(tmp_path) == b"7"


async def test_another_key_does_not_accept_the_file(tmp_path: Path) -> None:
    """Code that another device's key vouches for is compiled anew."""
    await answer(tmp_path)
    before = only(tmp_path).read_bytes()[:32]
    await answer(tmp_path, b"x" * 32)
    assert only(tmp_path).read_bytes()[:32] != before


async def test_code_of_another_component_is_not_accepted(tmp_path: Path) -> None:
    """A genuine file under another component's name fails: the MAC covers the name."""
    other = component(run="unreachable")
    async with Runtime(tmp_path, b"k" * 32) as runtime:
        await runtime.prepare(other)
    evil = only(tmp_path)
    content = evil.read_bytes()
    evil.unlink()
    await answer(tmp_path)
    only(tmp_path).write_bytes(content)
    assert await answer(tmp_path) == b"7"


async def test_the_disk_does_not_matter_once_it_is_loaded(tmp_path: Path) -> None:
    """After the first use the sealed copy is run: changing or removing the file changes nothing, nor can whoever has
    the copy, as each worker does, change what the next one runs."""
    async with Runtime(tmp_path, b"k" * 32) as runtime:
        await runtime.prepare(BINARY)
        only(tmp_path).write_bytes(b"evil")
        result = await runtime.run_component(BINARY, b"7", (), Limits(), b"s", "2026-11-24")
        assert result.value == b"7"
        (sealed,) = runtime._cache._sealed.values()
        attempts: list[Callable[[], object]] = [
            lambda: os.pwrite(sealed, b"evil", 0),
            lambda: mmap.mmap(sealed, 0),
            lambda: os.ftruncate(sealed, 1),
            lambda: os.ftruncate(sealed, 1 << 30),
            lambda: fcntl.fcntl(sealed, ADD_SEALS, 0),
        ]
        for attempt in attempts:
            with pytest.raises(PermissionError):
                attempt()


async def test_a_folder_that_cannot_be_written_still_runs(tmp_path: Path) -> None:
    """With nowhere to keep the code the run goes on from memory."""
    (tmp_path / "file").write_text("in the way")
    assert await answer(tmp_path / "file") == b"7"


async def test_the_files_are_private(tmp_path: Path) -> None:
    """Nobody else may read or write the folder and its files."""
    await answer(tmp_path / "code")
    assert (tmp_path / "code").stat().st_mode & 0o777 == 0o700
    assert only(tmp_path / "code").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
async def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """Many components and many runs leave no open file behind."""
    before = len(os.listdir("/proc/self/fd"))
    async with Runtime(tmp_path, b"k" * 32) as runtime:
        for number in range(12):
            await runtime.prepare(component(run=f"(drop (i32.const {number})) unreachable"))
        assert len(os.listdir("/proc/self/fd")) <= before + 10
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_missing_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the artifact a run raises RuntimeMissing with a hint."""
    monkeypatch.setattr("chez_sandbox.runtime.artifact._BUILT", tmp_path)
    async with Runtime(tmp_path, b"k" * 32) as runtime:
        with pytest.raises(RuntimeMissing, match="bin/build-runtime"):
            await run(runtime, job("1"))
    async with Runtime(tmp_path, b"k" * 32, artifact=tmp_path / "gone") as runtime:
        with pytest.raises(RuntimeMissing, match="read"):
            await run(runtime, job("1"))


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    """The cache's key has at least 16 bytes."""
    with pytest.raises(BadInput):
        Runtime(tmp_path, b"short")


async def test_code_that_gave_way_while_its_worker_started_is_handed_over_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other jobs may use up the descriptors that are kept meanwhile; the worker gets its own code, never another's."""
    async with Runtime(tmp_path, b"k" * 32) as runtime:
        await runtime.prepare(BINARY)

        async def crowded(allowance: Allowance, *, waits: bool) -> Child:
            child = await start_worker(allowance, waits=waits)
            runtime._cache.close()
            return child

        monkeypatch.setattr(host, "start_worker", crowded)
        result = await runtime.run_component(BINARY, b"7", (), Limits(), b"s", "2026-11-24")
    assert (result.outcome, result.value) == (Outcome.OK, b"7"), result.log


async def test_a_runtime_that_was_replaced_meanwhile_is_not_compiled_under_the_old_hash(tmp_path: Path) -> None:
    """The file is hashed once and read when it has to be compiled: other content, or none, is a typed error."""
    path = tmp_path / "python.wasm"
    path.write_bytes(BINARY)
    binary = await Binary.of(path, trusted=True)
    assert binary.read() == BINARY
    assert binary.digest == (await Binary.of(BINARY, trusted=True)).digest
    path.write_bytes(BINARY + b"\0")
    with pytest.raises(WorkerFailed, match="replaced"):
        binary.read()
    path.unlink()
    with pytest.raises(WorkerFailed, match="read"):
        binary.read()


async def test_a_home_uses_what_was_compiled_at_set_up(tmp_path: Path, code_folder: Path) -> None:
    """The code beside the runtime serves any home, which then keeps none of its own."""
    async with Runtime(tmp_path / "code", KEY) as runtime:
        assert await runtime.is_compiled()
        result = await run(runtime, job("1"))
    assert (result.outcome, (tmp_path / "code").exists()) == (Outcome.OK, False), result.log


async def test_a_runtime_beside_which_no_code_is_is_compiled_by_the_home(tmp_path: Path) -> None:
    """So it is where a wheel brought it; that it will take a while is known before."""
    path = tmp_path / "python.wasm"
    path.write_bytes(BINARY)
    async with Runtime(tmp_path / "code", KEY, artifact=path) as runtime:
        assert not await runtime.is_compiled()
        await runtime.prepare()
        assert await runtime.is_compiled()
    assert only(tmp_path / "code").suffix == ".code"


async def ahead(folder: Path) -> tuple[Path, Path]:
    """An artifact and the code that set-up put beside it, with what an earlier one had left."""
    (folder / "built").mkdir()
    path = folder / "built" / "python.wasm"
    path.write_bytes(BINARY)
    path.with_suffix(".code").write_bytes(b"of an earlier runtime")
    (folder / "built" / ".code-killed").write_bytes(b"half of it")
    said: list[str] = []
    await compile_ahead(path, said.append)
    assert len(said) == 1
    await compile_ahead(path, said.append)  # a second time there is nothing to do
    assert len(said) == 1
    (code,) = set(path.parent.iterdir()) - {path}
    return path, code


@pytest.mark.parametrize("at", [0, 40, -1])
async def test_a_flipped_byte_beside_the_runtime_is_compiled_anew(tmp_path: Path, at: int) -> None:
    """What the disk damaged is never run: each home compiles for itself, and leaves the program's files alone."""
    path, code = await ahead(tmp_path)
    damaged = bytearray(code.read_bytes())
    damaged[at] ^= 1
    code.write_bytes(damaged)
    cache = CodeCache(tmp_path / "code", KEY)
    await cache.get(await Binary.of(path, trusted=True))
    cache.close()
    assert only(tmp_path / "code").name == code.name
    assert code.read_bytes() == damaged


async def test_code_beside_a_providers_component_is_not_looked_at(tmp_path: Path) -> None:
    """Only the program's own runtime may bring code along: nothing vouches for another's."""
    path, _ = await ahead(tmp_path)
    cache = CodeCache(tmp_path / "code", KEY)
    foreign = await Binary.of(path, trusted=False)
    assert not cache.has(foreign)
    await cache.get(foreign)
    cache.close()
    assert only(tmp_path / "code").stat().st_size > 0


async def test_code_beside_the_runtime_that_does_not_load_here_is_not_tried_again(tmp_path: Path) -> None:
    """It was compiled for another processor: the home has its own from then on, which comes first."""
    path, _ = await ahead(tmp_path)
    binary = await Binary.of(path, trusted=True)
    cache = CodeCache(tmp_path / "code", KEY)
    await cache.get(binary)
    assert not (tmp_path / "code").exists()
    cache.forget(binary.digest)
    assert not cache.has(binary)
    await cache.get(binary)
    cache.close()
    assert only(tmp_path / "code").suffix == ".code"


async def test_a_home_does_not_take_code_that_the_key_of_the_program_vouches_for(tmp_path: Path) -> None:
    """That key is known to everybody: in a home's own folder only the home's key counts."""
    path, code = await ahead(tmp_path)
    (tmp_path / "code").mkdir()
    planted = tmp_path / "code" / code.name
    planted.write_bytes(code.read_bytes())
    code.unlink()
    cache = CodeCache(tmp_path / "code", KEY)
    await cache.get(await Binary.of(path, trusted=True))
    cache.close()
    mac = planted.read_bytes()[:32]
    await compile_ahead(path, lambda _: None)
    assert mac != code.read_bytes()[:32]
