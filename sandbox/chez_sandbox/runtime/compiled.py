"""Native code: compiled once, checked when it is first used, then sealed in memory.

Compiling the Python runtime takes some seconds and loading its code some milliseconds, so
the code is cached. It is trusted absolutely by whoever maps it, and wasmtime accepts one
with a flipped byte; so a cached file carries a MAC (BLAKE2b under the caller's key) over
its name and content, and its name binds the component's hash, wasmtime's version, the
engine's settings and the machine. The file is copied into a memory file, the copy is
sealed against writing, and the MAC is checked over the sealed copy: whatever changes on
the disk afterwards is never run, and later runs need no further check.

Of the Python runtime, which is a part of the program, code may lie beside it (`compile_ahead`,
docs/decisions/0065): whoever may write there may write the program, so no secret vouches
for it. Its MAC, under a key that everybody knows, tells damage.
"""

import asyncio
import fcntl
import hashlib
import hmac
import mmap
import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import anyio

from chez_sandbox.errors import BadComponent, WorkerFailed
from chez_sandbox.runtime.handover import await_walls
from chez_sandbox.runtime.messages import Compiled, Go, Refused
from chez_sandbox.runtime.process import spawn

__all__ = ("COMPILE_SECONDS", "COMPONENT_LIMIT", "STORED", "Binary", "CodeCache", "compile_ahead")

COMPONENT_LIMIT = 32 << 20
"""Bytes of a component: the Python runtime has 19 MB."""

COMPILE_SECONDS = 1800.0
"""Wall time of a compilation. It may use the processor for a sixth of it; a compiler that was taken over may wait."""

STORED = 512 << 20
"""Bytes of code that stay in a folder, the most recently used: each version of a job has its own, and each wasmtime."""

_ABANDONED = 3600.0
"""Seconds after which a file that is being written is a killed process's."""

_MAC = 32
_BESIDE = b"beside the program"  # no secret: see above
_OPEN = 8  # sealed files kept open
_SUFFIX = ".code"
_HALF = ".code-"  # of files that are being written
_ENGINE = Path(__file__).with_name("engine.py")
_SEALS = 0x01 | 0x02 | 0x04 | 0x08  # F_SEAL_SEAL, SHRINK, GROW, WRITE


@dataclass(frozen=True, slots=True)
class Binary:
    """A component: the SHA-256 of its bytes, whether it is ours, and the bytes or the file that has them."""

    digest: str
    trusted: bool
    content: bytes | Path = field(repr=False)

    @classmethod
    async def of(cls, content: bytes | Path, *, trusted: bool) -> "Binary":
        """Hashed in a thread: megabytes take longer than the event loop may wait. Raises OSError."""
        return cls(await asyncio.to_thread(_digest, content), trusted, content)

    def read(self) -> bytes:
        """The bytes; raises WorkerFailed when the file has others by now, or is gone."""
        if isinstance(self.content, bytes):
            return self.content
        try:
            content = self.content.read_bytes()
        except OSError as error:
            raise WorkerFailed(f"The Python runtime of jobs can't be read ({error.strerror})") from None
        if _digest(content) != self.digest:
            raise WorkerFailed("The Python runtime of jobs was replaced meanwhile", "Start the program again")
        return content


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def compile_ahead(artifact: Path, announce: Callable[[str], None]) -> None:
    """Compiles the Python runtime to a file beside it, from which every cache of this machine loads it.

    What earlier ones left there is removed, also those that were killed. Raises OSError, BadComponent, WorkerFailed.
    """
    binary = await Binary.of(artifact, trusted=True)
    cache = CodeCache(artifact.parent, _BESIDE)
    path = cache._path(binary.digest)
    if not cache.has(binary):
        announce("Compiling it for this machine (about 20 s, once)...")
    await cache.get(binary)
    cache.close()
    path.chmod(0o644)  # as the program's own files
    for old in (*artifact.parent.glob(f"*{_SUFFIX}"), *artifact.parent.glob(f"{_HALF}*")):
        if old != path:
            old.unlink(missing_ok=True)


