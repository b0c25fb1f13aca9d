"""The collections of a home and of its spaces: how one is had, which there are, and what changes in all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from chez.errors import Damaged, InvalidValue
from chez.home.assembly import OpenHome
from chez.home.exporting import STEP, OnProgress, on_loop
from chez.home.reports import CollectionInfo
from chez.query.filters import whole
from chez.query.indexes import Declared
from chez.records.collection import Collection
from chez.records.conflicts import Conflict, find_conflicts
from chez.records.engine import Engine
from chez.records.feed import Feed, Source
from chez.records.record import Record
from chez.records.trash import Trashed, find_trash
from chez.records.typed import Migration
from chez.records.types import collection_of
from chez.records.values import check_collection
from chez.store.database import Connection

__all__ = ("OnDamaged", "collection_in", "collections_in", "conflicts_in", "feed_of_home", "feed_of_space",
           "trash_in")

OnDamaged = Callable[[Damaged], None]
"""Told of each record that can't be read on this device: its message names it."""


def collection_in(engine: Engine, what: str | type[Any], name: str | None, indexes: Sequence[Declared],
                  search: Sequence[str], version: int, migrations: Mapping[int, Migration] | None) -> Collection[Any]:
    """A collection of the space that an engine is of. Raises `InvalidValue`."""
    if isinstance(what, str):
        named, kind = what, None
    elif isinstance(what, type) and issubclass(what, msgspec.Struct):
        named, kind = name or collection_of(what), what
    else:
        raise InvalidValue("a collection is named by text or by a msgspec Struct",
                           "Call it home.collection(\"notes\"), or with a Struct: home.collection(Note).")
    return Collection(engine, check_collection(named), kind, indexes, search, version=version, migrations=migrations)


def collections_in(db: Connection, space: int | None = None) -> list[CollectionInfo]:
    """Every collection that has records in a space, or in any, by name."""
    where, values = ("", ()) if space is None else ("space = ? AND ", (space,))
    rows = db.execute(f"SELECT collection, count(*) FROM record WHERE {where}deleted = 0 "
                      "GROUP BY collection ORDER BY collection", values).fetchall()
    return [CollectionInfo(*row) for row in rows]


async def trash_in(engine: Engine, limit: int) -> list[Trashed[dict[str, Any]]]:
    """The deleted records of the space that an engine is of, but Chez's own, those that changed last first."""
    most = whole(limit, "limit")
    found = await engine.database.read(lambda db: find_trash(db, engine.space, None, engine.records.actor, most))
    return [one.told(Collection[dict[str, Any]](engine, one.collection, None).record_from(one.row), engine.name_of)
            for one in found]


async def conflicts_in(engine: Engine, collection: str | None, damaged: OnDamaged | None,
                       progress: OnProgress | None) -> dict[tuple[str, str], list[Conflict]]:
    """The conflicts in one collection, or all, of the space that an engine is of; see `Space.conflicts`."""
    if collection is not None:
        check_collection(collection)
    note = on_loop(progress)

    def work(db: Connection, check: Callable[[], None]) -> tuple[dict[tuple[str, str], list[Conflict]], list[Damaged]]:
        def step(done: int, total: int) -> None:
            if done % STEP == 0:
                check()
                note(done, total)

        db.execute("BEGIN")  # all that follows reads one state of the store
        return find_conflicts(db, step, engine.space, collection, engine.records.actor, engine.name_of)

    found, unread = await engine.database.aside(work)  # a long history takes seconds: nobody else waits for it
    for error in unread:
        if damaged is None:
            raise error
        damaged(error)
    return found


def feed_of_home(home: OpenHome) -> Feed[dict[str, Any]]:
    """What changes in all collections of all spaces."""

    async def source(n: int, name: str) -> Source[dict[str, Any]]:
        if n not in home.spaces.all:  # it came just now
            await home.syncing.found(n)
        engine = home.spaces.all[n].engine
        return Source(engine.name_of, Collection[dict[str, Any]](engine, name, None).record_from)

    return Feed(home.database, home.spaces.news, None, home.device.id, None, source)


def feed_of_space(engine: Engine) -> Feed[dict[str, Any]]:
    """What changes in all collections of the space that an engine is of."""
    made: dict[str, Collection[Any]] = {}

    def record(name: str, row: Sequence[Any]) -> Record[Any]:
        if name not in made:
            made[name] = Collection(engine, name, None)
        return made[name].record_from(row)

    return engine.feed(None, record)
