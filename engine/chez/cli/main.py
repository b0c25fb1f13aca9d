"""The entry point: the command table, and the one place where errors become lines.

    exit code 0   done
              1   Chez says no: one line (and a hint) on standard error
              2   the command line itself is wrong
              130 interrupted
"""

import sys
from typing import Final

import click

from chez.cli.context import Settings, add_common
from chez.cli.group import LazyGroup
from chez.cli.program import usage
from chez.cli.terminal import error
from chez.errors import ChezError

__all__ = ("COMMANDS", "cli", "main")

_AT: Final = "chez.cli.commands."
COMMANDS: Final = {
    "A home": {
        "init": _AT + "life:init",
        "up": _AT + "up:up",
        "lock": _AT + "life:lock",
        "unlock": _AT + "up:unlock",
        "status": _AT + "life:status",
        "journal": _AT + "journal:journal",
        "doctor": _AT + "keeping:doctor",
        "wipe": _AT + "wiping:wipe",
        "version": _AT + "life:version",
    },
    "Records": {
        "put": _AT + "records:put",
        "get": _AT + "records:get",
        "edit": _AT + "records:edit",
        "rm": _AT + "records:rm",
        "ls": _AT + "reading:ls",
        "search": _AT + "reading:search",
        "sql": _AT + "reading:sql",
        "collections": _AT + "reading:collections",
        "history": _AT + "past:history",
        "undo": _AT + "past:undo",
        "redo": _AT + "past:redo",
        "conflicts": _AT + "past:conflicts",
        "resolve": _AT + "past:resolve",
        "trash": _AT + "past:trash",
        "undelete": _AT + "past:undelete",
        "purge": _AT + "past:purge",
        "attach": _AT + "attachments:attach",
        "fetch": _AT + "attachments:fetch",
        "blob": _AT + "attachments:blob",
    },
    "Files in and out": {
        "import": _AT + "importing:import_files",
        "imports": _AT + "importing:imports",
        "export": _AT + "keeping:export",
        "backup": _AT + "keeping:backup",
        "restore": _AT + "keeping:restore",
    },
    "Devices and relays": {
        "relay": _AT + "syncing:relay",
        "sync": _AT + "syncing:sync",
        "lan": _AT + "lans:lan",
        "pair": _AT + "devices:pair",
        "join": _AT + "devices:join",
        "device": _AT + "devices:device",
    },
    "Keys": {
        "passphrase": _AT + "unlocking:passphrase",
        "keyring": _AT + "unlocking:keyring",
        "recovery": _AT + "recovery:recovery",
        "recover": _AT + "recover:recover",
        "take-back": _AT + "recover:take_back",
    },
    "With others": {
        "space": _AT + "spaces:space",
        "follow": _AT + "inviting:follow",
        "card": _AT + "contacts:card",
        "contact": _AT + "contacts:contact",
    },
    "Open data": {
        "data": _AT + "data:data",
        "publisher": _AT + "publisher:publisher",
    },
    "Organisations and services": {
        "deposit-address": _AT + "depositing:deposit_address",
        "deposits": _AT + "depositing:deposits",
        "grants": _AT + "consent:grants",
        "left": _AT + "consent:left",
        "job": "",
    },
}
"""Under which heading and where each command is (a plug-in has no place); nothing is imported before it is used."""

cli: Final = add_common(LazyGroup(
    "chez", table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Your data stays at your place, and the service comes to it.

    A home is an encrypted store on this device. With an owner running (chez up) every
    command is a request to it; without one, each command unlocks the home itself.

    Begin with `chez init` and `chez up --detach`, then `chez import FILE` and `chez ls`.
    `chez COMMAND --help` tells more of each.
    """))
click.version_option(package_name="chez", message="%(prog)s %(version)s")(cli)


def main(arguments: list[str] | None = None) -> None:
    """Run `chez` and end the process with its exit code. Never shows a stack trace unasked."""
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = Settings()
    # Known before parsing, so that an error of parsing is already answered in kind.
    chosen.json = "--json" in arguments
    try:
        code = cli.main(arguments, prog_name="chez", standalone_mode=False, obj=chosen)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.UsageError as wrong:
        code = usage(chosen, wrong)
    except click.Abort:
        error(chosen, "Interrupted", "interrupted", "")
        code = 130
    except click.ClickException as wrong:
        error(chosen, "Misuse", wrong.format_message(), "")
        code = 1
    except BrokenPipeError:
        # `chez ls | head`: the reader has enough. Nothing may be written at exit either.
        sys.stdout = None
        code = 1
    except BaseException as failed:
        code = _failed(chosen, failed)
    sys.exit(code if isinstance(code, int) else 0)


def _failed(chosen: Settings, failed: BaseException) -> int:
    if isinstance(failed, SystemExit):
        return failed.code if isinstance(failed.code, int) else 1
    if isinstance(failed, KeyboardInterrupt):
        error(chosen, "Interrupted", "interrupted", "")
        return 130
    if isinstance(failed, ChezError):
        error(chosen, failed.code, failed.message, failed.hint)
        return 1
    from chez.agent.protocol import failure

    if (known := failure(failed)) is not None:
        error(chosen, known.code, known.message, known.hint)
        return 1
    _unexpected(chosen, failed)
    return 1


def _unexpected(chosen: Settings, failed: BaseException) -> None:
    from datetime import UTC, datetime

    from chez.agent import reports

    if chosen.debug:
        import traceback

        click.echo("".join(traceback.format_exception(failed)), err=True, nl=False)
    when = datetime.now(UTC).isoformat()
    where = reports.write(chosen.path, failed, when) if chosen.path.is_dir() else None
    hint = f"please report it with {where}" if where else "please report it with what --debug shows"
    error(chosen, "Unexpected", f"unexpected: {type(failed).__name__}", hint)
