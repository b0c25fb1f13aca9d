"""Where a passphrase comes from: the person at the terminal, a file, or a pipe; or none, for the keyring.

Never the command line or the environment, which other processes can read.
"""

import os
import stat
import sys
from pathlib import Path
from typing import Final

import click

from chez.cli.context import Settings
from chez.cli.terminal import say
from chez.errors import ChezError, HomeLocked, HomeMissing, InvalidValue, NotFound
from chez.shown import NO_FILE, UNREADABLE

__all__ = ("choose", "from_pipe", "read", "unlock")

MAX_BYTES: Final = 64 * 1024

_OF_HOME: Final = frozenset(("chez.key", "chez.db", "chez.wiping"))
"""Files of which a folder that is, or was, a home has one."""


def read(settings: Settings, what: str | None = None, *, served: bool = False) -> str:
    """The passphrase of `what`, by default the home. Raises `HomeLocked` when nobody can be asked.

    `served` says that an owner, if there was one, would do without it: else none is of use, and one may run.

    Nobody is asked for that of a home that is not there: raises `HomeMissing`.
    """
    if what is None:
        _require_home(settings.path)
    if settings.passphrase_file is not None:
        return _from_file(settings.passphrase_file)
    if not sys.stdin.isatty():
        raise HomeLocked(f"{what or f'the home {settings.path}'} is locked and there is no terminal to ask at",
                         "start an owner (chez up), or give --passphrase-file" if served else
                         "give --passphrase-file FILE")
    answer: str = click.prompt(f"Passphrase of {what}" if what else "Passphrase", hide_input=True, err=True)
    return answer


def _require_home(path: Path) -> None:
    try:
        there = os.listdir(path)
    except FileNotFoundError:
        there = []
    except OSError:
        return  # opening it tells
    if _OF_HOME.isdisjoint(there):
        raise HomeMissing(f"there is no home at {path}", "chez init makes one; --home or CHEZ_HOME name another")


def unlock(settings: Settings, *, served: bool = False) -> str | None:
    """The passphrase of the home, or None when the operating system's keyring opens it.

    A file that is named comes first. Where the keyring fails, the person is told, and
    asked. Raises `HomeLocked` when nobody can be; `served` is as of `read`.
    """
    if settings.passphrase_file is not None or not (settings.path / "chez.keyring").exists():
        return read(settings, served=served)
    from chez.store.keyring import keyring_key

    try:
        keyring_key(settings.path)
    except ChezError as error:
        if not sys.stdin.isatty():
            raise HomeLocked(f"the home {settings.path} is locked: {error.message}", error.hint) from None
        say(f"{error.message}: the passphrase is needed", err=True)
        return read(settings, served=served)
    return None


def choose(settings: Settings, what: str = "a new home") -> str:
    """A new passphrase for `what`: typed twice, or from the file. Raises `InvalidValue` when nobody can be asked."""
    if settings.passphrase_file is not None:
        return _from_file(settings.passphrase_file)
    if not sys.stdin.isatty():
        raise InvalidValue(f"{what} needs a passphrase and there is no terminal to ask at",
                           "give it in a file")
    answer: str = click.prompt("Choose a passphrase", hide_input=True,
                               confirmation_prompt="Once more", err=True)
    return answer


def from_pipe() -> str | None:
    """The passphrase a parent process wrote to our standard input (`chez up --detach`); nothing is the keyring."""
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    return _decode(data, "the pipe", whole=True) if data else None


def _from_file(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no passphrase file {path}", NO_FILE) from None
    except OSError as error:
        raise InvalidValue(f"the passphrase file {path} can't be read: {error.strerror}", UNREADABLE) from None
    if stat.S_ISREG(mode) and mode & 0o077:
        say(f"warning: others on this machine may read {path}; chmod 600 keeps it yours", err=True)
    return _decode(data, str(path), whole=False)


def _decode(data: bytes, source: str, *, whole: bool) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidValue(f"the passphrase in {source} is longer than {MAX_BYTES} bytes",
                           "is it the right file? its first line is the passphrase")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidValue(f"the passphrase in {source} is not UTF-8 text",
                           "is it the right file? its first line is the passphrase, as UTF-8") from None
    if not whole:
        text = text.split("\n", 1)[0].removesuffix("\r")
    if not text:
        raise InvalidValue(f"the passphrase in {source} is empty", "write it into the first line")
    return text
