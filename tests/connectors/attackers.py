"""Connectors that turned on the person: what a file does that took a parser over."""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, BinaryIO

import msgspec

from chez.connectors import Found, Item, Progress, Reject, Source
from chez.vocabulary import TariffDay

GOOD = TariffDay(scheme="tempo", date=date(2024, 1, 1), colour="blue")


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


TRIES: dict[str, Callable[[], object]] = {
    "socket": lambda: socket.socket(),
    "open": lambda: open("/etc/passwd"),
    "create": lambda: open("/tmp/chez-was-here", "w"),
    "list": lambda: os.listdir("/"),
    "remove": lambda: os.unlink("/tmp/chez-was-not-here"),
    "fork": _fork,
    "run": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "kill": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "entropy": lambda: os.urandom(1),
}


class Attacker:
    """A connector for files that say what to try, one word a line; it yields one good record first."""

    name, version, title = "attacker", 1, "an attacker"
    types = (TariffDay,)

    def recognise(self, head: bytes, name: str) -> bool:
        return head.startswith(b"attack ")

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        if source.name == "example":
            return
        yield Found(GOOD, 1)
        yield Progress(1)
        word = file.read().decode().split()[1]
        if word in TRIES:
            keys = [name for name in ("nacl", "sqlcipher3", "automerge", "chez.keys") if name in sys.modules]
            yield Reject(1, f"loaded: {keys}", "")
            # Told one by one: what was refused is a reject, what went through is a record.
            for name, attempt in TRIES.items():
                try:
                    attempt()
                except OSError as error:
                    yield Reject(1, f"{name}: {type(error).__name__}", "")
                else:
                    yield Found(GOOD, 2)
            TRIES[word]()
        yield from getattr(self, word)()

    def memory(self) -> Iterator[Item]:
        held = []
        while True:
            held.append(bytearray(1 << 24))
            yield Progress(1)

    def loop(self) -> Iterator[Item]:
        while True:
            pass

    def endless(self) -> Iterator[Item]:
        while True:
            yield Found(GOOD, 1)

    def crash(self) -> Iterator[Item]:
        ctypes.string_at(0)
        yield Progress(1)

    def exit(self) -> Iterator[Item]:
        os._exit(3)
        yield Progress(1)

    def wrong(self) -> Iterator[Item]:
        yield Found(TariffDay(scheme=5, date="no day", colour="mauve"), 7)  # type: ignore[arg-type]
        yield Found(GOOD, 8)

    def huge(self) -> Iterator[Item]:
        yield Found(TariffDay(scheme="x" * 600_000, date=date(2024, 1, 1), colour="blue"), 3)

    def escapes(self) -> Iterator[Item]:
        yield Reject(1, "\x1b[2J", "\x1b[2J")


class Lazy:
    """A connector that imports when it first reads a file that is its own; its example makes it do so before."""

    name, version, title = "lazy", 1, "one that imports late"
    example = b"lazy"
    types = (TariffDay,)

    def recognise(self, head: bytes, name: str) -> bool:
        return head.startswith(b"lazy")

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        if file.read(4) == b"lazy":
            import wave  # nothing else here needs it

            yield Found(GOOD, 1 if issubclass(wave.Error, Exception) else 2)


class Renamed(Attacker):
    """One that is called otherwise when it is made without arguments."""

    def __init__(self, name: str = "surprise") -> None:
        self.name = name


class Own(msgspec.Struct):
    """A type of a connector's own."""

    __collection__ = "own"
    __identity__ = ("name",)

    name: str


class Undeclared:
    """A connector whose records are of a type that it does not declare."""

    name, version, title = "undeclared", 1, "undeclared types"

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        if file.read(1):
            yield Found(Own(name="x"), 1)


class Declared(Undeclared):
    """One that says so."""

    name = "declared"
    types: tuple[Any, ...] = (Own,)
