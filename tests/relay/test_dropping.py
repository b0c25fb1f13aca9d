"""Dropping between both cores: who may, on whose word, of which store; and how readers page across what is gone."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chez.errors import RelayMisbehaved
from chez.sync.events import ChunksFound, EntriesArrived, Refused
from chez.sync.following import check_run
from chez.sync.session import Dropping
from chez_relay import storage as s
from chez_relay.config import load
from chez_relay.doctor import examine
from chez_relay.errors import Code
from chez_relay.storage import Expire, space_rows
from chez_relay.storage.census import census
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.tables import Tables
from chez_wire.dropping import NO_DROP, drop_hash, uncovered, united
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.frames import Dropped, Entry
from chez_wire.login import Role, vouch_message
from tests.relay.link import Link, World
from tests.relay.storing import Clock, codes, create, drop, entry, new_store
from tests.relay.support import Space, key, seed

SPACE = Space()
HANDLE, CONTROL = SPACE.handle, SPACE.credential(Role.CONTROL)
ENVELOPES = [SPACE.envelope(number) for number in range(6)]


def heads() -> list[bytes]:
    """The head after each entry, that before the first one too."""
    out = [GENESIS_HEAD]
    for envelope in ENVELOPES:
        out.append(fold_head(out[-1], entry_id(envelope)))
    return out


CHECKPOINT = seed("checkpoint")
RANGES = (Dropped(1, 3, heads()[3]), Dropped(5, 5, heads()[5]))


def filled() -> tuple[World, Link]:
    """A space with six entries, and a link of an owner."""
    world = World(1)
    owner = world.connect()
    owner.client.create_space(SPACE.admin, *SPACE.others)
    world.run()
    owner.client.open(SPACE.claims(Role.READ, Role.APPEND))
    for envelope in ENVELOPES:
        owner.client.append(HANDLE, Role.APPEND, envelope)
    world.run()
    return world, owner


def dropping(world: World, ranges: tuple[Dropped, ...] = RANGES, incarnation: bytes | None = None,
             follows: bytes = NO_DROP, chunks: tuple[bytes, ...] = ()) -> Dropping:
    """What a member vouches for."""
    store = world.storage.incarnation if incarnation is None else incarnation
    vouch = CONTROL.sign_bytes(vouch_message(HANDLE, store, drop_hash(follows, CHECKPOINT, ranges, chunks)))
    return Dropping(store, follows, CHECKPOINT, ranges, chunks, CONTROL.public, vouch)


def outcome(world: World, link: Link, ref: int) -> str:
    """The code that a request was refused with; empty when it was done."""
    world.run()
    (event,) = [event for event in link.events if getattr(event, "ref", None) == ref]
    return event.code if isinstance(event, Refused) else ""


def test_readers_page_across_what_was_dropped() -> None:
    """Whoever reads from anywhere is led over the ranges, and heads fold on from the ones that these name."""
    world, owner = filled()
    drop = dropping(world)
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, drop)) == ""
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, drop)) == ""
    world.storage._spaces[HANDLE].dropping = dict.fromkeys(world.storage._spaces[HANDLE].dropping, 0.0)
    world.storage.perform_now([Expire()])
    for after in range(7):
        reader = world.connect()
        reader.client.open(SPACE.claims(Role.READ))
        ref = reader.client.subscribe(HANDLE, after, 100_000, head=heads()[after])
        world.run()
        (page,) = [event for event in reader.events if isinstance(event, EntriesArrived) and event.ref == ref]
        assert [one.offset for one in page.entries] == [n for n in (4, 6) if n > after]
        assert page.head == heads()[6] and sum(one.last - one.first + 1 for one in page.dropped) == sum(
            n > after for n in (1, 2, 3, 5))


def test_a_drop_of_another_store_is_refused() -> None:
    """Offsets of a store that was lost name other entries in the next one: the incarnation tells."""
    world, owner = filled()
    ref = owner.client.drop(HANDLE, SPACE.admin, dropping(world, incarnation=seed("another")))
    assert outcome(world, owner, ref) == Code.STALE


def test_a_vouch_holds_for_what_it_names() -> None:
    """The control key's word for some ranges drops no others, nor on another checkpoint, and nobody else's key stands
    in for it."""
    world, owner = filled()
    drop = dropping(world)
    wider = (Dropped(1, 6, heads()[6]),)
    for other in (replace(drop, ranges=wider), replace(drop, checkpoint=seed("another"))):
        assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, other)) == Code.DENIED
    mine = key("mine")
    forged = mine.sign_bytes(vouch_message(HANDLE, drop.incarnation, drop_hash(NO_DROP, CHECKPOINT, RANGES, ())))
    own = replace(drop, voucher=mine.public, vouch=forged)
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, own)) == Code.DENIED
    assert outcome(world, owner, owner.client.drop(HANDLE, mine, drop)) == Code.DENIED


def test_a_vouch_holds_after_the_drop_that_it_follows() -> None:
    """Of two that follow the same one the second is stale; what follows the first is done, and answers name it."""
    world, owner = filled()
    first, second = (dropping(world, (one,)) for one in RANGES)
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, first)) == ""
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, second)) == Code.STALE
    name = drop_hash(NO_DROP, CHECKPOINT, first.ranges, ())
    moved = replace(second, follows=name)
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, moved)) == Code.DENIED
    after = dropping(world, second.ranges, follows=name)
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, after)) == ""
    asked = owner.client.has_chunks(HANDLE, [seed("chunk")])
    world.run()
    assert [event.drop for event in owner.events if isinstance(event, ChunksFound) and event.ref == asked] == [
        drop_hash(name, CHECKPOINT, second.ranges, ())]


def test_a_drop_of_nothing_is_refused() -> None:
    """It names a range or a chunk, or it would only stand in the way of others."""
    world, owner = filled()
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, dropping(world, ()))) == Code.BAD_RANGES
    of_a_chunk = dropping(world, (), chunks=(seed("chunk"),))
    assert outcome(world, owner, owner.client.drop(HANDLE, SPACE.admin, of_a_chunk)) == ""


def test_a_page_with_a_hole_is_caught() -> None:
    """Ranges that leave an entry out, go back or have no end are the relay's misbehaviour."""
    entries = tuple(Entry(number + 1, envelope) for number, envelope in enumerate(ENVELOPES))
    for dropped, rest in (((Dropped(1, 2, heads()[2]),), entries[3:]), ((Dropped(1, 4, heads()[4]),), entries[3:]),
                          ((Dropped(1, 0, heads()[1]),), entries)):
        with pytest.raises(RelayMisbehaved):
            check_run(EntriesArrived(1, HANDLE, rest, heads()[6], 6, dropped), 0, GENESIS_HEAD)
    assert check_run(EntriesArrived(1, HANDLE, entries[3:], heads()[6], 6, (Dropped(1, 3, heads()[3]),)),
                     0, GENESIS_HEAD) == heads()[6]


