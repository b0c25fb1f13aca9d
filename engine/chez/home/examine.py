"""What is wrong with a home's store, in plain words. Reads only.

    store       the file: pages, trees, references (SQLCipher, SQLite)
    keys        the device's keys, its spaces, their statements
    copy        another copy of the home writes in this device's name, or may: it is on this machine
    record      a record's document can't be read
    projection  what queries see of a record is not what its document holds
    search      the full-text index of a collection is not what its records give
    entry       an author's chain of entries has a gap or an entry that fails its checks
    outbox      changes that nothing will send, or that are not this device's to send
    journal     the receipts do not verify
    set-aside   what failed its checks when it came in, and was never applied

Of disk and clock tells `home.surroundings`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import msgspec
import sqlcipher3

from chez.errors import BadEntry, ChezError
from chez.home import twins
from chez.home.renewal import own_device
from chez.journal import verify_journal
from chez.keys.device import DeviceKeys
from chez.phrasing import how_many
from chez.query import fulltext
from chez.records import automerge
from chez.records.counting import BEYOND
from chez.records.derived import DEVICE_ID
from chez.records.rows import ABSENT, DELETED, PURGED, Rows
from chez.records.values import shows
from chez.spaces.space import SpaceKeys, load_space
from chez.spaces.statements import Certify
from chez.store.checks import store_problems
from chez.store.database import Connection
from chez.sync import copied
from chez.sync.entry import CHANGES, GENESIS, read_kept, read_signed, signature_of

__all__ = ("Finding", "Kind", "examine", "first_bad_entry", "own_entries_lost")

Kind = Literal["store", "keys", "copy", "record", "projection", "search", "entry", "outbox", "journal", "set-aside",
               "disk", "clock"]
"""What a finding is about (see the module)."""

_REPAIR: Final = "chez doctor --repair"

_OF_ITS_OWN: Final = "`chez doctor --as-new-device` makes this one a device of its own; the other stays what it is"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be: where, what it means, what can be done.

    `key` says which record (space's row, collection, id) or whose chain (space's row, author,
    sequence) it is about.
    Findings that are no `harm` are there to be known.
    """

    kind: Kind
    where: str
    meaning: str
    cure: str
    key: tuple[Any, ...] = ()
    harm: bool = True


def examine(db: Connection, step: Callable[[int, int], Any] = lambda done, total: None) -> list[Finding]:
    """All findings about a store, from the file up to what is shown of it.

    What is damaged in the file hides the rest, so that is all that is told then.
    `step(done, total)` in records.
    """
    if found := [Finding("store", "the file", problem, f"{_REPAIR} saves all that can be read into a new file")
                 for problem in store_problems(db)]:
        return found
    with _one_state(db):
        return _examined(db, step)


@contextmanager
def _one_state(db: Connection) -> Iterator[None]:
    """All that is read in the block is of one state of the store: an owner may write beside it."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:  # which some errors end
            db.execute("ROLLBACK")


def _examined(db: Connection, step: Callable[[int, int], Any]) -> list[Finding]:
    try:
        device = own_device(db)
        spaces = [row[0] for row in db.execute("SELECT n FROM space ORDER BY n").fetchall()]
        held = [load_space(db, n) for n in spaces]
        # Of a shared space that was left, or one that is followed, it need be no member.
        if not any(space.private and _certified(space, device.id) for space in held):
            raise BadEntry("no statement certifies this device")
    except (ChezError, sqlcipher3.Error) as error:
        why = error.message if isinstance(error, ChezError) else str(error)
        return [Finding("keys", "the device and its spaces", why,
                        "restore a backup, or join again from another device")]
    try:
        return [*_copies(db), *_records(db, device.id, step), *_search(db), *_chains(db, device.id, spaces),
                *_outbox(db, device.id), *_journal(db, device), *_set_aside(db)]
    except sqlcipher3.Error as error:
        return [Finding("store", "the file", str(error), f"{_REPAIR} saves all that can be read into a new file")]


def _certified(space: SpaceKeys, device: bytes) -> bool:
    """Whether a device was ever certified there, though it may have been taken out since."""
    return any(isinstance(one.body, Certify) and one.body.device == device for one in space.membership.statements)


def _copies(db: Connection) -> Iterator[Finding]:
    if copied.noted_copy(db):
        yield Finding("copy", "this device", "entries came in its name that it did not write: another copy of this "
                      "home is in use, or was",
                      _OF_ITS_OWN)
    if (other := twins.original(db)) is not None:
        yield Finding("copy", "this folder", f"it is a copy of the home in {other}, which is still there: what both "
                      "write would be in one device's name, and may count for nothing",
                      f"use one of them and keep the other for reading, or {_OF_ITS_OWN}", harm=False)


def _records(db: Connection, device: bytes, step: Callable[[int, int], Any]) -> Iterator[Finding]:
    rows = Rows(device)
    fields = set(db.execute("SELECT collection, name FROM field").fetchall())
    (total,) = db.execute("SELECT count(*) FROM record").fetchone()
    for done, (n, space, collection, id, json, kinds, state) in enumerate(db.execute(
            "SELECT n, space, collection, id, json, kinds, deleted FROM record"), 1):
        where, key = f"record {id!r} in {collection!r}", (space, collection, id)
        if state not in (ABSENT, PURGED):
            try:
                value = automerge.extract(automerge.load(rows.base(db, n), device))
            except automerge.BadChange as error:
                yield Finding("record", where, f"its history can't be read ({error.message})",
                              f"{_REPAIR} makes it again from the entries, and what was not sent from what is shown",
                              key)
                continue
            deleted = value.pop("_deleted", False) is True
            if not shows(json, kinds, value) or deleted != (state == DELETED):
                yield Finding("projection", where, "what is shown of it is not what its history gives",
                              f"{_REPAIR} shows what the history gives", key)
            elif not {(collection, name) for name in value} <= fields:
                yield Finding("projection", where, "one of its fields is not known to queries",
                              f"{_REPAIR} makes it known", key)
        if done % 256 == 0 or done == total:
            step(done, total)


def _search(db: Connection) -> Iterator[Finding]:
    for collection, why in fulltext.problems(db):
        yield Finding("search", f"the full-text index of {collection!r}", f"words may not be found, or be found where "
                      f"they are not ({why})", f"{_REPAIR} makes it anew")


def _chains(db: Connection, device: bytes, spaces: list[int]) -> Iterator[Finding]:
    for space in spaces:
        if own_entries_lost(db, space, device):
            yield Finding("entry", "this device's own entries", "the last of them are missing, which a relay has",
                          f"{_REPAIR} makes this home a new device, which reads them from the relay",
                          (space, device, 2**62))
    for space, author in db.execute("SELECT DISTINCT space, author FROM entry ORDER BY space, author").fetchall():
        if (bad := first_bad_entry(db, space, author)) is not None:
            sequence, why = bad
            yield Finding("entry", f"entry {sequence} of device {author.hex()[:16]}", why,
                          f"{_REPAIR} lets go of it and what follows; the relay still has them for the next sync",
                          (space, author, sequence))


def own_entries_lost(db: Connection, space: int, device: bytes) -> bool:
    """Whether this device's last entries are gone: a relay acknowledged one that is not here."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM cursor WHERE space = ? AND acknowledged > 0 AND acknowledged NOT IN "
                     "(SELECT n FROM entry WHERE author = ?))", (space, device)).fetchone()
    return bool(row[0])


