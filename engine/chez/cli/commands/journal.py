"""journal: the receipts of this device, and whether their chain holds."""

from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table, when
from chez.errors import Damaged

__all__ = ("journal",)

SHORT: Final = 12
"""Characters of a device's id that are shown to people."""


@click.group(invoke_without_command=True)
@click.option("--kind", help="Only receipts of this kind.")
@click.option("--former", is_flag=True, help="Those of the devices that this home was before, with their ids.")
@click.pass_context
def journal(ctx: click.Context, kind: str | None, former: bool) -> None:
    """Read the journal: what was done on this device, and what it met, in the order of events.

    Each line is a receipt, with its number: people, devices and spaces, grants and what left
    by them, imports, exports, backups. `--json` shows all that is in it.

    A home that was restored or copied is a new device with a journal of its own; the
    receipts of the device it was stay, bound by the first line of its journal.
    """
    if ctx.invoked_subcommand is not None:
        return
    as_json = settings(ctx).json
    rows: list[list[Any]] = []

    def page(data: dict[str, Any]) -> None:
        for one in data["receipts"]:
            if as_json:
                json_line(one)
            else:
                device = [one["device"][:SHORT]] if former else []
                rows.append([*device, one["number"], when(one["time"]), one["text"]])

    call(ctx, "journal", {"kind": kind, "former": former}, show=page)
    if not as_json:
        table((*(("device",) if former else ()), "no", "time", "what"), rows, right=("no",),
              empty="There is no such receipt: chez journal --json tells the kind of each." if kind else
              "This home was no other device before.")


@journal.command()
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Recompute the journal's hash chain."""
    found = call(ctx, "journal-verify", {})
    if settings(ctx).json:
        json_line(found)
    if not found["ok"]:
        raise Damaged(f"the journal does not verify: {found['problem']}",
                      "receipts were changed or removed outside of Chez; compare with another device")
    if not settings(ctx).json:
        say(f"the journal holds: {found['receipts']} receipts, each bound to the one before")
