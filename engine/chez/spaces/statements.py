"""The signed statements that say who belongs to a person and to a space.

    signed statement = MessagePack [body, signature]
    body             = MessagePack array whose first element is the kind

The signature is Ed25519 over ("chez/1 statement", body); the statement's hash is over
the body. Every body but `Enrol` names all heads its author had seen, so statements form
a DAG. A *person statement* (which devices are whose) builds on statements of the same
person only and is copied into every space the person is in; a *space statement* builds
on both kinds. A space's id is the hash of its `Create`, an epoch's id that of its
`NewEpoch`. Whether an issuer may say something is the membership's question.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry, InvalidValue

__all__ = (
    "MAX_CUTS",
    "MAX_HEADS",
    "MAX_KEPT",
    "MAX_PREVIOUS",
    "MAX_STATEMENT",
    "Add",
    "Archive",
    "Body",
    "Certify",
    "Create",
    "Cut",
    "Enrol",
    "Expel",
    "Invite",
    "Kind",
    "Move",
    "NewEpoch",
    "PersonBody",
    "Pick",
    "Previous",
    "Remove",
    "Rename",
    "RenameDevice",
    "Retire",
    "Revoke",
    "Role",
    "SetRole",
    "Signed",
    "SpaceBody",
    "commitment_of",
    "consent",
    "sign_statement",
)

MAX_STATEMENT: Final = 16 * 1024
MAX_HEADS: Final = 64
MAX_CUTS: Final = 128
MAX_PREVIOUS: Final = 16
MAX_KEPT: Final = 256
Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Heads = Annotated[list[Id], Meta(min_length=1, max_length=MAX_HEADS)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Count = Annotated[int, Meta(ge=0, le=2**62)]


class Role(IntEnum):
    """What a person may do in a space; each may do what the ones below may."""

    READER = 0
    WRITER = 1
    OWNER = 2


class Kind(IntEnum):
    """What a space is for: its person alone, people it is shared with, or everybody who has its address."""

    PRIVATE = 0
    SHARED = 1
    PUBLIC = 2


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A statement's content: an array whose first element is its kind."""


