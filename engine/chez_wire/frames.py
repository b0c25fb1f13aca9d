"""The frames of protocol version 1: one MessagePack array per websocket message.

The first element is the frame's number. Everything is decoded into the types below in
one step, lengths and unknown frames refused before a value exists; `docs/protocol.md`
describes each frame, its reply and its idempotence.

`ref` is chosen by the client and repeated in the answer; 0 marks what nobody asked for.
"""

from types import UnionType
from typing import Annotated, Final, get_args

import msgspec
from msgspec import Meta

from chez_wire.dropping import Drop, Dropped
from chez_wire.ephemeral import Broadcast, Ephemeral
from chez_wire.errors import FrameError
from chez_wire.fields import Box, Bytes, Envelope, Frame, Id, Item, Offset, Ref, Sealed, Signature, Text
from chez_wire.kept import Ahead, Keep, Kept, Lost, Resume, Resumed
from chez_wire.limits import MAX_CHUNK_IDS, MAX_CLAIMS, MAX_DROPPED, MAX_EARLY, MAX_FRAME, MAX_INBOX_TTL, MAX_PACKETS
from chez_wire.login import Role
from chez_wire.meeting import Meet, Met
from chez_wire.usage import GetUsage, Usage, Used

__all__ = (
    "PROTOCOL_VERSION", "Ack", "Ahead", "Append", "Appended", "Broadcast", "Chunk", "ChunksHeld", "Claim",
    "ClientFrame", "CreateInbox", "CreateSpace", "Credit", "DeleteSpace", "Done", "Drop", "Dropped", "Early", "Ended",
    "Entries", "Entry", "Ephemeral", "Failed", "GetChunk", "GetPacket", "GetUsage", "HasChunks", "Hello", "InboxItem",
    "InboxItems", "Keep", "Kept", "Lost", "Meet", "Met", "Open", "Opened", "OpenedSpace", "Packet", "Put", "PutChunk",
    "Read", "RelayFrame", "Resume", "Resumed", "Rotate", "SealedPacket", "Subscribe", "Usage", "Used", "Watch",
    "Welcome", "decode_client", "decode_relay", "encode",
)

PROTOCOL_VERSION: Final = 1

# --- from the client ---------------------------------------------------------------


class Hello(Frame, tag=1, frozen=True):
    """First frame. `relay` is the name the client dialled (host:port)."""

    versions: Annotated[list[int], Meta(min_length=1, max_length=16)]
    nonce: Id
    relay: Text


