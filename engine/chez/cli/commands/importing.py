"""import: data from files, with a report of what could not be read."""

import os
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.terminal import error, json_line, safe, say
from chez.errors import ChezError, InvalidValue, NotFound

__all__ = ("import_files",)

REJECTS_SHOWN: Final = 20


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--connector", help="Read the files as this kind instead of recognising it.")
@in_space
@click.pass_context
def import_files(ctx: click.Context, files: tuple[Path, ...], connector: str | None) -> None:
    """Bring data home from files that services export, or from a folder that chez export wrote.

    The kind of each file is recognised. Importing a file again changes nothing. Rows that
    can't be read are listed with line and reason; the others are kept.
    """
    failed = sum(not _import(ctx, path, connector) for path in files)
    if failed:
        ctx.exit(1)


def _import(ctx: click.Context, path: Path, connector: str | None) -> bool:
    """Import one file; False when nothing of it could be read."""
    rejects: list[dict[str, Any]] = []
    try:
        # The owner has another working directory, and it must not be told to read what we can't.
        if not os.path.exists(path):
            raise NotFound(f"there is no file {path}")
        if not os.access(path, os.R_OK):
            raise InvalidValue(f"{path} can't be read", "check its permissions")
        report = call(ctx, "import", {"path": os.path.abspath(path), "connector": connector},
                      show=lambda data: rejects.extend(data["rejects"]))
    except ChezError as problem:
        error(settings(ctx), problem.code, f"{path}: {problem.message}", problem.hint)
        return False
    if settings(ctx).json:
        json_line({**report, "file": str(path), "rejects": rejects})
    else:
        _tell(path, report, rejects)
    return not report["rejected"] or report["added"] + report["updated"] + report["unchanged"] + report["purged"] > 0


def _tell(path: Path, report: dict[str, Any], rejects: list[dict[str, Any]]) -> None:
    say(f"{path.name}: {report['connector']}, {report['added']} added, {report['updated']} updated, "
        f"{report['unchanged']} unchanged, {report['rejected']} rejected"
        + (f", {report['purged']} purged before and not brought back" if report["purged"] else ""))
    for name in report["skipped"]:
        click.echo(f"  space {safe(name)!r} is not on this device: left out. Make it, and import its folder (spaces/…) "
                   "with --space.", err=True)
    for reject in rejects[:REJECTS_SHOWN]:
        where = f"{safe(str(reject['member']))}, " if reject.get("member") else ""
        click.echo(f"  {where}line {reject.get('line', '?')}: {safe(str(reject.get('reason', '')))}", err=True)
    if (more := report["rejected"] - REJECTS_SHOWN) > 0:
        click.echo(f"  … and {more} more (--json lists them)", err=True)
