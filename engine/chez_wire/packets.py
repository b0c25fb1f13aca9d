"""Packets: a space's newest epoch keys on their way to each member, outside the log.

A *tag* names a member's mailbox, a *box* is what is sealed to it; a relay knows the meaning
of neither. A space's packets are one table, replaced as a whole, and in the order of the
tags, so that neither their order nor a repetition tells anything.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from chez_wire.frames import SealedPacket
from chez_wire.limits import ID_BYTES, PACKET_BYTES

__all__ = ("PACKET_COST", "in_order", "packets_hash")

PACKET_COST: Final = ID_BYTES + PACKET_BYTES
"""Bytes that one packet takes of a space's quota."""


def packets_hash(packets: Sequence[SealedPacket]) -> bytes:
    """The 32-byte hash of a table of packets: BLAKE2b-256 (RFC 7693) of each tag and its box in turn."""
    digest = hashlib.blake2b(digest_size=ID_BYTES, person=b"chez.packets")
    for packet in packets:
        digest.update(packet.tag)
        digest.update(packet.box)
    return digest.digest()


def in_order(packets: Sequence[SealedPacket]) -> bool:
    """Whether the tags rise, so that none is there twice."""
    return all(one.tag < other.tag for one, other in pairwise(packets))
