# Generated from the asynchronous SDK by `python -m tools.blocking`: change that, not this file.
"""Chez for programs without an event loop: scripts, notebooks, a Python prompt.

    from chez import blocking as chez

    words = chez.create("home", passphrase="...")           # once; keep the 24 words
    with chez.open("home", passphrase="...") as home:
        notes = home.collection("notes")
        note = notes.put({"title": "Bread", "done": False})
        with notes.edit(note.id) as draft:
            draft["done"] = True
        for record in notes.where(done=True):
            print(record.value["title"])
        for records in notes.where().live():                 # until Ctrl-C
            ...

It is all of `chez`, where each `await`, `async with` and `async for` is an ordinary call,
`with` and `for`. In a notebook, where a block can't span cells: `home = chez.open(...)`, and
`home.close()` at the end.

An open home has one thread with an event loop of its own, so this works where a loop runs
already, as in Jupyter; but whoever calls waits, and so does the loop that it runs on: an
asynchronous application uses `chez`. Any thread may use a home and all that comes from it.
What is raised is what `chez` raises. Ctrl-C cancels the call that waits, waits until that
has ended, and is raised then; a second one at once. Functions given to a call (progress,
questions) run in the thread that waits, and what they raise ends the call. The function
given to `transaction` runs in the store's thread and can use nothing but the transaction:
the rest raises `Misuse` there, as does every call on the home's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from chez import crypto
from chez.agent.owner import Owner as AsyncOwner
from chez.agent.owner import serve as async_serve
from chez.blobs.adding import OnProgress
from chez.blobs.attachments import Blobs as AsyncBlobs
from chez.blobs.reports import BlobInfo, BlobStatus
from chez.blocking.calls import Ask, Source
from chez.blocking.shapes import BATCH, Block, Event, Front, Items, Opened, alone, inside, same
from chez.connectors.api import Connector
from chez.deposits.address import Quota
from chez.deposits.types import RecordType
from chez.errors import ChezError
from chez.home.backup import BackupReport
from chez.home.checkpointing import Checkpoint
from chez.home.collections import OnDamaged
from chez.home.contacts import Contact
from chez.home.contacts import Contacts as AsyncContacts
from chez.home.deposits.addresses import Acks
from chez.home.deposits.desk import YEAR
from chez.home.deposits.desk import Deposits as AsyncDeposits
from chez.home.deposits.reports import Deposit, DepositAddress, DepositsReport
from chez.home.devices import DeviceInfo, Rotated
from chez.home.devices import Devices as AsyncDevices
from chez.home.diagnosis import Diagnosis
from chez.home.diagnosis import doctor as async_doctor
from chez.home.ephemeral import ROOM, EphemeralMessage
from chez.home.evidence import Evidence
from chez.home.examine import Finding
from chez.home.exporting import ExportReport
from chez.home.home import Home as AsyncHome
from chez.home.hosting import Hosting as AsyncHosting
from chez.home.importing import ImportReport
from chez.home.invitations import WEEK, Invitation
from chez.home.kept_exports import KeptExport
from chez.home.lan import Lan as AsyncLan
from chez.home.lan import LanStatus
from chez.home.lifecycle import create as async_create
from chez.home.lifecycle import join as async_join
from chez.home.lifecycle import open as async_open
from chez.home.pairing import Paired
from chez.home.pairing import Pairing as AsyncPairing
from chez.home.passphrases import change_passphrase as async_change_passphrase
from chez.home.recovery import Recovered
from chez.home.recovery import recover as async_recover
from chez.home.relays import Relays as AsyncRelays
from chez.home.remaining import TakenBack
from chez.home.remaining import take_back as async_take_back
from chez.home.renewal import Renewal
from chez.home.reports import Admitted, CollectionInfo, HomeStatus, Imported, RelayStatus, SpaceStatus, SyncReport
from chez.home.restoring import Restored
from chez.home.restoring import become_new_device as async_become_new_device
from chez.home.restoring import restore as async_restore
from chez.home.sharing import Member, RoleName, Who
from chez.home.space import Space as AsyncSpace
from chez.home.transaction import Transaction as AsyncTransaction
from chez.home.unlocking import Keyring as AsyncKeyring
from chez.home.usage import Usage
from chez.home.wiping import Wiped
from chez.home.wiping import wipe as async_wipe
from chez.journal import Journal as AsyncJournal
from chez.journal import Receipt, Verification
from chez.query.aggregates import Aggregate, count
from chez.query.conditions import Condition
from chez.query.fields import field
from chez.query.filters import Groups as AsyncGroups
from chez.query.filters import Query as AsyncQuery
from chez.query.fulltext import Hit
from chez.query.indexes import Declared
from chez.query.sql import Rows
from chez.records.collection import Collection as AsyncCollection
from chez.records.conflicts import Conflict, Version
from chez.records.counter import Counter
from chez.records.cursors import FieldPath
from chez.records.feed import Changed, FeedPage
from chez.records.past import Change, Difference
from chez.records.record import Record
from chez.records.reference import DEFAULT_TYPE, Blob
from chez.records.reversals import Reversal
from chez.records.session import WITHIN
from chez.records.session import Typing as AsyncTyping
from chez.records.text import Mark, Splice, Text
from chez.records.trash import Trashed
from chez.records.typed import Migrated, Migration
from chez.records.values import Value
from chez.store.keyring import KeyringStatus
from chez.sync.heads import Alarm
from chez.sync.link import Link as AsyncLink
from chez.sync.room import Room
from chez.sync.work import Progress

__all__ = (
    "Admitted",
    "Alarm",
    "BackupReport",
    "Blob",
    "Blobs",
    "Change",
    "Changed",
    "ChezError",
    "Collection",
    "Conflict",
    "Contact",
    "Contacts",
    "Counter",
    "Deposit",
    "DepositAddress",
    "Deposits",
    "DepositsReport",
    "DeviceInfo",
    "Devices",
    "Diagnosis",
    "Difference",
    "EphemeralMessage",
    "Evidence",
    "ExportReport",
    "FeedPage",
    "Finding",
    "Groups",
    "Hit",
    "Home",
    "HomeStatus",
    "Hosting",
    "ImportReport",
    "Invitation",
    "Journal",
    "Keyring",
    "Lan",
    "Link",
    "Mark",
    "Member",
    "Migrated",
    "Owner",
    "Pairing",
    "Query",
    "Quota",
    "Record",
    "RecordType",
    "Recovered",
    "RelayStatus",
    "Relays",
    "Renewal",
    "Restored",
    "Reversal",
    "Rows",
    "Space",
    "SpaceStatus",
    "Splice",
    "SyncReport",
    "TakenBack",
    "Text",
    "Transaction",
    "Trashed",
    "Typing",
    "Version",
    "Wiped",
    "become_new_device",
    "change_passphrase",
    "count",
    "create",
    "doctor",
    "field",
    "join",
    "open",
    "recover",
    "restore",
    "serve",
    "take_back",
    "wipe",
)
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")


class Blobs(Front[AsyncBlobs]):
    """Files beside records: added as a stream, sealed, kept once, fetched when they are read.

        photo = home.blobs.add("photo.jpg", media_type="image/jpeg")
        notes.put({"title": "Summer", "photo": photo})
        for piece in home.blobs.read(photo):
            ...

    Memory stays flat whatever the size. What no record holds is freed by and by.

    An attachment is of one space: its keys open it, its relay has it, and a reference to it is
    worth something in records of that space.
    """

    def add(
        self,
        source: Source,
        *,
        media_type: str = DEFAULT_TYPE,
        name: str | None = None,
        progress: OnProgress | None = None,
    ) -> Blob:
        """Add a file (by its path), bytes, or an iterable of bytes; put the result into a record.

        `name` is the file's own where that is left out. A content that is here already is
        not kept twice. `progress(done, total)` in bytes, total 0 for an iterable. Durable when
        it returns. Raises `NotFound`, `InvalidValue`, `NotAllowed` where this device may not
        write, `StorageFailed` (disk full): then, and when it is cancelled, nothing stays.
        """
        return self._portal.call(
            lambda call: self._inner.add(
                call.stream(source), media_type=media_type, name=name, progress=call.told(progress)
            )
        )

    def read(self, blob: Blob, start: int = 0, end: int | None = None) -> Items[bytes]:
        """The content from byte `start` to before byte `end`, in parts of up to 512 KiB.

        What is not on this device is fetched from the relay and stays here. Each part is
        checked before it is given; read from first to last, the whole is checked too, at
        the end. Raises `BlobMissing` (try later: it goes on where it was), `BlobDamaged`,
        `InvalidValue`, `StorageFailed`, `RelayRefused`, `RelayMisbehaved`.
        """
        return Items(self._portal, lambda: self._inner.read(blob, start, end))

    def save(
        self, blob: Blob, path: Path | str, *, overwrite: bool = False, progress: OnProgress | None = None
    ) -> None:
        """Write the content to a file, which appears only when all of it is there and checked.

        Raises `NotAllowed` when the file exists, and what `read` raises.
        """
        self._portal.call(lambda call: self._inner.save(blob, path, overwrite=overwrite, progress=call.told(progress)))

    def pin(self, blob: Blob, *, progress: OnProgress | None = None) -> None:
        """Fetch all of an attachment and keep it on this device, whatever records hold. Raises as `read`."""
        self._portal.call(lambda call: self._inner.pin(blob, progress=call.told(progress)))

    def unpin(self, blob: Blob) -> None:
        """Let an attachment be freed or given up again; what is here stays for now. Raises `NotFound`."""
        self._portal.call(lambda call: self._inner.unpin(blob))

    def evict(self, blob: Blob) -> None:
        """Free an attachment's space on this device; it is fetched again when it is read.

        Raises `NotFound`, and `NotAllowed` for one that is pinned, being read, or only here.
        """
        self._portal.call(lambda call: self._inner.evict(blob))

    def info(self, blob: Blob) -> BlobInfo:
        """How an attachment stands, without the network."""
        return self._portal.call(lambda call: self._inner.info(blob))

    def status(self) -> BlobStatus:
        """How all attachments stand, without the network."""
        return self._portal.call(lambda call: self._inner.status())

    @property
    def problem(self) -> str:
        """Why sending stopped, empty if it did not."""
        return self._inner.problem

    def collect(self) -> int:
        """Make one pass of the collector now; how many attachments were freed.

        One that no record holds is freed by the second pass after the one that finds it so.
        """
        return self._portal.call(lambda call: self._inner.collect())

    def look_again(self) -> None:
        """Relays that are kept sent to may lack what they had: with the next turn of each it is looked what waits."""
        self._portal.do(lambda: self._inner.look_again())


class Collection(Front[AsyncCollection[T]], Generic[T]):
    """Records of one type; made by `Home.collection`.

    With a msgspec Struct as type, values are checked and converted; a record that does
    not fit it raises `InvalidValue` naming the field (read among others, only once its
    value is asked for). Without, values are dicts.
    """

    @property
    def name(self) -> str:
        """Its name, one for all spaces."""
        return self._inner.name

    def put(self, value: T, *, id: str | None = None) -> Record[T]:
        """Store a record; on an existing id, change only what differs.

        Returns it with its id, a random one if none was given. Raises `InvalidValue`
        naming the field that can't be stored. Durable when it returns.
        """
        return self._portal.call(lambda call: self._inner.put(value, id=id))

    def put_many(self, values: Iterable[T], *, ids: Iterable[str] | None = None) -> list[str]:
        """Store many records in one transaction, all or nothing; returns their ids in order."""
        return self._portal.call(
            lambda call: self._inner.put_many(list(values), ids=None if ids is None else list(ids))
        )

    def edit(self, id: str) -> Block[T]:
        """Change a record in place: `with notes.edit(id) as draft: draft["a"] = 1`.

        The draft is a plain value; when the block ends without an exception, what
        changed in it becomes one change, made on the state the block began with, so
        that it merges with what arrived meanwhile. Raises `NotFound`, and as `get` does.
        """
        return Block(self._portal, lambda call: self._inner.edit(id), same)

    def typing(self, id: str, path: FieldPath, *, within: float = WITHIN) -> Block[Typing]:
        """Type in a text: `with notes.typing(id, "body") as text: text.splice(12, 0, "e")`.

        For an editor's keystrokes. Each splice shows at once and is a change by itself; they are
        written in batches, `within` so many seconds, sooner when 3,000 are waiting, at `text.flush()`,
        and when the block ends, also by an exception. Others may write in the record meanwhile: `text.arrivals()`
        tells what they do to the text. Raises `NotFound` where no text is, and when the block
        ends what the last attempt to write raised, if something is not written.
        """
        return Block(
            self._portal,
            lambda call: self._inner.typing(id, path, within=within),
            lambda inner: Typing(self._portal, inner),
        )

    def migrate(self) -> Migrated:
        """Write the collection's version into every record that has an older one, so that SQL sees it.

        Reading and editing do not need it. Page by page, each durable; other devices may do
        the same at once. Records whose migration fails stay as they are.
        """
        return self._portal.call(lambda call: self._inner.migrate())

    def cursor(self, id: str, path: FieldPath, position: int) -> str:
        """A cursor in a text: it keeps its place while others type (a caret, an end of a selection).

        `path` is a field, or the way to it: `cursor(id, ("parts", 0, "body"), 12)`. The
        cursor is text that may be kept, and sent to other devices. Raises `NotFound`,
        `InvalidValue` for a position outside the text.
        """
        return self._portal.call(lambda call: self._inner.cursor(id, path, position))

    def position(self, id: str, path: FieldPath, cursor: str) -> int:
        """Where a cursor is now. Raises `NotFound`, also while its place has not arrived here; `InvalidValue`."""
        return self._portal.call(lambda call: self._inner.position(id, path, cursor))

    def delete(self, id: str) -> None:
        """Delete a record; an edit made elsewhere meanwhile does not bring it back. Raises `NotFound`."""
        self._portal.call(lambda call: self._inner.delete(id))

    def trash(self, limit: int = 1000) -> list[Trashed[T]]:
        """The deleted records, those that changed last first, with who deleted them and when.

        One that does not fit the collection's type is left out; as plain dicts all are there.
        """
        return self._portal.call(lambda call: self._inner.trash(limit))

    def restore(self, id: str) -> None:
        """Take a record out of the trash, with what others edited in it meanwhile. Raises `NotFound`."""
        self._portal.call(lambda call: self._inner.restore(id))

    def purge(self, id: str) -> None:
        """Erase a record for good, deleted or not, on this device and on each that hears of it.

        It never comes back: edits made elsewhere are dropped, `put` raises `RecordPurged`,
        an import leaves it out. The journal notes it. What was sent before remains in signed
        entries, and checkpoints of them (docs/security.md). Raises `NotFound`.
        """
        self._portal.call(lambda call: self._inner.purge(id))

    def changes(self, since: str | None = None, *, live: bool = True) -> Items[FeedPage[T]]:
        """What changed since a cursor, in pages, from wherever it came; then on as it happens, if `live`.

            for page in notes.changes(since=cursor):
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
        return Items(self._portal, lambda: self._inner.changes(since, live=live), ends=live)

    def history(self, id: str, *, limit: int = 100, before: str | None = None, grouped: bool = False) -> list[Change]:
        """A record's changes, the newest first: at most `limit`, those before the change with the hash `before`.

        The order is one in which each change comes after all that it builds on, the same
        on every device that has the same changes. `grouped` is for people: what a device did in the same
        fields in one sitting is one (a page is of 10,000 changes at most). Either way `before=page[-1].oldest` goes
        on, until a page is empty. Raises `NotFound`.
        """
        return self._portal.call(lambda call: self._inner.history(id, limit=limit, before=before, grouped=grouped))

    def at(self, id: str, point: str) -> T:
        """A record's value as of a change, by its hash or the first characters of it.

        Raises `NotFound`, `InvalidValue`.
        """
        return self._portal.call(lambda call: self._inner.at(id, point))

    def diff(self, id: str, a: str, b: str | None = None) -> list[Difference]:
        """What differs between a record's value as of two changes; without `b`, as it is now. Raises as `at` does."""
        return self._portal.call(lambda call: self._inner.diff(id, a, b))

    def undo(self, id: str) -> Reversal:
        """Undo this device's last change of a record that is not undone, whatever others changed since.

        What others wrote at the same place, since or at the same time, stays and is
        reported (`Reversal.left`); see `records/undo.py` for the rules. Undoing the change
        that made a record deletes it. What an import brought is not undone. Raises
        `NotFound` when there is nothing to undo, `NotAllowed`.
        """
        return self._portal.call(lambda call: self._inner.undo(id))

    def redo(self, id: str) -> Reversal:
        """Take back the last undo, if this device changed nothing in the record since. Raises `NotFound`."""
        return self._portal.call(lambda call: self._inner.redo(id))

    def conflicts(self, id: str) -> list[Conflict]:
        """The fields that devices set at once, each with all its values. Raises `NotFound`, `Damaged`."""
        return self._portal.call(lambda call: self._inner.conflicts(id))

    def resolve(self, id: str, field: str, choice: str) -> None:
        """Settle a conflict: the version with this `choice` stays, edits inside it go on merging.

        Raises `NotFound`, and `NotAllowed` while what this device wrote there waits for what counts no more.
        """
        self._portal.call(lambda call: self._inner.resolve(id, field, choice))

    def get(self, id: str) -> Record[T]:
        """The record with this id. Raises `NotFound`, and `InvalidValue` or `MigrationFailed` if it has no value."""
        return self._portal.call(lambda call: self._inner.get(id))

    def where(self, *given: Condition, **equals: Value) -> Query[Record[T]]:
        """Records that fulfil all conditions: `where(field("amount") < 0, currency="EUR")`."""
        return Query(self._portal, self._inner.where(*given, **equals))

    def __iter__(self) -> Items[Record[T]]:
        """Every record, one by one, in the order of their ids; memory stays at a page of them."""
        return Items(self._portal, lambda: self._inner.__aiter__(), batch=BATCH)

    def search(
        self, words: str, *, limit: int = 20, offset: int = 0, marks: tuple[str, str] = ("", "")
    ) -> list[Hit[Record[T]]]:
        """The records where all these words are, the best first, each with its rank and a snippet.

        `"two words"` stand next to each other, `tea*` is every word that begins so; the rest
        is plain text, so that whatever a person types can be given. `marks` are put around
        the words in the snippet. The fields are those that some part of an app declared by
        `home.collection(name, search=("title", "body"))`; the first search builds the index on
        records that were there before, while other work goes on. Raises `Misuse` when no
        field was ever declared, `InvalidValue` for more than 64 words.
        """
        return self._portal.call(lambda call: self._inner.search(words, limit=limit, offset=offset, marks=marks))

    def count(self) -> int:
        """How many records there are."""
        return self._portal.call(lambda call: self._inner.count())

    def live(self, id: str) -> Items[Record[T] | None]:
        """The record now (None while there is none), and again whenever it has changed, from wherever.

        Changes that come while an answer is being used are one; the last state is never
        missed. Ends when the home closes.
        """
        return Items(self._portal, lambda: self._inner.live(id), ends=True)

    def record_from(self, row: Sequence[Any]) -> Record[T]:
        """A record of this collection from a row of the store: id, json, kinds."""
        return self._portal.do(lambda: self._inner.record_from(row))


