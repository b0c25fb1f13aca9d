"""recovery: the 24 words after set-up: checked, split into shares, combined, printed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import Settings, settings
from chez.cli.terminal import json_line, say
from chez.errors import InvalidValue, NotAllowed

__all__ = ("recovery",)

_words_file = click.option("--from", "words_file", type=click.Path(path_type=Path, dir_okay=False),
                           help="Read the 24 words from this file instead of asking.")
_any_home = click.option("--any-home", is_flag=True,
                         help="Do not look whether the words are those of the home here.")


@click.group()
def recovery() -> None:
    """Look after your 24 recovery words: check them, split them, print them.

    All of it happens on this device; nothing of it is kept or sent.
    """


@recovery.command()
@_words_file
@click.pass_context
def check(ctx: click.Context, words_file: Path | None) -> None:
    """Try your paper: are these the 24 words of this home?"""
    _of_this_home(ctx, _read(words_file))
    json_line({"ok": True}) if settings(ctx).json else say("these are the words of this home")


@recovery.command()
@click.option("-k", "--threshold", type=int, required=True, help="How many shares give the words back.")
@click.option("-n", "--shares", "count", type=int, required=True, help="How many shares to make, at most 16.")
@click.option("--sheets", type=click.Path(path_type=Path, file_okay=False),
              help="Write each share as a page to print into this new folder, instead of showing them.")
@_words_file
@_any_home
@click.pass_context
def split(ctx: click.Context, threshold: int, count: int, sheets: Path | None, words_file: Path | None,
          any_home: bool) -> None:
    """Split the 24 words into N shares, of which any K give them back (SLIP-39).

    Give each share to somebody else, or keep it elsewhere: fewer than K say nothing. A
    second split makes another set, whose shares do not mix with the first.
    """
    from chez.keys import read_share, split_words

    if not 2 <= threshold <= count <= 16:
        raise InvalidValue(f"{threshold} of {count} shares can't be", "-k is at least 2, -n at most 16, -k at most -n")
    words = _read(words_file)
    if not any_home and _home_is_here(settings(ctx)):
        _of_this_home(ctx, words)
    shares = split_words(words, threshold=threshold, count=count)
    if sheets is not None:
        _write_sheets(settings(ctx), sheets, shares)
        return
    if settings(ctx).json:
        json_line({"threshold": threshold, "set": read_share(shares[0]).set, "shares": shares})
        return
    for share in shares:
        info = read_share(share)
        say(f"\nShare {info.number} of {count}, set {info.set}; any {threshold} give the words back:\n\n   {share}")
    say("\nWrite each on its own paper, in this order. They are kept nowhere.")


@recovery.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--words-file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the words into a new file only you can read, instead of showing them.")
@click.pass_context
def combine(ctx: click.Context, files: tuple[Path, ...], words_file: Path | None) -> None:
    """Give the 24 words back from enough of their shares: typed, or from FILES with one share each."""
    from chez.cli.words import columns, read_shares, refuse_file, write_private
    from chez.keys import combine_shares

    if words_file is not None:
        refuse_file(words_file)
    words = combine_shares(read_shares(files))
    if words_file is not None:
        write_private(words_file, words + "\n")
        json_line({"file": str(words_file)}) if settings(ctx).json else say(f"the 24 words are in {words_file}")
    elif settings(ctx).json:
        json_line({"words": words})
    else:
        say("\n".join(columns(words)))


@recovery.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False),
              help="The new file: HTML to print from a browser, or plain text when it ends in .txt.")
@click.option("--share", is_flag=True, help="Of one share instead of the 24 words.")
@click.option("--from", "words_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Read the words, or the share, from this file instead of asking.")
@click.pass_context
def sheet(ctx: click.Context, out: Path, share: bool, words_file: Path | None) -> None:
    """Write a page to print, with the words (or one share) and a QR code of them.

    It is NOT encrypted: print it and delete it. Only you can read the file meanwhile.
    """
    from chez.cli.words import read_shares, refuse_file, write_private
    from chez.keys import recovery_sheet

    refuse_file(out)
    secret = _one(read_shares([words_file] if words_file else [])) if share else _read(words_file)
    write_private(out, recovery_sheet(secret, made=_today(), html=out.suffix != ".txt"))
    if settings(ctx).json:
        json_line({"file": str(out)})
    else:
        say(f"{out} is ready to print. It is NOT encrypted: delete it once it is on paper.")


def _one(shares: list[str]) -> str:
    if len(shares) != 1:
        raise InvalidValue(f"a page is for one share, not {len(shares)}", "make a page of each")
    return shares[0]


def _write_sheets(chosen: Settings, folder: Path, shares: list[str]) -> None:
    from chez.cli.words import refuse_file, write_private
    from chez.keys import recovery_sheet

    refuse_file(folder)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise NotAllowed(f"{folder} can't be made: {error.strerror}", "Choose another place.") from None
    files = [folder / f"share-{number}.html" for number in range(1, len(shares) + 1)]
    try:
        for file, share in zip(files, shares, strict=True):
            write_private(file, recovery_sheet(share, made=_today()))
    except BaseException:  # the next call makes another set, with which these do not mix
        for file in files:
            file.unlink(missing_ok=True)
        folder.rmdir()
        raise
    if chosen.json:
        json_line({"files": [str(file) for file in files]})
    else:
        say(f"{len(files)} pages are in {folder}. They are NOT encrypted: print them, and delete the folder.")


def _read(file: Path | None) -> str:
    from chez.cli.words import read_words

    return read_words(file)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _home_is_here(chosen: Settings) -> bool:
    from chez.store.keyfile import KEY_FILE

    return (chosen.path / KEY_FILE).exists()


def _of_this_home(ctx: click.Context, words: str) -> None:
    """Raise `InvalidValue` unless the words are those of the home here."""
    from chez.keys import person_of

    found: dict[str, Any] = call(ctx, "status", {})
    if person_of(words).root.public.hex() != found["person"]:
        raise InvalidValue("these are 24 words, and not those of this home",
                           "Look for the paper of this home; --any-home splits other words.")
