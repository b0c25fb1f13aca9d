"""The first words about a person and its devices."""

from collections.abc import Sequence

from chez import crypto
from chez.keys.device import DeviceKeys
from chez.keys.person import Person
from chez.spaces.statements import Certify, Enrol, Signed, commitment_of, consent, sign_statement

__all__ = ("certificate", "enrol", "own_certificate")


def enrol(person: Person, device: DeviceKeys, name: str, nonce: bytes, called: str | None = None) -> list[Signed]:
    """A person begins, with its first device, which the root certifies; `nonce` is 32 random bytes.

    `name` is the device's; the person is `called` so, or else as its device is.
    """
    begin = sign_statement(Enrol(person.root.public, person.recovery.public, person.relay_recovery.public, nonce,
                                 called or name), person.root)
    return [begin, own_certificate(person.root.public, [begin.hash], person.root, device, name)]


def own_certificate(person: bytes, heads: Sequence[bytes], issuer: crypto.SigningKey, device: DeviceKeys,
                    name: str) -> Signed:
    """A certificate for a device whose keys are at hand, which consents by them."""
    salt = device.secret("chez/1 consent salt")
    word = consent(device.signing, commitment_of(person, salt), device.sealing.public)
    return certificate(person, heads, issuer, device.id, device.sealing.public, name, salt, word)


def certificate(person: bytes, heads: Sequence[bytes], issuer: crypto.SigningKey, device: bytes, sealing: bytes,
                name: str, salt: bytes, word: bytes) -> Signed:
    """A certificate for a device that gave its word (`consent`) over `commitment_of(person, salt)` and its sealing key.

    `heads` are all statements about the person that no other builds on.
    """
    return sign_statement(Certify(person, list(heads), issuer.public, device, sealing, name, salt, word), issuer)
