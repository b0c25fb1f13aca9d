"""One connection to a relay as a state machine: frames in, effects out.

Theory of operation. The session does no I/O and knows no clock and no randomness: it is
a function of its constructor's arguments and the calls made on it, so a simulation
replays it exactly. A shell feeds it websocket messages (`receive`), storage results
(`completed`) and news of what others did (`grew`, `inbox_grew`, `rotated`), and carries out
the effects each call returns, in order.

    GREETING   waiting for Hello: versions, the client's nonce, the relay's dialled name
    READY      every other frame is allowed
    MEETING    instead, at a relay that wants proof of a space in common: waiting for Meet
    OPENING    an Open or a Resume waits for its credentials from storage; frames wait behind
               it, so that a client may send it and what needs it in one go
    CLOSED     nothing is read any more

The table (`chez_relay.transitions`) holds all transitions. A frame that it does not allow is answered with
`Failed` and changes nothing; bytes that are no frame end the connection.
"""

from collections.abc import Collection
from typing import Final

from chez_relay.allowances import ANYTHING, May
from chez_relay.bounds import MAX_WAITING_BYTES, MAX_WAITING_FRAMES
from chez_relay.effects import Ask, Close, Effect, Follow
from chez_relay.entitled import Entitled
from chez_relay.ephemeral import broadcast, called
from chez_relay.errors import Code
from chez_relay.kept import KeptHere, KeptSessions
from chez_relay.lan.meeting import Acquaintances, Meeting
from chez_relay.logins import outcome
from chez_relay.replies import done, fail, refused, send
from chez_relay.resuming import Resuming
from chez_relay.roles import OpenRoles
from chez_relay.signed import SIGNED_TOO_OFTEN, Signatures
from chez_relay.storage import (
    Credentials,
    Found,
    Lookup,
    Page,
    Refused,
    Result,
    SpaceInfo,
)
from chez_relay.subscriptions import Subscriptions
from chez_relay.tickets import Tickets
from chez_relay.transitions import TRANSITIONS, State
from chez_wire.errors import FrameError
from chez_wire.frames import (
    PROTOCOL_VERSION,
    Ack,
    Append,
    Broadcast,
    ClientFrame,
    CreateInbox,
    CreateSpace,
    Credit,
    DeleteSpace,
    Drop,
    Ended,
    GetChunk,
    GetPacket,
    GetUsage,
    HasChunks,
    Hello,
    Keep,
    Meet,
    Open,
    Opened,
    Put,
    PutChunk,
    Read,
    Resume,
    Rotate,
    Subscribe,
    Watch,
    Welcome,
    decode_client,
)
from chez_wire.limits import ID_BYTES

__all__ = ("TRANSITIONS", "RelaySession", "State")

PROTOCOL_ERROR: Final = 1002
POLICY_VIOLATION: Final = 1008


