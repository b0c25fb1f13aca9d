"""A home becomes a new device: after it was restored from a backup, or because it is a copy.

Two copies of one home would both write in one device's name, with the same numbers, and
neither could be told from an impostor. So the one that is restored, or says that it is
the copy, gets keys of its own, in one transaction:

- the old device's key, which is here, certifies the new one in every space;
- the old chain of entries ends where it is known to have reached a relay; what this home
  had in later entries, or had not put into one, the new device says anew (`records.anew`);
- a checkpoint that was being made is begun anew: it may stand for entries that are another's now;
- every relay is read again from its beginning, so that what the old device sent since, or
  sends yet, comes in as any other device's entries do;
- the journal begins anew; the old receipts stay beside it, bound by its first line;
- the accounts are closed, also those that this home does not know yet, and what was kept under
  a name (`Transaction.keep`) is gone, allowances among it: the device that this is a copy of may
  spend what was left, and two must not. Grants name the device that runs them, which is not this.
"""

from typing import Any, Final, Literal

import msgspec

from chez.errors import Damaged
from chez.home import twins, unfinished
from chez.journal import close_accounts, succeed
from chez.keys.device import DeviceKeys
from chez.records import automerge
from chez.records.anew import remake, together
from chez.records.purging import purge_change
from chez.records.rows import OUTBOX, PURGED, Rows
from chez.spaces.copies import copy_person, say_everywhere
from chez.spaces.enrolment import own_certificate
from chez.spaces.handover import announce
from chez.spaces.space import SpaceKeys, inherit_farewells, load_space
from chez.spaces.statements import Signed
from chez.store.database import Connection
from chez.sync import copied
from chez.sync.checkpoints import making
from chez.sync.checkpoints.heard import unhear
from chez.sync.entry import CHECKPOINTS, STATEMENT, STATEMENTS, read_kept
from chez_wire.envelope import GENESIS_HEAD

__all__ = ("Renewal", "own_device", "renew")

FORMERS: Final = 8
"""So many former devices' keys for packets are kept, the last ones."""

Reason = Literal["restored", "copied", "repaired"]


class Renewal(msgspec.Struct, frozen=True):
    """What the device was and is, by id, and how many records had unsent work."""

    former: bytes
    device: bytes
    records: int


def own_device(db: Connection) -> DeviceKeys:
    """The keys of the device that a store is. Raises `Damaged`."""
    found = dict(db.execute("SELECT key, value FROM meta WHERE key IN "
                            "('device.signing', 'device.sealing', 'device.former')").fetchall())
    if not {"device.signing", "device.sealing"} <= found.keys():
        raise Damaged("the store lacks this device's keys", "Restore a backup, or join again from another device.")
    return DeviceKeys.from_seeds(found["device.signing"], found["device.sealing"], found.get("device.former", b""))


def renew(db: Connection, former: DeviceKeys, device: DeviceKeys, name: str, now: int, why: Reason) -> Renewal:
    """Become `device`, in an open transaction; `now` is in Unix milliseconds.

    Raises `Damaged` when a record with unsent work can't be read.
    """
    spaces = [load_space(db, n) for (n,) in db.execute("SELECT n FROM space ORDER BY n").fetchall()]
    inherit_farewells(db)
    touched = sum(_emit(db, space, former.id, device.id) for space in spaces)
    _certify(db, spaces, former, device, name)
    # What told the person's devices of a space may be among what did not arrive.
    db.execute("UPDATE epoch SET announced = 0")
    for table in ("gone", "space"):  # the entries that an erased space has of the former device are another's
        db.execute(f"UPDATE {table} SET least = 0, most = 0")
    announce(db)
    db.execute("UPDATE cursor SET position = 0, head = ?, acknowledged = 0", (GENESIS_HEAD,))
    db.executemany("UPDATE meta SET value = ? WHERE key = ?", [
        (device.signing.seed, "device.signing"), (device.sealing.seed, "device.sealing"), (name, "device.name")])
    # Of the epochs that begin before others hear of the new device only the former has packets.
    seeds = b"".join(key.seed for key in (former.sealing, *former.former)[:FORMERS])
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('device.former', ?)", (seeds,))
    # A restored home has a key file of its own, and no keyring opens it.
    db.execute("DELETE FROM meta WHERE key IN ('key.file', 'keyring.file')")
    copied.forget(db)
    twins.forget(db)
    close_accounts(db)
    if why != "repaired":
        unfinished.forget(db)
    succeed(db, device, now, former.id, why)
    return Renewal(former.id, device.id, touched)


