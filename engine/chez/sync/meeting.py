"""A device's side of a meeting: what it proves to a relay that may be anybody's, and what it believes.

Used where a device dials a relay that another one runs on the same network (`chez.lan`). Of the
spaces that it keeps only those are opened there whose proof the relay found; which others there
are, and how many, it does not learn. See `chez_wire.meeting`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from chez import crypto
from chez.keys.epochs import Epoch
from chez.sync.following import misbehaved
from chez_wire.limits import ID_BYTES
from chez_wire.meeting import PLAIN_CHANNEL, Meet, Met, Side, channel_of, filled, found, meeting_proof

__all__ = ("Acquaintances", "Approach", "Near", "meeting_secret", "pair_secret")


def meeting_secret(epoch: Epoch) -> bytes:
    """What the members of a space recognise each other by while this epoch stands (32 bytes)."""
    return crypto.derive(epoch.secret, "chez/1 meeting")


def pair_secret(device: crypto.SealingKey, other: bytes, space: bytes) -> bytes | None:
    """What two devices recognise each other by in one space, whichever epochs of it they have (32 bytes).

    `other` is the public sealing key of the other device, `space` the space's id. None for a key that anybody could
    share a secret with.
    """
    try:
        return crypto.derive(crypto.keyed_hash(crypto.shared(device, other), "chez/1 meeting pair", space),
                             "chez/1 meeting")
    except crypto.CryptoFailed:
        return None


@dataclass(frozen=True, slots=True)
class Approach:
    """How one relay is met over one channel; `secrets` are the meeting secrets of the spaces, by handle.

    `channel` is what `chez_wire.meeting.channel_of` gives for its certificate, `instance` what this
    device's own relay is announced as (zeros: it has none), `entropy` gives random bytes.
    """

    secrets: Mapping[bytes, Collection[bytes]] = field(repr=False)
    channel: bytes
    instance: bytes = bytes(ID_BYTES)
    entropy: Callable[[int], bytes] = crypto.random_bytes

    def meet(self, greeting: tuple[str, bytes, bytes]) -> Meet:
        """What is sent behind `Welcome`; `greeting` is the name dialled, and both nonces."""
        proofs = [meeting_proof(secret, Side.DIALLING, *greeting, self.channel)
                  for several in self.secrets.values() for secret in several]
        return Meet(self.instance, filled(proofs, self.entropy))

    def met(self, greeting: tuple[str, bytes, bytes], frame: Met) -> frozenset[bytes]:
        """The handles of the spaces that both keep. Raises `RelayMisbehaved` for an answer that proves nothing."""
        handles = frozenset(found(self.secrets, Side.ANSWERING, greeting, self.channel, frame.proofs))
        if not handles:
            misbehaved("the relay claims to know this device, and proves nothing")
        return handles


@dataclass(slots=True)
class Acquaintances:
    """Whom this device would know: the meeting secrets of its spaces, by handle, as they are just now.

    `instance` is what its own relay is announced as; zeros: it has none.
    """

    secrets: Mapping[bytes, Collection[bytes]] = field(default_factory=dict, repr=False)
    instance: bytes = bytes(ID_BYTES)

    def approach(self, certificate: bytes | None) -> Approach:
        """How a relay is met that shows a certificate (DER; None: there is no TLS)."""
        return Approach(dict(self.secrets), PLAIN_CHANNEL if certificate is None else channel_of(certificate),
                        self.instance)


class Near(msgspec.Struct, frozen=True):
    """A relay on this network: where, and how it is met. Stands where an address does."""

    url: str
    known: Acquaintances
