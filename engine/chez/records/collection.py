"""Collections: named sets of records of one type inside a space."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, TypeVar

from chez.checked import checked
from chez.errors import InvalidValue, MigrationFailed, NotFound
from chez.query.conditions import Condition
from chez.query.filters import Query, whole
from chez.query.fulltext import Hit
from chez.query.indexes import Declared
from chez.query.live import live
from chez.records import automerge
from chez.records.conflicts import Conflict, conflicts_of
from chez.records.cursors import FieldPath
from chez.records.edit import Edit
from chez.records.engine import Engine
from chez.records.feed import FeedPage
from chez.records.news import Follower, View
from chez.records.past import Change, Difference, Past, differences, open_past
from chez.records.puts import Over, Put
from chez.records.reading import Reader
from chez.records.record import Record
from chez.records.reversals import Reversal
from chez.records.session import WITHIN, Typing, typing
from chez.records.trash import Trashed, find_trash
from chez.records.typed import Form, Migrated, Migration
from chez.records.values import Value, check_id, from_json
from chez.shown import NO_RECORD
from chez.store.database import Connection

__all__ = ("Collection",)

T = TypeVar("T")
R = TypeVar("R")


@checked
class Collection(Generic[T]):
    """Records of one type; made by `Home.collection`.

    With a msgspec Struct as type, values are checked and converted; a record that does
    not fit it raises `InvalidValue` naming the field (read among others, only once its
    value is asked for). Without, values are dicts.
    """

    def __init__(self, engine: Engine, name: str, type: type[T] | None, indexes: Iterable[Declared] = (),
                 search: Iterable[str] = (), *,
                 version: int = 1, migrations: Mapping[int, Migration] | None = None) -> None:
        self._engine = engine
        self.name = name
        """Its name, one for all spaces."""
        self._form = Form(name, type, version, migrations, engine.lately)
        self._reader = Reader(engine.database, engine.space, name, type, indexes, search, self.record_from,
                              self._follow, engine.tended, engine.news)

    def __repr__(self) -> str:
        return f"<Collection {self.name!r}>"

    # --- writing ----------------------------------------------------------------------

    async def put(self, value: T, *, id: str | None = None) -> Record[T]:
        """Store a record; on an existing id, change only what differs.

        Returns it with its id, a random one if none was given. Raises `InvalidValue`
        naming the field that can't be stored. Durable when it returns.
        """
        key = self._engine.new_id() if id is None else check_id(id)
        put = self._form.put(key, value)
        await self._reader.facts()
        engine, part = self._engine, Put(self._engine.space, self.name, key, *put)
        if engine.editing.under_way(self.name, key):
            async with self._alone(key):
                pass  # an open edit ends before
        # Writes are done in the order they are asked for, several in one commit.
        await engine.database.submit_part(engine.records.put_all, part)
        return Record(key, value, self.name)

    async def put_many(self, values: Iterable[T], *, ids: Iterable[str] | None = None) -> list[str]:
        """Store many records in one transaction, all or nothing; returns their ids in order."""
        given = list(values)
        keys = [self._engine.new_id() for _ in given] if ids is None else [check_id(id) for id in ids]
        if len(keys) != len(given):
            raise InvalidValue(f"{len(given)} values came with {len(keys)} ids",
                               "Give one id for each value, or none at all.")
        items = [(key, *self._form.put(key, value)) for key, value in zip(keys, given, strict=True)]
        for key in keys:
            self._engine.editing.refuse_own(self.name, key)
        await self._reader.facts()
        for key in [key for key in keys if self._engine.editing.under_way(self.name, key)]:
            async with self._alone(key):
                pass  # an open edit ends before the batch begins
        await self._engine.database.write(self._putting(items))
        return keys

    def _putting(self, items: list[tuple[str, dict[str, Value], Over]]) -> Callable[[Connection], None]:
        engine = self._engine
        puts = [Put(engine.space, self.name, *item) for item in items]

        def work(db: Connection) -> None:
            engine.records.put_all(db, puts)

        return work

    def edit(self, id: str) -> AbstractAsyncContextManager[T]:
        """Change a record in place: `async with notes.edit(id) as draft: draft["a"] = 1`.

        The draft is a plain value; when the block ends without an exception, what
        changed in it becomes one change, made on the state the block began with, so
        that it merges with what arrived meanwhile. Raises `NotFound`, and as `get` does.
        """
        return Edit(self._engine, self._form, self.name, id)

    def typing(self, id: str, path: FieldPath, *, within: float = WITHIN) -> AbstractAsyncContextManager[Typing]:
        """Type in a text: `async with notes.typing(id, "body") as text: text.splice(12, 0, "e")`.

        For an editor's keystrokes. Each splice shows at once and is a change by itself; they are
        written in batches, `within` so many seconds, sooner when 3,000 are waiting, at `await text.flush()`,
        and when the block ends, also by an exception. Others may write in the record meanwhile: `text.arrivals()`
        tells what they do to the text. Raises `NotFound` where no text is, and when the block
        ends what the last attempt to write raised, if something is not written.
        """
        return typing(self._engine, self.name, id, path, within)

    async def migrate(self) -> Migrated:
        """Write the collection's version into every record that has an older one, so that SQL sees it.

        Reading and editing do not need it. Page by page, each durable; other devices may do
        the same at once. Records whose migration fails stay as they are.
        """
        engine, last, total = self._engine, "", Migrated(0)
        while True:
            last, page = await engine.database.write(
                lambda db, last=last: engine.records.renew(  # type: ignore[misc]
                    db, engine.space, self.name, self._form, last))
            if not last:
                return total
            total = Migrated(total.written + page.written, total.failed + page.failed)

    async def cursor(self, id: str, path: FieldPath, position: int) -> str:
        """A cursor in a text: it keeps its place while others type (a caret, an end of a selection).

        `path` is a field, or the way to it: `cursor(id, ("parts", 0, "body"), 12)`. The
        cursor is text that may be kept, and sent to other devices. Raises `NotFound`,
        `InvalidValue` for a position outside the text.
        """
        engine = self._engine
        return await engine.database.write(
            lambda db: engine.records.cursor(db, engine.space, self.name, id, path, position))

    async def position(self, id: str, path: FieldPath, cursor: str) -> int:
        """Where a cursor is now. Raises `NotFound`, also while its place has not arrived here; `InvalidValue`."""
        engine = self._engine
        return await engine.database.write(
            lambda db: engine.records.position(db, engine.space, self.name, id, path, cursor))

    async def delete(self, id: str) -> None:
        """Delete a record; an edit made elsewhere meanwhile does not bring it back. Raises `NotFound`."""
        engine = self._engine
        async with self._alone(id):
            await engine.database.write(lambda db: engine.records.delete(db, engine.space, self.name, id))

    async def trash(self, limit: int = 1000) -> list[Trashed[T]]:
        """The deleted records, those that changed last first, with who deleted them and when.

        One that does not fit the collection's type is left out; as plain dicts all are there.
        """
        engine, most = self._engine, whole(limit, "limit")
        found = await engine.database.read(
            lambda db: find_trash(db, engine.space, self.name, engine.records.actor, most))
        out = []
        for one in found:
            record = self.record_from(one.row)
            if record.error is None:
                out.append(one.told(record, engine.name_of))
        return out

    async def restore(self, id: str) -> None:
        """Take a record out of the trash, with what others edited in it meanwhile. Raises `NotFound`."""
        engine = self._engine
        async with self._alone(id):
            await engine.database.write(lambda db: engine.records.restore(db, engine.space, self.name, id))

    async def purge(self, id: str) -> None:
        """Erase a record for good, deleted or not, on this device and on each that hears of it.

        It never comes back: edits made elsewhere are dropped, `put` raises `RecordPurged`,
        an import leaves it out. The journal notes it. What was sent before remains in signed
        entries, and checkpoints of them (docs/security.md). Raises `NotFound`.
        """
        engine = self._engine

        def work(db: Connection) -> None:
            engine.records.purge(db, engine.space, self.name, id)
            engine.receipt(db, "purge", {"collection": self.name, "id": id})

        async with self._alone(id):
            await engine.database.write(work)

    def _alone(self, id: str) -> AbstractAsyncContextManager[None]:
        return self._engine.editing.alone(self.name, id)

    async def changes(self, since: str | None = None, *, live: bool = True) -> AsyncIterator[FeedPage[T]]:
        """What changed since a cursor, in pages, from wherever it came; then on as it happens, if `live`.

            async for page in notes.changes(since=cursor):
                for change in page.changes:
                    ...                     # change.kind, change.id, change.record, change.device_name
                cursor = page.cursor

        Without a cursor it begins with every record. A record that changed several times
        comes once, as it is now. **Exactly once**, if what the app makes of a page and the
        page's cursor are written in one `home.transaction` (`Transaction.save_cursor`).
        **At least once**, if the cursor is kept anywhere else: after a crash between the
        two, the page comes again. Ends when the home closes. Raises `InvalidValue` for a
        cursor of another device's store.
        """
        async for page in self._engine.feed(self.name, lambda name, row: self.record_from(row)).pages(since, live):
            yield page

    # --- the past -----------------------------------------------------------------------

    async def history(self, id: str, *, limit: int = 100, before: str | None = None,
                      grouped: bool = False) -> list[Change]:
        """A record's changes, the newest first: at most `limit`, those before the change with the hash `before`.

        The order is one in which each change comes after all that it builds on, the same
        on every device that has the same changes. `grouped` is for people: what a device did in the same
        fields in one sitting is one (a page is of 10,000 changes at most). Either way `before=page[-1].oldest` goes
        on, until a page is empty. Raises `NotFound`.
        """
        if limit < 1:
            raise InvalidValue(f"a page of a history has at least one change, not {limit}",
                               "Leave it away for a hundred, and go on with before=page[-1].oldest.")
        return await self._past(id, lambda past: past.page(self._engine.name_of, limit, before, grouped=grouped))

    async def at(self, id: str, point: str) -> T:
        """A record's value as of a change, by its hash or the first characters of it.

        Raises `NotFound`, `InvalidValue`.
        """
        return self._form.decode(id, await self._past(id, lambda past: past.value(point)))

    async def diff(self, id: str, a: str, b: str | None = None) -> list[Difference]:
        """What differs between a record's value as of two changes; without `b`, as it is now. Raises as `at` does."""
        return await self._past(id, lambda past: differences(
            past.value(a), automerge.extract(past.document) if b is None else past.value(b)))

    async def undo(self, id: str) -> Reversal:
        """Undo this device's last change of a record that is not undone, whatever others changed since.

        What others wrote at the same place, since or at the same time, stays and is
        reported (`Reversal.left`); see `records/undo.py` for the rules. Undoing the change
        that made a record deletes it. What an import brought is not undone. Raises
        `NotFound` when there is nothing to undo, `NotAllowed`.
        """
        return await self._reverse(id, redo=False)

    async def redo(self, id: str) -> Reversal:
        """Take back the last undo, if this device changed nothing in the record since. Raises `NotFound`."""
        return await self._reverse(id, redo=True)

    async def conflicts(self, id: str) -> list[Conflict]:
        """The fields that devices set at once, each with all its values. Raises `NotFound`, `Damaged`."""
        return await self._past(id, lambda past: conflicts_of(past, self._engine.name_of))

    async def resolve(self, id: str, field: str, choice: str) -> None:
        """Settle a conflict: the version with this `choice` stays, edits inside it go on merging.

        Raises `NotFound`, and `NotAllowed` while what this device wrote there waits for what counts no more.
        """
        engine = self._engine
        async with self._alone(id):
            await engine.database.write(
                lambda db: engine.records.resolve(db, engine.space, self.name, id, field, choice))

    async def _reverse(self, id: str, *, redo: bool) -> Reversal:
        engine = self._engine
        async with self._alone(id):
            return await engine.database.write(
                lambda db: engine.records.undo(db, engine.space, self.name, id, redo=redo))

    async def _past(self, id: str, look: Callable[[Past], R]) -> R:
        # A long history takes seconds: nobody else waits for it.
        engine = self._engine

        def work(db: Connection, check: Callable[[], None]) -> R:
            db.execute("BEGIN")  # a snapshot that is taken meanwhile takes the place of changes
            return look(open_past(db, engine.space, self.name, id, engine.records.actor))

        return await engine.database.aside(work)

    # --- inside a transaction that is open (`Home.transaction`) --------------------------

    def belongs_to(self, engine: Engine) -> bool:
        """Whether this is a collection of the home that an engine is of, in whichever space."""
        return self._engine.database is engine.database

    def get_in(self, db: Connection, id: str) -> Record[T]:
        """The record with this id. Raises `NotFound`, and `InvalidValue` or `MigrationFailed` if it has no value."""
        try:
            row = db.execute(
                "SELECT id, json, kinds FROM record WHERE space = ? AND collection = ? AND id = ? AND deleted = 0",
                (self._engine.space, self.name, id)).fetchone()
        except UnicodeEncodeError:  # half a surrogate pair, as a command line has of bytes that are no text
            row = None
        if row is None:
            raise NotFound(f"there is no record {id!r} in {self.name!r}", NO_RECORD)
        record = self.record_from(row)
        if record.error is not None:
            raise record.error
        return record

    def put_in(self, db: Connection, value: T, id: str | None) -> Record[T]:
        """What `put` does; indexes are made when they are first read by. Raises `InvalidValue`."""
        key = self._engine.new_id() if id is None else check_id(id)
        self._putting([(key, *self._form.put(key, value))])(db)
        return Record(key, value, self.name)

    def delete_in(self, db: Connection, id: str) -> None:
        """What `delete` does. Raises `NotFound`."""
        self._engine.records.delete(db, self._engine.space, self.name, id)

    # --- reading ----------------------------------------------------------------------

    async def get(self, id: str) -> Record[T]:
        """The record with this id. Raises `NotFound`, and `InvalidValue` or `MigrationFailed` if it has no value."""
        return await self._engine.database.read(lambda db: self.get_in(db, id))

    def where(self, *given: Condition, **equals: Value) -> "Query[Record[T]]":
        """Records that fulfil all conditions: `where(field("amount") < 0, currency="EUR")`."""
        return Query(self._reader).where(*given, **equals)

    def __aiter__(self) -> AsyncIterator[Record[T]]:
        """Every record, one by one, in the order of their ids; memory stays at a page of them."""
        return self.where().__aiter__()

    async def search(self, words: str, *, limit: int = 20, offset: int = 0,
                     marks: tuple[str, str] = ("", "")) -> list[Hit[Record[T]]]:
        """The records where all these words are, the best first, each with its rank and a snippet.

        `"two words"` stand next to each other, `tea*` is every word that begins so; the rest
        is plain text, so that whatever a person types can be given. `marks` are put around
        the words in the snippet. The fields are those that some part of an app declared by
        `home.collection(name, search=("title", "body"))`; the first search builds the index on
        records that were there before, while other work goes on. Raises `Misuse` when no
        field was ever declared, `InvalidValue` for more than 64 words.
        """
        return await self._reader.search(words, whole(limit, "limit"), whole(offset, "offset"), marks)

    async def count(self) -> int:
        """How many records there are."""
        return await self.where().count()

    async def live(self, id: str) -> "AsyncIterator[Record[T] | None]":
        """The record now (None while there is none), and again whenever it has changed, from wherever.

        Changes that come while an answer is being used are one; the last state is never
        missed. Ends when the home closes.
        """
        def look(db: Connection) -> Record[T] | None:
            try:
                return self.get_in(db, id)
            except NotFound:
                return None

        def shown(row: Sequence[Any]) -> Record[T]:
            record = self.record_from(row)
            if record.error is not None:
                raise record.error
            return record

        view = View(look, self._engine.space, shown)
        with self._engine.news.follow(self.name, frozenset((id,)), view) as follower:
            async for record in live(lambda: self._engine.database.read(look), follower):
                yield record

    def _follow(self, ids: frozenset[str] | None) -> "AbstractContextManager[Follower]":
        return self._engine.news.follow(self.name, ids)

    def record_from(self, row: Sequence[Any]) -> Record[T]:
        """A record of this collection from a row of the store: id, json, kinds."""
        stored = from_json(row[1], row[2])
        try:
            return Record(row[0], self._form.decode(row[0], stored), self.name, stored.get("_source"))
        except (InvalidValue, MigrationFailed) as error:  # it costs this record, not those beside it
            return Record(row[0], None, self.name, stored.get("_source"), error)
