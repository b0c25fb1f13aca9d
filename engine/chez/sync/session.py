"""A device's side of one relay connection as a state machine: requests in, frames out, events back.

Theory of operation. The session does no I/O and knows no clock and no randomness. The
caller asks for things (each request returns its `ref` at once), sends what
`data_to_send` returns, and feeds what arrives to `receive`, which answers with events.
Frames are ordered: a request may build on an earlier one that has no answer yet.

    GREETING   Hello was sent; requests wait, because they sign the relay's nonce
    READY      requests go out as they are made
    REFUSED    the relay refused the connection (`Refused` with ref 0): nothing more happens
    BROKEN     the relay sent something impossible (`RelayMisbehaved` was raised)

A relay is not trusted: an answer must match its request, entries must follow each other,
refold to the head that is claimed for them, and stay within the credit given.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from chez.crypto import SigningKey
from chez.errors import InvalidValue, RelayMisbehaved
from chez.sync.events import (
    AppendDone,
    ChunkArrived,
    ChunksFound,
    Completed,
    EntriesArrived,
    Event,
    InboxArrived,
    Refused,
    SpacesOpened,
    Welcomed,
)
from chez.sync.following import Following, check_run, misbehaved
from chez_wire import frames
from chez_wire.chunks import chunk_id
from chez_wire.envelope import GENESIS_HEAD, entry_id
from chez_wire.errors import FrameError
from chez_wire.limits import (
    MAX_CHUNK,
    MAX_CHUNK_IDS,
    MAX_CLAIMS,
    MAX_CREDIT,
    MAX_ENVELOPE,
    MAX_INBOX_ITEM,
    MAX_INBOX_TTL,
    MAX_PAGE,
)
from chez_wire.login import Role, create_message, inbox_of, login_message

__all__ = ("TRANSITIONS", "Claim", "ClientSession", "State")

Claim = tuple[bytes, Role, SigningKey]
"""One role to open: the handle of a space or inbox, the role, the credential's key."""

REFS: Final = 2**32


class State(enum.Enum):
    """Where a connection is."""

    GREETING = enum.auto()
    READY = enum.auto()
    REFUSED = enum.auto()
    BROKEN = enum.auto()


_ANSWERS = (frames.Done, frames.Opened, frames.Appended, frames.Entries, frames.InboxItems, frames.Chunk,
            frames.ChunksHeld)

