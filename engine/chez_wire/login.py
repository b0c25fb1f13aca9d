"""What is signed to prove a role, as canonical bytes (no key in here).

Both sides' fresh nonces make a login worthless a second time; the relay's dialled name
makes it worthless at another relay; handle and role, for another space or purpose.
"""

import enum
import hashlib

from chez_wire.limits import ID_BYTES

__all__ = ("Role", "create_message", "handle_of", "inbox_of", "login_message")


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


def create_message(relay: str, client_nonce: bytes, relay_nonce: bytes, kind: str, *keys: bytes) -> bytes:
    """The bytes that an admin (or inbox owner) signs to create a space (or inbox) with these keys."""
    return _fields("chez/1 create " + kind, relay.encode(), client_nonce, relay_nonce, *keys)


def handle_of(admin_key: bytes) -> bytes:
    """The relay's handle of a space: the hash of its first admin key (32 bytes)."""
    return hashlib.blake2b(admin_key, digest_size=ID_BYTES, person=b"chez.handle").digest()


def inbox_of(owner_key: bytes) -> bytes:
    """The relay's name of an inbox: the hash of its owner's key (32 bytes)."""
    return hashlib.blake2b(owner_key, digest_size=ID_BYTES, person=b"chez.inbox").digest()
