"""Where a passphrase comes from: the person at the terminal, a file, or a pipe.

Never the command line or the environment, which other processes can read.
"""

import os
import stat
import sys
from pathlib import Path
from typing import Final

import click

from chez.cli.context import Settings
from chez.errors import HomeLocked, InvalidValue, NotFound

__all__ = ("choose", "from_pipe", "read")

MAX_BYTES: Final = 64 * 1024


def read(settings: Settings, what: str | None = None) -> str:
    """The passphrase of `what`, by default the home. Raises `HomeLocked` when nobody can be asked."""
    if settings.passphrase_file is not None:
        return _from_file(settings.passphrase_file)
    if not sys.stdin.isatty():
        raise HomeLocked(f"{what or f'the home {settings.path}'} is locked and there is no terminal to ask at",
                         "start an owner (chez up), or give --passphrase-file")
    answer: str = click.prompt(f"Passphrase of {what}" if what else "Passphrase", hide_input=True, err=True)
    return answer


def choose(settings: Settings) -> str:
    """A new passphrase: typed twice, or from the file."""
    if settings.passphrase_file is not None:
        return _from_file(settings.passphrase_file)
    if not sys.stdin.isatty():
        raise InvalidValue("a new home needs a passphrase and there is no terminal to ask at",
                           "give --passphrase-file")
    answer: str = click.prompt("Choose a passphrase", hide_input=True,
                               confirmation_prompt="Once more", err=True)
    return answer


def from_pipe() -> str:
    """The passphrase a parent process wrote to our standard input (`chez up --detach`)."""
    return _decode(sys.stdin.buffer.read(MAX_BYTES + 1), "the pipe", whole=True)


def _from_file(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no passphrase file {path}") from None
    except OSError as error:
        raise InvalidValue(f"the passphrase file {path} can't be read: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & 0o077:
        click.echo(f"warning: others on this machine may read {path}; chmod 600 keeps it yours", err=True)
    return _decode(data, str(path), whole=False)


def _decode(data: bytes, source: str, *, whole: bool) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidValue(f"the passphrase in {source} is longer than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidValue(f"the passphrase in {source} is not UTF-8 text") from None
    if not whole:
        text = text.split("\n", 1)[0].removesuffix("\r")
    if not text:
        raise InvalidValue(f"the passphrase in {source} is empty")
    return text
