"""How two devices on one network recognise each other before either names a space.

A relay that a device runs on its own network (`chez_relay.lan`) may be anybody's, and so may
who dials it. After `Welcome` both prove, for each space that both keep, that they hold one of its
meeting secrets: BLAKE2b (RFC 7693) keyed by it, over the name that was dialled, both nonces, the
channel and the side. A proof is worth nothing on another connection, at another name, over
another channel, or from the other side; who holds no secret can't tell it from random bytes.

    device   Meet   a proof for each of its spaces, filled up to a power of two, 64 at least
    relay    Met    the other side's proofs for those that it found among them, filled up alike
             or the end of the connection, when it found none

No key is kept here. A space has several meeting secrets: one that all members derive from its epoch, and one for each
two devices, by which they know each other though one of them missed an epoch (docs/formats.md).
"""

import enum
import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Final

from msgspec import Meta

from chez_wire.fields import Frame, Id
from chez_wire.limits import ID_BYTES, MAX_SPACES_PER_CONNECTION

__all__ = ("LEAST_PROOFS", "PLAIN_CHANNEL", "Meet", "Met", "Proofs", "Side", "channel_of", "filled", "found", "fresh",
           "meeting_proof")

LEAST_PROOFS: Final = 64
"""Proofs in a frame, at the least: how many spaces a home has shows only where it has more than these."""

PLAIN_CHANNEL: Final = bytes(ID_BYTES)
"""Stands for the channel where there is no TLS."""

Proofs = Annotated[list[Id], Meta(min_length=LEAST_PROOFS, max_length=MAX_SPACES_PER_CONNECTION)]


class Side(enum.StrEnum):
    """Who proves."""

    DIALLING = "dialling"
    ANSWERING = "answering"


class Meet(Frame, tag=21, frozen=True):
    """Behind `Welcome`, at a relay that wants it: a proof for each space that the device keeps.

    `instance` is what the device's own relay is announced as just now, the key that it shows; zeros for none. It is
    believed if one proof is keyed by what it and the key that this relay shows have in common.
    """

    instance: Id
    proofs: Proofs


class Met(Frame, tag=46, frozen=True):
    """Answer to `Meet`: a proof for each space that both keep, and the incarnation of the relay's store."""

    incarnation: Id
    proofs: Proofs


def meeting_proof(secret: bytes, side: Side, relay: str, client_nonce: bytes, relay_nonce: bytes,
                  channel: bytes) -> bytes:
    """That one side holds a space's meeting secret (32 bytes), on one connection (32 bytes).

    `relay` is the name as dialled, `channel` what `channel_of` gives for the relay's certificate.
    """
    fields = (b"chez/1 meeting proof", side.encode(), relay.encode(), client_nonce, relay_nonce, channel)
    encoded = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return hashlib.blake2b(encoded, digest_size=ID_BYTES, key=secret).digest()


def channel_of(certificate: bytes) -> bytes:
    """What stands for a TLS channel in a proof: the hash of the relay's certificate (DER), after RFC 5929 (4)."""
    return hashlib.blake2b(certificate, digest_size=ID_BYTES, person=b"chez.channel").digest()


def filled(proofs: Collection[bytes], entropy: Callable[[int], bytes]) -> list[bytes]:
    """Proofs among random bytes, in an order that tells nothing: the next power of two, 64 at least.

    `entropy` gives random bytes.
    """
    return sorted([*proofs, *(entropy(ID_BYTES) for _ in range(_filled_size(len(proofs)) - len(proofs)))])


def _filled_size(count: int) -> int:
    return max(LEAST_PROOFS, 1 << (count - 1).bit_length())


def found(secrets: Mapping[bytes, Collection[bytes]], side: Side, greeting: tuple[str, bytes, bytes], channel: bytes,
          proofs: Collection[bytes]) -> dict[bytes, bytes]:
    """The handles that the other `side` proved, of those whose `secrets` are given, each with the secret it did by."""
    told = frozenset(proofs)
    count = sum(map(len, secrets.values()))
    for _ in range(_filled_size(count) - count):  # it takes as long for any number up to that: the time would tell it
        meeting_proof(PLAIN_CHANNEL, side, *greeting, channel)
    return {handle: secret for handle, several in secrets.items() for secret in reversed(tuple(several))
            if meeting_proof(secret, side, *greeting, channel) in told}


def fresh(before: Mapping[bytes, Collection[bytes]], now: Mapping[bytes, Collection[bytes]]) -> frozenset[bytes]:
    """The handles with a secret that was not there before: who was not met about them then may be met now."""
    return frozenset(handle for handle, several in now.items() if set(several) - set(before.get(handle, ())))