def _certify(db: Connection, spaces: list[SpaceKeys], former: DeviceKeys, device: DeviceKeys, name: str) -> None:
    private = next(space for space in spaces if space.private)
    create = private.membership.create
    assert create is not None  # load_space refuses a space without it
    for space in spaces:  # what the certificate builds on has to be there
        copy_person(db, space.n, space.membership)
    heads = private.membership.person_heads(create.person, former.signing.public)
    say_everywhere(db, spaces, own_certificate(create.person, heads, former.signing, device, name))


def _emit(db: Connection, space: SpaceKeys, former: bytes, device: bytes) -> int:
    """Cut the former chain where it is known to have arrived; what is behind becomes the new device's."""
    first = _first_undelivered(db, space.n, former)
    behind = ("SELECT n FROM entry WHERE space = ? AND author = ? AND sequence >= ?", (space.n, former, first))
    for (packed,) in db.execute("SELECT inner FROM entry WHERE space = ? AND author = ? AND sequence >= ? "
                                "AND kind = ?", (space.n, former, first, STATEMENTS)).fetchall():
        statements = [Signed.read(item.data).hash for item in read_kept(packed).inner.items if item.kind == STATEMENT]
        db.executemany("UPDATE statement SET sent = 0 WHERE space = ? AND hash = ?",
                       [(space.n, hash) for hash in statements])
    records = _remake(db, space.n, device, behind)
    # What the former device undid is not this one's to do again, and its change feed counted on elsewhere.
    db.execute("DELETE FROM reversal WHERE record IN (SELECT n FROM record WHERE space = ?)", (space.n,))
    db.execute("DELETE FROM meta WHERE key GLOB 'cursor *' OR key GLOB 'kept *'")
    _hand_on(db, space.n, former, first)
    db.execute("DELETE FROM sealed WHERE entry IN (SELECT n FROM entry WHERE space = ?)", (space.n,))
    making.clear(db, space.n)
    # What others would never hear of, no drop may rest on; what did arrive is heard again.
    unhear(db, space.n, [hash for (hash,) in db.execute(
        "SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence >= ? AND kind = ?",
        (space.n, former, first, CHECKPOINTS)).fetchall()])
    db.execute(f"DELETE FROM lacking WHERE entry IN ({behind[0]})", behind[1])
    for table in ("entry", "named", "branch"):
        db.execute(f"DELETE FROM {table} WHERE space = ? AND author = ? AND sequence >= ?", behind[1])
    return records


def _hand_on(db: Connection, space: int, former: bytes, first: int) -> None:
    """What one relay has of the former device, before `first`, and another did not acknowledge is sent there as others'
    entries are: it is nobody's own any more. So is what was on its way of others.
    """
    db.execute("INSERT OR IGNORE INTO lacking (relay, entry) SELECT relay, n FROM cursor JOIN entry USING (space) "
               "WHERE space = ? AND author = ? AND sequence < ? AND (n > acknowledged OR n IN "
               "(SELECT entry FROM sealed WHERE sealed.relay = cursor.relay))", (space, former, first))
    db.execute("INSERT OR IGNORE INTO lacking (relay, entry) SELECT relay, entry FROM sealed JOIN entry "
               "ON entry.n = sealed.entry WHERE space = ? AND author <> ?", (space, former))


