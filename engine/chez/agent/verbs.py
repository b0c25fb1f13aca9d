"""What can be asked of a home from outside its process: one small function per verb.

A verb is `async def verb(home, params, ui) -> JSON-able`. The owner runs it for a client
of its socket; with no owner the CLI runs the same function itself. Other packages add
verbs through entry points of the group `chez.verbs`: a module with `VERBS`, loaded when
the first of its verbs is asked for.

Long answers go out in pages (`ui.show({"records": [...]})`), the result says how many.
Values are made JSON-able here, so that both ways print the same: timestamps as RFC 3339
text, bytes as base64, decimals as text.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from chez.agent.ui import Ui
from chez.errors import InvalidValue, NotFound

if TYPE_CHECKING:
    from chez.home import Home

__all__ = ("VERBS", "Verb", "find", "plain")

Verb = Callable[["Home", dict[str, Any], Ui], Awaitable[Any]]

PAGE_BYTES: Final = 256 * 1024
"""Bytes of rows in one page: large enough to amortise a message, small enough to stream."""

PAGE_ROWS: Final = 1000

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Condition = tuple[str, Literal["==", "!=", "<", "<=", ">", ">="], Any]
P = TypeVar("P", bound=msgspec.Struct)


class _Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a verb; a wrong or unknown one is named in the error."""


def _read(params: Mapping[str, Any], kind: type[P]) -> P:
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"wrong parameters: {error}") from None


def plain(value: Any) -> Any:
    """The JSON-able form of a value. Raises `InvalidValue` for what has none."""
    try:
        return msgspec.to_builtins(value, str_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"this value has no JSON form: {error}") from None


async def _paged(ui: Ui, key: str, rows: AsyncIterator[Any] | Iterable[Any], **first: Any) -> int:
    """Send rows in pages; `first` goes with the first page, which is sent even when empty."""
    page: list[Any] = []
    size = count = 0
    sent = False
    encode = msgspec.json.Encoder().encode
    async for row in _each(rows):
        value = plain(row)
        page.append(value)
        size += len(encode(value))
        count += 1
        if size >= PAGE_BYTES or len(page) >= PAGE_ROWS:
            await ui.show({key: page, **({} if sent else first)})
            page, size, sent = [], 0, True
    if page or not sent:
        await ui.show({key: page, **({} if sent else first)})
    return count


