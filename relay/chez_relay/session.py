"""One connection to a relay as a state machine: frames in, effects out.

Theory of operation. The session does no I/O and knows no clock and no randomness: it is
a function of its constructor's arguments and the calls made on it, so a simulation
replays it exactly. A shell feeds it websocket messages (`receive`), storage results
(`completed`) and notices of growth (`grew`, `inbox_grew`), and carries out the effects
each call returns, in order.

    GREETING   waiting for Hello: versions, the client's nonce, the relay's dialled name
    READY      every other frame is allowed
    OPENING    an Open waits for its credentials from storage; frames wait behind it, so
               that a client may send Open and what needs it in one go
    CLOSED     nothing is read any more

The table below holds all transitions. A frame that it does not allow is answered with
`Failed` and changes nothing; bytes that are no frame end the connection.
"""

import enum
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from chez_relay import verify
from chez_relay.chunks import ChunkFrame, plan
from chez_relay.cursors import InboxCursor, SpaceCursor
from chez_relay.effects import Ask, Close, Effect, Follow
from chez_relay.errors import Code
from chez_relay.replies import done, entries, fail, refused, send
from chez_relay.storage import (
    AddEntry,
    AddInbox,
    AddItem,
    AddSpace,
    DropItems,
    Found,
    InboxInfo,
    ItemPage,
    Lookup,
    Page,
    ReadPage,
    Refused,
    Request,
    Result,
    SpaceInfo,
    SpaceKeys,
    Stored,
)
from chez_wire.envelope import GENESIS_HEAD, Header, entry_id
from chez_wire.errors import EnvelopeError, FrameError
from chez_wire.frames import (
    PROTOCOL_VERSION,
    Ack,
    Append,
    Appended,
    Claim,
    ClientFrame,
    CreateInbox,
    CreateSpace,
    Credit,
    GetChunk,
    HasChunks,
    Hello,
    InboxItems,
    Open,
    Opened,
    OpenedSpace,
    Put,
    PutChunk,
    Read,
    Subscribe,
    Watch,
    Welcome,
    decode_client,
)
from chez_wire.limits import MAX_FRAME, MAX_PAGE, MAX_SPACES_PER_CONNECTION
from chez_wire.login import Role, handle_of, inbox_of

__all__ = ("MAX_WAITING_BYTES", "MAX_WAITING_FRAMES", "TRANSITIONS", "RelaySession", "State")

PROTOCOL_ERROR: Final = 1002
POLICY_VIOLATION: Final = 1008

MAX_WAITING_BYTES: Final = 4 * MAX_FRAME
"""Bytes of frames that may wait behind an Open: a burst, not a way to fill memory. (A shell
that stops reading while `busy` never comes near it.)"""

MAX_WAITING_FRAMES: Final = 4096
"""Frames that may wait behind an Open: small frames cost more memory than their bytes."""


class State(enum.Enum):
    """Where a connection is."""

    GREETING = enum.auto()
    READY = enum.auto()
    OPENING = enum.auto()
    CLOSED = enum.auto()


_REQUESTS = (CreateSpace, Append, Subscribe, Credit, Read, CreateInbox, Put, Watch, Ack, PutChunk, GetChunk, HasChunks)

TRANSITIONS: Final[Mapping[State, Mapping[type[Any], State]]] = MappingProxyType({
    # state: {what happens: the state after it}; `Found` is the storage's answer to an Open
    State.GREETING: {Hello: State.READY},
    State.READY: {Open: State.OPENING, **dict.fromkeys(_REQUESTS, State.READY)},
    State.OPENING: {Found: State.READY, Refused: State.READY},
    State.CLOSED: {},
})


