"""Entries: what a device signs, how entries chain, how they are sealed.

    inner     MessagePack array (class Inner): all that is signed
    item hash H("chez/1 item", kind, collection, id, content hash)
    hash      H("chez/1 entry", space, author, sequence, previous, kind, item hashes, rest)
    rest      H("chez/1 rest", version, time, batch, ages, membership heads)
    signature Ed25519 over ("chez/1 entry", space, hash, relay head) by the author

The content hash of a change is Automerge's own (SHA-256), so whoever holds a record's
document, in whatever saved form, can fold an author's chain again and check its last
signature without having the entries (chez/sync/checkpoints). What the author had last seen of
a relay is signed and not hashed: it can't be had again from documents, and takes 72
bytes that compress to nothing. The epoch is no part of this: the same entry may be sealed
again under a later one.

    plaintext = length (4 bytes) ‖ zstd(MessagePack [inner, signature]) ‖ zeros, where a change
                that goes on from the one before it is written short (chez/sync/short.py)
    envelope  = header (chez_wire.envelope) ‖ XChaCha20-Poly1305(plaintext), the header
                as associated data

Padding is Padmé (Nikitin et al., PETS 2019, section 4), with a floor of 1 KiB.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Final

import msgspec
import zstandard
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry
from chez.keys.epochs import Epoch
from chez.records.automerge import RawChange
from chez.sync.short import read_written, shortened
from chez_wire.envelope import HEADER_BYTES, Header
from chez_wire.limits import MAX_CHANGE, MAX_ENVELOPE, MAX_INNER, MAX_ITEMS, MAX_PARTS, MIN_ENVELOPE

__all__ = ("ANNOUNCEMENT", "CHANGE", "CHANGES", "CHECKPOINTS", "GENESIS", "GONE", "JOURNAL_HEAD", "MANIFEST",
           "SPACE", "STATEMENT", "STATEMENTS", "VOUCH", "Inner", "Item", "Part", "RelayHead", "SignedEntry",
           "UnknownEpoch", "check_signature", "entry_hash", "folded", "item_hash", "kind_of", "log_name", "pad",
           "padded_size", "read_kept", "read_signed", "seal", "sign_entry", "signature_of", "unpacked_size",
           "unpad", "unseal")

VERSION: Final = 1
CHANGES, STATEMENTS, CHECKPOINTS = 0, 1, 2  # kinds of entries
CHANGE, JOURNAL_HEAD, STATEMENT, SPACE, GONE, MANIFEST, VOUCH, ANNOUNCEMENT = range(8)  # kinds of items

GENESIS: Final = bytes(32)
"""The previous hash of an author's first entry."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Name = Annotated[str, Meta(max_length=128)]


