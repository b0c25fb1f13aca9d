"""A device's own keys, made on it and never leaving it."""

from dataclasses import dataclass

from chez import crypto

__all__ = ("DeviceKeys",)


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The signing key, whose public half is the device id, and the sealing key."""

    signing: crypto.SigningKey
    sealing: crypto.SealingKey

    @classmethod
    def from_seeds(cls, signing: bytes, sealing: bytes) -> "DeviceKeys":
        """The keys of two random 32-byte seeds."""
        return cls(crypto.SigningKey.from_seed(signing), crypto.SealingKey.from_seed(sealing))

    @property
    def id(self) -> bytes:
        """The device id: the public signing key (32 bytes)."""
        return self.signing.public

    def secret(self, label: str) -> bytes:
        """A 32-byte secret of this device for one purpose."""
        return crypto.derive(self.signing.seed, label)
