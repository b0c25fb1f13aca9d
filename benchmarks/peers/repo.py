"""automerge-repo (npm): two clients and its sync server with file storage, each a process.

Its conditions: plaintext, no signatures, written without fsync. The second client asks
for each document one second after it was made, because asked at once some documents
become "unavailable" there; that second is part of its time, as it would be of a user's.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.harness import ROOT, Bench, BenchmarkFailed, say
from benchmarks.processes import Talker, free_port, start, talk, wait_for_port

__all__ = ("EARLIER_GAP", "Repo", "attempt", "installed")

T = TypeVar("T")

SOURCE: Final = ROOT / "benchmarks" / "peers" / "automerge_repo"
ASK_AFTER: Final = 1.0
EARLIER_GAP: Final = 0.02
"""Seconds between the earlier changes of a document."""
MOST_SECONDS: Final = 60.0
"""A run of the peer that takes longer (documents that never become available) is left out."""


async def installed(bench: Bench) -> Path | None:
    """The folder with the peer's packages, installed if need be; None when it can't be used here."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not bench.installed_peers or not node or not npm:
        return None
    folder = bench.cache / "automerge_repo"
    lock = (SOURCE / "package-lock.json").read_bytes()
    done = folder / "installed.lock"
    if not done.exists() or done.read_bytes() != lock:
        say("  installing automerge-repo …")
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(SOURCE / file, folder / file)
        log = folder / "install.log"
        # Not `npm ci`: some registries do not list every optional package, and then it refuses
        # its own lock. Without the optional ones, and held to the lock, `install` does the same.
        quiet = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
        async with start(npm, "install", "--no-save", *quiet, cwd=folder, log=log) as process:
            if await process.wait():
                say(f"  left out, npm failed: {log.read_text()[-300:]}")
                return None
        done.write_bytes(lock)
    for program in SOURCE.glob("*.mjs"):
        shutil.copy(program, folder / program.name)
    return folder


class Repo:
    """A running server and its clients."""

    def __init__(self, folder: Path, port: int, work: Path, stack: AsyncExitStack) -> None:
        self._folder, self._port, self._work, self._stack = folder, port, work, stack

    async def client(self, name: str) -> Talker:
        """One more device, connected."""
        client = await self._stack.enter_async_context(talk(
            "node", "client.mjs", str(self._port), name, log=self._work / f"{name}.log", cwd=self._folder))
        await client.answer()
        return client

    async def records(self, count: int) -> tuple[float, float]:
        """Seconds until B has all records that A makes, and until a fresh client has caught up."""
        a, b = await self.client("a"), await self.client("b")
        urls: list[str] = []

        async with asyncio.TaskGroup() as group:
            found = group.create_task(_last_found(b, count))
            await a.send("create", count=count)
            began = (await a.answer())["began"]
            for _ in range(count):
                urls.append((await a.answer())["url"])
                group.create_task(_asked(b, urls[-1]))
        live = (found.result() - began) / 1e9
        c = await self.client("c")
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            found = group.create_task(_last_found(c, count))
            for url in urls:
                await c.send("find", url=url)
        return live, found.result() / 1e9 - began

    async def latencies(self, count: int, gap: float, held: int) -> list[float]:
        """Seconds from each change on A until B has it, `gap` seconds apart.

        Both clients hold so many documents before: by then most of their code has been compiled.
        """
        a, b = await self._holding(held)
        url = (await a.ask("one"))["url"]
        await asyncio.sleep(ASK_AFTER)
        await b.ask("watch", url=url, upto=count)
        sent = (await a.ask("edit", count=count, gap=gap))["sent"]
        seen = (await b.answer())["seen"]
        return [(next(at for n, at in seen if n >= number) - began) / 1e9
                for number, began in enumerate(sent, 1)]

    async def changes(self, count: int) -> float:
        """Seconds until B has the last of so many changes that A makes to one document, one after the other."""
        a, b = await self.client("a"), await self.client("b")
        url = (await a.ask("one"))["url"]
        await asyncio.sleep(ASK_AFTER)
        await b.ask("watch", url=url, upto=count)
        began = (await a.ask("changes", count=count))["began"]
        seen = (await b.answer())["seen"]
        return float(seen[-1][1] - began) / 1e9

    async def wide(self, count: int, held: int, earlier: int, keys: int, *, turns: bool) -> float:
        """As `changes`, or all of them in one tick, each of which sets one more field, of so many in turn.

        Both clients hold so many documents before, and the document has so many earlier changes.
        """
        a, b = await self._holding(held)
        url = (await a.ask("one", text=True))["url"]
        await asyncio.sleep(ASK_AFTER)
        await b.ask("watch", url=url, upto=earlier + count)
        await a.ask("edit", count=earlier, gap=EARLIER_GAP)
        await asyncio.sleep(ASK_AFTER)
        began = (await a.ask("wide", count=count, first=earlier, keys=keys, turns=turns))["began"]
        seen = (await b.answer())["seen"]
        return float(seen[-1][1] - began) / 1e9

    async def _holding(self, held: int) -> tuple[Talker, Talker]:
        """Two clients, the first of which made so many documents, and the second of which has found them."""
        a, b = await self.client("a"), await self.client("b")
        async with asyncio.TaskGroup() as group:
            group.create_task(_last_found(b, held))
            await a.ask("create", count=held)
            for _ in range(held):
                group.create_task(_asked(b, (await a.answer())["url"]))
        return a, b


async def _asked(client: Talker, url: str) -> None:
    """Let a client ask for a document some time after it was made."""
    await asyncio.sleep(ASK_AFTER)
    await client.send("find", url=url)


async def attempt(bench: Bench, folder: Path | None, work: Callable[["Repo"], Awaitable[T]]) -> T | None:
    """One run of the peer with an empty store; None, said aloud, when it can't be or does not end.

    The peer's trouble must not cost our own figure.
    """
    if folder is None:
        return None
    try:
        async with asyncio.timeout(MOST_SECONDS), repo(bench, folder) as running:
            return await work(running)
    except (TimeoutError, OSError, BenchmarkFailed, ExceptionGroup) as error:
        say(f"  a run of automerge-repo is left out: {str(error) or f'not done in {MOST_SECONDS:.0f} s'}")
        return None


async def _last_found(client: Talker, count: int) -> float:
    """The instant (monotonic, ns) at which the last of `count` documents was there."""
    urls: set[str] = set()
    last = 0.0
    while len(urls) < count:
        answer = await client.answer()
        urls.add(answer["found"])
        last = max(last, float(answer["at"]))
    return last


@asynccontextmanager
async def repo(bench: Bench, folder: Path) -> AsyncIterator[Repo]:
    """A fresh server with an empty store. Raises `BenchmarkFailed` when it does not start."""
    work = bench.folder("repo")
    port = free_port()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(start(
            "node", "server.mjs", str(port), str(work / "store"), cwd=folder, log=work / "server.log"))
        try:
            await wait_for_port(port)
        except BenchmarkFailed as error:
            raise BenchmarkFailed(f"{error}: {(work / 'server.log').read_text()[-500:]}") from None
        yield Repo(folder, port, work, stack)
