"""space invite, invitations, revoke, address; follow: how others come to a space, and one to others'."""

import sys
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, safe, say, table, when
from chez.cli.values import duration
from chez.phrasing import how_many

__all__ = ("COMMANDS", "come_in", "follow")

SHORT: Final = 12
"""Characters of an id that are shown to people."""

_LONGEST: Final = 1 << 20


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["owner", "writer", "reader"]), default="writer", show_default=True,
              help="What whoever comes may do.")
@click.option("--uses", type=click.IntRange(1, 1000), help="For so many persons. Default: 1.")
@click.option("--expires", metavar="TIME", help="How long it lasts: 90m, 8h, 30d, at most 90d. Default: 7d.")
@click.option("--code", is_flag=True, help="Show a short code instead, for somebody who is there just now.")
@click.option("--yes", is_flag=True, help="With --code: let the guest in without asking (for scripts).")
@click.pass_context
def invite(ctx: click.Context, name: str, role: str, uses: int | None, expires: str | None, code: bool,
           yes: bool) -> None:
    """Invite others into a space: shows a link for `chez join` there.

    Whoever has the link comes in: send it as you would send a key. They are let in when
    one of your devices is in step with the relay; so run `chez sync` once now, and
    again when they have asked, unless `chez up` runs here. `chez space invitations --json`
    shows the link again.
    """
    if code and (uses is not None or expires is not None):
        raise click.UsageError("a code works once, for ten minutes: it has no --uses or --expires", ctx)
    if code:
        _by_code(ctx, name, role, yes)
        return
    terms = {"role": role, "uses": uses or 1, "seconds": duration(expires or "7d")}
    made = call(ctx, "space-invite", {"space": name, **terms})
    if settings(ctx).json:
        json_line(made)
        return
    say(made["link"])
    say(f"It lets in {_persons(made['uses'])} as {made['role']}, until {when(made['expires'])}.", err=True)
    if made["ready"]:
        say("The relay knows of it: who asks is let in as long as this home is connected.", err=True)
    else:
        say("Run `chez sync` now, and again when they have asked, unless `chez up` runs here.", err=True)


def _persons(count: int) -> str:
    return "one person" if count == 1 else f"{count} persons"


def _by_code(ctx: click.Context, name: str, role: str, yes: bool) -> None:
    settings(ctx).yes = yes

    def show(data: dict[str, Any]) -> None:
        if settings(ctx).json:
            json_line(data)
        elif "code" in data:
            say(f"Your guest types:  chez join {data['code']}")
            say("The code works once, for ten minutes. Waiting …", err=True)

    done = call(ctx, "space-invite-by-code", {"space": name, "role": role}, show=show)
    json_line(done) if settings(ctx).json else say(f"{safe(done['name'])} is in, as {done['role']}")


@click.command()
@click.argument("name")
@click.pass_context
def invitations(ctx: click.Context, name: str) -> None:
    """List the invitations to a space, with those that ended."""
    found = call(ctx, "space-invitations", {"space": name})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    table(("id", "role", "used", "until", "by", "state"), [
        (one["id"][:SHORT], one["role"], f"{one['used']} of {one['uses']}", when(one["expires"]), one["by"],
         one["state"]) for one in found], empty="Nobody was invited by a link: chez space invite.")


@click.command()
@click.argument("name")
@click.argument("invitation")
@click.pass_context
def revoke(ctx: click.Context, name: str, invitation: str) -> None:
    """Let an invitation be worth nothing any more. INVITATION is its id, or the beginning of it.

    Whoever came by it stays.
    """
    done = call(ctx, "space-revoke", {"space": name, "invitation": invitation})
    json_line(done) if settings(ctx).json else say(f"{done['id'][:SHORT]} lets nobody in any more")


@click.command()
@click.argument("name")
@click.pass_context
def address(ctx: click.Context, name: str) -> None:
    """Show the address of a public space, by which anybody reads it (`chez follow`)."""
    done = call(ctx, "space-address", {"space": name})
    json_line(done) if settings(ctx).json else say(done["address"])


@click.command()
@click.argument("address")
@click.pass_context
def follow(ctx: click.Context, address: str) -> None:
    """Read a public space by its address. All your devices do, and none can write in it."""
    _came(ctx, call(ctx, "follow", {"address": address}), "you follow")


def come_in(ctx: click.Context, link: str, url: str | None, timeout: float) -> None:
    """Join a space by a link, which `-` reads from standard input, or by a code at a relay."""
    if link.strip() == "-":
        link = sys.stdin.read(_LONGEST + 1)
    if url is not None and not link.strip().startswith("chez-") and "@" not in link:
        link = f"{link.strip()}@{url}"
    if link.strip().startswith("chez-invite") and not settings(ctx).json:
        say("Asking to be let in. Waiting for a device of who invited you …", err=True)
    _came(ctx, call(ctx, "join", {"link": link, "timeout": timeout}), "you are in")


def _came(ctx: click.Context, done: dict[str, Any], how: str) -> None:
    """Show a space that is here now."""
    if settings(ctx).json:
        json_line(done)
        return
    role = f", as {done['role']}" if done["role"] else ""
    say(f"{how} {done['name']!r}{role}: {how_many(done['records'], 'record')}")
    if done["problem"]:
        say(f"not in step yet: {done['problem']}", err=True)


COMMANDS: Final = (invite, invitations, revoke, address)
"""Those of the group `space`."""