class Contacts(Front[AsyncContacts]):
    """The contacts of a home's person: `home.contacts`."""

    def all(self) -> list[Contact]:
        """Every contact, by name. A record of the collection that is no contact is left out."""
        return self._portal.call(lambda call: self._inner.all())

    def find(self, which: str | bytes) -> Contact:
        """A contact by its name, its id, or the beginning of that in hexadecimal (8 digits or more).

        Raises `NotFound`, `InvalidValue` when several are called so.
        """
        return self._portal.call(lambda call: self._inner.find(which))

    def add(self, card: str, name: str | None = None) -> Contact:
        """Keep a person's card (`Home.card` there) under a name, or else what the card says that it is called.

        Of a person who is a contact already it adds what is new: devices, and that some were
        taken out; with a name it is called so from now on. Whether it is the person one means,
        the safety words tell (`words`). Raises `InvalidValue` for what is no card or no name,
        `NotAllowed` when another person has the name, and for one's own card.
        """
        return self._portal.call(lambda call: self._inner.add(card, name))

    def remove(self, which: str | bytes) -> Contact:
        """Forget a contact; spaces that are shared with it stay as they are. Raises as `find`."""
        return self._portal.call(lambda call: self._inner.remove(which))

    def words(self, which: str | bytes) -> str:
        """The twelve safety words of this person and a contact: the other one sees the same. Raises as `find`.

        Compare them where nobody sits between: face to face, or by voice. They stay the same
        when devices come and go.
        """
        return self._portal.call(lambda call: self._inner.words(which))

    def verify(self, which: str | bytes, verified: bool = True) -> Contact:
        """Say that the two compared their safety words, and that they are the same; or take it back.

        Raises as `find`.
        """
        return self._portal.call(lambda call: self._inner.verify(which, verified))


class Deposits(Front[AsyncDeposits]):
    """What organisations may leave in a home, and did: `home.deposits`."""

    def new(
        self,
        label: str,
        types: Sequence[str | RecordType],
        *,
        card: str | None = None,
        quota: Quota | None = None,
        expires: timedelta = YEAR,
        acks: Acks = "later",
    ) -> DepositAddress:
        """Make an address for one organisation: `text` is what it is given.

        `label` is what the person calls it; `types` are collections of the vocabulary, or types of one's own
        (`RecordType`). With the organisation's `card` nobody else can ever leave anything; without, the first message
        waits until the person says whose it is (`allow`). `quota` is for a day, `expires` a minute to ten years;
        `acks` says when messages are acknowledged: "soon", "later" (some time within a day), or "none". It takes
        messages after the next sync. Raises `InvalidValue`, and `NotFound` for a collection that the vocabulary has
        not, or where the home has no relay.
        """
        return self._portal.call(
            lambda call: self._inner.new(label, types, card=card, quota=quota, expires=expires, acks=acks)
        )

    def addresses(self) -> list[DepositAddress]:
        """Every address, the oldest first, with those that ended."""
        return self._portal.call(lambda call: self._inner.addresses())

    def address(self, which: str) -> DepositAddress:
        """An address by its label, or by the beginning of its id (4 digits or more).

        Raises `NotFound`, `InvalidValue` when several are called so.
        """
        return self._portal.call(lambda call: self._inner.address(which))

    def revoke(self, which: str) -> DepositAddress:
        """Take nothing more at an address; what was taken stays. The relay forgets what lies there, at the next sync.

        Raises as `address`.
        """
        return self._portal.call(lambda call: self._inner.revoke(which))

    def renew(self, which: str) -> DepositAddress:
        """Put a new address in the place of one, for the same organisation, with the same terms, for as long again.

        What lies at the former one is taken first, as far as its relay is there, and the former is revoked: give the
        new `text` to the organisation. So no device that was removed can read what is left from then on. Raises as
        `address`, `NotAllowed` for one that was revoked, or is contested, and `InvalidValue` for one that another
        version made, of whose types none may be left any more.
        """
        return self._portal.call(lambda call: self._inner.renew(which))

    def allow(self, which: str, words: str) -> DepositAddress:
        """Say that an address is for the organisation whose key has these words (`DepositAddress.applicants`).

        What it left is taken at the next sync; who else left something is forgotten. Of two who claim to go on as its
        organisation it is the one that does, whatever else is signed. Raises `NotFound` for words that nobody has who
        left something, `NotAllowed` for an address that is somebody's already, or was revoked.
        """
        return self._portal.call(lambda call: self._inner.allow(which, words))

    def all(self, which: str | None = None) -> list[Deposit]:
        """What came, the first first: at one address, or at all. Raises as `address`."""
        return self._portal.call(lambda call: self._inner.all(which))

    def take(self) -> DepositsReport:
        """Look at the inboxes now, as each sync does; never raises for a relay (`DepositsReport.problems`)."""
        return self._portal.call(lambda call: self._inner.take())


