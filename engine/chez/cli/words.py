"""The 24 words and their shares at the terminal: shown, asked back, typed in, written to a private file.

What was typed or shown is wiped from the screen afterwards, as far as the terminal does it.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Final

import click

from chez.cli.terminal import say, say_lines, shown_at
from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound
from chez.shown import NO_FILE, UNREADABLE

__all__ = ("ASKED_BACK", "columns", "confirm_words", "read_shares", "read_words", "refuse_file", "show_words",
           "wipe_screen", "write_private")

ASKED_BACK: Final = 3
"""How many of the words are asked back at set-up."""

LONGEST: Final = 8
"""Letters of a word at most (BIP39)."""

MAX_BYTES: Final = 16 * 1024

_NUMBERED: Final = re.compile(r"\b(\d{1,2})[.):]?\s*([a-z]+)\b[,;]?")
"""A word of a phrase with its place."""

_WIPE: Final = "\x1b[H\x1b[2J\x1b[3J"
"""Clears the screen and what scrolled off it (ECMA-48, and xterm's erase of saved lines)."""


def columns(words: str) -> list[str]:
    """Words, numbered, in columns of six; of more where the terminal has no room for so many columns.

    A number that a terminal breaks at its margin would read as another one.
    """
    each = words.split()
    rows = next(rows for rows in (6, 8, 12, 24)
                if rows == 24 or 3 + 18 * (24 // rows - 1) + len("24. ") + LONGEST <= shown_at())
    return ["   " + "".join(f"{number:2}. {each[number - 1]}".ljust(18)
                            for number in range(row, len(each) + 1, rows)).rstrip() for row in range(1, rows + 1)]


def show_words(words: str) -> None:
    """Show a phrase, with what it is."""
    say_lines(["", "Your 24 recovery words. They are shown ONCE and kept nowhere.", "", *columns(words), "",
               "Write them on paper, in this order. Whoever has them has everything of yours;",
               "without them, data on a lost device can't be recovered, by us or by anybody.", ""])


def confirm_words(words: str, choose: Callable[[], Sequence[int]] | None = None) -> None:
    """Show a phrase and ask three of its words back, until they are right.

    An empty answer shows all of them again, and asks for three others. `choose` gives the
    places (from 1) that are asked for; by default the system's randomness does.
    """
    each = words.split()
    places = choose or (lambda: sorted(SystemRandom().sample(range(1, len(each) + 1), ASKED_BACK)))
    while True:
        show_words(words)
        click.prompt("Press Enter when they are on paper", default="", show_default=False, prompt_suffix=" ", err=True)
        wipe_screen()
        if all(_asked(each[place - 1], place) for place in places()):
            return
        wipe_screen()


def _asked(word: str, place: int) -> bool:
    """Ask for a word until it is right; False when the person wants to see them again."""
    while True:
        answer: str = click.prompt(f"Word {place} (Enter alone shows all again)", default="", show_default=False,
                                   err=True)
        if not answer.strip():
            return False
        if answer.strip().lower() == word:
            return True
        say(f"That is not word {place}. Look at your paper, and try again.", err=True)


def wipe_screen() -> None:
    """Take away what stands on the terminal, where there is one."""
    if sys.stdout.isatty():
        click.echo(_WIPE, nl=False)


def read_words(file: Path | None, *, hidden: bool = False) -> str:
    """The phrase: from a file, a pipe, or typed, `hidden` without showing it.

    Raises `InvalidValue` for what is none, `NotFound`.
    """
    from chez.keys import person_of

    if file is not None or not sys.stdin.isatty():
        text = _in_order(_from(file))
        person_of(text)
        return text
    while True:
        answer: str = _in_order(click.prompt("Your 24 words", hide_input=hidden, err=True))
        wipe_screen()
        try:
            person_of(answer)
        except InvalidValue as error:
            say(str(error), err=True)
            _suggest(answer)
        else:
            return answer


def _suggest(phrase: str) -> None:
    """Say what a misspelt word may be meant for, where only the person reads it: no log shall hold words."""
    from chez.keys.person import misspelt, nearest

    if len(phrase.split()) == 24 and sys.stderr.isatty() and (wrong := misspelt(phrase)):
        meant = nearest(wrong[1])
        say(f"Word {wrong[0]} was typed as {wrong[1]!r}{f': is it {meant!r}?' if meant else '.'}", err=True)


def _in_order(text: str) -> str:
    """A phrase without the numbers that its words may have, as `columns` shows them, in the order of these."""
    numbered = sorted((int(number), word) for number, word in _NUMBERED.findall(text.lower()))
    whole = [number for number, _ in numbered] == list(range(1, 25)) and not _NUMBERED.sub("", text.lower()).strip()
    return " ".join(word for _, word in numbered) if whole else text


def read_shares(files: Sequence[Path], *, hidden: bool = False) -> list[str]:
    """Shares: one in each file, or one a line through a pipe, or typed (`hidden`: unseen) until there are enough.

    Raises `InvalidValue`, `NotFound`.
    """
    from chez.keys import read_share

    if files:
        return [_from(file) for file in files]
    if not sys.stdin.isatty():
        return [line for line in _from(None).splitlines() if line.strip()]
    shares: dict[int, str] = {}
    needed = 2
    while len(shares) < needed:
        answer: str = click.prompt(f"Share {len(shares) + 1}", hide_input=hidden, err=True)
        wipe_screen()
        try:
            share = read_share(answer)
        except InvalidValue as error:
            say(str(error), err=True)
            continue
        needed = share.threshold
        shares[share.number] = answer
        say(f"share {share.number} of set {share.set}: {len(shares)} of {needed}", err=True)
    return list(shares.values())


def _from(file: Path | None) -> str:
    try:
        if file is None:
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(file, "rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidValue(f"{file or 'the input'} is too long to hold words",
                               "is it the right file? it holds the 24 words")
        return data.decode()
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", NO_FILE) from None
    except OSError as error:
        raise InvalidValue(f"{file or 'the input'} can't be read: {error.strerror}", UNREADABLE) from None
    except UnicodeDecodeError:
        raise InvalidValue(f"{file or 'the input'} is not UTF-8 text",
                           "is it the right file? it holds the 24 words") from None


def refuse_file(path: Path) -> None:
    """Raise `HomeExists` where a secret should be written and something is."""
    if path.exists() or path.is_symlink():
        raise HomeExists(f"there is a file {path} already", "words are never written over anything")


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read, durably; whole or not at all.

    Raises `NotAllowed` with the system's reason.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # half a secret keeps the next one from its place
            raise
    except OSError as error:
        raise NotAllowed(f"{path} can't be written: {error.strerror}", "Choose another place.") from None
