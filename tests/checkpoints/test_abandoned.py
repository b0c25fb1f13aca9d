"""Segments of a checkpoint whose maker was lost leave the relay; nothing else does on a member's announcement."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez.sync.checkpoints.abandoned import abandoned
from chez.sync.checkpoints.drafting import Drafting
from chez.sync.checkpoints.dropping import Dropping
from chez.sync.checkpoints.errands import Answer, Send
from chez.sync.checkpoints.format import Announcement, BundleNote, Manifest, Upto
from chez.sync.checkpoints.heard import announcements, checkpoints
from chez.sync.entry import ANNOUNCEMENT, MANIFEST, Item
from chez_relay.effects import Effect
from chez_relay.replies import refused
from chez_relay.storage import Result
from chez_relay.storage.census import census
from chez_relay.storage.refusals import DAMAGED
from tests.checkpoints.dying import Kill, killed
from tests.checkpoints.test_homes import shown, written
from tests.checkpoints.test_releasing import released
from tests.checkpoints.test_waiting_vouches import Owner
from tests.people.persons import persons, shared
from tests.people.support import join, open_again
from tests.relay.within import Within


async def _phone(anna: chez.Home, path: Path, relay: str) -> None:
    """A second device of hers, which wrote enough for a checkpoint."""
    async with join(anna, path, "phone", relay) as phone:
        await written(phone.space(), "phone", 8)
        await phone.set_relay(relay)
        await phone.sync()


@pytest.mark.parametrize("removed", [False, True])
async def test_segments_of_a_device_that_died_before_its_manifest_go(
        tmp_path: Path, server: Within, removed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed (SIGKILL) between the two, never seen again, taken out or not: the next drop frees them."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        await _phone(anna, tmp_path / "phone", server.url)
        assert server.data is not None
        assert await killed(tmp_path / "phone", Kill("answered", "Put"))
        left = census(server.data)
        assert left.chunks  # of no checkpoint that anybody knows
        await anna.sync()
        if removed:
            (device,) = [one for one in await anna.devices.all() if one.name == "phone"]
            await anna.devices.remove(device.id)
        await written(anna.space(), "anna", 6)
        await anna.sync()
        done = await anna.space().checkpoint()
        assert done is not None and done.dropped
        await released(server, done.bytes)
        async with join(anna, tmp_path / "tablet", "tablet", server.url) as tablet:
            assert await shown(tablet.space()) == await shown(anna.space()) != {}


@pytest.mark.parametrize("again", [
    pytest.param(False, id="it ends"), pytest.param(True, id="it is killed once more", marks=pytest.mark.slow)])
async def test_what_was_released_as_nobodys_and_was_put_again_goes(
        tmp_path: Path, server: Within, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device is killed before it says its checkpoint, whose segments another one releases; it comes back, and puts
    them once more. They go with a later drop, though they were released before."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        await _phone(anna, tmp_path / "phone", server.url)
        assert await killed(tmp_path / "phone", Kill("answered", "Put"))
        for number in range(2):
            await written(anna.space(), f"anna {number}", 6)
            await anna.sync()
            done = await anna.space().checkpoint()
            assert done is not None and done.dropped
            await released(server, done.bytes)
            if number == 0 and again:
                assert await killed(tmp_path / "phone", Kill("answered", "Put"))
            elif number == 0:
                async with open_again(tmp_path / "phone") as phone:
                    await phone.space().checkpoint()
        async with open_again(tmp_path / "phone") as phone:
            await phone.sync()
            await anna.sync()
            await released(server, done.bytes)


async def test_an_announcement_releases_nothing_that_serves(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member announces, as a draft of its own, an attachment's pieces and the segments that stand: all stay."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        blob = await trip.blobs.add(b"a picture" * 1000, media_type="image/png")
        await trip.collection("notes").put({"picture": blob}, id="picture")
        await written(trip, "anna", 6)
        await anna.sync()
        await trip.checkpoint()
        await berta.sync()
        await anna.sync()
        assert server.data is not None
        before, step, said = census(server.data).chunks, Drafting.step, []
        pieces = [bytes.fromhex(blob.id)]

        def lying(self: Drafting, db: Any, answer: Any) -> Any:
            site = self.site
            if site.replica.access.device != berta.device_id or site.replica.space.private or said:
                return step(self, db, answer)
            ((_, _, manifest), *_) = site.manifests(db)
            (author, (sequence, hash)), *_ = manifest.vector.items()
            # It goes no further than what stands: a draft like that is nobody's any more.
            said.append(Announcement(1, site.log(db), [(author, sequence, hash)], [[one] for one in (
                *pieces, *manifest.segments)]))
            item = Item(ANNOUNCEMENT, "", "", msgspec.msgpack.encode(said[0]))
            return Send(site.replica.author.say(db, site.relay, item)[0])

        looked: list[bytes] = []

        def look(self: Dropping, db: Any, segments: Any, plain: Any = Dropping.looked) -> None:
            looked.extend(segments)
            plain(self, db, segments)

        monkeypatch.setattr(Drafting, "step", lying)
        monkeypatch.setattr(Dropping, "looked", look)
        await berta.sync()
        assert said
        for _ in range(2):
            await written(trip, "anna", 4)
            await anna.sync()
        assert looked == pieces  # once, not with each connection
        assert "chunks-released" not in {one.kind for one in await anna.journal.receipts()}
        assert census(server.data).chunks == before
        assert await shown(hers) != {}


async def test_a_relay_that_does_not_say_what_it_holds_is_asked_once(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses to say: nothing is released on this connection, and it is not asked again and again."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        await _phone(anna, tmp_path / "phone", server.url)
        assert await killed(tmp_path / "phone", Kill("answered", "Put"))
        (device,) = [one for one in await anna.devices.all() if one.name == "phone"]
        await anna.devices.remove(device.id)
        with monkeypatch.context() as patched:
            patched.setattr("chez.sync.checkpoints.dropping.abandoned", lambda *_: {})
            await anna.sync()  # the space has new keys at the relay
        asked = []

        def silent(ref: int, result: Result) -> list[Effect]:
            asked.append(ref)
            return refused(ref, DAMAGED)

        monkeypatch.setattr("chez_relay.chunks._held", silent)
        await anna.sync(timeout=10)
        assert 0 < len(asked) < 4


class Announced(Owner):
    """An owner's device, and what was announced at a relay's log."""

    def announces(self, sequence: int, parts: list[list[bytes]], log: bytes = b"", author: bytes = b"") -> None:
        """An entry of this number says so: the maker's, or another one's."""
        author = author or self.maker.keys.id
        self.db.execute("INSERT INTO announced (space, entry, author, sequence, body) VALUES (1, ?, ?, ?, ?)", (
            bytes((100 + sequence,)) * 32, author, sequence, msgspec.msgpack.encode(
                Announcement(1, log or self.log, [(author, 99, bytes(32))], parts))))

    @property
    def log(self) -> bytes:
        """The relay's log."""
        return self.dropping.site.log(self.db)

    def said(self) -> list[int]:
        """The numbers of the entries whose announcements at the log are kept."""
        return sorted(sequence for _, sequence, _ in announcements(self.db, 1, self.log))

    def left(self, answer: Answer | None = None) -> dict[bytes, tuple[int, int]]:
        """The segments that are nobody's."""
        return abandoned(self.db, self.dropping.site, self.log, None, answer)


