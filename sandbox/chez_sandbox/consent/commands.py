"""`chez job`: what a person does with jobs, on the command line."""

import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.asking import Number
from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import json_line, say_lines, say_told
from chez.errors import InvalidValue
from chez_sandbox.bundle import MAX_BUNDLE
from chez_sandbox.consent.allowance_commands import allowance
from chez_sandbox.consent.catalogue import Language, figure, phrase, refused, say_again
from chez_sandbox.consent.slots import STEPS
from chez_sandbox.consent.told import SHORT, doctor_words, noised_words, shown_time
from chez_sandbox.offers.commands import catalogue, get, offered_bundle

__all__ = ("job",)

BUNDLE: Final = click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
DROP: Final = click.option("--drop-field", "drop", multiple=True, metavar="COLLECTION.FIELD",
                           help="Leave this field out: the job sees nothing there.")  # fmt: skip
WINDOW: Final = click.option("--window", "windows", multiple=True, metavar="COLLECTION=NUMBER",
                             help="Give only so many days (weeks, months) of a collection.")  # fmt: skip

OVER: Final = ("revoked", "ended", "used-up")
"""States of a grant that no pause or resumption changes."""


@click.group()
def job() -> None:
    """Services that come to your data: look at them, try them, grant, run, revoke."""


job.add_command(allowance)
job.add_command(catalogue)
job.add_command(get)


