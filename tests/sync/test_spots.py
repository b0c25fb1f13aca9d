"""What is here around an entry is asked for at once, and is what single questions would have said."""

from hypothesis import given
from hypothesis import strategies as st

from chez.crypto import random_bytes
from chez.store.file import connect, migrate
from chez.sync.chains import Spot, place_of, spot_of
from chez.sync.entry import GENESIS

AUTHOR = b"a" * 32
HASHES = [bytes((n,)) * 32 for n in range(1, 7)]
KEPT = st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from(HASHES))
"""An entry that is here: its number, branch and hash."""

_db = connect(":memory:", random_bytes(32))
migrate(_db)
_db.execute("PRAGMA foreign_keys = OFF")


@given(st.lists(KEPT, unique_by=lambda one: one[:2]), st.integers(1, 4), st.sampled_from([GENESIS, *HASHES]),
       st.sampled_from(HASHES))
def test_a_spot_says_what_single_questions_say(kept: list[tuple[int, int, bytes]], sequence: int, previous: bytes,
                                               hash: bytes) -> None:
    """The entry before, the entry itself, and whether branch 0 goes on already, however the chain forks."""
    # A hash covers the number, so no two entries of different numbers have the same.
    kept = [(number, branch, bytes((number,)) + found[1:]) for number, branch, found in kept]
    hash, previous = bytes((sequence,)) + hash[1:], bytes((sequence - 1,)) + previous[1:]
    _db.execute("DELETE FROM entry")
    _db.executemany("INSERT INTO entry (space, author, sequence, branch, hash, kind, inner) "
                    "VALUES (1, ?, ?, ?, ?, 0, x'00')", [(AUTHOR, *one) for one in kept])
    found = spot_of(_db, 1, AUTHOR, sequence, previous, hash)
    begun = any(one[:2] == (sequence, 0) for one in kept)
    assert found.begun == begun
    parents = {one[1] for one in kept if (one[0], one[2]) == (sequence - 1, previous)}
    if sequence > 1 and len(parents) < 2:
        assert found.parent == place_of(_db, 1, AUTHOR, sequence - 1, previous)
    if len({one[1] for one in kept if (one[0], one[2]) == (sequence, hash)}) < 2:
        assert found.known == place_of(_db, 1, AUTHOR, sequence, hash)


def test_the_first_entry_follows_the_beginning() -> None:
    """Nothing is here of its author; of one that names another beginning nothing is known."""
    _db.execute("DELETE FROM entry")
    first = spot_of(_db, 1, AUTHOR, 1, GENESIS, HASHES[0])
    assert first.parent == place_of(_db, 1, AUTHOR, 0, GENESIS)
    assert spot_of(_db, 1, AUTHOR, 1, HASHES[1], HASHES[0]) == Spot(None, None, False)
