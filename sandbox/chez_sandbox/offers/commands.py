"""`chez job catalogue` and `chez job get`: what a person does with catalogues, on the command line."""

import re
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import say_lines, say_told
from chez.errors import ChezError, HomeExists, NotFound, StorageFailed
from chez_sandbox.consent.catalogue import Language, phrase, refused, say_again

__all__ = ("catalogue", "get", "offered_bundle")

_JOB: Final = re.compile(r"([a-z0-9.-]{1,253}/)?[a-z][a-z0-9-]{0,62}\Z")


def offered_bundle(ctx: click.Context, job: str, language: Language) -> bytes:
    """The bytes of the bundle that a catalogue offers under a name: "ID", "DOMAIN/ID" or "KEY/ID".

    Raises `NotFound` for what can't be such a name, or is not offered, and what the verb raises.
    """
    if not _JOB.match(job):
        raise _said(refused(NotFound, "no-file", job=job), language)
    return bytes.fromhex(call(ctx, "job-offer", {"job": job, "language": language})["bundle"])


@click.group(invoke_without_command=True)
@LANGUAGE
@click.pass_context
def catalogue(ctx: click.Context, language: Language) -> None:
    """What providers offer: their catalogues, each the same for everybody, and newer versions of what you granted."""
    if ctx.invoked_subcommand is None:
        _answer(ctx, call(ctx, "job-catalogue", {"language": language}))


@catalogue.command()
@click.argument("address")
@LANGUAGE
@click.pass_context
def add(ctx: click.Context, address: str, language: Language) -> None:
    """Follow a provider's catalogue by its address (chez-public:...), and show what it offers. Nothing is granted."""
    done = call(ctx, "job-catalogue-add", {"address": address, "language": language})
    _answer(ctx, done)
    if done["sync"] and not settings(ctx).json:
        say_lines([phrase(language, "offers.not-in-step", problem=done["sync"])], err=True)


@catalogue.command()
@click.argument("head")
@LANGUAGE
@click.pass_context
def compare(ctx: click.Context, head: str, language: Language) -> None:
    """Hold what somebody else sees as the head of a catalogue against what you see."""
    done = call(ctx, "job-catalogue-compare", {"head": head, "language": language})
    _answer(ctx, done)
    ctx.exit(0 if done["state"] == "same" else 1)


@click.command()
@click.argument("job")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file (default: JOB-VERSION.chez).")
@LANGUAGE
@click.pass_context
def get(ctx: click.Context, job: str, out: Path | None, language: Language) -> None:
    """Write the newest bundle of a job in a catalogue into a file; JOB is its id, DOMAIN/ID or KEY/ID.

    Nothing is granted.
    """
    done = call(ctx, "job-offer", {"job": job, "language": language})
    target = out or Path(f"{job.rpartition('/')[2]}-{done['version']}.chez")
    try:
        with target.open("xb") as file:
            file.write(bytes.fromhex(done["bundle"]))
    except FileExistsError:
        raise _said(refused(HomeExists, "file-exists", file=str(target)), language) from None
    except OSError as error:
        raise _said(refused(StorageFailed, "file", file=str(target), problem=error.strerror), language) from None
    shown = {"file": str(target), "hash": done["hash"], "version": done["version"]}
    _answer(ctx, {**shown, "words": [f"{target}: {done['hash']}"]})


def _said(problem: ChezError, language: Language) -> ChezError:
    say_again(problem, language)
    return problem


def _answer(ctx: click.Context, done: dict[str, Any]) -> None:
    say_told(done, json=settings(ctx).json)