@given(st.integers(1, 30), st.integers(1, 30), st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_what_is_left_of_a_range(first: int, last: int, by: list[tuple[int, int]]) -> None:
    """The parts of it that no other range has are all of them, in order, and as few as can be."""
    by = [(min(one), max(one)) for one in by]
    left = uncovered(first, last, by)
    has = {offset for begin, end in by for offset in range(begin, end + 1)}
    assert [offset for begin, end in left for offset in range(begin, end + 1)] == [
        offset for offset in range(first, last + 1) if offset not in has]
    assert all(one[1] + 1 < other[0] for one, other in pairwise(left))


HOSTILE = Space("hostile")


def entries(count: int) -> list[s.AddEntry]:
    """Appends to the hostile space."""
    made = [HOSTILE.envelope(number, 200) for number in range(count)]
    return [s.AddEntry(HOSTILE.handle, entry_id(one), one, False, HOSTILE.keys.append) for one in made]


def drops(ways: list[list[tuple[int, int]]], stored: list[bytes]) -> list[s.DropEntries]:
    """Requests to drop these ranges, each after the one before."""
    made, follows = [], NO_DROP
    for spans in ways:
        ranges = tuple(Dropped(first, last, stored[last - 1]) for first, last in spans)
        digest = drop_hash(follows, CHECKPOINT, ranges, ())
        made.append(s.DropEntries(HOSTILE.handle, HOSTILE.keys.admin, HOSTILE.keys.control, follows, digest, ranges))
        follows = digest
    return made


@pytest.mark.parametrize("sizes", [range(1, 80), range(79, 0, -1)], ids=["small ones first", "large ones first"])
def test_who_names_entries_again_and_again_holds_up_nobody(tmp_path: Path, sizes: range) -> None:
    """An owner names its entries in all ranges that there are: each waits once, and others' are let go in time."""
    clock, count = Clock(), 80
    with new_store(tmp_path / "relay.sqlite") as db:
        tables = Tables(db, s.Quotas(grace=50), clock)
        tables.perform([s.AddSpace(HOSTILE.handle, HOSTILE.keys), create()])
        stored = [one.head for one in tables.perform(entries(count)) if isinstance(one, s.Stored)]
        ways = [[(first, first + size - 1) for first in range(start, count - size + 2, size)]
                for size in sizes for start in range(1, min(size, count - size + 1) + 1)]
        assert sum(map(len, ways)) > 3000
        assert set(codes(tables.perform(drops(ways, stored)))) == {None}
        mine = [one.head for one in tables.perform([entry(1), entry(2)]) if isinstance(one, s.Stored)]
        tables.perform([drop([s.Dropped(1, 1, mine[0])])])
        assert db.execute("SELECT count(*) FROM dropping").fetchone()[0] <= count + 1
        clock.now += 100
        while tables.perform([s.Expire()]) == [s.Expired(True)]:
            pass
        (page,) = tables.perform([s.ReadPage(SPACE.handle, 0, 100_000, SPACE.keys.read)])
        assert isinstance(page, s.Page) and page.dropped == (s.Dropped(1, 1, mine[0]),)


def test_what_was_dropped_is_counted_no_more(tmp_path: Path) -> None:
    """What waits for its grace is still held; what is gone is not, in parts too, and no other space's count changes."""
    clock = Clock()
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(grace=50), clock)
        tables.perform([s.AddSpace(HOSTILE.handle, HOSTILE.keys), create(), *entries(9)])
        stored = [one.head for one in tables.perform([entry(n) for n in range(6)]) if isinstance(one, s.Stored)]
        assert tables.perform([drop([s.Dropped(1, 3, stored[2]), s.Dropped(5, 5, stored[4])])]) == [s.Done()]
        held = [size.entries for size in census(tmp_path).sizes]
        clock.now += 100
        while tables.perform([s.Expire()]) == [s.Expired(True)]:
            pass
        assert (held, [size.entries for size in census(tmp_path).sizes]) == ([9, 6], [9, 2])
        assert census(tmp_path).entries == check(tmp_path / FILE_NAME).entries == 11
        (told,) = [one.text for one in examine(load({"data": str(tmp_path), "listen": "127.0.0.1:0"}, {}))
                   if one.what == "store"]
        assert "counts 2 spaces, 11 entries" in told


