"""What a person accepted of an export that no connector knows: which tables are in it, and what becomes of them.

A mapping is a small file of TOML that another person with the same service's export can use, and gets the same
collections. It declares; nothing in it is run. Each collection's name begins with that of the mapping, so that a
mapping from somebody else writes into no collection that means something already. docs/mappings.md has the form.
"""

import json
import keyword
import tomllib
from typing import Annotated, Any, Final, Literal

import msgspec

from chez.errors import InvalidValue
from chez.records.types import OPEN

__all__ = (
    "FORMAT", "MAX_MAPPING", "MAX_WITHIN", "PARENT", "RESERVED", "TAKEN", "Column", "ColumnKind", "Form", "Mapping",
    "Shape", "TableMapping", "is_taken", "mapping_text", "parent_of", "read_mapping", "schema",
)

FORMAT: Final = 2
"""The form of the file: rises when an older Chez would read it wrong. The first one had no lists within rows."""

MAX_MAPPING: Final = 512 * 1024
"""Bytes of one mapping."""

TAKEN: Final = frozenset(("kept", "receipt", "station", "table", "tariff", "tables", "transit"))
"""What no service is called: collections that mean something already begin so (`kept_exports`, `tariff_days`)."""

RESERVED: Final = ("row", "at")
"""Fields that reading adds: what identifies a row without identity, and the instant that `time` names."""

PARENT: Final = "parent"
"""The field that says in which row a row is, where a table is within another: what identifies that one."""

MAX_WITHIN: Final = 4
"""Lists inside each other whose items are records; what is deeper is a value."""

_NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
_HINT: Final = "docs/mappings.md says what a mapping may hold; `chez import --explore` writes one."

ColumnKind = Literal["text", "integer", "number", "boolean", "json"]
"""What the values of a column are; "json" is any value, kept as it is."""

Form = Literal["json", "lines", "csv", "html"]
"""How a file is written: one JSON document, one a line, a table of text, a page with tables."""

Shape = Literal["rows", "values", "pairs", "object", "mixed", "whole"]
"""What is a record: an object of a list, any item of a list, a name and value of an object, the object itself, from
file to file one or the other, as each is, or whatever it is as one value: an object, or an item of a list."""

_Said = Annotated[str, msgspec.Meta(max_length=512)]
_Word = Annotated[str, msgspec.Meta(pattern=_NAME)]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column of a table in the export, and the field that it becomes."""

    source: _Said = msgspec.field(name="from")
    """What the export calls it; in JSON the names that lead to it, joined by "/" (RFC 6901 without the first)."""
    name: _Word
    """What the field is called."""
    type: ColumnKind = "text"
    """What its values are; a value that is something else costs its row."""
    drop: bool = False
    """Whether it is left out."""


class TableMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of the export, and the collection that it becomes."""

    files: _Said
    """The names of the files that have it; `*` stands for anything within a folder's or a file's name."""
    form: Form
    collection: _Word
    """Where its records live; begins with the mapping's name and "_"."""
    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1, max_length=200)]
    shape: Shape = "rows"
    path: _Said = ""
    """Where in the file it is: in JSON the names that lead there, joined by "/"; in HTML its header, by " | "."""
    identity: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)] = ()
    """The fields that say which thing a row is about; none: all that the row says."""
    time: str = ""
    """The field that says when; its instant becomes `at`."""
    drop: bool = False
    """Whether the table is left out."""
    within: Annotated[tuple[_Said, ...], msgspec.Meta(max_length=MAX_WITHIN)] = ()
    """The columns that lead from the rows at `path` to the list whose objects are the records, from format 2 on."""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an export of one service is read by."""

    format: Literal[1, 2]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    """The service, in small letters: the beginning of all collections, and in every record's provenance."""
    version: Annotated[int, msgspec.Meta(ge=1, le=10**6)]
    """Rises whenever the same export would give other records."""
    tables: Annotated[tuple[TableMapping, ...], msgspec.Meta(min_length=1, max_length=400)]
    title: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """What the export is, for people."""


def is_taken(name: str) -> bool:
    """Whether a service can't be called so, for collections that mean something already begin with it and "_"."""
    return name in TAKEN or f"{name}_".startswith(OPEN)