class Devices(Front[AsyncDevices]):
    """The devices of a home's person: `home.devices`."""

    def all(self) -> list[DeviceInfo]:
        """Every device that ever was one, this one first, then by name."""
        return self._portal.call(lambda call: self._inner.all())

    def find(self, which: str | bytes) -> DeviceInfo:
        """A device that was not taken out, by its id, the beginning of that in hexadecimal, or its name.

        Raises `NotFound`, `InvalidValue` when several are called so.
        """
        return self._portal.call(lambda call: self._inner.find(which))

    def rename(self, which: str | bytes, name: str) -> None:
        """Call a device differently, everywhere. Raises `NotFound`, `InvalidValue`, `NotAllowed`."""
        self._portal.call(lambda call: self._inner.rename(which, name))

    def remove(self, which: str | bytes, *, too: Sequence[str | bytes] = ()) -> DeviceInfo:
        """Take a device out of all spaces, and start a new epoch in each; returns what is known of it.

        In a space that others own, they start it when they hear of it.

        Devices that it had let in stay, except those named in `too`: look at `let_in_by` first,
        for who has a stolen device may have let in another. Raises `NotFound`, `NotAllowed`
        for this very device, when it was taken out itself, and before its first sync.
        """
        return self._portal.call(lambda call: self._inner.remove(which, too=too))

    def rotate(self, space: str | None = None, *, everywhere: bool = False) -> list[Rotated]:
        """Start a new epoch: whoever has older keys only reads nothing that is written from now on.

        In the private space, in another by its name or id, or `everywhere` that this person is
        an owner. Raises `NotFound`, `NotAllowed` in a space of others.
        """
        return self._portal.call(lambda call: self._inner.rotate(space, everywhere=everywhere))


class Groups(Front[AsyncGroups[R]], Generic[R]):
    """The records of a query in groups; `aggregate` reads them."""

    def order_by(self, *names: str) -> Groups[R]:
        """Sorted by what `aggregate` gives, by name; a `-` before it turns the order round."""
        return Groups(self._portal, self._inner.order_by(*names))

    def limit(self, count: int) -> Groups[R]:
        """At most `count` groups."""
        return Groups(self._portal, self._inner.limit(count))

    @overload
    def aggregate(self, into: None = None, /, **wanted: Aggregate) -> list[dict[str, Value]]: ...
    @overload
    def aggregate(self, into: type[S], /, **wanted: Aggregate) -> list[S]: ...
    def aggregate(self, into: type[Any] | None = None, /, **wanted: Aggregate) -> list[Any]:
        """One row for each group: its fields and what is asked for, by name, or as a Struct.

            notes.group_by("city").aggregate(n=chez.count(), cups=field("cups").sum())

        Without `order_by` in the order of the groups' fields. Raises `InvalidValue`, also
        when a row does not fit `into`.
        """
        return self._portal.call(lambda call: self._inner.aggregate(into, **wanted))


