"""The order of drops: what a relay does of them, and what a device makes of the vouches that it heard of."""

from dataclasses import dataclass, field

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chez.store.database import Connection
from chez.sync.checkpoints.format import BundleNote, Manifest, Upto, Vouch
from chez.sync.checkpoints.heard import ASKED, LATE, OPEN, UNFIT, set_vouch, vouches
from chez.sync.checkpoints.order import chain, goes_as_far, last_known, learn, standing
from chez.sync.entry import CHANGES
from chez_wire.dropping import NO_DROP, Dropped, drop_hash
from tests.store.blank import blank

LOG = b"l" * 32
AUTHOR = b"a" * 32


@dataclass
class Said:
    """Vouches that were said, each after an earlier one or the first, and what a relay made of them."""

    vouches: list[Vouch] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    last: bytes = NO_DROP


@st.composite
def histories(draw: st.DrawFn) -> Said:
    """Vouches after any earlier ones, asked for in any order, some of them twice."""
    said = Said()
    for n in range(draw(st.integers(1, 8))):
        before = draw(st.integers(-1, n - 1))
        follows = NO_DROP if before < 0 else said.names[before]
        chunks_alone = draw(st.booleans())
        ranges = [] if chunks_alone else [Dropped(1, n + 1, bytes((n,)) * 32)]
        release = [bytes((n,)) * 32] if chunks_alone else []
        manifest = bytes(32) if chunks_alone else bytes((100 + n,)) * 32
        said.vouches.append(Vouch(1, manifest, LOG, bytes(32), follows, ranges, release, bytes(32), bytes(64)))
        said.names.append(drop_hash(follows, manifest, ranges, release))
    for n in draw(st.lists(st.integers(0, len(said.vouches) - 1), max_size=16)):
        if said.vouches[n].follows == said.last and said.names[n] != said.last:
            said.last = said.names[n]
            said.done.append(n)
    return said


def manifest(sequence: int) -> Manifest:
    """A checkpoint of one author, up to a number."""
    upto = Upto(AUTHOR, sequence, bytes((sequence,)) * 32, bytes(64), None)
    return Manifest(1, [BundleNote([upto], [[bytes((sequence,)) * 32]], 1, 1)])


def store(said: Said, heard: set[int]) -> Connection:
    """A device that heard of some of them."""
    db = blank()
    db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
    for n, vouch in enumerate(said.vouches):
        db.execute("INSERT INTO checkpoint (space, entry, author, body, state, position) VALUES (1, ?, ?, ?, 0, ?)",
                   (bytes((100 + n,)) * 32, AUTHOR, msgspec.msgpack.encode(manifest(n + 1)), n))
        if n in heard:
            db.execute("INSERT INTO vouch (space, entry, author, body, state) VALUES (1, ?, ?, ?, 0)",
                       (bytes((n,)) * 32, AUTHOR, msgspec.msgpack.encode(vouch)))
    return db


@given(histories())
def test_what_a_relay_did_follows_from_its_last_drop(said: Said) -> None:
    """By that name alone: what was dropped, which vouches came too late, and which checkpoint stands for all of it."""
    db = store(said, set(range(len(said.vouches))))
    learn(db, 1, LOG, said.last)
    states = {entry[0]: state for entry, _, _, state in vouches(db, 1)}
    assert {n for n, state in states.items() if state == ASKED} == set(said.done)
    for n, vouch in enumerate(said.vouches):
        if n not in said.done:
            assert states[n] == (OPEN if vouch.follows == said.last else LATE)
    assert last_known(db, 1, LOG) == said.last
    stands = [n for n in said.done if said.vouches[n].ranges]
    found = standing(db, 1, LOG, said.last)
    assert found == ((said.vouches[stands[-1]].manifest, manifest(stands[-1] + 1)) if stands else None)
    learn(db, 1, LOG, said.last)
    assert {entry[0]: state for entry, _, _, state in vouches(db, 1)} == states


@given(histories(), st.data())
def test_a_relay_that_went_back_to_a_backup_is_believed(said: Said, data: st.DataObject) -> None:
    """What it did after that is not done any more, and what it does then is."""
    db = store(said, set(range(len(said.vouches))))
    learn(db, 1, LOG, said.last)
    kept = data.draw(st.integers(0, len(said.done)))
    before = said.names[said.done[kept - 1]] if kept else NO_DROP
    learn(db, 1, LOG, before)
    assert {entry[0] for entry, _, _, state in vouches(db, 1) if state == ASKED} == set(said.done[:kept])
    assert last_known(db, 1, LOG) == before


