"""Who edits a record: this task, or whoever this task works for.

Two changes of one device made on the same state would both claim its next number, so
writes to a record wait for an open edit of it (`Editing`). Waiting for one's own would
never end, so that is refused. Where several tasks work for one caller, as
those do that `chez.blocking` runs for a thread, `EDITOR` says who the caller is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from chez.errors import Misuse

__all__ = ("EDITOR", "Editing", "editor")

EDITOR: Final[ContextVar[object]] = ContextVar("chez_editor", default=None)
"""Whom this context works for; None for a task that works for itself."""


def editor() -> object:
    """Whoever is editing here."""
    return EDITOR.get() or asyncio.current_task()


@dataclass(slots=True)
class _Edit:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    owner: object = None


@dataclass(slots=True)
class Editing:
    """The records of a home that are being written to or waited for, by collection and id."""

    _open: dict[tuple[str, str], _Edit] = field(default_factory=dict)

    def under_way(self, collection: str, id: str) -> bool:
        """Whether somebody writes to a record."""
        return (collection, id) in self._open

    def refuse_own(self, collection: str, id: str) -> None:
        """Raise `Misuse` when a record is being edited by whoever asks."""
        edit = self._open.get((collection, id))
        if edit is not None and edit.owner == editor():
            raise Misuse(f"record {id!r} is being edited by this very task", "Leave the edit block first.")

    @asynccontextmanager
    async def alone(self, collection: str, id: str) -> AsyncIterator[None]:
        """Write to a record while nobody else does. Raises `Misuse` inside an edit of one's own."""
        self.refuse_own(collection, id)
        edit = self._open.setdefault((collection, id), _Edit())
        edit.users += 1
        try:
            async with edit.lock:
                edit.owner = editor()
                try:
                    yield
                finally:
                    edit.owner = None
        finally:
            edit.users -= 1
            if not edit.users:
                self._open.pop((collection, id), None)
