"""How a program of ours begins: Ctrl-C while Python imports it is told as later, without what that takes to import."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("importing",)


@contextmanager
def importing(program: str) -> Iterator[None]:
    """While the block lasts, in which a program is imported, Ctrl-C ends it at once, with one line and 130.

    Where standard input, output or error is closed, it is /dev/null: else the next file that is opened has its
    number, and a process that inherits it writes into that file.

    That takes a third of a second and more, and `program.py`, which tells it from then on, is part of it. No exception
    is raised: one that comes while Python looks after its imports is shown, and the program goes on.
    """
    def end(*_: object) -> None:
        told = ('{"error":{"code":"Interrupted","message":"interrupted","hint":""}}' if "--json" in sys.argv
                else f"{program}: interrupted")
        try:
            os.write(2, f"{told}\n".encode())
        finally:
            os._exit(130)

    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # a shell's background job ignores it
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
