"""Chez: your data stays at your place, and the service comes to it.

    import chez

    words = await chez.create("home", passphrase="...")     # once; keep the 24 words
    async with chez.open("home", passphrase="...") as home:
        notes = home.collection("notes")
        note = await notes.put({"title": "Bread", "done": False})
        async with notes.edit(note.id) as draft:
            draft["done"] = True
        async with home.connect("wss://relay.example"):      # live, encrypted sync
            ...
        async with chez.serve(home):                         # `chez get` etc. now reach this process
            ...

Names are imported when first used, so that `import chez` costs nothing by itself.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chez.agent.owner import serve
    from chez.errors import ChezError
    from chez.home import ExportReport, Home, HomeStatus, ImportReport, SyncReport, Transaction, create, join, open
    from chez.query.aggregates import count
    from chez.query.fields import field
    from chez.query.filters import Query
    from chez.query.fulltext import Hit
    from chez.query.sql import Rows
    from chez.records.collection import Collection, Record
    from chez.records.counter import Counter
    from chez.records.reference import Blob
    from chez.records.text import Mark, Text
    from chez.records.typed import Migrated

__all__ = (
    "Blob", "ChezError", "Collection", "Counter", "ExportReport", "Hit", "Home", "HomeStatus", "ImportReport", "Mark",
    "Migrated", "Query", "Record", "Rows", "SyncReport", "Text", "Transaction", "count", "create", "field", "join",
    "open", "serve",
)

_PLACES = {
    "Blob": "chez.records.reference",
    "ChezError": "chez.errors", "Collection": "chez.records.collection", "ExportReport": "chez.home",
    "Counter": "chez.records.counter", "Mark": "chez.records.text", "Migrated": "chez.records.typed",
    "Text": "chez.records.text",
    "Hit": "chez.query.fulltext", "Home": "chez.home", "HomeStatus": "chez.home",
    "ImportReport": "chez.home", "Query": "chez.query.filters", "Record": "chez.records.collection",
    "Rows": "chez.query.sql", "SyncReport": "chez.home", "Transaction": "chez.home", "create": "chez.home",
    "count": "chez.query.aggregates", "field": "chez.query.fields", "join": "chez.home", "open": "chez.home",
    "serve": "chez.agent.owner",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'chez' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)
