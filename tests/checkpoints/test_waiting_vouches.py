"""A vouch is judged once all that it is about was read: until then it is neither asked for nor condemned."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from msgspec import structs

from chez.records.waiting import Budget
from chez.sync.channel import Channel
from chez.sync.checkpoints.dropping import Dropping
from chez.sync.checkpoints.errands import Answer, Ask, Drop
from chez.sync.checkpoints.format import Announcement, BundleNote, Manifest, Upto, Vouch, read_manifest
from chez.sync.checkpoints.heard import OPEN, UNFIT, checkpoints, hear, manifest_of, refuse, vouches
from chez.sync.checkpoints.order import learn
from chez.sync.checkpoints.site import TRIED, Site
from chez.sync.entry import ANNOUNCEMENT, CHECKPOINTS, MANIFEST, VOUCH, Inner, Item, seal, sign_entry
from chez.sync.events import EntriesArrived
from chez.sync.heads import head_after
from chez.sync.intake import TURN
from chez.sync.machine import SyncMachine
from chez.sync.session import ClientSession
from chez.sync.work import Phase
from chez_wire.dropping import NO_DROP, Dropped
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.frames import Entry
from tests.simulation.household import NOW, Member
from tests.sync.test_hearing import Family, rename
from tests.sync.test_several import knows_two, written


class Owner:
    """An owner's device that knows two relays; another one of its person wrote `a` and `b`, and makes checkpoints."""

    def __init__(self) -> None:
        self.family = Family()
        self.home, self.replica = knows_two(self.family)
        self.db = self.home.db
        self.dropping = Dropping(Site(self.replica, 1))
        self.maker = self.family.founder.member
        self.envelopes = written(self.family, "a", "b")
        for at, envelope in enumerate(self.envelopes, 1):
            self.replica.incoming(self.db, 2, [Entry(at, envelope)], GENESIS_HEAD)

    def shows(self, envelopes: Sequence[bytes]) -> None:
        """The first relay hands these out."""
        page = [Entry(at, one) for at, one in enumerate(envelopes, self.dropping.site.read(self.db) + 1)]
        self.replica.incoming(self.db, 1, page, b"")

    def says(self, who: Member, kind: int, what: Manifest | Vouch | Announcement) -> bytes:
        """A device says something of checkpoints, which the other relay brings."""
        space = self.replica.space
        entry = sign_entry(Inner(1, space.id, who.keys.id, 1_000 + kind, bytes(32), NOW, CHECKPOINTS,
                                 [Item(kind, "", "", msgspec.msgpack.encode(what))], [], None), who.keys.signing)
        hear(self.db, 1, entry.inner, entry.hash)
        return entry.hash

    def vouched(self, ends: Sequence[bytes], who: Member | None = None, head: bytes = b"") -> None:
        """A checkpoint of `a` and `b`, and a word that the next offsets, which are to hold these, may be dropped.

        With `head`, it says that the log has this one behind them.
        """
        space = self.replica.space
        last = self.db.execute("SELECT sequence, hash FROM entry WHERE author = ? ORDER BY sequence DESC LIMIT 1",
                               (self.maker.keys.id,)).fetchone()
        made = self.says(self.maker, MANIFEST, Manifest(1, [BundleNote(
            [Upto(self.maker.keys.id, *last, bytes(64), None)], [[bytes(32)]], 1, 1)]))
        (before,) = self.db.execute("SELECT head FROM cursor WHERE relay = 1").fetchone()
        first = self.dropping.site.read(self.db) + 1
        after = head or head_after(before, [Entry(at, one) for at, one in enumerate(ends, first)])
        control = space.control_of(space.epoch)
        assert control is not None
        self.says(who or self.maker, VOUCH, Vouch(
            1, made, self.dropping.site.log(self.db), self.dropping.site.incarnation(self.db), NO_DROP,
            [Dropped(first, first + len(ends) - 1, after)], [], control.public, bytes(64)))

    def judged(self) -> tuple[bool, int]:
        """Whether the relay is to be asked, and what became of the vouch; unasked, nothing is dropped there."""
        step = self.dropping.step(self.db, None)
        assert step is None or isinstance(step, Ask)
        ((_, _, _, state),) = vouches(self.db, 1)
        return isinstance(step, Ask), state


def test_a_vouch_for_what_was_not_read_there_waits_for_that() -> None:
    """All of the checkpoint came by another relay: what this one has at these offsets is not known before it is read.
    """
    owner = Owner()
    owner.vouched(owner.envelopes)
    assert owner.judged() == (False, OPEN)
    owner.shows(owner.envelopes[:1])
    assert owner.judged() == (False, OPEN) and owner.dropping.unread == owner.dropping.site.read(owner.db) + 1
    owner.shows(owner.envelopes[1:])
    assert owner.judged() == (True, OPEN)


