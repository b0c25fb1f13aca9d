"""pair, join, device: this device and the others."""

import asyncio
from typing import Any, Final

import click

from chez.cli.asking import Seconds
from chez.cli.client import call
from chez.cli.context import Settings, settings
from chez.cli.terminal import Terminal, json_line, say, table, when
from chez.errors import InvalidValue, NotAllowed

__all__ = ("device", "join", "pair", "removed_notice", "says_so")

KEY_FILE: Final = "chez.key"
"""Where this is, is a home (chez.store.keyfile, which takes longer to import than to look)."""

SHORT: Final = 12
"""Characters of an id that are shown to people."""


@click.command()
@click.option("--relay", "url", metavar="URL", help="Use this relay instead of the home's.")
@click.option("--qr", is_flag=True, help="Show the code as a QR code, too, for a device with a camera.")
@click.option("--yes", is_flag=True, help="Let the other device in without asking (for scripts).")
@click.pass_context
def pair(ctx: click.Context, url: str | None, qr: bool, yes: bool) -> None:
    """Let another device of yours in: shows a code for `chez join` there.

    A code works once, for ten minutes. One wrong try burns it, and is told to you; after
    five within an hour no new code is made until that hour is over.
    """
    settings(ctx).yes = yes

    def show(data: dict[str, Any]) -> None:
        if settings(ctx).json:
            json_line(data)
        elif "code" in data:
            say(f"On the other device:  chez join {data['code']}")
            if qr:
                _show_qr(data["code"])
            say("The code works once. Waiting …", err=True)

    done = call(ctx, "pair", {"url": url}, show=show, stands="chez device list shows whether a device came in")
    json_line(done) if settings(ctx).json else say("the other device is in")


def _show_qr(text: str) -> None:
    from chez.qr import blocks

    for line in blocks(text):
        # In dark on light whatever the terminal's own colours are; without them in a pipe.
        click.echo(click.style(line, fg="black", bg="bright_white"))


@click.command()
@click.argument("code")
@click.option("--relay", "url", metavar="URL", help="The relay, where the code does not name it.")
@click.option("--name", help="What this device is called.")
@click.option("--timeout", type=Seconds(), default=60, show_default=True, metavar="SECONDS",
              help="Wait so long for an answer to an invitation; it goes on when you do the same again.")
@click.option("--kdf", type=click.Choice(["moderate", "minimum"]), default="moderate", hidden=True)
@click.pass_context
def join(ctx: click.Context, code: str, url: str | None, name: str | None, timeout: float, kdf: str) -> None:
    """Make this a device of yours, with the code that `chez pair` shows on another; or come into somebody's space.

    With a home, CODE is an invitation (its link, or the code that is shown to you), or the
    link of a space whose owner let you in. Without one, it is a code that pairs devices.
    An invitation's link is a secret: with - for CODE it is read from standard input, where
    no other program on this machine sees it.
    """
    chosen = settings(ctx)
    if code.strip() == "-" or code.strip().startswith("chez-") or (chosen.path / KEY_FILE).exists():
        from chez.cli.commands.inviting import come_in

        come_in(ctx, code, url, timeout)
        return
    _pair_here(chosen, code, url, name, kdf)


def _pair_here(chosen: Settings, code: str, url: str | None, name: str | None, kdf: str) -> None:
    import chez
    from chez.cli import passphrases
    from chez.cli.commands.life import device_name, refuse_existing
    from chez.crypto import Kdf

    refuse_existing(chosen.path)
    passphrase = passphrases.choose(chosen)

    async def run() -> Any:
        await chez.join(chosen.path, code, passphrase=passphrase, name=name or device_name(), relay=url,
                        kdf=Kdf.minimum() if kdf == "minimum" else Kdf.moderate())
        async with chez.open(chosen.path, passphrase=passphrase) as home:
            await home.sync()
            return [(info.name, info.records) for info in await home.collections()]

    held = asyncio.run(run())
    if chosen.json:
        json_line({"home": str(chosen.path), "collections": dict(held)})
        return
    say(f"joined: {chosen.path} now holds{'' if held else ' nothing yet'}")
    if held:
        table(("collection", "records"), held, right=("records",))


@click.group()
def device() -> None:
    """Your devices: which there are, and taking one out when it is lost.

    NAME is a device's name, its id, or the first characters of that.
    """


@device.command("list")
@click.pass_context
def list_devices(ctx: click.Context) -> None:
    """List your devices, those that were removed last.

    A device was last seen when it wrote what is here, by its own clock.
    """
    found = call(ctx, "device-list", {})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    if not found[0]["active"]:
        say(removed_notice(found[0]["removed_by"]))
    table(("name", "id", "fingerprint", "last seen", "let in by", ""), [
        (one["name"], one["id"][:SHORT], one["fingerprint"], when(one["seen"]), one["let_in_by"] or "", _note(one))
        for one in found])


