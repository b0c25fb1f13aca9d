"""passphrase, keyring: what opens a home."""

import asyncio
from pathlib import Path
from typing import Any

import click

from chez.agent.paths import connect
from chez.cli.client import call, exchange
from chez.cli.context import Settings, settings
from chez.cli.terminal import Terminal, json_line, say

__all__ = ("keyring", "passphrase")


@click.group()
def passphrase() -> None:
    """The passphrase of the home."""


@passphrase.command()
@click.option("--new-passphrase-file", type=click.Path(path_type=Path, dir_okay=False),
              help="Read the new passphrase from the first line of this file instead of asking.")
@click.option("--cost", type=click.Choice(["moderate", "sensitive"]),
              help="What each guess shall cost: moderate is 256 MiB and under a second, sensitive 1 GiB and some "
                   "seconds. Default: as before.")
@click.pass_context
def change(ctx: click.Context, new_passphrase_file: Path | None, cost: str | None) -> None:
    """Change the passphrase. Asks for the one it has, also where an owner has the home open.

    Interrupted at any moment, one of the two opens the home. Copies of the home's folder and
    backups made before go on opening with the old one.
    """
    from chez.cli import passphrases

    chosen = settings(ctx)
    old = passphrases.read(chosen)
    new = passphrases.choose(Settings(passphrase_file=new_passphrase_file), "the home")
    link = connect(chosen.path)
    if link is not None:
        with link:
            exchange(link, Terminal(chosen), "passphrase-change", {"old": old, "new": new, "cost": cost})
    else:
        _change(chosen.path, old, new, cost)
    json_line({"changed": True}) if chosen.json else say("the new passphrase opens the home now")


def _change(path: Path, old: str, new: str, cost: str | None) -> None:
    import chez
    from chez.agent.unlocking import cost_named

    asyncio.run(chez.change_passphrase(path, old, new, kdf=cost_named(cost)))


@click.group()
def keyring() -> None:
    """Let the operating system's keyring open the home, without its passphrase.

    Every program that runs as you can then open it while the keyring is unlocked, which on
    most desktops is as long as you are logged in: docs/security.md.
    """


@keyring.command()
@click.pass_context
def add(ctx: click.Context) -> None:
    """Let the keyring open the home from now on; the passphrase goes on working."""
    done = call(ctx, "keyring-add", {})
    if settings(ctx).json:
        json_line(done)
    else:
        say(f"{done['backend']} opens this home now; so can every program of yours while it is unlocked")


@keyring.command()
@click.pass_context
def remove(ctx: click.Context) -> None:
    """The keyring opens the home no longer. Works where there is no keyring, too."""
    done = call(ctx, "keyring-remove", {})
    if settings(ctx).json:
        json_line(done)
    else:
        say("only the passphrase opens this home now" if done["removed"] else "the keyring did not know this home")


@keyring.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Tell whether the keyring opens the home, and if not, why. Needs no passphrase."""
    import msgspec

    from chez.home.lifecycle import check_home
    from chez.store.keyring import keyring_status

    chosen = settings(ctx)
    check_home(chosen.path)
    found: dict[str, Any] = msgspec.to_builtins(keyring_status(chosen.path))
    if chosen.json:
        json_line(found)
    elif found["opens"]:
        say(f"{found['backend']} opens this home")
    elif found["added"]:
        say(f"the keyring should open this home, and does not: {found['problem']}")
    else:
        say(f"only the passphrase opens this home; {found['backend'] or found['problem']}")
