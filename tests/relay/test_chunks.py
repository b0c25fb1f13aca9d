"""Chunks of attachments between both cores: roles, refusals, and a relay that hands out something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import InvalidValue, RelayMisbehaved
from chez.sync.events import ChunkArrived, ChunksFound, Completed, Refused
from chez_relay.storage import Quotas
from chez_wire import frames
from chez_wire.chunks import chunk_id
from chez_wire.dropping import NO_DROP
from chez_wire.limits import MAX_CHUNK, MAX_CHUNK_IDS, MAX_FRAME
from chez_wire.login import Role
from tests.relay.link import Link, World
from tests.relay.support import Space, seed

SPACE = Space()


def opened(world: World, *roles: Role) -> Link:
    """A link that created the space and opened these roles."""
    link = world.connect()
    link.client.create_space(SPACE.admin, *SPACE.others)
    link.client.open(SPACE.claims(*roles))
    return link


def outcome(link: Link, ref: int) -> object:
    """What came back for a request."""
    (event,) = [event for event in link.events if getattr(event, "ref", 0) == ref]
    return event


@given(st.integers(0, 2**32), st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8))
def test_what_was_put_is_found_and_got(number: int, pieces: list[bytes]) -> None:
    """Any interleaving: each piece is acknowledged, found and given back as it was; others are missing."""
    world = World(number)
    link = opened(world, Role.READ, Role.APPEND)
    put = [link.client.put_chunk(SPACE.handle, data) for data in pieces]
    asked = link.client.has_chunks(SPACE.handle, [chunk_id(data) for data in [*pieces, b"never put" * 9]])
    got = [link.client.get_chunk(SPACE.handle, chunk_id(data)) for data in pieces]
    missing = link.client.get_chunk(SPACE.handle, seed("none"))
    world.run()
    assert [outcome(link, ref) for ref in put] == [Completed(ref) for ref in put]
    assert outcome(link, asked) == ChunksFound(asked, (True,) * len(pieces) + (False,), NO_DROP)
    assert [outcome(link, ref) for ref in got] == [
        ChunkArrived(ref, data) for ref, data in zip(got, pieces, strict=True)]
    refused = outcome(link, missing)
    assert isinstance(refused, Refused) and refused.code == "missing" and not refused.retry
    assert not link.client.unanswered


def test_readers_do_not_put_and_writers_alone_do_not_get() -> None:
    """Each request needs its role: a reader's put and a mere writer's get are refused, and change nothing."""
    world = World(1)
    reader, writer, nobody = opened(world, Role.READ), opened(world, Role.APPEND), world.connect()
    handle, x = SPACE.handle, seed("x")
    refs = [
        (reader, reader.client.put_chunk(handle, b"x")), (writer, writer.client.get_chunk(handle, x)),
        (writer, writer.client.has_chunks(handle, [x])), (nobody, nobody.client.put_chunk(handle, b"x")),
        (nobody, nobody.client.get_chunk(handle, x)),
    ]  # fmt: skip
    found = reader.client.has_chunks(SPACE.handle, [chunk_id(b"x")])
    world.run()
    events = [outcome(link, ref) for link, ref in refs]
    assert [event.code for event in events if isinstance(event, Refused)] == ["role"] * 5
    assert outcome(reader, found) == ChunksFound(found, (False,), NO_DROP)


def test_a_full_space_refuses_chunks_and_goes_on() -> None:
    """Beyond the quota a chunk is refused by its code; what is there can be put again, and entries go on."""
    world = World(2, Quotas(blob_bytes=100))
    link = opened(world, Role.READ, Role.APPEND)
    refs = [link.client.put_chunk(SPACE.handle, data) for data in (b"a" * 60, b"b" * 60, b"a" * 60)]
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    assert [getattr(outcome(link, ref), "code", "") for ref in refs] == ["", "quota", ""]
    assert not link.client.unanswered


@pytest.mark.parametrize("answer", [
    lambda ref: frames.Chunk(ref, b"other bytes"), lambda ref: frames.Chunk(ref + 1, b"x"),
    lambda ref: frames.ChunksHeld(ref, [True], NO_DROP), lambda ref: frames.Done(ref),
], ids=["swapped", "unasked", "another answer", "done"])  # fmt: skip
def test_a_relay_that_answers_with_other_bytes_is_caught(answer: object) -> None:
    """Bytes without the id asked for, or another answer than the question's, break the connection by name."""
    world = World(3)
    link = opened(world, Role.READ)
    world.run()
    ref = link.client.get_chunk(SPACE.handle, chunk_id(b"x"))
    with pytest.raises(RelayMisbehaved):
        link.client.receive(frames.encode(answer(ref)))  # type: ignore[operator]


def test_a_relay_that_answers_about_fewer_chunks_is_caught() -> None:
    """An answer with another number of chunks than was asked about is no answer."""
    world = World(4)
    link = opened(world, Role.READ)
    world.run()
    ref = link.client.has_chunks(SPACE.handle, [seed("a"), seed("b")])
    with pytest.raises(RelayMisbehaved):
        link.client.receive(frames.encode(frames.ChunksHeld(ref, [True], NO_DROP)))


def test_sizes_are_held_to_the_limits() -> None:
    """A chunk too large or empty, or too many ids, is refused here; the largest of each fits a frame."""
    client = World(5).connect().client
    for data in (b"", bytes(MAX_CHUNK + 1)):
        with pytest.raises(InvalidValue):
            client.put_chunk(SPACE.handle, data)
    for ids in ([], [seed("a")] * (MAX_CHUNK_IDS + 1)):
        with pytest.raises(InvalidValue):
            client.has_chunks(SPACE.handle, ids)
    largest = frames.PutChunk(2**32 - 1, SPACE.handle, bytes(MAX_CHUNK))
    assert len(frames.encode(largest)) < MAX_FRAME
    assert len(frames.encode(frames.HasChunks(1, SPACE.handle, [seed("a")] * MAX_CHUNK_IDS))) < MAX_FRAME
