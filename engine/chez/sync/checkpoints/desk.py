"""What is to be done about a space's checkpoints at one relay, decided step by step from the store.

Each step is one transaction; what it asks of the relay is its result (`Errand`). In this order:

- go on reading the checkpoint that is being read;
- where the relay passed over a gap and entries lack here, read the newest checkpoint that has them; hold
  what the relay says of the gap against what was vouched for;
- go on making the one that is being made, or begin it when one is wanted;
- vouch for another person's (in a space of one person, anybody's), once it was read back and compared;
- as an owner, ask the relay to drop what is vouched for, and to release the segments that no longer serve.

Each kind of step has a module: `taking`, `drafting`, `vouching`, `dropping`. In which order drops come, and
why nothing is lost by one, is in `order`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chez.errors import BadEntry
from chez.records.waiting import Budget
from chez.spaces.permits import role_of
from chez.store.database import Connection
from chez.sync.checkpoints import making, taking
from chez.sync.checkpoints.drafting import Drafting
from chez.sync.checkpoints.dropping import Dropping
from chez.sync.checkpoints.errands import Again, Answer, Errand, Get
from chez.sync.checkpoints.heard import (
    ASKED,
    SOUND,
    TAKEN,
    UNFIT,
    checkpoints,
    manifest_of,
    set_state,
    set_vouch,
    vouches,
)
from chez.sync.checkpoints.order import learn
from chez.sync.checkpoints.site import Site
from chez.sync.checkpoints.vouching import Vouching
from chez.sync.entry import CHANGES, UnknownEpoch
from chez.sync.intake import TURN
from chez.sync.received import Received
from chez.sync.replica import Replica
from chez_wire.dropping import Dropped, united

__all__ = ("Desk",)


@dataclass(slots=True)
class Desk:
    """One space's checkpoints at one relay, by its row in the store."""

    replica: Replica
    relay: int
    answer: Answer | None = None
    """What the relay just said: the next step uses it, for what it says may be otherwise later."""
    site: Site = field(init=False)
    drafting: Drafting = field(init=False)
    vouching: Vouching = field(init=False)
    dropping: Dropping = field(init=False)

    def __post_init__(self) -> None:
        self.site = Site(self.replica, self.relay)
        self.drafting, self.vouching = Drafting(self.site), Vouching(self.site)
        self.dropping = Dropping(self.site)

    def step(self, db: Connection) -> Errand:
        """The next thing to do. Raises `HomeCopied`, `SpaceFull`."""
        replica, space, site = self.replica, self.replica.space, self.site
        replica.refresh(db)
        answer, self.answer = self.answer, None
        if answer is not None and answer.drop:
            learn(db, space.n, site.log(db), answer.drop)
        if (now := taking.reading(db, space, self.relay)) is not None:
            with replica.room.within(db):
                return self._read(db, now)
        site.came(db)
        if (lacking := site.unheld(db)) is not None:
            # What was begun at a relay that the home has no more is nobody's.
            taking.clear(db, space.n, *(taking.readers(db, space.n) - replica.relays.kept))
            taking.begin(db, space.n, self.relay, lacking, taking.TAKE)
            return Again()
        if replica.behind(db, self.relay):
            self._settle(db)
        if replica.access.mute or role_of(space, replica.access.device) is None:
            return None
        return (self.drafting.step(db, answer) or self.vouching.step(db, answer)
                or self.dropping.step(db, answer))

    def got(self, db: Connection, segments: list[bytes]) -> None:
        """The segments that were asked for came."""
        now = taking.reading(db, self.replica.space, self.relay)
        if now is None:
            return
        with self.replica.room.within(db):
            try:
                now.arrived(segments)
            except UnknownEpoch:
                self.missing(db)
            except BadEntry as error:
                self._refuse(db, now.checkpoint, error)

    def missing(self, db: Connection) -> None:
        """The checkpoint that is being read can't be, at this relay and now."""
        now = taking.reading(db, self.replica.space, self.relay)
        if now is not None:
            self.site.lacking.add(now.checkpoint)
            taking.clear(db, self.replica.space.n, self.relay)
            self.replica.hear()

    def not_now(self, db: Connection) -> bool:
        """The relay can't hand out segments just now: whether something here waits for them.

        Then what was read of the checkpoint stays, and is gone on with; else it is for another time.
        """
        now = taking.reading(db, self.replica.space, self.relay)
        if now is None or now.purpose != taking.TAKE or self.site.holds(db, now.manifest):
            self.missing(db)
            return False
        return True

    def put(self, db: Connection, ids: Iterable[bytes]) -> None:
        """The relay holds these segments."""
        making.stored(db, self.replica.space.n, list(ids))

    def full(self, db: Connection) -> Received:
        """The relay takes no segments now; others at which one is to be made hear of it, the first time."""
        n, self.drafting.full = self.replica.space.n, True
        return Received(spaces=[n] if making.full(db, n, self.relay) else [])

    def dropped(self, db: Connection, entry: bytes, ranges: bool, refusal: str = "") -> None:
        """The relay dropped what a vouch names, or refused to, by its code; `ranges`: not chunks alone."""
        if refusal == "stale":
            self.dropping.passed(entry)
            return
        set_vouch(db, self.replica.space.n, entry, UNFIT if refusal else ASKED)
        if refusal:
            return
        if ranges:
            self.replica.write_receipt(db, "entries-dropped", {"url": self.site.url(db)})
        else:
            self.replica.write_receipt(db, "chunks-released", {"url": self.site.url(db)})

    # --- reading ------------------------------------------------------------------------

    def _read(self, db: Connection, now: taking.Reading) -> Errand:
        try:
            if ids := now.wanted():
                return Get(tuple(ids))
            received = None
            if not now.done:
                received = self._work(db, now)
        except taking.UnreadEntry as error:
            self.site.awaited[now.checkpoint] = error.place
            self.missing(db)
            return Again()
        except BadEntry as error:
            self._refuse(db, now.checkpoint, error)
            return Again()
        if now.done:
            if not self.site.holds(db, now.manifest):
                self.site.lacking.add(now.checkpoint)  # something of it is not taken in here, nor will be
            set_state(db, self.replica.space.n, now.checkpoint, TAKEN if now.purpose == taking.TAKE else SOUND)
            taking.clear(db, self.replica.space.n, self.relay)
            self.replica.hear()  # what was parked has its turn now
        return Again(received)

    def _work(self, db: Connection, now: taking.Reading) -> Received | None:
        if now.folding:
            now.fold(Budget(TURN))
            return None
        return self.replica.read_checkpoint(db, self.relay, now)

    def _refuse(self, db: Connection, entry: bytes, error: BadEntry) -> None:
        space = self.replica.space
        taking.clear(db, space.n, *taking.readers(db, space.n))
        self.replica.hear()
        self.site.refuse(db, entry, error.message)

    def _settle(self, db: Connection) -> None:
        """All that can be had is here: what the relay passed over must be what somebody vouched for."""
        space = self.replica.space
        log = self.site.log(db)
        words = [vouch for _, author, vouch, _ in vouches(db, space.n)
                 if vouch.log == log and self.site.counts(db, author, vouch)]
        ranges = united([one for vouch in words for one in vouch.ranges])
        heads = dict(db.execute("SELECT position, head FROM relay_head WHERE space = ? AND relay = ?",
                                (space.n, self.relay)))
        gaps = [Dropped(*row) for row in db.execute("SELECT first, last, head FROM gap WHERE space = ? AND relay = ?",
                                                    (space.n, self.relay)).fetchall()]
        bad = [gap for gap in gaps if not any(one.first <= gap.first and gap.last <= one.last for one in ranges)]
        lies = [one for vouch in words for one in vouch.ranges if heads.get(one.last, one.head) != one.head]
        if bad or lies:
            first = min(one.first for one in [*bad, *lies])
            self.replica.write_receipt(db, "entries-missing", {"url": self.site.url(db), "from": first})
        vouched = {vouch.manifest for vouch in words}
        for entry, _ in checkpoints(db, space):
            if entry in vouched:
                # The relay has it all the same, in the checkpoint's segments.
                db.executemany("DELETE FROM lacking WHERE relay = ? AND entry IN (SELECT n FROM entry WHERE space = ? "
                               "AND author = ? AND branch = 0 AND sequence <= ? AND kind = ?)",
                               [(self.relay, space.n, author, sequence, CHANGES) for author, (sequence, _)
                                in manifest_of(db, space.n, entry).vector.items()])
        db.execute("UPDATE gap SET settled = 1 WHERE space = ? AND relay = ?", (space.n, self.relay))
        self.replica.hear()  # what came behind the gap has its turn now
