"""Bare websocket servers to measure beside a relay: `python -m benchmarks.bare echo|broadcast PORT`, `store PORT FILE`.

`echo` sends each message back to who sent it; `broadcast` answers each with itself and sends it to everybody else;
`store` sends each back once it is in a SQLite file, synced, together with all that came meanwhile: no checks, one table
in the order of arrival.
"""

import asyncio
import sqlite3
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

Waiting = tuple[ServerConnection, str | bytes]


async def main(kind: str, port: int) -> None:
    """Serve until ended."""
    here: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        here.add(connection)
        try:
            async for message in connection:
                if kind == "broadcast":
                    broadcast(here - {connection}, message)
                await connection.send(message)
        except ConnectionClosed:  # loads hang up without a word
            pass
        finally:
            here.discard(connection)

    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None) as server:
        await server.serve_forever()


async def store(port: int, path: Path) -> None:
    """Serve until ended, one group after the other."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE entries (place INTEGER PRIMARY KEY, envelope BLOB)")
    waiting, more = list[Waiting](), asyncio.Event()

    def commit(group: list[Waiting]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO entries (envelope) VALUES (?)", [(message,) for _, message in group])
        db.execute("COMMIT")

    async def write() -> None:
        while await more.wait():
            more.clear()
            group = waiting[:]
            waiting.clear()
            await asyncio.to_thread(commit, group)
            for connection, message in group:
                await connection.send(message)

    async def handle(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                waiting.append((connection, message))
                more.set()
        except ConnectionClosed:
            pass

    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None), asyncio.TaskGroup() as tasks:
        tasks.create_task(write())


if __name__ == "__main__":
    _, kind, port, *files = sys.argv
    asyncio.run(store(int(port), Path(*files)) if kind == "store" else main(kind, int(port)))
