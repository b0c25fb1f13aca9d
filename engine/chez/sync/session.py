"""A device's side of one relay connection as a state machine: requests in, frames out, events back.

Theory of operation. The session does no I/O and knows no clock and no randomness. The
caller asks for things (each request returns its `ref` at once), sends what
`data_to_send` returns, and feeds what arrives to `receive`, which answers with events.
Frames are ordered: a request may build on an earlier one that has no answer yet.

    GREETING   Hello was sent; requests wait, because they sign the relay's nonce
    MEETING    instead, where a space in common is proven first: Meet was sent, requests still wait
    READY      requests go out as they are made
    REFUSED    the relay refused the connection (`Refused` with ref 0): nothing more happens
    BROKEN     the relay sent something impossible (`RelayMisbehaved` was raised)

A relay is not trusted: an answer must match its request, entries must follow each other,
refold to the head that is claimed for them, and stay within the credit given (`answers`).
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from chez.crypto import SigningKey
from chez.errors import InvalidValue, RelayMisbehaved
from chez.sync.answers import Answers, Asked
from chez.sync.events import Event, Welcomed
from chez.sync.following import Following, misbehaved
from chez.sync.meeting import Approach
from chez.sync.requests import Rotation, check_credit, ordered_packets
from chez.sync.resuming import Reading
from chez_wire import frames
from chez_wire.dropping import drop_hash
from chez_wire.envelope import GENESIS_HEAD, entry_id
from chez_wire.errors import FrameError
from chez_wire.kept import kept_digest
from chez_wire.limits import (
    MAX_CHUNK,
    MAX_CHUNK_IDS,
    MAX_CLAIMS,
    MAX_CREDIT,
    MAX_ENVELOPE,
    MAX_EPHEMERAL,
    MAX_INBOX_ITEM,
    MAX_INBOX_TTL,
    MAX_PAGE,
    MAX_SPACES_PER_CONNECTION,
)
from chez_wire.login import (
    Role,
    create_message,
    delete_message,
    drop_message,
    inbox_of,
    login_message,
    resume_message,
    rotate_message,
)
from chez_wire.packets import packets_hash

__all__ = ("TRANSITIONS", "Claim", "ClientSession", "Dropping", "State")

Claim = tuple[bytes, Role, SigningKey]
"""One role to open: the handle of a space or inbox, the role, the credential's key."""


class State(enum.Enum):
    """Where a connection is."""

    GREETING = enum.auto()
    MEETING = enum.auto()
    READY = enum.auto()
    REFUSED = enum.auto()
    BROKEN = enum.auto()


_ANSWERS = (frames.Done, frames.Opened, frames.Appended, frames.Entries, frames.InboxItems, frames.Chunk,
            frames.ChunksHeld, frames.Packet, frames.Ended, frames.Kept, frames.Resumed, frames.Ephemeral,
            frames.Usage, frames.Early)

TRANSITIONS: Final[Mapping[State, Mapping[type[Any], State]]] = MappingProxyType({
    # A `Failed` with ref 0 is about the connection; one with a ref changes no state.
    State.GREETING: {frames.Welcome: State.READY, frames.Failed: State.REFUSED},  # or MEETING
    State.MEETING: {frames.Met: State.READY, frames.Failed: State.REFUSED},
    State.READY: {frames.Failed: State.READY, **dict.fromkeys(_ANSWERS, State.READY)},
    State.REFUSED: {},
    State.BROKEN: {},
})


class Dropping(msgspec.Struct, frozen=True):
    """What a relay is to drop: ranges of entries in a store, chunks that no longer serve, and who vouches for it.

    `follows` is the `drop_hash` of the drop that must have been its last one; `checkpoint` what stands for the entries,
    zeros where there are none. `vouch` is the signature of the control key `voucher` (`chez_wire.login.vouch_message`).
    """

    incarnation: bytes
    follows: bytes
    checkpoint: bytes
    ranges: tuple[frames.Dropped, ...]
    chunks: tuple[bytes, ...]
    voucher: bytes
    vouch: bytes


