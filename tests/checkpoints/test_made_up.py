"""Checkpoints that a member makes up, in its own name or in nobody's: they keep no other from its work, nor grow."""

import asyncio
import tracemalloc
from pathlib import Path

import msgspec
import pytest

import chez
from chez import crypto
from chez.errors import BadEntry
from chez.spaces.space import SpaceKeys
from chez.sync.checkpoints.desk import Desk
from chez.sync.checkpoints.format import (
    Announcement,
    BundleNote,
    Manifest,
    Upto,
    Vouch,
    read_announcement,
    read_manifest,
    read_vouch,
)
from chez.sync.checkpoints.heard import hear
from chez.sync.checkpoints.site import TRIED
from chez.sync.connection import connect
from chez.sync.entry import (
    ANNOUNCEMENT,
    CHANGE,
    CHECKPOINTS,
    GENESIS,
    MANIFEST,
    VOUCH,
    Inner,
    Item,
    seal,
    sign_entry,
)
from chez.sync.vector import vector_of
from chez_relay.storage.census import census
from chez_wire.dropping import NO_DROP
from chez_wire.frames import Dropped
from chez_wire.login import Role
from tests.checkpoints.bundles import filled
from tests.checkpoints.test_homes import shown, written
from tests.checkpoints.test_waiting_vouches import Owner
from tests.people.persons import persons, shared
from tests.relay.within import Within


def ids(count: int, first: int = 0) -> list[bytes]:
    """So many names."""
    return [(first + n).to_bytes(32, "big") for n in range(count)]


def made_up(upto: list[Upto], segments: list[bytes], size: int = 1) -> Manifest:
    """A manifest of a checkpoint that is nowhere."""
    return Manifest(1, [BundleNote(upto, [segments[at : at + 32] for at in range(0, len(segments), 32)], size, 0)])


def signed(space: SpaceKeys, author: crypto.SigningKey, number: int, kind: int, said: object) -> bytes:
    """An entry that somebody signs who may be nobody's device, sealed under the space's keys."""
    items = [Item(kind, "", "", msgspec.msgpack.encode(said))]
    entry = sign_entry(Inner(1, space.id, author.public, number, GENESIS, 1, CHECKPOINTS, items,
                             sorted(space.membership.named_heads), None, None), author)
    return seal(entry.packed, space.handle, space.epoch, crypto.random_bytes(crypto.NONCE_BYTES))


async def slip_in(home: chez.Home, space: chez.Space, envelopes: list[bytes]) -> None:
    """A member, who may only read perhaps, leaves these at the relay."""
    keys = space._held.replica.space
    control = keys.control_of(keys.epoch)
    assert home.relay is not None and control is not None
    async with connect(home.relay) as opened:
        await opened.open([(keys.handle, Role.CONTROL, control)])
        for envelope in envelopes:
            await opened.append(keys.handle, Role.CONTROL, envelope)


