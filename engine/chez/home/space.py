"""`Space`: one space of an open home, as applications use it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

import msgspec

from chez.blobs.attachments import Blobs
from chez.errors import InvalidValue
from chez.home.held import Held
from chez.home.reports import CollectionInfo, SpaceStatus
from chez.home.syncing import Syncing
from chez.query.indexes import Declared
from chez.records.collection import Collection
from chez.records.engine import Engine
from chez.records.typed import Migration
from chez.records.types import collection_of
from chez.records.values import check_collection

__all__ = ("Space", "collection_in")

S = TypeVar("S")


class Space:
    """One space of a home: records that are kept, and shared, together; made by `Home.space`.

        trip = await home.create_space("Trip to Rome")
        await trip.collection("costs").put({"what": "Train", "euros": 84})

    A record's id is its own within its space and collection: two spaces may have one each.
    """

    def __init__(self, held: Held, syncing: Syncing) -> None:
        self._held = held
        self._syncing = syncing

    def __repr__(self) -> str:
        return f"<Space {self.name!r}, {self.id[:8]}…>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and other._held is self._held

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """What names it everywhere and for ever: 64 hexadecimal digits."""
        return self._held.id

    @property
    def name(self) -> str:
        """Its name, for people: several spaces may have one."""
        return self._held.space.name

    @property
    def private(self) -> bool:
        """Whether it is the person's own space, which is shared with nobody."""
        return self._held.space.private

    @property
    def blobs(self) -> Blobs:
        """Attachments of its records."""
        return self._held.blobs

    @overload
    def collection(self, what: str, *, name: str | None = ..., indexes: Sequence[Declared] = ...,
                   search: Sequence[str] = ..., version: int = ...,
                   migrations: Mapping[int, Migration] | None = ...) -> Collection[dict[str, Any]]: ...

    @overload
    def collection(self, what: type[S], *, name: str | None = ..., indexes: Sequence[Declared] = ...,
                   search: Sequence[str] = ..., version: int = ...,
                   migrations: Mapping[int, Migration] | None = ...) -> Collection[S]: ...

    def collection(self, what: str | type[Any], *, name: str | None = None,
                   indexes: Sequence[Declared] = (), search: Sequence[str] = (), version: int = 1,
                   migrations: Mapping[int, Migration] | None = None) -> Collection[Any]:
        """A collection of this space; see `Home.collection`. Raises `InvalidValue`."""
        return collection_in(self._held.engine, what, name, indexes, search, version, migrations)

    async def collections(self) -> list[CollectionInfo]:
        """Every collection that has records in this space, by name."""
        engine = self._held.engine
        rows = await engine.database.read(lambda db: db.execute(
            "SELECT collection, count(*) FROM record WHERE space = ? AND deleted = 0 GROUP BY collection "
            "ORDER BY collection", (engine.space,)).fetchall())
        return [CollectionInfo(*row) for row in rows]

    def status(self) -> SpaceStatus:
        """How it stands with its relay, without the network."""
        return self._syncing.status_of(self._held)


def collection_in(engine: Engine, what: str | type[Any], name: str | None, indexes: Sequence[Declared],
                  search: Sequence[str], version: int, migrations: Mapping[int, Migration] | None) -> Collection[Any]:
    """A collection of the space that an engine is of. Raises `InvalidValue`."""
    if isinstance(what, str):
        named, kind = what, None
    elif isinstance(what, type) and issubclass(what, msgspec.Struct):
        named, kind = name or collection_of(what), what
    else:
        raise InvalidValue("a collection is named by text or by a msgspec Struct")
    return Collection(engine, check_collection(named), kind, indexes, search, version=version, migrations=migrations)
