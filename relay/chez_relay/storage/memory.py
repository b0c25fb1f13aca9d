"""A relay's store in memory: for simulations and tests, with the semantics of the real one."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chez_relay.storage import (
    AddChunk,
    AddEntry,
    AddInbox,
    AddItem,
    AddSpace,
    ChunkData,
    Done,
    DropEntries,
    DropItems,
    Dropped,
    DropSpace,
    Entry,
    Expire,
    Expired,
    FindChunks,
    Found,
    FoundChunks,
    Gone,
    InboxInfo,
    Lookup,
    PacketData,
    Page,
    Quotas,
    ReadChunk,
    ReadItems,
    ReadPacket,
    ReadPage,
    ReadUsage,
    Refused,
    Request,
    Result,
    RotateSpace,
    SealedPacket,
    SpaceInfo,
    SpaceKeys,
    Stored,
)
from chez_relay.storage.memory_inboxes import MemoryInboxes
from chez_relay.storage.refusals import (
    NO_CHUNK,
    NO_PACKET,
    NO_SPACE,
    NOT_OWNER,
    OTHER_DROP,
    OTHER_HEAD,
    OTHER_RECOVERY_KEY,
    OTHER_SPACE_KEYS,
    PAGE_AHEAD,
    ROTATED,
    UNVOUCHED,
    over_blob_quota,
    over_quota,
)
from chez_relay.storage.rotation import packets_over_quota, rotated
from chez_relay.storage.standing import Standing
from chez_wire.dropping import NO_DROP, united
from chez_wire.envelope import GENESIS_HEAD, fold_head
from chez_wire.packets import PACKET_COST, packets_hash

__all__ = ("MemoryStorage",)


@dataclass(slots=True)
class _Space:
    keys: SpaceKeys
    packets: tuple[SealedPacket, ...] = ()
    envelopes: list[bytes | None] = field(default_factory=list)
    """None for what was dropped, and had its grace."""
    heads: list[bytes] = field(default_factory=lambda: [GENESIS_HEAD])
    places: dict[bytes, int] = field(default_factory=dict)
    control: set[int] = field(default_factory=set)
    dropping: dict[tuple[int, int], float] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    releasing: dict[bytes, float] = field(default_factory=dict)
    drop: bytes = NO_DROP
    used: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    chunks: dict[bytes, bytes] = field(default_factory=dict)


class MemoryStorage:
    """`perform_now` is the synchronous core; `perform` the same for asynchronous callers.

    `clock` gives seconds and is asked only for the expiry of inboxes.
    """

    def __init__(
        self, incarnation: bytes, *, quotas: Quotas | None = None, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.incarnation = incarnation
        self._quotas = quotas or Quotas()
        self._clock = clock
        self._spaces: dict[bytes, _Space] = {}
        self._deleted: dict[bytes, bytes] = {}
        self._inboxes = MemoryInboxes(self._quotas, clock)
        self._standing = Standing()

    def perform_now(self, requests: Sequence[Request]) -> list[Result]:
        """Perform a group of requests at once; results in the same order."""
        return [self._perform(request) for request in requests]

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`, except that memory does not survive the process."""
        return self.perform_now(requests)

    async def close(self) -> None:
        """Nothing to release."""

    def copy(self) -> "MemoryStorage":
        """An independent copy: a backup that a simulation can restore later."""
        twin = MemoryStorage(self.incarnation, quotas=self._quotas, clock=self._clock)
        twin._spaces = copy.deepcopy(self._spaces)
        twin._deleted = dict(self._deleted)
        twin._inboxes = self._inboxes.copy()
        return twin

    def _perform(self, request: Request) -> Result:
        match request:
            case AddEntry():
                return self._add_entry(request)
            case ReadPage():
                return self._read_page(request)
            case Lookup(handles):
                return Found(tuple(self._known(handle) for handle in handles))
            case AddSpace():
                return self._add_space(request)
            case RotateSpace():
                return self._rotate(request)
            case DropSpace():
                return self._drop_space(request)
            case DropEntries():
                return self._drop(request)
            case ReadPacket(handle, tag):
                space = self._spaces.get(handle)
                boxes = {packet.tag: packet.box for packet in (space.packets if space else ())}
                return PacketData(boxes[tag]) if tag in boxes else NO_PACKET
            case AddInbox():
                return self._inboxes.add_inbox(request)
            case AddItem():
                return self._inboxes.add_item(request)
            case ReadItems():
                return self._inboxes.read_items(request)
            case DropItems():
                return self._inboxes.drop_items(request)
            case AddChunk():
                return self._add_chunk(request)
            case ReadChunk(handle, chunk, under):
                held = self._chunks(handle, under)
                if isinstance(held, Refused):
                    return held
                return ChunkData(held[chunk]) if chunk in held else NO_CHUNK
            case FindChunks(handle, chunks, under):
                held = self._chunks(handle, under)
                if isinstance(held, Refused):
                    return held
                space = self._spaces[handle]
                return FoundChunks(tuple([chunk in held and chunk not in space.releasing for chunk in chunks]),
                                   space.drop)
            case ReadUsage(handle, under):
                held = self._chunks(handle, under)
                return held if isinstance(held, Refused) else self._usage(self._spaces[handle])
            case Expire():
                self._inboxes.expire()
                self._expire(self._clock())
                return Expired(more=False)

    def _expire(self, now: float) -> None:
        latest = now + self._quotas.grace
        late = any(due > latest for space in self._spaces.values()
                   for due in (*space.dropping.values(), *space.releasing.values()))
        ahead = self._standing.believed(now, late=late)
        for space in self._spaces.values():
            if ahead:  # what waits longer was named while the clock was ahead
                space.dropping = {span: min(due, latest) for span, due in space.dropping.items()}
                space.releasing = {chunk: min(due, latest) for chunk, due in space.releasing.items()}
            _expire(space, now)

    def _usage(self, space: _Space) -> Result:
        return self._quotas.usage(space.used[False] + len(space.packets) * PACKET_COST, space.used[True],
                                  sum(map(len, space.chunks.values())))

    def _known(self, handle: bytes) -> SpaceInfo | InboxInfo | Gone | None:
        if (space := self._spaces.get(handle)) is not None:
            return SpaceInfo(space.keys, len(space.envelopes), space.heads[-1])
        return self._inboxes.info(handle) or (Gone() if handle in self._deleted else None)

    def _add_space(self, request: AddSpace) -> Result:
        space = self._spaces.get(request.handle)
        if space is not None:
            same = (space.keys, space.packets) == (request.keys, request.packets)
            return Done() if same else OTHER_SPACE_KEYS
        if self._deleted.get(request.handle, request.keys.recovery) != request.keys.recovery:
            return OTHER_RECOVERY_KEY
        if (refusal := packets_over_quota(request.packets, self._quotas)) is not None:
            return refusal
        self._deleted.pop(request.handle, None)
        self._spaces[request.handle] = _Space(request.keys, request.packets)
        return Done()

    def _drop_space(self, request: DropSpace) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return Done()
        if request.signer not in (space.keys.admin, space.keys.recovery):
            return NOT_OWNER
        self._deleted[request.handle] = space.keys.recovery
        del self._spaces[request.handle]
        return Done()

    def _rotate(self, request: RotateSpace) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        held, digest = packets_hash(space.packets), packets_hash(request.packets)
        outcome = rotated(space.keys, held, len(space.packets), request, digest, self._quotas)
        if not isinstance(outcome, SpaceKeys):
            return outcome
        space.keys, space.packets = outcome, request.packets
        return Done()

    def _add_entry(self, request: AddEntry) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != (space.keys.control if request.control else space.keys.append):
            return ROTATED
        if (offset := space.places.get(request.entry)) is not None:
            return Stored(offset, space.heads[offset], fresh=False)
        limit = self._quotas.control_bytes if request.control else self._quotas.space_bytes
        beside = 0 if request.control else len(space.packets) * PACKET_COST
        if space.used[request.control] + beside + len(request.envelope) > limit:
            return over_quota(request.control, limit)
        space.used[request.control] += len(request.envelope)
        space.envelopes.append(request.envelope)
        space.heads.append(fold_head(space.heads[-1], request.entry))
        offset = len(space.envelopes)
        space.places[request.entry] = offset
        if request.control:
            space.control.add(offset)
        return Stored(offset, space.heads[-1], fresh=True)

    def _read_page(self, request: ReadPage) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != space.keys.read:
            return ROTATED
        end = len(space.envelopes)
        if request.after > end:
            return PAGE_AHEAD
        entries: list[Entry] = []
        passed: list[Dropped] = []
        at, room = request.after, request.limit
        while at < end:
            envelope = space.envelopes[at]
            if envelope is None:
                one = next(one for one in space.dropped if one.last > at)
                passed.append(Dropped(at + 1, one.last, one.head))
                at = one.last
                continue
            room -= len(envelope)
            if room < 0 and entries:
                break
            at += 1
            entries.append(Entry(at, envelope))
        return Page(tuple(entries), space.heads[at], end, tuple(passed))

    def _drop(self, request: DropEntries) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.signer != space.keys.admin or request.voucher != space.keys.control:
            return UNVOUCHED
        if request.drop == space.drop:
            return Done()
        if request.follows != space.drop:
            return OTHER_DROP
        if request.ranges and request.ranges[-1].last > len(space.envelopes):
            return PAGE_AHEAD
        ends = {one.last for one in space.dropped}
        if any(space.heads[one.last] != one.head for one in request.ranges
               if space.envelopes[one.last - 1] is not None or one.last in ends):
            return OTHER_HEAD
        due = self._clock() + self._quotas.grace
        for one in request.ranges:
            space.dropping.setdefault((one.first, one.last), due)
        for chunk in request.chunks:
            if chunk in space.chunks:
                space.releasing.setdefault(chunk, due)
        space.drop = request.drop
        return Done()

    def _chunks(self, handle: bytes, under: bytes) -> dict[bytes, bytes] | Refused:
        space = self._spaces.get(handle)
        if space is None:
            return NO_SPACE
        return space.chunks if under == space.keys.read else ROTATED

    def _add_chunk(self, request: AddChunk) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != space.keys.append:
            return ROTATED
        if request.chunk in space.chunks:
            space.releasing.pop(request.chunk, None)
            return Done()
        used = sum(len(data) for data in space.chunks.values())
        if used + len(request.data) > self._quotas.blob_bytes:
            return over_blob_quota(self._quotas.blob_bytes)
        space.chunks[request.chunk] = request.data
        return Done()


def _expire(space: _Space, now: float) -> None:
    for (first, last), due in list(space.dropping.items()):
        if due > now:
            continue
        del space.dropping[first, last]
        for offset in range(first, last + 1):
            envelope = space.envelopes[offset - 1]
            if envelope is not None:
                space.used[offset in space.control] -= len(envelope)
                space.envelopes[offset - 1] = None
                space.places = {entry: place for entry, place in space.places.items() if place != offset}
                space.dropped = united([*space.dropped, Dropped(offset, offset, space.heads[offset])])
    for chunk, due in list(space.releasing.items()):
        if due <= now:
            del space.releasing[chunk]
            space.chunks.pop(chunk, None)