class Home(Opened[AsyncHome]):
    """An open home. Made by `chez.open`; all of it is local and works without a network."""

    @property
    def path(self) -> Path:
        """The folder it is in."""
        return self._inner.path

    @property
    def name(self) -> str:
        """This device's name."""
        return self._inner.name

    @property
    def person_id(self) -> bytes:
        """Whose home it is: the person's public root key (32 bytes)."""
        return self._inner.person_id

    @property
    def journal(self) -> Journal:
        """The receipts of this device."""
        return Journal(self._portal, self._inner.journal)

    @property
    def keyring(self) -> Keyring:
        """The operating system's keyring as a second way to open this home."""
        return Keyring(self._portal, self._inner.keyring)

    @property
    def contacts(self) -> Contacts:
        """The persons one knows."""
        return Contacts(self._portal, self._inner.contacts)

    @property
    def devices(self) -> Devices:
        """The person's devices."""
        return Devices(self._portal, self._inner.devices)

    @property
    def relays(self) -> Relays:
        """Which relays keep what this home has."""
        return Relays(self._portal, self._inner.relays)

    @property
    def lan(self) -> Lan:
        """Sync with devices on the same network."""
        return Lan(self._portal, self._inner.lan)

    @property
    def deposits(self) -> Deposits:
        """What organisations may leave here, and did."""
        return Deposits(self._portal, self._inner.deposits)

    @property
    def blobs(self) -> Blobs:
        """Attachments of the private space: files beside records."""
        return Blobs(self._portal, self._inner.blobs)

    @property
    def relay(self) -> str | None:
        """The relay that `sync` and `connect` use when none is named."""
        return self._inner.relay

    @property
    def device_id(self) -> bytes:
        """This device's id: its public signing key (32 bytes)."""
        return self._inner.device_id

    def spaces(self) -> list[Space]:
        """The spaces that this device has, the private one first, the others by name."""
        return [Space(self._portal, one) for one in self._portal.call(lambda call: self._inner.spaces())]

    def space(self, what: str | None = None) -> Space:
        """A space by its name, its id, or the first characters of that (8 or more); without, the private one.

        Raises `NotFound`, and `InvalidValue` when several are called so.
        """
        return Space(self._portal, self._portal.do(lambda: self._inner.space(what)))

    def create_space(self, name: str, *, relay: str | None = None, public: bool = False) -> Space:
        """Make a space of one's own, which all devices of this person then have.

        It is kept in step where the private space is, or at a `relay` of its own. A `public`
        one is read by everybody who has its `address`. Durable here when it returns, whether a
        relay can be reached or not. Raises `InvalidValue` for a name that can't be one, or that
        a space here has.
        """
        return Space(
            self._portal, self._portal.call(lambda call: self._inner.create_space(name, relay=relay, public=public))
        )

    def card(self) -> str:
        """This person's card: what others need to share a space with it (`Space.add`), and nothing secret. It names all
        devices of the person, and stays good when there are others.
        """
        return self._portal.call(lambda call: self._inner.card())

    def join(self, link: str, *, timeout: float = 60.0) -> Space:
        """Come into a space: by its link (`Space.link`) for who was let in, by an invitation's link, or by its code.

        An invitation is answered by a device of who made it: for `timeout` seconds that is
        waited for, then `Unanswered` is raised; what was asked waits at the relay, so the same
        call goes on later. All of the space is here after the next sync, and the person's other
        devices have it after theirs. Raises `InvalidValue` for what is no link, `NotFound` while
        the relay has no keys for this device or knows no such invitation, `NotAllowed` for who
        is no member, has the space already or is refused, `BadPairing` for a wrong code,
        `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`.
        """
        return Space(self._portal, self._portal.call(lambda call: self._inner.join(link, timeout=timeout)))

    def follow(self, address: str) -> Space:
        """Read a public space by its address (`Space.address`), as nobody's member: all devices of this person do.

        What its members write comes with each sync; nothing can be written in it here. Raises as
        `join` does for a link.
        """
        return Space(self._portal, self._portal.call(lambda call: self._inner.follow(address)))

    @overload
    def collection(
        self,
        what: str,
        *,
        name: str | None = ...,
        indexes: Sequence[Declared] = ...,
        search: Sequence[str] = ...,
        version: int = ...,
        migrations: Mapping[int, Migration] | None = ...,
    ) -> Collection[dict[str, Any]]: ...
    @overload
    def collection(
        self,
        what: type[S],
        *,
        name: str | None = ...,
        indexes: Sequence[Declared] = ...,
        search: Sequence[str] = ...,
        version: int = ...,
        migrations: Mapping[int, Migration] | None = ...,
    ) -> Collection[S]: ...
    def collection(
        self,
        what: str | type[Any],
        *,
        name: str | None = None,
        indexes: Sequence[Declared] = (),
        search: Sequence[str] = (),
        version: int = 1,
        migrations: Mapping[int, Migration] | None = None,
    ) -> Collection[Any]:
        """A collection of the private space, of plain dicts (by name) or of a msgspec Struct.

        `indexes` declares what filters and sorting shall find quickly: fields, or several
        together, as in `indexes=("cups", ("city", "name"))`. `search` declares the fields
        whose words `Collection.search` finds. `version` is that of the records' form, and
        `migrations` are pure functions on plain dicts, by the version each starts from
        (docs/records.md). Raises `InvalidValue`.
        """
        return Collection(
            self._portal,
            self._inner.collection(
                what, name=name, indexes=indexes, search=search, version=version, migrations=migrations
            ),
        )

    def collections(self) -> list[CollectionInfo]:
        """Every collection that has records in some space, by name, all spaces together."""
        return self._portal.call(lambda call: self._inner.collections())

    def changes(self, since: str | None = None, *, live: bool = True) -> Items[FeedPage[dict[str, Any]]]:
        """What changed in all collections of all spaces since a cursor; see `Collection.changes`.

        `Changed.space` tells in which. An app that follows everything and writes records
        because of it meets these again. Ends when the home closes.
        """
        return Items(self._portal, lambda: self._inner.changes(since, live=live), ends=live)

    def cursor_now(self) -> str:
        """The cursor after all that there is: `changes(since=...)` gives what changes from now on."""
        return self._portal.call(lambda call: self._inner.cursor_now())

    def saved_cursor(self, name: str) -> str | None:
        """The cursor that `Transaction.save_cursor` kept under a name on this device, None if there is none."""
        return self._portal.call(lambda call: self._inner.saved_cursor(name))

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        limit: int = 10000,
        as_of: str | None = None,
    ) -> Rows:
        """Run one SELECT over the collections: one view each over all spaces, with `_id`, `_space` and `_space_id`.

        `as_of` is a cursor of `cursor_now`: then records are as this store had them, rebuilt from their history; those
        purged since are missing. Raises `InvalidValue` with SQLite's reason, also for anything but reading,
        for what takes too long or too much memory, and for a cursor that is none of this store's states.
        """
        return self._portal.call(lambda call: self._inner.sql(query, params, limit=limit, as_of=as_of))

    def import_file(
        self,
        path: Path | str,
        *,
        connector: Connector | str | None = None,
        keep: bool = False,
        overwrite: bool = False,
        in_process: bool = False,
        progress: OnProgress | None = None,
    ) -> ImportReport:
        """Bring an outside file home, or a folder that `export` wrote; doing it again changes nothing.

        What the person changed in its records since stays, whatever the file says there (docs/connectors.md); to
        `overwrite` takes the file's word for that, too.
        Any other folder is read as the zip of its files would be; links in it are not followed.
        Records come into the private space; those of other spaces in an export that this device made
        into these, where they are here. A file's format is recognised unless a connector is given. It is parsed in a
        process that the system walls in, without network, files and keys, unless `in_process` asks
        for this one: for a connector of your own that another process can't import, on files of
        your own. What an import that was cut off had written is not written again. With `keep` the
        file itself is kept as an attachment, so that `import_again` can read it by a better connector.
        `progress(done, total)` in bytes; `total` is 0 while a large file is read once for its hash. Of an
        export every record becomes as it was then, those deleted since included; other records stay, and Chez's own
        collections (contacts, grants, what is followed) and tables of open data are not taken. Raises
        `NotFound`, `InvalidValue` for a file of no known format, `BadArchive` for an export or a zip that is
        incomplete or was altered, `ImportStopped` when the parser met a limit (what came before stays),
        `WallMissing`.
        """
        return self._portal.call(
            lambda call: self._inner.import_file(
                path,
                connector=connector,
                keep=keep,
                overwrite=overwrite,
                in_process=in_process,
                progress=call.told(progress),
            )
        )

    def imports(self) -> list[Imported]:
        """What was imported on this device, oldest first, as the journal has it."""
        return self._portal.call(lambda call: self._inner.imports())

    def kept_exports(self) -> list[KeptExport]:
        """The files that `import_file(..., keep=True)` kept in the private space, by name."""
        return self._portal.call(lambda call: self._inner.kept_exports())

    def import_again(
        self,
        sha256: str,
        *,
        connector: Connector | None = None,
        overwrite: bool = False,
        progress: OnProgress | None = None,
    ) -> ImportReport:
        """Read a kept export of the private space as today's connectors do; see `Space.import_again`."""
        return self._portal.call(
            lambda call: self._inner.import_again(
                sha256, connector=connector, overwrite=overwrite, progress=call.told(progress)
            )
        )

    def export(self, path: Path | str, *, history: bool = False, progress: OnProgress | None = None) -> ExportReport:
        """Write all records of all spaces into a new folder as plain JSON Lines, and with `history` every change.

        Attachments that are whole on this device are files in it; the report counts others. The list of relays,
        with the tokens that their operators gave out, is not in it.
        `import_file` reads it back, in any home. The folder appears when it is whole, and shows
        one state of the home; other work goes on meanwhile. `progress(done, total)` in records.
        It is plaintext, readable by its owner only, and the journal says that it was made.
        Raises `InvalidValue` when something is there, `StorageFailed`, `Damaged`.
        """
        return self._portal.call(lambda call: self._inner.export(path, history=history, progress=call.told(progress)))

    def examine(self, *, progress: OnProgress | None = None) -> list[Finding]:
        """What is wrong with this home's store, in plain words (see `chez.doctor`); other work goes on meanwhile."""
        return self._portal.call(lambda call: self._inner.examine(progress=call.told(progress)))

    def backup(self, path: Path | str, *, verify: bool = False, progress: OnProgress | None = None) -> BackupReport:
        """Write everything this home holds into one encrypted, signed file; other work goes on meanwhile.

        It opens with the passphrase that this home has now (`chez.restore`), and holds one
        moment of it. `verify` restores it to try, beside the home, and checks what came out.
        The folder of the home needs room for a copy of the store while it is made.
        `progress(done, total)` in bytes. Raises `InvalidValue` when something is there, `NotFound` where its folder is
        not, `StorageFailed`, `Damaged`.
        """
        return self._portal.call(lambda call: self._inner.backup(path, verify=verify, progress=call.told(progress)))

    def transaction(self, work: Callable[[Transaction], R]) -> R:
        """Read and write records, receipts and accounts in one transaction: all of it or nothing.

            def move(transaction: chez.Transaction) -> None:
                note = transaction.get(drafts, "tea")
                transaction.put(notes, note.value, id="tea")
                transaction.delete(drafts, "tea")

            home.transaction(move)

        `work` is a plain function that is quick, for everything else written waits for it.
        It runs once, on the database's thread. Returns what it returns, durable by then;
        what it raises undoes everything it did and is raised here. Raises `Misuse` if it
        is a coroutine function, `StorageFailed`.
        """
        return self._portal.call(lambda call: self._inner.transaction(inside(self._portal, work, Transaction)))

    def set_relay(self, url: str, *, pins: Sequence[str] | None = None) -> None:
        """Let `sync` and `connect` use this relay, here and on all devices of the person; see `Relays.set`."""
        self._portal.call(lambda call: self._inner.set_relay(url, pins=pins))

    def sync(
        self,
        url: str | None = None,
        *,
        timeout: float = 60.0,
        reseed: bool = False,
        everywhere: bool = False,
        progress: OnProgress | None = None,
    ) -> SyncReport:
        """Send everything that waits, fetch everything new, in all spaces, and return.

        It is done when at least one of the home's relays has everything, and those that can be reached do;
        with `everywhere` each of them has to. It goes on as long as entries come and go: `timeout` is how many
        seconds it waits while nothing does. While connected, relays with which it is in step are asked first whether
        they are there still, for ten seconds at most. `progress(done, total)` in entries, as far as they are known.
        With `reseed` relays are read from their beginning, and sent every entry that they lack,
        whoever wrote it: for one that lost some, or that shows devices different logs. Spaces
        that have no relay of their own go where the private one goes. What keeps one of them
        from being in step is in the report (`problems`), and stops no other; so is what organisations
        left (`deposits`), which is taken at each sync. Raises for the private one,
        where no relay has it (`everywhere`: where one has not), `RelayUnreachable`, `RelayRefused`,
        `RelayMisbehaved`; what is here stays. A home that has no relay (`set_relay`) is in step with those that its
        spaces are at, and keeps the private one to itself; `NotFound` where there are none.
        """
        return self._portal.call(
            lambda call: self._inner.sync(
                url, timeout=timeout, reseed=reseed, everywhere=everywhere, progress=call.told(progress)
            )
        )

    def synced(self, *, everywhere: bool = False, timeout: float | None = None) -> None:
        """While connected, wait until what is here of the private space is at a relay, and what is there is here.

        At one of the home's relays, and those that can be reached; with `everywhere` at each. Raises as `sync`, also
        `NotFound` for a home that has no relay,
        `RelayUnreachable` when nothing got on for `timeout` seconds, and `Misuse` when the home is not connected.
        """
        self._portal.call(lambda call: self._inner.synced(everywhere=everywhere, timeout=timeout))

    def alarms(self) -> list[Alarm]:
        """What showed that a relay showed two devices different logs; nothing is taken back."""
        return self._portal.call(lambda call: self._inner.alarms())

    def audit(self) -> list[Evidence]:
        """What does not count: what devices did, what was refused, and words about members without effect."""
        return self._portal.call(lambda call: self._inner.audit())

    def pick(self, entry: str) -> None:
        """Say, as an owner, which entry of a fork counts, by its hash in `audit` or the beginning of that.

        Raises `NotFound`, `InvalidValue`, `NotAllowed` for who is no owner, and for an entry that broke a rule.
        """
        self._portal.call(lambda call: self._inner.pick(entry))

    def connect(self, url: str | None = None) -> Block[Link]:
        """Keep all spaces in step with their relays while the block lasts, through lost connections.

        Gives the link of the private one to `url` or the home's relay; `relays` tells of all. A home that has no relay
        is connected to those that its spaces are at; `NotFound` where there are none.
        """
        return Block(self._portal, lambda call: self._inner.connect(url), lambda inner: Link(self._portal, inner))

    def status(self) -> HomeStatus:
        """How the home stands, without the network."""
        return self._portal.call(lambda call: self._inner.status())

    def pair(self, url: str | None = None) -> Block[Pairing]:
        """Let another device of this person in: `with home.pair() as pairing: ...`.

        Show `pairing.code`, then `pairing.confirm(ask)`. Raises `NotAllowed` when five
        wrong codes were tried within the last hour: somebody may be guessing.
        """
        return Block(self._portal, lambda call: self._inner.pair(url), lambda inner: Pairing(self._portal, inner))

    def change_passphrase(self, old: str, new: str, *, kdf: crypto.Kdf | None = None) -> None:
        """Let `new` open this home instead of `old`; see `chez.change_passphrase`.

        Raises `WrongPassphrase` when `old` is not the one it has, also where the home is open
        already, `InvalidValue`, `NotAllowed` when it was changed meanwhile, `StorageFailed`.
        """
        self._portal.call(lambda call: self._inner.change_passphrase(old, new, kdf=kdf))

    def derive_key(self, label: str) -> bytes:
        """A 32-byte secret of this device for one purpose, the same each time."""
        return self._portal.do(lambda: self._inner.derive_key(label))

    def sign(self, context: str, *fields: bytes) -> bytes:
        """Sign with this device's key (64 bytes); verify with `chez.crypto.verify(home.device_id, ...)`."""
        return self._portal.do(lambda: self._inner.sign(context, *fields))


class Hosting(Front[AsyncHosting]):
    """An invitation by code that waits for its guest; made by `Space.invite_by_code`.

    `code` is to be typed by the guest (`Home.join`); it works once, for ten minutes.
    """

    @property
    def code(self) -> str:
        """What is typed by the guest: a secret while it works."""
        return self._inner.code

    def joined(self, ask: Ask | None = None) -> Member:
        """Wait for the guest, let the person confirm, let the guest in, and tell it where the space is.

        `ask(question, default="no")` gives the person's answer, "yes" or "no"; without it, the code alone decides.
        Raises `BadPairing` when a wrong code was tried (this one is burnt then), `NotAllowed`
        when the person says no or nobody came in ten minutes, `RelayUnreachable` when the relay
        does not get in time what the guest needs.
        """
        return self._portal.call(lambda call: self._inner.joined(call.asking(ask)))

    def open(self) -> None:
        """Make both inboxes and leave the hello in one."""
        self._portal.call(lambda call: self._inner.open())

    def close(self) -> None:
        """Remove what is left for the host; a welcome must stay until it is taken.

        Whoever typed the code wrong, or types it from now on, is sent away.
        """
        self._portal.call(lambda call: self._inner.close())


class Journal(Front[AsyncJournal]):
    """The journal of one home; made by it. `now` gives Unix milliseconds."""

    def append(self, kind: str, body: Mapping[str, Any]) -> Receipt:
        """Write a receipt; durable when it returns. `body` is JSON-able."""
        return self._portal.call(lambda call: self._inner.append(kind, body))

    def reserve(self, accounts: Mapping[str, float], bits: float, kind: str, body: Mapping[str, Any]) -> Receipt:
        """Debit `bits` from every account (name -> limit) and write the receipt, in one transaction.

        Raises `NotAllowed`, debiting nothing, when an account would exceed its limit, or on a
        device that was restored or copied what was allowed there since.
        """
        return self._portal.call(lambda call: self._inner.reserve(accounts, bits, kind, body))

    def allow(self, accounts: Iterable[str], bits: float) -> None:
        """Let so many more bits be debited from each of these accounts, where a restored or copied device has none.

        The person's word on this device, as a grant is. A limit still bounds what is spent in
        all, and on any other device nothing changes. Raises `InvalidValue`.
        """
        self._portal.call(lambda call: self._inner.allow(accounts, bits))

    def spent(self, account: str) -> float:
        """The bits debited from an account so far."""
        return self._portal.call(lambda call: self._inner.spent(account))

    def receipts(self, kind: str | None = None, **fields: str | int) -> list[Receipt]:
        """The receipts in order; of one kind, and whose body has these values, where given."""
        return self._portal.call(lambda call: self._inner.receipts(kind, **fields))

    def former(self) -> list[tuple[bytes, Receipt]]:
        """The receipts of the devices that this home was before it was restored or copied, with their ids."""
        return self._portal.call(lambda call: self._inner.former())

    def verify(self) -> Verification:
        """Fold the chain again, check every signature, and the head other devices were told.

        The same for the journals of devices that this home was before, up to the heads
        that its own journal names.
        """
        return self._portal.call(lambda call: self._inner.verify())


