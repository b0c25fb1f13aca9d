"""What a relay may say: each frame is held against what was asked, and becomes an event.

An answer must match its request in kind, place and content, entries must follow each other
(`following`), and roles end only where some were open. Anything else is `RelayMisbehaved`.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chez.phrasing import in_one_line
from chez.sync.events import (
    AppendDone,
    ChunkArrived,
    ChunksFound,
    Completed,
    EarlyArrived,
    EntriesArrived,
    EphemeralArrived,
    Event,
    InboxArrived,
    PacketArrived,
    Refused,
    RolesEnded,
    SessionKept,
    SpacesOpened,
    SpacesResumed,
    UsageTold,
)
from chez.sync.following import Following, check_run, misbehaved
from chez.sync.resuming import Reading, resumed
from chez_wire import frames
from chez_wire.chunks import chunk_id
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.login import Role

__all__ = ("Answers", "Asked")

REFS: Final = 2**32


class Asked(msgspec.Struct, frozen=True):
    """What an answer must match: its type, the space or inbox, and what was sent.

    `entry` is an entry's or a chunk's id, or the hash of the handles that are kept, `count` the number
    of chunks asked about or spaces kept. Of the `kept` spaces, whose refs are those from `first` on, the
    `readings` are to be followed again, `credit` bytes ahead each.
    """

    answer: type[Any]
    name: bytes = b""
    entry: bytes = b""
    count: int = 0
    claims: tuple[tuple[bytes, Role], ...] = ()
    after: int = 0
    kept: tuple[bytes, ...] = ()
    readings: Mapping[bytes, Reading] = msgspec.field(default_factory=dict)
    first: int = 0
    credit: int = 0


class Answers:
    """The requests of one connection that have no answer yet, its subscriptions and watches."""

    def __init__(self) -> None:
        self._refs = 0
        self._asked: dict[int, Asked] = {}
        self._following: dict[bytes, Following] = {}
        self._followers: dict[int, bytes] = {}
        self._replaced: dict[int, bytes] = {}
        self._open: set[bytes] = set()
        self._opens = False

    @property
    def unanswered(self) -> int:
        """Requests without an answer yet."""
        return len(self._asked)

    def follows(self, ref: int) -> bool:
        """Whether `ref` is that of a subscription or a watch that stands."""
        return ref in self._followers

    def following(self, name: bytes) -> Following | None:
        """The subscription to a space or the watch of an inbox."""
        return self._following.get(name)

    def expect(self, asked: Asked) -> int:
        """The ref of a new request, whose answer must match `asked`."""
        # Skips what is still in use, so that a ref that wrapped around is never ambiguous.
        while True:
            self._refs = ref = self._refs % (REFS - 1) + 1
            if ref not in self._asked and ref not in self._replaced and ref not in self._followers:
                break
        self._asked[self._refs] = asked
        self._opens = self._opens or asked.answer in (frames.Opened, frames.Resumed)
        return self._refs

    def expect_resumed(self, kept: tuple[bytes, ...], readings: Mapping[bytes, Reading],
                       credit: int) -> tuple[int, int]:
        """The ref of the request that is to follow kept spaces again, before any is opened, and of the first of them.
        """
        first = self._refs + 2
        ref = self.expect(Asked(frames.Resumed, kept=kept, readings=readings, first=first, credit=credit))
        self._refs += len(kept)
        return ref, first

    @property
    def followed(self) -> list[bytes]:
        """The handles of the spaces that are followed, in their order."""
        return sorted(name for name, following in self._following.items() if not following.inbox)

    @property
    def fresh(self) -> bool:
        """Whether no role was asked for yet."""
        return not self._opens

    def follow(self, name: bytes, following: Following) -> None:
        """From now on a subscription or watch stands under this request's ref; an earlier one is replaced."""
        # What the relay sent for the earlier one may still be under way; it is dropped
        # until the first answer to the new one, after which none can come.
        if (earlier := self._following.get(name)) is not None:
            self._asked.pop(earlier.ref, None)
            self._replaced[earlier.ref] = name
            self._leave(name)
        self._following[name] = following
        self._followers[following.ref] = name

    def _leave(self, name: bytes) -> None:
        del self._followers[self._following.pop(name).ref]

    def event(self, frame: frames.RelayFrame) -> list[Event]:
        """What a frame says, if it may: an answer to what was asked, or what a subscription brings.

        Nothing, for what was still under way to a subscription that was replaced. Raises
        `RelayMisbehaved` for a frame that cannot be true.
        """
        return [] if self._outdated(frame) else [self._event(frame)]

    def _outdated(self, frame: frames.RelayFrame) -> bool:
        """Whether a frame was for a subscription that was replaced, or is to be (`_resumed`)."""
        if isinstance(frame, frames.Early):  # it has no ref
            return frame.handle not in self._following and frame.handle in self._replaced.values()
        return getattr(frame, "ref", 0) in self._replaced

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
                self._open |= {space.handle for space in spaces if not space.error}
                return SpacesOpened(ref, tuple(spaces))
            case frames.InboxItems():
                return self._items(frame)
            case frames.Chunk(ref, data):
                if chunk_id(data) != self._answered(ref, frames.Chunk).entry:
                    misbehaved("the relay sent other bytes than the chunk that was asked for")
                return ChunkArrived(ref, data)
            case frames.ChunksHeld(ref, held, drop):
                if len(held) != self._answered(ref, frames.ChunksHeld).count:
                    misbehaved("the relay answered about other chunks than were asked about")
                return ChunksFound(ref, tuple(held), drop)
            case frames.Usage(ref, entries, control, chunks):
                self._answered(ref, frames.Usage)
                return UsageTold(ref, entries, control, chunks)
            case frames.Packet(ref, box):
                self._answered(ref, frames.Packet)
                return PacketArrived(ref, box)
            case frames.Ended():
                return self._ended(frame)
            case frames.Kept(ref, count, digest):
                asked = self._answered(ref, frames.Kept)
                return SessionKept(ref, (asked.count, asked.entry) == (count, digest))
            case frames.Resumed():
                return self._resumed(frame)
            case frames.Failed():
                return self._failed(frame)
            case frames.Ephemeral(handle, message, sender):
                if handle not in self._open:
                    misbehaved("the relay passes on what was said in a space that is not open")
                return EphemeralArrived(handle, message, sender)
            case frames.Early(handle, envelope):
                return self._early(handle, envelope)
            case frames.Welcome() | frames.Met():
                misbehaved("the relay welcomes twice")

    def _answered(self, ref: int, kind: type[Any]) -> Asked:
        asked = self._asked.pop(ref, None)
        if asked is None or asked.answer is not kind:
            misbehaved(f"the relay sent {kind.__name__} for nothing that was asked")
        return asked

    def _resumed(self, frame: frames.Resumed) -> SpacesResumed:
        asked = self._answered(frame.ref, frames.Resumed)
        event = resumed(frame, asked.kept, asked.readings, asked.first)
        for one in event.back:
            self._open.add(one.handle)
            if event.alike:
                self.follow(one.handle, Following(one.ref, one.after, asked.credit, one.head))
            else:  # each is opened by itself, and followed anew
                self._replaced[one.ref] = one.handle
        return event

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
                self._leave(name)
        # The provider of a job, for one, chooses a relay, and what that says is shown to its person.
        return Refused(frame.ref, in_one_line(frame.code), in_one_line(frame.message), frame.retry)

    def _follower(self, ref: int) -> bytes:
        if ref not in self._followers:
            misbehaved("the relay refused what nobody asked for")
        return self._followers[ref]

    def _entries(self, frame: frames.Entries) -> EntriesArrived:
        following = self._following.get(frame.handle)
        follows = following is not None and following.ref == frame.ref
        entries = following.whole(frame.entries) if following is not None and follows else tuple(frame.entries)
        event = EntriesArrived(frame.ref, frame.handle, entries, frame.head, frame.end, tuple(frame.dropped))
        asked = self._asked.pop(frame.ref, None)
        if asked is not None and (asked.answer is not frames.Entries or asked.name != frame.handle):
            misbehaved("the relay answered another question with entries")
        if following is not None and follows:
            self._stands(event.handle)
            following.take(event)
        elif asked is not None:
            known = GENESIS_HEAD if asked.after == 0 else None
            check_run(event, asked.after, known)
        else:
            misbehaved("the relay sent entries that nobody asked for")
        return event

    def _early(self, handle: bytes, envelope: bytes) -> EarlyArrived:
        following = self._following.get(handle)
        if following is None:
            misbehaved("the relay is storing an entry of a space that is not followed")
        following.early = envelope
        return EarlyArrived(handle, frames.Entry(0, envelope))

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

    def _ended(self, frame: frames.Ended) -> RolesEnded:
        if frame.handle not in self._open:
            misbehaved("the relay ends roles that were not open")
        self._open.discard(frame.handle)
        following = self._following.get(frame.handle)
        # One that has no answer yet was sent behind the end, or gets its refusal.
        if following is not None and following.ref not in self._asked:
            self._stands(frame.handle)
            self._leave(frame.handle)
        return RolesEnded(frame.handle, frame.code)

    def _stands(self, name: bytes) -> None:
        self._replaced = {ref: other for ref, other in self._replaced.items() if other != name}
