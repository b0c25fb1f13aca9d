"""What requests make of a space: decided without I/O, from its state alone, into one block."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from chez_relay.bounds import MAX_DROPS
from chez_relay.storage import (
    AddChunk,
    AddEntry,
    AddSpace,
    Done,
    DropEntries,
    DropSpace,
    Quotas,
    Refused,
    Result,
    RotateSpace,
    SealedPacket,
    SpaceKeys,
    Stored,
)
from chez_relay.storage.jetstream.blocks import FORMAT, ID_PREFIX, Block, Drops, Index, State
from chez_relay.storage.refusals import (
    MUCH_DROPPED,
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
from chez_wire.dropping import NO_DROP
from chez_wire.envelope import GENESIS_HEAD, fold_head
from chez_wire.packets import PACKET_COST, packets_hash

__all__ = ("Change", "Draft")

Change = AddSpace | RotateSpace | DropSpace | AddEntry | AddChunk | DropEntries
replace = msgspec.structs.replace


class Draft:
    """The next block of a space whose state is `state` (None: there never was one).

    `known` has the offset and head of those entries asked for that are there already; `birth` makes the mark of a
    new life. A chunk counts here; its bytes are somewhere else. `drops` is what was dropped, or is to be; `heads`
    has the head after those offsets whose entries are there, as far as drops name them.
    """

    def __init__(self, state: State | None, quotas: Quotas, known: Mapping[bytes, tuple[int, bytes]],
                 birth: Callable[[], bytes], *, drops: Drops | None = None,
                 heads: Mapping[int, bytes] | None = None, now: float = 0.0) -> None:
        self._state = state
        self._new_data = self._new_control = 0
        self._quotas = quotas
        self._known = dict(known)
        self._birth = birth
        self._before = self._head = GENESIS_HEAD if state is None else state.head
        self._first = 0 if state is None else state.end
        self._envelopes: list[bytes] = []
        self._ids: list[bytes] = []
        self._packets: tuple[SealedPacket, ...] = ()
        self._control: list[int] = []
        self._drops = drops or Drops()
        self._drops_before = self._drops
        self._heads = heads or {}
        self._now = now
        self.changed = False
        self.dropped: State | None = None

    @property
    def state(self) -> State | None:
        """The state after what was done so far."""
        # Entries only count while they come: each would cost a new state otherwise.
        state = self._state
        if state is not None and (self._new_data or self._new_control):
            state = self._state = replace(
                state, end=self._end, head=self._head, data_bytes=state.data_bytes + self._new_data,
                control_bytes=state.control_bytes + self._new_control)
            self._new_data = self._new_control = 0
        return state

    @property
    def alive(self) -> State | None:
        """The state of a space that is there."""
        state = self.state
        return state if state is not None and state.alive else None

    @property
    def ids(self) -> bytes:
        """The beginnings of the ids that the block adds."""
        return b"".join(self._ids)

    def perform(self, requests: Sequence[Change]) -> list[Result]:
        """What comes of each, in order."""
        return [self._perform(request) for request in requests]

    def block(self, index: Index | None = None) -> Block:
        """The block, with an index that ends where it ends if one is due."""
        state = self.state
        if state is None:
            raise TypeError("nothing was changed")
        if index is not None:
            state = replace(state, index=0, indexed=state.end)
        drops = None if self._drops is self._drops_before else self._drops
        if drops is not None:
            state = replace(state, dropping=True, drops=0)
        return Block(FORMAT, state, self._before, tuple(self._envelopes),
                     tuple((packet.tag, packet.box) for packet in self._packets), index, tuple(self._control), drops)

    def _perform(self, request: Change) -> Result:
        match request:
            case AddEntry():
                return self._entry(request)
            case AddChunk():
                return self._chunk(request)
            case AddSpace():
                return self._create(request)
            case RotateSpace():
                return self._rotate(request)
            case DropSpace():
                return self._drop(request)
            case DropEntries():
                return self._drop_entries(request)

    @property
    def _end(self) -> int:
        return 0 if self._state is None else self._first + len(self._envelopes)

    def _set(self, state: State) -> None:
        self._state, self.changed = state, True

    def _entry(self, request: AddEntry) -> Result:
        state = self._state
        if state is None or not state.alive:
            return NO_SPACE
        if request.under != (state.control if request.control else state.append):
            return ROTATED
        if (place := self._known.get(request.entry)) is not None:
            return Stored(*place, fresh=False)
        size = len(request.envelope)
        used = (state.control_bytes + self._new_control if request.control
                else state.data_bytes + self._new_data + state.packets * PACKET_COST)
        limit = self._quotas.control_bytes if request.control else self._quotas.space_bytes
        if used + size > limit:
            return over_quota(request.control, limit)
        head = self._head = fold_head(self._head, request.entry)
        self.changed = True
        if request.control:
            self._new_control += size
            self._control.append(len(self._envelopes))
        else:
            self._new_data += size
        self._envelopes.append(request.envelope)
        self._ids.append(request.entry[:ID_PREFIX])
        place = self._known[request.entry] = self._end, head
        return Stored(*place, fresh=True)

    def refusal(self, request: AddChunk) -> Refused | None:
        """Why a chunk may not be stored."""
        state = self.alive
        if state is None:
            return NO_SPACE
        if request.under != state.append:
            return ROTATED
        if state.blob_bytes + len(request.data) > self._quotas.blob_bytes:
            return over_blob_quota(self._quotas.blob_bytes)
        return None

    def count(self, request: AddChunk) -> None:
        """A chunk is there, and counts, whether it would be let in now or not."""
        if (state := self.alive) is not None:
            self._set(replace(state, blob_bytes=state.blob_bytes + len(request.data)))

    @property
    def next_due(self) -> float:
        """When the next of what is to be dropped is due, or long ago."""
        return self._drops.next_due or 0.0

    def _set_drops(self, drops: Drops) -> None:
        self._drops, self.changed = drops, True

    def _drop_entries(self, request: DropEntries) -> Result:
        state, drops = self.alive, self._drops
        if state is None:
            return NO_SPACE
        if request.signer != state.admin or request.voucher != state.control:
            return UNVOUCHED
        if request.drop == state.drop:
            return Done()
        if request.follows != state.drop:
            return OTHER_DROP
        if request.ranges and request.ranges[-1].last > state.end:
            return PAGE_AHEAD
        ends = {one.last: one.head for one in drops.dropped}
        if any((self._heads.get(one.last) or ends.get(one.last, one.head)) != one.head for one in request.ranges):
            return OTHER_HEAD
        due = self._now + self._quotas.grace
        # Each offset waits once: named in ever other ranges the table would grow, which every block of it holds.
        waiting = [(*span, due) for span in drops.unnamed(request.ranges)]
        releasing = dict.fromkeys(request.chunks, due) | dict(drops.releasing)
        after = replace(drops, dropping=(*drops.dropping, *waiting), releasing=tuple(releasing.items()))
        if after.rows > MAX_DROPS:
            return MUCH_DROPPED
        self._set(replace(state, drop=request.drop))
        self._set_drops(after)
        return Done()

    def expire(self, drops: Drops, data: int, control: int, blobs: int) -> None:
        """What was to be dropped is, as `drops` says; bytes of entries, control entries and chunks are given back.

        No more than there are: a chunk whose relay was killed before it counted it counts for nothing.
        """
        if (state := self.alive) is not None:
            self._set(replace(state, data_bytes=max(0, state.data_bytes - data),
                              control_bytes=max(0, state.control_bytes - control),
                              blob_bytes=max(0, state.blob_bytes - blobs)))
            self._set_drops(drops)

    def recount(self, blobs: int) -> None:
        """The chunks that are there take so many bytes, whatever was counted."""
        if (state := self.alive) is not None:
            self._set(replace(state, blob_bytes=blobs))

    def _chunk(self, request: AddChunk) -> Result:
        if (refusal := self.refusal(request)) is not None:
            return refusal
        self.count(request)
        return Done()

    def _create(self, request: AddSpace) -> Result:
        digest = packets_hash(request.packets)
        if (state := self.alive) is not None:
            return Done() if (state.keys, state.packets_hash) == (request.keys, digest) else OTHER_SPACE_KEYS
        if self.state is not None and self.state.recovery != request.keys.recovery:
            return OTHER_RECOVERY_KEY
        if (refusal := packets_over_quota(request.packets, self._quotas)) is not None:
            return refusal
        keys = request.keys
        mark = self._birth()
        self._set(State(mark, mark, True, keys.admin, keys.recovery, keys.read, keys.append, keys.control, digest,
                        len(request.packets)))
        self._begin()
        self._packets = request.packets
        return Done()

    def anew(self, packets: tuple[SealedPacket, ...]) -> None:
        """Begin another log of the same space, with nothing in it yet but these packets."""
        if (state := self.alive) is not None:
            self._set(replace(
                state, birth=self._birth(), since=0, record=0, end=0, head=GENESIS_HEAD, data_bytes=0, control_bytes=0,
                indexed=0, index=0, dropping=False, drops=0, drop=NO_DROP, packets=len(packets),
                packets_hash=packets_hash(packets)))
            self._begin()
            self._packets = packets

    def _begin(self) -> None:
        """What the draft had belongs to a life that is over."""
        self._before = self._head = GENESIS_HEAD
        self._first = 0
        self._envelopes, self._ids, self._known, self._packets, self._control = [], [], {}, (), []
        self._drops = self._drops_before = Drops()

    def _rotate(self, request: RotateSpace) -> Result:
        state = self.alive
        if state is None:
            return NO_SPACE
        digest = packets_hash(request.packets)
        keys = rotated(state.keys, state.packets_hash, state.packets, request, digest, self._quotas)
        if not isinstance(keys, SpaceKeys):
            return keys
        self._set(replace(state, admin=keys.admin, read=keys.read, append=keys.append, control=keys.control,
                          packets=len(request.packets), packets_hash=digest, record=0))
        self._packets = request.packets
        return Done()

    def _drop(self, request: DropSpace) -> Result | Refused:
        state = self.alive
        if state is None:
            return Done()
        if request.signer not in (state.admin, state.recovery):
            return NOT_OWNER
        self.dropped = state
        self._set(State(state.birth, state.store, False, state.admin, state.recovery, state.read, state.append,
                        state.control, state.packets_hash))
        self._begin()
        return Done()
