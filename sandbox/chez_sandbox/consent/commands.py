"""`chez job`: what a person does with jobs, on the command line."""

import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, when
from chez.errors import InvalidValue
from chez_sandbox.bundle import MAX_BUNDLE
from chez_sandbox.consent.allowance_commands import allowance
from chez_sandbox.consent.catalogue import Language, language_of
from chez_sandbox.consent.slots import STEPS
from chez_sandbox.offers.commands import catalogue, get, offered_bundle

__all__ = ("job",)

BUNDLE: Final = click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))

AGAIN: Final = "That was before: over the same window nothing runs, leaves or is debited again."
LANGUAGE: Final = click.option("--language", type=click.Choice(["en", "fr"]),
                               help="Of the screen (default: by your locale).")  # fmt: skip
DROP: Final = click.option("--drop-field", "drop", multiple=True, metavar="COLLECTION.FIELD",
                           help="Leave this field out: the job sees nothing there.")  # fmt: skip
WINDOW: Final = click.option("--window", "windows", multiple=True, metavar="COLLECTION=NUMBER",
                             help="Give only so many days (weeks, months) of a collection.")  # fmt: skip


@click.group()
def job() -> None:
    """Services that come to your data: look at them, try them, grant, run, revoke."""


def _spoken() -> Language:
    """The language of the terminal that asks; the owner of a home may run under another locale."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return language_of(next(filter(None, names), ""))


job.add_command(allowance)
job.add_command(catalogue)
job.add_command(get)


def _bundle(path: Path) -> bytes:
    """A bundle's file, or else what a catalogue offers under this name."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BUNDLE + 1)
    except FileNotFoundError:
        return offered_bundle(click.get_current_context(), os.fspath(path))
    except OSError as error:
        raise InvalidValue(f"{path} can't be read: {error.strerror}") from None


def _answer(ctx: click.Context, done: Any, words: list[str]) -> None:
    if settings(ctx).json:
        json_line(done)
    else:
        say("\n".join(words))


@job.command()
@BUNDLE
@LANGUAGE
@click.pass_context
def inspect(ctx: click.Context, bundle: Path, language: Language | None) -> None:
    """Show who asks, why, what is read and what can leave. Nothing runs."""
    shown = call(ctx, "job-inspect", {"bundle": _bundle(bundle), "language": language or _spoken()})
    _answer(ctx, {key: value for key, value in shown.items() if key != "words"}, shown["words"])


@job.command("dry-run")
@BUNDLE
@click.option("--log", is_flag=True, help="Also show what the job wrote to its log, which never leaves.")
@DROP
@WINDOW
@click.pass_context
def dry_run(ctx: click.Context, bundle: Path, log: bool, drop: tuple[str, ...], windows: tuple[str, ...]) -> None:
    """Run a job on your data and show exactly what would leave. Nothing leaves."""
    done = call(ctx, "job-dry-run", {"bundle": _bundle(bundle), "drop": drop, "windows": windows})
    read = ", ".join(f"{count:,} of {name}" for name, count in done["rows"].items())
    _answer(
        ctx,
        done,
        [
            *_preview(done),
            f"It read {read}. Nothing left, nothing was spent.",
            *([done["log"]] if log and done["log"] else []),
        ],
    )


def _preview(shown: dict[str, Any]) -> list[str]:
    size = f"as one sealed message of {shown['message_bytes']} bytes"
    if shown["result"] is None:
        return [f"No result: {shown['problem']}.", f'What would leave: the code "none", {size}.']
    return [
        f"What would leave: {shown['result']}",
        f"  {len(shown['result'])} bytes, {size}, at most {shown['bits']} bits of information.",
    ]


@job.command()
@BUNDLE
@click.option("--days", type=int, default=365, show_default=True, help="For how many days from today.")
@click.option("--runs", type=int, help="At most so many runs (default: what the job asks for).")
@click.option("--bits", type=float, help="At most so many bits over all runs.")
@DROP
@WINDOW
@click.option("--within-the-grant", is_flag=True, help="Release results without asking each time.")
@click.option("--hold", type=int, metavar="HOURS", help="Release them by themselves unless withdrawn for so long.")
@click.option("--leaves", type=click.Choice(list(STEPS)), default="hour", show_default=True,
              help="When messages leave: at a fixed time of each hour or day; at once tells how long a run took.")
