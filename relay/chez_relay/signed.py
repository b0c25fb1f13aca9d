"""Requests that carry a signature of their own: making spaces and inboxes, rotating, deleting and dropping.

They need no open role. A signature holds for one connection (both nonces), relay and
purpose. Rotating, deleting and dropping could be undone by somebody else before they are said again,
so their `ref` is signed and must rise: not even this connection can carry one twice.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chez_relay import verify
from chez_relay.errors import Code
from chez_relay.storage import AddInbox, AddSpace, Credentials, DropEntries, DropSpace, Refused, RotateSpace, SpaceKeys
from chez_wire.dropping import drop_hash, in_rising_order
from chez_wire.frames import CreateInbox, CreateSpace, DeleteSpace, Drop, Rotate
from chez_wire.login import (
    create_message,
    delete_message,
    drop_message,
    handle_of,
    inbox_of,
    rotate_message,
    vouch_message,
)
from chez_wire.packets import in_order, packets_hash

__all__ = ("SIGNED_TOO_OFTEN", "Signatures")

Signed = AddSpace | AddInbox | RotateSpace | DropSpace | DropEntries

SIGNED_TOO_OFTEN: Final = Refused(
    Code.TOO_OFTEN, "too many signatures were looked at for your address just now", retry=True)
"""A signature costs as much to look at as a proof of a role, right or wrong: they are held to one rate."""

_TWICE = Refused(Code.DENIED, "the refs of signed requests must rise on a connection: this one may be a repetition")
_UNSIGNED = Refused(Code.DENIED, "the key it names did not sign this request")
_UNVOUCHED = Refused(Code.DENIED, "the key it names did not vouch for this")
_OTHER_STORE = Refused(Code.STALE, "this is another store of the relay than the one whose offsets it names")
_NO_RANGES = Refused(Code.BAD_RANGES, "ranges rise and do not overlap, and a drop names a range or a chunk")
_NO_TOKEN = Refused(Code.TOKEN, "this relay's operator gives out tokens for creating spaces, and none was given")
_WRONG_TOKEN = Refused(Code.TOKEN, "the token that was given is none of those of this relay's operator")
_DISORDER = Refused(Code.BAD_PACKETS, "packets must be in the order of their tags, each tag once")


@dataclass(slots=True)
class Signatures:
    """What signatures on one connection must be over: the relay's name as dialled, and both nonces."""

    relay: str
    client_nonce: bytes
    relay_nonce: bytes
    _last_ref: int = 0

    def request(self, frame: CreateSpace | CreateInbox | Rotate | DeleteSpace | Drop, tokens: Collection[str],
                incarnation: bytes) -> Signed | Refused:
        """What a frame that brings its own signature asks of the storage."""
        match frame:
            case CreateSpace():
                return self.creation(frame, tokens)
            case CreateInbox():
                return self.inbox(frame)
            case Rotate():
                return self.rotation(frame)
            case DeleteSpace():
                return self.deletion(frame)
            case Drop():
                return self.dropping(frame, incarnation)

    def creation(self, frame: CreateSpace, tokens: Collection[str]) -> AddSpace | Refused:
        """What a creation asks of the storage, if it has a token (where one is wanted) and the admin key's word."""
        if tokens and not verify.token_ok(frame.token, tokens):
            return _WRONG_TOKEN if frame.token else _NO_TOKEN
        if not in_order(frame.packets):
            return _DISORDER
        keys = (frame.admin_key, frame.recovery_key, frame.read_key, frame.append_key, frame.control_key)
        message = create_message(*self._greeting, "space", *keys, packets_hash(frame.packets))
        if not verify.signed_by(frame.admin_key, frame.signature, message):
            return _UNSIGNED
        return AddSpace(handle_of(frame.admin_key), SpaceKeys(*keys), tuple(frame.packets))

    def inbox(self, frame: CreateInbox) -> AddInbox | Refused:
        """What the creation of an inbox asks of the storage, if its owner's key signed it."""
        fields = (frame.owner_key, frame.write_key, frame.ttl.to_bytes(8, "big"))
        message = create_message(*self._greeting, "inbox", *fields)
        if not verify.signed_by(frame.owner_key, frame.signature, message):
            return _UNSIGNED
        return AddInbox(inbox_of(frame.owner_key), frame.owner_key, frame.write_key, frame.ttl)

    def rotation(self, frame: Rotate) -> RotateSpace | Refused:
        """What a rotation asks of the storage, which alone knows whether its signer may."""
        if not in_order(frame.packets):
            return _DISORDER
        fields = (frame.previous_read, frame.admin_key, frame.read_key, frame.append_key, frame.control_key)
        message = rotate_message(*self._greeting, frame.ref, frame.handle, *fields, packets_hash(frame.packets))
        if (refusal := self._once(frame, message)) is not None:
            return refusal
        new = Credentials(frame.read_key, frame.append_key, frame.control_key)
        return RotateSpace(frame.handle, frame.signer, frame.previous_read, frame.admin_key, new, tuple(frame.packets))

    def deletion(self, frame: DeleteSpace) -> DropSpace | Refused:
        """What a deletion asks of the storage, which alone knows whether its signer may."""
        refusal = self._once(frame, delete_message(*self._greeting, frame.ref, frame.handle))
        return DropSpace(frame.handle, frame.signer) if refusal is None else refusal

    def dropping(self, frame: Drop, incarnation: bytes) -> DropEntries | Refused:
        """What a request to drop asks of the storage, which alone knows whether its signer and voucher may."""
        if frame.incarnation != incarnation:
            return _OTHER_STORE
        if not in_rising_order(frame.ranges) or not (frame.ranges or frame.chunks):
            return _NO_RANGES
        digest = drop_hash(frame.follows, frame.checkpoint, frame.ranges, frame.chunks)
        message = drop_message(*self._greeting, frame.ref, frame.handle, incarnation, digest)
        if (refusal := self._once(frame, message)) is not None:
            return refusal
        if not verify.signed_by(frame.voucher, frame.vouch, vouch_message(frame.handle, incarnation, digest)):
            return _UNVOUCHED
        return DropEntries(frame.handle, frame.signer, frame.voucher, frame.follows, digest, tuple(frame.ranges),
                           tuple(frame.chunks))

    @property
    def _greeting(self) -> tuple[str, bytes, bytes]:
        return self.relay, self.client_nonce, self.relay_nonce

    def _once(self, frame: Rotate | DeleteSpace | Drop, message: bytes) -> Refused | None:
        if frame.ref <= self._last_ref:
            return _TWICE
        if not verify.signed_by(frame.signer, frame.signature, message):
            return _UNSIGNED
        self._last_ref = frame.ref
        return None
