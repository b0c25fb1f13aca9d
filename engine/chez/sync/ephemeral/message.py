"""Ephemeral messages: what a device signs and seals for whoever listens in a space just now.

    message    MessagePack array (class Message)
    signature  Ed25519 over ("chez/1 ephemeral", space, epoch, message) by the author
    plaintext  length (4 bytes) ‖ MessagePack [message, signature] ‖ zeros, padded as an entry's (sync/entry.py)
    sealed     header (chez_wire.ephemeral) ‖ XChaCha20-Poly1305(plaintext), the header as associated data

The key is the epoch's for ephemeral messages, so that no entry opens as one, or the other way. The signature covers the
epoch: a member can't seal another's words anew under a later one. Nothing is compressed: topics of several apps in
one message would tell of each other by its size.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry, InvalidValue
from chez.keys.epochs import Epoch
from chez.sync.entry import UnknownEpoch, pad, unpad
from chez_wire.envelope import HEADER_BYTES, Header
from chez_wire.ephemeral import MAGIC, ephemeral_header
from chez_wire.errors import EnvelopeError
from chez_wire.limits import KIB

__all__ = ("MAX_NAMED", "MAX_TOPIC", "MAX_VALUE", "SESSION_BYTES", "Message", "check_topic", "decode_value",
           "encode_value", "open_message", "seal_message")

VERSION: Final = 1
SESSION_BYTES: Final = 16

MAX_TOPIC: Final = 64
"""Characters of a topic."""

MAX_VALUE: Final = 8 * KIB
"""Bytes of a value as JSON: sealed with all else that a message may say it stays below what a relay passes on."""

MAX_NAMED: Final = 32
"""Sessions that one message asks after, or ears that it answers: with no more to say, such a message has the size that
most have."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Session = Annotated[bytes, Meta(min_length=SESSION_BYTES, max_length=SESSION_BYTES)]
Sessions = Annotated[list[Session], Meta(max_length=MAX_NAMED)]


class Message(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a device says. `number` rises by each that it says in its `session`, which it begins when its home opens.

    `ear` is what it listens by since it is connected: whoever answers that was there since. `wanted` are sessions
    whose word it has and that did not answer yet, `heard` the ears of those who asked so for the author's. Without a
    topic it says no more than that; else `value` is JSON.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    space: Id
    author: Id
    session: Session
    number: Annotated[int, Meta(ge=1, le=2**62)]
    ear: Session
    wanted: Sessions
    heard: Sessions
    topic: Annotated[str, Meta(max_length=MAX_TOPIC)]
    value: Annotated[bytes, Meta(max_length=MAX_VALUE)]

    def __repr__(self) -> str:
        return f"<Message {self.number} of {self.author.hex()[:8]}…, {len(self.value):,} bytes>"


class _Signed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    message: bytes
    signature: Annotated[bytes, Meta(min_length=crypto.SIGNATURE_BYTES, max_length=crypto.SIGNATURE_BYTES)]

    def __repr__(self) -> str:
        return f"<a signed message, {len(self.message):,} bytes>"


_encoder = msgspec.msgpack.Encoder()
_signed = msgspec.msgpack.Decoder(_Signed)
_message = msgspec.msgpack.Decoder(Message)
_json = msgspec.json.Encoder()


def seal_message(message: Message, handle: bytes, epoch: Epoch, key: crypto.SigningKey, nonce: bytes) -> bytes:
    """Sign a message as its author and seal it for a space; `nonce` is 24 fresh random bytes."""
    body = _encoder.encode(message)
    plain = _encoder.encode(_Signed(body, key.sign("chez/1 ephemeral", message.space, epoch.id, body)))
    header = Header(handle, epoch.id, epoch.key_id, nonce).encode(MAGIC)
    return header + crypto.encrypt(epoch.ephemeral_key, nonce, pad(plain), header)


def open_message(sealed: bytes, space: bytes, handle: bytes, epochs: dict[bytes, Epoch]) -> Message:
    """What somebody sealed for this space, and who it was: whether that is a member is not looked at.

    Raises `BadEntry`: no ephemeral message, of another space, under a key that is not here (`UnknownEpoch`) or is
    not its epoch's, altered, or not signed by its author for this space and epoch.
    """
    try:
        header = ephemeral_header(sealed)
    except EnvelopeError as error:
        raise BadEntry(str(error)) from None
    epoch = epochs.get(header.epoch)
    if header.handle != handle:
        raise BadEntry("the message was sealed for another space")
    if epoch is None:
        raise UnknownEpoch(header.epoch)
    if not crypto.equal(header.key_id, epoch.key_id):
        raise BadEntry("the message names another key than its epoch's")
    try:
        plain = crypto.decrypt(epoch.ephemeral_key, header.nonce, sealed[HEADER_BYTES:], sealed[:HEADER_BYTES])
        signed = _signed.decode(unpad(plain))
        message = _message.decode(signed.message)
        crypto.verify(message.author, signed.signature, "chez/1 ephemeral", space, epoch.id, signed.message)
    except crypto.CryptoFailed:
        raise BadEntry("the message was altered, or is not signed by its author") from None
    except (ValueError, RecursionError) as error:
        raise BadEntry(f"the message can't be read: {error}") from None
    if message.space != space:
        raise BadEntry("the message was said in another space")
    return message


def check_topic(topic: object) -> str:
    """A topic: 1 to 64 printable characters. Raises `InvalidValue`."""
    if not isinstance(topic, str) or not 1 <= len(topic) <= MAX_TOPIC or not topic.isprintable():
        raise InvalidValue(f"{topic!r} can't be a topic", f"Use 1 to {MAX_TOPIC} printable characters.")
    return topic


def encode_value(value: Any) -> bytes:
    """A value as JSON. Raises `InvalidValue` for one that JSON would not give back alike, or that is too large."""
    try:
        data = _json.encode(value)
        alike = msgspec.json.decode(data) == value
    except (TypeError, ValueError, RecursionError, OverflowError):
        alike = False
    if not alike:
        raise InvalidValue("an ephemeral message is JSON: maps with text keys, lists, text, numbers, true, false, null",
                           "Write bytes as text, times as text or numbers, tuples as lists.")
    if len(data) > MAX_VALUE:
        raise InvalidValue(f"an ephemeral message has at most {MAX_VALUE:,} bytes of JSON, this one {len(data):,}",
                           "Put what is larger into a record or an attachment, and say its id.")
    return data


def decode_value(data: bytes) -> Any:
    """The value of a message. Raises `BadEntry` for what is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadEntry(f"the message is no JSON: {error}") from None
