"""All the cryptography of Chez: PyNaCl (libsodium) primitives and nothing else.

    signatures      Ed25519 (RFC 8032) over a context string and length-prefixed fields
    sealing to keys X25519 sealed boxes (libsodium crypto_box_seal); a secret of two keys (crypto_box_beforenm)
    sealing by key  XChaCha20-Poly1305-IETF with a random 24-byte nonce
    derivation      keyed BLAKE2b (RFC 7693), one label per purpose; hashing too. The
                    function is hashlib's: libsodium's result, at a third of the cost per call
    passphrases     Argon2id (RFC 9106)
    comparison      the standard library's `hmac.compare_digest`, in constant time

No other module of `chez` or `chez_sandbox` imports PyNaCl; import-linter holds that.
Randomness is an argument wherever a caller must be able to replay a run.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import nacl.bindings as sodium
import nacl.exceptions
import nacl.pwhash.argon2id as argon2id
import nacl.utils

from chez.errors import InvalidValue

__all__ = (
    "KEY_BYTES", "NONCE_BYTES", "SALT_BYTES", "SEALED_BOX_OVERHEAD", "SIGNATURE_BYTES", "TAG_BYTES", "CryptoFailed",
    "FieldsHash", "Kdf", "SealingKey", "SigningKey", "decrypt", "derive", "encrypt", "equal", "field_hasher",
    "hash_fields", "hasher", "keyed_hash", "passphrase_key", "random_bytes", "seal_to", "shared", "shared_by_signing",
    "verify",
)

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
SALT_BYTES: Final = argon2id.SALTBYTES
SEALED_BOX_OVERHEAD: Final = 48


class CryptoFailed(Exception):
    """A signature, a tag or a sealed box does not verify. Says no more on purpose."""


def random_bytes(count: int) -> bytes:
    """`count` bytes from the operating system's generator."""
    return nacl.utils.random(count)


def _encode(context: str, fields: tuple[bytes, ...]) -> bytes:
    # Length-prefixed, so that no two lists of fields encode alike; the context comes
    # first, so that bytes signed for one purpose never verify for another.
    return b"".join([len(f).to_bytes(4, "big") + f for f in (context.encode(), *fields)])


def hash_fields(context: str, *fields: bytes) -> bytes:
    """The 32-byte BLAKE2b hash of a context and length-prefixed fields."""
    return hashlib.blake2b(_encode(context, fields), digest_size=32).digest()


class FieldsHash:
    """`hash_fields` of fields that come one by one."""

    def __init__(self, context: str) -> None:
        self._hash = hashlib.blake2b(_encode(context, ()), digest_size=32)

    def add(self, field: bytes) -> None:
        """The next field."""
        self._hash.update(len(field).to_bytes(4, "big") + field)

    def digest(self) -> bytes:
        """The hash of all of them."""
        return self._hash.digest()


def hasher(context: str, *fields: bytes) -> Callable[[bytes], bytes]:
    """`hash_fields` of many that have all but their last field in common; it must be of 32 bytes."""
    beginning = _encode(context, fields) + (32).to_bytes(4, "big")

    def digest(last: bytes) -> bytes:
        assert len(last) == 32  # its length is in the beginning
        return hashlib.blake2b(beginning + last, digest_size=32).digest()

    return digest


def field_hasher(context: str) -> Callable[[bytes], bytes]:
    """`hash_fields` of one field, of any length, for many of them."""
    # What they have in common is hashed once: a copy of that costs a third of a new hash.
    begun = hashlib.blake2b(_encode(context, ()), digest_size=32)

    def digest(field: bytes) -> bytes:
        copy = begun.copy()
        copy.update(len(field).to_bytes(4, "big") + field)
        return copy.digest()

    return digest


def keyed_hash(key: bytes, context: str, *fields: bytes) -> bytes:
    """A 32-byte MAC (BLAKE2b keyed mode) of a context and length-prefixed fields."""
    return hashlib.blake2b(_encode(context, fields), digest_size=32, key=key).digest()


def derive(secret: bytes, label: str) -> bytes:
    """Derive a 32-byte key for one purpose from a secret of 16 to 64 bytes.

    Keyed BLAKE2b is a PRF, so keys under different labels are independent. Every label
    begins with "chez/1 " and is listed in docs/formats.md.
    """
    return hashlib.blake2b(label.encode(), digest_size=32, key=secret).digest()


def equal(a: bytes, b: bytes) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(a, b)


def encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """XChaCha20-Poly1305-IETF. `nonce` must be fresh: 24 random bytes never repeat.

    (At 192 bits, 2^64 messages under one key collide with probability 2^-64.)
    """
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """Undo `encrypt`; raises `CryptoFailed` if key, nonce, bytes or associated data differ.

    The cipher does not commit to its key; callers that accept several keys compare a
    commitment first (`sync.entry`).
    """
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, key)
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        raise CryptoFailed from None


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """An Ed25519 key pair; made from a 32-byte seed, which is the secret to keep."""

    seed: bytes
    public: bytes
    _secret: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """The key pair of a 32-byte seed."""
        public, secret = sodium.crypto_sign_seed_keypair(seed)
        return cls(seed, public, secret)

    def sign(self, context: str, *fields: bytes) -> bytes:
        """Sign a context and fields; 64 bytes."""
        return self.sign_bytes(_encode(context, fields))

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign bytes whose encoding already names its context (chez_wire.login); 64 bytes."""
        return sodium.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()[:16]}…)"


def verify(public: bytes, signature: bytes, context: str, *fields: bytes) -> None:
    """Check an Ed25519 signature; raises `CryptoFailed` if it is not by `public`."""
    try:
        sodium.crypto_sign_open(signature + _encode(context, fields), public)
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        raise CryptoFailed from None


@dataclass(frozen=True, slots=True, repr=False)
class SealingKey:
    """An X25519 key pair that opens sealed boxes; made from a 32-byte seed."""

    seed: bytes
    public: bytes
    _secret: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> "SealingKey":
        """The key pair of a 32-byte seed."""
        public, secret = sodium.crypto_box_seed_keypair(seed)
        return cls(seed, public, secret)

    def open(self, box: bytes) -> bytes:
        """Open a sealed box; raises `CryptoFailed`. A sealed box authenticates nobody."""
        try:
            return sodium.crypto_box_seal_open(box, self.public, self._secret)
        except (nacl.exceptions.CryptoError, ValueError, TypeError):
            raise CryptoFailed from None

    def __repr__(self) -> str:
        return f"SealingKey(public={self.public.hex()[:16]}…)"


def seal_to(public: bytes, plaintext: bytes) -> bytes:
    """Seal bytes so that only the holder of an X25519 key reads them (48 bytes longer).

    Raises `CryptoFailed` for a key of low order, with which everybody could read them.
    """
    try:
        return sodium.crypto_box_seal(plaintext, public)
    except nacl.exceptions.CryptoError:
        raise CryptoFailed from None


def shared(key: SealingKey, other: bytes) -> bytes:
    """A 32-byte secret that two X25519 key pairs have in common (libsodium crypto_box_beforenm).

    Either side has it from its own key and the other's public one. Raises `CryptoFailed` for a key of low order, with
    which everybody has it.
    """
    try:
        return sodium.crypto_box_beforenm(other, key._secret)
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        raise CryptoFailed from None


def shared_by_signing(key: SigningKey, other: bytes) -> bytes:
    """`shared` of two Ed25519 key pairs, by the X25519 keys that belong to them (libsodium crypto_sign_ed25519_*).

    Raises `CryptoFailed` for what is no public key, or one of low order.
    """
    try:
        return sodium.crypto_box_beforenm(sodium.crypto_sign_ed25519_pk_to_curve25519(other),
                                          sodium.crypto_sign_ed25519_sk_to_curve25519(key._secret))
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        raise CryptoFailed from None


class Kdf(msgspec.Struct, frozen=True):
    """The cost of turning a passphrase into a key; stored beside what it protects.

    `operations` are Argon2id passes, `memory` is in bytes.
    """

    operations: int
    memory: int

    @classmethod
    def moderate(cls) -> "Kdf":
        """libsodium's "moderate" cost: 256 MiB and 3 passes, under a second here."""
        return cls(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)

    @classmethod
    def sensitive(cls) -> "Kdf":
        """libsodium's "sensitive" cost: 1 GiB and 4 passes, some seconds."""
        return cls(argon2id.OPSLIMIT_SENSITIVE, argon2id.MEMLIMIT_SENSITIVE)

    @classmethod
    def minimum(cls) -> "Kdf":
        """The least libsodium accepts; for tests only."""
        return cls(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)

    @classmethod
    def bounded(cls, operations: int, memory: int) -> "Kdf":
        """A cost read from a file: refused with ValueError when it could exhaust the machine."""
        if not (argon2id.OPSLIMIT_MIN <= operations <= 64 and argon2id.MEMLIMIT_MIN <= memory <= 2**31):
            raise ValueError("the cost of the passphrase is out of bounds")
        return cls(operations, memory)


def passphrase_key(passphrase: str, salt: bytes, kdf: Kdf) -> bytes:
    """Derive 32 bytes from a passphrase (UTF-8 as typed) with Argon2id (RFC 9106).

    Raises MemoryError when the machine can't spare what `kdf` asks for, and `InvalidValue` for what is no text: an
    error of the encoding would carry the passphrase.
    """
    if any("\ud800" <= character <= "\udfff" for character in passphrase):
        raise InvalidValue("the passphrase holds half a surrogate pair, which is no character", "Type it again.")
    try:
        return argon2id.kdf(KEY_BYTES, passphrase.encode(), salt, opslimit=kdf.operations, memlimit=kdf.memory)
    except nacl.exceptions.RuntimeError:  # with arguments in bounds, libsodium fails for nothing else
        raise MemoryError from None