def read_mapping(data: bytes) -> Mapping:
    """The mapping in a file's bytes. Raises `InvalidValue` with the place of what is wrong."""
    if len(data) > MAX_MAPPING:
        raise InvalidValue(f"the mapping has more than {MAX_MAPPING:,} bytes", _HINT)
    try:
        mapping = msgspec.convert(tomllib.loads(data.decode("utf-8")), Mapping)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidValue(f"the mapping can't be read: {str(error)[:300]}", _HINT) from None
    _check(mapping)
    return mapping


def _check(mapping: Mapping) -> None:
    seen: set[str] = set()
    if is_taken(mapping.name):
        raise InvalidValue(f"a mapping can't be called {mapping.name!r}: collections of Chez begin so", _HINT)
    for table in mapping.tables:
        name = table.collection
        if not name.startswith(f"{mapping.name}_"):
            raise InvalidValue(f"the collection {name!r} does not begin with {mapping.name + '_'!r}", _HINT)
        if name in seen:
            raise InvalidValue(f"two tables become the collection {name!r}", _HINT)
        seen.add(name)
        _check_table(table)
        if table.within:
            _check_within(mapping, table)


def _check_table(table: TableMapping) -> None:
    where = f"in the table of {table.collection!r}"
    fields = {column.name: column for column in table.columns}
    sources = {column.source for column in table.columns}
    if len(fields) != len(table.columns) or len(sources) != len(table.columns):
        raise InvalidValue(f"{where} two columns have one name", _HINT)
    for name in fields:
        if name in RESERVED or keyword.iskeyword(name):
            raise InvalidValue(f"{where} a field is called {name!r}, which is kept for Chez", _HINT)
    for name in (*table.identity, *((table.time,) if table.time else ())):
        if name not in fields or fields[name].drop:
            raise InvalidValue(f"{where} there is no field {name!r}", f"It has: {', '.join(list(fields)[:20])}.")
        if fields[name].type == "json":
            raise InvalidValue(f"{where} {name!r} is json, which neither identifies a row nor says when", _HINT)
    if len(set(table.identity)) != len(table.identity):
        raise InvalidValue(f"{where} a field of the identity stands twice", _HINT)


def _check_within(mapping: Mapping, table: TableMapping) -> None:
    where = f"in the table of {table.collection!r}"
    if mapping.format < 2:
        raise InvalidValue(f"{where} `within` needs `format = 2`", _HINT)
    if table.form not in ("json", "lines") or table.shape != "rows":
        raise InvalidValue(f"{where} `within` needs JSON, and `rows`", _HINT)
    if parent_of(mapping, table) is None:
        raise InvalidValue(f"{where} there is no table that it is within: one of the same files, form and path",
                           "Add it; with `drop = true` if it is to be left out.")
    if any(column.name == PARENT for column in table.columns):
        raise InvalidValue(f"{where} a field is called {PARENT!r}, which is kept for Chez", _HINT)


def parent_of(mapping: Mapping, table: TableMapping) -> TableMapping | None:
    """The table in whose rows a table's lists are."""
    return next((one for one in mapping.tables if (one.files, one.form, one.path, one.within)
                 == (table.files, table.form, table.path, table.within[:-1])), None)


def mapping_text(mapping: Mapping) -> str:
    """A mapping as its file: TOML, the same for the same mapping. Raises `InvalidValue` for one that is not valid."""
    _check(mapping)
    plain = msgspec.to_builtins(mapping)
    tables = plain.pop("tables")
    out = [f"{name} = {_value(value)}\n" for name, value in plain.items()]
    for table in tables:
        columns = table.pop("columns")
        out.append("\n[[tables]]\n")
        out += [f"{name} = {_value(value)}\n" for name, value in table.items()]
        out.append("columns = [\n")
        out += ["    { " + ", ".join(f"{name} = {_value(value)}" for name, value in column.items()) + " },\n"
                for column in columns]
        out.append("]\n")
    return "".join(out)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    # TOML's basic strings are JSON's but for DEL, which it wants escaped, and surrogates, which neither file has.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def schema() -> str:
    """The JSON Schema of a mapping, as docs/mapping.schema.json has it."""
    return json.dumps(msgspec.json.schema(Mapping), indent=2, sort_keys=True) + "\n"
