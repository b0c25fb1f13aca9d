"""A device's word to the organisation that a message was taken, or why it never will be.

    sealed box (X25519, the organisation's)
      └─ signature 64 │ padded to 256: length 2 │ MessagePack array │ zeros

    array   version 1, address, era, number, hash of the message, outcome, how many records were refused

The signature is the address's key's, over the organisation's inbox and the padded bytes. What it says follows from the
message and the address alone: a record that the person deleted, changed or had from elsewhere counts as taken, so
that nothing of what else is in the home shows. All acknowledgements have one size.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez import crypto
from chez.crypto import SIGNATURE_BYTES, CryptoFailed, SealingKey, SigningKey
from chez.deposits.card import Organisation
from chez.errors import BadEntry

__all__ = ("Acknowledgement", "Outcome", "ack_plain", "open_ack", "seal_ack")

_CONTEXT: Final = "chez/1 deposit ack"
_PADDED: Final = 256
_LENGTH: Final = 2

Outcome = Literal["taken", "too-large", "number-used"]
"""Taken; larger than what the address takes a day; another message had its number."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Acknowledgement(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What is said of one message; `refused` counts its records that are none of the address's types."""

    version: Literal[1]
    address: Id
    era: Annotated[int, Meta(ge=1, lt=2**53)]
    number: Annotated[int, Meta(ge=1, lt=2**31)]
    hash: Id
    outcome: Outcome
    refused: Annotated[int, Meta(ge=0, lt=2**31)]


def seal_ack(said: Acknowledgement, signing: SigningKey, to: Organisation) -> bytes:
    """The sealed item. Raises `BadEntry` where the organisation's sealing key is none."""
    try:
        return crypto.seal_to(to.sealing, ack_plain(said, signing, to.inbox))
    except CryptoFailed:
        raise BadEntry("the organisation's sealing key is none: everybody could read what is sealed to it") from None


def ack_plain(said: Acknowledgement, signing: SigningKey, inbox: bytes) -> bytes:
    """What is sealed: the signature, and the padded word."""
    plain = msgspec.msgpack.encode(said)
    padded = len(plain).to_bytes(_LENGTH, "big") + plain + bytes(_PADDED - _LENGTH - len(plain))
    return signing.sign(_CONTEXT, inbox, padded) + padded


def open_ack(item: bytes, sealing: SealingKey, inbox: bytes) -> Acknowledgement:
    """What an item of an organisation's inbox says, signed by the address that it names. Raises `BadEntry`."""
    try:
        opened = sealing.open(item)
        padded = opened[SIGNATURE_BYTES:]
        length = int.from_bytes(padded[:_LENGTH], "big")
        if len(padded) != _PADDED or length > _PADDED - _LENGTH or any(padded[_LENGTH + length:]):
            raise BadEntry("what came is padded as no acknowledgement is")
        said = msgspec.msgpack.decode(padded[_LENGTH:_LENGTH + length], type=Acknowledgement)
        crypto.verify(said.address, opened[:SIGNATURE_BYTES], _CONTEXT, inbox, padded)
    except CryptoFailed:
        raise BadEntry("what came is not sealed to this organisation, or not signed by the address it names") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEntry("what came is no acknowledgement of a version that is known here") from None
    return said
