"""What waits on this device to be put into entries.

    statements   of a space, that no entry of anybody has yet
    changes      of its records, by the transactions that wrote them
    offers       in the private space: the other spaces, which the person's devices are to be told of
    the journal  in the private space: its head, when it moved
"""


import msgspec

from chez.spaces.handover import announced, hand_over
from chez.spaces.permits import role_of
from chez.spaces.removals import last_words
from chez.spaces.space import SpaceKeys, load_space
from chez.spaces.statements import Remove, Signed
from chez.store.database import Connection
from chez.sync.entry import CHANGE, GONE, JOURNAL_HEAD, SPACE, STATEMENTS, Item, RelayHead, log_name
from chez.sync.planning import Waiting
from chez.sync.recount import touched
from chez.sync.standing import unseconded

__all__ = ("Waits", "change_items", "has_statements", "journal_head", "named_by", "offers", "put_into", "say_last",
           "seen_last", "stand_by", "take_statements", "unheard", "waiting_changes", "waiting_spaces", "waits")


class Waits(msgspec.Struct, frozen=True):
    """What is in no entry of this device yet: the rows of the spaces where something waits, whether statements are
    among it, and whether the private space has something to tell: the journal's head, or of other spaces.
    """

    spaces: set[int]
    said: bool
    tells: bool


def waiting_spaces(db: Connection, device: bytes) -> set[int]:
    """The rows of the spaces where something waits that is in no entry of this device yet."""
    return waits(db, device).spaces


def waits(db: Connection, device: bytes, only: int | None = None) -> Waits:
    """What waits in all spaces; where `only` one is asked for, changes may be another's that are said to be its."""
    # Asked of every transaction, of which most leave nothing: at once.
    said, changed, private = db.execute(
        "SELECT EXISTS (SELECT 1 FROM statement WHERE sent = 0), EXISTS (SELECT 1 FROM change WHERE state = 1), "
        "(SELECT space.n FROM meta CROSS JOIN space ON space.n = meta.value WHERE key = 'private' AND ("
        "EXISTS (SELECT 1 FROM space WHERE announce = 1) OR EXISTS (SELECT 1 FROM gone WHERE told = 0) "
        "OR coalesce((SELECT number FROM receipt WHERE waits = 0 ORDER BY number DESC LIMIT 1), 0) > "
        "coalesce((SELECT number FROM witness WHERE witness.space = space.n AND author = ?), 0)))",
        (device,)).fetchone()
    found = set() if private is None else {private}
    if said:
        found |= {n for (n,) in db.execute("SELECT DISTINCT space FROM statement WHERE sent = 0")}
    if changed and only is not None:
        found.add(only)
    elif changed:
        # CROSS JOIN: the few changes that wait come first, not every record.
        found |= {n for (n,) in db.execute("SELECT DISTINCT record.space FROM change INDEXED BY outbox "
                                           "CROSS JOIN record ON record.n = change.record WHERE state = 1")}
    return Waits(found, bool(said), private is not None)


def take_statements(db: Connection, space: int, gone: bytes | None) -> list[bytes]:
    """The statements of a space that no entry has, in order, of which one is made now.

    `gone` is this device when it has no part in the space any more: then only what it said
    until it left, for what it says later counts for nothing, and its `last_words`.
    """
    rows = db.execute("SELECT n, body, again FROM statement WHERE space = ? AND sent = 0 ORDER BY n",
                      (space,)).fetchall()
    if gone is not None:
        left = [n for n, body, _ in rows if isinstance(said := Signed.kept(body).body, Remove) and said.issuer == gone]
        rows = [row for row in rows if row[2] or (left and row[0] <= left[-1])]
    db.executemany("UPDATE statement SET sent = 1 WHERE n = ?", [(row[0],) for row in rows])
    return [body for _, body, _ in rows]


def say_last(db: Connection, space: SpaceKeys, device: bytes, at: bytes) -> None:
    """Let a device that was taken out say its `last_words`, once, where a relay has the keys of the epoch `at`."""
    for one in last_words(space, device, at) if space.epoch.id == at else ():
        db.execute("UPDATE statement SET sent = 0, again = 1 WHERE space = ? AND hash = ? AND again = 0",
                   (space.n, one.hash))


def stand_by(db: Connection, space: SpaceKeys, device: bytes) -> None:
    """Let a device that was given back the right to write say something again, once, in an entry that names that: with
    one what it wrote meanwhile counts for others too, as it does here. Where that holds no changes nobody misses it.
    """
    if touched(db, unseconded(db, space, device)):
        db.execute("UPDATE statement SET sent = 0, again = 1 WHERE again = 0 AND n = "
                   "(SELECT max(n) FROM statement WHERE space = ?)", (space.n,))


