"""A device's own keys, made on it and never leaving it."""

from dataclasses import dataclass, field

from chez import crypto

__all__ = ("DeviceKeys",)


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The signing key, whose public half is the device id, and the sealing key.

    `former` are the sealing keys of the devices that the home was before it was restored or
    copied: who started an epoch before it heard of this device sealed it to those.
    """

    signing: crypto.SigningKey
    sealing: crypto.SealingKey
    former: tuple[crypto.SealingKey, ...] = ()
    id: bytes = field(init=False)
    """The device id: the public signing key (32 bytes)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.signing.public)

    @classmethod
    def from_seeds(cls, signing: bytes, sealing: bytes, former: bytes = b"") -> "DeviceKeys":
        """The keys of random 32-byte seeds; those of former devices one after the other."""
        seeds = [former[at : at + 32] for at in range(0, len(former), 32)]
        return cls(crypto.SigningKey.from_seed(signing), crypto.SealingKey.from_seed(sealing),
                   tuple(crypto.SealingKey.from_seed(seed) for seed in seeds))

    def secret(self, label: str) -> bytes:
        """A 32-byte secret of this device for one purpose."""
        return crypto.derive(self.signing.seed, label)