class Keyring(Front[AsyncKeyring]):
    """The operating system's keyring as a second way to open a home; `home.keyring`.

    Whoever can ask the keyring while it is unlocked can open the home (docs/security.md).
    """

    def add(self) -> str:
        """Let the keyring open this home, without its passphrase, from now on; give the keyring's name.

        Raises `KeyringUnavailable` when there is none, or it refuses; `NotAllowed` where the home is open for
        reading only. Where the journal can't tell of it (`StorageFailed`), or who waits gives up before it does, all
        stays as it was.
        """
        return self._portal.call(lambda call: self._inner.add())

    def remove(self) -> bool:
        """The keyring opens this home no longer; whether it did. Works without a keyring, too.

        Raises `StorageFailed`, also where it is done and the journal can't tell of it yet; `NotAllowed` where the
        home is open for reading only.
        """
        return self._portal.call(lambda call: self._inner.remove())

    def status(self) -> KeyringStatus:
        """Whether the keyring opens this home, and if not, why."""
        return self._portal.call(lambda call: self._inner.status())


class Lan(Front[AsyncLan]):
    """Sync with devices on the same network, without any relay in between; made by `Home.lan`.

    While it is on and the home is connected (`Home.connect`, `chez up`), this device runs a relay of its own
    for its network, and announces to everybody there that somebody uses Chez, by a name drawn anew each time.
    What it keeps it tells only to who proves to be a member of the same space.
    """

    def on(self) -> None:
        """Be found by devices of the same network, and find them, whenever the home is connected; at once if it is.

        It stays so until `off`. Everybody on the network can see that somebody there uses Chez, not who.
        """
        self._portal.call(lambda call: self._inner.on())

    def off(self) -> None:
        """Be found no more, and delete what the relay for the network had stored."""
        self._portal.call(lambda call: self._inner.off())

    def status(self) -> LanStatus:
        """How it stands."""
        return self._portal.call(lambda call: self._inner.status())


class Link(Front[AsyncLink]):
    """Spaces kept in step with one relay; made by `Home.connect`.

    `status` is "connecting", "syncing", "synced" or "failed", `since` when; `error` tells why it is
    not connected, `next_try` when it is tried next; `problems` which spaces alone are not in step, and why.
    With `known` the relay is another device's, on this network: only what both prove to keep is kept in step.
    """

    @property
    def url(self) -> str:
        """The relay's address."""
        return self._inner.url

    @property
    def address(self) -> str:
        """The same with the pins of its key, if there are any: what is dialled."""
        return self._inner.address

    @property
    def error(self) -> ChezError | None:
        """Why it is not connected, or why something can't be sent."""
        return self._inner.error

    @property
    def since(self) -> float:
        """Unix seconds of when the status became what it is."""
        return self._inner.since

    @property
    def status(self) -> str:
        """In one word, how this link stands."""
        return self._inner.status

    def status_of(self, space: bytes) -> str:
        """The same of one space, by its id."""
        return self._portal.do(lambda: self._inner.status_of(space))

    @property
    def next_try(self) -> float | None:
        """Unix seconds of when it is connected to next, while that is waited for."""
        return self._inner.next_try

    @property
    def connections(self) -> int:
        """How many connections were begun: with each, `progress` begins anew."""
        return self._inner.connections

    @property
    def progress(self) -> Progress:
        """What was done since the last connection began, for all spaces together."""
        return self._inner.progress

    @property
    def done(self) -> Progress:
        """What was done since the link began, over all its connections."""
        return self._inner.done

    @property
    def renewed(self) -> int:
        """How often the relay's store was another one than before, so that it was given everything again."""
        return self._inner.renewed

    @property
    def problems(self) -> dict[bytes, ChezError]:
        """The spaces, by id, that are not in step although the relay can be reached, and why."""
        return self._inner.problems

    @property
    def turns(self) -> int:
        """How many there were (`turn`)."""
        return self._inner.turns

    @property
    def ended(self) -> bool:
        """Whether it ended by itself: for good, or until `next_try`."""
        return self._inner.ended

    @property
    def incarnation(self) -> bytes:
        """What the relay calls its store (32 bytes); empty while it is not connected."""
        return self._inner.incarnation

    def wake(self, space: bytes) -> None:
        """Something of a space, by its id, is left to do that did not come over this link (`Replica.hear`)."""
        self._portal.do(lambda: self._inner.wake(space))

    @property
    def met(self) -> frozenset[bytes]:
        """The handles of the spaces that both proved to keep, on a connection to a device on this network."""
        return self._inner.met

    @property
    def near(self) -> bool:
        """Whether the relay is another device's, on this network."""
        return self._inner.near

    def begin_anew(self) -> None:
        """End the connection; the next one begins from what the store says. One that `ended` is begun again."""
        self._portal.do(lambda: self._inner.begin_anew())

    def check(self, seconds: float = 5.0) -> None:
        """The network may be another, or the device slept: look at the connection now, or try to connect now.

        Called by itself where that can be noticed; for an app that is told of it by the operating
        system. A connection whose relay does not answer within `seconds` is given up.
        """
        self._portal.do(lambda: self._inner.check(seconds))

    def asked(self, seconds: float) -> None:
        """Ask a relay with which all is in step whether it is there still, and wait for the answer.

        A connection on which it does not come within `seconds` is given up, whoever waits no longer. Where something is
        under way, that tells.
        """
        self._portal.call(lambda call: self._inner.asked(seconds))

    def try_now(self) -> None:
        """Somebody asks: try now what would be tried later, the connection or spaces that alone are not in step."""
        self._portal.do(lambda: self._inner.try_now())

    def synced(self, timeout: float | None = None) -> None:
        """Wait until everything here is durable at the relay and everything there is here.

        Spaces that the relay alone refuses are not waited for (`problems`). Raises what ended
        the link, or the first of its spaces, and `RelayUnreachable` once nothing got on for `timeout` seconds:
        while entries come and go it waits on.
        """
        self._portal.call(lambda call: self._inner.synced(timeout))

    def reached(self, space: bytes, timeout: float, *, said: bool = False) -> None:
        """Wait until everything here of one space, by its id, is durable at the relay.

        `said`: what is said of the space is enough, which has room where changes have none.
        Raises what keeps it from that, and `RelayUnreachable` as `synced`.
        """
        self._portal.call(lambda call: self._inner.reached(space, timeout, said=said))

    def forward(self, *, at_once: bool) -> None:
        """Give the relay what others brought, and it does not show: a while ago, or `at_once` at any time."""
        self._portal.do(lambda: self._inner.forward(at_once=at_once))


class Owner(Front[AsyncOwner]):
    """A running server: `path` of its socket, `stopped` set once it was told to end."""

    @property
    def stopped(self) -> Event:
        """Set once it was told to end (`chez lock`)."""
        return Event(self._portal, self._inner.stopped)

    @property
    def locked(self) -> Event:
        """Set once nobody asked for anything for `lock_after` seconds: from then on it answers that it is locked."""
        return Event(self._portal, self._inner.locked)

    @property
    def path(self) -> Path:
        """The socket it listens on."""
        return self._inner.path

    def touch(self) -> None:
        """Count as used now: for an app whose person uses it otherwise than through the socket."""
        self._portal.do(lambda: self._inner.touch())


class Pairing(Front[AsyncPairing]):
    """A pairing that waits for another device; made by `Home.pair`.

    `code` is to be typed on the new device; it works once, for ten minutes.
    """

    @property
    def code(self) -> str:
        """What is typed on the new device: a secret while it works."""
        return self._inner.code

    def confirm(self, ask: Ask | None = None) -> Paired:
        """Wait for the new device, let the person confirm it, certify it.

        `ask(question, default="no")` gives the person's answer, "yes" or "no"; without it, the code alone decides.
        Raises `BadPairing` when a wrong code was tried (this one is burnt then),
        `NotAllowed` when the person says no, `RelayUnreachable` and `RelayRefused`, which say so where the
        new device was certified and could not be told.
        """
        return self._portal.call(lambda call: self._inner.confirm(call.asking(ask)))


class Query(Front[AsyncQuery[R]], Generic[R]):
    """Records of a collection that fulfil conditions; immutable, runs when it is read.

    Without `order_by` records come in the order of their ids. What comparisons mean is
    said in `chez.query.conditions`; every method that reads raises `InvalidValue` for what
    can't be compared.
    """

    @property
    def collection(self) -> str:
        """The collection that is read."""
        return self._inner.collection

    @property
    def ids(self) -> frozenset[str] | None:
        """The only records that the answer can depend on, where the conditions name them."""
        return self._inner.ids

    def where(self, *given: Condition, **equals: Any) -> Query[R]:
        """The same with more conditions: `where(field("amount") < 0, currency="EUR")`.

        Raises `InvalidValue` for a field that the collection's type has not; so do the other methods that name one.
        """
        return Query(self._portal, self._inner.where(*given, **equals))

    def order_by(self, *names: str) -> Query[R]:
        """Sorted by fields; a `-` before the name turns the order round.

        None and missing come first, then numbers (true is 1), then text (times, bytes, and
        lists and maps as their JSON among it). Where a type declares decimals, what is no
        number is with None. Equal ones come by their ids, downwards if the last field does.
        """
        return Query(self._portal, self._inner.order_by(*names))

    def limit(self, count: int) -> Query[R]:
        """At most `count` records."""
        return Query(self._portal, self._inner.limit(count))

    def offset(self, count: int) -> Query[R]:
        """Without the first `count` records; they cost their time all the same."""
        return Query(self._portal, self._inner.offset(count))

    def group_by(self, *names: str, **named: str) -> Groups[R]:
        """Records with equal fields together: `group_by("city", town="address.town")`."""
        return Groups(self._portal, self._inner.group_by(*names, **named))

    def all(self) -> list[R]:
        """Every matching record."""
        return self._portal.call(lambda call: self._inner.all())

    def first(self) -> R | None:
        """The first matching record, or None."""
        return self._portal.call(lambda call: self._inner.first())

    def exists(self) -> bool:
        """Whether any record matches."""
        return self._portal.call(lambda call: self._inner.exists())

    def live(self) -> Items[list[R]]:
        """The matching records now, and again whenever the answer has changed, from wherever.

        Commits that come while an answer is being used are one; the last state is never
        missed. What a commit costs grows with the answer and with what it wrote, whether or
        not an index serves the query; with a `limit`, a record that leaves the answer has it
        asked in full. Ends when the home closes.
        """
        return Items(self._portal, lambda: self._inner.live(), ends=True)

    def __iter__(self) -> Items[R]:
        """Matching records one by one; memory stays at a page of them, and a number for each if sorted or filtered."""
        return Items(self._portal, lambda: self._inner.__aiter__(), batch=BATCH)

    def count(self) -> int:
        """How many records match."""
        return self._portal.call(lambda call: self._inner.count())

    def sum(self, name: str) -> Any:
        """The sum of the numbers in a field: whole if they all are, exact for decimals, 0 without any."""
        return self._portal.call(lambda call: self._inner.sum(name))

    def avg(self, name: str) -> Any:
        """The mean of the numbers in a field, None without any."""
        return self._portal.call(lambda call: self._inner.avg(name))

    def min(self, name: str) -> Any:
        """The first value of a field in the order of `order_by`, None and missing left out; None without any."""
        return self._portal.call(lambda call: self._inner.min(name))

    def max(self, name: str) -> Any:
        """The last value of a field, likewise."""
        return self._portal.call(lambda call: self._inner.max(name))

    def aggregate(self, **wanted: Aggregate) -> dict[str, Any]:
        """Several numbers about the matching records at once: `aggregate(n=chez.count(), most=field("cups").max())`."""
        return self._portal.call(lambda call: self._inner.aggregate(**wanted))


