"""Requests to a relay's storage, for one space and one inbox with small quotas."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from chez_relay import storage as s
from chez_relay.storage.migrations import APPLICATION_ID, steps
from chez_wire.chunks import chunk_id
from chez_wire.dropping import NO_CHECKPOINT, NO_DROP, drop_hash
from chez_wire.envelope import entry_id
from chez_wire.frames import SealedPacket
from tests.relay.support import Space, packet, seed

SPACE = Space()
READ, APPEND, CONTROL = SPACE.keys.read, SPACE.keys.append, SPACE.keys.control
QUOTAS = s.Quotas(space_bytes=2000, control_bytes=700, inbox_items=3, blob_bytes=1000, grace=50)
INBOX = s.AddInbox(seed("inbox"), seed("owner"), seed("writer"), 100)


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def new_store(path: Path) -> Iterator[sqlite3.Connection]:
    """A new store's file, its tables made, all of it in the main file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for step in steps():
            db.executescript(step)
        db.execute("INSERT INTO facts VALUES ('incarnation', ?)", (seed("incarnation"),))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(steps())}")
        yield db


def entry(number: int, size: int = 300, *, control: bool = False, space: Space = SPACE) -> s.AddEntry:
    """An append, under the credential that `space` has for it."""
    envelope = SPACE.envelope(number, size)
    under = space.keys.control if control else space.keys.append
    return s.AddEntry(SPACE.handle, entry_id(envelope), envelope, control, under)


def chunk(number: int, size: int = 300) -> s.AddChunk:
    """A piece of an attachment."""
    data = bytes((number,)) * size
    return s.AddChunk(SPACE.handle, chunk_id(data), data, APPEND)


def drop(ranges: Sequence[s.Dropped], chunks: Sequence[s.AddChunk] = (), follows: bytes = NO_DROP, *,
         by: bytes = SPACE.keys.admin, voucher: bytes = CONTROL) -> s.DropEntries:
    """A request to drop ranges and release chunks, after another one."""
    ids = tuple([one.chunk for one in chunks])
    name = drop_hash(follows, NO_CHECKPOINT, ranges, ids)
    return s.DropEntries(SPACE.handle, by, voucher, follows, name, tuple(ranges), ids)


def create(packets: int = 0) -> s.AddSpace:
    """The space, with that many packets."""
    return s.AddSpace(SPACE.handle, SPACE.keys, table(packets))


def table(count: int, generation: int = 0) -> tuple[SealedPacket, ...]:
    """That many packets, in order; the same tags hold others in each generation."""
    return tuple(sorted((packet(f"{number}", generation) for number in range(count)), key=lambda one: one.tag))


def codes(results: Sequence[s.Result]) -> list[object]:
    """What was refused, and why; None for what was not."""
    assert None not in results, "each is answered"
    return [getattr(result, "code", None) for result in results]


def rotate(space: Space, packets: int = 0, *, by: bytes = SPACE.keys.admin, previous: bytes = READ) -> s.RotateSpace:
    """Give the space the keys of another one, and new packets."""
    return s.RotateSpace(SPACE.handle, by, previous, space.keys.admin, space.keys.credentials, table(packets, 1))
