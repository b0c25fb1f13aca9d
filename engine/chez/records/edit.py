"""An edit of a record: a draft that becomes one change when its block ends."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, TypeVar

from chez.records.draft import Draft
from chez.records.engine import Engine
from chez.records.typed import Form, Opened
from chez.store.database import Connection

__all__ = ("Edit",)

T = TypeVar("T")


class Edit(AbstractAsyncContextManager[T], Generic[T]):
    """Made by `Collection.edit`."""

    __slots__ = ("_alone", "_collection", "_draft", "_engine", "_form", "_id", "_opened")

    def __init__(self, engine: Engine, form: Form[T], collection: str, id: str) -> None:
        self._engine, self._form, self._collection, self._id = engine, form, collection, id
        self._alone = engine.editing.alone(collection, id)

    async def __aenter__(self) -> T:
        await self._alone.__aenter__()
        try:
            draft = self._engine.database.glance(self._at_hand)
            self._draft = await self._engine.database.look(self._begin) if draft is None else draft
            self._opened: Opened[T] = self._form.open(self._id, self._draft.value)
        except BaseException:
            await self._alone.__aexit__()
            raise
        return self._opened.value

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self._opened.pen.lifted = True
        try:
            if error is None:
                await self._end()
        finally:
            await self._alone.__aexit__()

    async def _end(self) -> None:
        wanted = self._form.close(self._opened)
        draft = self._draft if wanted.migrated is None else self._draft.migrated(wanted.migrated)
        change = draft.written(wanted.after)
        if change is not None:
            database, end = self._engine.database, self._engine.records.end_edit
            await database.write(lambda db: end(
                db, self._engine.space, draft, change, wanted.after, last=database.alone))

    def _at_hand(self, db: Connection) -> Draft | None:
        return self._engine.records.edit_at_hand(db, self._engine.space, self._collection, self._id)

    def _begin(self, db: Connection) -> Draft:
        return self._engine.records.begin_edit(db, self._engine.space, self._collection, self._id)
