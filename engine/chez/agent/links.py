"""One connection of a client to the owner: messages in and out, without knowing what they ask."""

import asyncio
import socket
from typing import Final

from chez.agent.protocol import (
    Answer,
    ClientMessage,
    Deframer,
    OwnerMessage,
    ProtocolError,
    decode_client,
    encode,
)

__all__ = ("ClientLink", "Gone")

_READ: Final = 256 * 1024


class Gone(Exception):
    """The client hung up in the middle."""


class ClientLink:
    """One connection: messages in and out."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.asked = False
        self._deframer = Deframer()
        self._bodies: list[bytes] = []
        self._sending = asyncio.Lock()

    async def send(self, message: OwnerMessage) -> None:
        """Send one message whole; waits while the client does not read. Raises `Gone`."""
        data = encode(message)
        async with self._sending:
            try:
                await asyncio.get_running_loop().sock_sendall(self.link, data)
            except OSError:
                raise Gone from None

    async def receive(self) -> ClientMessage | None:
        """The next message, or None when the client hung up. Raises `ProtocolError`."""
        while not self._bodies:
            try:
                data = await asyncio.get_running_loop().sock_recv(self.link, _READ)
            except OSError:
                return None
            if not data:
                return None
            self._bodies += self._deframer.feed(data)
        return decode_client(self._bodies.pop(0))

    async def listen(self, answers: "asyncio.Queue[str]") -> None:
        """Pass answers on until the client hangs up. Raises `ProtocolError` for anything else."""
        while (message := await self.receive()) is not None:
            if not isinstance(message, Answer) or not self.asked:
                raise ProtocolError("a request or an answer came while a verb was running")
            self.asked = False
            answers.put_nowait(message.text)