def _bundle(path: Path, language: Language) -> bytes:
    """A bundle's file, or else what a catalogue offers under this name."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BUNDLE + 1)
    except FileNotFoundError:
        return offered_bundle(click.get_current_context(), os.fspath(path), language)
    except OSError as error:
        problem = refused(InvalidValue, "unreadable-bundle", path=str(path), problem=error.strerror)
        say_again(problem, language)
        raise problem from None


def _answer(ctx: click.Context, done: Any, words: list[str]) -> None:
    if settings(ctx).json:
        json_line(done)
    else:
        say_lines(words)


@job.command()
@BUNDLE
@LANGUAGE
@click.pass_context
def inspect(ctx: click.Context, bundle: Path, language: Language) -> None:
    """Show who asks, why, what is read and what can leave. Nothing runs."""
    shown = call(ctx, "job-inspect", {"bundle": _bundle(bundle, language), "language": language})
    say_told(shown, json=settings(ctx).json)


@job.command("dry-run")
@BUNDLE
@click.option("--log", is_flag=True, help="Also show what the job wrote to its log, which never leaves.")
@DROP
@WINDOW
@LANGUAGE
@click.pass_context
def dry_run(
    ctx: click.Context, bundle: Path, log: bool, drop: tuple[str, ...], windows: tuple[str, ...], language: Language
) -> None:
    """Run a job on your data and show exactly what would leave. Nothing leaves."""
    asked = {"bundle": _bundle(bundle, language), "drop": drop, "windows": windows, "language": language}
    done = call(ctx, "job-dry-run", asked)
    rows = (phrase(language, "preview.rows", count=count, collection=name) for name, count in done["rows"].items())
    # Behind the mark of a provider's own words: what a job prints may look like any line of ours.
    logged = [f"  | {line}" for line in done["log"].split("\n")] if log and done["log"] else []
    _answer(ctx, done, [*_preview(done, language), phrase(language, "preview.read", rows=", ".join(rows)), *logged])


def _preview(shown: dict[str, Any], language: Language) -> list[str]:
    size = shown["message_bytes"]
    if shown["result"] is None:
        return [
            phrase(language, "preview.problem", problem=shown["problem"]),
            phrase(language, "preview.none", bytes=size),
        ]
    length, bits = len(shown["result"]), shown["bits"]
    return [
        phrase(language, "preview.result", result=shown["result"]),
        f"  {phrase(language, 'preview.size', length=length, bytes=size, bits=figure(bits, ''))}",
        *(f"  {line}" for line in noised_words(shown, language)),
    ]


@job.command()
@BUNDLE
@click.option("--days", type=int, default=365, show_default=True, help="For how many days from today.")
@click.option("--runs", type=int, help="At most so many runs (default: what the job asks for).")
@click.option("--bits", type=Number(), help="At most so many bits over all runs.")
@click.option("--epsilon", type=Number(), help="At most so much epsilon over all windows, where values are noised.")
@DROP
@WINDOW
@click.option("--within-the-grant", is_flag=True, help="Release results without asking each time.")
@click.option("--hold", type=int, metavar="HOURS", help="Release them by themselves unless withdrawn for so long.")
@click.option("--leaves", type=click.Choice(list(STEPS)), default="hour", show_default=True,
              help="When messages leave: at a fixed time of each hour or day; at once tells how long a run took.")
@LANGUAGE
@click.option("--example/--no-example", default=None,
              help="Whether to run it on your data first, and show what would leave (nothing does). "
                   "It does unless --yes is given, when nobody looks.")
@click.option("--yes", is_flag=True, help="Grant without asking (for scripts).")
@click.pass_context
def grant(
    ctx: click.Context,
    bundle: Path,
    days: int,
    runs: int | None,
    bits: float | None,
    epsilon: float | None,
    drop: tuple[str, ...],
    windows: tuple[str, ...],
    within_the_grant: bool,
    hold: int | None,
    leaves: str,
    language: Language,
    example: bool | None,
    yes: bool,
) -> None:
    """Allow a job to run on your data, or less than it asks for; shows what it is first, and asks."""
    review = _review(within_the_grant, hold, language)
    chosen = settings(ctx)
    chosen.yes = yes

    def show(data: dict[str, Any]) -> None:
        say_lines(data["job"]["words"], err=chosen.json)

    asked = {
        "bundle": _bundle(bundle, language), "days": days, "runs": runs, "bits": bits, "epsilon": epsilon,
        "drop": drop, "windows": windows, "example": not yes if example is None else example, "language": language,
        "review": review, "slots": leaves, "hold_hours": hold or 0,
    }  # fmt: skip
    done = call(ctx, "job-grant", asked, show=show)
    if done["grant"] is None:
        _answer(ctx, done, [phrase(language, "answer.refused")])
        ctx.exit(1)
    _answer(ctx, done, _granted(done, language))


def _review(within_the_grant: bool, hold: int | None, language: Language) -> str:
    """How results are reviewed before they leave. Raises `InvalidValue` where both other ways are asked for."""
    if within_the_grant and hold is not None:
        problem = refused(InvalidValue, "two-ways")
        say_again(problem, language)
        raise problem
    return "hold" if hold is not None else "within-the-grant" if within_the_grant else "show-me-first"


def _granted(done: dict[str, Any], language: Language) -> list[str]:
    allowed = {"until": done["until"], "runs": done["runs_allowed"], "bits": figure(done["bits_allowed"])}
    next_step = "answer.suspended" if done["paused"] else "answer.run-with"
    return [phrase(language, "answer.granted", **allowed), phrase(language, next_step, grant=done["grant"][:SHORT])]


@job.command()
@click.argument("grant")
@click.option("--yes", is_flag=True, help="Release the result without asking (for scripts).")
@LANGUAGE
@click.pass_context
def run(ctx: click.Context, grant: str, yes: bool, language: Language) -> None:
    """Run a granted job, show exactly what would leave, and ask before it does."""
    chosen = settings(ctx)
    chosen.yes = yes

    def show(data: dict[str, Any]) -> None:
        say_lines(_preview(data["preview"], language), err=chosen.json)

    # Asked before anything is spent, not when the answer is due.
    answers = yes or sys.stdin.isatty()
    done = call(ctx, "job-run", {"grant": grant, "answers": answers, "language": language}, show=show,
                stands="chez journal tells whether it ran, and what left")
    said = {"sequence": done["sequence"], "result": done["result"], "bytes": len(done["message"]) // 2}
    words = [
        phrase(language, "answer.released" if done["result"] else "answer.none", **said),
        *([phrase(language, "answer.again")] if done["again"] else []),
        *_delivery(done["delivery"], language, done["grant"]),
    ]
    _answer(ctx, done, words)


def _delivery(told: dict[str, Any], language: Language, grant: str = "GRANT") -> list[str]:
    if told["waiting"]:
        return [phrase(language, "way.waiting", count=told["waiting"], problem=told["problem"])]
    sent = [phrase(language, "way.sent", count=told["sent"])] if told["sent"] else []
    if told["held"]:
        held = {"count": told["held"], "time": shown_time(told["next"]), "grant": grant[:SHORT]}
        return [*sent, phrase(language, "way.held", **held)]
    return sent or [phrase(language, "way.nothing")]


@job.command()
@LANGUAGE
@click.pass_context
def send(ctx: click.Context, language: Language) -> None:
    """Send the messages that wait for a relay."""
    told = call(ctx, "job-send", {"language": language})
    _answer(ctx, told, _delivery(told, language))


@job.command()
@click.argument("grant")
@LANGUAGE
@click.pass_context
def show(ctx: click.Context, grant: str, language: Language) -> None:
    """What a grant was given for, as it was shown then."""
    shown = call(ctx, "job-show-grant", {"grant": grant, "language": language})
    say_told(shown, json=settings(ctx).json)


@job.command()
@LANGUAGE
@click.pass_context
def pending(ctx: click.Context, language: Language) -> None:
    """Runs that are due and wait for you, with what would leave. Nothing ran yet, and nothing left."""
    found = call(ctx, "job-pending", {"language": language})
    words = [line for one in found for line in _pending(one, language)]
    _answer(ctx, found, words or [phrase(language, "pending.nothing")])


def _pending(one: dict[str, Any], language: Language) -> list[str]:
    if one["problem"]:
        said = {"name": one["name"], "provider": one["provider"], "grant": one["grant"][:SHORT]}
        return [phrase(language, "pending.problem", problem=one["problem"], **said)]
    id, windows = one["grant"][:SHORT], [f"{first} … {end}" for first, end in filter(None, one["windows"])]
    said = {"name": one["name"], "provider": one["provider"], "grant": id, "turn": one["turn"]}
    lines = [phrase(language, "pending.turn", **said)]
    lines += [f"  {line}" for line in windows]
    lines += [f"  {line}" for line in (_preview(one["preview"], language) if one["preview"] else [])]
    return [*lines, f"  {phrase(language, 'pending.run', grant=id)}"]


@job.command()
@click.argument("grant")
@LANGUAGE
@click.pass_context
def withdraw(ctx: click.Context, grant: str, language: Language) -> None:
    """Keep results of a grant that did not leave yet; "none" leaves in their place."""
    done = call(ctx, "job-withdraw", {"grant": grant, "language": language})
    runs = ", ".join(map(str, done["withdrawn"]))
    _answer(ctx, done, [phrase(language, "answer.withdrawn", runs=runs)])


@job.command()
@click.argument("grant")
@LANGUAGE
@click.pass_context
def pause(ctx: click.Context, grant: str, language: Language) -> None:
    """Let a grant run nothing until you resume it; from any of your devices."""
    _stopped(ctx, "pause", grant, language)


@job.command()
@click.argument("grant")
@LANGUAGE
@click.pass_context
def resume(ctx: click.Context, grant: str, language: Language) -> None:
    """Let a paused grant run again; on the device that runs it."""
    _stopped(ctx, "resume", grant, language)


@job.command()
@click.argument("grant")
@LANGUAGE
@click.pass_context
def revoke(ctx: click.Context, grant: str, language: Language) -> None:
    """End a grant for good; a run in progress is stopped."""
    _stopped(ctx, "revoke", grant, language)


def _stopped(ctx: click.Context, verb: str, grant: str, language: Language) -> None:
    done = call(ctx, f"job-{verb}", {"grant": grant, "language": language})
    said = {"pause": "answer.paused", "resume": "answer.resumed", "revoke": "answer.revoked"}[verb]
    named = {"job": done["job"], "grant": done["grant"][:SHORT]}
    if (state := done.get("state")) in OVER:
        over = phrase(language, f"state.{state}", until=done["until"])
        _answer(ctx, done, [phrase(language, "answer.over", state=over, **named)])
        return
    _answer(ctx, done, [phrase(language, said, **named)])


@job.command()
@click.argument("grant")
@click.option("--run", "sequence", type=click.IntRange(min=1), help="Which run of the grant (default: the last).")
@LANGUAGE
@click.pass_context
def replay(ctx: click.Context, grant: str, sequence: int | None, language: Language) -> None:
    """Run a past run again on the same rows and compare the bytes; or say which rows changed. Nothing leaves."""
    done = call(ctx, "job-replay", {"grant": grant, "sequence": sequence, "language": language})
    say_told(done, json=settings(ctx).json)
    if done["verdict"] == "different":
        ctx.exit(1)


@job.command()
@LANGUAGE
@click.pass_context
def doctor(ctx: click.Context, language: Language) -> None:
    """Which walls stand around a job on this machine."""
    done = call(ctx, "job-doctor", {"language": language})
    _answer(ctx, done, doctor_words(done, language))
    if done["refuses"]:
        ctx.exit(1)
