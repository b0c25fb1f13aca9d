"""init, lock, status, version: a home from its first minute."""

import asyncio
import os
import platform
from pathlib import Path

import click

from chez.agent.paths import connect
from chez.cli.client import call, exchange, wait_for_end
from chez.cli.context import settings
from chez.cli.terminal import Terminal, json_line, say, table
from chez.errors import HomeExists, InvalidValue

__all__ = ("device_name", "init", "lock", "refuse_existing", "status", "version")


@click.command()
@click.option("--name", help="What this device is called. Default: this machine's name.")
@click.option("--words-file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the 24 words into a new file only you can read, instead of showing them.")
@click.option("--kdf", type=click.Choice(["moderate", "minimum"]), default="moderate", hidden=True)
@click.pass_context
def init(ctx: click.Context, name: str | None, words_file: Path | None, kdf: str) -> None:
    """Make a home: an encrypted store, your keys, and 24 words to recover them.

    The words are shown once and kept nowhere.
    """
    import chez
    from chez.cli import passphrases
    from chez.crypto import Kdf

    chosen = settings(ctx)
    refuse_existing(chosen.path)
    if words_file is not None and words_file.exists():
        raise HomeExists(f"there is a file {words_file} already", "words are never written over anything")
    passphrase = passphrases.choose(chosen)
    cost = Kdf.minimum() if kdf == "minimum" else Kdf.moderate()
    words = asyncio.run(chez.create(chosen.path, passphrase=passphrase, name=name or device_name(), kdf=cost))
    if words_file is not None:
        _write_words(words_file, words)
    if chosen.json:
        json_line({"home": str(chosen.path), **({"words": words} if words_file is None else {})})
        return
    say(f"Your home is {chosen.path}")
    if words_file is None:
        _show_words(words)
    else:
        say(f"Your 24 recovery words are in {words_file}. Move them off this machine.")


def _show_words(words: str) -> None:
    each = words.split()
    rows = [[f"{number:2}. {each[number - 1]}" for number in range(row, len(each) + 1, 6)]
            for row in range(1, 7)]
    click.echo("\nYour 24 recovery words. They are shown ONCE and kept nowhere.\n")
    for row in rows:
        click.echo("   " + "".join(cell.ljust(18) for cell in row).rstrip())
    click.echo("\nWrite them on paper, in this order. Whoever has them has everything of yours;\n"
               "without them, data on a lost device can't be recovered, by us or by anybody.\n")


def _write_words(path: Path, words: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(words + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # The home exists by now: the words must not be lost for a full disk.
        _show_words(words)
        raise InvalidValue(f"{path} can't be written: {error.strerror}",
                           "the home is made; its words are shown here instead") from None


def refuse_existing(path: Path) -> None:
    """Raise `HomeExists` before a passphrase is asked for."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise HomeExists(f"there is something at {path} already", "choose another folder with --home")


def device_name() -> str:
    """This machine's name, cleaned."""
    return "".join(char for char in platform.node() if char.isprintable())[:64] or "device"


@click.command()
@click.pass_context
def lock(ctx: click.Context) -> None:
    """End the owner of the home; from then on every use asks for the passphrase."""
    chosen = settings(ctx)
    link = connect(chosen.path)
    if link is None:
        json_line({"locked": True, "owner": None}) if chosen.json else say("locked: no owner was running")
        return
    with link:
        owner = exchange(link, Terminal(chosen), "lock", {})
        wait_for_end(chosen.path, link, 30)
    if chosen.json:
        json_line({"locked": True, "owner": owner})
    else:
        say(f"locked: process {owner['pid']} has closed the home")


@click.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show whose home this is, what it holds and what waits to leave."""
    chosen = settings(ctx)
    found = call(ctx, "status", {})
    if chosen.json:
        json_line(found)
    else:
        table(("", ""), [(key, "—" if value is None else value) for key, value in found.items()])


@click.command()
@click.pass_context
def version(ctx: click.Context) -> None:
    """Show the version of chez."""
    from importlib.metadata import version as installed

    found = installed("chez")
    json_line({"chez": found}) if settings(ctx).json else say(f"chez {found}")
