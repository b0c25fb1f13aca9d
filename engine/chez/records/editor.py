"""Who edits a record: this task, or whoever this task works for.

Two changes of one device made on the same state would both claim its next number, so
writes to a record wait for an open edit of it (`Editing`). Waiting for one's own would
never end, so that is refused. Where several tasks work for one caller, as
those do that `chez.blocking` runs for a thread, `EDITOR` says who the caller is.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from chez.errors import Misuse

__all__ = ("EDITOR", "Alone", "Editing", "editor")

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

    def alone(self, collection: str, id: str) -> "Alone":
        """Write to a record while nobody else does. Raises `Misuse` inside an edit of one's own."""
        return Alone(self, self._open, collection, id)


class Alone:
    """Made by `Editing.alone`. No generator: a live edit begins and ends with this, and one costs more than it does."""

    __slots__ = ("_edit", "_editing", "_key", "_open")

    def __init__(self, editing: Editing, open: dict[tuple[str, str], _Edit], collection: str, id: str) -> None:
        self._editing, self._open, self._key = editing, open, (collection, id)

    async def __aenter__(self) -> None:
        self._editing.refuse_own(*self._key)
        self._edit = self._open.get(self._key) or self._open.setdefault(self._key, _Edit())
        self._edit.users += 1
        try:
            await self._edit.lock.acquire()
        except BaseException:
            self._leave()
            raise
        self._edit.owner = editor()

    async def __aexit__(self, *_: object) -> None:
        self._edit.owner = None
        self._edit.lock.release()
        self._leave()

    def _leave(self) -> None:
        self._edit.users -= 1
        if not self._edit.users:
            self._open.pop(self._key, None)
