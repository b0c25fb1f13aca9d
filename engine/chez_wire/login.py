"""What is signed to prove a role or to change a space, as canonical bytes (no key in here).

Both sides' fresh nonces make a signature worthless on another connection; the relay's
dialled name makes it worthless at another relay; handle and role, for another space or
purpose; the request's `ref`, which rises, a second time on the same connection.
"""

import enum
import hashlib
from typing import Final

from chez_wire.limits import ID_BYTES

__all__ = ("ANY_KEY", "Role", "create_message", "delete_message", "drop_message", "handle_of", "inbox_of",
           "login_message", "resume_message", "rotate_message", "vouch_message")

ANY_KEY: Final = bytes(ID_BYTES)
"""Instead of the read key that a rotation replaces: whichever stands. For the relay recovery key alone,
whose holder cannot know it when somebody else rotated last."""


class Role(enum.StrEnum):
    """What a credential allows at a relay."""

    READ = "read"
    """Read and follow the log of a space."""
    APPEND = "append"
    """Append entries to a space."""
    CONTROL = "control"
    """Append control entries (device statements, heads) within a small quota."""
    TAKE = "take"
    """Read and acknowledge the items of an inbox."""
    PUT = "put"
    """Put items into an inbox."""


def _fields(context: str, *fields: bytes) -> bytes:
    """Length-prefixed fields: no two different lists encode alike."""
    return b"".join(len(f).to_bytes(4, "big") + f for f in (context.encode(), *fields))


def login_message(relay: str, client_nonce: bytes, relay_nonce: bytes, handle: bytes, role: Role) -> bytes:
    """The bytes that a role's Ed25519 key signs to log in to one space or inbox."""
    return _fields("chez/1 login", relay.encode(), client_nonce, relay_nonce, handle, role.encode())


def resume_message(relay: str, client_nonce: bytes, relay_nonce: bytes, key: bytes) -> bytes:
    """The bytes that the key of a kept session signs to take it up again on this connection."""
    return _fields("chez/1 resume", relay.encode(), client_nonce, relay_nonce, key)


def create_message(relay: str, client_nonce: bytes, relay_nonce: bytes, kind: str, *fields: bytes) -> bytes:
    """The bytes that an admin (or inbox owner) signs to create a space (or inbox).

    The fields are all its keys, and for a space `packets_hash` of its packets, for an inbox its ttl.
    """
    return _fields("chez/1 create " + kind, relay.encode(), client_nonce, relay_nonce, *fields)


def rotate_message(
    relay: str, client_nonce: bytes, relay_nonce: bytes, ref: int, handle: bytes, *fields: bytes
) -> bytes:
    """The bytes that a space's admin or relay recovery key signs to rotate its credentials.

    The fields: the read key that is replaced, the new admin, read, append and control key,
    and `packets_hash` of the new packets.
    """
    return _fields("chez/1 rotate", relay.encode(), client_nonce, relay_nonce, ref.to_bytes(4, "big"), handle, *fields)


def delete_message(relay: str, client_nonce: bytes, relay_nonce: bytes, ref: int, handle: bytes) -> bytes:
    """The bytes that a space's admin or relay recovery key signs to delete it."""
    return _fields("chez/1 delete", relay.encode(), client_nonce, relay_nonce, ref.to_bytes(4, "big"), handle)


def drop_message(
    relay: str, client_nonce: bytes, relay_nonce: bytes, ref: int, handle: bytes, incarnation: bytes, digest: bytes
) -> bytes:
    """The bytes that a space's admin key signs to drop entries; `digest` is `chez_wire.dropping.drop_hash`."""
    return _fields("chez/1 drop", relay.encode(), client_nonce, relay_nonce, ref.to_bytes(4, "big"), handle,
                   incarnation, digest)


def vouch_message(handle: bytes, incarnation: bytes, digest: bytes) -> bytes:
    """The bytes that a space's control key signs to say that these entries may be dropped.

    It travels in an entry of the space to whoever asks the relay, so no connection is named.
    """
    return _fields("chez/1 vouch", handle, incarnation, digest)


def handle_of(admin_key: bytes) -> bytes:
    """The relay's handle of a space: the hash of its first admin key (32 bytes)."""
    return hashlib.blake2b(admin_key, digest_size=ID_BYTES, person=b"chez.handle").digest()


def inbox_of(owner_key: bytes) -> bytes:
    """The relay's name of an inbox: the hash of its owner's key (32 bytes)."""
    return hashlib.blake2b(owner_key, digest_size=ID_BYTES, person=b"chez.inbox").digest()
