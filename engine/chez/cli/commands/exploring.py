"""import --explore: what is in an export that no connector knows, and the questions by which it becomes a mapping."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from chez.cli.terminal import json_line, safe, say, table
from chez.connectors import Found, Reject, open_export
from chez.connectors.exploring import MAX_TABLES, Explorer, TableSeen, propose
from chez.connectors.folders import left_out
from chez.connectors.mapping import MAX_MAPPING, Mapping, TableMapping, mapping_text, read_mapping
from chez.connectors.walled import WalledReading
from chez.errors import ChezError, InvalidValue, NotFound, StorageFailed
from chez.phrasing import how_many
from chez.shown import NO_FILE, UNREADABLE, UNWRITABLE

__all__ = ("explore", "mapping_in")

REJECTS_SHOWN: Final = 20
MAX_REJECTS: Final = 10_000
"""Rejects that are kept, as in the report of an import: a wrong file has nothing else."""
COLUMNS_SHOWN: Final = 40


def mapping_in(path: Path) -> str:
    """The text of a mapping's file. Raises `NotFound`, `StorageFailed`, `InvalidValue`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MAPPING + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as failure:
        raise StorageFailed(f"{path} can't be read: {failure.strerror}", UNREADABLE) from None
    read_mapping(data)
    return data.decode()


def explore(path: Path, into: Path | None, *, as_json: bool) -> Path | None:
    """Show what is in an export; at a terminal ask what is to become of it, and else take the proposal.

    Writes the mapping into a new file, and returns it; without a name and a terminal nothing is written.
    Raises what reading raises.
    """
    if into is not None and into.exists():
        raise _there(into)
    try:
        seen, rejects = _look(path)
    except ChezError as problem:
        if path.name in problem.message:
            raise
        raise type(problem)(f"{path.name}: {problem.message}", problem.hint) from None
    asking = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    if not seen and not as_json:
        _unread(path, rejects)  # before the refusal, which says that there is no table, and not why
    mapping = propose(path.resolve().stem, seen)
    if as_json:
        json_line({"tables": msgspec.to_builtins(seen), "rejects": msgspec.to_builtins(rejects)})
    else:
        _show(path, seen, mapping.tables, rejects)
    if asking:
        mapping = _asked(mapping, seen)
        into = into or Path(click.prompt("Write the mapping into", default=f"{mapping.name}.mapping.toml", err=True))
    if into is None:
        return None
    _write(into, mapping_text(mapping))
    say(f"{into}: the mapping of {how_many(len(mapping.tables), 'table')}. "
        f"Import with it: chez import --mapping {into} {path}", err=True)
    return into


def _look(path: Path) -> tuple[list[TableSeen], list[Reject]]:
    seen: list[TableSeen] = []
    file, source = open_export(path)
    rejects = list(left_out(file))
    with file, WalledReading(Explorer(), file, source) as items:
        for one in items:
            if isinstance(one, Found) and isinstance(one.record, TableSeen) and len(seen) < MAX_TABLES:
                seen.append(one.record)
            elif isinstance(one, Reject) and len(rejects) < MAX_REJECTS:
                rejects.append(one)
    return seen, rejects


def _show(path: Path, seen: Sequence[TableSeen], tables: Sequence[TableMapping], rejects: Sequence[Reject]) -> None:
    for number, (one, mapped) in enumerate(zip(seen, tables, strict=True), 1):
        where = f", {safe(one.path)}" if one.path else ""
        where += "".join(f", in each {safe(column)!r}" for column in one.within)
        say(f"{number}. {safe(one.files)}{where}: {one.rows:,} {one.shape} in {how_many(one.members, 'file')} "
            f"-> {mapped.collection}")
        table(("field", "type", "filled", "for example"),
              [(column.name, column.type, found.filled, safe(" · ".join(found.samples)))
               for column, found in list(zip(mapped.columns, one.columns, strict=True))[:COLUMNS_SHOWN]],
              right=("filled",))
        if (more := len(one.columns) - COLUMNS_SHOWN) > 0:
            say(f"   … and {more} more columns")
        identity = ", ".join([*(["parent"] if mapped.within else []), *mapped.identity])
        say(f"   identity: {identity if mapped.identity else 'all that a row says'}; time: {mapped.time or 'none'}")
    _unread(path, rejects)


def _unread(path: Path, rejects: Sequence[Reject]) -> None:
    for reject in rejects[:REJECTS_SHOWN]:
        say(f"not read: {safe(reject.member or path.name)}, line {reject.line}: {safe(reject.reason)}", err=True)
    if (rest := len(rejects) - REJECTS_SHOWN) > 0:
        say(f"… and {rest} more that are not read", err=True)


def _asked(mapping: Mapping, seen: Sequence[TableSeen]) -> Mapping:
    """What the person makes of the proposal, table by table; each answer is checked, and asked for again."""
    name = click.prompt("Name of the service", default=mapping.name, err=True)
    if name != mapping.name:
        mapping = propose(name, seen)
    for at in range(len(mapping.tables)):
        while True:
            changed = msgspec.structs.replace(mapping, tables=(
                *mapping.tables[:at], _table(mapping, at), *mapping.tables[at + 1:]))
            try:
                mapping = read_mapping(mapping_text(changed).encode())
                break
            except InvalidValue as error:
                say(f"{error.message}: once more", err=True)
    return mapping


def _table(mapping: Mapping, at: int) -> TableMapping:
    one = mapping.tables[at]
    if not click.confirm(f"{at + 1}. Take {one.collection}?", default=True, err=True):
        return msgspec.structs.replace(one, drop=True)
    collection = click.prompt("   collection", default=one.collection, err=True)
    if not click.confirm("   As proposed?", default=True, err=True):
        fields = ", ".join(column.name for column in one.columns)
        identity = _words(click.prompt(f"   identity, of {fields} (- for all)", default=" ".join(one.identity) or "-",
                                       err=True))
        time = _words(click.prompt("   time (- for none)", default=one.time or "-", err=True))
        dropped = _words(click.prompt("   fields to leave out (- for none)", default="-", err=True))
        columns = tuple(msgspec.structs.replace(column, drop=column.name in dropped) for column in one.columns)
        one = msgspec.structs.replace(one, identity=tuple(identity), time=" ".join(time), columns=columns)
    return msgspec.structs.replace(one, collection=collection)


def _words(answer: str) -> list[str]:
    return [] if answer.strip() == "-" else answer.replace(",", " ").split()


def _there(path: Path) -> InvalidValue:
    return InvalidValue(f"{path} is there already", "Name a new file for the mapping.")


def _write(path: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _there(path) from None
    except OSError as failure:
        raise StorageFailed(f"{path} can't be written: {failure.strerror}", UNWRITABLE) from None
