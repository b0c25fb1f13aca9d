"""wipe: a home leaves this device."""

import asyncio
import sys
from typing import Any, Final

import click
import msgspec

from chez.agent.paths import connect
from chez.cli.client import exchange, wait_for_end
from chez.cli.context import Settings, settings
from chez.cli.terminal import Terminal, json_line, say
from chez.errors import ChezError, HomeMissing, NotAllowed
from chez.phrasing import how_many

__all__ = ("wipe",)

_WORD: Final = "wipe"


@click.command()
@click.option("--yes", is_flag=True, help="Wipe without asking (for scripts).")
@click.pass_context
def wipe(ctx: click.Context, yes: bool) -> None:
    """Wipe the home from this device for ever: its keys first, then all that they open.

    Needs no passphrase. An owner that runs is ended. What has not reached the relay or
    another device is lost; the rest comes back by another device of yours, or by the 24
    words. Backups and exports elsewhere stay.
    """
    import chez

    chosen = settings(ctx)
    if not chosen.path.is_dir():
        raise HomeMissing(f"there is no home at {chosen.path}", "--home names another")
    if not yes:
        _confirm(chosen)
    _end_owner(chosen)
    done: dict[str, Any] = msgspec.to_builtins(asyncio.run(chez.wipe(chosen.path)))
    if chosen.json:
        json_line(done)
        return
    say(f"{chosen.path} is wiped: {how_many(done['files'], 'file')}")
    if done["left"]:
        say(f"not Chez's, and left there: {', '.join(done['left'])}")


def _confirm(chosen: Settings) -> None:
    """Raise `NotAllowed` unless the person types the word."""
    if not sys.stdin.isatty():
        raise NotAllowed("a person must confirm that a home is wiped", "run this at a terminal, or see --yes")
    say(f"This wipes the home at {chosen.path} from this device for ever.", err=True)
    say(_waiting(chosen), err=True)
    answer: str = click.prompt(f"Type {_WORD} to go on", default="", show_default=False, err=True)
    if answer.strip().lower() != _WORD:
        raise NotAllowed("nothing was wiped", "")


def _waiting(chosen: Settings) -> str:
    """What would be lost, as far as an owner can tell without a passphrase."""
    link = connect(chosen.path)
    if link is not None:
        with link:
            try:
                pending: int = exchange(link, Terminal(chosen), "status", {})["pending"]
            except ChezError:  # it has locked itself
                pass
            else:
                lost = f"{how_many(pending, 'change has', 'changes have')} not reached a relay, and would be lost."
                return lost if pending else "Every change in it has reached a relay."
    return "What has not reached a relay or another device is lost: chez status tells, chez sync sends it."


def _end_owner(chosen: Settings) -> None:
    link = connect(chosen.path)
    if link is not None:
        with link:
            exchange(link, Terminal(chosen), "lock", {})
            wait_for_end(chosen.path, link, 30)
