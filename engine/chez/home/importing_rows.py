"""What a connector found, as the store keeps it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from chez.connectors import Found
from chez.query import decimals
from chez.records.engine import Engine
from chez.records.imported import record_id
from chez.records.types import collection_of, identity_of
from chez.records.values import Value, check_value
from chez.store.database import Connection

__all__ = ("Prepared", "prepare", "writing")


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
            members: Mapping[str, int]) -> Callable[[Connection], list[str]]:
    """What writes a batch in a transaction, and says what became of each: "added", "updated", ...

    `members` are those of the file that were read so far, each with its place in their order.
    """
    numeric = {collection: decimals.fields_of(kind) for collection, kind in
               {item.collection: item.kind for item in prepared}.items()}

    def work(db: Connection) -> list[str]:
        for collection, names in numeric.items():
            engine.news.declare(db, collection, names)
        return [engine.records.put_imported(db, engine.space, item.collection, item.id, item.identity, item.values,
                                            item.source, origin, members=members) for item in prepared]

    return work
