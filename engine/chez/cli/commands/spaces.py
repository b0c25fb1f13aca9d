"""space: which spaces there are, and new ones."""

from typing import Any

import click

from chez.cli.client import call
from chez.cli.commands import inviting, sharing
from chez.cli.commands.devices import says_so
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table

__all__ = ("space",)

SHORT = 12
"""Characters of an id that are shown to people."""


@click.group()
def space() -> None:
    """Spaces: records that are kept, and shared, together. Each person has a private one.

    Commands about records take --space NAME; without it they mean the private space.
    """


@space.command("list")
@click.pass_context
def list_spaces(ctx: click.Context) -> None:
    """List the spaces of this home."""
    found = call(ctx, "space-list", {})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    table(("name", "id", "role", "records", "link", ""), [
        (one["name"], one["id"][:SHORT], one["role"] or "", one["records"], one["link"], _note(one)) for one in found],
        right=("records",))


def _note(one: dict[str, Any]) -> str:
    """What is to be known of a space, the most urgent alone."""
    if one["left"]:
        return "you left it"
    if one["removed"]:
        return f"{'this device was' if one['private'] else 'you were'} removed{says_so(one['removed_by'])}"
    if one["problem"]:
        return str(one["problem"])
    if one["owed"]:
        return "a new epoch is owed: who was removed can still read what is new"
    return "put away" if one["archived"] else ""


@space.command()
@click.argument("name")
@click.option("--relay", metavar="URL", help="Keep it at this relay instead of the home's.")
@click.option("--public", is_flag=True, help="Let everybody read it who has its address (`chez space address`).")
@click.pass_context
def create(ctx: click.Context, name: str, relay: str | None, public: bool) -> None:
    """Make a space. Your other devices have it after the next sync."""
    done = call(ctx, "space-create", {"name": name, "relay": relay, "public": public})
    json_line(done) if settings(ctx).json else say(done["id"])


@space.command()
@click.argument("name")
@click.pass_context
def show(ctx: click.Context, name: str) -> None:
    """Show how a space stands. NAME is its name, its id, or the first characters of that."""
    done: dict[str, Any] = call(ctx, "space-show", {"space": name})
    if settings(ctx).json:
        json_line(done)
        return
    table(("", ""), [("name", done["name"]), ("id", done["id"]), ("role", done["role"] or "none"),
                     ("members", done["members"]), ("relay", done["relay"] or "none"), ("link", done["link"]),
                     ("note", _note(done)), ("records", done["records"])])
    table(("collection", "records"), [(one["name"], one["records"]) for one in done["collections"]],
          right=("records",))


@space.command()
@click.argument("name", required=False)
@click.pass_context
def audit(ctx: click.Context, name: str | None) -> None:
    """Show what does not count, and why: in the space NAME, or in all.

    Devices that wrote two entries under one number or went on after their removal, what was
    refused because it broke a rule, words about members without effect, relays that showed two
    devices different logs. All of it is kept as evidence; none of it changes a record.
    """
    from chez.cli.evidence import sentences

    found = call(ctx, "space-audit", {"space": name})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    for one in found:
        for number, line in enumerate(sentences(one)):
            say(line if number else f"{one['space_name']}: {line}")
    if not found:
        say("Nothing: every entry counts, and no relay showed two logs.")


@space.command()
@click.argument("entry")
@click.pass_context
def pick(ctx: click.Context, entry: str) -> None:
    """Say which ENTRY of a fork counts: its hash in `chez space audit`, or 8 characters of it.

    Only a device of an owner can. What the device wrote on the other side counts for
    nothing, on all devices; it is kept as evidence.
    """
    from chez.cli.evidence import sentences

    done = call(ctx, "space-pick", {"entry": entry})
    if settings(ctx).json:
        json_line(done)
        return
    if done["counts"] is None:
        say("it is said, and counts for nothing as things stand: so does all that a device wrote beyond its removal")
        return
    for line in sentences(done):
        say(line)


for _command in (*sharing.COMMANDS, *inviting.COMMANDS):
    space.add_command(_command)
