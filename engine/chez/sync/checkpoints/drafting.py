"""Making a checkpoint at one relay, step by step: whether, on the bundles of which earlier one, and its publication."""

from dataclasses import dataclass
from typing import Final

import msgspec

from chez.records.waiting import Budget
from chez.spaces.permits import role_of
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.checkpoints import making
from chez.sync.checkpoints.due import done, due, own, want
from chez.sync.checkpoints.errands import Again, Answer, Ask, Errand, Put, Send
from chez.sync.checkpoints.format import Manifest
from chez.sync.checkpoints.heard import HEARD, MADE, manifest_of, set_state, state_of
from chez.sync.checkpoints.order import last_known, upto_of
from chez.sync.checkpoints.policy import worth
from chez.sync.checkpoints.site import Site
from chez.sync.entry import ANNOUNCEMENT, MANIFEST, Item
from chez.sync.intake import TURN
from chez_wire.limits import KIB

__all__ = ("LEAST", "Drafting")

_AHEAD: Final = 8
"""Segments put at once: a few megabytes."""

LEAST: Final = 16 * KIB
"""Bytes of entries since the last checkpoint before another one is worth its manifest."""


@dataclass(slots=True)
class Drafting:
    """The making of a space's checkpoints at one relay."""

    site: Site
    full: bool = False
    """Whether the relay refused segments on this connection: two that are full would give each other turns for ever."""
    _weighed: bool = False

    def step(self, db: Connection, answer: Answer | None) -> Errand:
        """The next thing to do for the checkpoint that is being made, or is wanted."""
        replica, space = self.site.replica, self.site.replica.space
        role = role_of(space, replica.access.device)
        if role is None or role < Role.WRITER:
            return None
        wanted = replica.relays.checkpoints_due = due(db, space.n)
        row = db.execute("SELECT relay, full FROM draft WHERE space = ?", (space.n,)).fetchone()
        if row is not None and row[0] != self.site.relay:
            if not self._instead(db, row[0], wanted, full=bool(row[1])):
                return None
            row = None
        if row is None:
            return self._begin(db, answer) if self.site.relay in wanted or self._worth(db) else None
        if not making.written(db, space.n):
            making.work(db, space, replica.access.device, replica.entropy, Budget(TURN))
            return Again()
        if segments := making.unsent(db, space.n, _AHEAD):
            there = making.announced(db, space.n, self.site.relay)
            if there is None:
                return self._announce(db)
            # Looked at again when the relay acknowledges it.
            return Put(tuple(segments)) if there else None
        return self._publish(db, answer)

    def weigh(self) -> None:
        """Whether one is worth it is to be looked at again: the relay has no room for what is written."""
        self._weighed = False

    def _instead(self, db: Connection, other: int, wanted: set[int], *, full: bool) -> bool:
        """Whether to make one here although one is being made at another relay, which has its turn later if it is kept.

        It may be away for long, or full, or never be met again, and what was put there already is here no more.
        """
        replica, n = self.site.replica, self.site.space
        kept = other in replica.relays.kept
        stands = replica.relays.stands(other)
        if kept and ((stands and (self.full or not full)) or self.site.relay not in wanted):
            return False
        if not (kept and stands):  # else it would go on with one of its own before this one is begun
            making.clear(db, n)
        want(db, n, {other, self.site.relay} if kept else {self.site.relay})
        wanted |= {self.site.relay}
        return True

    def _begin(self, db: Connection, answer: Answer | None) -> Errand:
        site, n = self.site, self.site.space
        stands = self._stands(db)
        for entry, _, manifest in site.manifests(db):
            if entry in site.dead or not site.holds(db, manifest):
                continue
            if state_of(db, n, entry) == HEARD and (stands is None or stands[0] != entry):
                continue  # nobody whose word counts compared it
            if answer is None or answer.entry != entry:
                return Ask(entry, tuple(manifest.segments))
            if site.bears(db, manifest, answer):
                return self._begin_on(db, (entry, manifest), stands)
            site.dead.add(entry)
        return self._begin_on(db, None, stands)

    def _begin_on(self, db: Connection, base: tuple[bytes, Manifest] | None,
                  stands: tuple[bytes, Manifest] | None) -> Errand:
        n = self.site.space
        enough = base is None or making.growth(db, n, base[1].vector) >= LEAST
        if enough and making.begin(db, n, base, upto_of(stands and stands[1]), relay=self.site.relay):
            return Again()
        self._done(db)
        return None

    def _done(self, db: Connection) -> None:
        """Nothing is to be made here; other relays have their turn."""
        done(db, self.site.space, self.site.relay)
        self.site.replica.relays.checkpoints_due = due(db, self.site.space)

    def _stands(self, db: Connection) -> tuple[bytes, Manifest] | None:
        """The checkpoint that stands for all that was dropped at the relay, as far as is known here."""
        try:
            return self.site.standing(db, last_known(db, self.site.space, self.site.log(db)))
        except LookupError:
            return None

    def _announce(self, db: Connection) -> Errand:
        said = making.announcement(db, self.site.space, self.site.log(db))
        item = Item(ANNOUNCEMENT, "", "", msgspec.msgpack.encode(said))
        sealed, _ = self.site.replica.author.say(db, self.site.relay, item)
        making.said(db, self.site.space, sealed.entry)
        return Send(sealed)

    def _publish(self, db: Connection, answer: Answer | None) -> Errand:
        replica, n = self.site.replica, self.site.space
        (base,) = db.execute("SELECT base FROM draft WHERE space = ?", (n,)).fetchone()
        if base is not None and (answer is None or answer.entry != base):
            return Ask(base, tuple(manifest_of(db, n, base).segments))
        manifest = making.finished(db, n)
        making.clear(db, n)
        # Where its base was outlived meanwhile it is said all the same, so that others know which segments do not
        # serve; and another one is made.
        again = answer is not None and base is not None and not self.site.bears(db, manifest, answer)
        item = Item(MANIFEST, "", "", msgspec.msgpack.encode(manifest))
        sealed, entry = replica.author.say(db, self.site.relay, item)
        set_state(db, n, entry, MADE)
        if again:
            self.site.dead |= {entry, bytes(base)}
            want(db, n, {self.site.relay})
        else:
            self._done(db)
        replica.write_receipt(db, "checkpoint-made", {"entries": sum(
            sequence for sequence, _ in manifest.vector.values()), "bytes": sum(
            one.size for one in manifest.bundles), "written": manifest.bundles[-1].size})
        return Send(sealed)

    def _worth(self, db: Connection) -> bool:
        """Whether there is so much that a checkpoint is made unasked: looked at once for each connection."""
        replica, space = self.site.replica, self.site.replica.space
        if self._weighed or not replica.automatic:
            return False
        self._weighed = True
        last = self._last(db)
        state = space.membership.state
        makers = sorted(device for device in state.devices if (state.right(device) or Role.READER) >= Role.WRITER)
        enough = worth(making.growth(db, space.n, upto_of(last)),
                       0 if last is None else sum(one.size for one in last.bundles),
                       makers.index(replica.access.device) if replica.access.device in makers else len(makers))
        if enough:
            want(db, space.n, own(db, replica.relays.kept) | {self.site.relay})
        return enough

    def _last(self, db: Connection) -> Manifest | None:
        """The newest checkpoint that stands for what it says, by what is known here.

        Whoever made it may be lying of all that is in it, its size among it: so it was found true here, or by who
        may vouch for it, or is this person's own.
        """
        replica, n = self.site.replica, self.site.space
        persons = replica.space.membership.state.persons_of
        vouched = self.site.vouched(db)
        for entry, author, manifest in self.site.manifests(db):
            if (state_of(db, n, entry) != HEARD or entry in vouched
                    or persons(author) & persons(replica.access.device)) and self.site.holds(db, manifest):
                return manifest
        return None
