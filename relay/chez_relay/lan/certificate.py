"""A channel for those who meet: TLS with a certificate that is made for one run, and says nothing but its key.

Nobody vouches for it. What makes the channel safe is that its hash is in every proof of a
meeting (`chez_wire.meeting`): whoever sits in the middle has another certificate, and forwards
proofs that are none. The key is what the relay is announced as (`chez_wire.certificate`), and says
of who dials this one that the name he gives is his own (`Channel.shared`).
"""

import os
import ssl
import tempfile
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions

from chez_wire.certificate import certificate_body, certificate_of

__all__ = ("Channel", "channel")

_KEY: Final = bytes.fromhex("302e020100300506032b657004220420")  # OneAsymmetricKey up to the seed (RFC 8410, 7)


@dataclass(frozen=True, slots=True)
class Channel:
    """What a server speaks TLS 1.3 with, its certificate in DER, and the key's public half."""

    tls: ssl.SSLContext
    certificate: bytes
    instance: bytes
    _secret: bytes = field(repr=False)

    def shared(self, instance: bytes) -> bytes | None:
        """What this instance and another one have in common (`chez.crypto.shared_by_signing`); None for no key."""
        try:
            return sodium.crypto_box_beforenm(sodium.crypto_sign_ed25519_pk_to_curve25519(instance),
                                              sodium.crypto_sign_ed25519_sk_to_curve25519(self._secret))
        except (nacl.exceptions.CryptoError, ValueError, TypeError):
            return None


def channel(seed: bytes) -> Channel:
    """The channel whose key is that of 32 random bytes.

    The key is in a file of its owner alone while OpenSSL reads it, which takes nothing else.
    """
    public, secret = sodium.crypto_sign_seed_keypair(seed)
    signature = sodium.crypto_sign(certificate_body(public), secret)[:sodium.crypto_sign_BYTES]
    certificate = certificate_of(public, signature)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody takes a session up again: each connection shows the certificate
    handle, path = tempfile.mkstemp(prefix="chez-")  # 0600
    try:
        os.write(handle, _pem("PRIVATE KEY", _KEY + seed) + _pem("CERTIFICATE", certificate))
        context.load_cert_chain(path)
    finally:
        os.close(handle)
        with suppress(OSError):
            os.unlink(path)
    return Channel(context, certificate, public, secret)


def _pem(kind: str, der: bytes) -> bytes:
    return f"-----BEGIN {kind}-----\n{b64encode(der).decode()}\n-----END {kind}-----\n".encode()
