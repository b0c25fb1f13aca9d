"""The message that leaves: one for every run, of one length, whatever happened.

    sealed box (X25519, the provider's)
      └─ signature 64 │ padded: length 4 │ MessagePack array │ zeros

    array   version 1, outcome, pseudonym, grant, sequence, run date, bundle hash, consent, result

`outcome` is "result" or "none"; "none" stands alike for a job that failed, a result that
was refused, a person who said no. A sealed box authenticates nobody, so the padded bytes
are signed, together with the inbox they are for, by a *pseudonym*: an Ed25519 key made for
one grant, so that two providers can't tell that they serve one person. `sequence` counts
the grant's runs from 1: a relay that repeats a message is found out. `consent` is the hash of
what the person's device signed when it was granted, 32 random bytes among it: so it tells the
provider nothing, and what the provider says of the message it says of that consent, too.

Every field but `result` has the same length in every message, so the length is a function
of the schema: `message_size(schema)`.
"""

from datetime import date
from typing import Annotated, Final, Literal

import msgspec

from chez.crypto import (
    SEALED_BOX_OVERHEAD,
    SIGNATURE_BYTES,
    CryptoFailed,
    SealingKey,
    SigningKey,
    hash_fields,
    seal_to,
    verify,
)
from chez_sandbox.job_errors import MessageInvalid
from chez_sandbox.release.padding import pad, padded_size, unpad
from chez_sandbox.release.schema import Schema

__all__ = ("Address", "Release", "build_message", "message_id", "message_size", "open_message")

CONTEXT: Final = "chez/1 release"

_FIELDS_BYTES: Final = 160
"""More than all fields but the result take: 4 ids, of 34 bytes or 18, date, counters, headers."""

Id = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Release(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a provider learns from one run."""

    version: Literal[1]
    outcome: Literal["result", "none"]
    pseudonym: Id
    """The public key that signs this grant's messages, and no other's."""
    grant: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    sequence: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    run_date: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
    bundle: Id
    consent: Id
    """The hash of the grant as it was signed (`consent.grant.Grant.hash`)."""
    result: bytes
    """Canonical JSON (release.schema), empty when the outcome is "none"."""


class Address(msgspec.Struct, frozen=True):
    """Where a message goes: the provider's sealing key and the inbox it is signed for."""

    sealing_key: bytes
    inbox: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Release)


def _padded(schema: Schema) -> int:
    return padded_size(_FIELDS_BYTES + schema.max_bytes)


def message_size(schema: Schema) -> int:
    """Bytes of every message of a job with this schema."""
    return SEALED_BOX_OVERHEAD + SIGNATURE_BYTES + _padded(schema)


def message_id(pseudonym: bytes, grant: bytes, sequence: int, consent: bytes) -> bytes:
    """The id of a run's message, 16 bytes: the same however often it is sent, and known to whom it is sealed alone."""
    return hash_fields("chez/1 result id", pseudonym, grant, sequence.to_bytes(4, "big"), consent)[:16]


def build_message(
    schema: Schema,
    address: Address,
    pseudonym: SigningKey,
    *,
    grant: bytes,
    sequence: int,
    run_date: date,
    bundle: bytes,
    consent: bytes,
    result: bytes | None,
) -> bytes:
    """The message of one run: `result` is canonical bytes that the schema admitted, or None."""
    release = Release(
        1,
        "none" if result is None else "result",
        pseudonym.public,
        grant,
        sequence,
        run_date.isoformat(),
        bundle,
        consent,
        result or b"",
    )
    padded = pad(_encoder.encode(release), _padded(schema))
    signature = pseudonym.sign(CONTEXT, address.inbox, padded)
    return seal_to(address.sealing_key, signature + padded)


def open_message(message: bytes, key: SealingKey, inbox: bytes) -> Release:
    """Open and check a message. Raises `MessageInvalid`; says nothing of what is inside.

    The caller knows which sequences it has seen from a pseudonym, and checks the result
    against the schema of the bundle that `Release.bundle` names.
    """
    try:
        plain = key.open(message)
        signature, padded = plain[:SIGNATURE_BYTES], plain[SIGNATURE_BYTES:]
        release = _decoder.decode(unpad(padded))
        verify(release.pseudonym, signature, CONTEXT, inbox, padded)
    except CryptoFailed:
        raise MessageInvalid(
            "an item of the inbox is not sealed to this key, or not signed for this inbox"
        ) from None
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise MessageInvalid("an item of the inbox is no release of version 1") from None
    if (release.outcome == "none") != (release.result == b""):
        raise MessageInvalid("an item of the inbox contradicts itself")
    return release
