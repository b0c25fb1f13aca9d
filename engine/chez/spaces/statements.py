"""The signed statements that make a space: create, certify a device, start an epoch.

    signed statement = MessagePack [body, signature]
    body             = MessagePack array whose first element is the kind

The signature is Ed25519 over ("chez/1 statement", body); the statement's hash is over
the body. Every body but `Create` names its space and all heads its author had seen, so
statements form a DAG. The space's id is the hash of its `Create`, an epoch's id the
hash of its `NewEpoch`.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry

__all__ = ("Body", "Certify", "Create", "NewEpoch", "Signed", "sign_statement")

MAX_STATEMENT: Final = 16 * 1024
Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Heads = Annotated[list[Id], Meta(max_length=64)]
Name = Annotated[str, Meta(max_length=128)]


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A statement's content: an array whose first element is its kind."""


class Create(_Body, tag=1, frozen=True):
    """A space begins; signed by the person's root key, which is its first owner."""

    person: Id
    recovery: Id
    relay_recovery: Id
    admin: Id
    nonce: Id
    name: Name


class Certify(_Body, tag=2, frozen=True):
    """A device belongs to a person; signed by the root or by an active device."""

    space: Id
    heads: Heads
    issuer: Id
    person: Id
    device: Id
    sealing: Id
    name: Name


class NewEpoch(_Body, tag=3, frozen=True):
    """A new generation of keys; `commitment` lets who receives the secret verify it."""

    space: Id
    heads: Heads
    issuer: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    previous: Annotated[bytes, Meta(max_length=32)]
    commitment: Id
    append: Id


Body = Create | Certify | NewEpoch


class _Envelope(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    body: Annotated[bytes, Meta(max_length=MAX_STATEMENT)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Signed(msgspec.Struct, frozen=True):
    """A statement whose signature was checked; `raw` are its bytes as they travel."""

    body: Body
    hash: bytes
    raw: bytes

    @classmethod
    def read(cls, raw: bytes) -> "Signed":
        """Decode and check the signature. Raises `BadEntry`.

        Whether the issuer may say this is the membership's question, not this one's.
        """
        try:
            envelope = msgspec.msgpack.decode(raw, type=_Envelope)
            body: Body = msgspec.msgpack.decode(envelope.body, type=Body)
            issuer = body.person if isinstance(body, Create) else body.issuer
            crypto.verify(issuer, envelope.signature, "chez/1 statement", envelope.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadEntry(f"no membership statement: {error}") from None
        except crypto.CryptoFailed:
            raise BadEntry("a membership statement is not signed by its issuer") from None
        return cls(body, crypto.hash_fields("chez/1 statement", envelope.body), raw)


def sign_statement(body: Body, key: crypto.SigningKey) -> Signed:
    """Sign a statement with its issuer's key."""
    encoded = msgspec.msgpack.encode(body)
    raw = msgspec.msgpack.encode(_Envelope(encoded, key.sign("chez/1 statement", encoded)))
    return Signed(body, crypto.hash_fields("chez/1 statement", encoded), raw)
