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
    from chez.deposits.address import Quota
    from chez.deposits.types import RecordType
    from chez.errors import ChezError
    from chez.home.backup import BackupReport
    from chez.home.contacts import Contact, Contacts
    from chez.home.deposits.desk import Deposits
    from chez.home.deposits.reports import Deposit, DepositAddress, DepositsReport
    from chez.home.devices import DeviceInfo, Devices
    from chez.home.diagnosis import Diagnosis, doctor
    from chez.home.ephemeral import EphemeralMessage
    from chez.home.evidence import Evidence
    from chez.home.examine import Finding
    from chez.home.exporting import ExportReport
    from chez.home.home import Home
    from chez.home.importing import ImportReport
    from chez.home.invitations import Invitation
    from chez.home.lifecycle import create, join, open
    from chez.home.passphrases import change_passphrase
    from chez.home.recovery import Recovered, recover
    from chez.home.remaining import TakenBack, take_back
    from chez.home.renewal import Renewal
    from chez.home.reports import Admitted, HomeStatus, RelayStatus, SpaceStatus, SyncReport
    from chez.home.restoring import Restored, become_new_device, restore
    from chez.home.sharing import Member
    from chez.home.space import Space
    from chez.home.transaction import Transaction
    from chez.home.wiping import Wiped, wipe
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
    "Admitted", "Alarm", "BackupReport", "Blob", "Change", "Changed", "ChezError", "Collection", "Conflict", "Contact",
    "Contacts", "Counter", "Deposit", "DepositAddress", "Deposits", "DepositsReport", "DeviceInfo", "Devices",
    "Diagnosis", "Difference", "EphemeralMessage", "Evidence", "ExportReport", "FeedPage", "Finding", "Hit", "Home",
    "HomeStatus", "ImportReport", "Invitation", "Mark", "Member", "Migrated", "Query", "Quota", "Record", "RecordType",
    "Recovered", "RelayStatus", "Renewal", "Restored", "Reversal", "Rows", "Space", "SpaceStatus", "Splice",
    "SyncReport", "TakenBack", "Text", "Transaction", "Trashed", "Typing", "Version", "Wiped", "become_new_device",
    "blocking", "change_passphrase", "count", "create", "doctor", "field", "join", "open", "recover", "restore",
    "serve", "take_back", "wipe",
)

_MODULES = {
    "chez.agent.owner": ("serve",),
    "chez.errors": ("ChezError",),
    "chez.home.backup": ("BackupReport",),
    "chez.home.contacts": ("Contact", "Contacts"),
    "chez.deposits.address": ("Quota",),
    "chez.deposits.types": ("RecordType",),
    "chez.home.deposits.desk": ("Deposits",),
    "chez.home.deposits.reports": ("Deposit", "DepositAddress", "DepositsReport"),
    "chez.home.devices": ("DeviceInfo", "Devices"),
    "chez.home.diagnosis": ("Diagnosis", "doctor"),
    "chez.home.ephemeral": ("EphemeralMessage",),
    "chez.home.evidence": ("Evidence",),
    "chez.home.examine": ("Finding",),
    "chez.home.exporting": ("ExportReport",),
    "chez.home.home": ("Home",),
    "chez.home.importing": ("ImportReport",),
    "chez.home.invitations": ("Invitation",),
    "chez.home.lifecycle": ("create", "join", "open"),
    "chez.home.passphrases": ("change_passphrase",),
    "chez.home.recovery": ("Recovered", "recover"),
    "chez.home.remaining": ("TakenBack", "take_back"),
    "chez.home.renewal": ("Renewal",),
    "chez.home.reports": ("Admitted", "HomeStatus", "RelayStatus", "SpaceStatus", "SyncReport"),
    "chez.home.restoring": ("Restored", "become_new_device", "restore"),
    "chez.home.sharing": ("Member",),
    "chez.home.space": ("Space",),
    "chez.home.transaction": ("Transaction",),
    "chez.home.wiping": ("Wiped", "wipe"),
    "chez.query.aggregates": ("count",),
    "chez.query.fields": ("field",),
    "chez.query.filters": ("Query",),
    "chez.query.fulltext": ("Hit",),
    "chez.query.sql": ("Rows",),
    "chez.records.collection": ("Collection",),
    "chez.records.conflicts": ("Conflict", "Version"),
    "chez.records.counter": ("Counter",),
    "chez.records.feed": ("Changed", "FeedPage"),
    "chez.records.past": ("Change", "Difference"),
    "chez.records.record": ("Record",),
    "chez.records.reference": ("Blob",),
    "chez.records.reversals": ("Reversal",),
    "chez.records.session": ("Typing",),
    "chez.records.text": ("Mark", "Splice", "Text"),
    "chez.records.trash": ("Trashed",),
    "chez.records.typed": ("Migrated",),
    "chez.sync.heads": ("Alarm",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "blocking":
        return import_module("chez.blocking")
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'chez' has no attribute {name!r}")
    return getattr(import_module(place), name)