class RelaySession:
    """The relay's side of one connection.

    `names` are the host:port names this relay answers to, in lower case; `nonce` is 32 fresh random
    bytes; `incarnation` the storage's; `tokens` what an operator accepts, at any moment, for creating
    spaces (empty: everybody may); `may` is asked before what needs no role, or costs
    memory: packets, making spaces and inboxes, holding them open. `kept` is what this connection keeps for
    the next, and finds of the one before. With `known` a space in common is to be proven first.
    """

    __slots__ = ("_entitled", "_incarnation", "_kept", "_may", "_names", "_roles", "_signatures", "_state",
                 "_subscriptions", "_tickets", "_tokens", "_waiting", "_waiting_bytes", "meeting")

    def __init__(
        self, *, names: Collection[str], nonce: bytes, incarnation: bytes, tokens: Collection[str] = (),
        may: May = ANYTHING, kept: KeptHere | None = None, known: Acquaintances | None = None,
    ) -> None:
        self._names = names
        self._incarnation = incarnation
        self._tokens = tokens
        self._may = may
        self._state = State.GREETING
        self._signatures = Signatures("", b"", nonce)
        self._roles = OpenRoles(may.open_place)
        self._tickets = Tickets()
        self._subscriptions = Subscriptions(self._tickets)
        self.meeting = None if known is None else Meeting(known)
        """What was proven on this connection, where that is wanted."""
        self._entitled = Entitled(self._roles, self._tickets, self._subscriptions, may, self.meeting)
        self._kept = kept or KeptSessions(lambda: 0.0).at("")
        self._waiting: list[ClientFrame] = []
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
        then = self._tickets.take(ask)
        if then is None:
            return []
        effects = then(result)
        if self._waiting and self._state is State.READY:
            effects += self._go_on()
        return effects

    def grew(self, handle: bytes, page: Page) -> list[Effect]:
        """Entries were appended to a space, by this or any connection.

        `page` holds them (or none, which makes a subscriber read them from storage) and
        the space's new end and head.
        """
        return [] if self._state is State.CLOSED else self._subscriptions.grew(handle, page)

    def early(self, handle: bytes, envelope: bytes) -> list[Effect]:
        """An entry that another connection gave is being stored; it may come to nothing yet."""
        return [] if self._state is State.CLOSED else self._subscriptions.early(handle, envelope)

    def inbox_grew(self, inbox: bytes) -> list[Effect]:
        """An item was put into an inbox, by this or any connection."""
        return [] if self._state is State.CLOSED else self._subscriptions.inbox_grew(inbox)

    def hears(self, handle: bytes, to: bytes = b"") -> bool:
        """Whether ephemeral messages of a space are for this connection: it subscribed, and is who they are sent to."""
        meant = not to or to == called(self._signatures.relay_nonce, handle)
        return meant and self._state is not State.CLOSED and self._subscriptions.follows(handle)

    def rotated(self, handle: bytes, credentials: Credentials | None) -> list[Effect]:
        """A space has these credentials now, or was deleted (None), on the word of this or any connection.

        Roles that were opened under these credentials already stay; all earlier ones end.
        """
        if self._state is State.CLOSED or not self._roles.outdated(handle, credentials):
            return []
        code = Code.DELETED if credentials is None else Code.ROTATED
        self._roles.end(handle, code)
        return [*self._subscriptions.end(handle, code), send(Ended(handle, code))]

    # --- frames ---------------------------------------------------------------------

    def _wait(self, frame: ClientFrame, size: int) -> list[Effect]:
        self._waiting_bytes += size
        if self._waiting_bytes > MAX_WAITING_BYTES or len(self._waiting) >= MAX_WAITING_FRAMES:
            return self._end(0, Code.FLOOD, "too much was sent behind an Open", POLICY_VIOLATION)
        self._waiting.append(frame)
        return []

    def _go_on(self) -> list[Effect]:
        """Handle the frames that waited, up to the next Open."""
        waiting, handled = self._waiting, 0
        effects: list[Effect] = []
        while handled < len(waiting) and self._state is State.READY:
            effects += self._handle(waiting[handled])
            handled += 1
        self._waiting = waiting[handled:]
        if not self._waiting:
            self._waiting_bytes = 0
        return effects

    def _handle(self, frame: ClientFrame) -> list[Effect]:
        after = TRANSITIONS[self._state].get(type(frame))
        if after is None:
            first = self._state is State.GREETING
            text = "the first frame must be Hello" if first else "this was said already, or Meet comes first"
            return fail(getattr(frame, "ref", 0), Code.OUT_OF_ORDER, text)
        if self._state is State.READY and self.meeting is not None and (why := self.meeting.refusal(frame)) is not None:
            return refused(getattr(frame, "ref", 0), why)
        match frame:
            case Append():
                return self._entitled.append(frame)
            case Credit():
                return self._subscriptions.credit(frame)
            case Read():
                return self._entitled.read(frame)
            case Subscribe():
                return self._entitled.subscribe(frame)
            case Put():
                return self._entitled.put(frame)
            case PutChunk() | GetChunk() | HasChunks():
                return self._entitled.chunk(frame)
            case Watch():
                return self._entitled.watch(frame)
            case Ack():
                return self._entitled.ack(frame)
            case GetPacket():
                return self._entitled.packet(frame)
            case GetUsage():
                return self._entitled.usage(frame)
            case CreateSpace() | CreateInbox() | Rotate() | DeleteSpace() | Drop():
                return self._signed(frame)
            case Open():
                if not self._may.prove(len(frame.claims)):
                    return fail(frame.ref, Code.TOO_OFTEN, "too many roles were proven from your address just now",
                                retry=True)
                self._state = after
                lookup = Lookup(tuple(claim.handle for claim in frame.claims))
                return [self._tickets.ask(lookup, lambda r: self._opened(frame, r))]
            case Broadcast():
                return broadcast(frame, self._roles, self._may, self._signatures.relay_nonce)
            case Keep():
                return self._resuming().keep(frame)
            case Resume():
                return self._resume(frame, after)
            case Hello():
                return self._hello(frame, after)
            case Meet():
                return self._meet(frame, after)

    def _hello(self, frame: Hello, after: State) -> list[Effect]:
        if PROTOCOL_VERSION not in frame.versions:
            text = f"this relay speaks version {PROTOCOL_VERSION}"
            return self._end(0, Code.VERSION, text, POLICY_VIOLATION)
        if frame.relay.lower() not in self._names:
            text = ("this relay does not go by the name that was dialled; "
                    "its operator adds names with `chez-relay serve --name HOST:PORT`")
            return self._end(0, Code.WRONG_RELAY, text, POLICY_VIOLATION)
        self._state = after if self.meeting is None else State.MEETING
        nonce = self._signatures.relay_nonce
        self._signatures = Signatures(frame.relay, frame.nonce, nonce)
        # A store's incarnation would be a name of the device, for strangers too.
        incarnation = self._incarnation if self.meeting is None else bytes(ID_BYTES)
        return [send(Welcome(PROTOCOL_VERSION, nonce, incarnation))]

    def _meet(self, frame: Meet, after: State) -> list[Effect]:
        met = None if self.meeting is None else self.meeting.meet(frame, self._signatures, self._incarnation)
        if met is None:
            return self._end(0, Code.STRANGER, "no space in common was proven", POLICY_VIOLATION)
        self._state = after
        return [send(met)]

    def _signed(self, frame: CreateSpace | CreateInbox | Rotate | DeleteSpace | Drop) -> list[Effect]:
        made = {CreateSpace: self._may.make_space, CreateInbox: self._may.make_inbox}.get(type(frame))
        if made is not None and not made():
            return fail(frame.ref, Code.TOO_OFTEN, "too many were made from your address just now", retry=True)
        if made is None and not self._may.prove(2 if isinstance(frame, Drop) else 1):  # a drop is vouched for as well
            return refused(frame.ref, SIGNED_TOO_OFTEN)
        request = self._signatures.request(frame, self._tokens, self._incarnation)
        if isinstance(request, Refused):
            return refused(frame.ref, request)
        return [self._tickets.ask(request, lambda r: done(frame.ref, r))]

    # --- logins ---------------------------------------------------------------------

    def _opened(self, frame: Open, result: Result) -> list[Effect]:
        self._state = TRANSITIONS[self._state][type(result)]
        if not isinstance(result, Found):
            return refused(frame.ref, result)
        effects: list[Effect] = []
        for claim, known in zip(frame.claims, result.known, strict=True):
            # News of a rotation comes after all results of its group, and this may be one of them.
            if isinstance(known, SpaceInfo):
                effects += self.rotated(claim.handle, known.keys.credentials)
        outcomes = [outcome(claim, known, self._roles, self._signatures)
                    for claim, known in zip(frame.claims, result.known, strict=True)]
        follows = [Follow(one.handle) for one in outcomes if not one.error]
        return [*effects, *follows, send(Opened(frame.ref, outcomes))]

    def _resuming(self) -> Resuming:
        return Resuming(self._kept, self._roles, self._subscriptions, self._may)

    def _resume(self, frame: Resume, after: State) -> list[Effect]:
        places = self._resuming().places(frame, self._signatures)
        if isinstance(places, Refused):
            return refused(frame.ref, places)
        self._state = after

        def then(result: Result) -> list[Effect]:
            self._state = TRANSITIONS[self._state][type(result)]
            if isinstance(result, Found):
                return self._resuming().take_up(frame, places, result)
            return refused(frame.ref, result)

        return [self._tickets.ask(Lookup(tuple(place.handle for place in places)), then)]

    def _end(self, ref: int, code: Code, message: str, close: int) -> list[Effect]:
        self._state = State.CLOSED
        self._tickets.forget()
        self._waiting.clear()
        return [*fail(ref, code, message), Close(close, code, code)]
