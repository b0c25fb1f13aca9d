"""space members, add, role, remove, leave, ...: who shares a space, and what its owners say of it."""

import sys
from typing import Any, Final

import click

from chez.cli.asking import Seconds
from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import Terminal, json_line, safe, say, table
from chez.errors import NotAllowed

__all__ = ("COMMANDS",)

SHORT: Final = 12
"""Characters of an id that are shown to people."""

_LONGEST: Final = 1 << 20
_NEXT: Final = "The others hear of it with the next sync: run `chez sync` now, unless `chez up` runs here."

_role = click.Choice(["owner", "writer", "reader"])
_yes = click.option("--yes", is_flag=True, help="Do it without asking (for scripts).")


@click.command()
@click.argument("name")
@click.pass_context
def members(ctx: click.Context, name: str) -> None:
    """List who shares a space. What somebody calls itself proves nothing: see `chez contact`."""
    found = call(ctx, "space-members", {"space": name})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    table(("name", "id", "role", "contact", "devices"), [
        (one["name"], one["id"][:SHORT], one["role"], _contact(one), ", ".join(one["devices"])) for one in found])


def _contact(one: dict[str, Any]) -> str:
    if one["own"]:
        return "you"
    return f"{one['contact']}{', verified' if one['verified'] else ''}" if one["contact"] else ""


def _devices(member: dict[str, Any]) -> str:
    """The devices of a member, in words."""
    if not member["devices"]:
        return "no device any more"
    named = ", ".join(map(safe, member["devices"]))
    return f"its device {named}" if len(member["devices"]) == 1 else f"its {len(member['devices'])} devices: {named}"


def _called(member: dict[str, Any]) -> str:
    """What this person calls a member."""
    return safe(member["contact"] or member["name"])


@click.command()
@click.argument("name")
@click.argument("who")
@click.option("--role", type=_role, default="writer", show_default=True, help="What the person may do.")
@click.pass_context
def add(ctx: click.Context, name: str, who: str, role: str) -> None:
    """Let a person into a space, with all its devices: WHO is a contact, a card, or - for a card on standard input.

    It reads everything from the first entry on. Who is not there to give a card is let in by
    an invitation: `chez space invite`.
    """
    given = sys.stdin.read(_LONGEST + 1) if who == "-" else who
    done = call(ctx, "space-add", {"space": name, "who": given, "role": role})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{_called(done['member'])} is in {done['name']!r}, as {done['member']['role']}.")
    say("Once you are in step with the relay (`chez sync`), the person comes in by:")
    say(f"  chez join {done['link']}" if done["link"] else "  the link of `chez space link`, when a relay is set")


@click.command()
@click.argument("name")
@click.argument("who")
@click.argument("role", type=_role)
@click.pass_context
def role(ctx: click.Context, name: str, who: str, role: str) -> None:
    """Give a member another role, or give up your own for a lower one. WHO is a contact, a member, or an id."""
    done = call(ctx, "space-role", {"space": name, "who": who, "role": role})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{_called(done['member'])} is {done['member']['role']} of {done['name']!r} now.")
    say(_NEXT)


@click.command()
@click.argument("name")
@click.argument("who")
@_yes
@click.pass_context
def remove(ctx: click.Context, name: str, who: str, yes: bool) -> None:
    """Take a member out of a space, with all its devices, and start a new epoch.

    It keeps what it has, and reads nothing that is written from now on. WHO is a contact, a
    member, or an id; its devices are shown before you are asked.
    """
    found = call(ctx, "space-member", {"space": name, "who": who})["member"]
    if not yes:
        say(f"{_called(found)} ({found['id'][:SHORT]}), {found['role']}, with {_devices(found)}", err=True)
    _ask(ctx, yes, f"Take {_called(found)!r} out of {name!r}?")
    done = call(ctx, "space-remove", {"space": name, "who": found["id"]})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{_called(done['member'])} is out of {done['name']!r}: what is written from now on has new keys.")
    say(_NEXT)


@click.command()
@click.argument("name")
@_yes
@click.pass_context
def leave(ctx: click.Context, name: str, yes: bool) -> None:
    """Leave a space, with all your devices. What is here stays, until `chez space forget`."""
    meant = _meant(ctx, name, yes, "Leave {name!r}? Only an owner of it can let you in again.")
    done = call(ctx, "space-leave", {"space": meant})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"You have left {done['name']!r}. Run `chez sync` to tell it; after that `chez space forget` erases it here.")


@click.command()
@click.argument("name")
@click.argument("who")
@_yes
@click.pass_context
def transfer(ctx: click.Context, name: str, who: str, yes: bool) -> None:
    """Make a member the owner of a space, and yourself a writer."""
    found = call(ctx, "space-member", {"space": name, "who": who})["member"]
    _ask(ctx, yes, f"Make {_called(found)!r} the owner of {name!r}, and be a writer there yourself?")
    done = call(ctx, "space-transfer", {"space": name, "who": found["id"]})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{_called(done['member'])} is the owner of {done['name']!r} now, and you are a writer.")
    say(_NEXT)


@click.command()
@click.argument("name")
@click.argument("new")
@click.pass_context
def rename(ctx: click.Context, name: str, new: str) -> None:
    """Call a space differently, for all members."""
    done = call(ctx, "space-rename", {"space": name, "name": new})
    json_line(done) if settings(ctx).json else say(f"{name} is called {done['name']!r} now")


