"""A bare websocket server that sends each message back: `python -m benchmarks.echo PORT`."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve


async def main(port: int) -> None:
    """Serve until ended."""
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