class Cut(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The last entry of a device that the author of a removal had accepted; 0 and zeros for none."""

    device: Id
    sequence: Count
    hash: Id


class Previous(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """An epoch before this one, and its secret sealed under this one's."""

    epoch: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    sealed: Annotated[bytes, Meta(min_length=32, max_length=256)]


# --- a person and its devices ----------------------------------------------------------


class Enrol(_Body, tag=1, frozen=True):
    """A person begins; signed by the root key. `recovery` receives every epoch of its spaces."""

    person: Id
    recovery: Id
    relay_recovery: Id
    nonce: Id
    name: Name


class Certify(_Body, tag=2, frozen=True):
    """A device belongs to a person; signed by the root or by an active device.

    `consent` is the device's own word for it, over a commitment to the person and its sealing
    key (`consent`): nobody can claim somebody else's device, nor say that it reads by another key.
    """

    person: Id
    heads: Heads
    issuer: Id
    device: Id
    sealing: Id
    name: Name
    salt: Id
    consent: Signature


class Expel(_Body, tag=3, frozen=True):
    """A device belongs to the person no more, and never will again.

    So do the devices it had let in, unless `keep` has the hash of one of their certificates.
    """

    person: Id
    heads: Heads
    issuer: Id
    device: Id
    keep: Annotated[list[Id], Meta(max_length=MAX_KEPT)]


class RenameDevice(_Body, tag=4, frozen=True):
    """A device goes by another name."""

    person: Id
    heads: Heads
    issuer: Id
    device: Id
    name: Name


# --- a space and its members -----------------------------------------------------------


class Create(_Body, tag=16, frozen=True):
    """A space begins, owned by the issuer's person. `admin` is its first admin key at relays."""

    heads: Heads
    issuer: Id
    person: Id
    kind: Kind
    admin: Id
    nonce: Id
    name: Name


class Add(_Body, tag=17, frozen=True):
    """A person becomes a member; `invite` is the hash of the invitation that it came by, or empty."""

    space: Id
    heads: Heads
    issuer: Id
    person: Id
    role: Role
    invite: Annotated[bytes, Meta(max_length=32)]


class Remove(_Body, tag=18, frozen=True):
    """A person is a member no more: an owner's word, or its own (it leaves)."""

    space: Id
    heads: Heads
    issuer: Id
    person: Id
    cuts: Annotated[list[Cut], Meta(max_length=MAX_CUTS)]


class SetRole(_Body, tag=19, frozen=True):
    """A member has another role. `cuts` bound what it wrote when it may write no more."""

    space: Id
    heads: Heads
    issuer: Id
    person: Id
    role: Role
    cuts: Annotated[list[Cut], Meta(max_length=MAX_CUTS)]


class Retire(_Body, tag=20, frozen=True):
    """An expelled device has no part in this space any more; said by another device of its person."""

    space: Id
    heads: Heads
    issuer: Id
    cut: Cut


class NewEpoch(_Body, tag=21, frozen=True):
    """A new generation of keys; `commitment` lets who receives the secret verify it.

    `previous` are the epochs it follows (none for the first), and void ones whose keys it
    has; `append` and `admin` the public halves of the relay credentials that come with it.
    """

    space: Id
    heads: Heads
    issuer: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    previous: Annotated[list[Previous], Meta(max_length=MAX_PREVIOUS)]
    commitment: Id
    append: Id
    admin: Id


class Rename(_Body, tag=22, frozen=True):
    """The space goes by another name."""

    space: Id
    heads: Heads
    issuer: Id
    name: Name


class Archive(_Body, tag=23, frozen=True):
    """The space is put away, or taken out again: applications offer no more writing in it."""

    space: Id
    heads: Heads
    issuer: Id
    archived: bool


class Move(_Body, tag=24, frozen=True):
    """The space has another handle at relays: that of this first admin key."""

    space: Id
    heads: Heads
    issuer: Id
    admin: Id


class Invite(_Body, tag=25, frozen=True):
    """Who proves to hold `key` may become a member: so often, until then (Unix milliseconds).

    The devices of the person who says it watch over both, and answer those who come;
    `nonce` leads them, and nobody else, to the invitation's secrets (`spaces.invitations`).
    """

    space: Id
    heads: Heads
    issuer: Id
    key: Id
    role: Role
    uses: Annotated[int, Meta(ge=1, le=1000)]
    expires: Count
    nonce: Id


class Revoke(_Body, tag=26, frozen=True):
    """An invitation is worth nothing any more."""

    space: Id
    heads: Heads
    issuer: Id
    invite: Id


class Pick(_Body, tag=27, frozen=True):
    """Of the entries that an author made under one number, the one with this hash counts."""

    space: Id
    heads: Heads
    issuer: Id
    entry: Cut


PersonBody = Enrol | Certify | Expel | RenameDevice
SpaceBody = (Create | Add | Remove | SetRole | Retire | NewEpoch | Rename | Archive | Move | Invite | Revoke | Pick)
Body = PersonBody | SpaceBody


class _Envelope(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    body: Annotated[bytes, Meta(max_length=MAX_STATEMENT)]
    signature: Signature


_envelope = msgspec.msgpack.Decoder(_Envelope)
_body: "msgspec.msgpack.Decoder[Body]" = msgspec.msgpack.Decoder(Body)


class Signed(msgspec.Struct, frozen=True):
    """A statement whose signature was checked; `raw` are its bytes as they travel."""

    body: Body
    hash: bytes
    raw: bytes

    @property
    def issuer(self) -> bytes:
        """Whose signature it bears: a device's, or a person's root key."""
        return self.body.person if isinstance(self.body, Enrol) else self.body.issuer

    @property
    def heads(self) -> list[bytes]:
        """What it builds on."""
        return [] if isinstance(self.body, Enrol) else self.body.heads

    @classmethod
    def read(cls, raw: bytes) -> "Signed":
        """Decode, and check the signature, and the device's own of a certificate. Raises `BadEntry`."""
        signed, envelope = cls._decode(raw)
        body = signed.body
        try:
            crypto.verify(signed.issuer, envelope.signature, "chez/1 statement", envelope.body)
            if isinstance(body, Certify):
                crypto.verify(body.device, body.consent, "chez/1 consent", commitment_of(body.person, body.salt),
                              body.sealing)
        except crypto.CryptoFailed:
            raise BadEntry("a membership statement is not signed by its issuer") from None
        return signed

    @classmethod
    def kept(cls, raw: bytes) -> "Signed":
        """Decode one that was checked before it was stored here. Raises `BadEntry`."""
        return cls._decode(raw)[0]

    @classmethod
    def _decode(cls, raw: bytes) -> tuple["Signed", _Envelope]:
        try:
            envelope = _envelope.decode(raw)
            body = _body.decode(envelope.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadEntry(f"no membership statement: {error}") from None
        return cls(body, crypto.hash_fields("chez/1 statement", envelope.body), raw), envelope


def sign_statement(body: Body, key: crypto.SigningKey) -> Signed:
    """Sign a statement with its issuer's key. Raises `InvalidValue` for one that nobody could read: it has more of
    something than there is room for.
    """
    encoded = msgspec.msgpack.encode(body)
    # Read back, for a body that is made takes anything: one that is too long, once stored, opens no home any more.
    try:
        return Signed.kept(msgspec.msgpack.encode(_Envelope(encoded, key.sign("chez/1 statement", encoded))))
    except BadEntry as error:
        raise InvalidValue(f"this can't be said: {error.message}") from None


def commitment_of(person: bytes, salt: bytes) -> bytes:
    """What a device that is about to join signs: binds the person, tells nobody which (32 bytes)."""
    return crypto.hash_fields("chez/1 consent person", person, salt)


def consent(device: crypto.SigningKey, commitment: bytes, sealing: bytes) -> bytes:
    """A device's word that it belongs to the person behind a commitment, and reads by this sealing key (64 bytes)."""
    return device.sign("chez/1 consent", commitment, sealing)
