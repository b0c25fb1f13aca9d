"""The certificate that a device's own relay shows on its network: the same in all but its key, which is its instance.

So whoever dials an instance sees at once whether that is who answers: TLS proves that the other side has the key, and
anything else in the certificate would make it another. No key is kept here, and nothing signed.
"""

from typing import Final

from chez_wire.limits import ID_BYTES

__all__ = ("certificate_body", "certificate_of", "instance_of")

_ED25519: Final = bytes.fromhex("300506032b6570")  # AlgorithmIdentifier (RFC 8410, 3)
_NAME: Final = bytes.fromhex("300f310d300b06035504030c046368657a")  # CN=chez
_ALWAYS: Final = b"\x30\x22\x18\x0f20000101000000Z\x18\x0f99991231235959Z"  # until then (RFC 5280, 4.1.2.5)
_VERSION: Final = bytes.fromhex("a003020102")  # 3
_SERIAL: Final = bytes.fromhex("020101")
_KEY: Final = b"\x03\x21\x00"
_SIGNATURE: Final = b"\x03\x41\x00"
_BEHIND_KEY: Final = len(_ED25519) + len(_SIGNATURE) + 64
"""Bytes of a certificate behind its key."""


def certificate_body(instance: bytes) -> bytes:
    """What is signed in the certificate of an Ed25519 key (RFC 5280, RFC 8410)."""
    key = _sequence(_ED25519 + _KEY + instance)
    return _sequence(_VERSION + _SERIAL + _ED25519 + _NAME + _ALWAYS + _NAME + key)


def certificate_of(instance: bytes, signature: bytes) -> bytes:
    """The certificate of a key, in DER, with its signature over the body."""
    return _sequence(certificate_body(instance) + _ED25519 + _SIGNATURE + signature)


def instance_of(certificate: bytes) -> bytes | None:
    """The instance that shows a certificate (DER); None for one that is otherwise than these are."""
    instance = certificate[-_BEHIND_KEY - ID_BYTES:-_BEHIND_KEY]
    same = len(instance) == ID_BYTES and certificate == certificate_of(instance, certificate[-64:])
    return instance if same else None


def _sequence(content: bytes) -> bytes:
    size = len(content)
    length = bytes((size,)) if size < 128 else b"\x81" + bytes((size,)) if size < 256 else b"\x82" + size.to_bytes(2)
    return b"\x30" + length + content
