"""A channel for those who meet: TLS with a certificate that is made for one run, and says nothing.

Nobody vouches for it. What makes the channel safe is that its hash is in every proof of a
meeting (`chez_wire.meeting`): whoever sits in the middle has another certificate, and forwards
proofs that are none. Its name, number and times are the same in all, so that it names no device.
"""

import os
import ssl
import tempfile
from base64 import b64encode
from contextlib import suppress
from typing import Final

import nacl.bindings as sodium

__all__ = ("channel",)

_ED25519: Final = bytes.fromhex("300506032b6570")  # AlgorithmIdentifier (RFC 8410, 3)
_KEY: Final = bytes.fromhex("302e020100300506032b657004220420")  # OneAsymmetricKey up to the seed (RFC 8410, 7)
_NAME: Final = bytes.fromhex("300f310d300b06035504030c046368657a")  # CN=chez
_ALWAYS: Final = b"\x30\x22\x18\x0f20000101000000Z\x18\x0f99991231235959Z"  # until then (RFC 5280, 4.1.2.5)
_VERSION: Final = bytes.fromhex("a003020102")  # 3
_SERIAL: Final = bytes.fromhex("020101")


def channel(seed: bytes) -> tuple[ssl.SSLContext, bytes]:
    """What a server speaks TLS 1.3 with, and its certificate in DER; the key is that of 32 random bytes.

    The key is in a file of its owner alone while OpenSSL reads it, which takes nothing else.
    """
    certificate = _certificate(seed)
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
    return context, certificate


def _certificate(seed: bytes) -> bytes:
    """A self-signed certificate of an Ed25519 key (RFC 5280, RFC 8410)."""
    public, secret = sodium.crypto_sign_seed_keypair(seed)
    key = _sequence(_ED25519 + b"\x03\x21\x00" + public)
    body = _sequence(_VERSION + _SERIAL + _ED25519 + _NAME + _ALWAYS + _NAME + key)
    signature = sodium.crypto_sign(body, secret)[:sodium.crypto_sign_BYTES]
    return _sequence(body + _ED25519 + b"\x03\x41\x00" + signature)


def _sequence(content: bytes) -> bytes:
    size = len(content)
    length = bytes((size,)) if size < 128 else b"\x81" + bytes((size,)) if size < 256 else b"\x82" + size.to_bytes(2)
    return b"\x30" + length + content


def _pem(kind: str, der: bytes) -> bytes:
    return f"-----BEGIN {kind}-----\n{b64encode(der).decode()}\n-----END {kind}-----\n".encode()
