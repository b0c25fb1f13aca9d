"""What a node of NATS says of itself to whoever connects: a server speaks first."""

import socket
import time
from contextlib import closing
from typing import Final

import msgspec

from chez_relay.errors import RelayError

__all__ = ("Greeting", "NoGreeting", "greeted")

MAX_GREETING: Final = 64 * 1024
"""Bytes of a greeting: a thousand addresses of other nodes fit."""


class NoGreeting(RelayError):
    """What listens there is no server of NATS, or one that stands still."""


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a server's INFO that counts here (docs.nats.io, client protocol)."""

    server_name: str = ""
    version: str = ""
    max_payload: int = 0
    jetstream: bool = False
    """False also after it ended by itself, as it does when its disk is full; it begins again with the server alone."""

    @property
    def release(self) -> tuple[int, ...]:
        """Major and minor number of its version."""
        return tuple(int(part) if part.isdigit() else 0 for part in self.version.split(".")[:2])


def greeted(host: str, port: int, seconds: float) -> Greeting:
    """Connect and hear a node's greeting. Raises `NoGreeting`, and OSError where nothing listens."""
    end = time.monotonic() + seconds
    with closing(socket.create_connection((host, port), seconds)) as line:
        data = b""
        while b"\r\n" not in data and len(data) < MAX_GREETING:
            try:
                if (left := end - time.monotonic()) <= 0:  # it may say a byte now and then for ever
                    raise TimeoutError
                line.settimeout(left)
                more = line.recv(4096)
            except TimeoutError:
                raise NoGreeting("it takes connections and gives no greeting in time") from None
            if not more:
                break
            data += more
    word, _, rest = data.partition(b"\r\n")[0].partition(b" ")
    try:
        if word != b"INFO":
            raise NoGreeting("what answers there is no server of NATS")
        return msgspec.json.decode(rest, type=Greeting)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoGreeting("what answers there is no server of NATS") from None
