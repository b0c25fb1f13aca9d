"""export: what a home holds, out of it in a form that any program reads."""

import os
from pathlib import Path

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say

__all__ = ("export",)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--history", is_flag=True, help="Also every change of every record, deleted ones included.")
@click.pass_context
def export(ctx: click.Context, folder: Path, history: bool) -> None:
    """Write everything into a new folder as plain JSON Lines, one file a collection.

    Any program can read it, and chez import brings it back, here or into another home. The
    folder appears when it is complete. It is NOT encrypted; the journal notes that it was made.
    """
    done = call(ctx, "export", {"path": os.path.abspath(folder), "history": history})
    if settings(ctx).json:
        json_line(done)
        return
    changes = f" and {done['changes']:,} changes" if history else ""
    say(f"{done['records']:,} records{changes} are in {folder}, readable by anybody who can open that folder")
