"""What a request to a relay is made of: new keys and packets of a space, and numbers of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.errors import InvalidValue
from chez_wire import frames
from chez_wire.limits import ID_BYTES, MAX_CREDIT, MAX_PACKETS, PACKET_BYTES

__all__ = ("NO_TOKEN", "Rotation", "check_credit", "ordered_packets")

NO_TOKEN: Final = "Say the one that you were given with `chez relay token`."
"""What to do where a relay lets spaces be made with a token alone."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What replaces the keys of a space at the relay: all public keys, and the packets that carry the secret ones.

    `previous_read` is the read key that it replaces; `chez_wire.login.ANY_KEY` stands for
    whichever there is, and is for the relay recovery key alone.
    """

    previous_read: bytes
    admin_key: bytes
    read_key: bytes
    append_key: bytes
    control_key: bytes
    packets: tuple[frames.SealedPacket, ...] = field(default=(), repr=False)


def ordered_packets(packets: Sequence[frames.SealedPacket]) -> list[frames.SealedPacket]:
    """Packets in the order of their tags, which is all that a relay takes."""
    if len(packets) > MAX_PACKETS:
        raise InvalidValue(f"a space has at most {MAX_PACKETS} packets, not {len(packets)}")
    if any(len(packet.tag) != ID_BYTES or len(packet.box) != PACKET_BYTES for packet in packets):
        raise InvalidValue(f"a packet has a tag of {ID_BYTES} bytes and a box of {PACKET_BYTES}")
    ordered = {packet.tag: packet for packet in sorted(packets, key=lambda packet: packet.tag)}
    if len(ordered) < len(packets):
        raise InvalidValue("two packets have one tag")
    return list(ordered.values())


def check_credit(credit: int) -> None:
    """Raise `InvalidValue` for a number of bytes that can't be allowed ahead."""
    if not 1 <= credit <= MAX_CREDIT:
        raise InvalidValue(f"a number of bytes from 1 to {MAX_CREDIT} is needed, not {credit}")
