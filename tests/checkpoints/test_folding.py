"""A checkpoint gives back exactly the entries that their authors signed, or is refused."""

from random import Random
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.errors import BadEntry
from chez.records import automerge
from chez.records.encode import encode_fields
from chez.records.flat import check_flat, flattened
from chez.sync.checkpoints import making, taking
from chez.sync.checkpoints.format import (
    Frame,
    Packed,
    Record,
    Upto,
    frames_of,
    open_part,
    run_of,
    seal_packed,
    seal_part,
)
from chez.sync.entry import GENESIS, STATEMENT, Inner, Item, Part, SignedEntry, entry_hash, pad
from chez.sync.vector import vector_of
from chez_wire.limits import MAX_INNER
from tests.checkpoints.bundles import bundle_of, filled, nonces, one_bundle, read, reader
from tests.security.chains import NOTES, Node, Reader, World
from tests.tries import tries

WORLD, MAKER = filled()
MANIFEST, PARTS = bundle_of(MAKER)


def rows(device: Reader) -> list[tuple[Any, ...]]:
    """Every entry as it is kept, but for the bytes."""
    return device.db.execute("SELECT author, sequence, hash, kind, part, weight, branch, standing FROM entry "
                             "ORDER BY author, sequence").fetchall()


@pytest.mark.parametrize("budget", [1, 40, 10**9])
def test_a_checkpoint_gives_back_every_entry(budget: int) -> None:
    """Entries, records and vector are those of a device that had the log, however small the turns are."""
    new = reader(WORLD, MANIFEST)
    assert read(new, [PARTS], budget) == vector_of(MAKER.db, 1)
    assert rows(new) == rows(MAKER) and new.shown() == MAKER.shown()
    assert new.count("quarantine") == new.count("parked") == new.count("staged_change") == 0


def test_a_second_bundle_goes_on_from_the_first() -> None:
    """A later checkpoint names the same bundle again and adds a small one, which holds what came since alone."""
    world, maker = filled(2, 150)
    first, parts = bundle_of(maker)
    maker.db.execute("INSERT INTO checkpoint (space, entry, author, body, state, position) VALUES (1, ?, ?, ?, 1, 1)",
                     (b"c" * 32, world.owner.keys.id, msgspec.msgpack.encode(first)))
    node = _node_of(maker, world)
    maker.receive(world.put(node, "note 9", {"new": 1}))
    second, more = bundle_of(maker, (b"c" * 32, first))
    assert second.bundles[0] == first.bundles[0] and len(second.bundles) == 2
    assert sum(len(part.records) for part in more) == 1
    new = reader(world, second)
    assert read(new, [parts, more]) == vector_of(maker.db, 1) and new.shown() == maker.shown()