class SealedPacket(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Epoch keys sealed to one member, and the tag that this member asks for them by."""

    tag: Id
    box: Box


Packets = Annotated[list[SealedPacket], Meta(max_length=MAX_PACKETS)]


class CreateSpace(Frame, tag=2, frozen=True):
    """Create a space. Its handle is the hash of `admin_key`, which signs the request."""

    ref: Ref
    admin_key: Id
    recovery_key: Id
    read_key: Id
    append_key: Id
    control_key: Id
    packets: Packets
    signature: Signature
    token: Text = ""

    def __repr__(self) -> str:
        return f"<CreateSpace {self.ref}>"


class Claim(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The proof of one role at one space or inbox."""

    handle: Id
    role: Role
    signature: Signature


class Open(Frame, tag=3, frozen=True):
    """Prove roles at any number of spaces and inboxes in one round trip."""

    ref: Ref
    claims: Annotated[list[Claim], Meta(min_length=1, max_length=MAX_CLAIMS)]


class Append(Frame, tag=4, frozen=True):
    """Append one sealed entry; `role` says under which open credential."""

    ref: Ref
    handle: Id
    role: Role
    envelope: Envelope


class Subscribe(Frame, tag=5, frozen=True):
    """Send the entries after `after`, then what comes; at most `credit` bytes ahead."""

    ref: Ref
    handle: Id
    after: Offset
    credit: Bytes


class Credit(Frame, tag=6, frozen=True):
    """Allow `credit` more bytes on a subscription (what was received is durable)."""

    handle: Id
    credit: Bytes


class Read(Frame, tag=7, frozen=True):
    """Read one page of entries after an offset."""

    ref: Ref
    handle: Id
    after: Offset
    limit: Bytes


class CreateInbox(Frame, tag=8, frozen=True):
    """Create an inbox, named by the hash of `owner_key`, which signs the request."""

    ref: Ref
    owner_key: Id
    write_key: Id
    ttl: Annotated[int, Meta(ge=1, le=MAX_INBOX_TTL)]
    signature: Signature


class Put(Frame, tag=9, frozen=True):
    """Put one item into an inbox opened with role `put`."""

    ref: Ref
    inbox: Id
    item: Item


class Watch(Frame, tag=10, frozen=True):
    """Send the items numbered above `after` of an inbox opened with role `take`, then what comes."""

    ref: Ref
    inbox: Id
    after: Offset


class Ack(Frame, tag=11, frozen=True):
    """Delete the items numbered up to `upto` of an inbox opened with role `take`."""

    ref: Ref
    inbox: Id
    upto: Offset


class PutChunk(Frame, tag=12, frozen=True):
    """Store one sealed piece of an attachment under the hash of its bytes; needs the role append."""

    ref: Ref
    handle: Id
    data: Sealed


class GetChunk(Frame, tag=13, frozen=True):
    """Get one piece of an attachment by its id; needs the role read."""

    ref: Ref
    handle: Id
    chunk: Id


class HasChunks(Frame, tag=14, frozen=True):
    """Ask which pieces the relay holds for a space opened with role read."""

    ref: Ref
    handle: Id
    chunks: Annotated[list[Id], Meta(min_length=1, max_length=MAX_CHUNK_IDS)]


class Rotate(Frame, tag=15, frozen=True):
    """Replace a space's admin key, credentials and packets, if `previous_read` is still its read key.

    `signer`, the space's admin key or its relay recovery key, signs the request.
    """

    ref: Ref
    handle: Id
    signer: Id
    previous_read: Id
    admin_key: Id
    read_key: Id
    append_key: Id
    control_key: Id
    packets: Packets
    signature: Signature


class GetPacket(Frame, tag=16, frozen=True):
    """Get the packet under a tag of a space; needs no role."""

    ref: Ref
    handle: Id
    tag: Id


class DeleteSpace(Frame, tag=17, frozen=True):
    """Delete a space with all that is in it; signed by `signer` as in `Rotate`."""

    ref: Ref
    handle: Id
    signer: Id
    signature: Signature


# --- from the relay ----------------------------------------------------------------


class Welcome(Frame, tag=33, frozen=True):
    """Answer to `Hello`: the version chosen, the relay's nonce and its store's incarnation."""

    version: int
    nonce: Id
    incarnation: Id


class Done(Frame, tag=34, frozen=True):
    """What `ref` asked for is done and durable (create, rotate, delete, put, put chunk, ack)."""

    ref: Ref


class OpenedSpace(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One claim's outcome; `error` is empty when the role is open.

    `offset` and `head` tell the last entry of a space (0 and zeros for an empty one or
    an inbox).
    """

    handle: Id
    role: Role
    error: Text
    offset: Offset
    head: Id


class Opened(Frame, tag=35, frozen=True):
    """Answer to `Open`, claims in the order they came."""

    ref: Ref
    spaces: Annotated[list[OpenedSpace], Meta(max_length=MAX_CLAIMS)]


class Appended(Frame, tag=36, frozen=True):
    """The entry is durable at `offset`; `head` is the cumulative head just after it.

    `passed` is the ref of this connection's subscription to the space when that stood
    just before the entry: it stands after it now, and the entry is not sent back. Else 0.
    """

    ref: Ref
    handle: Id
    entry: Id
    offset: Offset
    head: Id
    passed: Ref


class Entry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One stored entry and its place in the space."""

    offset: Offset
    envelope: Envelope


class Entries(Frame, tag=37, frozen=True):
    """A page (`ref` of the Read) or a push (`ref` of the Subscribe).

    `head` is the cumulative head after the last entry here, or the last range that was
    `dropped`; `end` the last offset the relay holds. Entries and ranges follow each other without a gap.
    """

    ref: Ref
    handle: Id
    entries: list[Entry]
    head: Id
    end: Offset
    dropped: Annotated[list[Dropped], Meta(max_length=MAX_DROPPED)] = msgspec.field(default_factory=list)


class Early(Frame, tag=49, frozen=True):
    """An entry that the relay is just storing, and may yet fail to: to who follows its space and has all before it.

    It comes once more by `Entries`, with its offset, when it is durable: without its bytes, if it is all there is in
    that frame and nothing else of the subscription came in between.
    """

    handle: Id
    envelope: Annotated[bytes, Meta(min_length=1, max_length=MAX_EARLY)]


class InboxItem(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One waiting item and its number."""

    number: Offset
    item: Item


class InboxItems(Frame, tag=38, frozen=True):
    """Waiting items (`ref` of the Watch)."""

    ref: Ref
    inbox: Id
    items: list[InboxItem]


class Failed(Frame, tag=39, frozen=True):
    """What `ref` asked for was refused. `code` is for programs, `message` for people."""

    ref: Ref
    code: Text
    message: Text
    retry: bool = False


class Chunk(Frame, tag=40, frozen=True):
    """One piece of an attachment (`ref` of the GetChunk)."""

    ref: Ref
    data: Sealed


class ChunksHeld(Frame, tag=41, frozen=True):
    """For each chunk asked about, in order, whether it is there (`ref` of the HasChunks); `drop`: the last drop."""

    ref: Ref
    held: Annotated[list[bool], Meta(max_length=MAX_CHUNK_IDS)]
    drop: Id


class Packet(Frame, tag=42, frozen=True):
    """One packet of epoch keys (`ref` of the GetPacket)."""

    ref: Ref
    box: Box


class Ended(Frame, tag=43, frozen=True):
    """All roles that were open at a space, and a subscription to it, ended: `code` tells why."""

    handle: Id
    code: Text


ClientFrame = (
    Hello | CreateSpace | Open | Append | Subscribe | Credit | Read | CreateInbox | Put | Watch | Ack
    | PutChunk | GetChunk | HasChunks | Rotate | GetPacket | DeleteSpace | Keep | Resume | Drop | Meet
    | Broadcast | GetUsage
)
RelayFrame = (
    Welcome | Done | Opened | Appended | Entries | InboxItems | Failed | Chunk | ChunksHeld | Packet | Ended
    | Kept | Resumed | Met | Ephemeral | Usage | Early
)

_encoder = msgspec.msgpack.Encoder()
_client_decoder = msgspec.msgpack.Decoder(ClientFrame)
_relay_decoder = msgspec.msgpack.Decoder(RelayFrame)
_number_decoder = msgspec.msgpack.Decoder(int)


def encode(frame: ClientFrame | RelayFrame) -> bytes:
    """The bytes of one frame."""
    return _encoder.encode(frame)


def decode_client(data: bytes) -> ClientFrame:
    """Decode what a client sent. Raises `FrameError`; never partially succeeds."""
    if len(data) > MAX_FRAME:
        raise FrameError(f"a frame has at most {MAX_FRAME} bytes, this one {len(data)}")
    try:
        frame: ClientFrame = _client_decoder.decode(data)
        return frame
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(_why(data, error, "client", ClientFrame)) from None


def decode_relay(data: bytes) -> RelayFrame:
    """Decode what a relay sent. Raises `FrameError`; never partially succeeds."""
    if len(data) > MAX_FRAME:
        raise FrameError(f"a frame has at most {MAX_FRAME} bytes, this one {len(data)}")
    try:
        frame: RelayFrame = _relay_decoder.decode(data)
        return frame
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(_why(data, error, "relay", RelayFrame)) from None


def _why(data: bytes, error: Exception, sender: str, known: UnionType) -> str:
    """What to say of bytes that are no frame, to whoever may speak a later version of the protocol."""
    if not data:  # what stands for a message of text, too
        return "a frame is a binary message, and this one is text, or empty"
    number = _number(data)
    if number is None or number in {kind.__struct_config__.tag for kind in get_args(known)}:
        return f"no frame a {sender} may send: {error}"
    reader = "relay" if sender == "client" else "device"
    return f"this {reader} knows no frame {number}: protocol version {PROTOCOL_VERSION} has none from a {sender}"


def _number(data: bytes) -> int | None:
    """The number that an array begins with, whatever follows it; None if there is none."""
    at = 1 if 0x91 <= data[0] <= 0x9F else {0xDC: 3, 0xDD: 5}.get(data[0], len(data))
    size = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}.get(data[at], 1) if at < len(data) else 0
    try:
        return _number_decoder.decode(data[at:at + size])
    except msgspec.DecodeError:
        return None
