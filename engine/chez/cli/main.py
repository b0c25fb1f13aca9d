"""The entry point: the command table. How a command ends is in program.py."""

from typing import Final, NoReturn

import click

from chez.cli.context import Settings, add_common
from chez.cli.group import LazyGroup
from chez.cli.program import run

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


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `chez` and end the process with its exit code. Never shows a stack trace unasked."""
    run("chez", cli, arguments, accident=_kept)


def _kept(chosen: Settings, failed: BaseException) -> str:
    """Keep an error that nobody expected in a private file of the home; what to do with it."""
    from datetime import UTC, datetime

    from chez.agent import reports

    if chosen.debug:
        import traceback

        click.echo("".join(traceback.format_exception(failed)), err=True, nl=False)
    when = datetime.now(UTC).isoformat()
    where = reports.write(chosen.path, failed, when) if chosen.path.is_dir() else None
    return f"please report it with {where}" if where else "please report it with what --debug shows"