@click.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Take it out again.")
@click.pass_context
def archive(ctx: click.Context, name: str, undo: bool) -> None:
    """Put a space away, for all members: it is read and kept in step, and nobody writes in it."""
    done = call(ctx, "space-archive", {"space": name, "archived": not undo})
    if settings(ctx).json:
        json_line(done)
    else:
        say(f"{done['name']!r} is {'put away: nobody writes in it' if done['archived'] else 'out again'}")


@click.command()
@click.argument("name")
@click.pass_context
def rotate(ctx: click.Context, name: str) -> None:
    """Start a new epoch in a space: new keys for what is written from now on. See `chez device rotate`."""
    done, = call(ctx, "device-rotate", {"space": name})
    json_line(done) if settings(ctx).json else say(f"{safe(done['name'])}: epoch {done['epoch']}")


@click.command()
@click.argument("name")
@click.option("--timeout", type=Seconds(), default=600, show_default=True, metavar="SECONDS",
              help="How long it may take.")
@click.pass_context
def checkpoint(ctx: click.Context, name: str, timeout: float) -> None:
    """Write what is at a space's relay smaller: new devices begin with it, and entries that it has are dropped."""
    done = call(ctx, "space-checkpoint", {"space": name, "timeout": timeout})
    if settings(ctx).json:
        json_line(done)
    elif done is None:
        say("There is nothing to write.")
    else:
        then = ("the relay drops what it stands for" if done["dropped"] else "an owner's device is to have it dropped"
                if done["vouched"] else "another person's device is to read it back before anything is dropped")
        say(f"{done['entries']:,} entries in {done['bytes']:,} bytes; {then}")


@click.command()
@click.argument("name")
@click.option("--at", "relay", metavar="RELAY", help="Ask this relay; without, the first that the space is at.")
@click.pass_context
def usage(ctx: click.Context, name: str, relay: str | None) -> None:
    """Show how much room a space takes at a relay, and how much it may."""
    done = call(ctx, "space-usage", {"space": name, "relay": relay})
    if settings(ctx).json:
        json_line(done)
        return
    for what in ("entries", "control", "attachments"):
        taken, limit = done[what], done[f"{what}_limit"]
        say(f"{what:<11} {taken:>15,} of {limit:,} bytes ({taken / max(limit, 1):.0%})")


@click.command()
@click.argument("name")
@click.pass_context
def link(ctx: click.Context, name: str) -> None:
    """Show the link by which a member finds a space (`chez join`). There is no secret in it."""
    done = call(ctx, "space-link", {"space": name})
    json_line(done) if settings(ctx).json else say(done["link"])


@click.command()
@click.argument("name")
@click.option("--to", "relay", metavar="RELAY", help="The relay; without, another place at the one where it is.")
@_yes
@click.pass_context
def move(ctx: click.Context, name: str, relay: str | None, yes: bool) -> None:
    """Take a space to another place at its relay, or to another relay, with all that is in it; as an owner.

    For when its relay lets nobody in any more: an owner who left may have put other keys in place. Members
    come by the new link that is shown (chez join LINK); who was taken out can't.
    """
    meant = _meant(ctx, name, yes, "Move {name!r}? Every other member needs the new link.")
    done = call(ctx, "space-move", {"space": meant, "relay": relay})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{done['name']!r} goes with the next sync. Give its members the link:", err=True)
    say(done["link"] or "(chez space link shows it once a relay is set)")


@click.command()
@click.argument("name")
@_yes
@click.pass_context
def forget(ctx: click.Context, name: str, yes: bool) -> None:
    """Erase a space on this device that you left, were removed from, or follow. Nothing changes for others."""
    meant = _meant(ctx, name, yes, "Erase {name!r} on this device?")
    done = call(ctx, "space-forget", {"space": meant})
    json_line(done) if settings(ctx).json else say(f"{done['name']!r} is erased here")


@click.command()
@click.argument("name")
@_yes
@click.pass_context
def delete(ctx: click.Context, name: str, yes: bool) -> None:
    """Delete a space with all that is in it, at its relays and on all your devices. For who is alone in it."""
    meant = _meant(ctx, name, yes, "Delete {name!r} and all that is in it, for ever?")
    done = call(ctx, "space-delete", {"space": meant})
    json_line(done) if settings(ctx).json else say(f"{done['name']!r} is deleted")


def _meant(ctx: click.Context, name: str, yes: bool, question: str) -> str:
    """The space that a person means, asked about by its own name. Raises as `_ask`, and `NotFound`."""
    if yes:
        return name
    found = call(ctx, "space-show", {"space": name})
    _ask(ctx, yes, question.format(name=found["name"]))
    return str(found["id"])


def _ask(ctx: click.Context, yes: bool, question: str) -> None:
    """Raise `NotAllowed` unless the person says yes, or said so already."""
    if not yes and not Terminal(settings(ctx)).confirm(question):
        raise NotAllowed("nothing was changed")


COMMANDS: Final = (members, add, role, remove, leave, transfer, rename, archive, rotate, checkpoint, usage, link,
                   move, forget, delete)
"""Those of the group `space`."""