def test_a_vouch_that_waits_is_judged_when_the_relay_was_read_so_far() -> None:
    """At once, and not with the next connection."""
    owner = Owner()
    owner.vouched(owner.envelopes)
    machine = SyncMachine(owner.replica, 1, Channel(ClientSession("relay.test:1", bytes(32)), {}))
    machine.admission.phase = Phase.FOLLOWING
    desk = machine.course.desk
    assert desk.step(owner.db) is None
    read = desk.site.read(owner.db)
    for at, envelope in enumerate(owner.envelopes, read + 1):
        (turn,) = machine.handle(EntriesArrived(1, bytes(32), (Entry(at, envelope),), b"", read + 2))
        asked = [work.run for work in turn.then(turn.run(owner.db))]
        assert (desk.step in asked) is (at == read + 2)
    assert isinstance(desk.step(owner.db), Ask)


def test_a_vouch_for_what_turns_out_to_be_something_else_is_condemned() -> None:
    """What no checkpoint stands for is at one of the offsets, which is asked of nobody before that is read."""
    owner = Owner()
    other = written(owner.family, "c")
    owner.vouched([owner.envelopes[0], *other])
    assert owner.judged() == (False, OPEN)
    owner.shows([owner.envelopes[0], *other])
    assert owner.judged() == (False, UNFIT)
    assert owner.judged() == (False, UNFIT)


def test_a_vouch_for_what_is_said_of_the_members_is_condemned() -> None:
    """No checkpoint stands for a statement: dropped, nobody who comes later would hear it."""
    owner = Owner()
    rename(owner.family.founder, 1)
    said = owner.family.founder.sends()
    owner.vouched([*owner.envelopes, *said])
    owner.shows([*owner.envelopes, *said])
    assert owner.judged() == (False, UNFIT)


def test_a_vouch_for_the_other_branch_of_a_fork_is_condemned() -> None:
    """The checkpoint stands for the branch that came first: the other one would be gone, and be proof of nothing."""
    owner = Owner()
    owner.vouched(owner.envelopes)
    owner.shows(owner.envelopes)
    owner.db.execute("INSERT INTO entry (space, author, sequence, branch, hash, kind, inner) SELECT space, author, "
                     "sequence, 1, ?, kind, inner FROM entry WHERE author = ? ORDER BY sequence DESC LIMIT 1",
                     (b"f" * 32, owner.maker.keys.id))
    owner.db.execute("UPDATE relay_head SET entry = ? WHERE relay = 1 AND position = ?",
                     (b"f" * 32, owner.dropping.site.read(owner.db)))
    assert owner.judged() == (False, UNFIT)


def test_a_vouch_for_another_log_than_is_shown_here_is_condemned() -> None:
    """Who vouched saw another head behind these offsets: what would be dropped there is not what was read here."""
    owner = Owner()
    owner.vouched(owner.envelopes, head=bytes(32))
    owner.shows(owner.envelopes)
    assert owner.judged() == (False, UNFIT)


@pytest.mark.parametrize(("whole", "last"), [(True, NO_DROP), (False, NO_DROP), (True, bytes([9]) * 32)],
                         ids=["held", "not held", "after another drop"])
def test_nothing_is_dropped_on_a_checkpoint_that_the_relay_does_not_hold(whole: bool, last: bytes) -> None:
    """Or after a drop that nobody here heard of: what stands for what that dropped may be another checkpoint."""
    owner = Owner()
    owner.vouched(owner.envelopes)
    owner.shows(owner.envelopes)
    asked = owner.dropping.step(owner.db, None)
    assert isinstance(asked, Ask)
    answer = Answer(asked.entry, whole, last)
    step = owner.dropping.step(owner.db, answer)
    assert isinstance(step, Drop) is (whole and last == NO_DROP)
    assert owner.dropping.site.bears(owner.db, manifest_of(owner.db, 1, asked.entry), answer) is isinstance(step, Drop)
    assert owner.judged() == (isinstance(step, Drop), OPEN)  # nor asked again, on this connection


def test_who_is_no_owner_asks_for_no_drop() -> None:
    """A relay takes it of owners alone; another device, which has no key to ask with, leaves it to one of theirs."""
    owner = Owner()
    owner.vouched(owner.envelopes)
    owner.shows(owner.envelopes)
    owner.db.execute("UPDATE epoch SET admin = NULL")
    owner.replica.hear()
    owner.replica.refresh(owner.db)
    assert owner.judged() == (False, OPEN)


