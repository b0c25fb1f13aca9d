"""What the devices of a space were told of it, and what must hold of that on the cluster when all is done."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez_relay import storage as s
from chez_relay.storage.jetstream.blocks import State, decode_block
from chez_wire.dropping import NO_DROP
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from tests.relay.modelled import Modelled
from tests.relay.storing import SPACE, chunk
from tests.relay.support import Space

__all__ = ("PIECES", "Told", "check_left", "check_log", "piece")

PIECES: Final = 64


def piece(number: int) -> s.AddChunk:
    """One of the chunks of attachments, each of another size."""
    return chunk(number, 100 + number)


@dataclass
class Told:
    """What devices were told of the space: `version` is odd while its owner changes its keys or its life."""

    version: int = 0
    keys: Space = SPACE
    packets: tuple[s.SealedPacket, ...] = ()
    places: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    sent: dict[bytes, tuple[bytes, bool]] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)
    follows: bytes = NO_DROP
    held: dict[int, bool] = field(default_factory=dict)
    busy: Counter[int] = field(default_factory=Counter)
    letting: set[int] = field(default_factory=set)
    uncounted: int = 0
    """Bytes of chunks whose relay was gone, perhaps after it stored them and before it counted them."""
    turns: Counter[int] = field(default_factory=Counter)
    """How often a chunk was begun to be put or let go."""

    def anew(self) -> None:
        """Another life begins."""
        self.keys, self.follows, self.uncounted = SPACE, NO_DROP, 0
        for kept in (self.places, self.sent, self.named, self.held):
            kept.clear()


def check_log(told: Told, page: s.Page, pushed: Sequence[tuple[int, int, bytes]]) -> None:
    """What was acknowledged is where that was said, once, what was dropped is gone, and what was pushed was so.

    Of what was `pushed`: the version then, an offset and an envelope.
    """
    head, at = GENESIS_HEAD, 0
    places: dict[bytes, tuple[int, bytes]] = {}
    dropped = {one.first: one for one in page.dropped}
    entries = {one.offset: one.envelope for one in page.entries}
    while at < page.end:
        if (gone := dropped.get(at + 1)) is not None:
            at, head = gone.last, gone.head
        else:
            at, entry = at + 1, entry_id(entries[at + 1])
            head = fold_head(head, entry)
            assert entry not in places, "an entry is there twice"
            places[entry] = at, head
    assert head == page.head
    gone_offsets = {offset for one in page.dropped for offset in range(one.first, one.last + 1)}
    assert gone_offsets == told.named, "what was dropped is another thing"
    for entry, place in told.places.items():
        assert place[0] in told.named or places.get(entry) == place, "what was acknowledged is gone"
    for version, offset, envelope in pushed:
        assert version != told.version or offset in told.named or entries[offset] == envelope


def check_left(told: Told, cluster: Modelled, state: State, counted: int) -> None:
    """What the streams have, which no quota counts."""
    logs, blobs = cluster.streams["chez_log_0"].messages, cluster.streams["chez_blob_0"].messages
    kinds = Counter(one.subject.split(".")[3] for one in logs.values())
    assert not kinds["begun"], "what a relay began nobody ended"
    for seq, one in logs.items():
        kind = one.subject.split(".")[3]
        assert kind != "gone" or one.subject.endswith(f".{state.store.hex()}"), "a life that is over was not swept"
        if kind == "s":
            block = decode_block(one.data, seq)
            # That a life ended is said in a block that goes with the end of the next one.
            assert block is not None and (block.state.birth == state.birth or not block.state.alive), (
                f"of a life that is over is left {seq}")
            offsets = set(range(block.first, block.state.end + 1)) if block.envelopes and block.index is None else set()
            last = max(number for number, other in logs.items() if other.subject == one.subject)
            assert seq == last or not offsets or not offsets <= told.named, "dropped entries are left"
    sizes = {piece(number).chunk.hex(): (number, len(piece(number).data)) for number in range(PIECES)}
    there: dict[int, int] = {}
    for one in blobs.values():
        assert one.subject.split(".")[4] == state.store.hex(), f"of a life that is over a chunk is left: {one.subject}"
        number, size = sizes[one.subject.split(".")[5]]
        there[number] = size
    for number, held in told.held.items():
        assert (number in there) == held, f"chunk {number} is {'' if number in there else 'not '}there"
    total = sum(there.values())
    assert total - told.uncounted <= counted <= total, f"{counted} bytes of chunks count, {total} are there"
