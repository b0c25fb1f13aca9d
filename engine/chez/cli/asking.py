"""Options whose values are asked for where they are not given, and numbers that are numbers."""

import math
import sys
from typing import Any

import click

__all__ = ("Asked", "Number", "Seconds")


class Asked(click.Option):
    """An option that a person at a terminal is asked for (`prompt=`); anybody else is told that it is missing."""

    def prompt_for_value(self, ctx: click.Context) -> Any:
        """Ask on standard error: standard output carries the answer of the command."""
        if not sys.stdin.isatty():
            raise click.MissingParameter(ctx=ctx, param=self)
        return click.prompt(str(self.prompt), type=self.type, err=True,
                            value_proc=lambda given: self.process_value(ctx, given))


class Number(click.FloatRange):
    """A number, and never "nan" or "inf": the one lies in no range and out of none, the other in any without an end."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises `click.BadParameter`."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


class Seconds(Number):
    """So many seconds, from a tenth (or `least`) to a day."""

    def __init__(self, least: float = 0.1) -> None:
        super().__init__(least, 86_400)
