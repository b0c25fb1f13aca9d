"""init, lock, status, version: a home from its first minute."""

import asyncio
import platform
import socket
import sys
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.client import asked_twice, call, exchange, wait_for_end
from chez.cli.context import settings
from chez.cli.terminal import Terminal, json_line, say, table
from chez.errors import ChezError, HomeExists, InvalidValue

__all__ = ("device_name", "init", "lock", "refuse_existing", "status", "version")


@click.command()
@click.option("--name", help="What this device is called. Default: this machine's name.")
@click.option("--person", help="What people who share a space with you see you called, for good. Default: as the "
              "device.")
@click.option("--words-file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the 24 words into a new file only you can read, instead of showing them.")
@click.option("--no-confirm", is_flag=True, help="Show the words without asking three of them back.")
@click.option("--kdf", type=click.Choice(["moderate", "minimum"]), default="moderate", hidden=True)
@click.pass_context
def init(ctx: click.Context, name: str | None, person: str | None, words_file: Path | None, no_confirm: bool,
         kdf: str) -> None:
    """Make a home: an encrypted store, your keys, and 24 words to recover them.

    The words are shown once and kept nowhere. At a terminal three of them are asked back
    before the home is made, so that what is on your paper is known to be right.
    """
    import chez
    from chez.cli import passphrases, words
    from chez.crypto import Kdf, random_bytes
    from chez.keys import new_words

    chosen = settings(ctx)
    refuse_existing(chosen.path)
    if words_file is not None:
        words.refuse_file(words_file)
    passphrase = passphrases.choose(chosen)
    phrase = new_words(random_bytes(32))
    asked = words_file is None and not (chosen.json or no_confirm) and sys.stdin.isatty()
    if asked:
        words.confirm_words(phrase)
    cost = Kdf.minimum() if kdf == "minimum" else Kdf.moderate()
    asyncio.run(chez.create(chosen.path, passphrase=passphrase, name=name or device_name(), person=person, words=phrase,
                            fresh=True, kdf=cost))
    kept = asked
    try:
        if words_file is not None:
            _write_words(words_file, phrase)
            kept = True
        if chosen.json:
            json_line({"home": str(chosen.path), **({"words": phrase} if words_file is None else {})})
            return
        say(f"Your home is {chosen.path}")
        if words_file is not None:
            say(f"Your 24 recovery words are in {words_file}. Move them off this machine.")
        elif not asked:
            words.show_words(phrase)
    except OSError:
        # The home exists by now: the words must not be lost with an output that takes nothing.
        if not kept:
            say(f"The home is made; its 24 recovery words are: {phrase}", err=True)
        raise


def _write_words(path: Path, phrase: str) -> None:
    from chez.cli import words

    try:
        words.write_private(path, phrase + "\n")
    except ChezError as error:
        # The home exists by now: the words must not be lost for a full disk.
        words.show_words(phrase)
        raise InvalidValue(error.message, "the home is made; its words are shown here instead") from None


def refuse_existing(path: Path, hint: str = "choose another folder with --home") -> None:
    """Raise `HomeExists`, or `InvalidValue` for a place that no home can take, before a passphrase is asked for."""
    from chez.home.building import ensure_free

    ensure_free(path, lambda: HomeExists(f"there is something at {path} already", hint))


def device_name() -> str:
    """This machine's name, cleaned."""
    return "".join(char for char in platform.node() if char.isprintable())[:64] or "device"


@click.command()
@click.pass_context
def lock(ctx: click.Context) -> None:
    """End the owner of the home; from then on every use asks for the passphrase."""
    chosen = settings(ctx)

    def end(link: socket.socket) -> dict[str, Any]:
        owner: dict[str, Any] = exchange(link, Terminal(chosen), "lock", {})
        wait_for_end(chosen.path, link, 30)
        return owner

    owner = asked_twice(chosen.path, end)
    if owner is None:
        json_line({"locked": True, "owner": None}) if chosen.json else say("locked: no owner was running")
        return
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
        return
    if found["removed"]:
        from chez.cli.commands.devices import removed_notice

        say(removed_notice(found["spaces"][0]["removed_by"]))
    if found.pop("shut_out"):
        found["removed"] = "maybe"
        say("a relay lets this device in no more: it may have been removed (`chez device list` on another device of "
            "yours tells), or the relay holds an older state")
    from chez.cli.commands.syncing import show_relays

    spaces, relays, network = found.pop("spaces"), found.pop("relays"), found.pop("lan")
    table(("", ""), [(_LABELS.get(key, key), _shown(value)) for key, value in found.items()])
    table(("space", "id", "relay", "link", ""), [
        (one["name"], one["id"][:12], one["relay"] or "none", one["link"], _standing(one)) for one in spaces])
    if relays:
        show_relays(relays)
    if network["on"]:
        from chez.cli.commands.lans import show_lan

        show_lan(network)


_LABELS: Final = {"attachments": "attachments to send"}
"""What people read in a status, where the name that programs read could mean something else."""


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None else ", ".join(value) if isinstance(value, list | tuple) else value


def _standing(space: dict[str, Any]) -> str:
    """What its person should know of a space, in a few words."""
    if space["removed"]:
        from chez.cli.commands.devices import says_so

        return f"this device was removed{says_so(space['removed_by'])}"
    return str(space["problem"]) or ("new keys are owed: an owner's device makes them" if space["owed"] else "")


@click.command()
@click.pass_context
def version(ctx: click.Context) -> None:
    """Show the version of chez."""
    from importlib.metadata import version as installed

    found = installed("chez")
    json_line({"chez": found}) if settings(ctx).json else say(f"chez {found}")