class CodeCache:
    """Compiled components in a folder of this device; the key is a secret of this device.

    Components of a provider are compiled behind the walls that are `required`, or not at all.
    """

    def __init__(self, folder: Path, key: bytes, required: frozenset[str] = frozenset()) -> None:
        self._folder = folder
        self._required = required
        self._key = _derived(key)
        self._sealed: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._unfit: set[str] = set()  # of which the code beside the program does not load here

    def has(self, binary: Binary) -> bool:
        """Whether there is code of it, genuine or not."""
        return binary.digest in self._sealed or any(path.exists() for path, _ in self._places(binary))

    async def get(self, binary: Binary) -> int:
        """A descriptor of the sealed code, which stays ours; compiles when there is none.

        Raises BadComponent when it is refused, WorkerFailed when the compiler broke, WallsMissing.
        """
        digest = binary.digest
        async with self._locks.setdefault(digest, asyncio.Lock()):
            sealed = self._sealed.pop(digest, None)
            if sealed is None:
                sealed = await self._loaded(binary)
            if sealed is None:
                sealed = await self._compile(binary)
            self._sealed[digest] = sealed  # the most recently used is the last
            for old in list(self._sealed)[:-_OPEN]:
                os.close(self._sealed.pop(old))
            return sealed

    def forget(self, digest: str) -> None:
        """Drops code that does not load; the next `get` compiles."""
        sealed = self._sealed.pop(digest, None)
        if sealed is not None:
            os.close(sealed)
        self._path(digest).unlink(missing_ok=True)
        self._unfit.add(digest)

    def close(self) -> None:
        """Closes the sealed files; running workers keep their own descriptors."""
        while self._sealed:
            os.close(self._sealed.popitem()[1])

    def _places(self, binary: Binary) -> list[tuple[Path, bytes]]:
        """Where code of it may be, each with the key that vouches for it: our own first."""
        own = self._path(binary.digest)
        places = [(own, self._key)]
        if binary.trusted and isinstance(binary.content, Path) and binary.digest not in self._unfit:
            places.append((binary.content.with_name(own.name), _derived(_BESIDE)))
        return places

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}-{self._profile}{_SUFFIX}"

    @cached_property
    def _profile(self) -> str:
        """What compiled the code, and for what."""
        settings = hashlib.sha256(_ENGINE.read_bytes()).hexdigest()[:16]
        return f"wasmtime{version('wasmtime')}-{settings}-{platform.machine()}"

    async def _loaded(self, binary: Binary) -> int | None:
        """`_load` in a thread; what a thread opens for whoever was cancelled meanwhile is closed again."""
        loading = asyncio.ensure_future(asyncio.to_thread(self._load, binary))
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            loading.add_done_callback(_close)
            raise

    def _load(self, binary: Binary) -> int | None:
        for path, key in self._places(binary):
            if (sealed := _load(path, key)) is not None:
                if path.parent == self._folder:
                    with suppress(OSError):
                        os.utime(path)  # it was used: others go first
                return sealed
        return None

    async def _compile(self, binary: Binary) -> int:
        wasm = await asyncio.to_thread(binary.read)
        if not 0 < len(wasm) <= COMPONENT_LIMIT:
            size = f"it has {len(wasm)} bytes, not 1 to {COMPONENT_LIMIT}"
            raise BadComponent(f"The component is refused: {size}")
        source, target = _memory_file(), _memory_file()
        try:
            await asyncio.to_thread(_write, source, wasm)
            async with spawn("chez_sandbox.runtime.compiler", [int(binary.trusted)], [source, target]) as child:
                await await_walls(child, frozenset() if binary.trusted else self._required)
                await child.send(Go())
                try:
                    with anyio.fail_after(COMPILE_SECONDS):
                        answer = await child.receive()
                except (WorkerFailed, TimeoutError):
                    # Out of memory or time is the component's doing; ours is known to compile.
                    if binary.trusted:
                        raise WorkerFailed("The Python runtime of jobs could not be compiled") from None
                    raise BadComponent("The component can't be compiled within the limits") from None
            if isinstance(answer, Refused):
                raise BadComponent(f"The component is refused: {answer.reason}")
            if not isinstance(answer, Compiled):
                raise WorkerFailed("The compiler broke its protocol")
            readable = _seal(target)
            target = -1
            await asyncio.to_thread(self._store, binary.digest, readable)
            return readable
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)

    def _store(self, digest: str, sealed: int) -> None:
        """Writes the cache file, whole or not at all; a full disk costs only the next start."""
        path = self._path(digest)
        temporary = ""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=_HALF)
            with open(handle, "wb") as file, mmap.mmap(sealed, 0, access=mmap.ACCESS_READ) as content:
                file.write(_mac(path, self._key, content))
                file.write(content)
            os.replace(temporary, path)
            self._prune(path)
        except OSError:
            if temporary:
                Path(temporary).unlink(missing_ok=True)

    def _prune(self, newest: Path) -> None:
        """Removes the code that was not used for longest, as far as there is too much, and what killed ones left."""
        found = [(path, path.stat()) for path in self._folder.glob(f"*{_SUFFIX}") if path != newest]
        left = STORED - newest.stat().st_size
        for path, about in sorted(found, key=lambda one: one[1].st_mtime, reverse=True):
            left -= about.st_size
            if left < 0:
                path.unlink(missing_ok=True)
        for path in self._folder.glob(f"{_HALF}*"):
            if path.stat().st_mtime < time.time() - _ABANDONED:
                path.unlink(missing_ok=True)


def _load(path: Path, key: bytes) -> int | None:
    """A descriptor of the sealed copy of a file whose MAC holds, None when there is none."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size - _MAC
            if size <= 0:
                return None
            mac = file.read(_MAC)
            sealed = _memory_file()
            try:
                _copy(file.fileno(), sealed, _MAC, size)
                readable = _seal(sealed)
                with mmap.mmap(readable, 0, access=mmap.ACCESS_READ) as content:
                    genuine = hmac.compare_digest(mac, _mac(path, key, content))
            except (OSError, ValueError):
                os.close(sealed)
                return None
    except OSError:
        return None
    if not genuine:
        os.close(readable)
        return None
    return readable


def _derived(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=32, person=b"chez-code-cache").digest()


def _mac(path: Path, key: bytes, content: mmap.mmap | memoryview) -> bytes:
    name = path.name.encode()
    mac = hashlib.blake2b(len(name).to_bytes(2, "big") + name, digest_size=_MAC, key=key)
    mac.update(content)
    return mac.digest()


def _close(loading: "asyncio.Future[int | None]") -> None:
    if not loading.cancelled() and loading.exception() is None and (opened := loading.result()) is not None:
        os.close(opened)


def _memory_file() -> int:
    """An unnamed file: in memory where the system has memfd, else a deleted one on the disk."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("chez-code", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    handle, name = tempfile.mkstemp()
    os.unlink(name)
    return handle


def _seal(descriptor: int) -> int:
    """Makes the file immutable for everybody (Linux) and returns a descriptor to hand out."""
    if hasattr(os, "memfd_create"):
        fcntl.fcntl(descriptor, 1033, _SEALS)  # F_ADD_SEALS
    return descriptor


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy(source: int, target: int, offset: int, size: int) -> None:
    while size:
        done = os.sendfile(target, source, offset, size)
        if not done:
            raise OSError("the file is shorter than it was")
        offset, size = offset + done, size - done