def first_bad_entry(db: Connection, space: int, author: bytes) -> tuple[int, str] | None:
    """The first entry of a chain that is missing or fails its checks, by number, and why."""
    number, before, here = 0, {GENESIS}, {GENESIS}  # a chain that forks has several under one number
    for sequence, hash, packed in db.execute(
            "SELECT sequence, hash, inner FROM entry WHERE space = ? AND author = ? ORDER BY sequence, branch",
            (space, author)):
        if sequence > number + 1:
            return number + 1, "it is missing"
        if sequence > number:
            number, before, here = sequence, here, set()
        try:
            # One that came with a checkpoint has no signature: the next of its chain that has one stands for it.
            entry = read_signed(packed) if signature_of(packed) else read_kept(packed)
        except BadEntry as error:
            return sequence, error.message
        inner = entry.inner
        if (entry.hash, inner.author, inner.sequence) != (hash, author, sequence) or inner.previous not in before:
            return sequence, "it is not the one that belongs here"
        here.add(hash)
    return None


def _outbox(db: Connection, device: bytes) -> Iterator[Finding]:
    rows = db.execute("SELECT space, collection, id, change.state, change.entry, bytes FROM change "
                      "JOIN record ON record.n = change.record WHERE state = 1 OR (state = 0 AND entry IS NULL)")
    for space, collection, id, state, entry, data in rows.fetchall():
        if (why := _unsendable(device, state, entry, data)) is not None:
            yield Finding("outbox", f"record {id!r} in {collection!r}", why,
                          f"{_REPAIR} makes it again from what is shown", (space, collection, id))


def _unsendable(device: bytes, state: int, entry: int | None, data: bytes | None) -> str | None:
    if state == 0:
        return "a change of it is in no entry, and nothing will send it"
    if entry is not None:
        return "a change of it waits to be sent although it is in an entry"
    if data is None:
        return "the bytes of a change that waits to be sent are missing"
    try:
        change = automerge.read_change(data)
    except automerge.BadChange as error:
        return f"a change that waits to be sent can't be read ({error.message})"
    if change.actor == device or len(change.actor) != DEVICE_ID:
        return None
    return "a change that waits to be sent is another device's"


def _journal(db: Connection, device: DeviceKeys) -> Iterator[Finding]:
    verified = verify_journal(db, device.id)
    if not verified.ok:
        yield Finding("journal", "the receipts", verified.problem,
                      "nothing changes it: compare it with what other devices were told, or with a backup")


def _set_aside(db: Connection) -> Iterator[Finding]:
    reasons = Counter(reason for (reason,) in db.execute("SELECT reason FROM quarantine"))
    for reason, count in sorted(reasons.items()):
        yield Finding("set-aside", f"{count} of what came in", reason,
                      "it was never applied, and is kept for whoever looks into it", harm=False)
    for author, sequence in db.execute("SELECT author, min(sequence) FROM set_aside GROUP BY author ORDER BY author"):
        yield Finding("set-aside", f"device {author.hex()[:16]}",
                      f"it broke a rule in entry {sequence}; nothing of it is taken in from there on",
                      "update Chez there; if it is not yours, remove it", harm=False)
    # What is said of members beyond a removal's cut is judged as statements are: so is the word by which one leaves.
    for author, standing, count in db.execute(
            "SELECT author, standing, count(*) FROM entry WHERE standing > 0 AND (kind = ? OR standing <> ?) "
            "GROUP BY author, standing ORDER BY author, standing", (CHANGES, BEYOND)):
        yield Finding("set-aside", f"{how_many(count, 'entry', 'entries')} of device {author.hex()[:16]}",
                      "they came after what its removal accepted" if standing == BEYOND else
                      "it made two different ones under one number",
                      "they count for nothing, and are kept as evidence", harm=False)