def test_a_vouch_for_a_checkpoint_that_was_not_heard_of_waits() -> None:
    """Another relay may have brought it before."""
    owner = Owner()
    owner.vouched(owner.envelopes)
    owner.shows(owner.envelopes)
    (made,) = owner.db.execute("DELETE FROM checkpoint RETURNING body")
    assert owner.judged() == (False, OPEN)
    owner.says(owner.maker, MANIFEST, read_manifest(*made))
    assert owner.judged() == (True, OPEN)


def test_a_vouch_for_what_waits_for_a_key_waits_for_that() -> None:
    """The same entries came under a key that is here by another relay; this one has them under one that is not."""
    owner = Owner()
    space = owner.replica.space
    later = replace(space.epoch, id=bytes([7]) * 32)
    packed = owner.db.execute("SELECT inner FROM entry ORDER BY n DESC LIMIT 1").fetchone()[0]
    ends = [owner.envelopes[0], seal(packed, space.handle, later, bytes(24))]
    owner.vouched(ends)
    owner.shows(ends)
    assert owner.home.count("locked") == 1 and owner.judged() == (False, OPEN)
    owner.db.execute("INSERT INTO epoch (space, id, number, secret, append_, admin) SELECT space, ?, number, secret, "
                     "append_, admin FROM epoch WHERE id = ?", (later.id, space.epoch.id))
    owner.replica.hear()
    owner.replica.go_on(owner.db, Budget(TURN))
    assert owner.home.count("locked") == 0 and owner.judged() == (True, OPEN)


def test_a_vouch_of_a_device_that_is_not_known_yet_waits_for_its_certificate() -> None:
    """Whose device it is decides whether it may vouch."""
    owner = Owner()
    member = owner.family.newcomer()
    owner.vouched(owner.envelopes, member)
    owner.shows(owner.envelopes)
    assert owner.judged() == (False, OPEN)
    owner.shows(owner.family.founder.sends())
    assert owner.judged() == (True, OPEN)


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_released_where_nobody_vouched_for_what_stands(known: bool) -> None:
    """A relay did a drop on the word of a device that nobody let in: what its checkpoint is in may be all there is."""
    owner = Owner()
    owner.vouched(owner.envelopes, None if known else owner.family.newcomer())
    owner.shows(owner.envelopes)
    log = owner.dropping.site.log(owner.db)
    ((_, _, vouch, _),) = vouches(owner.db, 1)
    learn(owner.db, 1, log, vouch.drop)
    last = manifest_of(owner.db, 1, vouch.manifest).vector
    owner.says(owner.maker, ANNOUNCEMENT, Announcement(1, log, [(author, *at) for author, at in last.items()],
                                                       [[bytes([5]) * 32]]))
    assert isinstance(owner.dropping.step(owner.db, None), Ask) is known


@pytest.mark.parametrize("known", [True, False])
def test_a_word_of_nobodys_device_keeps_no_checkpoint_looked_for(known: bool) -> None:
    """Of very many of one person the newest are looked for, and those that somebody vouched for who may."""
    owner = Owner()
    owner.vouched(owner.envelopes, None if known else owner.family.newcomer())
    ((made, _),) = owner.dropping.site.tried(owner.db)
    manifest = manifest_of(owner.db, 1, made)
    for n in range(TRIED):
        (bundle,) = manifest.bundles
        owner.says(owner.maker, MANIFEST, structs.replace(manifest, bundles=[
            structs.replace(bundle, parts=[[bytes([n + 1]) * 32]])]))
    found = [entry for entry, _ in owner.dropping.site.tried(owner.db)]
    assert len(found) == TRIED + known and (made in found) is known


@pytest.mark.parametrize("known", [True, False])
def test_a_checkpoint_of_nobodys_device_is_one_by_the_word_of_a_known_one(known: bool) -> None:
    """Who made it may be nobody's since; or by a drop that a relay did on it, whoever's word that was."""
    owner = Owner()
    stranger = owner.family.newcomer()
    owner.vouched(owner.envelopes, None if known else stranger)
    owner.db.execute("UPDATE checkpoint SET author = ?", (stranger.keys.id,))
    assert len(checkpoints(owner.db, owner.replica.space)) == known
    ((_, _, vouch, _),) = vouches(owner.db, 1)
    learn(owner.db, 1, vouch.log, vouch.drop)
    assert len(checkpoints(owner.db, owner.replica.space)) == 1


def test_a_vouch_for_a_checkpoint_that_was_refused_is_condemned() -> None:
    """It is not what it says, whoever vouched for it before that was found."""
    owner = Owner()
    owner.vouched(owner.envelopes)
    owner.shows(owner.envelopes)
    ((made, _),) = owner.dropping.site.tried(owner.db)
    refuse(owner.db, 1, made, "it lies")
    assert owner.judged() == (False, UNFIT)
