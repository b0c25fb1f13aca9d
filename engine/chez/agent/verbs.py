"""What can be asked of a home from outside its process: one small function per verb.

A verb is `async def verb(home, params, ui) -> JSON-able`. The owner runs it for a client
of its socket; with no owner the CLI runs the same function itself. Other packages add
verbs through entry points of the group `chez.verbs`: a module with `VERBS`, loaded when
the first of its verbs is asked for, and if it likes `SENTENCES` (diary.py) and `at_work`, a
function that takes a home and gives an async context manager: what goes on by itself
while an owner serves the home.

Long answers go out in pages (`ui.show({"records": [...]})`), the result says how many.
Values are made JSON-able here, so that both ways print the same: timestamps as RFC 3339
text, bytes as base64, decimals as text.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, field

from chez.agent.asking import Params, Placed, paged, plain, read_params, reporting
from chez.agent.paths import told
from chez.agent.ui import Ui
from chez.agent.whereabouts import spaces_with, telling_where
from chez.errors import NotFound

if TYPE_CHECKING:
    from chez.agent.diary import Sentence
    from chez.home.home import Home
    from chez.home.importing import ImportReport

__all__ = ("VERBS", "Verb", "at_work", "find")

Verb = Callable[["Home", dict[str, Any], Ui], Awaitable[Any]]

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Condition = tuple[str, Literal["==", "!=", "<", "<=", ">", ">="], Any]

# --- records -----------------------------------------------------------------------


class _Put(Placed, frozen=True, kw_only=True):
    collection: Name
    id: str | None = None
    value: dict[str, Any]


async def put(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Put one record; durable when this returns."""
    asked = read_params(params, _Put)
    record = await asked.of(home).collection(asked.collection).put(asked.value, id=asked.id)
    return {"collection": asked.collection, "id": record.id}


class _PutMany(Placed, frozen=True, kw_only=True):
    collection: Name
    values: list[dict[str, Any]]
    ids: list[str] | None = None


