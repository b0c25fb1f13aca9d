"""import, imports: data from files, with a report of what could not be read, and what was brought home."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

import click

from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.terminal import error, json_line, json_text, safe, say, table, when
from chez.errors import ChezError, InvalidValue, NotFound, StorageFailed
from chez.shown import NO_FILE

__all__ = ("import_files", "imports")

REJECTS_SHOWN: Final = 20
GOES_ON: Final = "what was read of it is kept; the same command goes on from there"
SHORT: Final = 12
"""Digits of a file's hash that are shown to people."""


class _Named(click.Path):
    """A path that has a name: an empty one, as of a variable that is not set, would be the folder where one is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.Path`."""
        if value == "":
            self.fail("an empty name is that of no file", param, ctx)
        return super().convert(value, param, ctx)


@click.command("import")
@click.argument("files", nargs=-1, type=_Named(path_type=Path, readable=False))
@click.option("--connector", help="Read the files as this kind instead of recognising it.")
@click.option("--formats", is_flag=True, help="List the kinds of files that are recognised.")
@click.option("--explore", "looking", is_flag=True,
              help="List what is in one export that no connector knows, and write a mapping for it.")
@click.option("--mapping", type=click.Path(path_type=Path), metavar="FILE",
              help="Read the files by this mapping; with --explore, write it there.")
@click.option("--keep", is_flag=True,
              help="Keep the files themselves, encrypted, so that --again can read them; a mapping as well.")
@click.option("--again", is_flag=True,
              help="Read all kept files again, by the connectors there are now, or the mappings kept with them; with "
                   "--mapping, those of a mapping of that name by this one.")
@click.option("--overwrite", is_flag=True,
              help="Take the file's word also for what you changed in imported records; chez history has what it was.")
@click.option("--rejects", type=click.Path(path_type=Path), metavar="FILE",
              help="Write all rejected rows into a new file, one JSON object a line.")
@in_space
@click.pass_context
def import_files(ctx: click.Context, files: tuple[Path, ...], connector: str | None, formats: bool, looking: bool,
                 mapping: Path | None, keep: bool, again: bool, overwrite: bool, rejects: Path | None) -> None:
    """Bring data home from files that services export, or from a folder that chez export wrote.

    The kind of each file is recognised, also of files in a zip, or in a folder that one was unpacked into.
    Importing a file again changes nothing, and after an interruption it goes on where it was. Rows that can't
    be read are listed with line and reason; the others are kept.

    \b
    chez import statement.ofx linky.csv
    chez import takeout.zip --rejects unread.jsonl
    chez import --explore other-export.zip

    Any other export, a zip, a folder or a file of JSON, CSV or HTML, is imported by a mapping: --explore shows
    what is in it and, at a terminal, asks what is to become of each table; whoever has the same service's export can
    use the mapping.
    """
    if formats:
        _tell_formats(ctx)
        return
    if bool(files) == again or (again and (keep or connector)):
        raise click.UsageError("name files, or give --again alone (--formats lists what can be read)")
    if (looking or mapping) and connector:
        raise click.UsageError("--explore and --mapping stand without --connector")
    if looking:
        if again or overwrite:
            raise click.UsageError("--explore looks into a file: it stands without --again and --overwrite")
        _explored(ctx, files, mapping, keep)
        return
    text = None if mapping is None else _mapping(mapping)
    sink = _Rejects(ctx, rejects)
    try:
        how = {"mapping": text, "overwrite": overwrite}
        work = _kept(ctx, how) if again else [
            (str(path), _import(ctx, path, how | {"connector": connector, "keep": keep})) for path in files]
        failed = sum(not _report(ctx, name, run, sink) for name, run in work)
    finally:
        sink.close()
    if failed:
        ctx.exit(1)


def _tell_formats(ctx: click.Context) -> None:
    """The connectors that are installed here, which needs no home."""
    from chez.connectors import broken, connectors

    known = connectors()
    if settings(ctx).json:
        for one in known:
            json_line({"connector": one.name, "version": one.version, "title": one.title})
    else:
        table(("connector", "reads"), [(one.name, one.title) for one in known])
    for failed in broken():
        say(f"left out: {failed}", err=True)


Run = Callable[[Callable[[dict[str, Any]], None]], dict[str, Any]]
"""One import; what it is given gets the pages of rejects."""


def _explored(ctx: click.Context, files: tuple[Path, ...], mapping: Path | None, keep: bool) -> None:
    """Explore one export; at a terminal, import it by the mapping that comes of it if the person says so."""
    if len(files) != 1:
        raise click.UsageError("--explore looks into one file")
    from chez.cli.commands.exploring import explore  # what parses is loaded by who explores

    written = explore(files[0], mapping, as_json=settings(ctx).json)
    if written is None or settings(ctx).json or not sys.stdin.isatty():
        if keep:
            say("nothing is kept: --keep keeps what is imported, and without a terminal --explore only looks", err=True)
        return
    if click.confirm("Import it now?", default=True, err=True):
        run = _import(ctx, files[0], {"mapping": _mapping(written), "keep": keep})
        if not _report(ctx, str(files[0]), run, _Rejects(ctx, None)):
            ctx.exit(1)


def _mapping(path: Path) -> str:
    from chez.cli.commands.exploring import mapping_in

    return mapping_in(path)


