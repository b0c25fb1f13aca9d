"""What was said in a space just now, told apart from what a relay kept and plays again; no I/O, no clock.

A number that rises within a session makes what is repeated or comes late stale. It does not tell a session that
goes on from one that ended: a device that was just started, or was away, has never seen either. So it asks. With what
it hears from a session that it does not know it says so, and by which ear it listens, drawn at random when it
connected. A device whose own session is asked after names that ear in its next message. Nobody can have named it
before it was drawn: from then on that session is known to have been there since this device connected.

    unknown --a message asks, by its session's name--> answered: all that is newer than what was told before is told

A question goes to whom it is for, an answer to all, for many may ask at once.

What came from a session meanwhile waits, a few messages of a few sessions for each author. A lost question is asked
again with the second, fourth, eighth message. When an author's next session answers, the one before is over for good.
What a relay holds back of a session that is still there, and gives out later in its order, passes: only a clock
would tell, and nothing here is refused by one.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from chez.sync.ephemeral.message import MAX_NAMED, Message

__all__ = ("Conversation", "Stamp")

HELD: Final = 64
"""Messages of a session that wait for its answer, which comes within a round trip, the newest."""

HELD_BYTES: Final = 32 * 1024
"""Bytes of these."""

SESSIONS: Final = 4
"""Sessions of one author that are remembered: the last that answered, and a few that somebody plays again."""

PATIENCE: Final = 256
"""Messages of one author without an answer, after which it is asked for more rarely, whatever sessions they are of."""

OVER: Final = 256
"""Sessions of one author that ended while this device was connected; one with more is not listened to any more."""

OWED: Final = 256
"""Questions and answers that wait to be said."""


class Stamp(msgspec.Struct, frozen=True):
    """What a message of this device says beside its topic; see `Message`."""

    session: bytes
    number: int
    ear: bytes
    wanted: list[bytes]
    heard: list[bytes]


@dataclass(slots=True)
class _Session:
    number: int = 0
    answered: bool = False
    known: bool = False
    """Whether it answered since this device began to listen: what was told of it stays known over connections."""
    unanswered: int = 0
    """Messages that wanted an answer since this device connected."""
    held: "deque[Message]" = field(default_factory=deque)
    size: int = 0

    def hold(self, message: Message) -> None:
        """Let a message wait; the oldest go when there is no room."""
        self.held.append(message)
        self.size += len(message.value)
        while len(self.held) > HELD or self.size > HELD_BYTES:
            self.size -= len(self.held.popleft().value)

    def release(self) -> list[Message]:
        """What waited."""
        told = list(self.held)
        self.held.clear()
        self.size = 0
        return told


@dataclass(slots=True)
class _Author:
    sessions: "OrderedDict[bytes, _Session]" = field(default_factory=OrderedDict)
    over: set[bytes] = field(default_factory=set)
    unanswered: int = 0
    """The same of all its sessions, since one last answered."""


class Conversation:
    """One device's part in it. `session` and `ear` are 16 random bytes each.

    What is given was opened, and is of a member. It asks only while somebody `listens`, and answers always.
    """

    def __init__(self, session: bytes, ear: bytes) -> None:
        self.listens = False
        """Whether anybody wants to hear what is said."""
        self.stale = 0
        """Messages that were repeated, or came too late."""
        self._session = session
        self._number = 0
        self._ear = ear
        self._authors: dict[bytes, _Author] = {}
        self._wanted: OrderedDict[bytes, None] = OrderedDict()
        self._heard: OrderedDict[bytes, None] = OrderedDict()

    def connected(self, ear: bytes) -> None:
        """A connection begins: whoever answered before may be gone by now, and answers this ear again."""
        self._ear = ear
        for author in self._authors.values():
            author.unanswered = 0
            author.over.clear()
            for session in author.sessions.values():
                session.answered, session.unanswered = False, 0

    def keep(self, members: Iterable[bytes]) -> None:
        """Only these devices take part any more."""
        kept = set(members)
        self._authors = {id: author for id, author in self._authors.items() if id in kept}

    @property
    def owes(self) -> bool:
        """Whether answers are to be said, which do not wait for the next topic."""
        return bool(self._heard)

    @property
    def asks(self) -> bool:
        """Whether a question is to be sent to whom the last message came from."""
        return bool(self._wanted)

    def next(self) -> Stamp:
        """What the next message of this device to all says; the answers that are owed with it, as far as there is room.
        """
        self._number += 1
        return Stamp(self._session, self._number, self._ear, [], _some(self._heard))

    def question(self) -> Stamp:
        """What the next message of this device to one says: it asks for an answer."""
        self._number += 1
        return Stamp(self._session, self._number, self._ear, _some(self._wanted), [])

    def take(self, message: Message) -> list[Message]:
        """A message of a member came: what is to be told now, in the order of its numbers."""
        author = self._authors.setdefault(message.author, _Author())
        session = self._session_of(author, message.session)
        if session is None or message.number <= session.number:
            self.stale += 1
            return []
        session.number = message.number
        if self._session in message.wanted:
            _owe(self._heard, message.ear)
        if self._ear in message.heard and not session.answered:
            self._answered(author, message.session)
        if not self.listens:
            return []
        if message.topic:
            session.hold(message)
        if session.answered:
            return session.release()
        if message.topic:
            session.unanswered += 1
            author.unanswered += 1
            seldom = author.unanswered > PATIENCE and author.unanswered.bit_count() != 1
            if session.unanswered.bit_count() == 1 and not seldom:
                _owe(self._wanted, message.session)
        return []

    def _session_of(self, author: _Author, name: bytes) -> _Session | None:
        """An author's session; None for one that is over."""
        if name in author.over or len(author.over) >= OVER:
            return None
        session = author.sessions.get(name)
        if session is None:
            if len(author.sessions) >= SESSIONS:
                del author.sessions[next(key for key, one in author.sessions.items() if not one.known)]
            session = author.sessions[name] = _Session()
        return session

    def _answered(self, author: _Author, name: bytes) -> None:
        """A session is there: an earlier one that was is over, and stays so while this device is connected."""
        author.over |= {key for key, one in author.sessions.items() if one.known and key != name}
        author.sessions = OrderedDict((key, one) for key, one in author.sessions.items() if key not in author.over)
        session = author.sessions[name]
        session.answered = session.known = True
        author.unanswered = 0
        self._wanted.pop(name, None)


def _owe(owed: "OrderedDict[bytes, None]", name: bytes) -> None:
    owed[name] = None
    if len(owed) > OWED:
        owed.popitem(last=False)


def _some(owed: "OrderedDict[bytes, None]") -> list[bytes]:
    return [owed.popitem(last=False)[0] for _ in range(min(len(owed), MAX_NAMED))]