def unheard(db: Connection, space: SpaceKeys) -> bool:
    """Whether statements wait that a space in memory did not know: another space's entries told of them just now."""
    rows = db.execute("SELECT body FROM statement WHERE space = ? AND sent = 0 ORDER BY n", (space.n,)).fetchall()
    return space.membership.add([Signed.kept(body) for (body,) in rows]) != []


def has_statements(db: Connection, space: int) -> bool:
    """Whether a statement about a space is in no entry yet, as far as is known here."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM statement WHERE space = ? AND sent = 0)", (space,)).fetchone()
    return bool(row[0])


def waiting_changes(db: Connection, space: int) -> list[Waiting]:
    """The changes of a space that are in no entry yet, in order."""
    # CROSS JOIN: the few changes that wait come first, not every record of the space.
    return [Waiting(*row) for row in db.execute(
        "SELECT change.n, length(bytes) + length(collection) + length(id), origin, batch, weight "
        "FROM change INDEXED BY outbox CROSS JOIN record ON record.n = change.record "
        "WHERE state = 1 AND record.space = ? ORDER BY change.n", (space,))]


def change_items(db: Connection, space: int, batch: list[Waiting], now: int) -> tuple[list[Item], list[bytes]]:
    """The items of an entry that carries these changes, and the changes' hashes; `now` is the entry's time."""
    rows = db.execute(
        "SELECT collection, id, bytes, time, hash FROM change INDEXED BY outbox "
        "CROSS JOIN record ON record.n = change.record "
        "WHERE state = 1 AND change.n BETWEEN ? AND ? AND record.space = ? ORDER BY change.n",
        (batch[0].n, batch[-1].n, space)).fetchall()
    return [Item(CHANGE, collection, id, data, max(0, now - time) if time else 0)
            for collection, id, data, time, _ in rows], [row[4] for row in rows]


def put_into(db: Connection, space: int, batch: list[Waiting], entry: int) -> None:
    """These changes are in an entry now, by its row; no other of the space waits between them."""
    # One statement: each gives back its part of the transaction's journal at its end, and for a first
    # sync of 100,000 changes the search for that part, over and over, took six times as long as all else.
    db.execute("UPDATE change INDEXED BY outbox SET state = 0, entry = ? WHERE state = 1 AND n BETWEEN ? AND ? "
               "AND (SELECT space FROM record WHERE record.n = change.record) = ?",
               (entry, batch[0].n, batch[-1].n, space))


def offers(db: Connection) -> list[Item]:
    """What the person's other devices need to open the spaces that they are to be told of; which were deleted."""
    items: list[Item] = []
    if not db.execute("SELECT EXISTS (SELECT 1 FROM space WHERE announce = 1) "
                      "OR EXISTS (SELECT 1 FROM gone WHERE told = 0)").fetchone()[0]:
        return items
    for n, relay in db.execute("SELECT n, relay FROM space WHERE announce = 1 ORDER BY n").fetchall():
        items.append(Item(SPACE, "", "", msgspec.msgpack.encode(hand_over(load_space(db, n), relay or ""))))
        announced(db, n)
    items += [Item(GONE, "", "", id) for (id,) in db.execute("UPDATE gone SET told = 1 WHERE told = 0 RETURNING id")]
    return items


def journal_head(db: Connection, space: int, device: bytes) -> list[Item]:
    """The head of a device's journal, when it moved since an entry of the private space last said it.

    Receipts at its end that wait are left out, also beside other changes, whose size would tell of them.
    """
    row = db.execute("SELECT number, hash, (SELECT number FROM witness WHERE space = ? AND author = ?) "
                     "FROM receipt WHERE waits = 0 ORDER BY number DESC LIMIT 1", (space, device)).fetchone()
    if row is None or (row[2] is not None and row[2] >= row[0]):
        return []
    head = row[:2]
    db.execute("INSERT OR REPLACE INTO witness (space, author, number, hash) VALUES (?, ?, ?, ?)",
               (space, device, *head))
    return [Item(JOURNAL_HEAD, "", "", head[0].to_bytes(8, "big") + head[1])]


def seen_last(db: Connection, space: SpaceKeys, sequence: int) -> RelayHead | None:
    """What was last seen of a relay's log of a space: of several relays each in its turn, by the author's number."""
    rows = db.execute("SELECT incarnation, position, head FROM cursor WHERE space = ? ORDER BY relay",
                      (space.n,)).fetchall()
    if not rows:
        return None
    incarnation, position, head = rows[sequence % len(rows)]
    return RelayHead(log_name(incarnation, space.handle), position, head)


def named_by(space: SpaceKeys, device: bytes, kind: int, items: list[Item]) -> list[bytes]:
    """The heads that an entry of this device names: what it knows of the members.

    The entry in which it leaves names what that was said on: there it had its rights still. So it
    had where others started an epoch and did not know that it was taken out.
    """
    if kind == STATEMENTS and role_of(space, device) is None:
        last = Signed.kept(items[-1].data)
        return last.heads if isinstance(last.body, Remove) else [space.epoch.id]
    return space.membership.named_heads
