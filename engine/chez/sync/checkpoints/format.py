"""The formats of checkpoints: parts, the segments they are sealed as, manifests and vouches. No I/O.

A checkpoint stands for entries of kind CHANGES, up to a vector. It is a list of *bundles*: each stands for
the entries between the vector of the one before it and its own. A later checkpoint
names the same bundles again, and one more. A bundle's *parts* hold

    runs       of each author, what its entries say beside their changes, in columns: times, how
               many changes, ages, other items, statements named, places in a batch. Of an entry that is not
               compacted (statements, checkpoints) its hash
    records    each record's changes, as one saved document or one after the other, and the *places* of
               each: whose entries carried it, as the how-manieth change of theirs in the bundle

    part     = zstd(MessagePack of `Part`), behind its length, padded to its Padmé size (floor 1 KiB), cut into
               pieces of 512 KiB
    segment  = "CZS" ‖ version 1 ‖ epoch id (32) ‖ key id (32) ‖ nonce (24) ‖
               XChaCha20-Poly1305(piece)
    id       = BLAKE2b-256 of a segment, which relays keep as a chunk (chez_wire.chunks)

The associated data of a segment is its header, a label, the space, the piece's number and whether
it is the last. Who reads the parts of a bundle can make its entries again, byte for byte but for
what each says of a relay and its signature: their hashes chain up to the one that the bundle
names for each author, which is signed by that author. So a bundle stands for exactly those entries: what
is left out, added or altered changes a hash.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Annotated, Any, Final

import msgspec
import zstandard
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry
from chez.keys.epochs import Epoch
from chez.sync.entry import Id, Item, Name, Part, RelayHead, UnknownEpoch, pad, unpad
from chez_wire.chunks import chunk_id
from chez_wire.dropping import drop_hash, in_rising_order
from chez_wire.frames import Dropped
from chez_wire.limits import ID_BYTES, KIB, MAX_CHANGE, MAX_DROPPED, MAX_INNER

__all__ = ("CARRIED", "PIECE", "Announcement", "BundleNote", "Frame", "Manifest", "Other", "Packed", "Record", "Run",
           "Segment", "Upto", "Vouch", "frames_of", "open_part", "open_segment", "read_announcement", "read_manifest",
           "read_vouch", "run_of", "seal_packed", "seal_part")

PIECE: Final = 512 * KIB
"""Bytes of one piece: half a frame."""

CARRIED: Final = 1_048_576
"""Entries or changes of one author in one bundle at most: what a reader puts aside while it checks them."""

_MAGIC: Final = b"CZS\x01"
_HEADER: Final = len(_MAGIC) + 2 * ID_BYTES + crypto.NONCE_BYTES
_LEVEL: Final = 9
_MAX_PIECES: Final = 32

_LATEST: Final = 2**62
"""The last time, and the greatest age, that an entry has (`sync.entry`)."""

Count = Annotated[int, Meta(ge=0, le=CARRIED)]
Moment = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Change = Annotated[bytes, Meta(max_length=MAX_INNER)]


class Other(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """An item of an entry that is no change: which entry of the run, and where among its items."""

    entry: Count
    at: Count
    item: Item


class Run(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Entries of one author that follow each other, from number `first` on, without their changes.

    `times` and `ages` (of all items, or none when all are 0) are differences to the one before;
    `heads` and `parts` name the entry that they begin at, or are of; `kept` the entries that are not
    compacted, by their hashes: their time is 0 and they have no items here.
    """

    author: Id
    first: Annotated[int, Meta(ge=1, le=2**62)]
    times: list[Moment]
    counts: list[Count]
    ages: list[Moment]
    others: list[Other]
    heads: list[tuple[Count, Annotated[list[Id], Meta(max_length=64)]]]
    parts: list[tuple[Count, Part]]
    kept: list[tuple[Count, Id]]


