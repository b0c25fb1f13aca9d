"""Mending a store whose file is sound: what is damaged is set aside, and made again from what is not.

Each author's chain is kept up to its first damaged entry. What follows is let go and read
from the relay again, all of it from the beginning; records that it touched are made again
without it. This device's own chain can't be read back in its own name, so when that is
damaged the home becomes a new device (`home.renewal`), with what may not have arrived as
its unsent work. All of it is one transaction.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chez.errors import BadEntry
from chez.home.examine import Finding, first_bad_entry, own_entries_lost
from chez.home.renewal import own_device, renew
from chez.home.replay import replay
from chez.journal import write_receipt
from chez.keys.device import DeviceKeys
from chez.query import fulltext
from chez.records import automerge
from chez.records.counting import COUNTS
from chez.records.rows import Rows
from chez.spaces.handover import Deleted, read_offer
from chez.spaces.space import load_space
from chez.spaces.statements import Signed
from chez.store.database import Connection
from chez.sync.chains import relearn
from chez.sync.entry import CHANGES, GONE, SPACE, STATEMENT, STATEMENTS, Item, read_kept
from chez.sync.offered import take_and_lead
from chez.sync.standing import reconsider, writers
from chez_wire.envelope import GENESIS_HEAD

__all__ = ("Mended", "mend", "settle_references")

Key = tuple[str, str]

_RENEWS: Final = frozenset(("entry", "account", "gone", "receipt", "meta"))
"""Tables whose lost rows make the home a new device: it must not use the numbers of entries that it
forgot, nor spend again what it forgot to have spent (grants name the device that runs them), or forget
that its accounts are closed."""


@dataclass(slots=True)
class Mended:
    """What was done: records made again, entries let go, and whether the home is a new device now."""

    records: int = 0
    entries: int = 0
    renewed: bool = False


def mend(db: Connection, findings: Sequence[Finding], fresh: DeviceKeys, now: int, step: Callable[[int, int], Any], *,
         everything: bool = False, lost: Collection[str] | None = None) -> Mended:
    """Cure findings, in an open transaction; with `everything` every record is made again.

    `lost` are the tables of which a salvaged store lacks rows. `fresh` are keys for the case
    that the home must become a new device, as it must when its chain of entries is damaged,
    or entries were lost, perhaps its own last ones, whose numbers it must not use again.
    `now` is in Unix milliseconds.
    """
    device, done = own_device(db), Mended(renewed=not _RENEWS.isdisjoint(lost or ()))
    fulltext.reset(db)  # first: one that lacks what a record has refuses whatever is written there
    _spaces_again(db, device.id)
    for (space,) in db.execute("SELECT n FROM space").fetchall():
        here = [(finding.kind, finding.key[1:]) for finding in findings if finding.key and finding.key[0] == space]
        keys = {key for kind, key in here if kind in ("record", "projection", "outbox")}
        _keep_aside(db, space, device.id, [key for kind, key in here if kind == "record"])
        touched = _let_go(db, space, device.id, done)
        _statements_again(db, space)
        if everything or touched:
            _decide_again(db, space, device.id, now)
        if everything or touched or keys:
            done.records += replay(db, space, device.id, None if everything else keys | touched, step,
                                   salvaged=lost is not None)
    if done.entries or done.renewed:
        db.execute("UPDATE cursor SET position = 0, head = ?", (GENESIS_HEAD,))
    if done.renewed:
        (name,) = db.execute("SELECT value FROM meta WHERE key = 'device.name'").fetchone()
        renew(db, device, fresh, name, now, "repaired")
    # A new device's journal begins anew, by its witnesses: that the former one's did not verify, nothing else tells.
    doubted = {"journal": "not verified"} if any(finding.kind == "journal" for finding in findings) else {}
    write_receipt(db, fresh if done.renewed else device, now, "repaired", {
        "findings": len(findings), "records": done.records, "entries": done.entries, "new device": done.renewed,
        **doubted})
    return done


def _let_go(db: Connection, space: int, device: bytes, done: Mended) -> set[Key]:
    """Cut every chain before its first damaged entry; which records that touched."""
    done.renewed = done.renewed or own_entries_lost(db, space, device)
    for (author,) in db.execute("SELECT DISTINCT author FROM entry WHERE space = ?", (space,)).fetchall():
        if (bad := first_bad_entry(db, space, author)) is None:
            continue
        at = (space, author, bad[0])
        rows = db.execute("SELECT n, inner FROM entry WHERE space = ? AND author = ? AND sequence >= ?", at).fetchall()
        db.executemany("INSERT INTO quarantine (space, reason, bytes) VALUES (?, ?, ?)",
                       [(space, f"of a damaged chain: {bad[1]}", packed) for _, packed in rows[:1]])
        db.executemany("DELETE FROM sealed WHERE entry = ?", [(n,) for n, _ in rows])
        db.execute("PRAGMA defer_foreign_keys = ON")  # the changes that name them are seen to below
        db.execute("DELETE FROM entry WHERE space = ? AND author = ? AND sequence >= ?", at)
        for table in ("parked", "set_aside"):
            db.execute(f"DELETE FROM {table} WHERE space = ? AND author = ?", (space, author))
        done.entries += max(1, len(rows))
        done.renewed = done.renewed or author == device
    db.execute("UPDATE record SET editor = NULL WHERE editor NOT IN (SELECT n FROM entry)")
    return set(db.execute(
        "SELECT DISTINCT collection, id FROM change JOIN record ON record.n = change.record WHERE space = ? "
        "AND entry IS NOT NULL AND entry NOT IN (SELECT n FROM entry)", (space,)).fetchall())


def _statements_again(db: Connection, space: int) -> None:
    """Entries hold the statements too: those whose rows were lost are put back."""
    for (packed,) in db.execute("SELECT inner FROM entry WHERE space = ? AND kind = ? ORDER BY n",
                                (space, STATEMENTS)).fetchall():
        for item in read_kept(packed).inner.items:
            if item.kind == STATEMENT:
                statement = Signed.read(item.data)
                db.execute("INSERT INTO statement (space, hash, body, sent) VALUES (?, ?, ?, 1) "
                           "ON CONFLICT (space, hash) DO UPDATE SET sent = 1",
                           (space, statement.hash, statement.raw))


def _spaces_again(db: Connection, device: bytes) -> None:
    """Entries of the private space say how to open the others: those whose rows were lost are put back.

    Those that were deleted are not, by an entry that counts.
    """
    offered: list[tuple[Item, bool]] = []
    for packed, standing in db.execute("SELECT inner, standing FROM entry JOIN meta ON key = 'private' "
                                       "AND value = space WHERE kind = ? ORDER BY n", (CHANGES,)).fetchall():
        try:
            items = read_kept(packed).inner.items
        except BadEntry:
            continue  # of a chain that is cut there
        offered += [(item, standing != COUNTS) for item in items if item.kind in (SPACE, GONE)]
    for item, late in sorted(offered, key=lambda one: one[0].kind != GONE):
        take_and_lead(db, read_offer(item.data) if item.kind == SPACE else Deleted(item.data), device, late=late)


def _decide_again(db: Connection, n: int, device: bytes, now: int) -> None:
    """Which entries count follows from the entries and statements that are here."""
    relearn(db, n, now)
    space = load_space(db, n)
    reconsider(db, space, device, writers(db, n))
    db.execute("UPDATE space SET decided = ? WHERE n = ?", (space.membership.decisions, n))


def _keep_aside(db: Connection, space: int, device: bytes, keys: Sequence[Key]) -> None:
    """What can't be read of a record goes into quarantine."""
    rows = Rows(device)
    for collection, id in keys:
        (n,) = db.execute("SELECT n FROM record WHERE space = ? AND collection = ? AND id = ?",
                          (space, collection, id)).fetchone()
        data = rows.base(db, n)
        try:
            automerge.load(data, device)
        except automerge.BadChange as error:
            db.execute("INSERT INTO quarantine (space, reason, bytes) VALUES (?, ?, ?)",
                       (space, f"the history of record {id!r} in {collection!r}: {error.message}", data))


def settle_references(db: Connection) -> None:
    """After rows were lost: delete what refers to one that is not there, but for changes, whose entries may be."""
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL "
                                             "AND sql NOT LIKE 'CREATE VIRTUAL%'").fetchall()]
    changed = True
    while changed:
        changed = False
        for table in tables:
            for _, _, parent, column, *_ in db.execute(f"PRAGMA foreign_key_list({table})").fetchall():
                if (table, parent) == ("change", "entry"):
                    continue
                if (table, parent) == ("record", "entry"):
                    db.execute("UPDATE record SET editor = NULL WHERE editor NOT IN (SELECT n FROM entry)")
                    continue
                key = next(row[1] for row in db.execute(f"PRAGMA table_info({parent})").fetchall() if row[5])
                gone = db.execute(f"DELETE FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN "
                                  f"(SELECT {key} FROM {parent})").rowcount
                changed = changed or gone > 0
