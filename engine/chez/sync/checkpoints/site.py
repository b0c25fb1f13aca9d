"""One space at one relay: what is asked of the store about checkpoints there, whatever is to be done about them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from chez.store.database import Connection
from chez.sync.chains import place_of
from chez.sync.checkpoints import heard, taking
from chez.sync.checkpoints.errands import Answer
from chez.sync.checkpoints.format import Manifest, Vouch
from chez.sync.checkpoints.heard import REFUSED, author_of, checkpoints, manifest_of, vouches
from chez.sync.checkpoints.order import goes_as_far, standing, upto_of
from chez.sync.entry import CHANGES, log_name
from chez.sync.replica import Replica

__all__ = ("TRIED", "Site")

TRIED: Final = 8
"""Checkpoints of one person, the newest, that are looked for at a relay. A device makes one at a time, and who may only
read could make thousands up, each of which would cost everybody a round trip with each connection."""


@dataclass(slots=True)
class Site:
    """`relay` is the relay's row in the store; what it remembers holds for one connection."""

    replica: Replica
    relay: int
    lacking: set[bytes] = field(default_factory=set)
    """Checkpoints that could not be read here: their segments are not all there, or their keys are not here."""
    awaited: dict[bytes, tuple[bytes, int, bytes]] = field(default_factory=dict)
    """Those of them that lack an entry which they leave in the log: its author, number and hash."""
    held: set[bytes] = field(default_factory=set)
    """Checkpoints of which all that they stand for is here: it stays, and is not looked for again."""
    dead: set[bytes] = field(default_factory=set)
    """Checkpoints that nothing can rest on at this relay: it does not hold them whole, or they go less far than the
    one that stands for what was dropped."""

    @property
    def space(self) -> int:
        """The space's row in the store."""
        return self.replica.space.n

    def holds(self, db: Connection, manifest: Manifest) -> bool:
        """Whether all that a checkpoint stands for is here."""
        return all(place_of(db, self.space, author, *at) is not None for author, at in manifest.vector.items())

    def manifests(self, db: Connection) -> Iterator[tuple[bytes, bytes, Manifest]]:
        """Checkpoints by their entries, with author and manifest, the newest first.

        Read one by one: a manifest is large, and a member may have said many.
        """
        for entry, author in checkpoints(db, self.replica.space):
            yield entry, author, manifest_of(db, self.space, entry)

    def tried(self, db: Connection) -> Iterator[tuple[bytes, bytes]]:
        """The checkpoints that are looked for, by their entries, with their authors, the newest first.

        Of each person the newest ones, and those that somebody vouched for who may.
        """
        count: Counter[bytes] = Counter()
        vouched: set[bytes] | None = None
        for entry, author in checkpoints(db, self.replica.space):
            person = self.person(author)
            count[person] += 1
            if count[person] > TRIED:
                vouched = self.vouched(db) if vouched is None else vouched
                if entry not in vouched:
                    continue
            yield entry, author

    def vouched(self, db: Connection) -> set[bytes]:
        """The checkpoints, by their entries, that somebody vouched for who may."""
        return {vouch.manifest for _, voucher, vouch, _ in vouches(db, self.space) if self.counts(db, voucher, vouch)}

    def person(self, device: bytes) -> bytes:
        """Whose a device is; of who consented to several one. All that are not known are one person's: nobody's."""
        return min(self.replica.space.membership.state.persons_of(device), default=b"")

    def unheld(self, db: Connection) -> bytes | None:
        """The newest checkpoint, by its entry, that has what is not here, and can be read."""
        for entry, _ in self.tried(db):
            if entry in self.lacking or entry in self.held:
                continue
            if not self.holds(db, manifest_of(db, self.space, entry)):
                return entry
            self.held.add(entry)
        return None

    def came(self, db: Connection) -> bool:
        """Checkpoints whose awaited entry is here by now may be read; whether there are any."""
        freed = [one for one, place in self.awaited.items() if taking.kept_at(db, self.space, *place) is not None]
        for checkpoint in freed:
            del self.awaited[checkpoint]
            self.lacking.discard(checkpoint)
        return bool(freed)

    def covered(self, db: Connection, manifest: Manifest) -> set[bytes]:
        """The hashes of the entries that a checkpoint stands for."""
        return {hash for author, (sequence, _) in manifest.vector.items() for (hash,) in db.execute(
            "SELECT hash FROM entry WHERE space = ? AND author = ? AND branch = 0 AND sequence <= ? AND kind = ?",
            (self.space, author, sequence, CHANGES))}

    def independent(self, voucher: bytes, maker: bytes) -> bool:
        """Whether a device may vouch for a checkpoint: another person's, where there is one with a device.

        Nobody's may while it is not known whose devices these are.
        """
        if not self.knows(voucher, maker):
            return False
        state = self.replica.space.membership.state
        makers = state.persons_of(maker)
        others = {person for person in state.members if person not in makers and any(state.devices_of(person))}
        mine = state.persons_of(voucher) & set(state.members)
        return bool(mine & others) if others else bool(mine)

    def speaks(self, voucher: bytes, maker: bytes) -> bool:
        """As `independent`, for what is still to be dropped: not on the word of a device that was taken out since.

        A new epoch ends what it can say, but not everybody who takes one out starts it.
        """
        return self.replica.space.membership.state.right(voucher) is not None and self.independent(voucher, maker)

    def knows(self, *devices: bytes) -> bool:
        """Whether it is known here whose devices these are."""
        return None not in map(self.replica.space.membership.state.device, devices)

    def read(self, db: Connection) -> int:
        """The offset up to which the relay's log was read here."""
        (position,) = db.execute("SELECT position FROM cursor WHERE space = ? AND relay = ?",
                                 (self.space, self.relay)).fetchone()
        return int(position)

    def waits(self, db: Connection, first: int, last: int) -> bool:
        """Whether something that the relay has at these offsets waits here for its key."""
        return db.execute("SELECT 1 FROM locked WHERE space = ? AND relay = ? AND position BETWEEN ? AND ?",
                          (self.space, self.relay, first, last)).fetchone() is not None

    def counts(self, db: Connection, voucher: bytes, vouch: Vouch) -> bool:
        """Whether a vouch is independent of who made the checkpoint, and that was not refused."""
        row = db.execute("SELECT author, state FROM checkpoint WHERE space = ? AND entry = ?",
                         (self.space, vouch.manifest)).fetchone()
        return row is not None and row[1] != REFUSED and self.independent(voucher, row[0])

    def bears(self, db: Connection, manifest: Manifest, answer: Answer) -> bool:
        """Whether a drop may rest on a checkpoint after the relay's last one: it is whole, and goes as far."""
        try:
            before = self.standing(db, answer.drop)
        except LookupError:
            return False
        return answer.whole and goes_as_far(db, self.space, manifest.vector, upto_of(before and before[1]))

    def standing(self, db: Connection, drop: bytes) -> tuple[bytes, Manifest] | None:
        """The checkpoint that stands for all that was dropped here up to a drop, as `order.standing` has it."""
        return standing(db, self.space, self.log(db), drop)

    def refuse(self, db: Connection, entry: bytes, reason: str) -> None:
        """A checkpoint is not what it says: the person is told, and it counts for nothing any more."""
        heard.refuse(db, self.space, entry, reason)
        author = author_of(db, self.space, entry)
        known = self.replica.space.membership.state.device(author)
        self.replica.write_receipt(db, "checkpoint-refused", {
            "device": author.hex(), "name": "" if known is None else known.name, "why": reason})

    def log(self, db: Connection) -> bytes:
        """The name of the relay's log."""
        return log_name(self.incarnation(db), self.replica.space.handle)

    def incarnation(self, db: Connection) -> bytes:
        """Of the relay's store."""
        (incarnation,) = db.execute("SELECT incarnation FROM cursor WHERE space = ? AND relay = ?",
                                    (self.space, self.relay)).fetchone()
        return bytes(incarnation)

    def url(self, db: Connection) -> str:
        """The relay's address."""
        (url,) = db.execute("SELECT url FROM relay WHERE n = ?", (self.relay,)).fetchone()
        return str(url)
