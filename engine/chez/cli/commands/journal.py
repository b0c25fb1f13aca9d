"""journal: the receipts of this device, and whether their chain holds."""

from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, json_text, say, table
from chez.errors import Damaged

__all__ = ("journal",)


@click.group(invoke_without_command=True)
@click.option("--kind", help="Only receipts of this kind.")
@click.pass_context
def journal(ctx: click.Context, kind: str | None) -> None:
    """Show the journal: every grant, run, release, refusal and membership change."""
    if ctx.invoked_subcommand is not None:
        return
    as_json = settings(ctx).json
    rows: list[list[Any]] = []

    def page(data: dict[str, Any]) -> None:
        for one in data["receipts"]:
            if as_json:
                json_line(one)
            else:
                rows.append([one["number"], one["time"], one["kind"], json_text(one["body"])])

    call(ctx, "journal", {"kind": kind}, show=page)
    if not as_json:
        table(("no", "time", "kind", "what"), rows, right=("no",))


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
