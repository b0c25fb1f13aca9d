"""A real relay as a process of its own, begun in milliseconds and always at the address it had.

Devices know a relay by its address, so that of a prepared folder is kept in it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from chez_relay.server import serving
from chez_relay.storage.sqlite import SqliteStorage
from tests.forked import PROCESSES
from tests.ports import free_port

__all__ = ("relay",)

_PORT = "port"


@contextmanager
def relay(data: Path) -> Iterator[str]:
    """A relay over `data` while the block lasts: its address. It is killed at the end."""
    port = int((data / _PORT).read_text()) if (data / _PORT).exists() else free_port()
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_run, args=(data, port, there), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(90) and here.recv() == "listening"
        (data / _PORT).write_text(str(port))
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.kill()
        process.join()
        here.close()


def _run(data: Path, port: int, told: Connection) -> None:
    async def serve() -> None:
        storage = await SqliteStorage.open(data)
        async with serving(storage, "127.0.0.1", port):
            told.send("listening")
            await asyncio.Event().wait()

    asyncio.run(serve())
