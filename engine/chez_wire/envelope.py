"""The outside of an entry: everything a relay ever sees of it.

    offset  bytes  field
    0       3      magic "CZE"
    3       1      format version (1)
    4       32     handle of the space at this relay
    36      32     epoch id
    68      32     key id (a commitment to the entry key)
    100     24     nonce (XChaCha20-Poly1305)
    124     n      ciphertext; the 124 bytes before it are its associated data

Author, kind, number of changes and record ids are inside the ciphertext. The *entry id*
is a hash of these bytes and nothing else, so it confirms no guess about the content.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from chez_wire.errors import EnvelopeError
from chez_wire.limits import ID_BYTES, MAX_ENVELOPE

__all__ = ("GENESIS_HEAD", "HEADER_BYTES", "NONCE_BYTES", "TAG_BYTES", "VERSION", "Header", "entry_id", "fold_head",
           "handle_in")

MAGIC: Final = b"CZE"
VERSION: Final = 1
NONCE_BYTES: Final = 24
HEADER_BYTES: Final = 4 + 3 * ID_BYTES + NONCE_BYTES
TAG_BYTES: Final = 16

GENESIS_HEAD: Final = bytes(ID_BYTES)
"""The cumulative head of a log that holds nothing yet."""


@dataclass(frozen=True, slots=True)
class Header:
    """The clear fields of a sealed entry; ids are 32 bytes, the nonce 24."""

    handle: bytes
    epoch: bytes
    key_id: bytes
    nonce: bytes

    def encode(self, magic: bytes = MAGIC) -> bytes:
        """The 124 bytes that precede, and authenticate, the ciphertext; the magic tells what it is."""
        return b"".join((magic, bytes((VERSION,)), self.handle, self.epoch, self.key_id, self.nonce))

    @classmethod
    def decode(cls, envelope: bytes, magic: bytes = MAGIC) -> "Header":
        """Read the header of a sealed entry, or of what has another magic.

        Raises `EnvelopeError` when the bytes are too short, too long, or of another
        format or version.
        """
        return cls(handle_in(envelope, magic), envelope[36:68], envelope[68:100], envelope[100:HEADER_BYTES])


def handle_in(envelope: bytes, magic: bytes = MAGIC) -> bytes:
    """The handle of the space that a sealed entry is for, without the rest of its header: a relay needs no more.

    Raises `EnvelopeError` as `Header.decode` does.
    """
    if not HEADER_BYTES + TAG_BYTES <= len(envelope) <= MAX_ENVELOPE:
        raise EnvelopeError(f"a sealed entry has {HEADER_BYTES + TAG_BYTES} to {MAX_ENVELOPE} bytes, "
                            f"this one {len(envelope)}")
    if envelope[:3] != magic:
        raise EnvelopeError("these bytes are not what they are sent as")
    if envelope[3] != VERSION:
        raise EnvelopeError(f"entry format {envelope[3]} is not known here (known: {VERSION})")
    return envelope[4:36]


def entry_id(envelope: bytes) -> bytes:
    """The 32-byte id of a sealed entry: BLAKE2b-256 of all its bytes (RFC 7693)."""
    return hashlib.blake2b(envelope, digest_size=ID_BYTES, person=b"chez.entry.id").digest()


def fold_head(head: bytes, entry: bytes) -> bytes:
    """The cumulative head after an entry id was appended to a log with this head.

    Two logs with the same head hold the same entries in the same order; devices carry
    heads inside their entries, so a relay that shows two histories is found out.
    """
    return hashlib.blake2b(head + entry, digest_size=ID_BYTES, person=b"chez.head").digest()