def test_a_slice_may_end_with_a_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is due next has its turn with the next slice, and all of it goes."""
    monkeypatch.setattr(space_rows, "SWEEP_BYTES", 1)
    clock = Clock()
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(grace=50), clock)
        tables.perform([create()])
        stored = [one.head for one in tables.perform([entry(n) for n in range(6)]) if isinstance(one, s.Stored)]
        tables.perform([drop([s.Dropped(1, 1, stored[0]), s.Dropped(3, 4, stored[3])])])
        clock.now += 100
        for left in (5, 4, 3):
            assert tables.perform([s.Expire()]) == [s.Expired(left > 3)]
            assert census(tmp_path).entries == left
        (page,) = tables.perform([s.ReadPage(SPACE.handle, 0, 100_000, SPACE.keys.read)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [2, 5, 6]


def test_what_a_drop_costs_does_not_grow_with_what_was_dropped_before(tmp_path: Path) -> None:
    """Of a log with hundreds of gaps, naming one takes no more steps of the database than of a log with few."""
    steps = []
    for count in (40, 1600):
        clock = Clock()
        with new_store(tmp_path / f"{count}.sqlite") as db:
            tables = Tables(db, s.Quotas(grace=50), clock)
            tables.perform([s.AddSpace(HOSTILE.handle, HOSTILE.keys)])
            stored = [one.head for one in tables.perform(entries(count)) if isinstance(one, s.Stored)]
            every, again = drops([[(n, n) for n in range(1, count, 2)], [(n, n) for n in range(1, 20, 2)]], stored)
            tables.perform([every])
            clock.now += 100
            while tables.perform([s.Expire()]) == [s.Expired(True)]:
                pass
            ticks: list[int] = []
            db.set_progress_handler(partial(ticks.append, 0), 20)
            assert tables.perform([again]) == [s.Done()]
            db.set_progress_handler(None, 0)
            steps.append(len(ticks))
    assert steps[1] < 2 * steps[0]


def test_ranges_are_put_together() -> None:
    """Ranges that touch or overlap are one, whose head is that at its end."""
    one, two, far = Dropped(1, 3, seed("a")), Dropped(3, 6, seed("b")), Dropped(8, 9, seed("c"))
    assert united([far, two, one]) == [Dropped(1, 6, seed("b")), far]
    assert united([Dropped(4, 4, seed("d")), one]) == [Dropped(1, 4, seed("d"))]
