"""A record in which one device of the person says something under its signature, for the others to hold it to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from chez.crypto import CryptoFailed, verify

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("opened_record", "signed_record")

S = TypeVar("S", bound=msgspec.Struct)


def signed_record(home: "Home", context: str, said: msgspec.Struct) -> dict[str, Any]:
    """What this device says, with its signature: the fields of a record."""
    body = msgspec.msgpack.encode(said)
    return {"body": body, "signature": home.sign(context, body)}


def opened_record(record: Mapping[str, Any] | None, device: bytes, context: str, kind: type[S]) -> S | None:
    """What a record says of a device under its signature, or None when that one did not say it."""
    if record is None:
        return None
    body, signature = record.get("body"), record.get("signature")
    if not isinstance(body, bytes) or not isinstance(signature, bytes):
        return None
    try:
        verify(device, signature, f"chez/1 application {context}", body)
        return msgspec.msgpack.decode(body, type=kind)
    except (CryptoFailed, msgspec.DecodeError, UnicodeDecodeError):
        return None