def _remake(db: Connection, space: int, device: bytes, behind: tuple[str, tuple[Any, ...]]) -> int:
    """Make anew what waits and what is in the entries `behind`; how many records that were."""
    waiting = f"(state = 1 OR entry IN ({behind[0]}))"
    records = db.execute(f"SELECT record FROM change JOIN record ON record.n = change.record "
                         f"WHERE record.space = ? AND {waiting} GROUP BY record ORDER BY min(change.n)",
                         (space, *behind[1])).fetchall()
    met = db.execute("SELECT EXISTS (SELECT 1 FROM cursor WHERE space = ?)", (space,)).fetchone()[0]
    rows = Rows(device)
    for (n,) in records:
        unsent = dict(db.execute(f"SELECT hash, origin FROM change WHERE record = ? AND {waiting}",
                                 (n, *behind[1])).fetchall())
        if _purged(rows, db, n):
            continue
        try:
            remake(rows, db, n, unsent, keep=bool(met))
        except automerge.BadChange as error:
            raise Damaged(f"a record with work that was not sent can't be read ({error.message})",
                          "Run `chez doctor --repair` first.") from None
    together(db, space)
    return len(records)


def _purged(rows: Rows, db: Connection, n: int) -> bool:
    """Of a record that was purged and may not have been anywhere else: say so in the new device's name."""
    (state,) = db.execute("SELECT deleted FROM record WHERE n = ?", (n,)).fetchone()
    if state == PURGED:
        db.execute("DELETE FROM change WHERE record = ?", (n,))
        rows.log(db, n, purge_change(rows.actor), OUTBOX, counted=False)
    return bool(state == PURGED)


def _first_undelivered(db: Connection, space: int, author: bytes) -> int:
    """The number from which on a chain may not have reached anybody."""
    # Sent in the order of the chain, so what a relay acknowledged is a beginning of it, but for
    # what is still under way to it; what it is known to lack is sent as it is, by whoever has it.
    found = db.execute(
        "SELECT min(sequence) FROM entry WHERE space = ? AND author = ? AND NOT EXISTS ("
        "SELECT 1 FROM cursor WHERE cursor.space = entry.space AND entry.n <= acknowledged AND NOT EXISTS ("
        "SELECT 1 FROM sealed WHERE sealed.entry = entry.n AND sealed.relay = cursor.relay))", (space, author))
    first: int | None = found.fetchone()[0]
    if first is None:
        first = db.execute("SELECT coalesce(max(sequence), 0) + 1 FROM entry WHERE space = ? AND author = ?",
                           (space, author)).fetchone()[0]
    elif last := _built_upon(db, space, author, first):
        # A batch is built upon when all of it is there.
        first = db.execute("SELECT min(sequence) + 1 FROM entry WHERE space = ? AND author = ? AND sequence >= ? "
                           "AND part IS NULL", (space, author, last)).fetchone()[0] or last + 1
    assert first is not None
    # A batch of which a part is missing is shown nowhere.
    open_ = db.execute("SELECT part FROM entry WHERE space = ? AND author = ? AND sequence = ?",
                       (space, author, first - 1)).fetchone()
    return first if open_ is None or open_[0] is None else first - open_[0] - 1


def _built_upon(db: Connection, space: int, author: bytes, first: int) -> int:
    """The last entry from `first` on that another device built upon, so it did arrive; 0 if there is none."""
    # Only its own changes: what no device answers for, another device may have made itself.
    doubtful: dict[bytes, int] = dict(db.execute(
        "SELECT change.hash, entry.sequence FROM change JOIN entry ON entry.n = change.entry "
        "WHERE space = ? AND author = ? AND entry.sequence >= ? AND change.sequence > 0",
        (space, author, first)).fetchall())
    if not doubtful:
        return 0
    last = 0
    rows = Rows(author)
    records = db.execute("SELECT DISTINCT record FROM change JOIN entry ON entry.n = change.entry "
                         "WHERE space = ? AND author = ? AND entry.sequence >= ?", (space, author, first)).fetchall()
    others = ("SELECT EXISTS (SELECT 1 FROM change JOIN entry ON entry.n = change.entry "
              "WHERE record = ? AND author <> ?)")
    for (n,) in records:
        if not db.execute(others, (n, author)).fetchone()[0]:
            continue
        for raw in automerge.changes_of(automerge.load(rows.base(db, n), author)):
            change = automerge.read_change(raw)
            if change.actor != author:
                last = max([last, *[doubtful.get(hash, 0) for hash in change.dependencies]])
    return last