@given(histories(), st.sets(st.integers(0, 7)))
def test_who_did_not_hear_of_all_knows_that_or_is_right(said: Said, heard: set[int]) -> None:
    """With vouches missing it says the same of the checkpoint that stands, or that it does not know."""
    whole, part = store(said, set(range(len(said.vouches)))), store(said, heard)
    try:
        found = standing(part, 1, LOG, said.last)
    except LookupError:
        assert not set(said.done) <= heard
    else:
        assert found == standing(whole, 1, LOG, said.last)
    learn(part, 1, LOG, said.last)
    assert {entry[0] for entry, _, _, state in vouches(part, 1) if state == ASKED} <= set(said.done)


def test_what_several_vouched_for_alike_is_one_drop() -> None:
    """Whoever's word the relay was asked by, what each of them said is done; and it says who said it."""
    vouch = Vouch(1, bytes((100,)) * 32, LOG, bytes(32), NO_DROP, [Dropped(1, 1, bytes(32))], [], bytes(32), bytes(64))
    name = drop_hash(NO_DROP, vouch.manifest, vouch.ranges, [])
    db = store(Said([vouch, msgspec.structs.replace(vouch, signature=b"s" * 64)], [name, name], [0], name), {0, 1})
    ((said, found),) = chain(db, 1, LOG, name)
    assert {entry for entry, _ in said} == {bytes(32), bytes((1,)) * 32} and found.manifest == vouch.manifest
    learn(db, 1, LOG, name)
    assert [state for _, _, _, state in vouches(db, 1)] == [ASKED, ASKED]


def test_what_became_of_a_vouch_stays_where_the_relays_last_drop_is_not_known_here() -> None:
    """What was done is not taken for late, as if the relay had gone back, and what nobody is to ask for is not either.
    """
    said, follows = Said(), NO_DROP
    for n in range(4):
        said.vouches.append(Vouch(1, bytes((100 + n,)) * 32, LOG, bytes(32), follows, [Dropped(1, n + 1, bytes(32))],
                                  [], bytes(32), bytes(64)))
        follows = said.vouches[0].drop if n < 2 else NO_DROP
    db = store(said, {0, 1, 2, 3})
    learn(db, 1, LOG, said.vouches[1].drop)
    set_vouch(db, 1, bytes((3,)) * 32, UNFIT)
    for last in (bytes((9,)) * 32, said.vouches[1].drop):
        learn(db, 1, LOG, last)
        assert [state for _, _, _, state in vouches(db, 1)] == [ASKED, ASKED, LATE, UNFIT]


def entry(db: Connection, sequence: int, branch: int, hash: bytes) -> None:
    """An entry of the author is here."""
    db.execute("INSERT INTO entry (space, author, sequence, branch, hash, kind, inner) VALUES (1, ?, ?, ?, ?, ?, x'')",
               (AUTHOR, sequence, branch, hash, CHANGES))


def test_a_checkpoint_goes_as_far_along_one_chain_only() -> None:
    """It has what another one has up to the same entry or an earlier one of its chain; beyond a fork it has not."""
    db = store(Said(), set())
    one, two, other = b"1" * 32, b"2" * 32, b"3" * 32
    entry(db, 1, 0, one)
    entry(db, 2, 0, two)
    entry(db, 2, 1, other)
    assert goes_as_far(db, 1, {AUTHOR: (2, two)}, {AUTHOR: (1, one)})
    assert goes_as_far(db, 1, {AUTHOR: (2, other)}, {AUTHOR: (2, other)}) and goes_as_far(db, 1, {}, {})
    assert not goes_as_far(db, 1, {AUTHOR: (1, one)}, {AUTHOR: (2, two)})
    assert not goes_as_far(db, 1, {AUTHOR: (2, other)}, {AUTHOR: (2, two)})
    assert not goes_as_far(db, 1, {AUTHOR: (3, b"4" * 32)}, {AUTHOR: (1, one)})  # that entry is not here
    assert not goes_as_far(db, 1, {}, {AUTHOR: (1, one)})