class Relays(Front[AsyncRelays]):
    """Which relays keep what this home has; made by `Home.relays`.

    Every space that has no relay of its own is kept in step with each of them: what one of them
    loses or withholds the others have, and while one can't be reached the others go on. All devices of
    the person go by the same list: what is said on one the others hear with their next sync, and follow. What is
    said with `here` is for this device alone.
    """

    def list(self) -> list[RelayStatus]:
        """How the connection to each stands, that of the home first."""
        return self._portal.do(lambda: self._inner.list())

    def set(self, url: str, *, pins: Sequence[str] | None = None, here: bool = False) -> None:
        """Let the home be known by another relay; with `pins` as in `pin`.

        Where there are other devices, relays beside it, or others in spaces that are kept there, the former one is kept
        beside it until it is removed, for they may have to hear of it there. Raises `InvalidValue`.
        """
        self._portal.call(lambda call: self._inner.set(url, pins=pins, here=here))

    def add(self, url: str, *, pins: Sequence[str] | None = None, here: bool = False) -> None:
        """Keep everything at one more relay, which is filled with what is here; at once while connected.

        With `pins` as in `pin`. Again is fine. Raises `InvalidValue` for what is no relay's address, for more than 16,
        and as `pin`, `NotFound` while the home has no relay (`Home.set_relay`).
        """
        self._portal.call(lambda call: self._inner.add(url, pins=pins, here=here))

    def token(self, url: str, token: str) -> None:
        """Remember the token that a relay's operator gave out, which some want for making spaces; empty forgets it.

        It goes to that relay alone, and to the person's devices. Raises `InvalidValue` for what is no relay's address,
        and for a token of more than 512 characters.
        """
        self._portal.call(lambda call: self._inner.token(url, token))

    def pin(self, url: str, pins: Sequence[str]) -> None:
        """Dial a relay from now on only if its certificate's key is one of these; without any, as any that is trusted.

        A pin is `sha256:` and the hash of the certificate's SubjectPublicKeyInfo in base64, which `chez-relay pin`
        prints. It comes beside the trust in the certificate, not in its place. Name two, the key in use and the next
        one, and a relay may change its key. Who answers with another one is told nothing (`WrongPin`). Raises
        `InvalidValue` for what is no pin, for more than eight, and for an address without TLS.
        """
        self._portal.call(lambda call: self._inner.pin(url, pins))

    def pins(self, url: str) -> tuple[str, ...]:
        """The pins that this home has for a relay."""
        return self._portal.do(lambda: self._inner.pins(url))

    def address(self, url: str) -> str:
        """What is dialled to reach a relay: its URL, with the pins that this home has for it behind a `#`."""
        return self._portal.do(lambda: self._inner.address(url))

    def remove(self, url: str, *, here: bool = False) -> tuple[str, ...]:
        """Keep in step with a relay no more; what it has stays there.

        While connected to it, that is said there first. Returns the names of this person's other devices of which
        nothing came since the home's relay was set: one that was away since, and knows of this relay alone, would hear
        of nothing more, until the relay is set on it (or `add` brings this one back). Raises `NotFound` for one that
        was not added, `InvalidValue` for the home's own.
        """
        return self._portal.call(lambda call: self._inner.remove(url, here=here))

    def follow(self) -> None:
        """Go by what other devices of the person said of relays, as far as it is here."""
        self._portal.call(lambda call: self._inner.follow())

    def following(self) -> Block[None]:
        """Do so while the block lasts, whenever there is something new. Called when the home opens."""
        return Block(self._portal, lambda call: self._inner.following(), same)


