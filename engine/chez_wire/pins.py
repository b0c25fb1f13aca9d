"""Pins: which key a relay's certificate is to have, beside being good for everybody else.

A pin is the hash of a certificate's SubjectPublicKeyInfo (RFC 7469, section 2.4), so it stays good when the
certificate is renewed for the same key. Written `sha256:` and the hash in base64, as that RFC writes it.

Python tells of a certificate's key nothing but the certificate in DER. So this walks to it (RFC 5280, section 4.1):

    Certificate ::= SEQUENCE { TBSCertificate ::= SEQUENCE {
        [0] version (may be absent), serialNumber, signature, issuer, validity, subject,
        subjectPublicKeyInfo, ... } ... }

TLS has read and verified what a relay shows before; what an operator has in a file is read by TLS as well. The walk
believes nothing nevertheless: each length lies within what contains it.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from chez_wire.errors import WireError

__all__ = ("MAX_PINS", "CertificateError", "PinHash", "check_pin", "hashes", "pin_of", "pins_from")

MAX_PINS: Final = 8
"""Of one relay: the key in use, one for the next, and some for a relay of several processes."""

_PREFIX: Final = "sha256:"
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_BEFORE_KEY: Final = 5
"""Fields between the version and the key."""


PinHash = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""A pin where it is not read by people: the hash alone."""


class CertificateError(WireError):
    """Bytes are no X.509 certificate in DER."""


def pin_of(certificate: bytes) -> str:
    """The pin of a certificate's key, of the certificate in DER. Raises `CertificateError`."""
    return _PREFIX + base64.b64encode(hashlib.sha256(_public_key(certificate)).digest()).decode()


def check_pin(text: str) -> str:
    """The pin that a text is. Raises `WireError`."""
    prefix, _, rest = text.strip().partition(":")
    try:
        digest = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if prefix != "sha256" or len(digest) != hashlib.sha256().digest_size:
        raise WireError("a pin is sha256: and 32 bytes in base64")
    return _PREFIX + base64.b64encode(digest).decode()


def hashes(pins: Iterable[str]) -> tuple[bytes, ...]:
    """The hashes of pins."""
    return tuple([base64.b64decode(pin.removeprefix(_PREFIX)) for pin in pins])


def pins_from(hashes: Iterable[bytes]) -> tuple[str, ...]:
    """Undo `hashes`."""
    return tuple([_PREFIX + base64.b64encode(hash).decode() for hash in hashes])


def _public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo, with its tag and length."""
    begin, end = _inside(certificate, 0, len(certificate), _SEQUENCE)
    at, end = _inside(certificate, begin, end, _SEQUENCE)
    if certificate[at:at + 1] == bytes([_VERSION]):
        at = _element(certificate, at, end)[1]
    for _ in range(_BEFORE_KEY):
        at = _element(certificate, at, end)[1]
    _inside(certificate, at, end, _SEQUENCE)
    return certificate[at:_element(certificate, at, end)[1]]


def _inside(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Where the content of an element of this kind begins and ends."""
    content, after = _element(data, at, end)
    if data[at] != tag:
        raise CertificateError("something else is in the place of a certificate's part")
    return content, after


def _element(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content of the element at a place begins, and where it ends; X.690, sections 8.1 and 10.1."""
    if end - at < 2 or data[at] & 0x1F == 0x1F:  # tags of several bytes are nowhere in this part of a certificate
        raise CertificateError("a certificate's part is cut off, or of an unknown kind")
    length, content = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        content += count
        if not 1 <= count <= 4 or content > end:
            raise CertificateError("a length in a certificate is none")
        length = int.from_bytes(data[at + 2:content], "big")
    if length > end - content:
        raise CertificateError("a certificate's part is longer than what contains it")
    return content, content + length
