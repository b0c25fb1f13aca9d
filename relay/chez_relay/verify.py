"""Signatures: all the cryptography a relay has.

Ed25519 verification (RFC 8032) with public keys only, and the comparison of an
operator's token. Nothing here, or anywhere in this package, can open an entry.
"""

import hmac
from collections.abc import Iterable

import nacl.bindings as sodium
import nacl.exceptions

__all__ = ("signed_by", "token_ok")


def signed_by(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of `public`'s secret signed exactly these bytes (chez_wire.login makes them)."""
    try:
        sodium.crypto_sign_open(signature + message, public)
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        return False
    return True


def token_ok(given: str, accepted: Iterable[str]) -> bool:
    """Whether `given` is one of the accepted tokens; takes as long for a near miss as for a far one."""
    found = False
    for token in accepted:
        found |= hmac.compare_digest(given.encode(), token.encode())
    return found
