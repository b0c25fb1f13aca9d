"""Bare websocket servers to measure beside a relay: `python -m benchmarks.bare echo|broadcast PORT`.

`echo` sends each message back to who sent it; `broadcast` answers each with itself and sends it to everybody else.
"""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed


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


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
