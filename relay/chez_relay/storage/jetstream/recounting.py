"""What the chunks of spaces take, counted anew from those that are there: by an operator's wish, beside the relays.

A space counts what is put and what is let go, so a chunk that the cluster lost counts for ever, and one whose relay was
killed before it counted it never does. What is there is exact once nothing is under way. So the last block is looked at
before the chunks are, and the new count built on it:

- a chunk that is put later is counted by a block that conflicts with this one, and is counted after it;
- one that was put just before may be counted yet or not: then the space is left for another time;
- one that is let go goes between two blocks, the first of which is seen here.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from chez_relay.storage import Quotas
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.blocks import encode
from chez_relay.storage.jetstream.draft import Draft
from chez_relay.storage.jetstream.engine import Conflict, Engine
from chez_relay.storage.jetstream.log import LOOKS, Log
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.views import Views

__all__ = ("SETTLED", "Recount", "Recounted")

SETTLED: Final = 600.0
"""Seconds after which a chunk is counted, or never will be: who puts one tries for 20, and many may be put together."""


@dataclass(slots=True)
class Recounted:
    """What came of it: spaces with chunks, those of them that were left out, bytes counted too many and too few."""

    spaces: int = 0
    left_out: int = 0
    given_back: int = 0
    added: int = 0


class Recount:
    """Counts the chunks of all spaces that `views` looks at."""

    def __init__(self, engine: Engine, places: Places, views: Views, settled: float = SETTLED) -> None:
        self._engine = engine
        self._places = places
        self._views = views
        self._settled = settled

    async def run(self) -> Recounted:
        """Count. Raises `Unavailable` when the cluster gives no answer for too long."""
        found = Recounted()
        for shard, stream in enumerate(self._places.streams("log")):
            names, _ = await patiently(
                self._engine, partial(self._engine.subjects, stream, self._places.all_logs(shard)))
            for name in names:
                handle = bytes.fromhex(name.rsplit(".", 1)[-1])
                await patiently(self._engine, partial(self._space, handle, found))
        return found

    async def _space(self, handle: bytes, found: Recounted) -> None:
        try:
            change = await self._counted(handle)
        except (Conflict, Damaged):
            change = None
        except _NoChunks:
            return
        found.spaces += 1
        if change is None:
            found.left_out += 1
        elif change < 0:
            found.given_back -= change
        else:
            found.added += change

    async def _counted(self, handle: bytes) -> int | None:
        """By how much a space's count changed; None where it can't be told now. Raises `_NoChunks`, `Conflict`,
        `Damaged`, `Unavailable`."""
        view = await self._views.surely(handle)
        seq, state = view.seq, view.state
        if state is None or not state.alive:
            raise _NoChunks
        drops = await Log(self._engine, self._places, handle, view).drops(state)
        stream, under = self._places.stream("blob", handle), self._places.chunks(handle, state.store)
        names, now = await self._engine.subjects(stream, under)
        if not names and not state.blob_bytes:
            raise _NoChunks
        there, sizes = set(names), dict[str, tuple[int, float]]()
        for _ in range(LOOKS):  # the node that is asked may be behind, or damaged
            if sizes.keys() >= there:
                break
            sizes |= await self._engine.sizes(stream, under)
        if not sizes.keys() >= there or any(now - sizes[name][1] < self._settled for name in names):
            return None
        # Of these some may be removed already; their bytes are given back by the block that says so.
        leaving = {self._places.chunk(handle, state.store, chunk): size for chunk, size, _ in drops.removing}
        total = sum(leaving.values()) + sum(sizes[name][0] for name in names if name not in leaving)
        if total != state.blob_bytes:
            draft = Draft(state, Quotas(), {}, lambda: b"")
            draft.recount(total)
            block = draft.block()
            view.wrote(await self._engine.publish(self._places.log(handle), encode(block), expected=seq), block, b"")
        return total - state.blob_bytes


class _NoChunks(Exception):
    """A space has none, and counts none."""
