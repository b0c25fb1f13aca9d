"""How a command is stopped by a person or by the system, and what it says then.

Ctrl-C (SIGINT) and SIGTERM both end a command in the same orderly way: what it has open is closed, what is not whole
goes. It is told in one line, below it what stands, and the exit code is 128 and the signal's number, as shells have it.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

__all__ = ("Interrupted", "Stop", "fill_streams", "standing", "stoppable")


GRACE: Final = 10.0
"""Seconds that a command has for ending when it was told to by SIGTERM."""


class Interrupted(click.Abort):
    """A command was stopped; `hint` says what stands of what it did."""

    def __init__(self, hint: str) -> None:
        super().__init__()
        self.hint = hint


@contextmanager
def standing(hint: str) -> Iterator[None]:
    """While the block lasts, stopping it says `hint`. It must be true at whatever moment that is."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(hint) from None


class Stop:
    """Which signal stopped a command: Ctrl-C unless `terminated` was set."""

    terminated: bool = False

    @property
    def code(self) -> int:
        """The exit code: 130 or 143."""
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)

    @property
    def message(self) -> str:
        """What is told."""
        return "terminated" if self.terminated else "interrupted"


@contextmanager
def stoppable() -> Iterator[Stop]:
    """While the block lasts, SIGTERM stops what runs as Ctrl-C does.

    A second one ends the process at once, and so does `GRACE`: a thread that waits for a disk may never hear of it.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals are the main thread's to hear
        return

    def terminate(number: int, frame: Any) -> None:
        stop.terminated = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        # An event loop has a handler of its own, which cancels its task. A shell's background job ignores SIGINT.
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt

    before, alarm = signal.signal(signal.SIGTERM, terminate), signal.getsignal(signal.SIGALRM)
    due = signal.getitimer(signal.ITIMER_REAL)
    try:
        yield stop
    finally:
        if stop.terminated:
            signal.setitimer(signal.ITIMER_REAL, *due)
            signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGTERM, before)


def fill_streams() -> None:
    """Open what of the standard streams is closed (`chez ls >&-`), as nothing to read or a place where nothing is kept.

    Else the next file that is opened, a store perhaps, would have its number, and be written to as standard output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
