"""What is left of a damaged log, from whichever nodes still have it."""

from collections.abc import AsyncIterator
from typing import Final

from chez_relay.storage import SealedPacket
from chez_relay.storage.jetstream.blocks import Block, State, decode_block
from chez_relay.storage.jetstream.engine import Engine, Kept, Unavailable
from chez_wire.envelope import entry_id, fold_head
from chez_wire.limits import MIB
from chez_wire.packets import packets_hash

__all__ = ("Left",)

ASKED: Final = 4
"""Times that any node is asked for each stretch: of three, most likely all were."""


class Left:
    """The blocks of one log that are whole by themselves, whatever lies between them."""

    def __init__(self, engine: Engine, stream: str, subject: str, state: State) -> None:
        self._engine = engine
        self._stream = stream
        self._subject = subject
        self._state = state

    async def packets(self) -> tuple[SealedPacket, ...]:
        """The packets; none where they are gone, until the next rotation brings others."""
        state = self._state
        found: list[Kept] = []
        if (kept := await self._engine.at(self._stream, state.record)) is not None:
            found.append(kept)
        for _ in range(ASKED):
            found += await self._stretch(state.record, 1)
        for kept in found:
            block = decode_block(kept.data, kept.seq)
            if kept.subject == self._subject and block is not None:
                packets = tuple(SealedPacket(tag, box) for tag, box in block.packets)
                if packets_hash(packets) == state.packets_hash:
                    return packets
        return ()

    async def blocks(self, last: int) -> AsyncIterator[Block]:
        """The blocks up to a sequence, in order. Raises `Unavailable`."""
        seq, end = self._state.since, 0
        while seq <= last:
            stretches = [await self._stretch(seq, MIB) for _ in range(ASKED)]
            if not any(stretches):
                one = await self._engine.next(self._stream, self._subject, seq)
                stretches = [[] if one is None else [one]]
            found = {kept.seq: kept for stretch in stretches for kept in stretch}
            if not found:
                return
            # Beyond the end of the shortest stretch, what it lacks may be what it did not come to.
            horizon = min(stretch[-1].seq for stretch in stretches if stretch)
            for number in sorted(number for number in found if number <= horizon):
                block = decode_block(found[number].data, number)
                if block is not None and self._whole(block) and block.first > end:
                    end = block.state.end
                    yield block
            seq = horizon + 1

    def _whole(self, block: Block) -> bool:
        if block.state.birth != self._state.birth or not block.envelopes:
            return False
        head = block.before
        for envelope in block.envelopes:
            head = fold_head(head, entry_id(envelope))
        return head == block.state.head

    async def _stretch(self, seq: int, size: int) -> list[Kept]:
        try:
            return await self._engine.run(self._stream, self._subject, seq, size=size)
        except Unavailable:
            return []
