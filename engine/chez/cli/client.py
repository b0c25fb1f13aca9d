"""One call to a home: through its owner's socket, or by opening the home for it.

Both ways run the same verb function and give the same result; the first costs
milliseconds and needs no passphrase.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from chez.agent import protocol
from chez.agent.paths import connect
from chez.cli.context import Settings, settings
from chez.cli.stopping import standing
from chez.cli.terminal import Terminal
from chez.errors import ChezError, HomeBusy, HomeMissing, Unavailable

if TYPE_CHECKING:
    from chez.agent.ui import Face

__all__ = ("OwnerGone", "asked_twice", "call", "exchange", "wait_for_end")

BUSY_WAIT: Final = 5.0
"""Seconds to wait for another short command that has the home open."""

Show = Callable[[dict[str, Any]], None]
T = TypeVar("T")


class OwnerGone(Unavailable):
    """The owner ended before it answered."""


def call(ctx: click.Context, verb: str, params: dict[str, Any], *, show: Show | None = None,
         stands: str = "") -> Any:
    """Run a verb on the home of this invocation and give its result.

    `show` gets the structured events (pages of rows); without it they are printed. `stands` is what is said, true at
    whatever moment, where the command is stopped meanwhile.
    Raises what the verb raises, of the same class where it is one of `chez.errors`.
    """
    chosen = settings(ctx)
    face = _Face(chosen, show)
    if chosen.space is not None:
        params = {**params, "space": chosen.space}
    try:
        with standing(stands):
            return _call(chosen, face, verb, params)
    finally:
        face.clear()


def _call(chosen: Settings, face: "_Face", verb: str, params: dict[str, Any]) -> Any:
    path = chosen.path
    if (link := connect(path)) is not None:
        return _ask(path, link, face, verb, params)
    if not path.exists():
        raise HomeMissing(f"there is no home at {path}",
                          "chez init makes one; --home or CHEZ_HOME name another")
    from chez.cli import passphrases
    from chez.cli.near import run_near

    passphrase = passphrases.unlock(chosen, served=True)
    deadline = time.monotonic() + BUSY_WAIT
    while True:
        try:
            return run_near(path, passphrase, face, verb, params)
        except HomeBusy:
            # Another command, or an owner that is just starting: its socket may be there by now.
            if (link := connect(path)) is not None:
                return _ask(path, link, face, verb, params)
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _ask(home: Path, link: socket.socket, face: "_Face", verb: str, params: dict[str, Any]) -> Any:
    """One request on a connection that is closed then.

    An owner that locks itself has nothing under way, and hangs up on what comes just then: once it says that it is
    locked it is asked again, for it says what to do.
    """
    try:
        with link:
            return exchange(link, face, verb, params)
    except OwnerGone:
        state = asked_twice(home, lambda again: exchange(again, face, "owner", {}))
        if state is None or not state["locked"] or (again := connect(home)) is None:
            raise
    with again:
        return exchange(again, face, verb, params)


def exchange(link: socket.socket, face: "Face", verb: str, params: dict[str, Any]) -> Any:
    """One request on an open connection: events go to `face`, the result is returned."""
    deframer = protocol.Deframer()
    _send(link, protocol.Request(verb, params))
    while data := _receive(link):
        for body in deframer.feed(data):
            match protocol.decode_owner(body):
                case protocol.Result(value):
                    return value
                case protocol.Failed() as failed:
                    raise protocol.error_from(failed)
                case protocol.Say(text):
                    face.say(text)
                case protocol.Progress(done, total, label):
                    face.progress(done, total, label)
                case protocol.Show(shown):
                    face.show(shown)
                case protocol.Ask(question, default):
                    _send(link, protocol.Answer(face.ask(question, default)))
    raise _gone()


def asked_twice(home: Path, ask: Callable[[socket.socket], T]) -> T | None:
    """Ask the owner of a home something that may be asked again; None where there is no owner.

    One that locks itself hangs up on who asks just then, and another program goes on at its socket: that one is asked
    once more. Raises what `ask` does.
    """
    for last in (False, True):
        link = connect(home)
        if link is None:
            return None
        with link:
            try:
                return ask(link)
            except OwnerGone:
                if last:
                    raise
    return None


def wait_for_end(home: Path, link: socket.socket, seconds: float) -> None:
    """Wait until the owner at the other end has closed its home. Raises `HomeBusy` after a while."""
    link.settimeout(seconds)
    try:
        while link.recv(4096):
            pass
    except TimeoutError:
        raise HomeBusy(f"the owner of {home} is still finishing its work", "try again in a moment") from None
    except OSError:
        pass


def _send(link: socket.socket, message: protocol.ClientMessage) -> None:
    data = protocol.encode(message)
    # An owner that refuses (another user, too many clients) says why and hangs up without
    # reading: its answer may be there although sending failed, so the reader decides.
    with suppress(OSError):
        link.sendall(data)


def _receive(link: socket.socket) -> bytes:
    try:
        return link.recv(256 * 1024)
    except OSError:
        raise _gone() from None


def _gone() -> ChezError:
    return OwnerGone("the owner of the home ended before it answered",
                     "see whether it happened (chez ls), then try again")


class _Face(Terminal):
    """The terminal, with the command's own way to show events."""

    def __init__(self, chosen: Settings, show: Show | None) -> None:
        super().__init__(chosen)
        self._show = show

    def show(self, data: dict[str, Any]) -> None:
        """Give the event to the command, or print it."""
        if self._show is None:
            super().show(data)
        else:
            self.clear()
            self._show(data)
