"""up: the owner process of a home, in the foreground or detached."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from typing import Any, Final, NoReturn

import click
import msgspec

from chez.agent.paths import connect
from chez.agent.protocol import Failed, error_from, failure
from chez.cli.client import asked_twice, exchange
from chez.cli.context import Settings, settings
from chez.cli.terminal import Terminal, json_line, say
from chez.cli.values import duration
from chez.errors import ChezError, HomeBusy, HomeMissing, NotFound, Unavailable

__all__ = ("unlock", "up")

START_SECONDS: Final = 60.0
"""How long a detached owner may take to answer: a KDF at moderate cost takes about one."""


@click.command()
@click.option("--detach", is_flag=True, help="Return when the owner answers, and leave it running.")
@click.option("--lock-after", metavar="TIME", help="Lock when nobody used it for so long: 90s, 15m, 8h. Until "
              "`chez unlock` the owner holds no key, and does not sync.")
@click.option("--from-pipe", is_flag=True, hidden=True)
@click.option("--resume", metavar="LOCK:SOCKET", hidden=True)
@click.pass_context
def up(ctx: click.Context, detach: bool, lock_after: str | None, from_pipe: bool, resume: str | None) -> None:
    """Unlock the home once and serve it: other commands then need no passphrase.

    Keeps in step with the home's relay. Ends with `chez lock` or Ctrl-C. Every command that
    is answered counts as use for --lock-after.
    """
    from chez.cli import passphrases

    chosen = settings(ctx)
    after = None if lock_after is None else duration(lock_after)
    if resume is not None:
        lock, _, socket = resume.partition(":")
        if not (lock.isdecimal() and socket.isdecimal()):
            raise click.UsageError(f"{resume!r} are no descriptors", ctx)
        _own(chosen, None, lambda _: None, after, (int(lock), int(socket)))
        return
    if from_pipe:
        _child(chosen, passphrases.from_pipe(), after)
        return
    _refuse_second(chosen)
    if not chosen.path.exists():
        raise HomeMissing(f"there is no home at {chosen.path}", "chez init makes one")
    passphrase = passphrases.unlock(chosen)
    if detach:
        _tell(chosen, _spawn(chosen, passphrase, lock_after))
    else:
        _own(chosen, passphrase, lambda owner: _tell(chosen, owner), after)


@click.command()
@click.pass_context
def unlock(ctx: click.Context) -> None:
    """Open the home again whose owner locked itself (chez up --lock-after)."""
    chosen = settings(ctx)
    unlocked = _open_again(chosen)
    if chosen.json:
        json_line({"unlocked": unlocked})
    else:
        say(f"{chosen.path} is open again" if unlocked else f"{chosen.path} is open already")


def _open_again(chosen: Settings) -> bool:
    """Have the owner open its home; whether that was needed."""
    from chez.cli import passphrases

    face = Terminal(chosen)
    known: list[str | None] = []  # asked for once, whichever program of the owner it is for

    def ask(link: socket.socket) -> bool:
        if not exchange(link, face, "owner", {})["locked"]:
            return False
        if not known:
            known.append(passphrases.unlock(chosen))
        return bool(exchange(link, face, "unlock", {"passphrase": known[0]})["unlocked"])

    unlocked = asked_twice(chosen.path, ask)
    if unlocked is None:
        raise NotFound(f"{chosen.path} has no owner", "chez up starts one")
    return unlocked


def _own(chosen: Settings, passphrase: str | None, ready: Any, lock_after: float | None,
         resumed: tuple[int, int] | None = None) -> None:
    from chez.agent.running import own

    def become(lock: int, socket: int) -> NoReturn:
        say(f"{chosen.path} has locked itself; chez unlock opens it again", err=True)
        os.execv(sys.executable, [sys.executable, "-P", "-m", "chez.cli", "--home", str(chosen.path), "up",
                                  "--resume", f"{lock}:{socket}", "--lock-after", f"{lock_after}s"])

    own(chosen.path, passphrase, ready, become, lock_after=lock_after, resumed=resumed)


def _tell(chosen: Settings, owner: dict[str, Any]) -> None:
    if chosen.json:
        json_line(owner)
    else:
        say(f"{chosen.path} is open: process {owner['pid']} answers at {owner['socket']}")


def _refuse_second(chosen: Settings) -> None:
    link = connect(chosen.path)
    if link is None:
        return
    with link:
        owner = exchange(link, Terminal(chosen), "owner", {})
    raise HomeBusy(f"{chosen.path} has an owner already: process {owner['pid']}, which answers at "
                   f"{owner['socket']}", "use it as it is, or end it with chez lock")


# --- detached ----------------------------------------------------------------------
#
# The parent spawns a fresh interpreter (never fork: threads and keys do not survive it
# well), writes the passphrase into its standard input and reads one line from its
# standard output: {"pid", "socket"} or {"error"}.


def _child(chosen: Settings, passphrase: str | None, lock_after: float | None) -> None:
    sys.stdin.close()
    if found := os.environ.get("PYTHONPATH"):  # the program that this process may become reads it in another folder
        os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(one) for one in found.split(os.pathsep))
    os.chdir("/")
    try:
        _own(chosen, passphrase, _report, lock_after)
    except ChezError as error:
        _report({"error": msgspec.to_builtins(failure(error))})
    except BaseExceptionGroup as group:
        if (known := failure(group)) is None:
            raise
        _report({"error": msgspec.to_builtins(known)})


def _report(news: dict[str, Any]) -> None:
    """Let go of the parent's pipes and terminal, then send it one line: whoever hears of it finds that it did."""
    told = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    with contextlib.suppress(OSError), os.fdopen(told, "wb") as parent:
        parent.write(msgspec.json.encode(news) + b"\n")


def _spawn(chosen: Settings, passphrase: str | None, lock_after: str | None) -> dict[str, Any]:
    more = [] if lock_after is None else ["--lock-after", lock_after]
    child = subprocess.Popen(
        [sys.executable, "-m", "chez.cli", "--home", str(chosen.path), "up", "--from-pipe", *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert child.stdin is not None and child.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write((passphrase or "").encode())
            child.stdin.close()
        with child.stdout:
            line = _line(child, child.stdout.fileno())
    except BaseException:  # who is told that it was interrupted, or did not answer, has no owner
        child.terminate()
        raise
    # It outlives this process; the interpreter must not wait for it or warn about it.
    child.returncode = child.returncode if child.poll() is not None else 0
    try:
        news = msgspec.json.decode(line)
    except msgspec.DecodeError:
        raise Unavailable("the owner ended before it was ready",
                          "chez up, without --detach, shows why") from None
    if "error" in news:
        raise error_from(msgspec.convert(news["error"], Failed))
    owner: dict[str, Any] = news
    return owner


def _line(child: "subprocess.Popen[bytes]", descriptor: int) -> bytes:
    deadline = time.monotonic() + START_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            child.kill()
            raise Unavailable(f"the owner did not answer within {START_SECONDS:.0f} seconds",
                              "`chez status` tells whether it came up meanwhile; `chez up` shows what it does")
        data = os.read(descriptor, 65536)
        if not data:
            break
        line += data
    return line
