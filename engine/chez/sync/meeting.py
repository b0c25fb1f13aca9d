"""A device's side of a meeting: what it proves to a relay that may be anybody's, and what it believes.

Used where a device dials a relay that another one runs on the same network (`chez.lan`). Of the
spaces that it keeps only those are opened there whose proof the relay found; which others there
are, and how many, it does not learn. See `chez_wire.meeting`.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from chez import crypto
from chez.keys.epochs import Epoch
from chez.sync.following import misbehaved
from chez_wire.certificate import instance_of
from chez_wire.limits import ID_BYTES, MAX_SPACES_PER_CONNECTION
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

    `channel` is what `chez_wire.meeting.channel_of` gives for its certificate, `other` the instance that shows it
    (None: it is no instance's), `own` the key that this device's own relay shows (None: it has none), `entropy` gives
    random bytes.
    """

    secrets: Mapping[bytes, Collection[bytes]] = field(repr=False)
    channel: bytes
    own: crypto.SigningKey | None = None
    other: bytes | None = None
    entropy: Callable[[int], bytes] = crypto.random_bytes

    def meet(self, greeting: tuple[str, bytes, bytes]) -> Meet:
        """What is sent behind `Welcome`; `greeting` is the name dialled, and both nonces."""
        proofs = [meeting_proof(secret, Side.DIALLING, *greeting, self.channel)
                  for several in self.secrets.values() for secret in several]
        if self.own is not None and self.other is not None and len(proofs) < MAX_SPACES_PER_CONNECTION:
            with suppress(crypto.CryptoFailed):
                secret = crypto.shared_by_signing(self.own, self.other)
                proofs.append(meeting_proof(secret, Side.DIALLING, *greeting, self.channel))
        return Meet(bytes(ID_BYTES) if self.own is None else self.own.public, filled(proofs, self.entropy))

    def met(self, greeting: tuple[str, bytes, bytes], frame: Met) -> frozenset[bytes]:
        """The handles of the spaces that both keep. Raises `RelayMisbehaved` for an answer that proves nothing."""
        handles = frozenset(found(self.secrets, Side.ANSWERING, greeting, self.channel, frame.proofs))
        if not handles:
            misbehaved("the relay claims to know this device, and proves nothing")
        return handles


@dataclass(slots=True)
class Acquaintances:
    """Whom this device would know: the meeting secrets of its spaces, by handle, as they are just now.

    `own` is the key of its own relay, which is announced as the public half; None: it has none.
    """

    secrets: Mapping[bytes, Collection[bytes]] = field(default_factory=dict, repr=False)
    own: crypto.SigningKey | None = None

    def approach(self, certificate: bytes | None) -> Approach:
        """How a relay is met that shows a certificate (DER; None: there is no TLS)."""
        if certificate is None:
            return Approach(dict(self.secrets), PLAIN_CHANNEL, self.own)
        return Approach(dict(self.secrets), channel_of(certificate), self.own, instance_of(certificate))


class Near(msgspec.Struct, frozen=True):
    """A relay on this network: where, and how it is met. Stands where an address does.

    `instance` is who has to answer there; None: whoever does.
    """

    url: str
    known: Acquaintances
    instance: bytes | None = None