def _import(ctx: click.Context, path: Path, how: dict[str, Any]) -> Run:
    def run(show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        # The owner has another working directory, and it must not be told to read what we can't.
        if not os.path.exists(path):
            raise NotFound(f"there is no file {str(path)!r}", NO_FILE)
        if not os.access(path, os.R_OK):
            raise InvalidValue(f"{str(path)!r} can't be read", "check its permissions")
        found: dict[str, Any] = call(ctx, "import", {"path": os.path.abspath(path), **how}, show=show, stands=GOES_ON)
        return found

    return run


def _kept(ctx: click.Context, how: dict[str, Any]) -> list[tuple[str, Run]]:
    """Each kept export, and how it is read again; by a mapping those that one of its name was kept with."""
    def again(sha256: str) -> Run:
        return lambda show: call(ctx, "import-again", {"sha256": sha256, **how}, show=show, stands=GOES_ON)

    mapping: str | None = how["mapping"]
    kept = call(ctx, "kept-exports", {})
    if not kept:
        say("no export is kept here: chez import --keep FILE keeps one", err=True)
    elif mapping is not None:
        from chez.connectors.mapped import Mapped

        name = Mapped(mapping.encode()).name
        kept = [one for one in kept if one["connector"] == name]
        if not kept:
            say(f"no export is kept here that was read by a mapping {name.removeprefix('mapped-')!r}", err=True)
    return [(one["file"], again(one["sha256"])) for one in kept]


def _report(ctx: click.Context, name: str, run: Run, sink: "_Rejects") -> bool:
    """Run one import and tell of it; False when nothing of it could be read."""
    rejects: list[dict[str, Any]] = []
    try:
        report = run(lambda data: rejects.extend(data["rejects"]))
    except ChezError as problem:
        named = any(form in problem.message for form in (repr(name), os.path.abspath(name)))
        error(settings(ctx), problem.code, problem.message if named else f"{name}: {problem.message}", problem.hint)
        return False
    sink.write(name, rejects)
    if settings(ctx).json:
        json_line({**report, "file": name, "rejects": rejects})
    else:
        _tell(name, report, rejects)
    return not report["rejected"] or report["added"] + report["updated"] + report["unchanged"] + report["purged"] > 0


_AMONG: Final = {"resumed": "from before it was cut off", "edited": "with what you changed in them"}
"""What is said of some of the unchanged records."""


def _tell(name: str, report: dict[str, Any], rejects: list[dict[str, Any]]) -> None:
    among = ", ".join(f"{report[one]:,} {what}" for one, what in _AMONG.items() if report[one])
    # A name is whatever made the file called it: it is shown on this line.
    say(f"{safe(Path(name).name)}: {report['connector']}, {report['added']} added, {report['updated']} updated, "
        f"{report['unchanged']} unchanged{f' ({among})' if among else ''}, {report['rejected']} rejected"
        + (f", {report['purged']} purged before and not brought back" if report["purged"] else "")
        + (", kept" if report["kept"] else ""))
    if report["collections"]:
        say(f"  in {', '.join(report['collections'])} (chez ls {report['collections'][0]})", err=True)
    if report["edited"]:
        say("  what you changed stays; --overwrite takes the file's word instead", err=True)
    for space in report["skipped"]:
        click.echo(f"  space {safe(space)!r}: left out. It is not on this device, only read here, or the export was "
                   "not made here: import its folder (spaces/…) with --space.", err=True)
    if report["left_out"]:
        click.echo(f"  left out: {', '.join(map(safe, report['left_out']))}. What a home acts on is taken from no "
                   "export; a backup has it.", err=True)
    for reject in rejects[:REJECTS_SHOWN]:
        where = f"{safe(str(reject['member']))}, " if reject.get("member") else ""
        click.echo(f"  {where}line {reject.get('line', '?')}: {safe(str(reject.get('reason', '')))}", err=True)
    if (more := report["rejected"] - REJECTS_SHOWN) > 0:
        click.echo(f"  … and {more} more (--rejects FILE lists them)", err=True)


class _Rejects:
    """The file that `--rejects` names: new, its owner's alone, for rows are content."""

    def __init__(self, ctx: click.Context, path: Path | None) -> None:
        self._file: TextIO | None = None
        self._path = path or Path()
        if path is None:
            return
        try:
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
        except FileExistsError:
            raise InvalidValue(f"{path} is there already", "Name a new file for the rejected rows.") from None
        except OSError as failure:
            raise StorageFailed(f"{path} can't be written: {failure.strerror}",
                                "Name another file for the rejected rows; nothing was imported yet.") from None

    def write(self, name: str, rejects: list[dict[str, Any]]) -> None:
        """Add a file's rejects. Raises `StorageFailed`."""
        if self._file is not None:
            try:
                self._file.writelines(json_text({"file": name, **reject}) + "\n" for reject in rejects)
                self._file.flush()
            except OSError as failure:
                raise StorageFailed(
                    f"{self._path} can't be written: {failure.strerror}", "what was imported stays: the same command "
                    "with another file for the rejected rows lists them again") from None

    def close(self) -> None:
        """The file is whole."""
        if self._file is not None:
            with suppress(OSError):  # what it could not take was said
                self._file.close()


@click.command()
@click.pass_context
def imports(ctx: click.Context) -> None:
    """List what was imported on this device: which file, by which connector and version, when, and the counts.

    The list is in the journal, and stays when the records go. `chez journal` has what came from other tools.
    """
    rows: list[list[Any]] = []

    def page(data: dict[str, Any]) -> None:
        for one in data["imports"]:
            if settings(ctx).json:
                json_line(one)
            else:
                rows.append([when(one["time"]), one["file"], f"{one['connector']}/{one['version']}",
                             one["sha256"][:SHORT], one["added"], one["updated"], one["unchanged"], one["rejected"],
                             "stopped" if one["stopped"] else ""])

    call(ctx, "imports", {}, show=page)
    if not settings(ctx).json:
        table(("time", "file", "connector", "hash", "added", "updated", "unchanged", "rejected", ""), rows,
              right=("added", "updated", "unchanged", "rejected"),
              empty="No import was completed on this device yet: chez import FILE.")