TRANSITIONS: Final[Mapping[State, Mapping[type[Any], State]]] = MappingProxyType({
    # A `Failed` with ref 0 is about the connection; one with a ref changes no state.
    State.GREETING: {frames.Welcome: State.READY, frames.Failed: State.REFUSED},
    State.READY: {frames.Failed: State.READY, **dict.fromkeys(_ANSWERS, State.READY)},
    State.REFUSED: {},
    State.BROKEN: {},
})


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an answer must match: its type, the space or inbox, and what was sent.

    `entry` is an entry's or a chunk's id, `count` the number of chunks asked about.
    """

    answer: type[Any]
    name: bytes = b""
    entry: bytes = b""
    count: int = 0
    claims: tuple[tuple[bytes, Role], ...] = ()
    after: int = 0


class ClientSession:
    """One connection to a relay.

    `relay` is its name as dialled ("host:port"); `nonce` is 32 fresh random bytes.
    """

    def __init__(self, relay: str, nonce: bytes) -> None:
        self._relay = relay
        self._nonce = nonce
        self._relay_nonce = b""
        self._state = State.GREETING
        self._refs = 0
        self._asked: dict[int, _Asked] = {}
        self._following: dict[bytes, Following] = {}
        self._replaced: dict[int, bytes] = {}
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
        return len(self._asked)

    def follows(self, ref: int) -> bool:
        """Whether `ref` is that of a subscription or a watch that stands."""
        return any(following.ref == ref for following in self._following.values())

    def data_to_send(self) -> list[bytes]:
        """The frames to send now, in order; each is returned once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # --- requests: each returns its ref -----------------------------------------------

    def open(self, claims: Sequence[Claim]) -> int:
        """Prove roles at up to 256 spaces and inboxes -> `SpacesOpened`."""
        if not 1 <= len(claims) <= MAX_CLAIMS:
            raise InvalidValue(f"one request opens 1 to {MAX_CLAIMS} roles, not {len(claims)}")
        ref = self._expect(_Asked(frames.Opened, claims=tuple((handle, role) for handle, role, _ in claims)))

        def build() -> frames.Open:
            proofs = [frames.Claim(h, role, self._login(h, role, key)) for h, role, key in claims]
            return frames.Open(ref, proofs)

        return self._request(ref, build)

    def create_space(
        self, admin: SigningKey, recovery_key: bytes, read_key: bytes, append_key: bytes, control_key: bytes,
        token: str = "",
    ) -> int:
        """Create a space with the public keys of its credentials -> `Completed` (also if it was there)."""
        ref = self._expect(_Asked(frames.Done))
        keys = (admin.public, recovery_key, read_key, append_key, control_key)

        def build() -> frames.CreateSpace:
            return frames.CreateSpace(ref, *keys, self._creation("space", admin, keys), token)

        return self._request(ref, build)

    def append(self, handle: bytes, role: Role, envelope: bytes) -> int:
        """Append one sealed entry under an open role -> `AppendDone`. Safe to repeat, also elsewhere."""
        if len(envelope) > MAX_ENVELOPE:
            raise InvalidValue(f"a sealed entry has at most {MAX_ENVELOPE} bytes, not {len(envelope)}")
        ref = self._expect(_Asked(frames.Appended, handle, entry=entry_id(envelope)))
        return self._request(ref, lambda: frames.Append(ref, handle, role, envelope))

    def subscribe(self, handle: bytes, after: int, credit: int, *, head: bytes | None = None) -> int:
        """Follow a space from an offset -> `EntriesArrived` at once (perhaps empty), then as entries come.

        `credit` bytes may be under way; `credit()` adds more. `head` is the cumulative
        head at `after`, if the caller knows it: then the first entries are checked against
        it as well. A second subscription to the same space replaces the first.
        """
        _check_credit(credit)
        ref = self._expect(_Asked(frames.Entries, handle, after=after))
        self._follow_anew(handle, Following(ref, after, credit, GENESIS_HEAD if after == 0 else head))
        return self._request(ref, lambda: frames.Subscribe(ref, handle, after, credit))

    def credit(self, handle: bytes, credit: int) -> None:
        """Allow more bytes on a subscription: what arrived before is durable here. Has no answer."""
        _check_credit(credit)
        following = self._following.get(handle)
        if following is None:
            raise InvalidValue("there is no subscription to this space on this connection")
        following.credit = min(following.credit + credit, MAX_CREDIT)
        self._request(0, lambda: frames.Credit(handle, credit))

    def read(self, handle: bytes, after: int, limit: int = MAX_PAGE) -> int:
        """Read one page of entries after an offset -> `EntriesArrived`."""
        _check_credit(limit)
        ref = self._expect(_Asked(frames.Entries, handle, after=after))
        return self._request(ref, lambda: frames.Read(ref, handle, after, limit))

    def create_inbox(self, owner: SigningKey, write_public: bytes, ttl: int) -> int:
        """Create (or renew) an inbox for `ttl` seconds, named by `inbox_of(owner.public)` -> `Completed`."""
        if not 1 <= ttl <= MAX_INBOX_TTL:
            raise InvalidValue(f"an inbox lives 1 to {MAX_INBOX_TTL} seconds, not {ttl}")
        ref = self._expect(_Asked(frames.Done, inbox_of(owner.public)))
        keys = (owner.public, write_public, ttl.to_bytes(8, "big"))

        def build() -> frames.CreateInbox:
            signature = self._creation("inbox", owner, keys)
            return frames.CreateInbox(ref, owner.public, write_public, ttl, signature)

        return self._request(ref, build)

    def put(self, inbox: bytes, item: bytes) -> int:
        """Put one item into an inbox opened with role put -> `Completed`."""
        if not 1 <= len(item) <= MAX_INBOX_ITEM:
            raise InvalidValue(f"an inbox item has 1 to {MAX_INBOX_ITEM} bytes, not {len(item)}")
        ref = self._expect(_Asked(frames.Done, inbox))
        return self._request(ref, lambda: frames.Put(ref, inbox, item))

    def watch(self, inbox: bytes, after: int = 0) -> int:
        """Follow an inbox opened with role take -> `InboxArrived` at once (maybe empty) and as they come."""
        ref = self._expect(_Asked(frames.InboxItems, inbox, after=after))
        self._follow_anew(inbox, Following(ref, after))
        return self._request(ref, lambda: frames.Watch(ref, inbox, after))

    def ack(self, inbox: bytes, upto: int) -> int:
        """Delete an inbox's items numbered up to `upto` -> `Completed`."""
        ref = self._expect(_Asked(frames.Done, inbox))
        return self._request(ref, lambda: frames.Ack(ref, inbox, upto))

    def put_chunk(self, handle: bytes, data: bytes) -> int:
        """Store one piece of an attachment, with role append -> `Completed`. Safe to repeat."""
        if not 1 <= len(data) <= MAX_CHUNK:
            raise InvalidValue(f"a sealed chunk has 1 to {MAX_CHUNK} bytes, not {len(data)}")
        ref = self._expect(_Asked(frames.Done, handle))
        return self._request(ref, lambda: frames.PutChunk(ref, handle, data))

    def get_chunk(self, handle: bytes, chunk: bytes) -> int:
        """Get one piece of an attachment by its id, with role read -> `ChunkArrived`."""
        ref = self._expect(_Asked(frames.Chunk, handle, entry=chunk))
        return self._request(ref, lambda: frames.GetChunk(ref, handle, chunk))

    def has_chunks(self, handle: bytes, chunks: Sequence[bytes]) -> int:
        """Ask which of up to 1024 chunks are there, with role read -> `ChunksFound`."""
        if not 1 <= len(chunks) <= MAX_CHUNK_IDS:
            raise InvalidValue(f"one request asks about 1 to {MAX_CHUNK_IDS} chunks, not {len(chunks)}")
        ref = self._expect(_Asked(frames.ChunksHeld, handle, count=len(chunks)))
        return self._request(ref, lambda: frames.HasChunks(ref, handle, list(chunks)))

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
        if getattr(frame, "ref", 0) in self._replaced:
            return []
        return [self._event(frame)]

    def _event(self, frame: frames.RelayFrame) -> Event:
        match frame:
            case frames.Entries():
                return self._entries(frame)
            case frames.Appended():
                return self._appended(frame)
            case frames.Done(ref):
                self._answered(ref, frames.Done)
                return Completed(ref)
            case frames.Opened(ref, spaces):
                asked = self._answered(ref, frames.Opened)
                if asked.claims != tuple((space.handle, space.role) for space in spaces):
                    misbehaved("the relay answered other claims than were made")
                return SpacesOpened(ref, tuple(spaces))
            case frames.InboxItems():
                return self._items(frame)
            case frames.Chunk(ref, data):
                if chunk_id(data) != self._answered(ref, frames.Chunk).entry:
                    misbehaved("the relay sent other bytes than the chunk that was asked for")
                return ChunkArrived(ref, data)
            case frames.ChunksHeld(ref, held):
                if len(held) != self._answered(ref, frames.ChunksHeld).count:
                    misbehaved("the relay answered about other chunks than were asked about")
                return ChunksFound(ref, tuple(held))
            case frames.Failed():
                return self._failed(frame)
            case frames.Welcome():
                return self._welcome(frame)

    def _welcome(self, frame: frames.Welcome) -> Welcomed:
        if frame.version != frames.PROTOCOL_VERSION:
            misbehaved("the relay chose a version that was not offered")
        self._relay_nonce = frame.nonce
        early, self._early = self._early, []
        self._outgoing += [frames.encode(build()) for build in early]
        return Welcomed(frame.incarnation, frame.version)

    def _appended(self, frame: frames.Appended) -> AppendDone:
        asked = self._answered(frame.ref, frames.Appended)
        if (asked.name, asked.entry) != (frame.handle, frame.entry) or frame.offset == 0:
            misbehaved("the relay acknowledged an entry that was not sent")
        following = self._following.get(frame.handle)
        passed = frame.passed != 0 and frame.passed not in self._replaced
        if passed:
            if following is None:
                misbehaved("the relay passes over entries of no subscription")
            following.pass_over(frame)
        return AppendDone(frame.ref, frame.handle, frame.entry, frame.offset, frame.head, passed)

    def _failed(self, frame: frames.Failed) -> Refused:
        if frame.ref:
            asked = self._asked.pop(frame.ref, None)
            name = asked.name if asked is not None else self._follower(frame.ref)
            # A refused subscription ends; so does one that the relay gives up later.
            if (following := self._following.get(name)) is not None and following.ref == frame.ref:
                self._stands(name)
                del self._following[name]
        return Refused(frame.ref, frame.code, frame.message, frame.retry)

    def _follower(self, ref: int) -> bytes:
        for name, following in self._following.items():
            if following.ref == ref:
                return name
        misbehaved("the relay refused what nobody asked for")

    def _entries(self, frame: frames.Entries) -> EntriesArrived:
        event = EntriesArrived(frame.ref, frame.handle, tuple(frame.entries), frame.head, frame.end)
        asked = self._asked.pop(frame.ref, None)
        if asked is not None and (asked.answer is not frames.Entries or asked.name != frame.handle):
            misbehaved("the relay answered another question with entries")
        following = self._following.get(frame.handle)
        if following is not None and following.ref == frame.ref:
            self._stands(event.handle)
            following.take(event)
        elif asked is not None:
            known = GENESIS_HEAD if asked.after == 0 else None
            check_run(event, asked.after, known)
        else:
            misbehaved("the relay sent entries that nobody asked for")
        return event

    def _follow_anew(self, name: bytes, following: Following) -> None:
        # What the relay sent for the earlier one may still be under way; it is dropped
        # until the first answer to the new one, after which none can come.
        if (earlier := self._following.get(name)) is not None:
            self._asked.pop(earlier.ref, None)
            self._replaced[earlier.ref] = name
        self._following[name] = following

    def _stands(self, name: bytes) -> None:
        self._replaced = {ref: other for ref, other in self._replaced.items() if other != name}

    def _items(self, frame: frames.InboxItems) -> InboxArrived:
        following = self._following.get(frame.inbox)
        asked = self._asked.pop(frame.ref, None)
        if asked is not None and (asked.answer is not frames.InboxItems or asked.name != frame.inbox):
            misbehaved("the relay answered another question with items")
        if following is None or following.ref != frame.ref:
            if asked is None:
                misbehaved("the relay sent items that nobody asked for")
        else:
            self._stands(frame.inbox)
            following.take_items(frame.items)
        return InboxArrived(frame.ref, frame.inbox, tuple(frame.items))

    # --- helpers ------------------------------------------------------------------------

    def _expect(self, asked: _Asked) -> int:
        # Skips what is still in use, so that a ref that wrapped around is never ambiguous.
        while True:
            self._refs = self._refs % (REFS - 1) + 1
            following = (f.ref == self._refs for f in self._following.values())
            if self._refs not in self._asked and self._refs not in self._replaced and not any(following):
                break
        self._asked[self._refs] = asked
        return self._refs

    def _request(self, ref: int, build: Callable[[], frames.ClientFrame]) -> int:
        if self._state is State.GREETING:
            self._early.append(build)
        elif self._state is State.READY:
            self._outgoing.append(frames.encode(build()))
        return ref

    def _answered(self, ref: int, kind: type[Any]) -> _Asked:
        asked = self._asked.pop(ref, None)
        if asked is None or asked.answer is not kind:
            misbehaved(f"the relay sent {kind.__name__} for nothing that was asked")
        return asked

    def _login(self, handle: bytes, role: Role, key: SigningKey) -> bytes:
        return key.sign_bytes(login_message(self._relay, self._nonce, self._relay_nonce, handle, role))

    def _creation(self, kind: str, key: SigningKey, keys: tuple[bytes, ...]) -> bytes:
        return key.sign_bytes(create_message(self._relay, self._nonce, self._relay_nonce, kind, *keys))


def _check_credit(credit: int) -> None:
    if not 1 <= credit <= MAX_CREDIT:
        raise InvalidValue(f"a number of bytes from 1 to {MAX_CREDIT} is needed, not {credit}")