class ClientSession:
    """One connection to a relay.

    `relay` is its name as dialled ("host:port"); `nonce` is 32 fresh random bytes. With an
    `approach` a space in common is proven before anything is asked for.
    """

    def __init__(self, relay: str, nonce: bytes, approach: Approach | None = None) -> None:
        self._relay = relay
        self._approach = approach
        self._nonce = nonce
        self._relay_nonce = b""
        self._state = State.GREETING
        self._answers = Answers()
        self._early: list[Callable[[], frames.ClientFrame]] = []
        hello = frames.Hello([frames.PROTOCOL_VERSION], nonce, relay)
        self._outgoing: list[bytes] = [frames.encode(hello)]

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._state

    @property
    def unanswered(self) -> int:
        """Requests without an answer yet."""
        return self._answers.unanswered

    def follows(self, ref: int) -> bool:
        """Whether `ref` is that of a subscription or a watch that stands."""
        return self._answers.follows(ref)

    @property
    def sends(self) -> bool:
        """Whether there are frames to send."""
        return bool(self._outgoing)

    def data_to_send(self) -> list[bytes]:
        """The frames to send now, in order; each is returned once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # --- requests: each returns its ref -----------------------------------------------

    def open(self, claims: Sequence[Claim]) -> int:
        """Prove roles at up to 256 spaces and inboxes -> `SpacesOpened`."""
        if not 1 <= len(claims) <= MAX_CLAIMS:
            raise InvalidValue(f"one request opens 1 to {MAX_CLAIMS} roles, not {len(claims)}")
        ref = self._answers.expect(Asked(frames.Opened, claims=tuple((handle, role) for handle, role, _ in claims)))

        def build() -> frames.Open:
            proofs = [frames.Claim(h, role, self._login(h, role, key)) for h, role, key in claims]
            return frames.Open(ref, proofs)

        return self._request(ref, build)

    def create_space(
        self, admin: SigningKey, recovery_key: bytes, read_key: bytes, append_key: bytes, control_key: bytes,
        token: str = "", packets: Sequence[frames.SealedPacket] = (),
    ) -> int:
        """Create a space with the public keys of its credentials -> `Completed` (also if it was there alike)."""
        ordered = ordered_packets(packets)
        ref = self._answers.expect(Asked(frames.Done))
        keys = (admin.public, recovery_key, read_key, append_key, control_key)

        def build() -> frames.CreateSpace:
            signature = self._creation("space", admin, (*keys, packets_hash(ordered)))
            return frames.CreateSpace(ref, *keys, ordered, signature, token)

        return self._request(ref, build)

    def rotate(self, handle: bytes, signer: SigningKey, rotation: Rotation) -> int:
        """Replace a space's admin key, credentials and packets, all at once -> `Completed`.

        `signer` is its admin key or relay recovery key. `Refused` with code "stale" when
        another rotation came first. Safe to repeat, also elsewhere.
        """
        new = (rotation.admin_key, rotation.read_key, rotation.append_key, rotation.control_key)
        if rotation.read_key == rotation.previous_read:
            raise InvalidValue("a rotation replaces the read key", "derive it from a new epoch's secret")
        ordered = ordered_packets(rotation.packets)
        ref = self._answers.expect(Asked(frames.Done, handle))

        def build() -> frames.Rotate:
            fields = (rotation.previous_read, *new, packets_hash(ordered))
            signature = signer.sign_bytes(rotate_message(*self._greeting, ref, handle, *fields))
            return frames.Rotate(ref, handle, signer.public, rotation.previous_read, *new, ordered, signature)

        return self._request(ref, build)

    def get_packet(self, handle: bytes, tag: bytes) -> int:
        """Get the packet under a tag of a space; no role is needed -> `PacketArrived`."""
        ref = self._answers.expect(Asked(frames.Packet, handle))
        return self._request(ref, lambda: frames.GetPacket(ref, handle, tag))

    def delete_space(self, handle: bytes, signer: SigningKey) -> int:
        """Delete a space, signed by its admin key or relay recovery key -> `Completed` (also if it was not there)."""
        ref = self._answers.expect(Asked(frames.Done, handle))

        def build() -> frames.DeleteSpace:
            signature = signer.sign_bytes(delete_message(*self._greeting, ref, handle))
            return frames.DeleteSpace(ref, handle, signer.public, signature)

        return self._request(ref, build)

    @property
    def followed(self) -> list[bytes]:
        """The handles of the spaces that are followed, in their order."""
        return self._answers.followed

    def keep(self, key: bytes) -> int:
        """Let the relay keep what is `followed` now for the holder of a fresh key, by its public half -> `SessionKept`.
        """
        followed = self.followed
        ref = self._answers.expect(Asked(frames.Kept, entry=kept_digest(followed), count=len(followed)))
        return self._request(ref, lambda: frames.Keep(ref, key))

    def resume(self, key: SigningKey, kept: Sequence[bytes], readings: Mapping[bytes, Reading], credit: int) -> int:
        """Open and follow again spaces that are kept for a key, from where each was read to -> `SpacesResumed`.

        The first request of a connection that opens something. `kept` are the handles of all that are kept, `readings`
        tell of those that are wanted; `credit` bytes may be under way of each.
        """
        check_credit(credit)
        if not 1 <= len(kept) <= MAX_SPACES_PER_CONNECTION:
            raise InvalidValue(f"one connection takes up 1 to {MAX_SPACES_PER_CONNECTION} spaces, not {len(kept)}")
        if not self._answers.fresh:
            raise InvalidValue("roles were asked for on this connection before", "resume first")
        ordered = tuple(sorted(kept))
        ref, first = self._answers.expect_resumed(ordered, readings, credit)

        def build() -> frames.Resume:
            signature = key.sign_bytes(resume_message(*self._greeting, key.public))
            return frames.Resume(ref, key.public, signature, first, credit, [
                readings[handle].after if handle in readings else None for handle in ordered])

        return self._request(ref, build)

    def drop(self, handle: bytes, signer: SigningKey, dropping: Dropping) -> int:
        """Drop entries that a checkpoint stands for, signed by the space's admin key -> `Completed`.

        `Refused` with code "stale" when the store or the log is another one, or another drop came first. Safe to
        repeat, also elsewhere, until another one follows it.
        """
        ref = self._answers.expect(Asked(frames.Done, handle))

        def build() -> frames.Drop:
            digest = drop_hash(dropping.follows, dropping.checkpoint, dropping.ranges, dropping.chunks)
            signature = signer.sign_bytes(drop_message(*self._greeting, ref, handle, dropping.incarnation, digest))
            return frames.Drop(ref, handle, signer.public, dropping.voucher, dropping.incarnation,
                               dropping.follows, dropping.checkpoint, list(dropping.ranges), list(dropping.chunks),
                               dropping.vouch, signature)

        return self._request(ref, build)

    def append(self, handle: bytes, role: Role, envelope: bytes, id: bytes | None = None) -> int:
        """Append one sealed entry under an open role -> `AppendDone`. Safe to repeat, also elsewhere.

        `id` is the envelope's, for who knows it.
        """
        if len(envelope) > MAX_ENVELOPE:
            raise InvalidValue(f"a sealed entry has at most {MAX_ENVELOPE} bytes, not {len(envelope)}")
        ref = self._answers.expect(Asked(frames.Appended, handle, entry=id or entry_id(envelope)))
        return self._request(ref, lambda: frames.Append(ref, handle, role, envelope))

    def subscribe(self, handle: bytes, after: int, credit: int, *, head: bytes | None = None) -> int:
        """Follow a space from an offset -> `EntriesArrived` at once (perhaps empty), then as entries come.

        `credit` bytes may be under way; `credit()` adds more. `head` is the cumulative
        head at `after`, if the caller knows it: then the first entries are checked against
        it as well. A second subscription to the same space replaces the first.
        """
        check_credit(credit)
        ref = self._answers.expect(Asked(frames.Entries, handle, after=after))
        self._answers.follow(handle, Following(ref, after, credit, GENESIS_HEAD if after == 0 else head))
        return self._request(ref, lambda: frames.Subscribe(ref, handle, after, credit))

    def credit(self, handle: bytes, credit: int) -> None:
        """Allow more bytes on a subscription: what arrived before is durable here. Has no answer.

        No more than is left to 16 MiB as it is counted here. The relay, which has counted what is still on its way,
        would let more pile up than this side knows of, and be blamed for sending it.
        """
        check_credit(credit)
        following = self._answers.following(handle)
        if following is None:
            raise InvalidValue("there is no subscription to this space on this connection")
        if (allowed := min(credit, MAX_CREDIT - following.credit)) > 0:
            following.credit += allowed
            self._request(0, lambda: frames.Credit(handle, allowed))

    def read(self, handle: bytes, after: int, limit: int = MAX_PAGE) -> int:
        """Read one page of entries after an offset -> `EntriesArrived`."""
        check_credit(limit)
        ref = self._answers.expect(Asked(frames.Entries, handle, after=after))
        return self._request(ref, lambda: frames.Read(ref, handle, after, limit))

    def broadcast(self, handle: bytes, message: bytes, to: bytes = b"") -> None:
        """Have a sealed ephemeral message passed on to the other subscribers of a space, or to one. Has no answer."""
        if len(message) > MAX_EPHEMERAL:
            raise InvalidValue(f"an ephemeral message has at most {MAX_EPHEMERAL} bytes, not {len(message)}")
        self._request(0, lambda: frames.Broadcast(handle, message, to))

    def create_inbox(self, owner: SigningKey, write_public: bytes, ttl: int) -> int:
        """Create (or renew) an inbox for `ttl` seconds, named by `inbox_of(owner.public)` -> `Completed`."""
        if not 1 <= ttl <= MAX_INBOX_TTL:
            raise InvalidValue(f"an inbox lives 1 to {MAX_INBOX_TTL} seconds, not {ttl}")
        ref = self._answers.expect(Asked(frames.Done, inbox_of(owner.public)))
        keys = (owner.public, write_public, ttl.to_bytes(8, "big"))

        def build() -> frames.CreateInbox:
            signature = self._creation("inbox", owner, keys)
            return frames.CreateInbox(ref, owner.public, write_public, ttl, signature)

        return self._request(ref, build)

    def put(self, inbox: bytes, item: bytes) -> int:
        """Put one item into an inbox opened with role put -> `Completed`."""
        if not 1 <= len(item) <= MAX_INBOX_ITEM:
            raise InvalidValue(f"an inbox item has 1 to {MAX_INBOX_ITEM} bytes, not {len(item)}")
        ref = self._answers.expect(Asked(frames.Done, inbox))
        return self._request(ref, lambda: frames.Put(ref, inbox, item))

    def watch(self, inbox: bytes, after: int = 0) -> int:
        """Follow an inbox opened with role take -> `InboxArrived` at once (maybe empty) and as they come."""
        ref = self._answers.expect(Asked(frames.InboxItems, inbox, after=after))
        self._answers.follow(inbox, Following(ref, after, inbox=True))
        return self._request(ref, lambda: frames.Watch(ref, inbox, after))

    def ack(self, inbox: bytes, upto: int) -> int:
        """Delete an inbox's items numbered up to `upto` -> `Completed`."""
        ref = self._answers.expect(Asked(frames.Done, inbox))
        return self._request(ref, lambda: frames.Ack(ref, inbox, upto))

    def put_chunk(self, handle: bytes, data: bytes) -> int:
        """Store one piece of an attachment, with role append -> `Completed`. Safe to repeat."""
        if not 1 <= len(data) <= MAX_CHUNK:
            raise InvalidValue(f"a sealed chunk has 1 to {MAX_CHUNK} bytes, not {len(data)}")
        ref = self._answers.expect(Asked(frames.Done, handle))
        return self._request(ref, lambda: frames.PutChunk(ref, handle, data))

    def get_chunk(self, handle: bytes, chunk: bytes) -> int:
        """Get one piece of an attachment by its id, with role read -> `ChunkArrived`."""
        ref = self._answers.expect(Asked(frames.Chunk, handle, entry=chunk))
        return self._request(ref, lambda: frames.GetChunk(ref, handle, chunk))

    def has_chunks(self, handle: bytes, chunks: Sequence[bytes]) -> int:
        """Ask which of up to 1024 chunks are there, with role read -> `ChunksFound`."""
        if not 1 <= len(chunks) <= MAX_CHUNK_IDS:
            raise InvalidValue(f"one request asks about 1 to {MAX_CHUNK_IDS} chunks, not {len(chunks)}")
        ref = self._answers.expect(Asked(frames.ChunksHeld, handle, count=len(chunks)))
        return self._request(ref, lambda: frames.HasChunks(ref, handle, list(chunks)))

    def usage(self, handle: bytes) -> int:
        """Ask how much room a space takes, with role read -> `UsageTold`."""
        ref = self._answers.expect(Asked(frames.Usage, handle))
        return self._request(ref, lambda: frames.GetUsage(ref, handle))

    # --- what arrives -------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """One websocket message from the relay.

        Raises `RelayMisbehaved` when it is no frame, answers nothing that was asked, or
        contradicts what came before; the session is broken from then on.
        """
        if self._state is State.REFUSED:
            return []
        try:
            return self._receive(data)
        except RelayMisbehaved:
            self._state = State.BROKEN
            raise

    def _receive(self, data: bytes) -> list[Event]:
        if self._state is State.BROKEN:
            misbehaved("the relay goes on after it broke the protocol")
        try:
            frame = frames.decode_relay(data)
        except FrameError as error:
            misbehaved(f"the relay sent what is no frame: {error}")
        after = TRANSITIONS[self._state].get(type(frame))
        if after is None:
            misbehaved(f"the relay sent {type(frame).__name__} in state {self._state.name}")
        self._state = after
        match frame:
            case frames.Welcome():
                return self._welcome(frame)
            case frames.Met() if self._approach is not None:
                met = self._approach.met(self._greeting, frame)
                return self._begin(Welcomed(frame.incarnation, frames.PROTOCOL_VERSION, met))
            case _:
                return self._answers.event(frame)

    def _welcome(self, frame: frames.Welcome) -> list[Event]:
        if frame.version != frames.PROTOCOL_VERSION:
            misbehaved("the relay chose a version that was not offered")
        self._relay_nonce = frame.nonce
        if self._approach is None:
            return self._begin(Welcomed(frame.incarnation, frame.version))
        self._state = State.MEETING
        self._outgoing.append(frames.encode(self._approach.meet(self._greeting)))
        return []

    def _begin(self, event: Welcomed) -> list[Event]:
        early, self._early = self._early, []
        self._outgoing += [frames.encode(build()) for build in early]
        return [event]

    # --- helpers ------------------------------------------------------------------------

    def _request(self, ref: int, build: Callable[[], frames.ClientFrame]) -> int:
        if self._state in (State.GREETING, State.MEETING):
            self._early.append(build)
        elif self._state is State.READY:
            self._outgoing.append(frames.encode(build()))
        return ref

    @property
    def _greeting(self) -> tuple[str, bytes, bytes]:
        return self._relay, self._nonce, self._relay_nonce

    def _login(self, handle: bytes, role: Role, key: SigningKey) -> bytes:
        return key.sign_bytes(login_message(*self._greeting, handle, role))

    def _creation(self, kind: str, key: SigningKey, fields: tuple[bytes, ...]) -> bytes:
        return key.sign_bytes(create_message(*self._greeting, kind, *fields))
