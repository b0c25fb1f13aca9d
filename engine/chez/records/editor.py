"""Who edits a record: this task, or whoever this task works for.

Writes to a record wait for an open edit of it. Waiting for one's own would never end, so
that is refused (`chez.records.collection`). Where several tasks work for one caller, as
those do that `chez.blocking` runs for a thread, `EDITOR` says who the caller is.
"""

import asyncio
from contextvars import ContextVar
from typing import Final

__all__ = ("EDITOR", "editor")

EDITOR: Final[ContextVar[object]] = ContextVar("chez_editor", default=None)
"""Whom this context works for; None for a task that works for itself."""


def editor() -> object:
    """Whoever is editing here."""
    return EDITOR.get() or asyncio.current_task()
