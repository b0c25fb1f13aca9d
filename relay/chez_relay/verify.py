"""The login signatures: all the cryptography a relay has.

Ed25519 verification (RFC 8032) with public keys only, and the comparison of an
operator's token. Nothing here, or anywhere in this package, can open an entry.
"""

import hmac
from collections.abc import Iterable

import nacl.bindings as sodium
import nacl.exceptions

from chez_wire.login import Role, create_message, login_message

__all__ = ("creation_ok", "login_ok", "token_ok")


def _verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        sodium.crypto_sign_open(signature + message, public)
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        return False
    return True


def login_ok(
    public: bytes, signature: bytes, *, relay: str, client_nonce: bytes, relay_nonce: bytes, handle: bytes,
    role: Role,
) -> bool:
    """Whether `signature` proves `role` at `handle` on exactly this connection to this relay."""
    return _verifies(public, signature, login_message(relay, client_nonce, relay_nonce, handle, role))


def creation_ok(
    signature: bytes, *, relay: str, client_nonce: bytes, relay_nonce: bytes, kind: str,
    keys: tuple[bytes, ...],
) -> bool:
    """Whether the first of `keys` signed the creation of a "space" or an "inbox" with all of them."""
    return _verifies(keys[0], signature, create_message(relay, client_nonce, relay_nonce, kind, *keys))


def token_ok(given: str, accepted: Iterable[str]) -> bool:
    """Whether `given` is one of the accepted tokens; takes as long for a near miss as for a far one."""
    found = False
    for token in accepted:
        found |= hmac.compare_digest(given.encode(), token.encode())
    return found