@pytest.mark.parametrize("far", [True, False])
async def test_a_checkpoint_in_nobodys_name_keeps_nobody_from_vouching(tmp_path: Path, server: Within,
                                                                      far: bool) -> None:
    """A reader makes one up, as a device that nobody let in: an honest one is made, vouched for and dropped as ever."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        (his,) = await shared(trip, anna, carl, role="reader")
        for _ in range(3):
            await written(trip, "anna", 3)
            await anna.sync()
            await berta.sync()
        await carl.sync()
        held = census(server.data).bytes
        stranger = crypto.SigningKey.from_seed(bytes(32))
        here = his._held.replica
        vector = await carl._database.read(lambda db: vector_of(db, here.space.n))
        upto = [Upto(author, sequence, hash, bytes(64), None) for author, (sequence, hash) in sorted(vector.items())]
        if far:
            upto = [Upto(one.author, 2**62, bytes(32), bytes(64), None) for one in upto]
        for n in range(2):  # before the honest one, and after it
            await slip_in(carl, his, [signed(here.space, stranger, 1, MANIFEST, made_up(upto, ids(40, 40 * n), 2**62))])
            if not n:
                done = await hers.checkpoint()
                assert done is not None and done.bytes < held
        for home in (anna, berta, anna):
            await home.sync()
        assert "entries-dropped" in {one.kind for one in await anna.journal.receipts()}
        assert await shown(his) == await shown(trip)


async def test_a_checkpoint_of_any_size_keeps_no_device_from_making_one(tmp_path: Path, server: Within,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """A member says that one of its own has all there is, and is huge: it is not taken at its word."""
    monkeypatch.setattr("chez.sync.checkpoints.policy.ENOUGH", 4096)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        for _ in range(14):
            await written(trip, "anna", 3)
            await anna.sync()
        await berta.sync()
        replica = hers._held.replica
        vector = await berta._database.read(lambda db: vector_of(db, replica.space.n))
        upto = [Upto(author, sequence, hash, bytes(64), None) for author, (sequence, hash) in sorted(vector.items())]
        said = msgspec.msgpack.encode(made_up(upto, ids(40), 2**62))
        await berta._database.write(lambda db: replica.author.say(db, 1, Item(MANIFEST, "", "", said)))
        await berta.sync()
        async with anna.connect() as link:
            await link.synced(90)
            for _ in range(200):
                if "checkpoint-made" in {one.kind for one in await anna.journal.receipts()}:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("she makes none")


def test_nothing_is_named_twice() -> None:
    """What repeats itself takes a kilobyte at a relay, and a thousand times that at each device."""
    upto = [Upto(bytes(32), 1, bytes(32), bytes(64), None)]
    once, twice = ids(40), [*ids(39), ids(1)[0]]
    assert read_manifest(msgspec.msgpack.encode(made_up(upto, once))).segments == once
    vouch = Vouch(1, bytes(32), bytes(32), bytes(32), NO_DROP, [Dropped(1, 1, b"a" * 32), Dropped(3, 3, b"b" * 32)],
                  once, bytes(32), bytes(64))
    assert read_vouch(msgspec.msgpack.encode(vouch)) == vouch
    for read, said in ((read_manifest, made_up(upto, twice)),
                       (read_announcement, Announcement(1, bytes(32), [(bytes(32), 1, bytes(32))], [twice[-32:]] * 2)),
                       (read_vouch, msgspec.structs.replace(vouch, release=twice)),
                       (read_vouch, msgspec.structs.replace(vouch, ranges=[
                           Dropped(1, 1, bytes(32)), Dropped(3, 3, bytes(32))]))):
        with pytest.raises(BadEntry, match="twice"):
            read(msgspec.msgpack.encode(said))


@pytest.mark.parametrize("items", [[MANIFEST], [VOUCH], [ANNOUNCEMENT], [CHANGE], [], [ANNOUNCEMENT] * 2])
def test_what_says_nothing_of_checkpoints_is_not_kept(items: list[int]) -> None:
    """It would be read again with each connection, and stop whoever did: its entry is refused."""
    owner = Owner()
    good = msgspec.msgpack.encode(Announcement(1, bytes(32), [(bytes(32), 1, bytes(32))], [[bytes(32)]]))
    said = [Item(kind, "", "", good if kind == ANNOUNCEMENT and len(items) > 1 else b"x") for kind in items]
    inner = Inner(1, owner.replica.space.id, owner.maker.keys.id, 9, bytes(32), 0, CHECKPOINTS, said, [], None)
    with pytest.raises(BadEntry, match=r"no (manifest|vouch|announcement)|one manifest"):
        hear(owner.db, 1, inner, bytes(32))
    assert not any(owner.home.count(table) for table in ("checkpoint", "vouch", "announced"))


def test_what_is_said_of_checkpoints_is_in_order() -> None:
    """A manifest goes forward, each author once in a bundle; a vouch's ranges rise, and it names something."""
    ends = [Upto(author * 32, 2, bytes(32), bytes(64), None) for author in (b"a", b"b")]
    manifest = made_up(ends, ids(40))
    one = Vouch(1, bytes(32), bytes(32), bytes(32), NO_DROP, [Dropped(4, 5, b"a" * 32)], [], bytes(32), bytes(64))
    before = Dropped(1, 1, b"b" * 32)
    bundles = {
        "in order": [ends[::-1]], "each author once": [[ends[0], ends[0]]], "goes back": [ends, ends[1:]]}
    for why, uptos in bundles.items():
        said = msgspec.structs.replace(manifest, bundles=[
            BundleNote(upto, [ids(1, 100 + n)], 1, 1) for n, upto in enumerate(uptos)])
        with pytest.raises(BadEntry, match=why):
            read_manifest(msgspec.msgpack.encode(said))
    for why, ranges in (("rise", [*one.ranges, before]), ("rise", [Dropped(5, 4, b"a" * 32)]),
                        ("rise", [msgspec.structs.replace(before, last=4), *one.ranges]), ("names a range", [])):
        with pytest.raises(BadEntry, match=why):
            read_vouch(msgspec.msgpack.encode(msgspec.structs.replace(one, ranges=ranges)))
    assert read_vouch(msgspec.msgpack.encode(msgspec.structs.replace(one, ranges=[before, *one.ranges])))


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_said_of_checkpoints() -> None:
    """Manifests, vouches and announcements without end are read one by one, whoever says them."""
    world, device = filled()
    db = device.db
    author = world.friend.keys.id
    upto = [Upto(author, 2**62, bytes(32), bytes(64), None)]

    def say(count: int, begin: int) -> None:
        for n in range(begin, begin + count):
            db.execute("INSERT INTO checkpoint (space, entry, author, body, state, position) VALUES (1, ?, ?, ?, 0, ?)",
                       (n.to_bytes(32, "big"), author, msgspec.msgpack.encode(made_up(upto, ids(20_000, 20_000 * n))),
                        n))
            vouch = Vouch(1, n.to_bytes(32, "big"), bytes(32), bytes(32), NO_DROP, [], ids(4096), bytes(32), bytes(64))
            db.execute("INSERT INTO vouch (space, entry, author, body, state) VALUES (1, ?, ?, ?, 0)",
                       (n.to_bytes(32, "big"), author, msgspec.msgpack.encode(vouch)))

    def peak() -> int:
        desk = Desk(device.replica, 1)
        tracemalloc.start()
        try:
            for _ in range(100):
                if desk.step(db) is None:
                    break
                desk.missing(db)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    say(2, 1)
    few = peak()
    say(20, 3)
    assert peak() < 2 * few


