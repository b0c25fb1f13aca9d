"""Commands by name, each loaded when it is used.

A command is a line of a table, "module:attribute". Other packages add theirs through
entry points of the group `chez.commands`; looking those up costs a tenth of a second,
so it happens only when no built-in name fits, or when help is shown.
"""

import importlib
from typing import TYPE_CHECKING, Any

import click

from chez.cli.context import add_common

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ("LazyGroup",)


class LazyGroup(click.Group):
    """A group whose `table` maps names to "module:attribute"."""

    def __init__(self, *args: Any, table: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._found: dict[str, click.Command] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, the plug-ins' last."""
        return [*self._table, *(name for name in self._plugins() if name not in self._table)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, loaded now; None when there is none."""
        if cmd_name not in self._found:
            if (place := self._table.get(cmd_name)) is not None:
                module, attribute = place.split(":")
                command = getattr(importlib.import_module(module), attribute)
            else:
                command = self._load(cmd_name)
            if command is None:
                return None
            self._found[cmd_name] = add_common(command)
        return self._found[cmd_name]

    def _load(self, name: str) -> click.Command | None:
        entry = self._plugins().get(name)
        if entry is None:
            return None
        try:
            command = entry.load()
        except (ImportError, AttributeError) as error:
            missing = getattr(error, "name", None) or entry.value
            return _broken(name, f"{name!r} is installed but can't be loaded: {missing} is missing")
        return command if isinstance(command, click.Command) else None

    def _plugins(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in sorted(entry_points(group="chez.commands"))}


def _broken(name: str, reason: str) -> click.Command:
    def refuse(**_: Any) -> None:
        raise click.ClickException(reason)

    return click.Command(name, callback=refuse, short_help=f"({reason})", params=[
        click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True})
