"""How `chez-relay` ends: its errors have the form that those of `chez` have, and the same exit codes.

    exit code 0   done
              1   it says no: one line on standard error, `chez-relay: what happened and why`, below it what to do next
              2   the command line itself is wrong: one line, and the usage
              3   `doctor` or `check` found something that must be mended
              130 interrupted

After `--json` an error is one line of JSON: `{"error": {"code", "message", "hint"}}`.
"""

import json
import sys
from typing import Any

import click

from chez_relay.errors import RelayError

__all__ = ("Program",)


class Program(click.Group):
    """The group of all commands; run as a program, it tells each error in one form."""

    def main(self, args: Any = None, prog_name: str | None = None, complete_var: str | None = None,
             standalone_mode: bool = True, **extra: Any) -> Any:
        """As click does; errors are told, and the process ended, unless `standalone_mode` is false."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
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
            named = failed.filename is not None
            _tell(type(failed).__name__, f"{failed.filename}: {failed.strerror}" if named else str(failed), "", as_json)
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _usage(wrong: click.UsageError, as_json: bool) -> int:
    if isinstance(wrong, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(wrong.format_message(), err=True)  # the whole help, which is no line
        return 2
    hint = ""
    if wrong.ctx is not None:
        hint = " ".join(["usage:", wrong.ctx.command_path, *wrong.ctx.command.collect_usage_pieces(wrong.ctx)])
    _tell("Usage", wrong.format_message(), hint, as_json)
    return 2


def _tell(code: str, message: str, hint: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": {"code": code, "message": message, "hint": hint}}), err=True)
        return
    click.echo(f"chez-relay: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
