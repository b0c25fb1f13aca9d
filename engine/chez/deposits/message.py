"""One deposit on its way: records of one organisation for one address, signed, padded and sealed.

    sealed box (X25519, the address's)
      └─ signature 64 │ padded: length 4 │ MessagePack array │ zeros

    array   version 1, address, organisation's key, era, number, card, sections
    section collection, records: one JSON object a line

The signature is the organisation's, over the inbox and the padded bytes, for a sealed box authenticates nobody: so a
message is worth nothing in another person's inbox, or another inbox of this person. What leaves is 4, 8, 16, 32 or 64
KiB: the relay learns one of five sizes. Nothing is compressed, so that no size tells of the content.

(`era`, `number`) tells a message from all others of its address, and their order, which a relay may change: a number is
given once in an era, and an organisation that lost its book, or went back to a backup of it, begins a later era.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez import crypto
from chez.crypto import SEALED_BOX_OVERHEAD, SIGNATURE_BYTES, CryptoFailed, SealingKey, SigningKey
from chez.deposits.address import Address
from chez.deposits.card import MAX_CARD
from chez.errors import BadEntry, InvalidValue
from chez_wire.limits import KIB, MAX_INBOX_ITEM

__all__ = ("MAX_ERA", "MAX_NUMBER", "MAX_RECORDS", "ROOM", "Deposit", "Section", "deposit_hash", "deposit_plain",
           "open_deposit", "seal_deposit")

_CONTEXT: Final = "chez/1 deposit"
_OVERHEAD: Final = SEALED_BOX_OVERHEAD + SIGNATURE_BYTES
_LENGTH: Final = 4

SIZES: Final = tuple(size * KIB for size in (4, 8, 16, 32, 64))
assert SIZES[-1] == MAX_INBOX_ITEM

MAX_RECORDS: Final = 512
"""Records of one message: a device takes them in as one transaction, which holds others up meanwhile."""

ROOM: Final = SIZES[-1] - _OVERHEAD - _LENGTH - KIB
"""Bytes that records of one message and its card may take, with 16 for each record and 256 for each section.

The rest is for its fields.
"""

MAX_ERA: Final = 2**53 - 1
MAX_NUMBER: Final = 2**31 - 1

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Section(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Records of one collection."""

    collection: Annotated[str, Meta(min_length=1, max_length=128)]
    lines: bytes

    def __repr__(self) -> str:
        return f"<a section of {len(self.lines)} bytes>"


class Deposit(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What is inside; `card` is the organisation's, where the address names none yet, or one of its former keys."""

    version: Literal[1]
    address: Id
    key: Id
    era: Annotated[int, Meta(ge=1, le=MAX_ERA)]
    number: Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
    card: Annotated[str, Meta(max_length=MAX_CARD)]
    sections: Annotated[list[Section], Meta(max_length=64)]

    def __repr__(self) -> str:
        return f"<deposit {self.era}.{self.number}>"

    def records(self) -> Iterator[tuple[int, str, bytes]]:
        """Each record: its row in the message from 1, its collection, its JSON."""
        row = 0
        for section in self.sections:
            for line in section.lines.split(b"\n"):
                row += 1
                yield row, section.collection, line

    @property
    def count(self) -> int:
        """How many records it has."""
        return sum(section.lines.count(b"\n") + 1 for section in self.sections)

    @property
    def size(self) -> int:
        """Bytes of its records, as an address's quota counts them."""
        return sum(len(section.lines) for section in self.sections)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Deposit)


def seal_deposit(address: Address, signing: SigningKey, era: int, number: int, sections: Sequence[Section],
                 card: str = "") -> tuple[bytes, bytes]:
    """A message for an address, and its hash. Raises `InvalidValue` for what does not fit one."""
    deposit = Deposit(1, address.key, signing.public, era, number, card, list(sections))
    plain = deposit_plain(deposit, signing, address.inbox)
    try:
        return crypto.seal_to(address.sealing, plain), deposit_hash(deposit)
    except CryptoFailed:
        raise InvalidValue("the address's sealing key is none: everybody could read what is sealed to it") from None


def deposit_plain(deposit: Deposit, signing: SigningKey, inbox: bytes) -> bytes:
    """What is sealed: the signature, and the padded message. Raises `InvalidValue` for what does not fit one."""
    if not 1 <= deposit.count <= MAX_RECORDS:
        raise InvalidValue(f"a message has 1 to {MAX_RECORDS} records, not {deposit.count}")
    plain = _encoder.encode(deposit)
    needed = _OVERHEAD + _LENGTH + len(plain)
    size = next((size for size in SIZES if size >= needed), None)
    if size is None:
        raise InvalidValue(f"these records take {needed:,} bytes as a message, at most {SIZES[-1]:,} fit one",
                           "Send fewer at a time.")
    padded = len(plain).to_bytes(_LENGTH, "big") + plain + bytes(size - needed)
    return signing.sign(_CONTEXT, inbox, padded) + padded


def open_deposit(item: bytes, sealing: SealingKey, inbox: bytes) -> Deposit:
    """What an item of an inbox is. Raises `BadEntry`: not sealed to this address, not signed for it, no deposit."""
    try:
        opened = sealing.open(item)
        padded = opened[SIGNATURE_BYTES:]
        length = int.from_bytes(padded[:_LENGTH], "big")
        plain = padded[_LENGTH:_LENGTH + length]
        if len(item) not in SIZES or len(plain) != length or any(padded[_LENGTH + length:]):
            raise BadEntry("a deposit is padded in a way that no organisation pads")
        deposit = _decoder.decode(plain)
        crypto.verify(deposit.key, opened[:SIGNATURE_BYTES], _CONTEXT, inbox, padded)
    except CryptoFailed:
        raise BadEntry("what came is not sealed to this address, or not signed by who it says") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEntry("what came is no deposit of a version that is known here") from None
    if not 1 <= deposit.count <= MAX_RECORDS:
        raise BadEntry(f"a deposit has 1 to {MAX_RECORDS} records")
    return deposit


def deposit_hash(deposit: Deposit) -> bytes:
    """What a message is known by in its acknowledgement (32 bytes)."""
    return crypto.hash_fields("chez/1 deposit hash", _encoder.encode(deposit))
