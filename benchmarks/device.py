"""One device as a process: `python -m benchmarks.device HOME`, driven by JSON lines.

Each line `{"do": verb, ...}` is answered by one line. Instants are CLOCK_MONOTONIC
nanoseconds, which all processes of a machine share.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import zstandard

import chez
from benchmarks.memory import peak
from benchmarks.store import PASSPHRASE, six_fields
from chez.crypto import Kdf
from chez.errors import BlobMissing

POLL: float = 0.001
"""Seconds between two looks of a device that waits: what is reported is late by at most this."""

AT_ONCE: int = 512
"""Tasks that put at once where a value is large: each holds one."""

BLOCK: int = 500
"""Records that are filled in together: a device keeps the documents of about so many loaded."""


class Device:
    """A home and what the benchmark asks of it."""

    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self.path, self.stack = path, stack
        self.home: Any = None
        self.pairing: asyncio.Task[Any] | None = None

    async def _open(self) -> None:
        self.home = await self.stack.enter_async_context(chez.open(self.path, passphrase=PASSPHRASE))

    async def create(self, url: str) -> dict[str, Any]:
        """A new person with one device, and its relay."""
        await chez.create(self.path, passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
        await self._open()
        await self.home.set_relay(url)
        await self.home.sync()
        return {}

    async def pair(self, url: str) -> dict[str, Any]:
        """Offer to let another device in; answers the code."""
        code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def let_in() -> None:
            try:
                async with self.home.pair(url) as pairing:
                    code.set_result(pairing.code)
                    await pairing.confirm(_yes)
            except BaseException as error:
                if not code.done():
                    code.set_exception(error)
                raise

        self.pairing = asyncio.create_task(let_in())
        return {"code": await code}

    async def paired(self) -> dict[str, Any]:
        """Wait until the other device is in."""
        if self.pairing:
            await self.pairing
        return {}

    async def join(self, code: str, url: str) -> dict[str, Any]:
        """Become the other device."""
        await chez.join(self.path, code, passphrase=PASSPHRASE, name="b", relay=url)
        await self._open()
        await self.home.sync(url)
        return {}

    async def connect(self, url: str) -> dict[str, Any]:
        """Live from here on."""
        link = await self.stack.enter_async_context(self.home.connect(url))
        await link.synced(timeout=30)
        return {}

    async def puts(self, count: int) -> dict[str, Any]:
        """Separate puts by concurrent tasks; answers when the first began and all were durable."""
        items = self.home.collection("items")
        began = time.monotonic_ns()
        await asyncio.gather(*(items.put(six_fields(number)) for number in range(count)))
        return {"began": began, "durable": time.monotonic_ns()}

    async def wait(self, count: int) -> dict[str, Any]:
        """Wait until a query finds this many records."""
        items = self.home.collection("items")
        while await items.where().count() < count:  # noqa: ASYNC110 - what a user's query would see
            await asyncio.sleep(POLL)
        return {"at": time.monotonic_ns()}

    async def one(self, text: bool = False) -> dict[str, Any]:
        """Make the record that `edit` changes and `watch` watches; with an empty text beside its number."""
        await self.home.collection("ticks").put({"n": 0, "t": ""} if text else {"n": 0}, id="tick")
        return {}

    async def edit(self, count: int, gap: float, first: int = 1) -> dict[str, Any]:
        """Change the record `count` times, `gap` seconds apart; when each change began and was durable here."""
        ticks, sent, durable = self.home.collection("ticks"), [], []
        for number in range(first, first + count):
            sent.append(time.monotonic_ns())
            async with ticks.edit("tick") as draft:
                draft["n"] = number
            durable.append(time.monotonic_ns())
            await asyncio.sleep(gap)
        return {"sent": sent, "durable": durable}

    async def changes(self, count: int) -> dict[str, Any]:
        """Set the record's field `count` times, each a change of its own; answers when the first began."""
        ticks, began = self.home.collection("ticks"), time.monotonic_ns()
        await asyncio.gather(*(ticks.put({"n": number}, id="tick") for number in range(1, count + 1)))
        return {"began": began, "durable": time.monotonic_ns()}

    async def wide(self, count: int, first: int, keys: int) -> dict[str, Any]:
        """As `changes` from `first` on, each of which sets one more field, of so many in turn; some tasks at once."""
        ticks, value, numbers = self.home.collection("ticks"), {"n": first, "t": ""}, iter(range(1, count + 1))

        async def some() -> None:
            for number in numbers:
                value["n"], value[f"k{number % keys}"] = first + number, number
                await ticks.put(dict(value), id="tick")

        began = time.monotonic_ns()
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        return {"began": began, "durable": time.monotonic_ns()}

    async def history(self) -> dict[str, Any]:
        """How many changes the record's history has."""
        count, before = 0, None
        while page := await self.home.collection("ticks").history("tick", limit=10_000, before=before):
            count, before = count + len(page), page[-1].oldest
        return {"count": count}

    async def watch(self, upto: int) -> dict[str, Any]:
        """Follow the record until it has reached `upto`; answers when each new value was here to be used."""
        seen: list[tuple[int, int]] = []
        async for record in self.home.collection("ticks").live("tick"):
            seen.append((record.value["n"], time.monotonic_ns()))
            if record.value["n"] >= upto:
                break
        return {"seen": seen}

    async def say(self, count: int, gap: float) -> dict[str, Any]:
        """Say so many ephemeral messages, `gap` seconds apart; when each was said."""
        space, sent = self.home.space(), []
        for number in range(count):
            sent.append(time.monotonic_ns())
            await space.broadcast("tick", number)
            await asyncio.sleep(gap)
        return {"sent": sent}

    async def hear(self, upto: int) -> dict[str, Any]:
        """Hear ephemeral messages, up to this one; when each was here to be used."""
        seen: list[tuple[int, int]] = []
        async for message in self.home.space().ephemeral("tick"):
            seen.append((message.value, time.monotonic_ns()))
            if message.value >= upto:
                break
        return {"seen": seen}

    async def has(self) -> dict[str, Any]:
        """Wait until the record is here."""
        while not await self.home.collection("ticks").where().count():  # noqa: ASYNC110 - as above
            await asyncio.sleep(POLL)
        return {}

    async def attach(self, path: str, id: str) -> dict[str, Any]:
        """Attach a file to a record; answers when that began."""
        began = time.monotonic_ns()
        blob = await self.home.blobs.add(path)
        await self.home.collection("files").put({"file": blob}, id=id)
        return {"began": began}

    async def fetch(self, id: str) -> dict[str, Any]:
        """Read what is attached to a record, as soon as it can be read; answers when that was done."""
        while not (found := [record async for record in self.home.collection("files") if record.id == id]):  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        while True:
            try:
                async for _ in self.home.blobs.read(found[0].value["file"]):
                    pass
            except BlobMissing:  # the other device is still sending
                await asyncio.sleep(0.05)
            else:
                return {"at": time.monotonic_ns()}

    async def fill(self, count: int, rounds: int) -> dict[str, Any]:
        """Put records, each so many times with another value; what is put again is sent after each round.

        In blocks, whose documents stay loaded: else most of the time is spent on loading them anew.
        """
        items = self.home.collection("items")
        for at in range(0, count, BLOCK):
            some = range(at, min(count, at + BLOCK))
            for number in range(rounds):
                await items.put_many([six_fields(n) | {"round": number} for n in some], ids=[f"item {n}" for n in some])
                if rounds > 1:
                    await self.home.sync(timeout=300)
        await self.home.sync(timeout=300)
        return {}

    async def checkpoint(self) -> dict[str, Any]:
        """Make a checkpoint, have it vouched for and dropped."""
        await self.home.space().checkpoint()
        return {}

    async def sync(self) -> dict[str, Any]:
        """Once."""
        await self.home.sync(timeout=300)
        return {}

    async def enter(self, code: str, url: str) -> dict[str, Any]:
        """Become the other device, without anything of the space yet."""
        await chez.join(self.path, code, passphrase=PASSPHRASE, name="b", relay=url, kdf=Kdf.minimum())
        return {}

    async def bootstrap(self, url: str, count: int) -> dict[str, Any]:
        """Open the home, and fetch everything; how long it took until a query finds it."""
        began = time.monotonic()
        await self._open()
        await self.home.sync(url, timeout=300)
        found = await self.home.collection("items").where().count()
        seconds = time.monotonic() - began
        if found != count:
            raise RuntimeError(f"{found} records of {count} are here")
        return {"seconds": seconds}

    async def documents(self) -> dict[str, Any]:
        """What the saved documents take, compressed: together, and each by itself."""
        rows = self.home._spaces.records.rows

        def saved(db: Any) -> list[bytes]:
            return [bytes(rows.load(db, n).save()) for (n,) in db.execute("SELECT n FROM record").fetchall()]

        documents = await self.home._database.write(saved)
        return {"together": len(zstandard.compress(b"".join(documents), 3)),
                "each": sum(len(zstandard.compress(one, 3)) for one in documents)}

    async def peak(self) -> dict[str, Any]:
        """The most memory that this process has had."""
        return {"megabytes": peak()}


async def _yes(question: str, *, default: str | None = None) -> str:
    return "yes"


async def main(path: Path) -> None:
    """Answer until standard input ends."""
    async with AsyncExitStack() as stack:
        device = Device(path, stack)
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            asked = msgspec.json.decode(line, type=dict[str, Any])
            answer = await getattr(device, asked.pop("do"))(**asked)
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