@LANGUAGE
@click.option("--example", is_flag=True, help="First run it on your data, and show what would leave. Nothing does.")
@click.option("--yes", is_flag=True, help="Grant without asking (for scripts).")
@click.pass_context
def grant(
    ctx: click.Context,
    bundle: Path,
    days: int,
    runs: int | None,
    bits: float | None,
    drop: tuple[str, ...],
    windows: tuple[str, ...],
    within_the_grant: bool,
    hold: int | None,
    leaves: str,
    language: Language | None,
    example: bool,
    yes: bool,
) -> None:
    """Allow a job to run on your data, or less than it asks for; shows what it is first, and asks."""
    if within_the_grant and hold is not None:
        raise InvalidValue("--hold and --within-the-grant are two ways to release", "choose one of them")
    chosen = settings(ctx)
    chosen.yes = yes

    def show(data: dict[str, Any]) -> None:
        say("\n".join(data["job"]["words"]), err=chosen.json)

    done = call(
        ctx,
        "job-grant",
        {
            "bundle": _bundle(bundle),
            "days": days,
            "runs": runs,
            "bits": bits,
            "drop": drop,
            "windows": windows,
            "example": example,
            "language": language or _spoken(),
            "review": "hold" if hold is not None else "within-the-grant" if within_the_grant else "show-me-first",
            "slots": leaves,
            "hold_hours": hold or 0,
        },
        show=show,
    )
    if done["grant"] is None:
        _answer(ctx, done, ["Not granted."])
        ctx.exit(1)
    _answer(
        ctx,
        done,
        [
            f"Granted until {done['until']}: {done['runs_allowed']} runs, {done['bits_allowed']:g} bits.",
            f"Run it with: chez job run {done['grant'][:8]}",
        ],
    )


@job.command()
@click.argument("grant")
@click.option("--yes", is_flag=True, help="Release the result without asking (for scripts).")
@click.pass_context
def run(ctx: click.Context, grant: str, yes: bool) -> None:
    """Run a granted job, show exactly what would leave, and ask before it does."""
    chosen = settings(ctx)
    chosen.yes = yes

    def show(data: dict[str, Any]) -> None:
        say("\n".join(_preview(data["preview"])), err=chosen.json)

    # Asked before anything is spent, not when the answer is due.
    done = call(ctx, "job-run", {"grant": grant, "answers": yes or sys.stdin.isatty()}, show=show)
    size = len(done["message"]) // 2
    left = f"released {done['result']}" if done["result"] else 'told the provider "none"'
    words = [
        f"Run {done['sequence']}: {left}, as one sealed message of {size} bytes.",
        *([AGAIN] if done["again"] else []),
        *_delivery(done["delivery"]),
    ]
    _answer(ctx, done, words)


def _delivery(told: dict[str, Any]) -> list[str]:
    if told["waiting"]:
        return [f"Waiting to be sent: {told['waiting']} ({told['problem']}). Later: chez job send"]
    sent = [f"The relay has it ({told['sent']} sent)."] if told["sent"] else []
    if told["held"]:
        left = f"Not left yet: {told['held']}, the next one leaves {when(told['next'])}. Till then: chez job withdraw"
        return [*sent, left]
    return sent or ["Nothing waits to be sent."]


@job.command()
@click.pass_context
def send(ctx: click.Context) -> None:
    """Send the messages that wait for a relay."""
    told = call(ctx, "job-send", {})
    _answer(ctx, told, _delivery(told))


@job.command()
@click.argument("grant")
@click.pass_context
def show(ctx: click.Context, grant: str) -> None:
    """What a grant was given for, as it was shown then."""
    shown = call(ctx, "job-show-grant", {"grant": grant})
    _answer(ctx, {key: value for key, value in shown.items() if key != "words"}, shown["words"])


@job.command()
@click.argument("grant")
@click.pass_context
def withdraw(ctx: click.Context, grant: str) -> None:
    """Keep results of a grant that did not leave yet; "none" leaves in their place."""
    done = call(ctx, "job-withdraw", {"grant": grant})
    runs = ", ".join(map(str, done["withdrawn"]))
    _answer(ctx, done, [f"Withdrawn: the result of run {runs} stays here; its bits stay spent."])


@job.command()
@click.argument("grant")
@click.pass_context
def pause(ctx: click.Context, grant: str) -> None:
    """Let a grant run nothing until you resume it; from any of your devices."""
    done = call(ctx, "job-pause", {"grant": grant})
    _answer(ctx, done, [f"Paused: {done['job']}. Again with: chez job resume {done['grant'][:8]}"])


@job.command()
@click.argument("grant")
@click.pass_context
def resume(ctx: click.Context, grant: str) -> None:
    """Let a paused grant run again; on the device that runs it."""
    done = call(ctx, "job-resume", {"grant": grant})
    _answer(ctx, done, [f"Resumed: {done['job']} ({done['grant'][:8]}) may run again."])


@job.command()
@click.argument("grant")
@click.pass_context
def revoke(ctx: click.Context, grant: str) -> None:
    """End a grant for good; a run in progress is stopped."""
    done = call(ctx, "job-revoke", {"grant": grant})
    _answer(ctx, done, [f"Revoked: {done['job']} ({done['grant'][:8]}) will not run again."])


@job.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Which walls stand around a job on this machine."""
    done = call(ctx, "job-doctor", {})
    _answer(
        ctx,
        done,
        [f"Walls: {', '.join(done['walls']) or 'the component alone'}", f"Runtime: {done['runtime']}"],
    )
