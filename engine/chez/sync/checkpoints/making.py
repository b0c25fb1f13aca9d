"""Making a checkpoint: entries are gone through, their changes gathered by record, and written as sealed parts.

In turns of bounded work, each of which is a transaction; what was put aside says how far it came. The vector is
fixed at the beginning, so what is written meanwhile is for the next one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from chez import crypto
from chez.records.waiting import Budget
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.chains import place_of
from chez.sync.checkpoints.format import (
    Announcement,
    BundleNote,
    Frame,
    Manifest,
    Packed,
    Record,
    Run,
    Segment,
    Upto,
    read_manifest,
    run_of,
    seal_part,
)
from chez.sync.checkpoints.forms import Forms
from chez.sync.entry import CHANGE, CHANGES, Item, read_kept, signature_of
from chez_wire.limits import KIB, MIB

__all__ = ("announced", "announcement", "begin", "clear", "covered", "finished", "full", "growth",
           "lost", "said", "stored", "unsent", "work", "written")

_PART: Final = MIB
"""Bytes of one part before compression: enough for equal things to be found, little to unpack at once."""

_WHOLE: Final = 4 * MIB
"""A record with more is written change by change, in as many parts as it takes."""

_SHARE: Final = 4
"""Bundles are written as one when the later ones together have more than one in so many bytes of the one before."""

_FLOOR: Final = KIB
"""What a small entry takes at a relay."""

_run_decoder = msgspec.msgpack.Decoder(Run)
_record_decoder = msgspec.msgpack.Decoder(Record)


def covered(db: Connection, space: int) -> dict[bytes, int]:
    """Up to which entry of each author a checkpoint may stand for them.

    That is before the first that does not count, or where the chain forks; a batch is not torn, and the last one is
    signed here.
    """
    out = {}
    for (author,) in db.execute("SELECT DISTINCT author FROM named WHERE space = ?", (space,)).fetchall():
        (limit,) = db.execute(
            "SELECT min(coalesce((SELECT min(sequence) FROM branch WHERE space = ?1 AND author = ?2), 1 << 62), "
            "coalesce((SELECT min(sequence) FROM set_aside WHERE space = ?1 AND author = ?2), 1 << 62), "
            "coalesce((SELECT min(sequence) FROM entry WHERE space = ?1 AND author = ?2 AND standing > 0), 1 << 62))",
            (space, author)).fetchone()
        for sequence, packed in db.execute(
                "SELECT sequence, inner FROM entry WHERE space = ? AND author = ? AND branch = 0 AND sequence < ? "
                "AND kind = ? AND part IS NULL ORDER BY sequence DESC", (space, author, limit, CHANGES)):
            if signature_of(packed):
                out[author] = sequence
                break
    return out


def growth(db: Connection, space: int, since: dict[bytes, tuple[int, bytes]]) -> int:
    """Bytes that a relay holds of entries that a checkpoint up to a vector does not stand for, roughly."""
    total = 0
    for author, last in covered(db, space).items():
        (size,) = db.execute("SELECT coalesce(sum(max(length(inner), ?)), 0) FROM entry WHERE space = ? AND author = ? "
                             "AND branch = 0 AND kind = ? AND sequence > ? AND sequence <= ?",
                             (_FLOOR, space, author, CHANGES, since.get(author, (0, b""))[0], last)).fetchone()
        total += size
    return total


def begin(db: Connection, space: int, base: tuple[bytes, Manifest] | None,
          least: Mapping[bytes, tuple[int, bytes]] = MappingProxyType({}), *, relay: int) -> bool:
    """Begin a checkpoint at a relay on the bundles of an earlier one, if there is anything new; whether there is.

    It goes at least as far as `least`, and as its base: what was dropped because of these is nowhere else, though it
    may count no more by now.
    """
    clear(db, space)
    bundles = list(base[1].bundles) if base is not None else []
    least = {**least, **({} if base is None else base[1].vector)}
    upto = covered(db, space)
    size = growth(db, space, Manifest(1, bundles).vector) if bundles else 0
    for author, (last, hash) in least.items():
        place = place_of(db, space, author, last, hash)
        if place is not None and place.branch == 0:
            upto[author] = max(upto.get(author, 0), last)
        else:
            size = 0  # beyond a fork: only the bundles that are there have it
    while bundles and size * _SHARE > bundles[-1].size:
        size += bundles.pop().size
    since = {one.author: one.sequence for bundle in bundles for one in bundle.upto}
    fresh = [(space, author, since.get(author, 0), last) for author, last in sorted(upto.items())
             if last > since.get(author, 0)]
    if not fresh or (base is not None and all(base[1].vector.get(author, (0, b""))[0] >= last
                                              for author, last in upto.items())):
        return False
    db.execute("INSERT INTO draft (space, relay, base, kept, parts) VALUES (?, ?, ?, ?, 0)",
               (space, relay, base[0] if base is not None and bundles else None, len(bundles)))
    db.executemany("INSERT INTO draft_author (space, author, sequence, last, ordinal) VALUES (?, ?, ?, ?, 0)", fresh)
    return True


def clear(db: Connection, space: int) -> None:
    """Make it no further."""
    for table in ("draft", "draft_author", "gathered", "drafted", "segment"):
        db.execute(f"DELETE FROM {table} WHERE space = ?", (space,))


def work(db: Connection, space: SpaceKeys, actor: bytes, entropy: Callable[[int], bytes], budget: Budget) -> bool:
    """Go on with the draft as far as the budget goes; whether all its parts are written."""
    runs = list(_gather(db, space.n, budget))
    _put_aside(db, space.n, runs or _records(db, space.n, actor, budget))
    last = not runs and db.execute("SELECT 1 FROM gathered WHERE space = ? LIMIT 1", (space.n,)).fetchone() is None
    _seal(db, space, iter(lambda: entropy(crypto.NONCE_BYTES), b""), 1 if last else _PART)
    return last


def _gather(db: Connection, space: int, budget: Budget) -> Iterator[Run]:
    rows = db.execute("SELECT author, sequence, last, ordinal FROM draft_author WHERE space = ? AND sequence < last "
                      "ORDER BY author", (space,)).fetchall()
    for author, sequence, last, ordinal in rows:
        frames: list[Frame] = []
        for number, kind, hash, packed in db.execute(
                "SELECT sequence, kind, hash, inner FROM entry WHERE space = ? AND author = ? AND branch = 0 "
                "AND sequence > ? AND sequence <= ? ORDER BY sequence", (space, author, sequence, last)):
            if budget.spent:
                break
            if kind != CHANGES:
                frames.append(Frame(number, 0, 0, (), {}, (), None, hash))
                continue
            inner = read_kept(packed).inner
            changes = [(at, item) for at, item in enumerate(inner.items) if item.kind == CHANGE]
            db.executemany("INSERT INTO gathered (space, collection, id, author, ordinal, bytes) "
                           "VALUES (?, ?, ?, ?, ?, ?)",
                           [(space, item.collection, item.id, author, ordinal + n, item.data)
                            for n, (_, item) in enumerate(changes)])
            others = {at: Item(item.kind, item.collection, item.id, item.data)
                      for at, item in enumerate(inner.items) if item.kind != CHANGE}
            frames.append(Frame(number, inner.time, len(changes), tuple([item.age for item in inner.items]), others,
                                tuple(inner.heads), inner.part))
            ordinal += len(changes)
            budget.spend(len(packed) // 16, 1 + len(changes) // 4)
        if frames:
            db.execute("UPDATE draft_author SET sequence = ?, ordinal = ? WHERE space = ? AND author = ?",
                       (frames[-1].sequence, ordinal, space, author))
            yield run_of(author, frames)
        if budget.spent:
            return


def _records(db: Connection, space: int, actor: bytes, budget: Budget) -> list[Record]:
    numbers = {author: number for number, author in enumerate(_authors(db, space))}
    forms = Forms()
    for record in _last(db, space):
        forms.wrote(record)
    records: list[Record] = []
    size = 0
    while not budget.spent and size < _PART:
        # As they were first written: what a reader puts aside of a part then lies together, and what is alike is near.
        key = db.execute("SELECT collection, id FROM gathered INDEXED BY gathered_by_space WHERE space = ? "
                         "ORDER BY n LIMIT 1", (space,)).fetchone()
        if key is None:
            break
        rows: list[tuple[int, int, bytes]] = []
        whole = True
        taken = last = 0
        for n, author, ordinal, data in db.execute(
                "SELECT n, author, ordinal, bytes FROM gathered INDEXED BY gathered_by_record "
                "WHERE space = ? AND collection = ? AND id = ? ORDER BY n", (space, *key)):
            rows.append((numbers[author], ordinal, data))
            last, taken = n, taken + len(data)
            if taken >= _WHOLE:
                whole = False
                break
        db.execute("DELETE FROM gathered INDEXED BY gathered_by_record WHERE space = ? AND collection = ? AND id = ? "
                   "AND n <= ?", (space, *key, last))
        records.append(forms.record(key, rows, actor if whole else None))
        size += sum(map(len, records[-1].data)) + 64
        budget.spend(taken // 8, len(rows) // 4)
    return records


def _authors(db: Connection, space: int) -> list[bytes]:
    """The authors of the draft, by whose numbers its parts name them."""
    return [author for (author,) in db.execute("SELECT author FROM draft_author WHERE space = ? ORDER BY author",
                                               (space,))]


# --- parts --------------------------------------------------------------------------------


def _put_aside(db: Connection, space: int, pieces: Sequence[Run | Record]) -> None:
    """Keep runs and records until there are enough for a part: in small ones little is found equal."""
    db.executemany("INSERT INTO drafted (space, run, bytes) VALUES (?, ?, ?)",
                   [(space, isinstance(one, Run), msgspec.msgpack.encode(one)) for one in pieces])


def _last(db: Connection, space: int) -> list[Record]:
    """The last record that was put aside, if there is one."""
    row = db.execute("SELECT bytes FROM drafted WHERE space = ? AND NOT run ORDER BY n DESC LIMIT 1",
                     (space,)).fetchone()
    return [] if row is None else [_record_decoder.decode(row[0])]


def _seal(db: Connection, space: SpaceKeys, nonces: Iterator[bytes], least: int) -> None:
    """Make a part of what was put aside, once that is so many bytes."""
    (size,) = db.execute("SELECT coalesce(sum(length(bytes)), 0) FROM drafted WHERE space = ?", (space.n,)).fetchone()
    if size < least:
        return
    runs: list[Run] = []
    records: list[Record] = []
    for run, data in db.execute("SELECT run, bytes FROM drafted WHERE space = ? ORDER BY n", (space.n,)):
        if run:
            runs.append(_run_decoder.decode(data))
        else:
            records.append(_record_decoder.decode(data))
    db.execute("DELETE FROM drafted WHERE space = ?", (space.n,))
    segments = seal_part(Packed(1, _authors(db, space.n), runs, records), space.id, space.epoch, nonces)
    (number,) = db.execute("UPDATE draft SET parts = parts + 1 WHERE space = ? RETURNING parts", (space.n,)).fetchone()
    db.executemany("INSERT INTO segment (space, part, piece, id, size, bytes) VALUES (?, ?, ?, ?, ?, ?)",
                   [(space.n, number, piece, one.id, len(one.data), one.data) for piece, one in enumerate(segments)])


# --- on its way ---------------------------------------------------------------------------


def written(db: Connection, space: int) -> bool:
    """Whether a draft is here whose parts are all written."""
    return db.execute("SELECT 1 FROM draft WHERE space = ?1 AND NOT EXISTS (SELECT 1 FROM draft_author WHERE "
                      "space = ?1 AND sequence < last) AND NOT EXISTS (SELECT 1 FROM gathered WHERE space = ?1) "
                      "AND NOT EXISTS (SELECT 1 FROM drafted WHERE space = ?1)", (space,)).fetchone() is not None


def unsent(db: Connection, space: int, count: int) -> list[Segment]:
    """The next segments that the relay is to have."""
    return [Segment(*row) for row in db.execute("SELECT id, bytes FROM segment WHERE space = ? AND bytes IS NOT NULL "
                                                "ORDER BY part, piece LIMIT ?", (space, count))]


def stored(db: Connection, space: int, ids: Sequence[bytes]) -> None:
    """The relay has these segments."""
    db.executemany("UPDATE segment SET bytes = NULL WHERE space = ? AND id = ?", [(space, id) for id in ids])
    db.execute("UPDATE draft SET full = 0 WHERE space = ? AND full = 1", (space,))


def full(db: Connection, space: int, relay: int) -> bool:
    """The relay takes no more of the draft's segments; whether it took them before."""
    done = db.execute("UPDATE draft SET full = 1 WHERE space = ? AND relay = ? AND full = 0", (space, relay))
    return bool(done.rowcount > 0)