def _note(one: dict[str, Any]) -> str:
    own = "this device" if one["own"] else ""
    if one["active"]:
        return own
    if own:
        return f"{own}, removed{says_so(one['removed_by'])}"
    return f"removed by {one['removed_by']}" if one["removed_by"] else "removed"


def removed_notice(by: str | None) -> str:
    """What a device says that was taken out, and was told so by the device (or words) of this name."""
    return f"this device was removed{says_so(by)}: it receives nothing new; `chez wipe` erases it"


def says_so(by: str | None) -> str:
    """Who says that something was removed. Whoever made the keys since says so, too, and need not have done it."""
    return f" ({by} says so)" if by else ""


@device.command()
@click.argument("which", metavar="NAME")
@click.argument("name", metavar="NEW")
@click.pass_context
def rename(ctx: click.Context, which: str, name: str) -> None:
    """Call a device differently, on all your devices."""
    done = call(ctx, "device-rename", {"device": which, "name": name})
    json_line(done) if settings(ctx).json else say(f"{done['id'][:SHORT]} is called {done['name']}")


@device.command()
@click.argument("which", metavar="NAME")
@click.option("--too", multiple=True, metavar="NAME", help="Remove this one with it, which it had let in.")
@click.option("--yes", is_flag=True, help="Remove without asking (for scripts): it, and those named by --too.")
@click.pass_context
def remove(ctx: click.Context, which: str, too: tuple[str, ...], yes: bool) -> None:
    """Take a device out of all spaces: it reads nothing that is written from now on.

    It keeps what it has, and hears of its removal at its next contact. Who has a stolen
    device may have let in another one: those that it let in are shown, and asked about.
    """
    chosen = settings(ctx)
    found = call(ctx, "device-show", {"device": which})
    below = {one["id"]: one for one in found["let_in"]}
    with_it = [call(ctx, "device-show", {"device": name}) for name in too]
    for one in with_it:
        if one["id"] not in below:
            raise InvalidValue(f"{one['name']!r} was not let in by {found['name']!r}", "Remove it by itself.")
    ids = [one["id"] for one in with_it]
    if not (yes or found["own"]):  # that one is refused
        ids = _ask(chosen, found, ids)
    done = call(ctx, "device-remove", {"device": found["id"], "too": ids})
    if chosen.json:
        json_line(done)
        return
    for one in done["removed"]:
        say(f"{one['name']} is removed ({one['fingerprint']})")
    say("The others hear of it with the next sync: run `chez sync` now, unless `chez up` runs here.")
    if done["addresses"]:
        named = ", ".join(map(repr, done["addresses"]))
        say(f"It has the keys of these deposit addresses: {named}. Make new ones of them (`chez deposit-address renew "
            "NAME`), and give these to the organisations.")


def _ask(chosen: Settings, found: dict[str, Any], too: list[str]) -> list[str]:
    """Show what goes, and ask; the ids of those that go too. Raises `NotAllowed` for a no."""
    terminal = Terminal(chosen)
    say(_line(found), err=True)
    for one in found["let_in"]:
        say(f"   it let in {_line(one)}", err=True)
    asked = [one for one in found["let_in"] if one["id"] not in too]
    too = too + [one["id"] for one in asked if terminal.confirm(f"Remove {one['name']!r} too, which it let in?")]
    if not terminal.confirm(f"Remove {found['name']!r} from all your spaces for good?"):
        raise NotAllowed("nothing was removed")
    return too


def _line(one: dict[str, Any]) -> str:
    return f"{one['name']}   fingerprint {one['fingerprint']}   last seen {when(one['seen']) or 'never'}"


@device.command()
@click.option("--space", "where", metavar="NAME", help="The space, by name or id. Default: the private one.")
@click.option("--all", "everywhere", is_flag=True, help="All spaces that you own.")
@click.pass_context
def rotate(ctx: click.Context, where: str | None, everywhere: bool) -> None:
    """Start a new epoch: new keys for what is written from now on.

    Who has older keys only, from a copy of a device say, can read nothing new with them.
    A removal does this by itself.
    """
    if where is not None and everywhere:
        raise click.UsageError("--space and --all exclude each other", ctx)
    done = call(ctx, "device-rotate", {"space": where, "everywhere": everywhere})
    for one in done:
        json_line(one) if settings(ctx).json else say(f"{one['name']}: epoch {one['epoch']}")
