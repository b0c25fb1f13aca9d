"""How each program of ours ends: one form for errors, whoever refuses, and the same exit codes.

    exit code 0   done
              1   it says no: one line on standard error, `program: what happened and why`, and below it what to do next
              2   the command line itself is wrong: one line, and the usage
              130 interrupted (143: told to end by SIGTERM); below the line what stands

With `--json` an error is one line of JSON: `{"error": {"code", "message", "hint"}}`. `chez-relay`, which imports
nothing of `chez`, has the same form of its own (`chez_relay/ending.py`). No program shows a stack trace unasked.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from chez.cli.context import Settings
from chez.cli.group import whole_help
from chez.cli.stopping import Stop, fill_streams, stoppable
from chez.cli.terminal import error
from chez.errors import ChezError

__all__ = ("Accident", "run")

Accident = Callable[[Settings, BaseException], str]
"""Keeps an error that nobody expected; what it gives is said below the line."""

_PRINTING: Final = frozenset({"click.utils", "rich.console"})
"""What prints an answer."""


def run(program: str, command: click.Command, arguments: list[str] | None,
        refusals: tuple[type[Exception], ...] = (), accident: Accident | None = None) -> NoReturn:
    """Run a program's commands, and end the process.

    `refusals` are its typed errors beside `ChezError`, with `message` and `hint` as that has them. `accident` keeps
    what nobody expected, and says what to do next; without it an `OSError` is told as it is, of a file that was named
    most often, and of anything else the place.
    """
    fill_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    # Known before parsing, so that an error of parsing is already answered in kind.
    chosen = Settings(json="--json" in arguments)
    with stoppable() as stop:
        try:
            code = whole_help(command).main(arguments, prog_name=program, standalone_mode=False, obj=chosen)
        except BaseException as failed:
            code = _ended(program, chosen, failed, stop, refusals, accident)
    sys.exit(code if isinstance(code, int) else 0)


def _ended(program: str, chosen: Settings, failed: BaseException, stop: Stop,
           refusals: tuple[type[Exception], ...], accident: Accident | None) -> int:
    """Tell why a command ended otherwise than it should; the exit code."""
    match failed:
        case SystemExit():
            return failed.code if isinstance(failed.code, int) else 1
        case click.exceptions.Exit():
            return failed.exit_code
        case click.UsageError():
            return _usage(program, chosen, failed)
        case click.Abort() | KeyboardInterrupt():
            error(chosen, "Interrupted", stop.message, getattr(failed, "hint", ""), program)
            return stop.code
        case click.ClickException():
            error(chosen, "Misuse", failed.format_message(), "", program)
        case BrokenPipeError():
            # `chez ls | head`: the reader has enough. Nothing may be written at exit either.
            sys.stdout = None
        case _:
            _refused(program, chosen, failed, refusals, accident)
    return 1


def _refused(program: str, chosen: Settings, failed: BaseException, refusals: tuple[type[Exception], ...],
             accident: Accident | None) -> None:
    if (known := _typed(failed, (ChezError, *refusals))) is not None:
        error(chosen, getattr(known, "code", type(known).__name__), known.message, known.hint, program)
    elif isinstance(failed, OSError) and _of_output(failed):
        error(chosen, "StorageFailed", f"standard output can't be written: {failed.strerror}",
              "free some space, or send it elsewhere", program)
    elif isinstance(failed, OSError) and accident is None:
        said = f"{failed.filename}: {failed.strerror}" if failed.filename is not None else str(failed)
        error(chosen, type(failed).__name__, said, "", program)
    else:
        hint = f"please report it: {_place(failed)}" if accident is None else accident(chosen, failed)
        error(chosen, "Unexpected", f"unexpected: {type(failed).__name__}", hint, program)


def _typed(failed: BaseException, kinds: tuple[type[Exception], ...]) -> Any:
    """The error that was raised on purpose. A task group wraps what its tasks raise: the first inside tells most."""
    if isinstance(failed, kinds):
        return failed
    inner = failed.exceptions if isinstance(failed, BaseExceptionGroup) else ()
    return next((found for one in inner if (found := _typed(one, kinds)) is not None), None)


def _of_output(failed: OSError) -> bool:
    """Whether it is standard output that the system refuses to write: it was raised where an answer is printed."""
    at = failed.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if failed.filename is not None or at is None or at.tb_frame.f_globals.get("__name__") not in _PRINTING:
        return False
    sys.stdout = None  # nothing may be written at exit either
    return True


def _place(failed: BaseException) -> str:
    """Where an error was raised, in one line: the file, from its package on, the line and the function.

    Of several frames the last one that is of Chez says most; what an error says may quote a record, and is left out.
    """
    import traceback  # of no use to a command that goes well

    frames = traceback.extract_tb(failed.__traceback__)
    ours = [frame for frame in frames if any(part.startswith("chez") for part in Path(frame.filename).parts[:-1])]
    last = (ours or frames)[-1]
    return f"{type(failed).__name__} at {'/'.join(Path(last.filename).parts[-3:])}:{last.lineno} in {last.name}"


def _usage(program: str, chosen: Settings, wrong: click.UsageError) -> int:
    """Tell that a command line is wrong, and how it goes; the exit code."""
    hint = ""
    message = wrong.format_message()
    if isinstance(wrong, click.exceptions.NoArgsIsHelpError):
        # Its message is the whole help, which is no line.
        if not chosen.json:
            click.echo(message, err=True)
            return 2
        message = "Missing command."
    if wrong.ctx is not None:
        pieces = wrong.ctx.command.collect_usage_pieces(wrong.ctx)
        hint = f"usage: {' '.join([wrong.ctx.command_path, *pieces])}"
    error(chosen, "Usage", message, hint, program)
    return 2