def lost(db: Connection, space: int, relay: int) -> bool:
    """A relay's store is another one: a draft for it is made no further; whether there was one.

    What was put of it is nowhere any more, and what announces it names the log that is gone.
    """
    there = db.execute("SELECT 1 FROM draft WHERE space = ? AND relay = ?", (space, relay)).fetchone() is not None
    if there:
        clear(db, space)
    return there


def announced(db: Connection, space: int, relay: int) -> bool | None:
    """Whether the relay holds what announces the draft's segments; None when that was not said yet."""
    # What comes after it may be acknowledged first, where there is no room for it.
    said, there = db.execute(
        "SELECT said, acknowledged >= said AND NOT EXISTS (SELECT 1 FROM sealed WHERE entry = said AND "
        "sealed.relay = draft.relay) FROM draft JOIN cursor USING (space, relay) WHERE space = ? AND relay = ?",
        (space, relay)).fetchone()
    return None if said is None else bool(there)


def said(db: Connection, space: int, entry: int) -> None:
    """The draft's segments are announced by an own entry, in this row."""
    db.execute("UPDATE draft SET said = ? WHERE space = ?", (entry, space))


def announcement(db: Connection, space: int, log: bytes) -> Announcement:
    """What of a draft whose parts are written is to be said before its segments are put."""
    upto = db.execute("SELECT author, last, hash FROM draft_author JOIN entry USING (space, author) WHERE space = ? "
                      "AND branch = 0 AND entry.sequence = last ORDER BY author", (space,)).fetchall()
    return Announcement(1, log, upto, list(_parts(db, space)[0].values()))


