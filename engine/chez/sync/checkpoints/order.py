"""In which order a relay's drops came, by their names, and what follows from that. No I/O.

A drop names the one before it and the checkpoint that it rests on (`chez_wire.dropping.drop_hash`), and a relay does it
only where that one is its last. So its drops are a chain, which the vouches in the log spell out: what several devices
vouched for alike is one drop. What holds after each of them:

- the checkpoint of the last one with ranges stands for all that was ever dropped at this log;
- the relay holds all its segments, and keeps them.

It holds because whoever vouches has asked, at one moment, which drop is the last and whether the segments
are there; because the checkpoint that a drop rests on goes at least as far, for each author, as the one before it;
and because no drop releases a segment of the checkpoint that stands after it. Of two checkpoints made at once
one is dropped first; the other's vouch is worth nothing then, and a new one is said only if that rule allows.
"""

from collections.abc import Iterator, Mapping

from chez.store.database import Connection
from chez.sync.chains import place_of
from chez.sync.checkpoints.format import Manifest, Vouch
from chez.sync.checkpoints.heard import ASKED, LATE, OPEN, manifest_of, set_vouch, vouch_of, vouches
from chez_wire.dropping import NO_DROP

__all__ = ("chain", "goes_as_far", "last_known", "learn", "standing", "upto_of")


def chain(db: Connection, space: int, log: bytes, drop: bytes) -> Iterator[tuple[list[tuple[bytes, bytes]], Vouch]]:
    """A log's drops, the last one first, as far back as known: entry and author of each that vouched for it, and what.

    Those before the store had another incarnation were vouched for under the log's former name: a relay's backup that
    was put in place, or a cluster's store that was renewed, has what was dropped before, and says so.
    """
    here, before = dict[bytes, list[tuple[bytes, bytes]]](), dict[bytes, list[tuple[bytes, bytes]]]()
    for entry, author, vouch, _ in vouches(db, space):
        (here if vouch.log == log else before).setdefault(vouch.drop, []).append((entry, author))
    while said := here.pop(drop, None) or before.pop(drop, None):
        vouch = vouch_of(db, space, said[0][0])
        yield said, vouch
        drop = vouch.follows


def learn(db: Connection, space: int, log: bytes, drop: bytes) -> None:
    """A relay said which drop was its last one: what its drops were is known, and which vouches came too late.

    Those that were done and are in its chain no more came too late as well: it went back to a backup.
    """
    done: set[bytes] = set()
    first = drop
    for said, vouch in chain(db, space, log, drop):
        done.update(entry for entry, _ in said)
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
    done = {vouch.drop: vouch.follows for _, _, vouch, state in vouches(db, space)
            if vouch.log == log and state == ASKED}
    return next((name for name in done if name not in done.values()), NO_DROP)


def standing(db: Connection, space: int, log: bytes, drop: bytes) -> tuple[bytes, Manifest] | None:
    """The checkpoint, by its entry, that stands for all that was dropped up to a drop; None before the first.

    Raises `LookupError` when that is not known here.
    """
    for _, vouch in chain(db, space, log, drop):
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
