"""Checkpoints made by hand from chains, and read by a device that lacks them."""

from collections.abc import Iterator
from random import Random

import msgspec

from chez import crypto
from chez.records.waiting import Budget
from chez.sync.checkpoints import making, taking
from chez.sync.checkpoints.format import BundleNote, Manifest, Packed, open_part, seal_part
from chez.sync.entry import MANIFEST, Item
from chez.sync.vector import Vector, vector_of
from tests.security.chains import Node, Reader, World

__all__ = ("bundle_of", "filled", "nonces", "packed_parts", "read", "reader")

PLENTY = 10**9


def filled(seed: int = 1, rounds: int = 6) -> tuple[World, Reader]:
    """Two devices that wrote by turns in the same few records, and one that has it all."""
    world = World(seed)
    maker = world.reads()
    nodes = [Node(world.owner), Node(world.friend)]
    for n in range(rounds):
        node = nodes[n % 2]
        other = nodes[1 - n % 2]
        for id, changes in other.view.records.items():
            node.view.see(id, changes)
        maker.receive(world.put(node, f"note {n % 3}", {f"field {n}": n, "text": f"{world.random.getrandbits(800):x}"},
                                shared="both" if n < 2 else None))
    return world, maker


def bundle_of(maker: Reader, base: tuple[bytes, Manifest] | None = None,
              budget: int = PLENTY) -> tuple[Manifest, list[Packed]]:
    """The manifest of a checkpoint of all that is here, and the parts of its last bundle; made a budget at a time."""
    db, space = maker.db, maker.replica.space
    assert making.begin(db, space.n, base, relay=1)
    while not making.work(db, space, maker.member.keys.id, maker.random.randbytes, Budget(budget)):
        pass
    manifest = making.finished(db, space.n)
    held = {one.id: one.data for one in making.unsent(db, space.n, PLENTY)}
    parts = [open_part([held[id] for id in part], space.id, space.epochs) for part in manifest.bundles[-1].parts]
    making.clear(db, space.n)
    return manifest, parts


def packed_parts(parts: list[Packed]) -> object:
    """The parts as plain lists and values."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(parts))


def nonces(random: Random) -> Iterator[bytes]:
    """Fresh ones, for ever."""
    while True:
        yield random.randbytes(crypto.NONCE_BYTES)


def reader(world: World, manifest: Manifest, purpose: int = taking.TAKE) -> Reader:
    """A device that heard of a checkpoint, and begins to read it."""
    new = world.reads()
    data = Item(MANIFEST, "", "", msgspec.msgpack.encode(manifest)).data
    new.db.execute("INSERT INTO checkpoint (space, entry, author, body, state, position) VALUES (1, ?, ?, ?, 0, 1)",
                   (bytes(32), world.owner.keys.id, data))
    taking.begin(new.db, 1, 1, bytes(32), purpose)
    return new


def read(new: Reader, bundles: list[list[Packed]], budget: int = PLENTY) -> Vector:
    """Read it from these parts, a budget at a time; raises what refuses it."""
    random, space = Random(3), new.replica.space
    number = 0
    while (now := taking.reading(new.db, space, 1)) is not None and not now.done:
        if now.wanted():
            part = bundles[now.number][now.part]
            now.arrived([one.data for one in seal_part(part, space.id, space.epoch, nonces(random))])
        elif now.done:
            break
        elif now.folding:
            now.fold(Budget(budget))
        else:
            new.replica.read_checkpoint(new.db, 1, now)
        number += 1
        assert number < 10_000
    return vector_of(new.db, 1)


def one_bundle(manifest: Manifest, bundle: BundleNote) -> Manifest:
    """The same with another last bundle."""
    return Manifest(1, [*manifest.bundles[:-1], bundle])
