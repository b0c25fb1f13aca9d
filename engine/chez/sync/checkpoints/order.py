"""In which order a relay's drops came, by their names, and what follows from that. No I/O.

A drop names the one before it (`chez_wire.dropping.drop_hash`), and a relay does it only where that is its last
one. So its drops are a chain, which the vouches in the log spell out. What holds after each of them:

- the checkpoint of the last one with ranges stands for all that was ever dropped at this log;
- the relay holds all its segments, and keeps them.

It holds because whoever vouches has asked, at one moment, which drop is the last and whether the segments
are there; because the checkpoint that a drop rests on goes at least as far, for each author, as the one before it;
and because no drop releases a segment of the checkpoint that stands after it. Of two checkpoints made at once
one is dropped first; the other's vouch is worth nothing then, and a new one is said only if that rule allows.

A drop's name does not tell which checkpoint it rests on: anybody may say a vouch like one that was dropped on, for a
checkpoint of their own. Of several the one counts whose checkpoint was compared, taken in or made here, else one that
is another person's word, and which of these is all the same. What this device released rests on such a one alone.
"""

from collections.abc import Callable, Iterator, Mapping

from chez.store.database import Connection
from chez.sync.chains import place_of
from chez.sync.checkpoints.format import Manifest, Vouch
from chez.sync.checkpoints.heard import ASKED, LATE, OPEN, is_proven, manifest_of, set_vouch, vouch_of, vouches
from chez_wire.dropping import NO_DROP, drop_hash

__all__ = ("Counts", "chain", "goes_as_far", "last_known", "learn", "standing", "upto_of")

Counts = Callable[[bytes, Vouch], bool]
"""Whether what a device vouches for is another person's word than that of who made the checkpoint."""


def chain(db: Connection, space: int, log: bytes, drop: bytes,
          counts: Counts | None = None) -> Iterator[tuple[bytes, bytes, Vouch]]:
    """The vouches of a log's drops by their entries, with their authors, the last one first, as far back as known."""
    named: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for entry, author, vouch, _ in vouches(db, space):
        if vouch.log == log:
            named.setdefault(drop_hash(vouch.follows, vouch.ranges, vouch.release), []).append((entry, author))

    def worth(said: tuple[bytes, bytes]) -> tuple[bool, bool, bytes]:
        vouch = vouch_of(db, space, said[0])
        return is_proven(db, space, vouch.manifest), counts is not None and counts(said[1], vouch), said[0]

    while alike := named.pop(drop, None):
        entry, author = alike[0] if len(alike) == 1 else max(alike, key=worth)
        vouch = vouch_of(db, space, entry)
        yield entry, author, vouch
        drop = vouch.follows


def learn(db: Connection, space: int, log: bytes, drop: bytes, counts: Counts | None = None) -> None:
    """A relay said which drop was its last one: what its drops were is known, and which vouches came too late.

    Those that were done and are in its chain no more came too late as well: it went back to a backup.
    """
    done: set[bytes] = set()
    first = drop
    for entry, _, vouch in chain(db, space, log, drop, counts):
        done.add(entry)
        first = vouch.follows
    whole = first == NO_DROP
    for entry, _, vouch, state in vouches(db, space):
        if vouch.log != log:
            continue
        if entry in done:
            if state != ASKED:
                set_vouch(db, space, entry, ASKED)
        elif (state == OPEN and vouch.follows != drop) or (state == ASKED and whole):
            set_vouch(db, space, entry, LATE)


def last_known(db: Connection, space: int, log: bytes) -> bytes:
    """The name of a log's last drop, as far as is known here: a relay said so, or was asked for it."""
    done = {drop_hash(vouch.follows, vouch.ranges, vouch.release): vouch.follows
            for _, _, vouch, state in vouches(db, space) if vouch.log == log and state == ASKED}
    return next((name for name in done if name not in done.values()), NO_DROP)


def standing(db: Connection, space: int, log: bytes, drop: bytes,
             counts: Counts | None = None) -> tuple[bytes, Manifest] | None:
    """The checkpoint, by its entry, that stands for all that was dropped up to a drop; None before the first.

    Raises `LookupError` when that is not known here.
    """
    for _, _, vouch in chain(db, space, log, drop, counts):
        if vouch.ranges:
            return vouch.manifest, manifest_of(db, space, vouch.manifest)
        drop = vouch.follows
    if drop != NO_DROP:
        raise LookupError("nobody said here what the relay's last drop was")
    return None


def upto_of(manifest: Manifest | None) -> dict[bytes, tuple[int, bytes]]:
    """Up to where a checkpoint stands; nowhere, where there is none."""
    return {} if manifest is None else manifest.vector


def goes_as_far(db: Connection, space: int, vector: Mapping[bytes, tuple[int, bytes]],
                other: Mapping[bytes, tuple[int, bytes]]) -> bool:
    """Whether a vector has all that another one has, by the chains that are here."""
    for author, at in other.items():
        mine = vector.get(author)
        if mine == at:
            continue
        if mine is None or mine[0] < at[0]:
            return False
        here, there = place_of(db, space, author, *mine), place_of(db, space, author, *at)
        if here is None or there is None or here.branch or there.branch:
            return False  # beyond a fork it is another chain
    return True
