"""A publisher's file as rows: by a connector, with what is declared of it, and what the catalogue then says of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from chez import connectors
from chez.connectors import Connector, Found, Reject
from chez.connectors.geojson import Feature
from chez.connectors.tables import ColumnType, column_names, slug
from chez.connectors.walled import WalledReading
from chez.errors import ImportStopped, InvalidValue
from chez.opendata.errors import DataInvalid
from chez.opendata.metadata import About, Distribution, Field, Metadata, Table
from chez.opendata.rows import Content, Row, canonical, row_id
from chez.opendata.table_rows import ROWS, TableRow, TableRows
from chez.query.followed import first_table
from chez.records.types import collection_of

__all__ = ("ROWS", "Loaded", "load", "metadata_of", "table_name", "tables_of")

MAX_REJECTS: Final = 100
"""Rejected rows that are kept to be shown; the rest are counted."""

FORMATS: Final = {".csv": ("CSV", "text/csv"), ".tsv": ("TSV", "text/tab-separated-values"),
                  ".geojson": ("GEOJSON", "application/geo+json"), ".json": ("JSON", "application/json"),
                  ".zip": ("GTFS", "application/zip")}
"""Codes of the EU's vocabulary of file types, and IANA's media types, by a file's ending."""


@dataclass(slots=True)
class Loaded:
    """A file that was read."""

    content: Content
    distribution: Distribution
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list, repr=False)


def load(path: Path, about: About, known: Sequence[Table] = ()) -> Loaded:
    """Read a file into the rows of a dataset, behind walls: often somebody else made it. Blocks.

    A table of text is read by `about`'s identity and types; columns that the dataset had before keep the type that
    they had (`known`), so that one odd cell does not change every row. Raises as `connectors.read`, `WallMissing`
    without a wall, `ImportStopped` when reading meets a limit, `InvalidValue` for rows that are no open data, or too
    many.
    """
    connector = _connector(path, about, known)
    file, source = connectors.open_source(path)
    # Some formats are of a network that only the file's name tells: here it is the dataset, whatever that name is.
    source = msgspec.structs.replace(source, name=f"{about.id}{path.suffix.lower()}")
    kind, media = FORMATS.get(path.suffix.lower(), ("OCTET", "application/octet-stream"))
    found = Loaded(Content(), Distribution(format=kind, media_type=media, bytes=source.size,
                                           sha256=source.sha256.hex()))
    try:
        with file, WalledReading(connector, file, source) as items:
            for item in items:
                if isinstance(item, Found):
                    _take(found, item, about)
                elif isinstance(item, Reject):
                    _reject(found, item)
    except ImportStopped as error:
        raise ImportStopped(error.message, "Nothing was changed.") from None
    tables = found.content.tables
    if not tables:
        raise InvalidValue(f"{path.name} has no row that can be published{_why(found)}", "Nothing was changed.")
    return found


def _why(found: Loaded) -> str:
    """Why the first row is none: where all are refused, nobody else is told."""
    return f" (line {found.rejects[0].line}: {found.rejects[0].reason})" if found.rejects else ""


def _connector(path: Path, about: About, known: Sequence[Table]) -> Connector:
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        before: dict[str, ColumnType] = {}
        for one in (one for table in known for one in table.fields):
            if one.type in ("integer", "number", "text"):
                before[one.name] = one.type
        return TableRows.declared(tuple(about.identity), dict(about.types), before)
    return connectors.recognise(path)


def _take(found: Loaded, item: Found, about: About) -> None:
    identity, value = _said(item.record)
    id = row_id({name: value[name] for name in sorted(identity) if name in value})
    table = table_name(about.id, collection_of(type(item.record)))
    if found.content.get(table, id) is not None:
        _reject(found, Reject(item.row, "another row has the same key", ""))
        return
    try:
        row = Row(table, id, canonical(value))
    except DataInvalid as error:
        _reject(found, Reject(item.row, error.message, ""))
        return
    try:
        found.content.add(row)
    except DataInvalid as error:
        raise InvalidValue(error.message, error.hint) from None


def _said(record: msgspec.Struct) -> tuple[set[str], dict[str, Any]]:
    """Which fields identify a row, and all that has a value, what is said of a feature among them."""
    if isinstance(record, TableRow):
        return set(record.identity), _filled(record.values)
    value: dict[str, Any] = msgspec.to_builtins(record)
    if isinstance(said := value.get("properties"), dict):
        del value["properties"]
        value |= dict(zip(column_names(list(said), value), said.values(), strict=True)) if said else {}
    return set(type(record).__identity__), _filled(value)  # type: ignore[attr-defined]


def _filled(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if one not in (None, "")}


def _reject(found: Loaded, item: Reject) -> None:
    found.rejected += 1
    if len(found.rejects) < MAX_REJECTS:
        found.rejects.append(item)


def table_name(dataset: str, collection: str) -> str:
    """The collection in which rows of a dataset are: of several, each has its own name after the dataset's."""
    base = first_table(dataset)
    return base if collection in (ROWS, Feature.__collection__) else f"{base}_{slug(collection)}"


def tables_of(content: Content) -> tuple[Table, ...]:
    """What the catalogue says of a dataset's tables."""
    rows: dict[str, int] = {}
    types: dict[str, dict[str, str]] = {}
    for row in content:
        rows[row.table] = rows.get(row.table, 0) + 1
        known = types.setdefault(row.table, {})
        for name, value in row.value.items():
            kind = _kind(value)
            known[name] = kind if known.get(name, kind) == kind else _both(known[name], kind)
    return tuple(Table(name=name, rows=rows[name], fields=tuple(_fields(types[name]))) for name in sorted(rows))


def _fields(types: dict[str, str]) -> Iterator[Field]:
    for name, kind in sorted(types.items()):
        yield msgspec.convert({"name": name, "type": kind}, Field)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "text" if isinstance(value, str) else "mixed"


def _both(one: str, other: str) -> str:
    return "number" if {one, other} == {"integer", "number"} else "mixed"


def metadata_of(about: About, loaded: Loaded | None, before: Metadata | None) -> Metadata:
    """What the catalogue says: what the publisher wrote, and what follows from the file, or else was said before."""
    said = {name: getattr(about, name) for name in About.__struct_fields__}
    own = ("modified", "distributions", "tables", "address", "size", "edition", "content")
    kept = {} if before is None else {name: getattr(before, name) for name in own}
    if loaded is not None:
        kept |= {"distributions": (loaded.distribution,), "tables": tables_of(loaded.content),
                 "size": loaded.content.size}
    return Metadata(**said, **kept)
