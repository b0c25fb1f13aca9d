"""Checkpoints keep the bytes they always had."""

import msgspec
import pytest

from chez.errors import BadEntry
from chez.sync.checkpoints.format import (
    Packed,
    frames_of,
    open_part,
    read_announcement,
    read_manifest,
    read_vouch,
    run_of,
    seal_packed,
)
from chez.sync.checkpoints.taking import placed
from chez.sync.entry import CHANGE, CHANGES, GENESIS, Inner, Item, check_signature, entry_hash
from chez_wire.chunks import chunk_id
from chez_wire.dropping import NO_DROP, drop_hash
from chez_wire.login import vouch_message
from tests.vectors import make_checkpoints
from tests.vectors.fixed import CREATE, EPOCH, HANDLE, LAPTOP
from tests.vectors.golden import golden, survivors
from tests.vectors.make_checkpoints import CONTROL, INCARNATION, NONCES, large
from tests.vectors.make_entries import INNERS

GOLDEN = golden("checkpoints")
EPOCHS = {EPOCH.id: EPOCH}


def opened() -> list[Packed]:
    """What the pinned segments hold."""
    return [open_part([bytes.fromhex(part["segment"])], CREATE.hash, EPOCHS) for part in GOLDEN["parts"]]


def test_golden_vectors_hold() -> None:
    """Parts, segments, manifests and vouches encode to the bytes they always had."""
    assert make_checkpoints.vectors() == GOLDEN


def test_the_code_writes_the_pinned_bytes() -> None:
    """What the code makes of the same frames and records, and seals with the same nonces, is what is pinned."""
    runs, records = opened()
    (run,) = runs.runs
    again = Packed(1, [], [run_of(LAPTOP.id, list(frames_of(run)))], [])
    assert msgspec.msgpack.encode(again).hex() == GOLDEN["parts"][0]["plain"]
    assert msgspec.msgpack.encode(records).hex() == GOLDEN["parts"][1]["plain"]
    pieces = seal_packed(large(), CREATE.hash, EPOCH, iter(NONCES[2:4]))
    assert [{"id": one.id.hex(), "length": len(one.data)} for one in pieces] == GOLDEN["pieces"]
    for part in GOLDEN["parts"]:
        assert chunk_id(bytes.fromhex(part["segment"])).hex() == part["id"]


def test_the_pinned_parts_give_the_pinned_entries_back() -> None:
    """Their hashes fold to the one in the manifest, which the author signed."""
    runs, records = opened()
    changes = {ordinal: (record.collection, record.id, data) for record in records.records
               for _, ordinal, data in placed(record, records.authors)}
    hash, ordinal = GENESIS, 0
    for frame, inner in zip(frames_of(runs.runs[0]), INNERS.values(), strict=True):
        if frame.kept is not None:
            hash = frame.kept
            continue
        items = []
        for at, age in enumerate(frame.ages):
            if (other := frame.others.get(at)) is not None:
                items.append(msgspec.structs.replace(other, age=age))
            else:
                items.append(Item(CHANGE, *changes[ordinal], age))
                ordinal += 1
        made = Inner(1, CREATE.hash, LAPTOP.id, frame.sequence, hash, frame.time, CHANGES, items, list(frame.heads),
                     inner.relay, frame.part)
        assert made == inner
        hash = entry_hash(made)
    manifest = read_manifest(bytes.fromhex(GOLDEN["manifest"]))
    (upto,) = manifest.bundles[0].upto
    assert (upto.sequence, upto.hash) == (4, hash) and ordinal == manifest.bundles[0].changes == len(changes)
    check_signature(made, hash, upto.signature)
    assert [id.hex() for id in manifest.segments] == [part["id"] for part in GOLDEN["parts"]]


def test_the_pinned_announcement_names_the_segments_before_the_manifest_does() -> None:
    """It goes as far as the manifest that follows, and has the same segments."""
    said, manifest = (read(bytes.fromhex(GOLDEN[name])) for read, name in (
        (read_announcement, "announcement"), (read_manifest, "manifest")))
    assert msgspec.msgpack.encode(said).hex() == GOLDEN["announcement"]
    assert said.vector == manifest.vector and list(said.places) == manifest.segments


def test_the_pinned_vouches_hold() -> None:
    """Each names what it follows, and the control key signed the name of its drop."""
    follows = NO_DROP
    for name in ("vouch", "release"):
        vouch = read_vouch(bytes.fromhex(GOLDEN[name]["bytes"]))
        drop = drop_hash(vouch.follows, vouch.manifest, vouch.ranges, vouch.release)
        assert vouch.follows == follows and drop.hex() == GOLDEN[name]["drop"]
        assert vouch.signature == CONTROL.sign_bytes(vouch_message(HANDLE, INCARNATION, drop))
        follows = drop


@pytest.mark.parametrize("number", range(2))
def test_no_byte_of_a_segment_may_differ(number: int) -> None:
    """Whichever bit is another, the part is refused."""
    segment = bytes.fromhex(GOLDEN["parts"][number]["segment"])

    def parse(data: bytes) -> object:
        return open_part([data], CREATE.hash, EPOCHS)

    assert survivors(parse, segment, BadEntry) == []
