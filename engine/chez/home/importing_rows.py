"""What a connector found, as the store keeps it."""

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from chez.connectors import Found, Reject, Source
from chez.query import decimals
from chez.records.engine import Engine
from chez.records.imported import record_id
from chez.records.types import collection_of, identity_of
from chez.records.values import Value, check_value
from chez.store.database import Connection
from chez.vocabulary import Reading

__all__ = ("COARSER", "Prepared", "prepare", "records_left", "writing")

COARSER: Final = "coarser"
"""What became of an hour whose quarters another file told: nothing, or both would be summed up."""

_FINER: Final = """
SELECT id, json ->> '$.seconds', json ->> '$._source' FROM record
WHERE space = ? AND collection = ? AND id IN (SELECT value FROM json_each(?)) AND deleted = 0
"""
"""The intervals that are there, with their lengths."""

_OF_FILE: Final = """
SELECT collection, id, json ->> '$._source' FROM record
WHERE space = ? AND deleted = 0 AND instr(json ->> '$._source', ?) > 0
"""

_ROW: Final = re.compile(r"\d{1,15}", re.ASCII)

MAX_MEMBER: Final = 1024
"""Characters of a file's name in an archive, of what is told of it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record that may be written: its id, what it is about, what else it says, and where it comes from."""

    kind: type[msgspec.Struct]
    collection: str
    id: str
    identity: dict[str, Value] = field(repr=False)
    values: dict[str, Value] = field(repr=False)
    source: str = field(repr=False)
    row: int
    member: str


def prepare(found: Found, key: bytes, provenance: str) -> Prepared:
    """Split a record into identity and values, and derive its id. Raises `InvalidValue` for what no store keeps."""
    kind = type(found.record)
    identity_of(found.record)
    plain = check_value(msgspec.to_builtins(found.record, builtin_types=(bytes, datetime)))
    names = kind.__identity__  # type: ignore[attr-defined]
    identity = {name: plain.pop(name) for name in sorted(names)}
    collection = collection_of(kind)
    id = record_id(key, collection, identity)
    by, _, file = provenance.partition(" ")
    where = f"{found.member}:{found.row}" if found.member else str(found.row)
    return Prepared(kind, collection, id, identity, plain, f"{found.by or by} {file} {where}", found.row, found.member)


def writing(engine: Engine, prepared: list[Prepared], origin: str,
            members: Mapping[str, int], overwrite: bool) -> Callable[[Connection], list[str]]:
    """What writes a batch in a transaction, and says what became of each: "added", "updated", ..., `COARSER`.

    `members` are those of the file that were read so far, each with its place in their order. To `overwrite` takes back
    what a person changed.
    """
    numeric = {collection: decimals.fields_of(kind) for collection, kind in
               {item.collection: item.kind for item in prepared}.items()}

    def work(db: Connection) -> list[str]:
        for collection, names in numeric.items():
            engine.news.declare(db, collection, names)
        left = _coarser(db, engine.space, prepared)
        return [COARSER if item.id in left else engine.records.put_imported(
            db, engine.space, item.collection, item.id, item.identity, item.values, item.source, origin,
            members=members, overwrite=overwrite) for item in prepared]

    return work


def _coarser(db: Connection, space: int, prepared: list[Prepared]) -> set[str]:
    """The readings that are longer than what another file told from the same instant on.

    In the place of that one they would be summed up together with what follows it. A shorter one takes the place of a
    longer, with those beside it.
    """
    readings = {item.id: item for item in prepared if issubclass(item.kind, Reading)}
    if not readings:
        return set()
    found = db.execute(_FINER, (space, collection_of(Reading), msgspec.json.encode(list(readings)).decode()))
    return {id for id, seconds, source in found if isinstance(seconds, int) and isinstance(source, str)
            and seconds < readings[id].values["seconds"] and _file(source) != _file(readings[id].source)}


def records_left(db: Connection, space: int, source: Source, given: Set[str], most: int) -> tuple[list[Reject], int]:
    """The records that are of a file, and not among those that reading it gave now, each with its row: so many of them
    at most, and how many more there are.
    """
    found, more = list[Reject](), 0
    for collection, id, written in db.execute(_OF_FILE, (space, f" {source.sha256.hex()[:16]} ")):
        if id not in given and len(found) == most:
            more += 1
        elif id not in given:
            member, _, row = written.split(" ", 2)[2].rpartition(":")
            reason = f"an earlier reading made a record of it that this one does not give: it stays ({collection} {id})"
            # Who may write in a space may write any source by hand.
            found.append(Reject(int(row) if _ROW.fullmatch(row) else 1, reason, "", member[:MAX_MEMBER]))
    return found, more


def _file(source: str) -> str:
    """The digits of its file, of a record's source."""
    return source.split(" ", 2)[1] if source.count(" ") > 1 else ""