async def put_many(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Put records in one transaction: all or nothing."""
    asked = read_params(params, _PutMany)
    ids = await asked.of(home).collection(asked.collection).put_many(asked.values, ids=asked.ids)
    return {"collection": asked.collection, "ids": list(ids)}


class _One(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name


async def get(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Get one record."""
    asked = read_params(params, _One)
    return _record(await asked.of(home).collection(asked.collection).get(asked.id))


class _Edit(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name
    set: dict[str, Any] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)


async def edit(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Set and remove fields of a record in one change; the others stay as they are."""
    asked = read_params(params, _Edit)
    collection = asked.of(home).collection(asked.collection)
    async with collection.edit(asked.id) as draft:
        if missing := [name for name in asked.unset if name not in draft]:
            raise NotFound(f"the record {asked.id!r} has no field {missing[0]!r}",
                           "leave out what it has not: `chez get` shows the record")
        for name in asked.unset:
            del draft[name]
        draft.update(asked.set)
    return _record(await collection.get(asked.id))


async def rm(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Delete one record."""
    asked = read_params(params, _One)
    await asked.of(home).collection(asked.collection).delete(asked.id)
    return {"collection": asked.collection, "id": asked.id}


class _Ls(Placed, frozen=True, kw_only=True):
    collection: Name
    where: list[Condition] = field(default_factory=list)
    order_by: str | None = None
    limit: Annotated[int, Meta(ge=0)] = 0


async def ls(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """List records in pages; `more` tells whether the limit (0: none) cut the list."""
    from chez import field as of

    asked = read_params(params, _Ls)
    space = asked.of(home)
    if asked.collection not in {info.name for info in await space.collections()}:
        found = [one for one in await home.spaces()
                 if asked.collection in {info.name for info in await one.collections()}]
        where = f"the space {space.name!r}" if found else "this home"
        raise NotFound(f"there is no collection {asked.collection!r} in {where}",
                       spaces_with(found) if found else "chez ls shows which there are")
    compare: dict[str, Callable[[Any, Any], Any]] = {
        "==": lambda f, v: f == v, "!=": lambda f, v: f != v, "<": lambda f, v: f < v,
        "<=": lambda f, v: f <= v, ">": lambda f, v: f > v, ">=": lambda f, v: f >= v,
    }
    query = space.collection(asked.collection).where(
        *(compare[sign](of(name), value) for name, sign, value in asked.where))
    if asked.order_by:
        query = query.order_by(asked.order_by)
    if asked.limit:
        query = query.limit(asked.limit + 1)
    more = False

    async def rows() -> AsyncIterator[Any]:
        nonlocal more
        seen = 0
        async for record in query:
            if asked.limit and seen == asked.limit:
                more = True
                return
            seen += 1
            yield _record(record)

    count = await paged(ui, "records", rows())
    return {"records": count, "more": more}


class _Search(Placed, frozen=True, kw_only=True):
    collection: Name
    words: str
    fields: list[str] = field(default_factory=list)
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 20


async def search(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Find records by their words, the best first; `fields` declares where to look, once and for all."""
    asked = read_params(params, _Search)
    hits = await asked.of(home).collection(asked.collection, search=asked.fields).search(
        asked.words, limit=asked.limit, marks=("[", "]"))
    count = await paged(ui, "hits", (_record(hit.record) | {"rank": hit.rank, "snippet": hit.snippet} for hit in hits))
    return {"hits": count, "limit": asked.limit}


class _Sql(Params, frozen=True, kw_only=True):
    query: str
    arguments: list[Any] = field(default_factory=list)
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


async def sql(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Run one read-only statement; rows go out in pages, the columns with the first."""
    asked = read_params(params, _Sql)
    rows = await home.sql(asked.query, asked.arguments, limit=asked.limit)
    count = await paged(ui, "rows", (list(row) for row in rows.rows), columns=list(rows.columns))
    return {"rows": count, "limit": asked.limit}


async def collections(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The collections of a space, or of the home, with how many records each has."""
    asked = read_params(params, Placed)
    what = home if asked.space is None else asked.of(home)
    return [{"name": info.name, "records": info.records} for info in await what.collections()]


def _record(record: Any) -> dict[str, Any]:
    return {"collection": record.collection, "id": record.id, "value": plain(record.value)}


# --- data from outside -------------------------------------------------------------


class _Import(Placed, frozen=True, kw_only=True):
    path: str
    connector: str | None = None
    mapping: str | None = None
    keep: bool = False
    overwrite: bool = False


async def import_file(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Import a file (an absolute path), by a mapping's text if there is one; the rejects go out in pages, the first so
    many of them."""
    asked = read_params(params, _Import)
    connector: Any = asked.connector if asked.mapping is None else _mapped(asked.mapping)
    async with reporting(ui, "import") as progress:
        report = await asked.of(home).import_file(asked.path, connector=connector, keep=asked.keep,
                                                  overwrite=asked.overwrite, progress=progress)
    return await _report(report, ui)


def _mapped(text: str) -> Any:
    from chez.connectors.mapped import Mapped

    return Mapped(text.encode())


class _Again(Placed, frozen=True, kw_only=True):
    sha256: Name
    mapping: str | None = None
    overwrite: bool = False


async def import_again(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Read a kept export again, as `import` reads a file."""
    asked = read_params(params, _Again)
    connector = None if asked.mapping is None else _mapped(asked.mapping)
    async with reporting(ui, "import") as progress:
        report = await asked.of(home).import_again(asked.sha256, connector=connector, overwrite=asked.overwrite,
                                                   progress=progress)
    return await _report(report, ui)


async def _report(report: "ImportReport", ui: Ui) -> dict[str, Any]:
    await paged(ui, "rejects", report.rejects)
    return {"connector": report.connector, "version": report.version, "source": str(report.source),
            "added": report.added, "updated": report.updated, "unchanged": report.unchanged,
            "resumed": report.resumed, "edited": report.edited, "purged": report.purged,
            "rejected": report.rejected, "kept": report.kept, "skipped": report.skipped, "left_out": report.left_out,
            "collections": sorted(report.collections)}


async def kept_exports(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The exports that are kept."""
    return [plain(one) for one in await read_params(params, Placed).of(home).kept_exports()]


async def imports(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What was imported, in pages, oldest first."""
    read_params(params, Params)
    return {"imports": await paged(ui, "imports", await home.imports())}


# --- relay and devices -------------------------------------------------------------


class _Url(Params, frozen=True, kw_only=True):
    url: str | None = None


class _Sync(Params, frozen=True, kw_only=True):
    url: str | None = None
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    reseed: bool = False
    everywhere: bool = False


async def sync(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Push everything, pull to the head of the relay; until nothing gets on for `timeout` seconds."""
    asked = read_params(params, _Sync)
    async with reporting(ui, "sync") as progress:
        return plain(await home.sync(asked.url, timeout=asked.timeout, reseed=asked.reseed,
                                     everywhere=asked.everywhere, progress=progress))


async def pair(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Show a pairing code, wait for the other device, ask, and let it in."""
    asked = read_params(params, _Url)
    async with home.pair(asked.url) as pairing:
        await ui.show({"code": pairing.code})
        paired = await pairing.confirm(ui.ask)
        return {"device": paired.device.hex(), "name": paired.name}


async def status(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Who this home is, what it holds, and what waits to leave."""
    read_params(params, Params)
    return {"home": told(home.path), "name": home.name, "person": home.person_id.hex(),
            "device": home.device_id.hex(), **plain(await home.status()), "lan": plain(await home.lan.status())}


# --- the journal -------------------------------------------------------------------


class _Journal(Params, frozen=True, kw_only=True):
    kind: str | None = None
    former: bool = False


async def journal(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The receipts, oldest first, in pages, with what they say; of the former devices those, each with its device."""
    from chez.agent.diary import Names, sentence

    asked = read_params(params, _Journal)
    names = Names({space.id: space.name for space in await home.spaces()},
                  {info.id.hex(): info.name for info in await home.devices.all()})
    others = cache(_sentences)
    if asked.former:
        found = [(one, {"device": device.hex()}) for device, one in await home.journal.former()
                 if asked.kind in (None, one.kind)]
    else:
        found = [(one, {}) for one in await home.journal.receipts(asked.kind)]
    return {"receipts": await paged(ui, "receipts", ({
        **device, "number": one.number, "time": one.time, "kind": one.kind,
        "text": sentence(one.kind, one.body, names, others), "body": one.body, "hash": one.hash.hex(),
    } for one, device in found))}


async def journal_verify(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Recompute the chain of receipts."""
    read_params(params, Params)
    return plain(await home.journal.verify())


VERBS: Final[Mapping[str, Verb]] = {
    **telling_where({"edit": edit, "get": get, "rm": rm}), "collections": collections, "import": import_file,
    "import-again": import_again, "imports": imports, "journal": journal, "journal-verify": journal_verify,
    "kept-exports": kept_exports, "ls": ls, "pair": pair, "put": put, "put-many": put_many,
    "search": search, "sql": sql, "status": status, "sync": sync,
}
"""The built-in verbs. `lock` and `owner` are answered by the owner itself (owner.py)."""


def find(name: str) -> Verb:
    """The verb of this name, from here or from an installed package. Raises `NotFound`."""
    if (verb := VERBS.get(name)) is not None:
        return verb
    from chez.agent import (
        attachments,
        contacts,
        depositing,
        devices,
        inviting,
        keeping,
        lans,
        opendata,
        pasts,
        relays,
        sharing,
        spaces,
        unlocking,
    )

    for table in (keeping.VERBS, attachments.VERBS, pasts.VERBS, devices.VERBS, contacts.VERBS, spaces.VERBS,
                  sharing.VERBS, inviting.VERBS, unlocking.VERBS, relays.VERBS, lans.VERBS, opendata.VERBS,
                  depositing.VERBS):
        if (verb := table.get(name)) is not None:
            return verb
    modules, broken = _installed()
    for module in modules:
        found: Verb | None = getattr(module, "VERBS", {}).get(name)
        if found is not None:
            return found
    raise NotFound(f"this chez knows no verb {name!r}", " ".join([
        "is the package that adds it installed?",
        *(f"Left out: {place}, which does not load ({type(error).__name__})." for place, error in broken)]))


def _installed() -> tuple[list[Any], list[tuple[str, Exception]]]:
    """The modules of installed packages that add verbs; and those that don't load, with why."""
    from importlib.metadata import entry_points

    modules: list[Any] = []
    broken: list[tuple[str, Exception]] = []
    for entry in entry_points(group="chez.verbs"):
        try:
            modules.append(entry.load())
        except ImportError:
            continue  # an extra that is not installed takes only its own verbs away
        except Exception as error:  # the boundary to code that is not ours: so does what is broken
            broken.append((entry.value, error))
    return modules, broken


def at_work() -> "tuple[list[Callable[[Home], AbstractAsyncContextManager[object]]], list[Exception]]":
    """What installed packages let go on by itself while a home is served, and why some don't; loads them."""
    modules, broken = _installed()
    return [module.at_work for module in modules if hasattr(module, "at_work")], [error for _, error in broken]


def _sentences() -> "dict[str, Sentence]":
    """What receipts of installed packages say, by kind."""
    return {kind: said for module in _installed()[0] for kind, said in getattr(module, "SENTENCES", {}).items()}
