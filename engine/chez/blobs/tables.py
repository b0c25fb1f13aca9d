"""What the database knows of blobs, as functions over an open transaction.

A blob's row comes first, its pieces' rows as they become known; a piece's row says
whether its file is durable here. A row without an id is an addition under way, or one
that was cut off.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import msgspec

from chez.blobs.format import MANIFEST, Manifest, chunk_count, page_count
from chez.store.database import Connection

__all__ = ("Known", "Row", "Waiting", "abandon", "add_pieces", "anything", "at_relay", "begin", "claim",
           "complete", "ensure", "finish", "forget_piece", "get", "get_complete", "hold", "known_of",
           "list_chunks", "list_manifest", "part", "rows", "seen_whole", "sent", "totals", "unhold", "unreferenced",
           "waiting")

Piece = tuple[int, bytes, int]
"""Position, id, sealed size."""


class Row(msgspec.Struct, frozen=True):
    """A piece as the database knows it."""

    position: int
    id: bytes
    held: bool


class Known(msgspec.Struct, frozen=True):
    """A blob as the database knows it; `size` is None until its manifest was read."""

    n: int
    id: str
    size: int | None
    pinned: bool
    whole: bool
    """Whether its content was once seen whole on this device, with the hash that its manifest says."""


class Waiting(msgspec.Struct, frozen=True):
    """A blob that a relay does not hold all of; `sent` of its chunks are there for sure."""

    n: int
    id: str
    size: int
    sent: int


# --- adding -------------------------------------------------------------------------


def begin(db: Connection, space: int) -> int:
    """A new row for an addition that begins."""
    n: int = db.execute("INSERT INTO blob (space, pinned) VALUES (?, 0)", (space,)).lastrowid
    return n


def add_pieces(db: Connection, n: int, pieces: Iterable[Piece]) -> None:
    """Pieces of an addition whose files are durable."""
    db.executemany("INSERT INTO chunk (blob, position, id, size, held) VALUES (?, ?, ?, ?, 1)",
                   [(n, *piece) for piece in pieces])


def finish(db: Connection, n: int, id: str, size: int, content: bytes,
           there: Callable[[bytes], bool]) -> tuple[int, str]:
    """End an addition: its row and id, or those of a blob held here that has the same content.

    `there` tells whether a piece's file exists: else what was added because the other copy
    was lost would be thrown away for that copy.
    """
    twins = db.execute(
        "SELECT n, id FROM blob WHERE space = (SELECT space FROM blob WHERE n = ?) AND content = ? AND size = ? "
        "AND id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM chunk WHERE blob = blob.n AND held = 0)",
        (n, content, size)).fetchall()
    for twin, known in twins:
        pieces = db.execute("SELECT id FROM chunk WHERE blob = ?", (twin,))
        lost = [piece for (piece,) in pieces.fetchall() if not there(piece)]
        if not lost:
            abandon(db, n)
            return twin, known
        for piece in lost:
            forget_piece(db, piece)
    db.execute("UPDATE blob SET id = ?, size = ?, content = ? WHERE n = ?", (id, size, content, n))
    return n, id


def part(db: Connection, n: int) -> None:
    """Note which pieces of a blob relays may release, once no device can name it again.

    Only of one whose content was seen whole here: else whoever wrote its manifest could have listed whatever
    others still need.
    """
    row = db.execute("SELECT space, id, size FROM blob WHERE n = ? AND content IS NOT NULL AND size IS NOT NULL",
                     (n,)).fetchone()
    pieces = [id for (id,) in db.execute("SELECT id FROM chunk WHERE blob = ? ORDER BY position", (n,))]
    if row is not None and len(pieces) == chunk_count(row[2]) + page_count(row[2]) + 1:
        db.execute("INSERT OR IGNORE INTO parting (space, blob, chunks) VALUES (?, ?, ?)",
                   (row[0], row[1], b"".join(pieces)))


def abandon(db: Connection, n: int) -> None:
    """Forget a blob; the files of its pieces are doomed."""
    db.execute("INSERT OR IGNORE INTO doomed (id) SELECT id FROM chunk WHERE blob = ?", (n,))
    db.execute("DELETE FROM blob_relay WHERE blob = ?", (n,))
    db.execute("DELETE FROM chunk WHERE blob = ?", (n,))
    db.execute("DELETE FROM blob WHERE n = ?", (n,))


# --- knowing ------------------------------------------------------------------------


def get(db: Connection, space: int, id: str) -> Known | None:
    """What is known of a blob of a space."""
    row = db.execute("SELECT n, id, size, pinned, content IS NOT NULL FROM blob WHERE id = ? AND space = ?",
                     (id, space)).fetchone()
    return None if row is None else Known(row[0], row[1], row[2], bool(row[3]), bool(row[4]))


def get_complete(db: Connection, space: int, id: str) -> Known | None:
    """What is known of a blob of a space of which every piece is held here, else None."""
    known = get(db, space, id)
    return known if known is not None and complete(db, known.n) else None


def ensure(db: Connection, space: int, id: str) -> Known:
    """What is known of a blob that is about to be read; a new one is known by its id alone."""
    known = get(db, space, id)
    if known is None:
        n = begin(db, space)
        db.execute("UPDATE blob SET id = ? WHERE n = ?", (id, n))
        db.execute("INSERT INTO chunk (blob, position, id, size, held) VALUES (?, ?, ?, 0, 0)",
                   (n, MANIFEST, bytes.fromhex(id)))
        known = Known(n, id, None, False, False)
    claim(db, known.n)
    return known


def list_manifest(db: Connection, n: int, manifest: Manifest, ids: Sequence[bytes]) -> None:
    """A blob's manifest was read: its size, and the pieces that it lists."""
    first, step = (MANIFEST - 1, -1) if manifest.paged else (0, 1)
    db.execute("UPDATE blob SET size = ? WHERE n = ?", (manifest.size, n))
    _list(db, n, [(first + step * number, id) for number, id in enumerate(ids)])