@pytest.mark.parametrize("fork", [False, True])
def test_what_counts_no_more_is_in_a_later_checkpoint_too(fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries were dropped for one; a removal cuts into them, or a fork is found: the next one has them as well."""
    monkeypatch.setattr("chez.sync.checkpoints.making._SHARE", 10**9)  # whatever may be written anew is
    world, maker = filled(2, 60)
    first, parts = bundle_of(maker)
    maker.db.execute("INSERT INTO checkpoint (space, entry, author, body, state, position) VALUES (1, ?, ?, ?, 1, 1)",
                     (b"c" * 32, world.owner.keys.id, msgspec.msgpack.encode(first)))
    friend, (last, hash) = next((author, at) for author, at in first.vector.items() if author != world.owner.keys.id)
    if fork:  # what it stands for is another branch here than the one that came first
        maker.db.execute("UPDATE entry SET branch = 1, standing = 2 WHERE author = ? AND sequence > ?",
                         (friend, last - 9))
    else:
        maker.db.execute("UPDATE entry SET standing = 1 WHERE author = ? AND sequence > ?", (friend, last - 9))
    assert making.covered(maker.db, 1)[friend] == last - 9
    maker.receive(world.put(_node_of(maker, world), "note 9", {"new": 1}))
    second, more = bundle_of(maker, (b"c" * 32, first))
    assert second.vector[friend] == (last, hash) and second.vector != first.vector
    assert len(second.bundles) == (2 if fork else 1)
    new = reader(world, second)
    read(new, [parts, more] if fork else [more])
    assert {row[:3] for row in rows(new)} == {row[:3] for row in rows(maker)}


def _node_of(maker: Reader, world: World) -> Node:
    sequence, hash = vector_of(maker.db, 1)[world.owner.keys.id]
    return Node(world.owner, sequence, hash)


# --- attacks ------------------------------------------------------------------------------


def altered(tree: Any, random: Random) -> Any:
    """The same tree with one thing left out, doubled, moved or changed somewhere."""
    places: list[tuple[Any, int]] = []

    def walk(node: Any) -> None:
        for at, child in enumerate(node):
            places.append((node, at))
            if isinstance(child, list):
                walk(child)

    walk(tree)
    node, at = random.choice(places)
    value = node[at]
    match random.randrange(4):
        case 0:
            del node[at]
        case 1:
            node.insert(at, value)
        case 2 if len(node) > 1:
            other = random.randrange(len(node))
            node[at], node[other] = node[other], value
        case _:
            node[at] = _other(value, random)
    return tree


def _other(value: Any, random: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + random.choice((-1, 1, 1000))
    if isinstance(value, bytes):
        if not value:
            return b"x"
        at = random.randrange(len(value))
        return value[:at] + bytes((value[at] ^ 1 << random.randrange(8),)) + value[at + 1:]
    if isinstance(value, str):
        return value + "x"
    return [] if value is None else None


@given(st.integers(0, 2**32))
@settings(max_examples=tries(150), deadline=None)
def test_whatever_is_altered_in_the_parts_the_entries_are_the_signed_ones(seed: int) -> None:
    """Anything left out, added, doubled, moved or changed is refused, or changes no entry at all."""
    tree = msgspec.msgpack.decode(msgspec.msgpack.encode(PARTS))
    new = reader(WORLD, MANIFEST)
    try:
        parts = msgspec.convert(altered(tree, Random(seed)), list[Packed], strict=True)
        read(new, [[*parts, *PARTS[len(parts):]]])
    except (BadEntry, msgspec.ValidationError):
        assert new.count("entry") == 0
    else:
        assert rows(new) == rows(MAKER)


@given(st.integers(0, 2**32))
@settings(max_examples=tries(60), deadline=None)
def test_whatever_is_altered_in_the_manifest_the_entries_are_the_signed_ones(seed: int) -> None:
    """A manifest that names another end, hash, signature or author is refused."""
    tree = msgspec.msgpack.decode(msgspec.msgpack.encode(MANIFEST.bundles[-1].upto))
    try:
        upto = msgspec.convert(altered(tree, Random(seed)), list[Upto], strict=True)
        bundle = msgspec.structs.replace(MANIFEST.bundles[-1], upto=upto)
        new = reader(WORLD, one_bundle(MANIFEST, bundle))
        read(new, [PARTS])
    except (BadEntry, msgspec.ValidationError):
        return
    assert set(rows(new)) <= set(rows(MAKER))


def test_a_change_forged_in_anothers_name_has_no_signature() -> None:
    """A compactor that makes another's chain anew, with a change of its own in it, can't sign its end."""
    victim = WORLD.friend.keys.id
    end = next(one for one in MANIFEST.bundles[-1].upto if one.author == victim)
    forged = encode_fields(victim, 1, 1, (), {"forged": True})
    authors = [victim]
    inner = Inner(1, MAKER.replica.space.id, victim, 1, GENESIS, 5, 0, [Item(0, "notes", "x", forged.bytes)], [], None)
    frame = Frame(1, 5, 1, (0,), {}, (), None)
    part = Packed(1, authors, [run_of(victim, [frame])],
                  [Record("notes", "x", False, [forged.bytes], [0], [0], [])])
    upto = [Upto(victim, 1, entry_hash(inner), end.signature, end.relay)]
    manifest = one_bundle(MANIFEST, msgspec.structs.replace(MANIFEST.bundles[-1], upto=upto, parts=[[bytes(32)]]))
    with pytest.raises(BadEntry, match="not signed"):
        read(reader(WORLD, manifest), [[part]])


@pytest.mark.parametrize("purpose", [taking.TAKE, taking.COMPARE])
@pytest.mark.parametrize("author", [WORLD.owner.keys.id, WORLD.friend.keys.id], ids=["owner", "friend"])
def test_a_manifest_that_names_another_hash_stands_for_nothing(author: bytes, purpose: int) -> None:
    """The entries and their signature are the author's, the hash alone is none of theirs: what would go on from it?"""
    upto = [msgspec.structs.replace(one, hash=bytes(32)) if one.author == author else one
            for one in MANIFEST.bundles[-1].upto]
    assert upto != MANIFEST.bundles[-1].upto
    new = reader(WORLD, one_bundle(MANIFEST, msgspec.structs.replace(MANIFEST.bundles[-1], upto=upto)), purpose)
    with pytest.raises(BadEntry, match="other entries than"):
        read(new, [PARTS])
    assert new.count("entry") == 0


def spoken() -> tuple[World, Reader, list[SignedEntry]]:
    """A device that has another one's chain: a change, a statement, a change; and that chain."""
    world = World(3)
    maker, node = world.reads(), Node(world.friend)
    statement = Item(STATEMENT, "", "", world.reader.statements[0].raw)
    chain = [world.put(node, "first", {"n": 1}), world.entry(node, [], items=[statement]),
             world.put(node, "second", {"n": 2})]
    maker.receive(*chain)
    return world, maker, chain


def left_in_log(entries: list[SignedEntry], *left: int) -> Packed:
    """The part of a checkpoint of an author's entries, of which it says that those of these numbers stay in the log."""
    frames, records = [], []
    for one in entries:
        inner = one.inner
        if inner.sequence in left:
            frames.append(Frame(inner.sequence, 0, 0, (), {}, (), None, one.hash))
            continue
        frames.append(Frame(inner.sequence, inner.time, 1, (0,), {}, tuple(inner.heads), None))
        records.append(Record(NOTES, inner.items[0].id, False, [inner.items[0].data], [0], [len(records)], []))
    return Packed(1, [entries[0].inner.author], [run_of(entries[0].inner.author, frames)], records)


@pytest.mark.parametrize("purpose", [taking.TAKE, taking.COMPARE])
def test_what_stands_before_an_entry_that_stays_in_the_log_is_what_that_follows(purpose: int) -> None:
    """A compactor that makes anew what an author wrote before a statement has no other signature than the statement's.
    """
    world, maker, chain = spoken()
    manifest, _ = bundle_of(maker)
    here = chain if purpose == taking.COMPARE else chain[1:2]
    part = left_in_log(chain, 2)
    new = reader(world, manifest, purpose)
    new.receive(*here)
    read(new, [[part]])
    assert new.shown() == maker.shown()
    change = encode_fields(world.friend.keys.id, 1, 1, (), {"n": "forged"})
    new = reader(world, manifest, purpose)
    new.receive(*here)
    with pytest.raises(BadEntry, match="another chain"):
        read(new, [[msgspec.structs.replace(part, records=[
            Record(NOTES, "first", False, [change.bytes], [0], [0], []), part.records[1]])]])
    assert "forged" not in str(new.shown())


@pytest.mark.parametrize("purpose", [taking.TAKE, taking.COMPARE])
def test_no_change_is_left_out_as_what_stays_in_the_log(purpose: int) -> None:
    """It would be dropped all the same: a hash alone folds, and what it is the hash of is nowhere any more."""
    world, maker, chain = spoken()
    manifest, _ = bundle_of(maker)
    new = reader(world, manifest, purpose)
    new.receive(*(chain if purpose == taking.COMPARE else chain[:2]))
    with pytest.raises(BadEntry, match="left in the log that is not"):
        read(new, [[left_in_log(chain, 1, 2)]])


@pytest.mark.parametrize("purpose", [taking.TAKE, taking.COMPARE])
def test_a_checkpoint_ends_with_an_entry_that_it_holds(purpose: int) -> None:
    """At an entry that stays in the log it has no signature: that would be an end of any hash."""
    world, maker, chain = spoken()
    manifest, _ = bundle_of(maker)
    (end,) = manifest.bundles[-1].upto
    upto = [msgspec.structs.replace(end, sequence=2, hash=bytes(32))]
    new = reader(world, one_bundle(manifest, msgspec.structs.replace(manifest.bundles[-1], upto=upto)), purpose)
    new.receive(*chain[:2])
    with pytest.raises(BadEntry, match="ends with an entry"):
        read(new, [[left_in_log(chain[:2], 2)]])


def test_a_checkpoint_waits_for_what_it_leaves_in_the_log() -> None:
    """While that is not here nothing tells whether what stands before it is what its author wrote."""
    world, maker, chain = spoken()
    manifest, _ = bundle_of(maker)
    new = reader(world, manifest)
    with pytest.raises(taking.UnreadEntry):
        read(new, [[left_in_log(chain, 2)]])
    assert new.count("entry") == 0


def test_what_is_compared_must_be_here() -> None:
    """A device that does not hold the entries by itself has nothing to vouch for."""
    with pytest.raises(BadEntry, match="not those here"):
        read(reader(WORLD, MANIFEST, taking.COMPARE), [PARTS])


def test_what_is_compared_is_on_the_chain_that_came_first() -> None:
    """A checkpoint that ends on another branch of a fork stands for other entries than would be dropped for it."""
    world, maker, chain = spoken()
    manifest, _ = bundle_of(maker)
    for branch in (0, 1):
        new = reader(world, manifest, taking.COMPARE)
        new.receive(*chain)
        new.db.execute("UPDATE entry SET branch = ? WHERE sequence = 3", (branch,))
        if branch == 0:
            read(new, [[left_in_log(chain, 2)]])
        else:
            with pytest.raises(BadEntry, match="not those here"):
                read(new, [[left_in_log(chain, 2)]])


@pytest.mark.parametrize("purpose", [taking.TAKE, taking.COMPARE])
def test_a_checkpoint_has_no_entry_of_which_it_says_nothing(purpose: int) -> None:
    """One of an author that it does not name, though it has no change."""
    world, maker, chain = spoken()
    manifest, _ = bundle_of(maker)
    new = reader(world, manifest, purpose)
    new.receive(*(chain if purpose == taking.COMPARE else chain[1:2]))
    part = left_in_log(chain, 2)
    more = run_of(b"z" * 32, [Frame(1, 0, 0, (), {}, (), None, bytes(32))])
    with pytest.raises(BadEntry, match="more than the entries"):
        read(new, [[msgspec.structs.replace(part, runs=[*part.runs, more])]])


def test_segments_hold_for_their_place() -> None:
    """A segment of another space, another number or altered by a bit is refused."""
    space = MAKER.replica.space
    (one,) = seal_part(PARTS[0], space.id, space.epoch, nonces(Random(1)))
    assert open_part([one.data], space.id, space.epochs) == PARTS[0]
    for segments, where in (([one.data], bytes(32)), ([one.data, one.data], space.id), ([one.data[:-1]], space.id),
                            ([one.data[:120] + bytes((one.data[120] ^ 1,)) + one.data[121:]], space.id),
                            ([b""], space.id), ([b"CZS\x02" + one.data[4:]], space.id)):
        with pytest.raises(BadEntry):
            open_part(segments, where, space.epochs)


def test_a_segment_names_its_epochs_key_and_no_part_is_a_bomb() -> None:
    """A cipher that opens under two keys shows nobody two contents, and what unpacks to too much is not unpacked."""
    space, epoch, nonce = MAKER.replica.space, MAKER.replica.space.epoch, bytes(24)
    plain = pad(zstandard.compress(msgspec.msgpack.encode(PARTS[0])))
    for key_id in (epoch.key_id, bytes(32)):
        header = b"CZS\x01" + epoch.id + key_id + nonce
        where = header + b"chez/1 segment" + space.id + bytes(4) + b"\1"
        data = header + crypto.encrypt(epoch.segment_key, nonce, plain, where)
        if key_id == epoch.key_id:
            assert open_part([data], space.id, space.epochs) == PARTS[0]
        else:
            with pytest.raises(BadEntry, match="another key"):
                open_part([data], space.id, space.epochs)
    bomb = seal_packed(zstandard.compress(bytes(MAX_INNER + 1)), space.id, epoch, nonces(Random(1)))
    with pytest.raises(BadEntry, match="unpacks to at most"):
        open_part([one.data for one in bomb], space.id, space.epochs)


FRAMES = st.lists(st.one_of(
    st.builds(lambda hash: Frame(0, 0, 0, (), {}, (), None, hash), st.binary(min_size=32, max_size=32)),
    st.builds(lambda time, ages, heads, part, other: Frame(
        0, time, len(ages), (*ages, *((3,) if other else ())), {len(ages): Item(1, "", "", b"j")} if other else {},
        tuple(heads), part), st.integers(0, 2**40), st.lists(st.integers(0, 9), max_size=3),
        st.lists(st.binary(min_size=32, max_size=32), max_size=2), st.one_of(st.none(), st.builds(
            Part, st.integers(0, 3), st.booleans())), st.booleans())), min_size=1, max_size=6)


@given(FRAMES)
def test_columns_give_frames_back(frames: list[Frame]) -> None:
    """Whatever entries say beside their changes comes back from the columns as it was."""
    numbered = [msgspec.structs.replace(frame, sequence=7 + n) for n, frame in enumerate(frames)]
    assert list(frames_of(run_of(b"a" * 32, numbered))) == numbered


def test_a_flat_document_holds_the_same_and_no_bomb() -> None:
    """Columns that are not deflated load to the same changes; deflated ones, and claims beyond measure, are refused."""
    document = automerge.new(b"a" * 32)
    for n in range(40):
        with automerge.transaction(document) as tx:
            tx.put(automerge.ROOT, f"key {n}", automerge.core.ScalarType.Str, f"value {n} " * 20)
    saved = automerge.saved(document)
    assert saved is not None
    flat = flattened(saved)
    check_flat(flat)
    assert automerge.changes_of(automerge.load(flat, b"b" * 32)) == automerge.changes_of(document)
    with pytest.raises(automerge.BadChange):
        check_flat(saved)
    for cut in range(0, len(flat), 37):
        with pytest.raises(automerge.BadChange):
            check_flat(flat[:cut])
