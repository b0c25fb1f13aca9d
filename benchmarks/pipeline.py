"""The bare steps of a live change, to measure beside `sync.latency_p50`: `python -m benchmarks.pipeline relay|a|b ...`.

Three processes, each with a plain SQLite file that is synced at each commit (`synchronous=FULL`). A makes an
Automerge change, compresses, signs and seals it, commits the sealed entry and the record in its writer's thread, and
sends it; the relay commits it and sends it on; B opens it, checks its signature, and has the value. One key, one
document, no membership, chains, padding, queries or enciphered pages: less than what Chez promises needs. B takes
the value from beside the change, and its own commit comes after.
"""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any, Final

import automerge.core as automerge
import msgspec
import websockets
import zstandard
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as unseal
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as seal
from nacl.signing import SigningKey
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.harness import Bench
from benchmarks.processes import free_port, start, talk, wait_for_port

__all__ = ("latencies",)

AUTHOR: Final = SigningKey(bytes(32))
KEY: Final = bytes(32)
HEADER: Final = b"header"
NONCE: Final = 24
RECORD: Final = bytes(16)


async def latencies(bench: Bench, count: int, gap: float) -> list[float]:
    """Milliseconds from the making of each change at A until B has its value."""
    folder, port = bench.folder("pipeline"), free_port()
    this = (sys.executable, "-m", "benchmarks.pipeline")
    async with start(*this, "relay", str(port), str(folder / "relay.db"), log=folder / "relay.log"):
        await wait_for_port(port)
        async with talk(*this, "b", str(port), str(folder / "b.db"), str(count), log=folder / "b.log") as b:
            await b.answer()  # connected
            async with talk(*this, "a", str(port), str(folder / "a.db"), str(count), str(gap),
                            log=folder / "a.log") as a:
                sent, seen = (await a.answer())["sent"], (await b.answer())["seen"]
    return [(at - began) / 1e6 for began, at in zip(sent, seen, strict=True)]


class Table:
    """Entries and records in a SQLite file, synced at each commit."""

    def __init__(self, path: Path) -> None:
        self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._sql.execute("PRAGMA journal_mode=WAL")
        self._sql.execute("PRAGMA synchronous=FULL")
        self._sql.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, entry BLOB)")
        self._sql.execute("CREATE TABLE record (id BLOB PRIMARY KEY, value BLOB)")

    async def put(self, entry: bytes, value: bytes | None) -> None:
        """Keep an entry, and what the record has after it; durable when this returns."""
        await asyncio.to_thread(self._put, entry, value)

    def _put(self, entry: bytes, value: bytes | None) -> None:
        self._sql.execute("BEGIN IMMEDIATE")
        self._sql.execute("INSERT INTO log (entry) VALUES (?)", (entry,))
        if value is not None:
            self._sql.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (RECORD, value))
        self._sql.execute("COMMIT")


async def relay(port: int, path: Path) -> None:
    """Keep each message, then give it to everybody else and answer who sent it. Until ended."""
    table, here = Table(path), set[ServerConnection]()

    async def handle(connection: ServerConnection) -> None:
        here.add(connection)
        try:
            async for message in connection:
                await table.put(_bytes(message), None)
                for other in here - {connection}:
                    await other.send(message)
                await connection.send(b"")
        except ConnectionClosed:
            pass
        finally:
            here.discard(connection)

    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None) as server:
        await server.serve_forever()


async def author(port: int, path: Path, count: int, gap: float) -> None:
    """Make so many changes of one document, this many seconds apart; says when each began."""
    table, document, sent = Table(path), automerge.Document(), list[int]()
    squeeze = zstandard.ZstdCompressor()
    async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as connection:
        answers = asyncio.create_task(_drain(connection))
        for number in range(count):
            sent.append(time.monotonic_ns())
            with document.transaction() as change:
                change.put(automerge.ROOT, "number", automerge.ScalarType.Int, number)
            made = document.get_last_local_change()
            value = msgspec.json.encode({"number": number})
            body = squeeze.compress(msgspec.msgpack.encode((RECORD, bytes(made.bytes) if made else b"", value)))
            nonce = os.urandom(NONCE)
            entry = nonce + seal(bytes(AUTHOR.sign(body)), HEADER, nonce, KEY)
            await table.put(entry, value)
            await connection.send(entry)
            await asyncio.sleep(gap)
        answers.cancel()
    _say({"sent": sent})


async def reader(port: int, path: Path, count: int) -> None:
    """Take so many changes; says when the value of each was there."""
    table, seen = Table(path), list[int]()
    unsqueeze = zstandard.ZstdDecompressor()
    async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as connection:
        _say({})
        async for message in connection:
            entry = _bytes(message)
            body = AUTHOR.verify_key.verify(unseal(entry[NONCE:], HEADER, entry[:NONCE], KEY))
            _, change, value = msgspec.msgpack.decode(unsqueeze.decompress(body), type=tuple[bytes, bytes, bytes])
            if msgspec.json.decode(value)["number"] == len(seen):
                seen.append(time.monotonic_ns())
            await table.put(change, value)
            if len(seen) == count:
                break
    _say({"seen": seen})


async def _drain(messages: AsyncIterable[Any]) -> None:
    async for _ in messages:
        pass


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def _say(words: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(words) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _, kind, where, file, *numbers = sys.argv
    if kind == "relay":
        asyncio.run(relay(int(where), Path(file)))
    elif kind == "a":
        asyncio.run(author(int(where), Path(file), int(numbers[0]), float(numbers[1])))
    else:
        asyncio.run(reader(int(where), Path(file), int(numbers[0])))