def list_chunks(db: Connection, n: int, first: int, ids: Sequence[bytes]) -> None:
    """A page of a blob was read: the chunks that it lists, from position `first` on."""
    _list(db, n, [(first + number, id) for number, id in enumerate(ids)])


def _list(db: Connection, n: int, pieces: list[tuple[int, bytes]]) -> None:
    db.executemany("INSERT OR IGNORE INTO chunk (blob, position, id, size, held) VALUES (?, ?, ?, 0, 0)",
                   [(n, *piece) for piece in pieces])
    claim(db, n)


def rows(db: Connection, n: int, first: int, last: int) -> list[Row]:
    """The pieces known from one position to another, both included."""
    found = db.execute("SELECT position, id, held FROM chunk WHERE blob = ? AND position BETWEEN ? AND ? "
                       "ORDER BY position", (n, first, last))
    return [Row(position, id, bool(held)) for position, id, held in found]


def complete(db: Connection, n: int) -> bool:
    """Whether every piece of a blob is held."""
    size = db.execute("SELECT size FROM blob WHERE n = ?", (n,)).fetchone()
    if size is None or size[0] is None:
        return False
    held = db.execute("SELECT count(*) FROM chunk WHERE blob = ? AND held = 1", (n,)).fetchone()[0]
    return bool(held == chunk_count(size[0]) + page_count(size[0]) + 1)


def known_of(db: Connection, ids: Collection[bytes]) -> set[bytes]:
    """Which of some pieces belong to a blob."""
    marks = ",".join("?" * len(ids))
    return {id for (id,) in db.execute(f"SELECT id FROM chunk WHERE id IN ({marks})", list(ids))}


# --- holding ------------------------------------------------------------------------


def claim(db: Connection, n: int) -> None:
    """The files of a blob's pieces are about to be looked for or written: they are not doomed any more."""
    db.execute("DELETE FROM doomed WHERE id IN (SELECT id FROM chunk WHERE blob = ?)", (n,))


def hold(db: Connection, n: int, pieces: Iterable[Piece]) -> None:
    """The files of these pieces are durable here."""
    db.executemany("UPDATE chunk SET held = 1, size = ? WHERE blob = ? AND position = ?",
                   [(size, n, position) for position, _, size in pieces])


def forget_piece(db: Connection, id: bytes) -> None:
    """The file of a piece is not there, was put aside, or can't be read: no blob holds it."""
    db.execute("UPDATE chunk SET held = 0 WHERE id = ?", (id,))


def unhold(db: Connection, n: int) -> None:
    """Give up a blob's chunks (manifest and pages stay, they are small); the files are doomed."""
    db.execute("INSERT OR IGNORE INTO doomed (id) SELECT id FROM chunk WHERE blob = ? AND position >= 0", (n,))
    db.execute("UPDATE chunk SET held = 0 WHERE blob = ? AND position >= 0", (n,))