@pytest.mark.parametrize("far", [True, False])
@pytest.mark.slow
async def test_checkpoints_by_the_dozen_cost_nobody_a_question_each(tmp_path: Path, server: Within, far: bool,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader makes up many, of what is here or of more: a few are looked for, and an honest one is dropped on."""
    sought: list[bytes] = []
    missing = Desk.missing
    monkeypatch.setattr(Desk, "missing", lambda desk, db: (sought.append(b""), missing(desk, db))[1])
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        (his,) = await shared(trip, anna, carl, role="reader")
        for _ in range(3):
            await written(trip, "anna", 3)
            await anna.sync()
            await berta.sync()
        await carl.sync()
        assert await hers.checkpoint() is not None
        replica = his._held.replica
        vector = await carl._database.read(lambda db: vector_of(db, replica.space.n))
        upto = [Upto(author, sequence + far, hash, bytes(64), None)
                for author, (sequence, hash) in sorted(vector.items())]
        await slip_in(carl, his, [signed(replica.space, replica.access.keys.signing, 50 + n, MANIFEST,
                                         made_up(upto, ids(2, 10 * n))) for n in range(4 * TRIED)])
        await anna.sync()
        assert 0 < len(sought) <= 2 * TRIED
        for home in (berta, anna):
            await home.sync()
        assert "entries-dropped" in {one.kind for one in await anna.journal.receipts()}
        assert await shown(hers) == await shown(trip)
