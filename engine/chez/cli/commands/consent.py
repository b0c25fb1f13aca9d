"""grants, left: what was allowed to providers, and what they ever got, in plain words.

The words come with the owner's answer: what jobs are is known to the package that adds their verbs.
"""

from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say

__all__ = ("grants", "left")


def _tell(ctx: click.Context, verb: str) -> dict[str, Any]:
    told: dict[str, Any] = call(ctx, verb, {})
    if settings(ctx).json:
        json_line({key: value for key, value in told.items() if key != "words"})
    else:
        say("\n".join(told["words"]))
    return told


@click.command()
@click.pass_context
def grants(ctx: click.Context) -> None:
    """What you allowed to whom: each grant in plain words, with what it may read and tell.

    All of them are shown, also those that ended, were used up or revoked, or were damaged.
    """
    _tell(ctx, "job-grants")


@click.command()
@click.option("--bytes", "whole", is_flag=True, help="Also print the bytes of each message (hexadecimal).")
@click.pass_context
def left(ctx: click.Context, whole: bool) -> None:
    """Everything that ever left this device for a provider: what, to whom, when, in how many bytes.

    Also what said only that there is no result. What left by a device that this home was before it was
    restored is told too; each of your other devices tells of its own.
    """
    told = _tell(ctx, "job-left")
    if whole and not settings(ctx).json:
        for one in told["left"]:
            click.echo(f"{one['grant']} {one['sequence']} {one['message']}")
