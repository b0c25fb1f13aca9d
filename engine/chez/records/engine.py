"""What the collections of a home share."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from chez.records.editor import Editing
from chez.records.feed import Feed, Source
from chez.records.lately import Lately
from chez.records.news import News
from chez.records.past import NameOf
from chez.records.record import Record
from chez.records.store import RecordStore
from chez.store.database import Connection, Database

__all__ = ("Engine",)

T = TypeVar("T")


@dataclass(slots=True)
class Engine:
    """What collections share: the store, this device's records, the space they are in."""

    database: Database
    records: RecordStore
    space: int
    entropy: Callable[[int], bytes]
    news: News
    name_of: NameOf = lambda device: None
    receipt: Callable[[Connection, str, Mapping[str, Any]], Any] = lambda db, kind, body: None
    """Writes a receipt in an open transaction."""
    editing: Editing = field(default_factory=Editing)
    lately: Lately = field(default_factory=Lately)
    tended: set[str] = field(default_factory=set)
    """The collections that were declared with indexes since the home was opened."""

    def feed(self, collection: str | None, record: Callable[[str, Sequence[Any]], Record[T]]) -> Feed[T]:
        """The feed of a collection of the space, or of all."""
        async def source(n: int, name: str) -> Source[T]:
            return Source(self.name_of, partial(record, name))

        return Feed(self.database, self.news, self.space, self.records.actor, collection, source)

    def new_id(self) -> str:
        """A random record id: 26 characters (128 bits in base32)."""
        return base64.b32encode(self.entropy(16)).decode().rstrip("=").lower()
