"""Which pieces of attachments may be released, by a device's store alone."""

import pytest

from chez.blobs import tables
from chez.blobs.format import MANIFEST
from chez.sync.checkpoints import parting
from tests.checkpoints.bundles import filled
from tests.security.chains import Reader

LOG = b"l" * 32
ONE, TWO, SHARED = (bytes((n,)) * 32 for n in (1, 2, 3))


def freed(device: Reader, manifest: bytes, pieces: list[bytes], *, seen: bool = True, listed: bool = True) -> None:
    """An attachment of one chunk that was here and is not any more."""
    n = tables.begin(device.db, 1)
    tables.add_pieces(device.db, n, [(position, id, 10) for position, id in enumerate(pieces)])
    if listed:
        tables.add_pieces(device.db, n, [(MANIFEST, manifest, 10)])
    tables.finish(device.db, n, manifest.hex(), 5, manifest, lambda id: True)
    if not seen:
        device.db.execute("UPDATE blob SET content = NULL WHERE n = ?", (n,))
    tables.part(device.db, n)
    tables.abandon(device.db, n)


def may(device: Reader, gone: set[bytes] = frozenset()) -> list[bytes]:  # type: ignore[assignment]
    """What may be released now."""
    return parting.released(device.db, device.replica.space, device.member.keys.id, 1, LOG, gone)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """One in step with its relay, where all others have seen everything."""
    monkeypatch.setattr(parting, "_saw", lambda *_: True)
    monkeypatch.setattr(parting, "_said", lambda *_: 1)
    return filled()[1]


def test_what_was_freed_is_released_once(device: Reader) -> None:
    """All its pieces, until they are gone; then nothing is looked at again."""
    freed(device, ONE, [TWO])
    assert set(may(device)) == {ONE, TWO} == set(may(device))
    assert may(device, {ONE}) == [TWO] and may(device, {ONE, TWO}) == []
    assert device.db.execute("SELECT position FROM parted").fetchall() == [(None,)] and may(device) == []


def test_another_store_of_the_relay_is_asked_anew(device: Reader) -> None:
    """What was released at the store before says nothing of the next one."""
    freed(device, ONE, [TWO])
    may(device, {ONE, TWO})
    device.db.execute("INSERT OR REPLACE INTO cursor (space, relay, incarnation, position, head, acknowledged) "
                      "VALUES (1, 1, ?, 0, ?, 0)", (b"i" * 32, bytes(32)))
    device.db.execute("UPDATE cursor SET incarnation = ?", (b"j" * 32,))
    assert set(may(device)) == {ONE, TWO}


def test_a_piece_that_another_attachment_has_stays(device: Reader) -> None:
    """A member listed it in a manifest of its own, and let that go: what others need is not released."""
    freed(device, ONE, [SHARED])
    n = tables.begin(device.db, 1)
    tables.add_pieces(device.db, n, [(0, SHARED, 10)])
    assert may(device) == [ONE]


def test_a_piece_of_two_attachments_is_released_once(device: Reader) -> None:
    """A member listed it in a manifest of its own too, and both are freed: what names it twice is no vouch."""
    freed(device, ONE, [SHARED])
    freed(device, TWO, [SHARED])
    assert sorted(may(device)) == [ONE, TWO, SHARED]


def test_what_was_not_seen_whole_here_stays(device: Reader) -> None:
    """Nobody knows what its manifest lists, or all of it."""
    freed(device, ONE, [TWO], seen=False)
    freed(device, SHARED, [TWO], listed=False)
    assert may(device) == []


def test_what_is_wanted_again_stays(device: Reader) -> None:
    """It was added again, or a record holds it: it is forgotten, whatever was freed before."""
    freed(device, ONE, [TWO])
    tables.ensure(device.db, 1, ONE.hex())
    assert may(device) == [] and device.count("parting") == 0


def test_nothing_is_released_while_something_is_on_its_way(device: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's log does not say yet what this device knows."""
    monkeypatch.setattr(parting, "_said", lambda *_: None)
    freed(device, ONE, [TWO])
    assert may(device) == [] and device.count("parted") == 0


def test_whoever_may_write_must_have_seen_it(device: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """One device that did not is enough."""
    slow = next(iter(parting._writers(device.replica.space) - {device.member.keys.id}))
    monkeypatch.setattr(parting, "_saw", lambda db, space, other, log, position: other != slow)
    freed(device, ONE, [TWO])
    assert may(device) == []
