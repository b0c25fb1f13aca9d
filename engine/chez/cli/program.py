"""How each program of ours ends: one form for errors, whoever refuses, and the same exit codes.

    exit code 0   done
              1   it says no: one line on standard error, `program: what happened and why`, and below it what to do next
              2   the command line itself is wrong: one line, and the usage
              130 interrupted

With `--json` an error is one line of JSON: `{"error": {"code", "message", "hint"}}`. `chez-relay`, which imports
nothing of `chez`, has the same form of its own (`chez_relay/ending.py`).
"""

import sys
from typing import Any, NoReturn

import click

from chez.cli.context import Settings
from chez.cli.group import whole_help
from chez.cli.terminal import error

__all__ = ("run", "usage")


def run(program: str, command: click.Command, arguments: list[str] | None,
        refusals: tuple[type[Exception], ...]) -> NoReturn:
    """Run a program's commands, and end the process. `refusals` are its typed errors, with `message` and `hint`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = Settings(json="--json" in arguments)
    try:
        code = whole_help(command).main(arguments, prog_name=program, standalone_mode=False, obj=chosen)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.UsageError as wrong:
        code = usage(chosen, wrong, program)
    except (click.Abort, KeyboardInterrupt):
        error(chosen, "Interrupted", "interrupted", "", program)
        code = 130
    except click.ClickException as wrong:
        error(chosen, "Misuse", wrong.format_message(), "", program)
        code = 1
    except BrokenPipeError:
        # `chez-job results | head`: the reader has enough. Nothing may be written at exit either.
        sys.stdout = None
        code = 1
    except OSError as failed:  # of a file or folder that was named, most often
        error(chosen, type(failed).__name__, _said(failed), "", program)
        code = 1
    except refusals as refused:
        told: Any = refused
        error(chosen, type(refused).__name__, told.message, told.hint, program)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _said(failed: OSError) -> str:
    return f"{failed.filename}: {failed.strerror}" if failed.filename is not None else str(failed)


def usage(chosen: Settings, wrong: click.UsageError, program: str = "chez") -> int:
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
