"""Commands by name, each loaded when it is used.

A command is a line of a table, "module:attribute". Other packages add theirs through
entry points of the group `chez.commands`; looking those up costs a tenth of a second,
so it happens only when no built-in name fits, or when help is shown.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from chez.cli.context import add_common

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ("LazyGroup", "Program", "whole_help")

C = TypeVar("C", bound=click.Command)

_SENTENCE: Final = 1 << 10
"""Characters of a command's first sentence in its group's list: all of it, which is wrapped and never cut."""


class Program(click.Group):
    """The group of all commands of a program, whose end is told by `chez.cli.program`, and by nobody before."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, which prints an empty line where a command is stopped: no line of JSON."""
        try:
            return super().invoke(ctx)
        except (EOFError, KeyboardInterrupt):
            raise click.Abort from None


class LazyGroup(Program):
    """A group whose `table` maps headings of its help to names, and those to "module:attribute".

    What has no place there is a plug-in's, which is shown under that heading.
    """

    def __init__(self, *args: Any, table: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headings = table
        self._table = {name: place for names in table.values() for name, place in names.items() if place}
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
            self._found[cmd_name] = whole_help(add_common(command))
        return self._found[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str],
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; it knows only commands that are loaded, so that what is near a mistyped name is said here."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as unknown:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx))
            if not near:
                raise
            meant = f"{unknown.message} Did you mean {' or '.join(map(repr, near))}?"
            raise click.UsageError(meant, ctx) from unknown

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their headings, the plug-ins' that no heading names last."""
        left = self.list_commands(ctx)
        sections = {heading: [name for name in names if name in left] for heading, names in self._headings.items()}
        sections["From other packages"] = [name for name in left if not any(name in one for one in sections.values())]
        for heading, names in sections.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, one.get_short_help_str()) for name, one in found if one is not None and not one.hidden]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def _load(self, name: str) -> click.Command | None:
        entry = self._plugins().get(name)
        if entry is None:
            return None
        try:
            command = entry.load()
        except (ImportError, AttributeError) as error:
            missing = getattr(error, "name", None) or entry.value
            return _broken(name, f"{name!r} is installed but can't be loaded: {missing} is missing")
        except Exception as error:  # the boundary to code that is not ours: it takes its own command away, and no help
            return _broken(name, f"{name!r} is installed but can't be loaded: {type(error).__name__} in {entry.value}")
        return command if isinstance(command, click.Command) else None

    def _plugins(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in sorted(entry_points(group="chez.commands"))}


def whole_help(command: C) -> C:
    """The command; lists of help tell it, and what is below it, by whole first sentences: click cuts them to a line."""
    if command.help and command.short_help is None:
        command.short_help = command.get_short_help_str(_SENTENCE)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            whole_help(below)
    return command


def _broken(name: str, reason: str) -> click.Command:
    def refuse(**_: Any) -> None:
        raise click.ClickException(reason)

    return click.Command(name, callback=refuse, short_help=f"({reason})", params=[
        click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True})