class Record(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Changes of one record, and their places.

    `who` is for each change the number of an author in the part's list, `at` the author's count of it in
    the bundle less that of its change before in this record; `more` the further places of changes
    that several entries carried: change, author, count.
    """

    collection: Name
    id: Name
    saved: bool
    data: list[Change]
    who: list[Count]
    at: list[Annotated[int, Meta(ge=-CARRIED, le=CARRIED)]]
    more: list[tuple[Count, Count, Count]]


class Packed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One part of a bundle."""

    version: Annotated[int, Meta(ge=1, le=1)]
    authors: list[Id]
    runs: list[Run]
    records: list[Record]


class Upto(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Up to where a bundle stands for an author: the last entry, its signature, and what that says of a relay."""

    author: Id
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    hash: Id
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    relay: RelayHead | None


class BundleNote(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A bundle as a manifest names it: up to where it stands, for each author that it moves; its parts' segments."""

    upto: Annotated[list[Upto], Meta(min_length=1)]
    parts: Annotated[list[Annotated[list[Id], Meta(min_length=1, max_length=_MAX_PIECES)]], Meta(min_length=1)]
    size: Annotated[int, Meta(ge=0, le=2**62)]
    changes: Annotated[int, Meta(ge=0, le=2**62)]

    @property
    def segments(self) -> list[bytes]:
        """The ids of all its segments."""
        return [id for part in self.parts for id in part]


class Manifest(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint consists of: its bundles, each from where the one before it ends."""

    version: Annotated[int, Meta(ge=1, le=1)]
    bundles: Annotated[list[BundleNote], Meta(min_length=1, max_length=64)]

    @property
    def vector(self) -> dict[bytes, tuple[int, bytes]]:
        """Up to where it stands: for each author the number and hash of the last entry."""
        return {one.author: (one.sequence, one.hash) for bundle in self.bundles for one in bundle.upto}

    @property
    def segments(self) -> list[bytes]:
        """The ids of all its segments."""
        return [id for bundle in self.bundles for id in bundle.segments]

    @property
    def places(self) -> dict[bytes, tuple[int, int]]:
        """Which piece of its part each segment is, and of how many."""
        return _places(part for bundle in self.bundles for part in bundle.parts)


class Vouch(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A device's word that a checkpoint stands for what these offsets of a relay's log hold, and they may be dropped.

    `follows` is the name of the drop that must be the relay's last one before. `release` are chunks that no longer
    serve: an owner's device names them in a vouch of its own, without ranges, and for no checkpoint (zeros).
    `control` and `signature` are the control credential's word to the relay (`chez_wire.login.vouch_message`).
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    manifest: Id
    log: Id
    incarnation: Id
    follows: Id
    ranges: Annotated[list[Dropped], Meta(max_length=MAX_DROPPED)]
    release: Annotated[list[Id], Meta(max_length=MAX_DROPPED)]
    control: Id
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @property
    def drop(self) -> bytes:
        """The name of the drop that it is for."""
        return drop_hash(self.follows, self.manifest, self.ranges, self.release)


class Announcement(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a device is about to put at a relay, by its log: said before the first segment is there.

    `upto` is the number and hash of the last entry of each author that its last bundle will stand for. Whoever made
    it may be lost before its manifest is said; by this others know which segments are nobody's then.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    log: Id
    upto: Annotated[list[tuple[Id, Annotated[int, Meta(ge=1, le=2**62)], Id]], Meta(min_length=1)]
    parts: Annotated[list[Annotated[list[Id], Meta(min_length=1, max_length=_MAX_PIECES)]], Meta(min_length=1)]

    @property
    def vector(self) -> dict[bytes, tuple[int, bytes]]:
        """Up to where the checkpoint will stand."""
        return {author: (sequence, hash) for author, sequence, hash in self.upto}

    @property
    def places(self) -> dict[bytes, tuple[int, int]]:
        """Which piece of its part each segment is, and of how many."""
        return _places(self.parts)


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """What an entry says beside its changes, of which it has `changes`; `kept` is the hash of one not compacted."""

    sequence: int
    time: int
    changes: int
    ages: tuple[int, ...]
    others: dict[int, Item]
    heads: tuple[bytes, ...]
    part: Part | None
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One sealed piece of a part, and its id."""

    id: bytes
    data: bytes = field(repr=False)


_decoder = msgspec.msgpack.Decoder(Packed)
_manifests = msgspec.msgpack.Decoder(Manifest)
_vouches = msgspec.msgpack.Decoder(Vouch)
_announcements = msgspec.msgpack.Decoder(Announcement)


def _places(parts: Iterable[Sequence[bytes]]) -> dict[bytes, tuple[int, int]]:
    return {id: (number, len(part)) for part in parts for number, id in enumerate(part)}


# --- runs ---------------------------------------------------------------------------------


def run_of(author: bytes, frames: Sequence[Frame]) -> Run:
    """Frames of an author that follow each other, in columns."""
    times, others, heads, parts, kept = [], [], [], [], []
    ages: list[int] = []
    before, named = 0, None
    for n, frame in enumerate(frames):
        if frame.kept is not None:
            times.append(0)
            kept.append((n, frame.kept))
            continue
        times.append(frame.time - before)
        before = frame.time
        ages += frame.ages
        others += [Other(n, at, item) for at, item in sorted(frame.others.items())]
        if frame.heads != named:
            named = frame.heads
            heads.append((n, list(named)))
        if frame.part is not None:
            parts.append((n, frame.part))
    return Run(author, frames[0].sequence, times, [frame.changes for frame in frames],
               [age - before for before, age in pairwise([0, *ages])] if any(ages) else [],
               others, heads, parts, kept)


def frames_of(run: Run) -> Iterator[Frame]:
    """The frames of a run. Raises `BadEntry` when its columns do not fit each other."""
    if len(run.times) != len(run.counts):
        raise BadEntry("a run of entries has columns of different lengths")
    heads, parts, kept = dict(run.heads), dict(run.parts), dict(run.kept)
    others: dict[int, dict[int, Item]] = {}
    for other in run.others:
        others.setdefault(other.entry, {})[other.at] = other.item
    time, at = 0, 0
    every = list(accumulate(run.ages))
    named: tuple[bytes, ...] = ()
    for n, (step, changes) in enumerate(zip(run.times, run.counts, strict=True)):
        if n in kept:
            if step or changes or n in others or n in parts or n in heads:
                raise BadEntry("an entry that is not compacted has content in a checkpoint")
            yield Frame(run.first + n, 0, 0, (), {}, (), None, kept[n])
            continue
        time += step
        named = tuple(heads.get(n, named))
        mine = others.get(n, {})
        count = changes + len(mine)
        ages = tuple(every[at : at + count]) if every else (0,) * count
        at += count
        if not 0 <= time <= _LATEST or len(ages) != count or any(not 0 <= age <= _LATEST for age in ages) or (
                any(place >= count for place in mine)):
            raise BadEntry("a run of entries has columns that do not fit")
        yield Frame(run.first + n, time, changes, ages, mine, named, parts.get(n))


# --- parts --------------------------------------------------------------------------------


def seal_part(part: Packed, space: bytes, epoch: Epoch, nonces: Iterator[bytes]) -> list[Segment]:
    """A part as segments, under a key of an epoch; each takes a fresh nonce of 24 random bytes.

    Raises `BadEntry` when it is too large for any reader.
    """
    plain = msgspec.msgpack.encode(part)
    if len(plain) > MAX_INNER:
        raise BadEntry(f"a part of a checkpoint has at most {MAX_INNER:,} bytes")
    return seal_packed(zstandard.ZstdCompressor(level=_LEVEL).compress(plain), space, epoch, nonces)


def seal_packed(packed: bytes, space: bytes, epoch: Epoch, nonces: Iterator[bytes]) -> list[Segment]:
    """The segments of a part that is compressed already."""
    padded = pad(packed)
    pieces = [padded[at : at + PIECE] for at in range(0, len(padded), PIECE)]
    out = []
    for number, piece in enumerate(pieces):
        nonce = next(nonces)
        header = b"".join((_MAGIC, epoch.id, epoch.key_id, nonce))
        sealed = crypto.encrypt(epoch.segment_key, nonce, piece, _associated(header, space, number, len(pieces)))
        out.append(Segment(chunk_id(header + sealed), header + sealed))
    return out


def open_part(segments: Sequence[bytes], space: bytes, epochs: Mapping[bytes, Epoch]) -> Packed:
    """The part that these segments hold, in order.

    Raises `UnknownEpoch` when a key is not here, `BadEntry` for what is no part of this space, or was altered.
    """
    plain = unpad(b"".join([open_segment(data, space, epochs, number, len(segments))
                            for number, data in enumerate(segments)]))
    try:
        size = zstandard.frame_content_size(plain)
        if not 0 < size <= MAX_INNER:
            raise BadEntry(f"a part of a checkpoint unpacks to at most {MAX_INNER:,} bytes, this one claims {size}")
        unpacked = zstandard.ZstdDecompressor(max_window_size=2**24).decompress(
            plain, max_output_size=MAX_INNER, allow_extra_data=False)
        return _decoder.decode(unpacked)
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise BadEntry(f"a part of a checkpoint can't be read: {error}") from None


def open_segment(data: bytes, space: bytes, epochs: Mapping[bytes, Epoch], number: int, count: int) -> bytes:
    """What one segment holds, which is piece `number` of `count`. Raises as `open_part`."""
    if data[:4] != _MAGIC or len(data) < _HEADER:
        raise BadEntry("these bytes are no segment of a checkpoint")
    header, id, key_id = data[:_HEADER], data[4:36], data[36:68]
    epoch = epochs.get(id)
    if epoch is None:
        raise UnknownEpoch(id)
    if not crypto.equal(key_id, epoch.key_id):
        raise BadEntry("a segment names another key than its epoch's")
    try:
        return crypto.decrypt(epoch.segment_key, data[68:_HEADER], data[_HEADER:],
                              _associated(header, space, number, count))
    except crypto.CryptoFailed:
        raise BadEntry("a segment was altered, or is of another place") from None


def _associated(header: bytes, space: bytes, number: int, count: int) -> bytes:
    # Fixed lengths behind a label of its own: no two places encode alike.
    return b"".join((header, b"chez/1 segment", space, number.to_bytes(4, "big"), bytes((number == count - 1,))))


# --- manifests and vouches ----------------------------------------------------------------


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest. Raises `BadEntry` unless each author goes forward from bundle to bundle, named once in each.

    Each segment is named once, or a kilobyte at a relay could become a megabyte here (alike in what follows).
    """
    manifest: Manifest = _read(_manifests, data, "manifest")
    _check_once(manifest.segments, "a manifest")
    known: dict[bytes, int] = {}
    for bundle in manifest.bundles:
        authors = [one.author for one in bundle.upto]
        if authors != sorted(set(authors)):
            raise BadEntry("a manifest names each author once in a bundle, in order")
        if any(one.sequence <= known.get(one.author, 0) for one in bundle.upto):
            raise BadEntry("a manifest's bundle goes back behind the one before it")
        known |= {one.author: one.sequence for one in bundle.upto}
    return manifest


def read_vouch(data: bytes) -> Vouch:
    """Read a vouch. Raises `BadEntry` unless its ranges rise, and it names anything."""
    vouch: Vouch = _read(_vouches, data, "vouch")
    if not in_rising_order(vouch.ranges):
        raise BadEntry("a vouch's ranges rise")
    if not (vouch.ranges or vouch.release):
        raise BadEntry("a vouch names a range or a chunk")
    _check_once(vouch.release, "a vouch")
    _check_once([one.head for one in vouch.ranges], "a vouch")
    return vouch


def read_announcement(data: bytes) -> Announcement:
    """Read an announcement. Raises `BadEntry`."""
    announcement: Announcement = _read(_announcements, data, "announcement")
    _check_once([id for part in announcement.parts for id in part], "an announcement")
    return announcement


def _check_once(names: Sequence[bytes], what: str) -> None:
    if len(set(names)) != len(names):
        raise BadEntry(f"{what} names something twice")


def _read(decoder: "msgspec.msgpack.Decoder[Any]", data: bytes, what: str) -> Any:
    if len(data) > MAX_CHANGE:
        raise BadEntry(f"a {what} has at most {MAX_CHANGE:,} bytes")
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadEntry(f"no {what}: {error}") from None


