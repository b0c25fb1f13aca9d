"""A space's checkpoints on one connection: steps of the desk, and what they ask of the relay. No I/O.

One step at a time: its transaction, then what it asks of the relay, then the next step, until
nothing is left to do. What follows a transaction may raise `RelayUnreachable`, which ends the connection.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chez.errors import RelayUnreachable
from chez.sync.channel import Channel
from chez.sync.checkpoints.desk import Desk
from chez.sync.checkpoints.errands import Again, Answer, Ask, Drop, Errand, Get, Look, Put, Send
from chez.sync.events import ChunkArrived, ChunksFound, Completed, Event, Refused
from chez.sync.received import Received
from chez.sync.sealed import Sealed
from chez.sync.work import Work
from chez_wire.limits import MAX_CHUNK_IDS

__all__ = ("Course",)


@dataclass(slots=True)
class Course:
    """`send` sends an own entry that was made, `took` hears what taking in led to, `idle` that all is done."""

    desk: Desk
    channel: Channel
    send: Callable[[list[Sealed]], list[Work]]
    took: Callable[[Received], list[Work]]
    idle: Callable[[], list[Work]]
    busy: bool = False
    _again: bool = False
    _errand: Errand = None
    _refs: dict[int, int] = field(default_factory=dict)
    """Requests without an answer yet, and which of the errand's they are."""
    _nobodys: set[int] = field(default_factory=set)
    """Requests without an answer yet that is waited for no more."""
    _got: dict[int, bytes] = field(default_factory=dict)
    _found: list[tuple[int, ChunksFound]] = field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether the relay was asked something that it did not answer."""
        return bool(self._refs)

    def begin(self) -> None:
        """The space is opened anew: what was asked before is nobody's."""
        self.busy = self._again = False
        self._let_go()

    def next(self) -> list[Work]:
        """Take the next step, if none is under way; else after it."""
        if self.busy:
            self._again = True
            return []
        self.busy = True
        return [Work(self.desk.step, self._stepped)]

    def mine(self, event: Event) -> bool:
        """Whether an event answers a request of this course."""
        return isinstance(event, ChunkArrived | ChunksFound | Completed | Refused) and (
            event.ref in self._refs or event.ref in self._nobodys)

    def handle(self, event: Event) -> list[Work]:
        """The answer to one of its requests."""
        assert isinstance(event, ChunkArrived | ChunksFound | Completed | Refused)
        if event.ref in self._nobodys:  # one refusal was enough
            self._nobodys.discard(event.ref)
            return []
        number = self._refs.pop(event.ref)
        if isinstance(event, Refused):
            return self._refused(event)
        errand = self._errand
        if isinstance(event, ChunkArrived):
            self._got[number] = event.data
        if isinstance(event, ChunksFound):
            self._found.append((number, event))
        if self._refs:
            return []
        match errand:
            case Get(ids):
                segments = [self._got[n] for n in range(len(ids))]
                return [Work(lambda db: self.desk.got(db, segments), self._done)]
            case Look(ids):
                seen = {id: self._got[n] for n, id in enumerate(ids)}
                return [Work(lambda db: self.desk.dropping.looked(db, seen), self._done)]
            case Put(segments=parts):
                return [Work(lambda db: self.desk.put(db, [part.id for part in parts]), self._done)]
            case Drop(entry=entry, dropping=dropping):
                return [Work(lambda db: self.desk.dropped(db, entry, bool(dropping.ranges)), self._done)]
            case Ask(entry, ids):
                # Another drop came between: what was said before it may be otherwise now, and it is asked anew.
                if len({found.drop for _, found in self._found}) == 1:
                    held = frozenset(id for at, found in self._found for id, there in zip(
                        ids[at : at + MAX_CHUNK_IDS], found.held, strict=True) if there)
                    self.desk.answer = Answer(entry, held.issuperset(ids), self._found[0][1].drop, held,
                                              frozenset(ids))
                return self._on()
            case _:
                return []

    def _stepped(self, errand: Errand) -> list[Work]:
        self._errand, self._got, self._found = errand, {}, []
        handle = self.desk.replica.space.handle
        match errand:
            case Again(received):
                return [*(self.took(received) if received is not None else ()), *self._on()]
            case Send(sealed):
                return [*self.send([sealed]), *self._on()]
            case Get(ids) | Look(ids):
                self._refs = {self.channel.get_chunk(handle, id): n for n, id in enumerate(ids)}
            case Put(segments):
                self._refs = {self.channel.put_chunk(handle, one.data): n for n, one in enumerate(segments)}
            case Ask(_, ids):
                self._refs = {self.channel.has_chunks(handle, ids[at : at + MAX_CHUNK_IDS]): at
                              for at in range(0, len(ids), MAX_CHUNK_IDS)}
            case Drop(_, admin, dropping):
                self._refs = {self.channel.drop(handle, admin, dropping): 0}
            case None:
                self.busy = False
                if self._again:
                    self._again = False
                    return self.next()
                return self.idle()
        return []

    def _done(self, _: None) -> list[Work]:
        return self._on()

    def _on(self) -> list[Work]:
        self.busy = False
        return self.next()

    def _full(self, received: Received) -> list[Work]:
        return [*self.took(received), *self._later()]

    def _later(self) -> list[Work]:
        """A full space, or keys that were replaced: what is put aside stays, for another time."""
        self.busy = False
        return self.idle()

    def _not_now(self, event: Refused, *, waits: bool) -> list[Work]:
        """Segments are asked for again with the next connection: without them not all is here that is to be."""
        if waits:
            raise RelayUnreachable(f"the relay can't just now: {event.message}", "It is tried again.")
        return self._on()

    def _let_go(self) -> None:
        self._nobodys |= self._refs.keys()
        self._refs.clear()

    def _refused(self, event: Refused) -> list[Work]:
        """What was asked can't be had: others of the errand are nobody's."""
        errand = self._errand
        self._let_go()
        match errand:
            case Get() if event.retry:
                return [Work(self.desk.not_now, lambda waits: self._not_now(event, waits=waits))]
            case Get():
                return [Work(self.desk.missing, self._done)]
            case Look(ids):
                return [Work(lambda db: self.desk.dropping.looked(db, dict.fromkeys(ids, b"")), self._done)]
            case Drop(entry=entry, dropping=dropping) if not event.retry and event.code not in ("rotated", "role"):
                return [Work(lambda db: self.desk.dropped(db, entry, bool(dropping.ranges), event.code), self._done)]
            case Ask(entry, ids) if not event.retry and event.code not in ("rotated", "role"):
                # It was asked about all of them: who wants to know of these does not ask again.
                self.desk.answer = Answer(entry, False, b"", asked=frozenset(ids))
                return self._on()
            case Put() if event.code not in ("rotated", "role"):
                return [Work(self.desk.full, self._full)]
            case _:
                return self._later()
