"""relay, sync: the home and its relay."""

import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import click

from chez.cli.asking import Seconds
from chez.cli.client import call
from chez.cli.commands.depositing import show_deposits
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table
from chez.errors import InvalidValue

__all__ = ("at", "relay", "show_relays", "sync")


_HOST: Final = re.compile(r"localhost|[\w-]+(\.[\w-]+)+|[^/\s]+:[0-9]+", re.ASCII)
"""What names a host, and no command."""


class _Relays(click.Group):
    """`chez relay URL` is short for `chez relay set URL`."""

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; an address names `set`, and a host alone is told how one begins."""
        try:
            return super().resolve_command(ctx, ["set", *args] if args and "://" in args[0] else args)
        except click.UsageError as unknown:
            if _HOST.fullmatch(args[0]) is None:
                raise
            raise click.UsageError(f"{args[0]!r} is no relay's address, which begins with wss:// (or ws://, "
                                   f"without TLS): wss://{args[0]}", ctx) from unknown


@click.group(cls=_Relays, invoke_without_command=True)
@click.pass_context
def relay(ctx: click.Context) -> None:
    """Show the relay of this home, or set it: `chez relay URL`, with ws:// or wss://.

    Others beside it have everything too: what one loses or withholds is at the others, and while
    one can't be reached the others go on. All your devices follow what is said on one of them.
    """
    if ctx.invoked_subcommand is None:
        done = call(ctx, "relay-set", {"url": None})
        json_line(done) if settings(ctx).json else say(done["relay"] or "no relay is set")


_pins = click.option("--pin", "pins", multiple=True, metavar="PIN", help="Only if its key is this one (repeatable): "
                     "sha256:..., which its operator has from `chez-relay pin`.")
_here = click.option("--here", is_flag=True, help="On this device alone: your other devices are not told.")


@relay.command("set")
@click.argument("url")
@_pins
@_here
@click.pass_context
def choose(ctx: click.Context, url: str, pins: tuple[str, ...], here: bool) -> None:
    """Set the relay that this home is known by.

    If you have other devices, the former one is kept beside it, for they may hear of it there only;
    `chez relay remove` lets it go.
    """
    done = call(ctx, "relay-set", {"url": url, "pins": list(pins) or None, "here": here})
    json_line(done) if settings(ctx).json else say(done["relay"])


@relay.command()
@click.argument("url")
@_pins
@_here
@click.pass_context
def add(ctx: click.Context, url: str, pins: tuple[str, ...], here: bool) -> None:
    """Keep everything at one more relay, which is filled with what is here. Your other devices follow."""
    _show(ctx, call(ctx, "relay-add", {"url": url, "pins": list(pins) or None, "here": here}))


@relay.command()
@click.argument("url")
@click.argument("pins", nargs=-1, metavar="[PIN]...")
@click.pass_context
def pin(ctx: click.Context, url: str, pins: tuple[str, ...]) -> None:
    """Say which keys a relay may have: `chez relay pin wss://relay.example sha256:...`; without one, any again.

    Pins come beside the trust in its certificate. Name the key in use and the next one, so that the
    operator can change it. Whoever answers with another key is told nothing.
    """
    done = call(ctx, "relay-pin", {"url": url, "pins": list(pins)})
    said = f"only if its key is {' or '.join(done['pins'])}" if done["pins"] else "with any key that is trusted"
    json_line(done) if settings(ctx).json else say(f"{done['relay']} is dialled {said}")


@relay.command()
@click.argument("url")
@_here
@click.pass_context
def remove(ctx: click.Context, url: str, here: bool) -> None:
    """Keep in step with a relay no more; what it has stays there. Your other devices follow.

    Devices of which nothing came since the home's relay was set are named: they may know of this one alone.
    """
    done = call(ctx, "relay-remove", {"url": url, "here": here})
    _show(ctx, done)
    if done["unheard"] and not settings(ctx).json:
        say(f"of {', '.join(done['unheard'])} nothing came since the home's relay was set: a device that was away "
            f"looks for the others at {url} only. Add it again until it came, or set the relay on that device")


@relay.command()
@click.argument("url")
@click.option("--token-file", type=click.File(encoding="utf-8"), metavar="FILE",
              help="Read it there (- for standard input) instead of asking.")
@click.pass_context
def token(ctx: click.Context, url: str, token_file: TextIO | None) -> None:
    """Say the token that a relay's operator gave you for making spaces there.

    It is asked for, and never said on the command line, which others on the machine can read.
    """
    if token_file is None and not sys.stdin.isatty():
        raise InvalidValue("a token is asked for, and there is no terminal to ask at",
                           "give it in a file: --token-file (- for standard input)")
    said = token_file.read(4096).strip() if token_file else click.prompt("Token", hide_input=True, err=True)
    done = call(ctx, "relay-token", {"url": url, "token": said})
    json_line(done) if settings(ctx).json else say(f"kept for {done['relay']}")


@relay.command("list")
@click.pass_context
def listed(ctx: click.Context) -> None:
    """Show all relays, and how the connection to each stands."""
    found = call(ctx, "relay-list", {})
    _show(ctx, found)
    if found["lan"]["on"] and not settings(ctx).json:
        from chez.cli.commands.lans import show_lan

        show_lan(found["lan"])


def _show(ctx: click.Context, found: dict[str, Any]) -> None:
    if settings(ctx).json:
        json_line(found)
    else:
        show_relays(found["relays"])


def show_relays(relays: list[dict[str, Any]]) -> None:
    """A table of relays: how each stands, since when, why there is no connection, when one is tried next."""
    table(("relay", "link", "since", "lacks", ""), [
        (one["url"], one["link"], at(one["since"]), _lacks(one["lacks"]), _why(one)) for one in relays])


def _lacks(count: int | None) -> str:
    """What a relay is still to be given."""
    return "everything" if count is None else str(count) if count else "nothing"


def at(when: float | None) -> str:
    """A moment in local time."""
    return "—" if when is None else datetime.fromtimestamp(when, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _why(relay: dict[str, Any]) -> str:
    again = f" Tried next at {at(relay['next_try'])}." if relay["next_try"] is not None else ""
    marks = [mark for mark, on in (("this device alone", relay["here"]), ("pinned", relay["pins"])) if on]
    return " ".join(filter(None, (f"({', '.join(marks)})" if marks else "", f"{relay['problem']}{again}")))


def _show_exchanged(report: dict[str, Any]) -> None:
    """What came and went, of each relay that is in step, and of devices on this network."""
    there = [one for one in report["relays"] if one["sent"] is not None and (
        not one["problem"] or one["url"] == report["relay"])]
    for one in there:
        say(f"in step with {one['url']}: {one['sent']} sent, {one['received']} received")
    near = {what: report[what] - sum(one[what] for one in report["relays"] if one[what] is not None)
            for what in ("sent", "received")}
    if any(near.values()):
        say(f"with devices on this network: {near['sent']} sent, {near['received']} received")


@click.command()
@click.option("--relay", "url", metavar="URL", help="Use this relay instead of the home's.")
@click.option("--timeout", type=Seconds(), default=30, show_default=True, metavar="SECONDS",
              help="Give up when nothing came of it for so long; what was exchanged stays.")
@click.option("--everywhere", is_flag=True, help="Every relay has to have everything, not at least one.")
@click.option("--reseed", is_flag=True,
              help="Read the relay from its beginning, and send it every entry that it lacks, whoever wrote it.")
@click.pass_context
def sync(ctx: click.Context, url: str | None, timeout: float, everywhere: bool, reseed: bool) -> None:
    """Send everything that waits, fetch everything new, and return.

    Done when at least one relay has everything, and those that can be reached do; it tells which
    are not, and what they lack.
    """
    report = call(ctx, "sync", {"url": url, "timeout": timeout, "reseed": reseed, "everywhere": everywhere},
                  stands="what was sent and received stays so; the next chez sync goes on")
    if settings(ctx).json:
        json_line(report)
    else:
        _show_exchanged(report)
        for lost in report["reset"]:
            say(f"{lost} has another store than before, which was given what is here again", err=True)
        for one in report["let_in"]:
            say(f"let in by an invitation: {one['name']!r} into {one['space']!r} as {one['role']}")
        show_deposits(report["deposits"])
        for space in report["problems"]:
            say(f"not in step: space {space['name']!r}: {space['problem']}", err=True)
        for one in report["relays"]:
            if one["problem"] and one["url"] != report["relay"]:
                say(f"not in step with {one['url']}, which lacks {_lacks(one['lacks'])}: {one['problem']}", err=True)
        if report["unanswered"]:
            say(f"who came by an invitation was not answered: {report['unanswered']}", err=True)
