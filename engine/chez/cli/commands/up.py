"""up: the owner process of a home, in the foreground or detached."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from chez.agent.paths import connect
from chez.agent.protocol import Failed, error_from, failure
from chez.cli.client import exchange
from chez.cli.context import Settings, settings
from chez.cli.terminal import Terminal, json_line, say
from chez.errors import ChezError, HomeBusy, HomeMissing, Unavailable

if TYPE_CHECKING:
    from chez.agent.owner import Owner
    from chez.home import Home

__all__ = ("up",)

RETRY_SECONDS: Final = 30.0
"""How long after a relay's refusal the owner tries again."""

START_SECONDS: Final = 60.0
"""How long a detached owner may take to answer: a KDF at moderate cost takes about one."""


@click.command()
@click.option("--detach", is_flag=True, help="Return when the owner answers, and leave it running.")
@click.option("--from-pipe", is_flag=True, hidden=True)
@click.pass_context
def up(ctx: click.Context, detach: bool, from_pipe: bool) -> None:
    """Unlock the home once and serve it: other commands then need no passphrase.

    Keeps in step with the home's relay. Ends with `chez lock` or Ctrl-C.
    """
    from chez.cli import passphrases

    chosen = settings(ctx)
    if from_pipe:
        _child(chosen, passphrases.from_pipe())
        return
    _refuse_second(chosen)
    if not chosen.path.exists():
        raise HomeMissing(f"there is no home at {chosen.path}", "chez init makes one")
    passphrase = passphrases.unlock(chosen)
    if detach:
        _tell(chosen, _spawn(chosen, passphrase))
    else:
        asyncio.run(_own(chosen.path, passphrase, lambda owner: _tell(chosen, owner)))


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


# --- the owner itself --------------------------------------------------------------


async def _own(path: Path, passphrase: str | None, ready: Any) -> None:
    """Open the home and serve it until told to stop."""
    import chez
    from chez.agent.owner import serve

    owner: Owner | None = None
    try:
        async with (chez.open(path, passphrase=passphrase) as home, serve(home) as owner,
                    _in_step(home, owner)):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, owner.stopped.set)
            ready({"pid": os.getpid(), "socket": str(owner.path)})
            await owner.stopped.wait()
    finally:
        if owner is not None:
            owner.release()


@contextlib.asynccontextmanager
async def _in_step(home: "Home", owner: "Owner") -> AsyncIterator[None]:
    """Keep a live connection to the home's relay, whichever it is at the moment."""
    changed = asyncio.Event()
    owner.after_each(lambda verb: changed.set() if verb == "relay-set" else None)

    async def keep() -> None:
        while True:
            changed.clear()
            url = home.relay
            if url is None:
                await changed.wait()
                continue
            with contextlib.suppress(ChezError, TimeoutError):
                async with home.connect(url):
                    while home.relay == url:
                        await changed.wait()
                        changed.clear()
                continue
            # The link reconnects by itself; what ends it is a refusal, which may pass.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), RETRY_SECONDS)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- detached ----------------------------------------------------------------------
#
# The parent spawns a fresh interpreter (never fork: threads and keys do not survive it
# well), writes the passphrase into its standard input and reads one line from its
# standard output: {"pid", "socket"} or {"error"}.


def _child(chosen: Settings, passphrase: str | None) -> None:
    sys.stdin.close()
    os.chdir("/")
    try:
        asyncio.run(_own(chosen.path, passphrase, _report))
    except ChezError as error:
        _report({"error": msgspec.to_builtins(failure(error))})
    except BaseExceptionGroup as group:
        if (known := failure(group)) is None:
            raise
        _report({"error": msgspec.to_builtins(known)})


def _report(news: dict[str, Any]) -> None:
    """Send one line to the parent, then let go of its pipes and terminal."""
    with contextlib.suppress(OSError):
        sys.stdout.write(msgspec.json.encode(news).decode() + "\n")
        sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _spawn(chosen: Settings, passphrase: str | None) -> dict[str, Any]:
    child = subprocess.Popen(
        [sys.executable, "-m", "chez.cli", "--home", str(chosen.path), "up", "--from-pipe"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write((passphrase or "").encode())
        child.stdin.close()
    with child.stdout:
        line = _line(child, child.stdout.fileno())
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
            raise Unavailable(f"the owner did not answer within {START_SECONDS:.0f} seconds")
        data = os.read(descriptor, 65536)
        if not data:
            break
        line += data
    return line
