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

Programs without an event loop use `chez.blocking`: all of this without `async` and `await`.

Names are imported when first used, so that `import chez` costs nothing by itself.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chez import blocking
    from chez.agent.owner import serve
    from chez.errors import ChezError
    from chez.home import (
        BackupReport,
        DeviceInfo,
        Devices,
        Diagnosis,
        Evidence,
        ExportReport,
        Finding,
        Home,
        HomeStatus,
        ImportReport,
        Invitation,
        Member,
        Recovered,
        Renewal,
        Restored,
        Space,
        SpaceStatus,
        SyncReport,
        Transaction,
        Wiped,
        become_new_device,
        change_passphrase,
        create,
        doctor,
        join,
        open,
        recover,
        restore,
        wipe,
    )
    from chez.query.aggregates import count
    from chez.query.fields import field
    from chez.query.filters import Query
    from chez.query.fulltext import Hit
    from chez.query.sql import Rows
    from chez.records.collection import Collection
    from chez.records.conflicts import Conflict, Version
    from chez.records.counter import Counter
    from chez.records.feed import Changed, FeedPage
    from chez.records.past import Change, Difference
    from chez.records.record import Record
    from chez.records.reference import Blob
    from chez.records.reversals import Reversal
    from chez.records.session import Typing
    from chez.records.text import Mark, Splice, Text
    from chez.records.trash import Trashed
    from chez.records.typed import Migrated
    from chez.sync.heads import Alarm

__all__ = (
    "Alarm", "BackupReport", "Blob", "Change", "Changed", "ChezError", "Collection", "Conflict", "Counter",
    "DeviceInfo", "Devices", "Diagnosis", "Difference", "Evidence", "ExportReport", "FeedPage", "Finding", "Hit",
    "Home", "HomeStatus", "ImportReport", "Invitation", "Mark", "Member", "Migrated", "Query", "Record", "Recovered",
    "Renewal", "Restored", "Reversal", "Rows", "Space", "SpaceStatus", "Splice", "SyncReport", "Text", "Transaction",
    "Trashed", "Typing", "Version", "Wiped", "become_new_device", "blocking", "change_passphrase", "count", "create",
    "doctor", "field", "join", "open", "recover", "restore", "serve", "wipe",
)

_PLACES = {
    "Alarm": "chez.sync.heads", "BackupReport": "chez.home", "Blob": "chez.records.reference",
    "Change": "chez.records.past", "Changed": "chez.records.feed", "ChezError": "chez.errors",
    "Collection": "chez.records.collection", "Conflict": "chez.records.conflicts",
    "Counter": "chez.records.counter", "DeviceInfo": "chez.home", "Devices": "chez.home", "Diagnosis": "chez.home",
    "Difference": "chez.records.past", "Evidence": "chez.home", "ExportReport": "chez.home",
    "FeedPage": "chez.records.feed", "Finding": "chez.home", "Hit": "chez.query.fulltext",
    "Home": "chez.home", "HomeStatus": "chez.home",
    "ImportReport": "chez.home", "Invitation": "chez.home", "Mark": "chez.records.text", "Member": "chez.home",
    "Migrated": "chez.records.typed",
    "Query": "chez.query.filters", "Record": "chez.records.record",
    "Recovered": "chez.home", "Renewal": "chez.home", "Restored": "chez.home",
    "Reversal": "chez.records.reversals", "Rows": "chez.query.sql", "Space": "chez.home",
    "SpaceStatus": "chez.home", "Splice": "chez.records.text", "SyncReport": "chez.home",
    "Text": "chez.records.text", "Transaction": "chez.home", "Trashed": "chez.records.trash",
    "Typing": "chez.records.session", "Version": "chez.records.conflicts", "Wiped": "chez.home",
    "become_new_device": "chez.home", "change_passphrase": "chez.home", "count": "chez.query.aggregates",
    "create": "chez.home", "doctor": "chez.home", "field": "chez.query.fields", "join": "chez.home",
    "open": "chez.home", "recover": "chez.home", "restore": "chez.home", "serve": "chez.agent.owner",
    "wipe": "chez.home",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "blocking":
        return import_module("chez.blocking")
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'chez' has no attribute {name!r}")
    return getattr(import_module(place), name)