class Space(Front[AsyncSpace]):
    """One space of a home: records that are kept, and shared, together; made by `Home.space`.

        trip = home.create_space("Trip to Rome")
        trip.collection("costs").put({"what": "Train", "euros": 84})

    A record's id is its own within its space and collection: two spaces may have one each.
    """

    @property
    def id(self) -> str:
        """What names it everywhere and for ever: 64 hexadecimal digits."""
        return self._inner.id

    @property
    def name(self) -> str:
        """Its name, for people: several spaces may have one."""
        return self._inner.name

    @property
    def private(self) -> bool:
        """Whether it is the person's own space, which is shared with nobody."""
        return self._inner.private

    @property
    def public(self) -> bool:
        """Whether everybody reads it who has its `address`."""
        return self._inner.public

    @property
    def address(self) -> str:
        """What lets anybody read this public space; it stays good over rotations.

        It carries the pins that this home has for the relay: who comes by it, and knew nothing of that, goes by them.
        Raises `NotAllowed` for a space that is not public, `NotFound` when it is at no relay yet.
        """
        return self._inner.address

    @property
    def role(self) -> RoleName | None:
        """What this person may do in it; None for who has no part in it any more: left, or was taken out."""
        return self._inner.role

    @property
    def archived(self) -> bool:
        """Whether its owners put it away: it is read and kept in step, and nobody writes in it."""
        return self._inner.archived

    @property
    def blobs(self) -> Blobs:
        """Attachments of its records."""
        return Blobs(self._portal, self._inner.blobs)

    @overload
    def collection(
        self,
        what: str,
        *,
        name: str | None = ...,
        indexes: Sequence[Declared] = ...,
        search: Sequence[str] = ...,
        version: int = ...,
        migrations: Mapping[int, Migration] | None = ...,
    ) -> Collection[dict[str, Any]]: ...
    @overload
    def collection(
        self,
        what: type[S],
        *,
        name: str | None = ...,
        indexes: Sequence[Declared] = ...,
        search: Sequence[str] = ...,
        version: int = ...,
        migrations: Mapping[int, Migration] | None = ...,
    ) -> Collection[S]: ...
    def collection(
        self,
        what: str | type[Any],
        *,
        name: str | None = None,
        indexes: Sequence[Declared] = (),
        search: Sequence[str] = (),
        version: int = 1,
        migrations: Mapping[int, Migration] | None = None,
    ) -> Collection[Any]:
        """A collection of this space; see `Home.collection`. Raises `InvalidValue`."""
        return Collection(
            self._portal,
            self._inner.collection(
                what, name=name, indexes=indexes, search=search, version=version, migrations=migrations
            ),
        )

    def collections(self) -> list[CollectionInfo]:
        """Every collection that has records in this space, by name."""
        return self._portal.call(lambda call: self._inner.collections())

    def trash(self, limit: int = 1000) -> list[Trashed[dict[str, Any]]]:
        """The deleted records of all collections but Chez's own, the last ones first; see `Collection.trash`."""
        return self._portal.call(lambda call: self._inner.trash(limit))

    def conflicts(
        self, collection: str | None = None, *, damaged: OnDamaged | None = None, progress: OnProgress | None = None
    ) -> dict[tuple[str, str], list[Conflict]]:
        """The conflicts of a collection's records, or of all but Chez's own, by collection and id.

        See `Collection.conflicts`. `progress(done, total)` in records that were changed. `damaged` is told of each
        record whose history can't be read on this device, and the others' conflicts are given all the same; without it
        the first of them is raised. Raises `InvalidValue`, `Damaged`.
        """
        return self._portal.call(
            lambda call: self._inner.conflicts(collection, damaged=call.told(damaged), progress=call.told(progress))
        )

    def changes(self, since: str | None = None, *, live: bool = True) -> Items[FeedPage[dict[str, Any]]]:
        """What changed in all collections of this space since a cursor; see `Collection.changes`.

        Ends when the home closes.
        """
        return Items(self._portal, lambda: self._inner.changes(since, live=live), ends=live)

    def import_file(
        self,
        path: Path | str,
        *,
        connector: Connector | str | None = None,
        keep: bool = False,
        overwrite: bool = False,
        in_process: bool = False,
        progress: OnProgress | None = None,
    ) -> ImportReport:
        """Bring an outside file, or a folder that `export` wrote, into this space; see `Home.import_file`."""
        return self._portal.call(
            lambda call: self._inner.import_file(
                path,
                connector=connector,
                keep=keep,
                overwrite=overwrite,
                in_process=in_process,
                progress=call.told(progress),
            )
        )

    def kept_exports(self) -> list[KeptExport]:
        """The files that `import_file(..., keep=True)` kept in this space, by name."""
        return self._portal.call(lambda call: self._inner.kept_exports())

    def import_again(
        self,
        sha256: str,
        *,
        connector: Connector | None = None,
        overwrite: bool = False,
        progress: OnProgress | None = None,
    ) -> ImportReport:
        """Read a kept export as today's connectors do, or by the mapping that it was kept with; what a newer one reads
        differently is updated. With a `connector` it is read by that one: a newer mapping, which is kept instead.
        To `overwrite` takes its word for what the person changed, too.

        Raises `NotFound`, `BlobMissing` where the file is not on this device and can't be fetched, and what
        `import_file` raises.
        """
        return self._portal.call(
            lambda call: self._inner.import_again(
                sha256, connector=connector, overwrite=overwrite, progress=call.told(progress)
            )
        )

    def export(self, path: Path | str, *, history: bool = False, progress: OnProgress | None = None) -> ExportReport:
        """Write all records of this space into a new folder; see `Home.export`."""
        return self._portal.call(lambda call: self._inner.export(path, history=history, progress=call.told(progress)))

    def status(self) -> SpaceStatus:
        """How it stands with its relay, without the network."""
        return self._portal.do(lambda: self._inner.status())

    def broadcast(self, topic: str, value: Any) -> int:
        """Say something to all devices of members that listen just now: who is here, where a cursor stands.

        `value` is JSON of at most 8 KiB, `topic` up to 64 characters. It is sealed and signed as an entry is, sent at
        once, and kept nowhere: a device that is not connected, or that is slow, never hears it. Returns to how many
        relays it was given: 0 while the home is not connected, and nothing is sent later then. Every member may say
        something, a reader too. Raises `InvalidValue`, `NotAllowed` for who is no member.
        """
        return self._portal.call(lambda call: self._inner.broadcast(topic, value))

    def ephemeral(self, topic: str | None = None, *, room: int = ROOM) -> Items[EphemeralMessage]:
        """What other devices, of this person too, `broadcast` in this space from the first step on, on a topic or any.

        Each comes once, in the order its device said it, from a device whose person is a member now and that is there
        since this one connected: what a relay plays again is let go. Of more than `room` that wait, the oldest go, and
        the next one counts them (`missed`). Ends when the home closes. Raises `InvalidValue`, `NotAllowed` for who is
        no member.
        """
        return Items(self._portal, lambda: self._inner.ephemeral(topic, room=room), ends=True)

    def members(self) -> list[Member]:
        """Everybody who shares it: owners first, then writers, then readers."""
        return self._portal.call(lambda call: self._inner.members())

    def member(self, who: Who) -> Member:
        """The member whom a contact's name, a name or an id means. Raises `NotFound`, `InvalidValue` where several are
        called so.
        """
        return self._portal.call(lambda call: self._inner.member(who))

    def add(self, card: str, role: RoleName = "writer", *, invite: bytes = b"") -> Member:
        """Let a person in, a contact by its name, or by the card that it gave (`Home.card`), with all devices it has.

        In effect here when it returns; with the next sync the newcomer can `Home.join` by the
        space's `link`, and reads everything from the first entry on. `invite` is the hash of the
        invitation that the person came by. Raises `NotAllowed` for who is no owner, for who is
        a member already and in the private space, `InvalidValue` for what is no card, `NotFound`.
        """
        return self._portal.call(lambda call: self._inner.add(card, role, invite=invite))

    def set_role(self, who: Who, role: RoleName) -> Member:
        """Give a member another role, or give up one's own for a lower one.

        Who may write no more, wrote what is here; what it sends later counts for nothing. The
        space gets a new epoch, for owners and writers have keys of their own at the relay.
        Raises `NotAllowed` for who is no owner, and for the only owner's own role, `NotFound`,
        `InvalidValue`.
        """
        return self._portal.call(lambda call: self._inner.set_role(who, role))

    def remove(self, who: Who) -> Member:
        """Take a member out, with all its devices, and start a new epoch.

        It keeps what it has, and reads nothing that is written from now on; what it wrote and is
        here stays, and what arrives later of it counts for nothing, unless a member builds on
        it. Raises `NotAllowed` for who is no owner and for oneself (`leave`), `NotFound`,
        `InvalidValue` where several are called so.
        """
        return self._portal.call(lambda call: self._inner.remove(who))

    def leave(self) -> None:
        """End this person's part in it; all devices of the person keep what they have, until it is forgotten there.

        An owner who is left starts a new epoch when a device of that owner hears of it. Raises
        `NotAllowed` for the only owner, and where nobody else is left.
        """
        self._portal.call(lambda call: self._inner.leave())

    def transfer(self, who: Who) -> Member:
        """Make another member an owner, and oneself a writer. Raises as `set_role`."""
        return self._portal.call(lambda call: self._inner.transfer(who))

    def rename(self, name: str) -> None:
        """Call it differently, for all members. Raises `NotAllowed` for who is no owner, `InvalidValue`."""
        self._portal.call(lambda call: self._inner.rename(name))

    def archive(self, archived: bool = True) -> None:
        """Put it away, for all members, or take it out again. Raises `NotAllowed` for who is no owner."""
        self._portal.call(lambda call: self._inner.archive(archived))

    def rotate(self) -> None:
        """Start a new epoch: whoever has older keys only reads nothing that is written from now on.

        Raises `NotAllowed` for who is no owner.
        """
        self._portal.call(lambda call: self._inner.rotate())

    def checkpoint(self, *, timeout: float = 600.0) -> Checkpoint | None:
        """Write what is at each relay smaller, and return once everything that can be done about it now is.

        Entries become compressed documents that a new device begins with; nobody need be trusted for it. Once
        another person's device (in a space of one person, this one) read it back, an owner's device asks
        the relay to drop the entries, which gives their room back after the relay's grace. A relay that can't be
        reached now gets its own when the home meets it again. None when there is
        nothing to write. Raises `NotAllowed` for who may not write, and what `Home.sync` raises.
        """
        return self._portal.call(lambda call: self._inner.checkpoint(timeout=timeout))

    def usage(self, *, relay: str | None = None) -> Usage:
        """How much room it takes at a relay, and how much it may; without a name at the first that it is at.

        Raises `NotFound` for a relay that it is not at, `RelayUnreachable`, `RelayRefused`.
        """
        return self._portal.call(lambda call: self._inner.usage(relay=relay))

    def room(self) -> Room | None:
        """How much of this device it takes and may take, of a public space that is followed; None for any other."""
        return self._portal.call(lambda call: self._inner.room())

    def give_room(self, *, bytes: int | None = None, records: int | None = None) -> Room:
        """Let a followed space take so much of this device: bytes of the store, and records that ever came.

        What came is not taken away; one that stood at its bound goes on. Nothing is said to other devices.
        Raises `NotAllowed` for a space that is not followed, which has no bound, and `InvalidValue`.
        """
        return self._portal.call(lambda call: self._inner.give_room(bytes=bytes, records=records))

    def move(self, *, relay: str | None = None) -> None:
        """Take it to another place at its relay, or at another one, with all that is in it; as an owner.

        For when the relay lets nobody in any more: who was an owner and left may have put keys
        of its own in place. Members come by the new `link`; who was taken out can't. Raises
        `NotAllowed`, `InvalidValue` for what is no relay.
        """
        self._portal.call(lambda call: self._inner.move(relay=relay))

    def forget(self) -> None:
        """Erase it on this device, for who left it, was taken out, or follows it; nothing changes for others.

        Raises `NotAllowed` for a member, and until a relay has heard that one left.
        """
        self._portal.call(lambda call: self._inner.forget())

    def delete(self) -> None:
        """Delete it, with all that is in it: at its relays, here, and on the person's other devices.

        For who is alone in it. Where it was before it was moved it is deleted too, if that can be
        reached. Raises `NotAllowed`, `RelayUnreachable`, `RelayRefused`: then it is here still.
        What is cut off when a relay had deleted it, the next sync finishes.
        """
        self._portal.call(lambda call: self._inner.delete())

    def link(self) -> str:
        """What a member needs to find the space: text without any secret, for `Home.join`.

        Raises `NotFound` while the space is at no relay, `NotAllowed` for the private one.
        """
        return self._portal.do(lambda: self._inner.link())

    def invite(self, role: RoleName = "writer", *, uses: int = 1, expires: timedelta = WEEK) -> Invitation:
        """Invite whoever shall hold the link (`Invitation.link`): for `uses` persons, from a minute to 90 days.

        The link is a secret: give it to those who shall come in. They `Home.join` by it, and are
        let in when a device of this person is next in step with the relay, and they are there
        or ask again. Durable here when it returns; the link works after the next sync. Raises
        `NotAllowed` for who is no owner, `InvalidValue`, `NotFound` while the space is at no relay.
        """
        return self._portal.call(lambda call: self._inner.invite(role, uses=uses, expires=expires))

    def invite_by_code(self, role: RoleName = "writer") -> Block[Hosting]:
        """Invite somebody who is there just now: `with space.invite_by_code() as invitation: ...`.

        Show `invitation.code`, for `Home.join` there, then `invitation.joined(ask)`. It
        works once, for ten minutes. Raises `NotAllowed` for who is no owner, and when five wrong
        codes were tried within the last hour, `NotFound` while the space is at no relay.
        """
        return Block(
            self._portal, lambda call: self._inner.invite_by_code(role), lambda inner: Hosting(self._portal, inner)
        )

    def invitations(self) -> list[Invitation]:
        """Every invitation that owners made, the newest first, with those that ended."""
        return self._portal.call(lambda call: self._inner.invitations())

    def revoke(self, invitation: Invitation | str) -> Invitation:
        """Let an invitation, or the one whose id begins so, be worth nothing any more. Whoever came by it stays.

        Another device that is just letting somebody in may do so until it hears of it. Raises
        `NotAllowed` for who is no owner, `NotFound`.
        """
        return self._portal.call(lambda call: self._inner.revoke(invitation))


class Transaction(Front[AsyncTransaction]):
    """What the function given to `Home.transaction` reads and writes with, until it returns.

    Collections are those of the same home; reading sees what this transaction wrote.
    `NotFound` and `NotAllowed` leave everything as it was and may be caught; any other
    error of a write ends the transaction, also when it is caught. Afterwards every call
    raises `Misuse`.
    """

    def get(self, collection: Collection[T], id: str) -> Record[T]:
        """The record with this id. Raises `NotFound`."""
        return self._inner.get(collection._inner, id)

    def put(self, collection: Collection[T], value: T, *, id: str | None = None) -> Record[T]:
        """Store a record, like `Collection.put`. Raises `InvalidValue`.

        It does not wait for an open edit of the record: the edit merges when it ends.
        """
        return self._inner.put(collection._inner, value, id=id)

    def delete(self, collection: Collection[Any], id: str) -> None:
        """Delete a record. Raises `NotFound`."""
        self._inner.delete(collection._inner, id)

    def receipts(self, kind: str | None = None, **fields: str | int) -> list[Receipt]:
        """The receipts in order; of one kind, and whose body has these values, where given."""
        return self._inner.receipts(kind, **fields)

    def receipt(self, kind: str, body: Mapping[str, Any], *, waits: bool = False) -> Receipt:
        """Write a receipt; `body` is JSON-able. Raises `InvalidValue`.

        The journal's head goes to the person's other devices at once, as an entry, by which a relay sees that
        something was done. Of one that `waits` they are told with the next one that doesn't: for what must not
        show when it was done.
        """
        return self._inner.receipt(kind, body, waits=waits)

    def reserve(self, accounts: Mapping[str, float], bits: float, kind: str, body: Mapping[str, Any]) -> Receipt:
        """Debit `bits` from every account (name -> limit) and write the receipt, like `Journal.reserve`.

        Raises `NotAllowed` when an account would exceed its limit, `InvalidValue`.
        """
        return self._inner.reserve(accounts, bits, kind, body)

    def former_receipts(self, kind: str | None = None, **fields: str | int) -> list[Receipt]:
        """As `receipts`, of the devices that this home was before it was restored or copied."""
        return self._inner.former_receipts(kind, **fields)

    def allow(self, accounts: Iterable[str], bits: float) -> None:
        """Let so many more bits be debited from accounts that are closed here, like `Journal.allow`.

        Raises `InvalidValue`.
        """
        self._inner.allow(accounts, bits)

    def save_cursor(self, name: str, cursor: str) -> None:
        """Keep the cursor of a change feed on this device under a name (`Home.saved_cursor` has it again).

        Written together with what was made of the page it came with, each page is made use
        of exactly once. Raises `InvalidValue` for what is no cursor of this home.
        """
        self._inner.save_cursor(name, cursor)

    def keep(self, name: str, value: bytes) -> None:
        """Keep a few bytes on this device under a name; never synced, and this device's alone.

        For what must be written together with a receipt, and would else be counted again from
        all receipts. A home that was restored or copied has nothing of it. Raises
        `InvalidValue` for a name that is none, or more than 1 MiB.
        """
        self._inner.keep(name, value)

    def kept(self, name: str) -> bytes | None:
        """What `keep` kept under a name, None if nothing. Raises `InvalidValue` for a name that is none."""
        return self._inner.kept(name)