def _parts(db: Connection, space: int) -> tuple[dict[int, list[bytes]], int]:
    """The segments of a draft by its parts, and their bytes."""
    parts: dict[int, list[bytes]] = {}
    size = 0
    for part, id, length in db.execute("SELECT part, id, size FROM segment WHERE space = ? ORDER BY part, piece",
                                       (space,)):
        parts.setdefault(part, []).append(id)
        size += length
    return parts, size


def finished(db: Connection, space: int) -> Manifest:
    """The manifest of the draft, whose segments the relay has."""
    base, kept = db.execute("SELECT base, kept FROM draft WHERE space = ?", (space,)).fetchone()
    bundles: list[BundleNote] = []
    if base is not None:
        (body,) = db.execute("SELECT body FROM checkpoint WHERE space = ? AND entry = ?", (space, base)).fetchone()
        bundles = list(read_manifest(body).bundles[:kept])
    upto = []
    changes = 0
    for author, last, ordinal in db.execute("SELECT author, last, ordinal FROM draft_author WHERE space = ? "
                                            "ORDER BY author", (space,)).fetchall():
        hash, packed = db.execute("SELECT hash, inner FROM entry WHERE space = ? AND author = ? AND branch = 0 "
                                  "AND sequence = ?", (space, author, last)).fetchone()
        upto.append(Upto(author, last, hash, signature_of(packed), read_kept(packed).inner.relay))
        changes += ordinal
    parts, size = _parts(db, space)
    return Manifest(1, [*bundles, BundleNote(upto, list(parts.values()), size, changes)])
