"""One generation of a space's keys, and what derives from its secret.

    entry key     encrypts entries
    ephemeral key encrypts ephemeral messages
    segment key   encrypts the segments of checkpoints
    key id        in every header: commits to the entry key, which the cipher does not
    read          Ed25519 seed: proves at a relay that one may read
    control       Ed25519 seed: proves membership at a relay, within a small quota

The append credential is an independent secret, sealed to writers and owners only, so
that a reader can't derive it. In a public space, which everybody may read, the control
credential derives from that one.
"""

from dataclasses import dataclass, field
from functools import cached_property

from chez import crypto

__all__ = ("Epoch", "commitment")


@dataclass(frozen=True)
class Epoch:
    """The keys of one epoch; `id` is the hash of its statement.

    `append_seed` is there for writers and owners, `admin_seed` for owners; neither is for an
    epoch that was known only after it had ended.

    What derives from the secret is derived once: an epoch seals and opens many entries.
    """

    id: bytes
    number: int
    secret: bytes = field(repr=False)
    append_seed: bytes | None = field(repr=False)
    admin_seed: bytes | None = field(repr=False, default=None)

    @cached_property
    def entry_key(self) -> bytes:
        """The key that seals entries (32 bytes)."""
        return crypto.derive(self.secret, "chez/1 entry key")

    @cached_property
    def segment_key(self) -> bytes:
        """The key that seals checkpoints' segments (32 bytes)."""
        return crypto.derive(self.secret, "chez/1 segment key")

    @cached_property
    def ephemeral_key(self) -> bytes:
        """The key that seals ephemeral messages (32 bytes)."""
        return crypto.derive(self.secret, "chez/1 ephemeral key")

    @cached_property
    def key_id(self) -> bytes:
        """The public commitment to the entry key (32 bytes)."""
        return commitment(self.secret)

    @property
    def read(self) -> crypto.SigningKey:
        """The relay credential for reading."""
        return crypto.SigningKey.from_seed(crypto.derive(self.secret, "chez/1 relay read"))

    @property
    def control(self) -> crypto.SigningKey:
        """The relay credential for control entries."""
        return crypto.SigningKey.from_seed(crypto.derive(self.secret, "chez/1 relay control"))

    @property
    def public_control(self) -> crypto.SigningKey | None:
        """The relay credential for control entries of a public space, for writers and owners."""
        if self.append_seed is None:
            return None
        return crypto.SigningKey.from_seed(crypto.derive(self.append_seed, "chez/1 public control"))

    @property
    def append(self) -> crypto.SigningKey | None:
        """The relay credential for appending, for writers and owners."""
        return None if self.append_seed is None else crypto.SigningKey.from_seed(self.append_seed)

    @property
    def admin(self) -> crypto.SigningKey | None:
        """The key whose word relays take for a change of credentials, for owners."""
        return None if self.admin_seed is None else crypto.SigningKey.from_seed(self.admin_seed)


def commitment(secret: bytes) -> bytes:
    """What an epoch's statement says of its secret, so that recipients can verify it."""
    return crypto.derive(crypto.derive(secret, "chez/1 entry key"), "chez/1 key id")