class Item(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """One thing an entry carries: a change of a record, a journal head, a statement, another space, one that is
    gone, a checkpoint's manifest, a vouch for one.

    A journal head, another space (what the person's devices need to open it,
    `chez.spaces.handover`) and the id of a deleted one are of worth in the private space only.

    `age` is how long before the entry a change was made, in milliseconds: an edit made
    offline waits for its entry. For people's eyes; nothing is ordered by it.
    """

    kind: Annotated[int, Meta(ge=0, le=7)]
    collection: Name
    id: Name
    data: Annotated[bytes, Meta(max_length=MAX_CHANGE)]
    age: Annotated[int, Meta(ge=0, le=2**62)] = 0

    def __repr__(self) -> str:
        return f"<Item of kind {self.kind}, {len(self.data):,} bytes>"


class RelayHead(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the author had last seen of a relay's log of this space; `log` names that (`log_name`)."""

    log: Id
    offset: Annotated[int, Meta(ge=0, le=2**62)]
    head: Id


@lru_cache(maxsize=64)
def log_name(incarnation: bytes, handle: bytes) -> bytes:
    """A relay's log of one space, in its store of this incarnation, under this handle (32 bytes)."""
    return crypto.hash_fields("chez/1 relay log", incarnation, handle)


class Part(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A batch too large for one entry: which of its entries this is, from 0, and whether it is the last."""

    number: Annotated[int, Meta(ge=0, lt=MAX_PARTS)]
    last: bool


class Inner(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The signed content of an entry; `time` is the author's clock in Unix milliseconds.

    The changes of an entry become visible together; with `part`, when the last entry of
    the batch is there. Its entries follow each other in their author's chain.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    space: Id
    author: Id
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    previous: Id
    time: Annotated[int, Meta(ge=0, le=2**62)]
    kind: Annotated[int, Meta(ge=0, le=2)]
    items: Annotated[list[Item], Meta(max_length=MAX_ITEMS)]
    heads: Annotated[list[Id], Meta(max_length=64)]
    relay: RelayHead | None
    part: Part | None = None


class _Signed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    inner: Inner
    signature: Annotated[bytes, Meta(max_length=64)]


class _Beginning(msgspec.Struct, array_like=True, frozen=True):
    """The first fields of an `Inner`; the rest is passed over."""

    version: Annotated[int, Meta(ge=1, le=1)]
    space: Id
    author: Id
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    previous: Id
    time: Annotated[int, Meta(ge=0, le=2**62)]
    kind: Annotated[int, Meta(ge=0, le=2)]


class _Glance(msgspec.Struct, array_like=True, frozen=True):
    inner: _Beginning


_decoder = msgspec.msgpack.Decoder(_Signed)
_glance = msgspec.msgpack.Decoder(_Glance)
_encoder = msgspec.msgpack.Encoder()


_AS_IT_IS: Final = 512
"""Bytes of an entry that is not compressed: to begin takes ten times as long where the processor has forgotten how."""

_ONE_SEGMENT: Final = zstandard.FRAME_HEADER + b"\xa0"
"""A frame of one segment, whose size follows in four bytes."""

_LAST_RAW: Final = 1
"""The last block, and its bytes as they are."""


class _Zstd(threading.local):
    """A thread's contexts: making one costs as much as compressing a small entry."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=3)
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=2**24)


@lru_cache(maxsize=1)
def _zstd() -> _Zstd:
    return _Zstd()


class SignedEntry(msgspec.Struct, frozen=True):
    """An entry with its hash; `packed` is the zstd of its signed bytes, as kept and sealed.

    `changes` has the header of each change item, for an entry that was read.
    """

    inner: Inner
    hash: bytes
    packed: bytes
    changes: tuple[RawChange, ...] = ()

    @property
    def weight(self) -> int:
        """What its changes cost to merge, in operations."""
        return sum(change.weight for change in self.changes)


def item_hash(item: Item) -> bytes:
    """What an item adds to the hash of its entry (32 bytes)."""
    change = item.kind == CHANGE
    content = hashlib.sha256(item.data[8:]).digest() if change else crypto.hash_fields("chez/1 content", item.data)
    return _hasher(item.kind, item.collection, item.id)(content)


@lru_cache(maxsize=256)
def _hasher(kind: int, collection: str, id: str) -> Callable[[bytes], bytes]:
    return crypto.hasher("chez/1 item", bytes((kind,)), collection.encode(), id.encode())


def _item_hashes(items: Iterable[Item], hashes: Sequence[bytes]) -> Iterator[bytes]:
    """What each item adds; `hashes` are those of the changes among them."""
    given = iter(hashes)
    for item in items:
        yield (_hasher(CHANGE, item.collection, item.id)(next(given)) if item.kind == CHANGE else item_hash(item))


def entry_hash(inner: Inner, hashes: Sequence[bytes] = ()) -> bytes:
    """The hash that names an entry and chains the next one to it (32 bytes).

    `hashes` are those of its changes, in order, where they are known: `read_change` found them, or they are in the
    store.
    """
    rest = crypto.hash_fields("chez/1 rest", bytes((inner.version,)), inner.time.to_bytes(8, "big"),
                              _encoder.encode(inner.part), _encoder.encode([item.age for item in inner.items]),
                              *inner.heads)
    items = b"".join(_item_hashes(inner.items, hashes) if hashes else map(item_hash, inner.items))
    return crypto.hash_fields("chez/1 entry", inner.space, inner.author, inner.sequence.to_bytes(8, "big"),
                              inner.previous, bytes((inner.kind,)), items, rest)


def sign_entry(inner: Inner, key: crypto.SigningKey, hashes: Sequence[bytes] = ()) -> SignedEntry:
    """Sign an entry with its author's key; `hashes` are those of its changes, where they are known."""
    digest = entry_hash(inner, hashes)
    return folded(inner, digest, key.sign("chez/1 entry", inner.space, digest, _encoder.encode(inner.relay)), hashes)


def folded(inner: Inner, digest: bytes, signature: bytes = b"", hashes: Sequence[bytes] = ()) -> SignedEntry:
    """An entry of which the hash is known; without a signature when a later one of its author's chain stands for it."""
    changes = [item.data for item in inner.items if item.kind == CHANGE]
    signed = _Signed(_with(inner, shortened(changes, hashes)) if len(changes) > 1 else inner, signature)
    return SignedEntry(inner, digest, _packed(_encoder.encode(signed)))


def check_signature(inner: Inner, digest: bytes, signature: bytes) -> None:
    """Raises `BadEntry` unless the author signed the entry of this hash and what it says of a relay."""
    try:
        crypto.verify(inner.author, signature, "chez/1 entry", inner.space, digest, _encoder.encode(inner.relay))
    except crypto.CryptoFailed:
        raise BadEntry("the entry is not signed by its author") from None


def _with(inner: Inner, written: Iterable[bytes]) -> Inner:
    """The same with its changes in another form."""
    changes = iter(written)
    items = [item if item.kind != CHANGE or (data := next(changes)) is item.data
             else Item(CHANGE, item.collection, item.id, data, item.age) for item in inner.items]
    return msgspec.structs.replace(inner, items=items)


def unpacked_size(packed: bytes) -> int:
    """How many bytes `read_signed` would unpack at most."""
    try:
        size = zstandard.frame_content_size(packed)
    except zstandard.ZstdError:
        return 0
    return size if 0 < size <= MAX_INNER else 0


def read_signed(packed: bytes) -> SignedEntry:
    """Decode packed signed bytes and check everything that needs no other entry.

    Raises `BadEntry`: not zstd, too large (checked before anything is inflated), not
    the format, a change that is no change, or a signature that is not the author's.
    """
    signed, entry = _read(packed)
    check_signature(entry.inner, entry.hash, signed.signature)
    return entry


def read_kept(packed: bytes) -> SignedEntry:
    """As `read_signed`, of an entry in this device's own store, whose author was seen to when it came.

    It need not carry a signature: one that came with a checkpoint does not.
    """
    return _read(packed)[1]


def signature_of(packed: bytes) -> bytes:
    """The signature that a kept entry carries, empty when it came with a checkpoint. Raises `BadEntry`."""
    try:
        return _decoder.decode(_unpacked(packed)).signature
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise BadEntry(f"the entry's content can't be read: {error}") from None


def _read(packed: bytes) -> tuple[_Signed, SignedEntry]:
    try:
        signed = _decoder.decode(_unpacked(packed))
        changes = tuple(read_written(item.data for item in signed.inner.items if item.kind == CHANGE))
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise BadEntry(f"the entry's content can't be read: {error}") from None
    inner = _with(signed.inner, [change.bytes for change in changes]) if len(changes) > 1 else signed.inner
    return signed, SignedEntry(inner, entry_hash(inner, [change.hash for change in changes]), packed, changes)


def _packed(signed: bytes) -> bytes:
    """The zstd of signed bytes, of few as they are: one block without a table (RFC 8878, sections 3.1.1 and 3.1.1.2.2).

    Of one small change the hashes and the signature are most; what could be won of the rest is padded away.
    """
    size = len(signed)
    if size > _AS_IT_IS:
        return _zstd().compressor.compress(signed)
    return b"".join((_ONE_SEGMENT, size.to_bytes(4, "little"), (size << 3 | _LAST_RAW).to_bytes(3, "little"), signed))


def _unpacked(packed: bytes) -> bytes:
    size = zstandard.frame_content_size(packed)
    if not 0 < size <= MAX_INNER:
        raise BadEntry(f"an entry unpacks to at most {MAX_INNER} bytes, this one claims {size}")
    return _zstd().decompressor.decompress(packed, max_output_size=MAX_INNER, allow_extra_data=False)


def kind_of(packed: bytes) -> int:
    """What kind of entry it says that it is (CHANGES, ...); nothing else is checked. Raises `BadEntry`."""
    try:
        return _glance.decode(_unpacked(packed)).inner.kind
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise BadEntry(f"the entry's content can't be read: {error}") from None


def padded_size(size: int) -> int:
    """The Padmé size: at most 12% more, leaking O(log log size) bits of the size."""
    if size <= MIN_ENVELOPE:
        return MIN_ENVELOPE
    exponent = size.bit_length() - 1
    low = exponent - exponent.bit_length()
    mask = (1 << low) - 1
    return (size + mask) & ~mask


def pad(data: bytes) -> bytes:
    """Length, data, zeros up to the Padmé size."""
    plain = len(data).to_bytes(4, "big") + data
    return plain.ljust(padded_size(len(plain)), b"\0")


def unpad(plain: bytes) -> bytes:
    """Undo `pad`; raises `BadEntry` for another length or for zeros that are not."""
    size = int.from_bytes(plain[:4], "big")
    data, zeros = plain[4 : 4 + size], plain[4 + size :]
    if len(data) != size or len(plain) != padded_size(4 + size) or zeros.count(0) != len(zeros):
        raise BadEntry("the entry's padding is wrong")
    return data


def seal(packed: bytes, handle: bytes, epoch: Epoch, nonce: bytes) -> bytes:
    """The envelope of a packed entry for one relay; `nonce` is 24 fresh random bytes."""
    header = Header(handle, epoch.id, epoch.key_id, nonce).encode()
    envelope = header + crypto.encrypt(epoch.entry_key, nonce, pad(packed), header)
    if len(envelope) > MAX_ENVELOPE:
        raise BadEntry("an entry grew larger than a frame")
    return envelope


class UnknownEpoch(BadEntry):
    """An entry is of an epoch whose key is not on this device, or not yet."""

    def __init__(self, epoch: bytes) -> None:
        super().__init__("the entry is of an epoch whose key is not on this device")
        self.epoch = epoch


def unseal(envelope: bytes, handle: bytes, epochs: dict[bytes, Epoch]) -> bytes:
    """The packed signed bytes of an envelope.

    Raises `UnknownEpoch` when the key is not here, `BadEntry`: of another space, under a key
    other than the epoch's (the cipher alone would not tell), or altered. Raises
    `EnvelopeError` for bytes that are no envelope of this version.
    """
    header = Header.decode(envelope)
    if header.handle != handle:
        raise BadEntry("the entry was sealed for another space")
    epoch = epochs.get(header.epoch)
    if epoch is None:
        raise UnknownEpoch(header.epoch)
    if not crypto.equal(header.key_id, epoch.key_id):
        raise BadEntry("the entry names another key than its epoch's")
    try:
        plain = crypto.decrypt(epoch.entry_key, header.nonce, envelope[HEADER_BYTES:], envelope[:HEADER_BYTES])
    except crypto.CryptoFailed:
        raise BadEntry("the entry was altered on its way") from None
    return unpad(plain)