def test_what_was_announced_is_nobodys_once_its_author_announced_other_segments() -> None:
    """Not before, nor at another log, nor what a manifest names; of who writes in the space no more, at once. What led
    to a checkpoint, or is not at the relay, is asked about no more."""
    owner, piece = Announced(), [bytes((n,)) * 32 for n in range(6)]
    owner.announces(1, [[piece[0]], [piece[1], piece[2]]])
    owner.announces(2, [[piece[3]]], log=bytes(32))
    assert owner.left() == {}
    owner.announces(3, [[piece[4]]])
    assert owner.left() == {piece[0]: (0, 1), piece[1]: (0, 2), piece[2]: (1, 2)}
    owner.says(owner.maker, MANIFEST, Manifest(1, [BundleNote(
        [Upto(owner.maker.keys.id, 1, bytes(32), bytes(64), None)], [[piece[0]]], 1, 1)]))
    left = {piece[1]: (0, 2), piece[2]: (1, 2)}
    asked = frozenset(left)
    for answer in (Answer(b"", True, b"", asked=asked), Answer(b"", True, bytes(32), asked=frozenset(piece[1:2])),
                   Answer(b"", True, bytes(32), frozenset(piece[1:2]), asked)):  # refused, not asked, held in part
        assert owner.left(answer) == left and owner.said() == [1, 3]
    assert owner.left(Answer(b"", True, bytes(32), asked=asked)) == {} and owner.said() == [3]
    owner.announces(1, [[piece[0]]])
    assert owner.left() == {} and owner.said() == [3]
    owner.announces(5, [[piece[5]]], author=bytes(32))
    assert owner.left() == {piece[5]: (0, 1)} and owner.said() == [3, 5]
    assert owner.left(Answer(b"", True, bytes(32), asked=frozenset(piece))) == {}
    assert owner.said() == [3]  # its segments may be about to come


def test_nobody_lied_of_a_segment_of_which_a_relay_gives_nothing() -> None:
    """It said that it holds it: what was announced stays said, until something else comes in its place."""
    owner, piece = Announced(), bytes(32)
    owner.announces(1, [[piece]])
    owner.announces(2, [[bytes((2,)) * 32]])
    owner.dropping._left = owner.left()
    for data, said in ((b"", [1, 2]), (b"an attachment's piece", [2])):
        owner.dropping.looked(owner.db, {piece: data})
        assert owner.said() == said


def test_a_checkpoint_that_names_what_is_no_segment_counts_for_nothing_more() -> None:
    """Its maker can't release it, so an owner's device looks at what it names: an attachment's piece stays, its owner
    is told, and what the checkpoint names is not asked for again. One that names it elsewhere, and where nothing came,
    is believed yet."""
    owner, piece, other = Announced(), bytes(32), bytes((1,)) * 32
    last = [Upto(owner.maker.keys.id, 1, bytes(32), bytes(64), None)]
    lie = owner.says(owner.maker, MANIFEST, Manifest(1, [BundleNote(last, [[other], [piece]], 1, 1)]))
    said = owner.says(owner.maker, MANIFEST, Manifest(1, [BundleNote(last, [[other, piece]], 2, 2)]))
    owner.dropping._left = {piece: (0, 1)}
    for data, left in ((b"", [said, lie]), (b"an attachment's piece", [said])):
        owner.dropping.looked(owner.db, {piece: data})
        assert [entry for entry, _ in checkpoints(owner.db, owner.replica.space)] == left
    assert owner.db.execute("SELECT count(*) FROM quarantine").fetchone() == (1,)
