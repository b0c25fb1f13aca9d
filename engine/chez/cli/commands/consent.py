"""grants, left: what was allowed to providers, and what they ever got, in plain words.

The words come with the owner's answer: what jobs are is known to the package that adds their verbs.
"""

import os
from pathlib import Path
from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import json_line, json_text, say, say_told
from chez.errors import InvalidValue

__all__ = ("grants", "left")


def _tell(ctx: click.Context, verb: str, language: str) -> dict[str, Any]:
    told: dict[str, Any] = call(ctx, verb, {"language": language})
    say_told(told, json=settings(ctx).json)
    return told


@click.command()
@click.option("--export", "to", type=click.Path(path_type=Path), metavar="FILE",
              help="Write grants, refusals and all that left into a new file (JSON-LD, signed).")
@LANGUAGE
@click.pass_context
def grants(ctx: click.Context, to: Path | None, language: str) -> None:
    """What you allowed to whom: each grant in plain words, with what it may read and tell.

    All of them are shown, also those that ended, were used up or revoked, or were damaged.
    """
    if to is None:
        _tell(ctx, "job-grants", language)
        return
    document = call(ctx, "job-export-consents", {})
    _write(to, json_text(document) + "\n")
    if settings(ctx).json:
        json_line({"file": str(to), "records": len(document["@graph"])})
    else:
        say(f"Exported {len(document['@graph'])} records into {to}; docs/consent.md tells how anybody verifies them.")


def _write(path: Path, text: str) -> None:
    """A new file that only the person reads; nothing is overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidValue(f"{path} exists", "name a new file: nothing is overwritten") from None
    except OSError as error:
        raise InvalidValue(f"{path} can't be written: {error.strerror}", "name a file in a folder of yours") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@click.command()
@click.option("--bytes", "whole", is_flag=True, help="Also print the bytes of each message (hexadecimal).")
@LANGUAGE
@click.pass_context
def left(ctx: click.Context, whole: bool, language: str) -> None:
    """Everything that ever left this device for a provider: what, to whom, when, in how many bytes.

    Also what said only that there is no result. What left by a device that this home was before it was
    restored is told too; each of your other devices tells of its own.
    """
    told = _tell(ctx, "job-left", language)
    if whole and not settings(ctx).json:
        for one in told["left"]:
            click.echo(f"{one['grant']} {one['sequence']} {one['message']}")