class RelaySession:
    """The relay's side of one connection.

    `names` are the host:port names this relay answers to; `nonce` is 32 fresh random
    bytes; `incarnation` the storage's; `tokens` what an operator accepts for creating
    spaces (empty: everybody may).
    """

    def __init__(
        self, *, names: Collection[str], nonce: bytes, incarnation: bytes, tokens: Collection[str] = ()
    ) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._nonce = nonce
        self._incarnation = incarnation
        self._tokens = tuple(tokens)
        self._state = State.GREETING
        self._relay = ""
        self._client_nonce = b""
        self._roles: dict[bytes, frozenset[Role]] = {}
        self._spaces: dict[bytes, SpaceCursor] = {}
        self._inboxes: dict[bytes, InboxCursor] = {}
        self._tickets = 0
        self._asked: dict[int, Callable[[Result], list[Effect]]] = {}
        self._waiting: deque[ClientFrame] = deque()
        self._waiting_bytes = 0

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._state

    @property
    def busy(self) -> bool:
        """Whether frames would wait behind an Open: a shell stops reading meanwhile."""
        return self._state is State.OPENING

    # --- what the shell feeds in ----------------------------------------------------

    def receive(self, data: bytes) -> list[Effect]:
        """One websocket message from the client. Never raises, whatever the bytes."""
        if self._state is State.CLOSED:
            return []
        try:
            frame = decode_client(data)
        except FrameError as error:
            return self._end(0, Code.MALFORMED, str(error), PROTOCOL_ERROR)
        if self._state is State.OPENING:
            return self._wait(frame, len(data))
        return self._handle(frame)

    def completed(self, ask: Ask, result: Result) -> list[Effect]:
        """The storage's result of an `Ask` of this session (each one once, in order of asking)."""
        then = self._asked.pop(ask.ticket, None)
        if then is None or self._state is State.CLOSED:
            return []
        effects = then(result)
        while self._waiting and self._state is State.READY:
            effects += self._handle(self._waiting.popleft())
        if not self._waiting:
            self._waiting_bytes = 0
        return effects

    def grew(self, handle: bytes, page: Page) -> list[Effect]:
        """Entries were appended to a space, by this or any connection.

        `page` holds them (or none, which makes a subscriber read them from storage) and
        the space's new end and head.
        """
        cursor = self._spaces.get(handle)
        if cursor is None or self._state is State.CLOSED or page.end <= cursor.offset:
            return []
        if cursor.takes(page := cursor.rest(page)):
            return self._push(cursor, page)
        cursor.end = max(cursor.end, page.end)
        return self._pump(cursor)

    def inbox_grew(self, inbox: bytes) -> list[Effect]:
        """An item was put into an inbox, by this or any connection."""
        cursor = self._inboxes.get(inbox)
        if cursor is None or self._state is State.CLOSED:
            return []
        cursor.more = True
        return self._pump_inbox(cursor)

    # --- frames ---------------------------------------------------------------------

    def _wait(self, frame: ClientFrame, size: int) -> list[Effect]:
        self._waiting_bytes += size
        if self._waiting_bytes > MAX_WAITING_BYTES or len(self._waiting) >= MAX_WAITING_FRAMES:
            return self._end(0, Code.FLOOD, "too much was sent behind an Open", POLICY_VIOLATION)
        self._waiting.append(frame)
        return []

    def _handle(self, frame: ClientFrame) -> list[Effect]:
        after = TRANSITIONS[self._state].get(type(frame))
        if after is None:
            first = self._state is State.GREETING
            text = "the first frame must be Hello" if first else "Hello was said already"
            return fail(getattr(frame, "ref", 0), Code.OUT_OF_ORDER, text)
        match frame:
            case Append():
                return self._append(frame)
            case Credit():
                return self._credit(frame)
            case Read():
                return self._read(frame)
            case Subscribe():
                return self._subscribe(frame)
            case Put():
                return self._put(frame)
            case PutChunk() | GetChunk() | HasChunks():
                return self._chunk(frame)
            case Watch():
                return self._watch(frame)
            case Ack():
                return self._ack(frame)
            case CreateSpace():
                return self._create_space(frame)
            case CreateInbox():
                return self._create_inbox(frame)
            case Open():
                self._state = after
                lookup = Lookup(tuple(claim.handle for claim in frame.claims))
                return [self._ask(lookup, lambda r: self._opened(frame, r))]
            case Hello():
                return self._hello(frame, after)

    def _hello(self, frame: Hello, after: State) -> list[Effect]:
        if PROTOCOL_VERSION not in frame.versions:
            text = f"this relay speaks version {PROTOCOL_VERSION}"
            return self._end(0, Code.VERSION, text, POLICY_VIOLATION)
        if frame.relay.lower() not in self._names:
            text = ("this relay does not go by the name that was dialled; "
                    "its operator adds names with `chez-relay serve --name HOST:PORT`")
            return self._end(0, Code.WRONG_RELAY, text, POLICY_VIOLATION)
        self._state = after
        self._relay, self._client_nonce = frame.relay, frame.nonce
        return [send(Welcome(PROTOCOL_VERSION, self._nonce, self._incarnation))]

    def _create_space(self, frame: CreateSpace) -> list[Effect]:
        if self._tokens and not verify.token_ok(frame.token, self._tokens):
            return fail(frame.ref, Code.TOKEN, "this relay's operator gives out tokens for creating spaces")
        keys = (frame.admin_key, frame.recovery_key, frame.read_key, frame.append_key, frame.control_key)
        if not self._creation_ok(frame.signature, "space", keys):
            return fail(frame.ref, Code.DENIED, "the admin key did not sign this creation")
        request = AddSpace(handle_of(frame.admin_key), SpaceKeys(*keys))
        return [self._ask(request, lambda r: done(frame.ref, r))]

    def _create_inbox(self, frame: CreateInbox) -> list[Effect]:
        keys = (frame.owner_key, frame.write_key, frame.ttl.to_bytes(8, "big"))
        if not self._creation_ok(frame.signature, "inbox", keys):
            return fail(frame.ref, Code.DENIED, "the owner's key did not sign this creation")
        request = AddInbox(inbox_of(frame.owner_key), frame.owner_key, frame.write_key, frame.ttl)
        return [self._ask(request, lambda r: done(frame.ref, r))]

    def _creation_ok(self, signature: bytes, kind: str, keys: tuple[bytes, ...]) -> bool:
        return verify.creation_ok(signature, relay=self._relay, client_nonce=self._client_nonce,
                                  relay_nonce=self._nonce, kind=kind, keys=keys)

    def _append(self, frame: Append) -> list[Effect]:
        if frame.role not in (Role.APPEND, Role.CONTROL) or not self._may(frame.handle, frame.role):
            return fail(frame.ref, Code.ROLE, "appending needs the role append or control, opened first")
        try:
            header = Header.decode(frame.envelope)
        except EnvelopeError as error:
            return fail(frame.ref, Code.BAD_ENTRY, str(error))
        if header.handle != frame.handle:
            return fail(frame.ref, Code.BAD_ENTRY, "the entry is sealed for another space")
        entry = entry_id(frame.envelope)
        request = AddEntry(frame.handle, entry, frame.envelope, frame.role is Role.CONTROL)

        def then(result: Result) -> list[Effect]:
            if isinstance(result, Stored):
                cursor = self._spaces.get(frame.handle)
                passed = cursor.ref if cursor is not None and result.fresh and cursor.passes(result.offset) else 0
                return [send(Appended(frame.ref, frame.handle, entry, result.offset, result.head, passed))]
            return refused(frame.ref, result)

        return [self._ask(request, then)]

    def _read(self, frame: Read) -> list[Effect]:
        if not self._may(frame.handle, Role.READ):
            return fail(frame.ref, Code.ROLE, "reading needs the role read, opened first")

        def then(result: Result) -> list[Effect]:
            if isinstance(result, Page):
                return [entries(frame.ref, frame.handle, result)]
            return refused(frame.ref, result)

        return [self._ask(ReadPage(frame.handle, frame.after, min(frame.limit, MAX_PAGE)), then)]

    def _put(self, frame: Put) -> list[Effect]:
        if not self._may(frame.inbox, Role.PUT):
            return fail(frame.ref, Code.ROLE, "putting needs the role put, opened first")
        return [self._ask(AddItem(frame.inbox, frame.item), lambda r: done(frame.ref, r))]

    def _chunk(self, frame: ChunkFrame) -> list[Effect]:
        plans = plan(frame)
        if not self._may(frame.handle, plans.role):
            return fail(frame.ref, Code.ROLE, f"this needs the role {plans.role}, opened first")
        return [self._ask(plans.request, plans.then)]

    def _ack(self, frame: Ack) -> list[Effect]:
        if not self._may(frame.inbox, Role.TAKE):
            return fail(frame.ref, Code.ROLE, "acknowledging needs the role take, opened first")
        return [self._ask(DropItems(frame.inbox, frame.upto), lambda r: done(frame.ref, r))]

    # --- logins ---------------------------------------------------------------------

    def _opened(self, frame: Open, result: Result) -> list[Effect]:
        self._state = TRANSITIONS[self._state][type(result)]
        if not isinstance(result, Found):
            return refused(frame.ref, result)
        pairs = zip(frame.claims, result.known, strict=True)
        return [send(Opened(frame.ref, [self._claim(claim, known) for claim, known in pairs]))]

    def _claim(self, claim: Claim, known: SpaceInfo | InboxInfo | None) -> OpenedSpace:
        def outcome(error: str, offset: int = 0, head: bytes = GENESIS_HEAD) -> OpenedSpace:
            return OpenedSpace(claim.handle, claim.role, error, offset, head)

        if known is None:
            return outcome(Code.UNKNOWN)
        key = _credential(known, claim.role)
        if key is None or not verify.login_ok(
            key, claim.signature, relay=self._relay, client_nonce=self._client_nonce, relay_nonce=self._nonce,
            handle=claim.handle, role=claim.role,
        ):
            return outcome(Code.DENIED)
        if claim.handle not in self._roles and len(self._roles) >= MAX_SPACES_PER_CONNECTION:
            return outcome(Code.TOO_MANY)
        self._roles[claim.handle] = self._roles.get(claim.handle, frozenset()) | {claim.role}
        # A writer that may not read learns nothing of the log, not even how long it is.
        if isinstance(known, SpaceInfo) and claim.role is Role.READ:
            return outcome("", known.offset, known.head)
        return outcome("")

    def _may(self, handle: bytes, role: Role) -> bool:
        return role in self._roles.get(handle, ())

    # --- subscriptions and watches --------------------------------------------------

    def _subscribe(self, frame: Subscribe) -> list[Effect]:
        if not self._may(frame.handle, Role.READ):
            return fail(frame.ref, Code.ROLE, "subscribing needs the role read, opened first")
        # A second Subscribe replaces the first: its page under way is dropped on arrival.
        cursor = SpaceCursor(frame.ref, frame.handle, frame.after, frame.credit, end=frame.after)
        self._spaces[frame.handle] = cursor
        return [Follow(frame.handle), *self._pump(cursor, first=True)]

    def _credit(self, frame: Credit) -> list[Effect]:
        cursor = self._spaces.get(frame.handle)
        if cursor is None:
            return fail(0, Code.NOT_SUBSCRIBED, "credit for a space without a subscription")
        cursor.allow(frame.credit)
        return self._pump(cursor)

    def _pump(self, cursor: SpaceCursor, *, first: bool = False) -> list[Effect]:
        request = cursor.next_page(first=first)
        return [] if request is None else [self._ask(request, lambda r: self._paged(cursor, r), push=True)]

    def _paged(self, cursor: SpaceCursor, result: Result) -> list[Effect]:
        if self._spaces.get(cursor.handle) is not cursor:
            return []
        cursor.reading = False
        if not isinstance(result, Page):
            del self._spaces[cursor.handle]
            return refused(cursor.ref, result)
        return self._push(cursor, result)

    def _push(self, cursor: SpaceCursor, page: Page) -> list[Effect]:
        cursor.sent(page)
        return [entries(cursor.ref, cursor.handle, page), *self._pump(cursor)]

    def _watch(self, frame: Watch) -> list[Effect]:
        if not self._may(frame.inbox, Role.TAKE):
            return fail(frame.ref, Code.ROLE, "watching needs the role take, opened first")
        cursor = InboxCursor(frame.ref, frame.inbox, frame.after)
        self._inboxes[frame.inbox] = cursor
        return [Follow(frame.inbox), *self._pump_inbox(cursor)]

    def _pump_inbox(self, cursor: InboxCursor) -> list[Effect]:
        request = cursor.next_page()
        return [] if request is None else [self._ask(request, lambda r: self._items(cursor, r), push=True)]

    def _items(self, cursor: InboxCursor, result: Result) -> list[Effect]:
        if self._inboxes.get(cursor.inbox) is not cursor:
            return []
        cursor.reading = False
        if not isinstance(result, ItemPage):
            del self._inboxes[cursor.inbox]
            return refused(cursor.ref, result)
        # The first answer goes out even when empty: it says that the watch stands.
        answer = bool(result.items) or not cursor.answered
        cursor.sent(result)
        items = send(InboxItems(cursor.ref, cursor.inbox, list(result.items)))
        return [*([items] if answer else []), *self._pump_inbox(cursor)]

    # --- helpers --------------------------------------------------------------------

    def _ask(self, request: Request, then: Callable[[Result], list[Effect]], *, push: bool = False) -> Ask:
        self._tickets += 1
        self._asked[self._tickets] = then
        return Ask(self._tickets, request, push)

    def _end(self, ref: int, code: Code, message: str, close: int) -> list[Effect]:
        self._state = State.CLOSED
        self._asked.clear()
        self._waiting.clear()
        return [*fail(ref, code, message), Close(close, code)]


def _credential(known: SpaceInfo | InboxInfo, role: Role) -> bytes | None:
    """The public key that proves a role, or None where the role makes no sense."""
    if isinstance(known, SpaceInfo):
        keys = known.keys
        return {Role.READ: keys.read, Role.APPEND: keys.append, Role.CONTROL: keys.control}.get(role)
    return {Role.TAKE: known.owner_key, Role.PUT: known.write_key}.get(role)