def seen_whole(db: Connection, n: int, content: bytes) -> None:
    """A blob's content was seen from its first byte to its last, and has this hash."""
    db.execute("UPDATE blob SET content = ? WHERE n = ?", (content, n))


# --- a relay ------------------------------------------------------------------------


def waiting(db: Connection, space: int, relay: int, skip: Collection[int] = ()) -> Waiting | None:
    """The next blob that some record holds, that is whole here and not at a relay."""
    marks = ",".join("?" * len(skip))
    row = db.execute(
        "SELECT b.n, b.id, b.size, coalesce(there.sent, 0) FROM blob AS b "
        "LEFT JOIN blob_relay AS there ON there.blob = b.n AND there.relay = ? "
        "WHERE b.space = ? AND b.id IS NOT NULL AND b.content IS NOT NULL "
        f"AND (there.blob IS NULL OR there.sent IS NOT NULL) AND b.n NOT IN ({marks}) "
        "AND EXISTS (SELECT 1 FROM blob_reference AS held_by WHERE held_by.blob = b.id) "
        "AND NOT EXISTS (SELECT 1 FROM chunk AS c WHERE c.blob = b.n AND c.held = 0) ORDER BY b.n LIMIT 1",
        (relay, space, *skip)).fetchone()
    return None if row is None else Waiting(*row)


def sent(db: Connection, n: int, relay: int, upto: int | None) -> None:
    """A relay holds a blob's chunks before position `upto` durably; None: all of it."""
    db.execute("INSERT OR REPLACE INTO blob_relay (blob, relay, sent) VALUES (?, ?, ?)", (n, relay, upto))


_SENT: Final = ("SELECT 1 FROM blob_relay AS there JOIN relay ON relay.n = there.relay WHERE there.blob = b.n "
                "AND there.sent IS NULL")
_THERE: Final = f"EXISTS ({_SENT} AND relay.url IN (SELECT value FROM json_each(?)))"


def _there(urls: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    return (_THERE, (json.dumps(urls),)) if urls else (f"EXISTS ({_SENT})", ())


def at_relay(db: Connection, n: int, urls: Sequence[str]) -> bool:
    """Whether one of these relays holds all of a blob. One that is asked no more may have it, and nobody gets it.

    Where there are none of these, for a relay is named at each sync, whether any does.
    """
    there, given = _there(urls)
    return db.execute(f"SELECT 1 FROM blob AS b WHERE n = ? AND {there}", (n, *given)).fetchone() is not None


# --- how things stand -----------------------------------------------------------------


def anything(db: Connection, space: int) -> tuple[bool, bool]:
    """Whether there is, or was lately, any attachment of a space on this device, and any at all."""
    here, anywhere = db.execute("SELECT EXISTS (SELECT 1 FROM blob WHERE space = ?), EXISTS (SELECT 1 FROM blob) "
                                "OR EXISTS (SELECT 1 FROM doomed)", (space,)).fetchone()
    return bool(here), bool(anywhere)


def unreferenced(db: Connection, space: int, relay: int) -> bool:
    """Whether a blob of a space that was seen whole here is neither in a record nor at a relay: a record may come to
    hold it.
    """
    return db.execute(
        "SELECT 1 FROM blob AS b WHERE space = ? AND content IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM blob_reference AS held_by WHERE held_by.blob = b.id) "
        "AND NOT EXISTS (SELECT 1 FROM blob_relay AS there WHERE there.blob = b.n AND relay = ? AND sent IS NULL) "
        "LIMIT 1", (space, relay)).fetchone() is not None


def totals(db: Connection, space: int, urls: Sequence[str]) -> tuple[int, int, int, int]:
    """Blobs known, those of them whole here, sealed bytes held, and those that are and not at a relay (`at_relay`)."""
    there, given = _there(urls)
    whole = "content IS NOT NULL AND NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.blob = b.n AND held = 0)"
    known, complete, alone = db.execute(
        f"SELECT count(*), coalesce(sum({whole}), 0), coalesce(sum({whole} "
        "AND EXISTS (SELECT 1 FROM blob_reference AS held_by WHERE held_by.blob = b.id) "
        f"AND NOT {there}), 0) FROM blob AS b WHERE space = ? AND id IS NOT NULL", (*given, space)).fetchone()
    size: int = db.execute("SELECT coalesce(sum(chunk.size), 0) FROM chunk JOIN blob ON blob.n = chunk.blob "
                           "WHERE held = 1 AND space = ?", (space,)).fetchone()[0]
    return known, complete, size, alone
