"""Vouching for checkpoints at one relay: another person's are read back and compared, and what they cover is named."""

from dataclasses import dataclass, field

import msgspec

from chez.store.database import Connection
from chez.sync.checkpoints import taking
from chez.sync.checkpoints.errands import Again, Answer, Ask, Errand, Send
from chez.sync.checkpoints.format import Manifest, Vouch
from chez.sync.checkpoints.heard import ASKED, OPEN, SOUND, UNFIT, manifest_of, state_of, vouches
from chez.sync.checkpoints.site import Site
from chez.sync.entry import VOUCH, Item
from chez_wire.dropping import Dropped, drop_hash, united
from chez_wire.limits import MAX_DROPPED
from chez_wire.login import vouch_message

__all__ = ("Vouching", "fits", "vouch_for")


@dataclass(slots=True)
class Vouching:
    """The vouching for a space's checkpoints at one relay."""

    site: Site
    _idle: set[tuple[bytes, frozenset[bytes]]] = field(default_factory=set)
    """Checkpoints for which there was nothing to say, with the vouches that were open and good then."""

    def step(self, db: Connection, answer: Answer | None) -> Errand:
        """The next thing to do for the newest checkpoint that a drop could rest on."""
        for entry, author in self.site.tried(db):
            if entry in self.site.lacking | self.site.dead:
                continue
            manifest = manifest_of(db, self.site.space, entry)
            if self.site.holds(db, manifest):
                return self._one(db, entry, author, manifest, answer)
        return None

    def _one(self, db: Connection, entry: bytes, author: bytes, manifest: Manifest, answer: Answer | None) -> Errand:
        site, space = self.site, self.site.replica.space
        if not site.independent(site.replica.access.device, author):
            return None
        waiting = self._waiting(db)
        good = {name: vouch for name, (voucher, vouch) in waiting.items() if site.speaks(voucher, author)}
        mine = [vouch for vouch in good.values() if vouch.manifest == entry]
        if (entry, frozenset(good)) in self._idle or (mine and all(
                vouch.manifest == entry for _, vouch in waiting.values())):
            return None  # no other drop can have come first
        if self._said(db, entry) or not (ranges := self._ranges(db, manifest)):
            self._idle.add((entry, frozenset(good)))
            return None
        if state_of(db, space.n, entry) != SOUND:
            taking.begin(db, space.n, site.relay, entry, taking.COMPARE)
            return Again()
        # It may have been compared at another store, or lost a segment since.
        if answer is None or answer.entry != entry:
            return Ask(entry, tuple(manifest.segments))
        if not site.bears(db, manifest, answer):
            site.dead.add(entry)
            return Again()
        if any(vouch.follows == answer.drop for vouch in mine):
            self._idle.add((entry, frozenset(good)))
            return None
        return vouch_for(db, site, entry, answer.drop, ranges, [])

    def _waiting(self, db: Connection) -> dict[bytes, tuple[bytes, Vouch]]:
        """What was vouched for at this log and may be dropped yet, by the vouches' entries."""
        space, log = self.site.replica.space, self.site.log(db)
        control = space.control_of(space.epoch)
        return {name: (voucher, vouch) for name, voucher, vouch, state in vouches(db, space.n)
                if state == OPEN and vouch.log == log and control is not None and vouch.control == control.public}

    def _said(self, db: Connection, entry: bytes) -> bool:
        """Whether it was dropped, or the relay would not on this device's word."""
        log = self.site.log(db)
        return any(vouch.manifest == entry and vouch.log == log and (
            state == ASKED or (state == UNFIT and voucher == self.site.replica.access.device))
            for _, voucher, vouch, state in vouches(db, self.site.space))

    def _ranges(self, db: Connection, manifest: Manifest) -> list[Dropped]:
        """The offsets of the relay's log that hold nothing but what a checkpoint stands for, and were not dropped."""
        covered = self.site.covered(db, manifest)
        out: list[Dropped] = []
        for position, head, hash in db.execute("SELECT position, head, entry FROM relay_head WHERE space = ? AND "
                                               "relay = ? ORDER BY position", (self.site.space, self.site.relay)):
            if hash not in covered:
                continue
            if out and out[-1].last == position - 1:
                out[-1] = Dropped(out[-1].first, position, head)
            else:
                out.append(Dropped(position, position, head))
        log = self.site.log(db)
        asked = united([one for _, _, vouch, state in vouches(db, self.site.space)
                        if vouch.log == log and state == ASKED for one in vouch.ranges])
        return [one for one in out if not any(other.first <= one.first and one.last <= other.last
                                              for other in asked)][:MAX_DROPPED]


def vouch_for(db: Connection, site: Site, entry: bytes, follows: bytes, ranges: list[Dropped],
              release: list[bytes]) -> Errand:
    """Say in an entry that a relay may drop these ranges and chunks, after a drop; None without the control key."""
    space = site.replica.space
    control = space.control_of(space.epoch)
    if control is None:
        return None
    incarnation = site.incarnation(db)
    name = drop_hash(follows, entry, ranges, release)
    word = control.sign_bytes(vouch_message(space.handle, incarnation, name))
    vouch = Vouch(1, entry, site.log(db), incarnation, follows, ranges, release, control.public, word)
    return Send(site.replica.author.say(db, site.relay, Item(VOUCH, "", "", msgspec.msgpack.encode(vouch)))[0])


def fits(db: Connection, site: Site, vouch: Vouch, manifest: Manifest) -> bool | None:
    """Whether a vouch names nothing but what the checkpoint stands for; None while not all of that was read here."""
    if vouch.release:
        return False  # chunks are released on nobody's word but an owner's device's own
    covered, read, known = site.covered(db, manifest), site.read(db), True
    for one in vouch.ranges:
        known = known and one.last <= read and not site.waits(db, one.first, one.last)
        rows = db.execute("SELECT position, head, entry FROM relay_head WHERE space = ? AND relay = ? AND "
                          "position BETWEEN ? AND ?", (site.space, site.relay, one.first, one.last)).fetchall()
        if any(hash is not None and hash not in covered for _, _, hash in rows):
            return False
        if any(hash is None and not _in_gap(db, site, position) and not site.waits(db, position, position)
               for position, _, hash in rows):
            return False
        if any(position == one.last and head != one.head for position, head, _ in rows):
            return False
    return True if known else None


def _in_gap(db: Connection, site: Site, position: int) -> bool:
    return db.execute("SELECT 1 FROM gap WHERE space = ? AND relay = ? AND first <= ? AND last >= ?",
                      (site.space, site.relay, position, position)).fetchone() is not None
