"""recover, take-back: everything back from the 24 words: on a new machine, or from a device that is left."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from chez.cli.context import Settings, settings
from chez.cli.terminal import Terminal, json_line, say, table
from chez.phrasing import how_many

__all__ = ("recover", "take_back")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--relay", "url", required=True, metavar="URL", help="A relay that your devices were in step with.")
@click.option("--from", "words_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Read the 24 words from this file instead of asking.")
@click.option("--shares", is_flag=True, help="Of shares (chez recovery split): typed, or from FILES with one each.")
@click.option("--expel-others", is_flag=True, help="Take out all your other devices, for good. Else you are asked.")
@click.option("--incomplete", is_flag=True, help="Take what the relay has, though something is known to be missing.")
@click.option("--name", help="What this device is called. Default: this machine's name.")
@click.option("--kdf", type=click.Choice(["moderate", "minimum"]), default="moderate", hidden=True)
@click.pass_context
def recover(ctx: click.Context, files: tuple[Path, ...], url: str, words_file: Path | None, shares: bool,
            expel_others: bool, incomplete: bool, name: str | None, kdf: str) -> None:
    """Bring everything back: a new home, from your 24 words and a relay alone.

    This machine becomes a device of yours. At a terminal you see your other devices and are
    asked whether to take them out: yes, if one was stolen. They keep what they have, and get
    nothing new. Cut off at any moment, run it again. Attachments come when you read them.
    """
    import chez
    from chez.cli import passphrases
    from chez.cli.commands.life import device_name, refuse_existing
    from chez.crypto import Kdf

    chosen = settings(ctx)
    refuse_existing(chosen.path)
    _check_sources(files, words_file, shares)
    words = _words(files, words_file, shares)
    passphrase = passphrases.choose(chosen)
    terminal = Terminal(chosen)

    async def ask(question: str, *, default: str | None = None) -> str:
        return terminal.ask(question, default)

    found = asyncio.run(chez.recover(
        chosen.path, words, relay=url, passphrase=passphrase, name=name or device_name(), expel_others=expel_others,
        ask=None if chosen.json or not sys.stdin.isatty() else ask, incomplete=incomplete,
        kdf=Kdf.minimum() if kdf == "minimum" else Kdf.moderate(),
        progress=lambda done, total: terminal.progress(done, total, "Reading")))
    terminal.clear()
    _show(chosen, found)


@click.command("take-back")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--device", "devices", multiple=True, metavar="NAME",
              help="Take out this device of yours, for good, by name or id. Again for each. Else you are asked.")
@click.option("--expel-others", is_flag=True, help="Take out all your other devices, for good.")
@click.option("--from", "words_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Read the 24 words from this file instead of asking.")
@click.option("--shares", is_flag=True, help="Of shares (chez recovery split): typed, or from FILES with one each.")
@click.pass_context
def take_back(ctx: click.Context, files: tuple[Path, ...], devices: tuple[str, ...], expel_others: bool,
              words_file: Path | None, shares: bool) -> None:
    """Take your spaces back from a stolen device, here on a device that is left.

    For when a thief locked you, or your 24 words, out of the relay, took out your devices or
    deleted spaces there. The words outrank the thief: the relay gets new keys and all that
    this device holds. Run chez lock first if an owner runs; cut off at any moment, run it again.
    """
    import chez
    from chez.cli import passphrases
    from chez.cli.commands.keeping import refuse_owned

    chosen = settings(ctx)
    _check_sources(files, words_file, shares)
    if devices and expel_others:
        raise click.UsageError("either --device or --expel-others")
    refuse_owned(chosen.path)
    passphrase = passphrases.unlock(chosen)
    words = _words(files, words_file, shares)
    terminal = Terminal(chosen)

    async def ask(question: str, *, default: str | None = None) -> str:
        return terminal.ask(question, default)

    found = asyncio.run(chez.take_back(
        chosen.path, words, passphrase=passphrase, expel=devices, expel_others=expel_others,
        ask=None if chosen.json or not sys.stdin.isatty() else ask,
        progress=lambda done, total: terminal.progress(done, total, "Reading")))
    terminal.clear()
    _show_taken_back(chosen, found)


def _check_sources(files: tuple[Path, ...], words_file: Path | None, shares: bool) -> None:
    if files and not shares:
        raise click.UsageError("files hold shares, and --shares says so; --from names a file with the 24 words")
    if shares and words_file is not None:
        raise click.UsageError("either --from or --shares")


def _words(files: tuple[Path, ...], words_file: Path | None, shares: bool) -> str:
    from chez.cli.words import read_shares, read_words

    if not shares:
        return read_words(words_file, hidden=True)
    from chez.keys import combine_shares

    return combine_shares(read_shares(files, hidden=True))


def _as_json(chosen: Settings, found: Any) -> None:
    told = {key: value for key, value in msgspec.to_builtins(found).items() if key not in ("devices", "expelled")}
    names = {"devices": [info.name for info in found.devices], "expelled": [info.name for info in found.expelled]}
    json_line({"home": str(chosen.path), **told, **names})


def _show_taken_back(chosen: Settings, found: Any) -> None:
    if chosen.json:
        _as_json(chosen, found)
        return
    if found.expelled:
        say(f"Taken out, for good: {', '.join(repr(info.name) for info in found.expelled)}.")
    others = [info for info in found.devices if info.active]
    if others:
        say(f"Still your devices: {', '.join(repr(info.name) for info in others)}.")
    table(("space", ""), [(space.name, space.problem or "at the relay, under new keys") for space in found.spaces])
    if found.problem:
        say(f"Your words do not find everything there yet ({found.problem}): run it again.")
    else:
        say(f"The relay has all {found.records:,} records, and your 24 words bring them back from there.")


def _show(chosen: Settings, found: Any) -> None:
    if chosen.json:
        _as_json(chosen, found)
        return
    say(f"{how_many(found.records, 'record is', 'records are')} back in {chosen.path}. "
        f"This device is called {found.name!r}.")
    if len(found.spaces) > 1:
        table(("space", ""), [(space.name, space.problem or "back") for space in found.spaces])
    if found.expelled:
        say(f"Taken out, for good: {', '.join(repr(info.name) for info in found.expelled)}.")
    others = [info for info in found.devices if info.active]
    if others:
        say(f"Still your devices: {', '.join(repr(info.name) for info in others)}.")
    if found.missing:
        say(f"{how_many(found.missing, 'entry waits', 'entries wait')} for others that the relay does not show: "
            "another device of yours, or another relay, may have them.")
    if found.quarantined:
        aside = how_many(found.quarantined, "entry that failed a check was", "entries that failed a check were")
        say(f"{aside} set aside: chez doctor tells which.")
    if found.problem:
        say(f"The relay has not heard of this device yet ({found.problem}): chez sync tells it.")