class Typing(Front[AsyncTyping]):
    """A text being typed in; made by `Collection.typing`.

    It reads as what is in front of the person who types: what they typed, at once, and what
    others wrote up to the last `take` (or step of `arrivals`). Positions count code points of
    that.
    """

    @property
    def content(self) -> str:
        """What the text reads."""
        return self._inner.content

    @property
    def pending(self) -> int:
        """How many strokes are not durable yet: a crash now would lose these, the last ones."""
        return self._inner.pending

    @property
    def error(self) -> Exception | None:
        """Why the last attempt to write failed; None when it did not.

        What was typed stays in the session; typing goes on, and each `flush` and each stroke
        that follows lead to another attempt.
        """
        return self._inner.error

    def splice(self, at: int, delete: int = 0, insert: str = "") -> None:
        """Take out `delete` characters at a position and put in others: shown at once, durable soon.

        Each call is a change of the record by itself; one of more than 32,768 characters is several.
        Raises `InvalidValue` for a position outside the text, and `Misuse` once the block has ended;
        then nothing has changed.
        """
        self._portal.do(lambda: self._inner.splice(at, delete, insert))

    def insert(self, at: int, text: str) -> None:
        """Put characters in at a position. Raises as `splice` does."""
        self._portal.do(lambda: self._inner.insert(at, text))

    def delete(self, at: int, count: int = 1) -> None:
        """Take characters out at a position. Raises as `splice` does."""
        self._portal.do(lambda: self._inner.delete(at, count))

    def append(self, text: str) -> None:
        """Put characters in at the end. Raises as `splice` does."""
        self._portal.do(lambda: self._inner.append(text))

    def undo(self) -> tuple[Splice, ...]:
        """Take back what was last typed here in one go, leaving alone what others wrote.

        In one go is what was typed on at one place, without a pause of over a second. It is an edit as any
        other, a change more. Returns what it did to the text, to be applied one step after the other; nothing when
        nothing is left to undo. Up to 1,000 steps of this session can be undone. Raises `Misuse`
        once the block has ended.
        """
        return self._portal.do(lambda: self._inner.undo())

    def redo(self) -> tuple[Splice, ...]:
        """Take back the last undo, if nothing was typed since. Returns, and raises, as `undo` does."""
        return self._portal.do(lambda: self._inner.redo())

    def flush(self) -> None:
        """Return once all that was typed before is durable, and what others wrote until now can be taken.

        Raises `StorageFailed` when the disk refuses, `NotFound` while the record is deleted or when the text is
        gone, `RecordPurged`; what was typed stays in the session. Raises `Misuse` once the block has ended.
        """
        self._portal.call(lambda call: self._inner.flush())

    def take(self) -> tuple[Splice, ...]:
        """Show what others wrote, as far as it has arrived in the session.

        Returns what that did to the text: to be applied, one step after the other, to whatever shows it.
        """
        return self._portal.do(lambda: self._inner.take())

    def arrivals(self) -> Items[tuple[Splice, ...]]:
        """What others write (on other devices, and elsewhere on this one), as it arrives: `take`, again and again.

            for steps in text.arrivals():
                for step in steps:                  # one after the other, before anything else is typed
                    view.replace(step.at, step.at + step.delete, step.insert)

        Ends when the home closes, or the block ends.
        """
        return Items(self._portal, lambda: self._inner.arrivals(), ends=True)


def become_new_device(path: Path | str, *, passphrase: str | None = None, name: str | None = None) -> Renewal:
    """Make a copied home a device of its own, in place: certified, with its unsent work, without its allowances.

    One transaction: killed at any instant, the home is as it was or done. Raises as `open`
    does, `Damaged` when a record with unsent work can't be read, and `BadArchive` when the
    store has tables, views or triggers that Chez does not make.
    """
    return alone(lambda call: async_become_new_device(path, passphrase=passphrase, name=name))


def change_passphrase(path: Path | str, old: str, new: str, *, kdf: crypto.Kdf | None = None) -> None:
    """Let `new` open a home instead of `old`; of an open home see `Home.change_passphrase`.

    Only the key file is written: the store and its key stay. Killed at any instant, one of
    the two opens the home; who gives up finds it changed, with its receipt, or as it was.
    Copies of the old key file, backups among them, go on opening with the old passphrase.
    `kdf` is what guessing costs; by default as it was. Raises `InvalidValue` for an empty
    passphrase, and as `open` does.
    """
    alone(lambda call: async_change_passphrase(path, old, new, kdf=kdf))


def create(
    path: Path | str,
    *,
    passphrase: str,
    name: str = "device",
    person: str | None = None,
    words: str | None = None,
    fresh: bool = False,
    kdf: crypto.Kdf | None = None,
) -> str:
    """Make a home for a new person (or for the one of `words`) and return the 24 words.

    The words are nowhere else: show them once. `name` is what this device is called, `person`
    what others who share a space see its person called (for good; as the device, unless given).
    `fresh` says that the `words` were just made (`new_words`) and no home is of them: only a person's first home
    has allowance for jobs. Raises `HomeExists`, `InvalidValue`, `StorageFailed`.
    """
    return alone(
        lambda call: async_create(
            path, passphrase=passphrase, name=name, person=person, words=words, fresh=fresh, kdf=kdf
        )
    )


def doctor(
    path: Path | str,
    *,
    passphrase: str | None = None,
    repair: bool = False,
    rebuild: bool = False,
    progress: OnProgress | None = None,
) -> Diagnosis:
    """Examine a home; with `repair` mend what is found, with `rebuild` make every record again from the log.

    Examining alone changes nothing, and may be done while an owner has the home open.
    `progress(done, total)` in steps of whatever is under way. Raises as `open` does;
    `Damaged` when the keys are lost or the file does not open at all.
    """
    return alone(
        lambda call: async_doctor(
            path, passphrase=passphrase, repair=repair, rebuild=rebuild, progress=call.told(progress)
        )
    )


def join(
    path: Path | str,
    code: str,
    *,
    passphrase: str,
    name: str = "device",
    relay: str | None = None,
    kdf: crypto.Kdf | None = None,
) -> None:
    """Make a home that is another device of the person who shows this pairing code.

    `relay` is needed when the code does not name one. Afterwards open it and sync.
    Raises `BadPairing`, `HomeExists`, `RelayUnreachable`, `InvalidValue`, and `NotFound` when
    the relay knows of no such code.
    """
    alone(lambda call: async_join(path, code, passphrase=passphrase, name=name, relay=relay, kdf=kdf))


def open(path: Path | str, *, passphrase: str | None = None, read_only: bool = False) -> Home:
    """Open a home; it is this process's alone until the block ends.

    Without a passphrase the operating system's keyring opens it, where `home.keyring.add()`
    allowed that; else `HomeLocked` or `KeyringUnavailable` is raised.

    With `read_only` it opens beside the process that owns it, or without one: it sees what
    is committed each time it looks, is told of nothing (live answers come once), and every
    write raises `NotAllowed`. So opens a home on a disk that is read-only, unless it was cut off there.
    Raises `HomeMissing`, `HomeBusy` (naming the owner), `WrongPassphrase`, `Damaged`, `StorageFailed`.
    """
    return Home.opened(lambda: async_open(path, passphrase=passphrase, read_only=read_only))


def recover(
    path: Path | str,
    words: str,
    *,
    relay: str,
    passphrase: str,
    name: str = "device",
    expel_others: bool = False,
    ask: Ask | None = None,
    incomplete: bool = False,
    kdf: crypto.Kdf | None = None,
    progress: OnProgress | None = None,
    timeout: float = 3600.0,
) -> Recovered:
    """Make a home that is a new device of the person whose 24 words these are, with all that its relay has.

    `relay` is one that the person's devices are in step with. `expel_others` takes out all
    other devices of the person, for good: what they write from then on counts nowhere, and
    they read nothing new. Where it is False and `ask` is given, the person is asked, with the
    devices by name. Attachments come when they are read.

    Nothing is at `path` before the home is whole, nor is anything told to the relay; what was
    cut off is begun anew by the same call. With `incomplete` what the relay has is taken also
    where it is known that something is missing. `progress(done, total)` in entries, of reading
    all of it twice; `timeout` is in seconds.

    Raises `InvalidValue` for words that are none, `NotFound` when the relay knows no person
    with these words, `LockedOut` when it has the person's space and nothing there that they open
    (then `take_back` on a device that is left), `RelayMisbehaved` when it hides or alters
    something, `RelayUnreachable`, `RelayRefused`, `HomeExists`, `StorageFailed`.
    """
    return alone(
        lambda call: async_recover(
            path,
            words,
            relay=relay,
            passphrase=passphrase,
            name=name,
            expel_others=expel_others,
            ask=call.asking(ask),
            incomplete=incomplete,
            kdf=kdf,
            progress=call.told(progress),
            timeout=timeout,
        )
    )


def restore(
    file: Path | str,
    path: Path | str,
    *,
    passphrase: str,
    name: str | None = None,
    kdf: crypto.Kdf | None = None,
    progress: OnProgress | None = None,
) -> Restored:
    """Make a home from a backup: a new device of its person, which holds what the backup holds.

    `passphrase` is the one the home had when the backup was made, and the new home's.
    `name` is what the new device is called; by default as the old one. Nothing is at `path`
    until all of it was checked; what was cut off is begun anew by the same call. `progress(done, total)` in bytes.
    Raises `HomeExists`, `NotFound`, `WrongPassphrase`, `BadArchive`, `StorageFailed`, `InvalidValue`.
    """
    return alone(
        lambda call: async_restore(file, path, passphrase=passphrase, name=name, kdf=kdf, progress=call.told(progress))
    )


def serve(home: Home, *, lock_after: float | None = None) -> Block[Owner]:
    """Serve the verbs of an open home on its private socket until the block ends.

    The caller's process owns the home. With `lock_after` (seconds) the owner sets `locked`,
    and answers no more, once nobody asked for anything for so long (`Owner.touch` counts,
    too): leave the block of `chez.open`, which closes the home. Raises `StorageFailed` when
    the socket can't be made or the home is closed, `InvalidValue`. On the way out verbs under way get some
    seconds to finish, then are cancelled.
    """
    return Block(
        home._portal,
        lambda call: async_serve(home._inner, lock_after=lock_after),
        lambda inner: Owner(home._portal, inner),
    )


def take_back(
    path: Path | str,
    words: str,
    *,
    passphrase: str | None = None,
    expel: Sequence[str | bytes] = (),
    expel_others: bool = False,
    ask: Ask | None = None,
    progress: OnProgress | None = None,
    timeout: float = 3600.0,
) -> TakenBack:
    """Take the spaces of the home at `path` back from a device in wrong hands, by the person's 24 words.

    For a device that is left, when a stolen one locked the others or the words out of a relay,
    took devices out or deleted spaces. `expel` names the devices to take out for good, by id,
    the beginning of that or name; `expel_others` is all but this one. Where neither is given and
    `ask` is, the person is asked. Devices that these had let in stay, unless named too: a thief may
    have let in another. What these said of this person's devices at the same time is
    void, and if they had taken this one out, it is in again. The relay gets what this device
    holds and new keys, so that `chez.recover` works again.

    In one transaction here, then at the relay: who was cut off runs it again. `progress(done,
    total)` in entries, of reading the relay's logs; `timeout` is in seconds.

    Raises `InvalidValue` for words that are none, or another person's, `NotFound` for a device
    that is not there and where no relay is set, `NotAllowed` when a device that stays had taken
    out this one, `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`, and what `chez.open` does.
    """
    return alone(
        lambda call: async_take_back(
            path,
            words,
            passphrase=passphrase,
            expel=expel,
            expel_others=expel_others,
            ask=call.asking(ask),
            progress=call.told(progress),
            timeout=timeout,
        )
    )


def wipe(path: Path | str) -> Wiped:
    """Wipe a home from this device for ever; nobody may have it open. Asks nothing, and needs no passphrase.

    What had not reached a relay or another device is lost; what had, a device of yours or the
    24 words bring back. Interrupted, the home does not open any more, and another call goes
    on. The keyring forgets the home. Raises `HomeMissing` where no home is, `HomeBusy`,
    `StorageFailed`.
    """
    return alone(lambda call: async_wipe(path))