async def _each(rows: AsyncIterator[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if isinstance(rows, AsyncIterator):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


# --- records -----------------------------------------------------------------------


class _Put(_Params, frozen=True, kw_only=True):
    collection: Name
    id: str | None = None
    value: dict[str, Any]


async def put(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Put one record; durable when this returns."""
    asked = _read(params, _Put)
    record = await home.collection(asked.collection).put(asked.value, id=asked.id)
    return {"collection": asked.collection, "id": record.id}


class _PutMany(_Params, frozen=True, kw_only=True):
    collection: Name
    values: list[dict[str, Any]]
    ids: list[str] | None = None


async def put_many(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Put records in one transaction: all or nothing."""
    asked = _read(params, _PutMany)
    ids = await home.collection(asked.collection).put_many(asked.values, ids=asked.ids)
    return {"collection": asked.collection, "ids": list(ids)}


class _One(_Params, frozen=True, kw_only=True):
    collection: Name
    id: Name


async def get(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Get one record."""
    asked = _read(params, _One)
    return _record(await home.collection(asked.collection).get(asked.id))


class _Edit(_Params, frozen=True, kw_only=True):
    collection: Name
    id: Name
    set: dict[str, Any] = {}
    unset: list[str] = []


async def edit(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Set and remove fields of a record in one change; the others stay as they are."""
    asked = _read(params, _Edit)
    collection = home.collection(asked.collection)
    async with collection.edit(asked.id) as draft:
        if missing := [name for name in asked.unset if name not in draft]:
            raise NotFound(f"the record {asked.id!r} has no field {missing[0]!r}")
        for name in asked.unset:
            del draft[name]
        draft.update(asked.set)
    return _record(await collection.get(asked.id))


async def rm(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Delete one record."""
    asked = _read(params, _One)
    await home.collection(asked.collection).delete(asked.id)
    return {"collection": asked.collection, "id": asked.id}


class _Ls(_Params, frozen=True, kw_only=True):
    collection: Name
    where: list[Condition] = []
    order_by: str | None = None
    limit: Annotated[int, Meta(ge=0)] = 0


async def ls(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """List records in pages; `more` tells whether the limit (0: none) cut the list."""
    from chez import field

    asked = _read(params, _Ls)
    known = {info.name for info in await home.collections()}
    if asked.collection not in known:
        raise NotFound(f"there is no collection {asked.collection!r} in this home",
                       "chez ls shows which there are")
    compare: dict[str, Callable[[Any, Any], Any]] = {
        "==": lambda f, v: f == v, "!=": lambda f, v: f != v, "<": lambda f, v: f < v,
        "<=": lambda f, v: f <= v, ">": lambda f, v: f > v, ">=": lambda f, v: f >= v,
    }
    query = home.collection(asked.collection).where(
        *(compare[sign](field(name), value) for name, sign, value in asked.where))
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

    count = await _paged(ui, "records", rows())
    return {"records": count, "more": more}


class _Sql(_Params, frozen=True, kw_only=True):
    query: str
    arguments: list[Any] = []
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


async def sql(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Run one read-only statement; rows go out in pages, the columns with the first."""
    asked = _read(params, _Sql)
    rows = await home.sql(asked.query, asked.arguments, limit=asked.limit)
    count = await _paged(ui, "rows", (list(row) for row in rows.rows), columns=list(rows.columns))
    return {"rows": count, "limit": asked.limit}


async def collections(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The collections of the home, with how many records each has."""
    _read(params, _Params)
    return [{"name": info.name, "records": info.records} for info in await home.collections()]


def _record(record: Any) -> dict[str, Any]:
    return {"collection": record.collection, "id": record.id, "value": plain(record.value)}


# --- data from outside -------------------------------------------------------------


class _Import(_Params, frozen=True, kw_only=True):
    path: str
    connector: str | None = None


async def import_file(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Import a file (an absolute path); the rejects go out in pages, the first so many of them."""
    asked = _read(params, _Import)
    async with _progress(ui, "import") as progress:
        report = await home.import_file(asked.path, connector=asked.connector, progress=progress)
    await _paged(ui, "rejects", report.rejects)
    return {"connector": report.connector, "source": str(report.source), "added": report.added,
            "updated": report.updated, "unchanged": report.unchanged, "rejected": report.rejected}


@contextlib.asynccontextmanager
async def _progress(ui: Ui, label: str) -> AsyncIterator[Callable[..., None]]:
    """A plain callback `(done, total)` whose last news reaches `ui`, however fast it is called."""
    news = asyncio.Event()
    latest = (0, 0)

    def note(done: int, total: int | None = None, *_: Any) -> None:
        nonlocal latest
        latest = (done, total or 0)
        news.set()

    async def pump() -> None:
        while True:
            await news.wait()
            news.clear()
            await ui.progress(*latest, label)
            # A person can't read more than ten states a second; events in between are skipped.
            await asyncio.sleep(0.1)

    task = asyncio.create_task(pump())
    try:
        yield note
        if latest != (0, 0):
            await ui.progress(*latest, label)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- relay and devices -------------------------------------------------------------


class _Url(_Params, frozen=True, kw_only=True):
    url: str | None = None


class _Sync(_Params, frozen=True, kw_only=True):
    url: str | None = None
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 30.0


async def sync(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Push everything, pull to the head of the relay; at most `timeout` seconds."""
    asked = _read(params, _Sync)
    return plain(await home.sync(asked.url, timeout=asked.timeout))


async def relay_set(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Set the home's relay; without a url, tell which it is."""
    asked = _read(params, _Url)
    if asked.url is not None:
        await home.set_relay(asked.url)
    return {"relay": home.relay}


async def pair(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Show a pairing code, wait for the other device, ask, and let it in."""
    asked = _read(params, _Url)
    async with home.pair(asked.url) as pairing:
        await ui.show({"code": pairing.code})
        return plain(await pairing.confirm(ui.ask))


async def status(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Who this home is, what it holds, and what waits to leave."""
    _read(params, _Params)
    return {"home": str(home.path), "name": home.name, "person": home.person_id.hex(),
            "device": home.device_id.hex(), **plain(await home.status())}


# --- the journal -------------------------------------------------------------------


class _Journal(_Params, frozen=True, kw_only=True):
    kind: str | None = None


async def journal(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The receipts, oldest first, in pages."""
    asked = _read(params, _Journal)
    receipts = await home.journal.receipts(asked.kind)
    return {"receipts": await _paged(ui, "receipts", ({
        "number": one.number, "time": one.time, "kind": one.kind, "body": one.body, "hash": one.hash.hex(),
    } for one in receipts))}


async def journal_verify(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Recompute the chain of receipts."""
    _read(params, _Params)
    return plain(await home.journal.verify())


VERBS: Final[Mapping[str, Verb]] = {
    "collections": collections, "edit": edit, "get": get, "import": import_file, "journal": journal,
    "journal-verify": journal_verify, "ls": ls, "pair": pair, "put": put, "put-many": put_many,
    "relay-set": relay_set, "rm": rm, "sql": sql, "status": status, "sync": sync,
}
"""The built-in verbs. `lock` and `owner` are answered by the owner itself (owner.py)."""


def find(name: str) -> Verb:
    """The verb of this name, from here or from an installed package. Raises `NotFound`."""
    if (verb := VERBS.get(name)) is not None:
        return verb
    from importlib.metadata import entry_points

    for entry in entry_points(group="chez.verbs"):
        try:
            module = entry.load()
        except ImportError:
            continue  # an extra that is not installed takes only its own verbs away
        found: Verb | None = module.VERBS.get(name)
        if found is not None:
            return found
    raise NotFound(f"this chez knows no verb {name!r}", "is the package that adds it installed?")
