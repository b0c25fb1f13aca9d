"""Ephemeral messages of an open home: what apps say and hear in its spaces just now, on this device alone in memory."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chez.errors import BadEntry, InvalidValue, NotAllowed
from chez.home.held import Held
from chez.keys.device import DeviceKeys
from chez.spaces.permits import check_member
from chez.store.database import home_closed
from chez.sync.ephemeral.conversation import Conversation, Stamp
from chez.sync.ephemeral.message import (
    SESSION_BYTES,
    Message,
    check_topic,
    decode_value,
    encode_value,
    open_message,
    seal_message,
)
from chez.sync.link import Link
from chez.sync.replica import Replica

__all__ = ("ROOM", "EphemeralMessage", "Ephemerals")

ROOM: Final = 256
"""Messages that wait for an app that does not take them, unless it says otherwise: 2 MiB of the largest."""

MAX_ROOM: Final = 65_536


@dataclass(frozen=True, slots=True)
class EphemeralMessage:
    """What a member's device said just now. `name` is what that device is called, `device` and `person` are ids.

    `missed` counts the messages that were let go before this one, because they were not taken in time.
    """

    topic: str
    value: Any = field(repr=False)
    name: str
    device: bytes = field(repr=False)
    person: bytes = field(repr=False)
    missed: int


class _Listener:
    """One who listens: a topic or all, and what waits for it."""

    def __init__(self, topic: str | None, room: int) -> None:
        self.topic = topic
        self.waiting: deque[EphemeralMessage] = deque(maxlen=room)
        self.missed = 0
        self.news = asyncio.Event()
        self.over = False

    def put(self, message: EphemeralMessage) -> None:
        """A message, perhaps for it; the oldest goes when there is no room."""
        if self.topic in (None, message.topic):
            self.missed += len(self.waiting) == self.waiting.maxlen
            self.waiting.append(message)
            self.news.set()

    def take(self) -> EphemeralMessage:
        """The next one. Those that went stood before it."""
        missed, self.missed = self.missed, 0
        return replace(self.waiting.popleft(), missed=missed)


@dataclass(slots=True, eq=False)
class _Spoken:
    """What is said in one space."""

    replica: Replica
    talk: Conversation
    listeners: list[_Listener] = field(default_factory=list)
    connections: dict[Link, int] = field(default_factory=dict)
    """How many each link had begun when something was heard last."""
    answering: bool = False
    """Whether what is owed is about to be said."""

    def end(self) -> None:
        """Nobody hears anything in it any more, after what had come."""
        for listener in self.listeners:
            listener.over = True
            listener.news.set()


class Ephemerals:
    """What is said in the spaces of one home; `links` are those that run, `entropy` gives fresh random bytes."""

    def __init__(self, device: DeviceKeys, links: Sequence[Link], entropy: Callable[[int], bytes]) -> None:
        self._device = device
        self._links = links
        self._entropy = entropy
        self._spaces: dict[int, _Spoken] = {}
        self._closed = False

    def broadcast(self, held: Held, topic: str, value: Any) -> int:
        """Say something in a space; to how many relays it went. Raises `InvalidValue`, `NotAllowed`."""
        check_topic(topic)
        data = encode_value(value)
        self._check(held)
        return self._say(self._spoken(held.replica), topic, data)

    async def listen(self, held: Held, topic: str | None, room: int) -> AsyncIterator[EphemeralMessage]:
        """What others say in a space from now on, until `close`. Raises `InvalidValue`, `NotAllowed`."""
        if topic is not None:
            check_topic(topic)
        if not 1 <= room <= MAX_ROOM:
            raise InvalidValue(f"1 to {MAX_ROOM:,} messages may wait, not {room}")
        self._check(held)
        spoken, listener = self._spoken(held.replica), _Listener(topic, room)
        spoken.listeners.append(listener)
        spoken.talk.listens = True
        try:
            while not listener.over:
                while listener.waiting:
                    yield listener.take()
                listener.news.clear()
                if not listener.over:
                    await listener.news.wait()
        finally:
            spoken.listeners.remove(listener)
            spoken.talk.listens = bool(spoken.listeners)

    def heard(self, replica: Replica, sealed: bytes, back: Callable[[bytes], bool]) -> None:
        """A message came for a space. What fails a check, or is nobody's who is a member now, is let go.

        `back` sends one to its sender alone.
        """
        spoken = self._spaces.get(replica.space.n)
        if spoken is None:  # no app here says or hears anything in it
            return
        space = replica.space
        try:
            message = open_message(sealed, space.id, space.handle, space.epochs)
        except BadEntry:
            return
        if message.author == self._device.id or space.membership.state.right(message.author) is None:
            return
        self._look_at_links(spoken)
        for one in spoken.talk.take(message):
            self._tell(spoken, one)
        if spoken.talk.asks:
            back(self._sealed(spoken, spoken.talk.question(), "", b""))
        if spoken.talk.owes and not spoken.answering:
            spoken.answering = True
            asyncio.get_running_loop().call_soon(self._answer, spoken)  # to all that came together at once

    def close(self) -> None:
        """Nobody hears anything any more. Called when the home closes."""
        self._closed = True
        for spoken in self._spaces.values():
            spoken.end()
        self._spaces.clear()

    # --- helpers ------------------------------------------------------------------------

    def _check(self, held: Held) -> None:
        if self._closed:  # who listens now would wait for ever
            raise home_closed()
        check_member(held.space, self._device.id)
        if held.space.control_of(held.replica.access.current) is None:
            raise NotAllowed("in a public space those who may write say and hear ephemeral messages",
                             "Who publishes it can make you a writer.")

    def _spoken(self, replica: Replica) -> _Spoken:
        found = self._spaces.get(replica.space.n)
        if found is not None and found.replica is not replica:  # the space was taken off this device, and came again
            found.end()
            found = None
        if found is None:
            talk = Conversation(self._entropy(SESSION_BYTES), self._entropy(SESSION_BYTES))
            found = self._spaces[replica.space.n] = _Spoken(replica, talk)
        return found

    def _look_at_links(self, spoken: _Spoken) -> None:
        """Listen by another ear when a connection is another one than before."""
        now = {link: link.connections for link in self._links}
        if now != spoken.connections:
            spoken.connections = now
            spoken.talk.connected(self._entropy(SESSION_BYTES))
            spoken.talk.keep(spoken.replica.space.membership.state.devices)

    def _tell(self, spoken: _Spoken, message: Message) -> None:
        device = spoken.replica.space.membership.state.device(message.author)
        with suppress(BadEntry):  # whatever a member signs; there is nothing to be done about it
            value = decode_value(message.value)
            assert device is not None  # a member's is certified
            one = EphemeralMessage(message.topic, value, device.name, device.id, device.person, 0)
            for listener in spoken.listeners:
                listener.put(one)

    def _answer(self, spoken: _Spoken) -> None:
        spoken.answering = False
        while spoken.talk.owes:
            self._say(spoken, "", b"")

    def _say(self, spoken: _Spoken, topic: str, value: bytes) -> int:
        sealed = self._sealed(spoken, spoken.talk.next(), topic, value)
        return sum([link.broadcast(spoken.replica.space.id, sealed) for link in self._links])

    def _sealed(self, spoken: _Spoken, stamp: Stamp, topic: str, value: bytes) -> bytes:
        replica = spoken.replica
        message = Message(1, replica.space.id, self._device.id, stamp.session, stamp.number, stamp.ear, stamp.wanted,
                          stamp.heard, topic, value)
        return seal_message(message, replica.space.handle, replica.access.current, self._device.signing,
                            self._entropy(24))
