"""Verbs about a record's past: history, undo and redo, conflicts, trash, purge.

They are apart from `verbs` so that they are loaded when the first of them is asked for.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.asking import Placed, paged, plain, read_params, reporting
from chez.agent.ui import Ui
from chez.agent.whereabouts import telling_where
from chez.errors import Damaged, InvalidValue, NotFound

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.collections import OnDamaged
    from chez.home.exporting import OnProgress
    from chez.home.home import Home
    from chez.home.space import Space
    from chez.records.conflicts import Conflict
    from chez.records.trash import Trashed

__all__ = ("VERBS",)

Name = Annotated[str, Meta(min_length=1, max_length=128)]


class _One(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name


class _History(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 100
    before: str | None = None
    grouped: bool = False


async def history(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """A record's changes in pages, the newest first."""
    asked = read_params(params, _History)
    found = await asked.of(home).collection(asked.collection).history(asked.id, limit=asked.limit, before=asked.before,
                                                                      grouped=asked.grouped)
    return {"changes": await paged(ui, "changes", (
        {"hash": one.hash, "kind": one.kind, "device": one.device.hex(), "device_name": one.device_name,
         "time": one.time, "fields": list(one.fields), "oldest": one.oldest, "since": one.since, "count": one.count}
        for one in found))}


class _At(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name
    point: str


async def at(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """A record's value as of a change."""
    asked = read_params(params, _At)
    value = await asked.of(home).collection(asked.collection).at(asked.id, asked.point)
    return {"collection": asked.collection, "id": asked.id, "value": plain(value)}


class _Diff(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name
    a: str
    b: str | None = None


async def diff(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What differs between two points of a record's history, in pages."""
    asked = read_params(params, _Diff)
    found = await asked.of(home).collection(asked.collection).diff(asked.id, asked.a, asked.b)
    return {"differences": await paged(ui, "differences", (
        {"field": one.field, "kind": one.kind, "before": one.before, "after": one.after} for one in found))}


async def undo(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Undo this device's last change of a record."""
    asked = read_params(params, _One)
    return plain(await asked.of(home).collection(asked.collection).undo(asked.id))


async def redo(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take back the last undo."""
    asked = read_params(params, _One)
    return plain(await asked.of(home).collection(asked.collection).redo(asked.id))


class _Conflicts(Placed, frozen=True, kw_only=True):
    collection: Name | None = None
    id: Name | None = None


async def conflicts(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The fields of a record, of a collection's or of all, that devices set at once, with all values, in pages.

    `damaged` has what is said of the records that can't be read, and hence are not among them.
    """
    asked = read_params(params, _Conflicts)
    damaged: list[Damaged] = []
    async with reporting(ui, "conflicts") as progress:
        count = await paged(ui, "conflicts", _conflicts(home, asked, damaged.append, progress))
    return {"conflicts": count, "damaged": [{"message": one.message, "hint": one.hint} for one in damaged]}


async def _conflicts(home: "Home", asked: _Conflicts, damaged: "OnDamaged",
                     progress: "OnProgress") -> AsyncIterator[dict[str, Any]]:
    if asked.collection is not None and asked.id is not None:
        space = asked.of(home)
        for one in await space.collection(asked.collection).conflicts(asked.id):
            yield _conflict(space, asked.collection, asked.id, one)
        return
    for space in await _places(home, asked, asked.collection):
        for (collection, id), found in (await space.conflicts(asked.collection, damaged=damaged,
                                                                progress=progress)).items():
            for one in found:
                yield _conflict(space, collection, id, one)


async def _places(home: "Home", asked: Placed, collection: str | None) -> "list[Space]":
    """The space that was asked about; all where neither it nor a collection was, but what others publish."""
    if asked.space is not None or collection is not None:
        return [asked.of(home)]
    return [space for space in await home.spaces() if not space.public or space.role is not None]


def _conflict(space: "Space", collection: str, id: str, conflict: "Conflict") -> dict[str, Any]:
    return {"space": space.name, "collection": collection, "id": id, "field": conflict.field, "versions": [
        {"choice": one.choice, "value": one.value, "device": one.device.hex(), "device_name": one.device_name,
         "shows": one.shows} for one in conflict.versions]}


class _Resolve(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name
    field: str
    number: Annotated[int, Meta(ge=1)]


async def resolve(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Leave one version of a field, by its number among those that `conflicts` lists."""
    asked = read_params(params, _Resolve)
    collection = asked.of(home).collection(asked.collection)
    found = {conflict.field: conflict for conflict in await collection.conflicts(asked.id)}
    if (conflict := found.get(asked.field)) is None:
        raise NotFound(f"the record {asked.id!r} has no conflict in {asked.field!r}",
                       "chez conflicts lists those that there are")
    if asked.number > len(conflict.versions):
        raise InvalidValue(f"{asked.field!r} has {len(conflict.versions)} versions, not {asked.number}",
                           "`chez conflicts` numbers them, from 1")
    await collection.resolve(asked.id, asked.field, conflict.versions[asked.number - 1].choice)
    return {"collection": asked.collection, "id": asked.id, "field": asked.field}


class _Trash(Placed, frozen=True, kw_only=True):
    collection: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000


async def trash(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The deleted records of a collection, or of all, in pages."""
    asked = read_params(params, _Trash)
    found: list[tuple[str, Trashed[dict[str, Any]]]] = []
    places = await _places(home, asked, asked.collection)
    for space in places:
        what = space if asked.collection is None else space.collection(asked.collection)
        found += ((space.name, one) for one in await what.trash(asked.limit))
    if len(places) > 1:  # each has its last ones first: so have all together, or the limit would leave spaces out
        found.sort(key=lambda one: 0.0 if one[1].time is None else one[1].time.timestamp(), reverse=True)
    return {"records": await paged(ui, "records", (
        {"space": space, "collection": one.collection, "id": one.id, "value": one.value, "device": one.device.hex(),
         "device_name": one.device_name, "time": one.time} for space, one in found[:asked.limit]))}


async def undelete(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take a record out of the trash."""
    asked = read_params(params, _One)
    await asked.of(home).collection(asked.collection).restore(asked.id)
    return {"collection": asked.collection, "id": asked.id}


async def purge(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Erase a record for good."""
    asked = read_params(params, _One)
    await asked.of(home).collection(asked.collection).purge(asked.id)
    return {"collection": asked.collection, "id": asked.id}


VERBS: "Final[Mapping[str, Verb]]" = telling_where({
    "at": at, "conflicts": conflicts, "diff": diff, "history": history, "purge": purge, "redo": redo,
    "resolve": resolve, "trash": trash, "undelete": undelete, "undo": undo,
})
"""The verbs of this module."""
