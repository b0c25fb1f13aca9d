"""A TCP proxy on loopback that writes down every byte, and can cut the line.

It stands between devices and a relay, so that what really left a device can be shown and
searched. It sees what anybody on the network would see, without TLS even.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

__all__ = ("Connection", "Frame", "RecordingProxy")

CHUNK: Final = 65536
CONTROL: Final = 8
"""Websocket opcodes from here on are close, ping and pong."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One websocket frame, unmasked."""

    opcode: int
    payload: bytes


@dataclass(slots=True)
class Connection:
    """What passed on one connection so far."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)

    def frames_up(self) -> list[Frame]:
        """The data frames that the device sent (keep-alive and close left out)."""
        return [frame for frame in _frames(bytes(self.up)) if frame.opcode < CONTROL]

    def frames_down(self) -> list[Frame]:
        """The data frames that the relay sent."""
        return [frame for frame in _frames(bytes(self.down)) if frame.opcode < CONTROL]


def _frames(data: bytes) -> Iterator[Frame]:
    """The websocket frames after the HTTP handshake; a last one that is cut is left out (RFC 6455, 5.2)."""
    at = data.find(b"\r\n\r\n") + 4
    while 4 <= at <= len(data) - 2:
        opcode, second = data[at] & 15, data[at + 1]
        at += 2
        size = second & 127
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        mask = data[at : at + 4] if second & 128 else b""
        at += len(mask)
        if at + size > len(data):
            return
        payload = data[at : at + size]
        at += size
        yield Frame(opcode, _unmask(payload, mask) if mask else payload)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class RecordingProxy:
    """Listens on a free port of loopback and passes everything to `target`; used with `with`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.connections: list[Connection] = []
        self._open: set[socket.socket] = set()
        self._up = True
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """What devices dial."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        """The relay's name as devices dial it: what the relay must answer to."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        with self._lock:
            self._up = False
        self._hang_up()

    def mend(self) -> None:
        """Let connections pass again."""
        with self._lock:
            self._up = True

    def close(self) -> None:
        """Stop listening and break what is open."""
        self.cut()
        # A listener that is only closed stays open as long as a thread waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def recorded(self) -> bytes:
        """Everything that passed, as bytes of the wire and unmasked, in both directions."""
        parts: list[bytes] = []
        for connection in self.connections:
            parts += [bytes(connection.up), bytes(connection.down)]
            parts += [frame.payload for frame in connection.frames_up()]
        return b"\0".join(parts)

    def mark(self) -> list[int]:
        """Where the recording stands now, for `sent_since`."""
        return [len(connection.frames_up()) for connection in self.connections]

    def sent_since(self, mark: list[int]) -> list[bytes]:
        """The payloads of the data frames that left devices since `mark`."""
        return [
            frame.payload
            for number, connection in enumerate(self.connections)
            for frame in connection.frames_up()[mark[number] if number < len(mark) else 0 :]
        ]

    def _hang_up(self) -> None:
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                device, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                up = self._up
            if not up:
                device.close()
                continue
            try:
                relay = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                device.close()
                continue
            for one in (device, relay):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection()
            with self._lock:
                self.connections.append(connection)
                self._open |= {device, relay}
            threading.Thread(target=self._carry, args=(device, relay, connection), daemon=True).start()

    def _carry(self, device: socket.socket, relay: socket.socket, connection: Connection) -> None:
        """Both directions until each side is done, then forget the sockets."""
        back = threading.Thread(target=_pump, args=(relay, device, connection.down), daemon=True)
        back.start()
        _pump(device, relay, connection.up)
        back.join()
        with self._lock:
            self._open -= {device, relay}
        device.close()
        relay.close()


def _pump(source: socket.socket, target: socket.socket, record: bytearray) -> None:
    """Write down, then pass on, until the source ends."""
    with suppress(OSError):
        while data := source.recv(CHUNK):
            record += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
