"""How `chez-relay` ends: its errors have the form that those of `chez` have, and the same exit codes.

    exit code 0   done
              1   it says no: one line on standard error, `chez-relay: what happened and why`, below it what to do next
              2   the command line itself is wrong: one line, and the usage
              3   `doctor` or `check` found something that must be mended
              130 interrupted

After `--json` an error is one line of JSON: `{"error": {"code", "message", "hint"}}`.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import click

from chez_relay.errors import LONGEST, RelayError

__all__ = ("Program",)

_PRINTING: Final = frozenset({"click.utils", "rich.console"})
"""What prints an answer."""


class Program(click.Group):
    """The group of all commands; run as a program, it tells each error in one form."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, which prints an empty line where a command is stopped: no line of JSON."""
        try:
            return super().invoke(ctx)
        except (EOFError, KeyboardInterrupt):
            raise click.Abort from None

    def main(self, args: Any = None, prog_name: str | None = None, complete_var: str | None = None,
             standalone_mode: bool = True, **extra: Any) -> Any:
        """As click does; errors are told, and the process ended, unless `standalone_mode` is false."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        _fill_streams()
        as_json = "--json" in (sys.argv[1:] if args is None else args)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.Exit as stop:
            code = stop.exit_code
        except click.UsageError as wrong:
            code = _usage(wrong, as_json)
        except click.ClickException as wrong:
            _tell("Misuse", wrong.format_message(), "", as_json)
            code = 1
        except RelayError as refused:
            _tell(type(refused).__name__, refused.message, refused.hint, as_json)
            code = 1
        except (click.Abort, KeyboardInterrupt):
            _tell("Interrupted", "interrupted", "", as_json)
            code = 130
        except BrokenPipeError:
            # `chez-relay config --example | head`: the reader has enough. Nothing may be written at exit either.
            sys.stdout = None
            code = 1
        except OSError as failed:  # of a file or folder that was named, most often
            _refused(failed, as_json)
            code = 1
        except Exception as failed:
            _tell("Unexpected", f"unexpected: {type(failed).__name__}", f"please report it: {_place(failed)}", as_json)
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _refused(failed: OSError, as_json: bool) -> None:
    at = failed.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if failed.filename is None and at is not None and at.tb_frame.f_globals.get("__name__") in _PRINTING:
        sys.stdout = None  # nothing may be written at exit either
        _tell("OSError", f"standard output can't be written: {failed.strerror}",
              "free some space, or send it elsewhere", as_json)
        return
    named = failed.filename is not None
    _tell(type(failed).__name__, f"{failed.filename}: {failed.strerror}" if named else str(failed), "", as_json)


def _place(failed: Exception) -> str:
    """Where an error that nobody expected was raised, in one line: of our own code, if it came through that."""
    frames = traceback.extract_tb(failed.__traceback__)
    ours = [frame for frame in frames if any(part.startswith("chez_") for part in Path(frame.filename).parts[:-1])]
    last = (ours or frames)[-1]
    return f"{type(failed).__name__} at {'/'.join(Path(last.filename).parts[-3:])}:{last.lineno} in {last.name}"


def _fill_streams() -> None:
    """Open what of the standard streams is closed, on nothing: else the store would have that number, and be written to
    as standard output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))


def _usage(wrong: click.UsageError, as_json: bool) -> int:
    if isinstance(wrong, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(wrong.format_message(), err=True)  # the whole help, which is no line
        return 2
    hint = ""
    if wrong.ctx is not None:
        hint = " ".join(["usage:", wrong.ctx.command_path, *wrong.ctx.command.collect_usage_pieces(wrong.ctx)])
    _tell("Usage", wrong.format_message(), hint, as_json)
    return 2


def _brief(text: str) -> str:
    """Text of which the middle is left out where it is too long to be read: it quotes what was given."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST // 2]} […] {text[-LONGEST // 4:]}"


def _tell(code: str, message: str, hint: str, as_json: bool) -> None:
    message, hint = _brief(message), _brief(hint)
    if as_json:
        click.echo(json.dumps({"error": {"code": code, "message": message, "hint": hint}}), err=True)
        return
    click.echo(f"chez-relay: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
