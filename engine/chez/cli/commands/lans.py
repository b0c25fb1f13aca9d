"""lan: the home and the devices of its network."""

from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table

__all__ = ("lan", "show_lan")


@click.group(invoke_without_command=True)
@click.pass_context
def lan(ctx: click.Context) -> None:
    """Sync with devices on the same network, without a relay between them.

    Off unless you turn it on; then for as long as `chez up` runs. Everybody on the network can see that
    somebody there uses Chez, by a name drawn anew each time, and nothing else: only who proves to be a
    member of a space of yours is told anything.
    """
    if ctx.invoked_subcommand is None:
        _show(ctx, call(ctx, "lan-status", {}))


@lan.command()
@click.pass_context
def on(ctx: click.Context) -> None:
    """Find devices on the same network, and be found by them, until `chez lan off`."""
    found = call(ctx, "lan-on", {})
    if not settings(ctx).json:
        say("On. Everybody on this network can see that somebody here uses Chez, not who, nor what.", err=True)
    _show(ctx, found)


@lan.command()
@click.pass_context
def off(ctx: click.Context) -> None:
    """Neither find devices on the network nor be found; what was stored for them is deleted."""
    _show(ctx, call(ctx, "lan-off", {}))


@lan.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show which devices of this network the home is in step with."""
    _show(ctx, call(ctx, "lan-status", {}))


def _show(ctx: click.Context, found: dict[str, Any]) -> None:
    json_line(found) if settings(ctx).json else show_lan(found)


def show_lan(found: dict[str, Any]) -> None:
    """In plain words how a home stands on its network; nothing more than that where it is off."""
    say(f"this network: {_words(found)}")
    if found["problem"]:
        say(f"this network: {found['problem']}")
    if found["devices"]:
        from chez.cli.commands.syncing import at

        table(("device at", "link", "since", ""), [
            (one["url"].removeprefix("wss://"), one["link"], at(one["since"]), one["problem"])
            for one in found["devices"]])


def _words(found: dict[str, Any]) -> str:
    if not found["on"]:
        return "off"
    if not found["working"]:
        return "on, from when the home is connected (`chez up`, with a relay set)"
    met = len(found["devices"])
    parts = [f"in step with {met} {'device' if met == 1 else 'devices'}" if met else "no device of yours found"]
    if found["guests"]:
        parts.append(f"{found['guests']} came by this one")
    if found["strangers"]:
        parts.append(f"{found['strangers']} of others")
    return ", ".join(parts)
