"""What all commands share: which home, how to unlock it, how to answer.

The options of this module may stand before or after the command's name; plug-ins'
commands get them too (group.py).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from chez.errors import NotFound

__all__ = ("COMMON", "Settings", "add_common", "in_space", "settings")

C = TypeVar("C", bound=click.Command)


@dataclass(slots=True)
class Settings:
    """The common options of one invocation."""

    home: Path | None = None
    passphrase_file: Path | None = None
    json: bool = False
    debug: bool = False
    yes: bool = False
    space: str | None = None
    """Which space the command is about: the private one without."""

    @property
    def path(self) -> Path:
        """The home's folder, absolute: --home, else CHEZ_HOME, else the usual place."""
        chosen = self.home or os.environ.get("CHEZ_HOME") or Path("~/.local/share/chez")
        try:
            return Path(os.path.abspath(Path(chosen).expanduser()))
        except FileNotFoundError:
            raise NotFound("the folder that this command runs in is gone",
                           "Go to another one, or into it anew.") from None


def settings(ctx: click.Context) -> Settings:
    """The settings of this invocation."""
    return ctx.ensure_object(Settings)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        # Not given here says nothing: it may stand before the command's name.
        if value not in (None, False):
            setattr(settings(ctx), name, value)

    return keep


def _options() -> list[click.Option]:
    return [
        click.Option(["--home"], type=click.Path(path_type=Path, file_okay=False), expose_value=False,
                     callback=_keep("home"), help="Folder of the home. Default: $CHEZ_HOME, else "
                     "~/.local/share/chez."),
        click.Option(["--passphrase-file"], type=click.Path(path_type=Path, dir_okay=False),
                     expose_value=False, callback=_keep("passphrase_file"),
                     help="Read the passphrase from the first line of this file instead of asking."),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_keep("json"),
                     help="Answer in JSON for programs; errors too, on standard error."),
        click.Option(["--debug"], is_flag=True, expose_value=False, callback=_keep("debug"),
                     help="Show the details of unexpected errors."),
    ]


def in_space(command: Callable[..., None]) -> Callable[..., None]:
    """The option of a command about one space's records: `call` hands on what it says."""
    return click.option("--space", metavar="NAME", expose_value=False, callback=_keep("space"),
                        help="The space, by name or id. Default: the private one.")(command)


COMMON = ("--home", "--passphrase-file", "--json", "--debug")


def add_common(command: C) -> C:
    """Add the common options to a command and all below it, where they are not there yet."""
    taken = {name for parameter in command.params for name in parameter.opts}
    command.params += [option for option in _options() if option.opts[0] not in taken]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_common(below)
    return command
