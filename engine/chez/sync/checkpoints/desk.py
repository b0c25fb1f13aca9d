"""What is to be done about a space's checkpoints at one relay, decided step by step from the store.

Each step is one transaction; what it asks of the relay is its result (`Errand`). In this order:

- go on reading the checkpoint that is being read;
- where the relay passed over a gap and entries lack here, read the newest checkpoint that has them; hold
  what the relay says of the gap against what was vouched for;
- go on making the one that is being made, or begin it when one is wanted;
- vouch for another person's (in a space of one person, anybody's), once it was read back and compared;
- as an owner, ask the relay to drop what is vouched for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from chez import crypto
from chez.errors import BadEntry
from chez.records.waiting import Budget
from chez.spaces.permits import role_of
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.chains import place_of
from chez.sync.checkpoints import heard, making, taking
from chez.sync.checkpoints.format import Manifest, Segment, Vouch
from chez.sync.checkpoints.heard import HEARD, MADE, REFUSED, SOUND, TAKEN, manifests, set_state, vouches
from chez.sync.checkpoints.policy import worth
from chez.sync.entry import CHANGES, MANIFEST, VOUCH, Item, UnknownEpoch, log_name
from chez.sync.intake import TURN
from chez.sync.received import Received
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez.sync.session import Dropping
from chez_wire.dropping import Dropped, drop_hash, united
from chez_wire.limits import KIB, MAX_CHUNK_IDS, MAX_DROPPED
from chez_wire.login import vouch_message

__all__ = ("LEAST", "Again", "Ask", "Desk", "Drop", "Errand", "Get", "Put", "Send")

_AHEAD: Final = 8
"""Segments put at once: a few megabytes."""


LEAST: Final = 16 * KIB
"""Bytes of entries since the last checkpoint before another one is worth its manifest."""


@dataclass(frozen=True, slots=True)
class Again:
    """There is more to do here; `received` is what a turn of taking in led to."""

    received: Received | None = None


@dataclass(frozen=True, slots=True)
class Get:
    """These segments are to come from the relay."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """The relay is to have these segments."""

    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Whether the relay holds the segments of an earlier checkpoint, by its entry."""

    entry: bytes
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """An own entry was made."""

    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Drop:
    """The relay is to drop what a vouch, by its entry, names."""

    entry: bytes
    admin: crypto.SigningKey = field(repr=False)
    dropping: Dropping


Errand = Again | Get | Put | Ask | Send | Drop | None


@dataclass(slots=True)
class Desk:
    """One space's checkpoints at one relay, by its row in the store."""

    replica: Replica
    relay: int
    lacking: set[bytes] = field(default_factory=set)
    """Checkpoints of which the relay does not hold all segments, or whose keys are not here."""
    whole: dict[bytes, bool] = field(default_factory=dict)
    """Of earlier checkpoints, whether the relay holds all segments."""
    refused: str = ""
    """Why the relay did not take what is being made, by its code."""
    _weighed: bool = False
    _looked: set[bytes] = field(default_factory=set)
    """Vouches for whose checkpoints the relay was asked just before what they name is dropped, and those compared."""
    _nothing: set[bytes] = field(default_factory=set)
    """Checkpoints that stand for nothing that this relay still holds, or that it does not hold whole."""

    def step(self, db: Connection) -> Errand:
        """The next thing to do. Raises `HomeCopied`."""
        replica, space = self.replica, self.replica.space
        replica.refresh(db)
        if (now := taking.reading(db, space)) is not None:
            return self._read(db, now)
        known = manifests(db, space.n, HEARD, MADE, SOUND, TAKEN)
        lacking = next((entry for entry, _, manifest in known
                        if entry not in self.lacking and not self._holds(db, manifest)), None)
        if lacking is not None:
            taking.begin(db, space.n, lacking, taking.TAKE)
            return Again()
        if replica.behind(db, self.relay):
            self._settle(db)
        if replica.mute or role_of(space, replica.device) is None:
            return None
        return self._make(db) or self._vouch(db) or self._drop(db)

    def got(self, db: Connection, segments: list[bytes]) -> None:
        """The segments that were asked for came."""
        now = taking.reading(db, self.replica.space)
        if now is None:
            return
        try:
            now.arrived(segments)
        except UnknownEpoch:
            self.missing(db)
        except BadEntry as error:
            self._refuse(db, now.checkpoint, error)

    def missing(self, db: Connection) -> None:
        """The checkpoint that is being read can't be, at this relay and now."""
        now = taking.reading(db, self.replica.space)
        if now is not None:
            self.lacking.add(now.checkpoint)
            taking.clear(db, self.replica.space.n)
            self.replica.hear()

    def put(self, db: Connection, ids: Iterable[bytes]) -> None:
        """The relay holds these segments."""
        making.stored(db, self.replica.space.n, list(ids))

    def dropped(self, db: Connection, entry: bytes, done: bool) -> None:
        """The relay dropped what a vouch names, or refused to."""
        db.execute("UPDATE vouch SET state = ? WHERE space = ? AND entry = ?",
                   (1 if done else 2, self.replica.space.n, entry))
        if done:
            self.replica.write_receipt(db, "entries-dropped", {"url": self._url(db)})

    # --- reading ------------------------------------------------------------------------

    def _read(self, db: Connection, now: taking.Reading) -> Errand:
        try:
            if ids := now.wanted():
                return Get(tuple(ids))
            received = None
            if not now.done:
                received = self._work(db, now)
        except BadEntry as error:
            self._refuse(db, now.checkpoint, error)
            return Again()
        if now.done:
            if not self._holds(db, now.manifest):
                self.lacking.add(now.checkpoint)  # something of it is not taken in here, nor will be
            set_state(db, self.replica.space.n, now.checkpoint, TAKEN if now.purpose == taking.TAKE else SOUND)
            taking.clear(db, self.replica.space.n)
            self.replica.hear()  # what was parked has its turn now
        return Again(received)

    def _work(self, db: Connection, now: taking.Reading) -> Received | None:
        if now.folding:
            now.fold(Budget(TURN))
            return None
        return self.replica.read_checkpoint(db, self.relay, now)

    def _refuse(self, db: Connection, entry: bytes, error: BadEntry) -> None:
        space = self.replica.space
        taking.clear(db, space.n)
        self.replica.hear()
        heard.refuse(db, space.n, entry, error.message)
        (author,) = db.execute("SELECT author FROM checkpoint WHERE space = ? AND entry = ?",
                               (space.n, entry)).fetchone()
        known = space.membership.state.device(author)
        self.replica.write_receipt(db, "checkpoint-refused", {
            "device": author.hex(), "name": "" if known is None else known.name,
            "why": error.message})

    def _holds(self, db: Connection, manifest: Manifest) -> bool:
        return all(place_of(db, self.replica.space.n, author, *at) is not None
                   for author, at in manifest.vector.items())

    def _settle(self, db: Connection) -> None:
        """All that can be had is here: what the relay passed over must be what somebody vouched for."""
        space = self.replica.space
        log = self._log(db)
        words = [vouch for _, author, vouch, _ in vouches(db, space.n) if vouch.log == log and self._counts(db, author,
                                                                                                          vouch)]
        ranges = united([one for vouch in words for one in vouch.ranges])
        heads = dict(db.execute("SELECT position, head FROM relay_head WHERE space = ? AND relay = ?",
                                (space.n, self.relay)))
        gaps = [Dropped(*row) for row in db.execute("SELECT first, last, head FROM gap WHERE space = ? AND relay = ?",
                                                    (space.n, self.relay)).fetchall()]
        bad = [gap for gap in gaps if not any(one.first <= gap.first and gap.last <= one.last for one in ranges)]
        lies = [one for vouch in words for one in vouch.ranges if heads.get(one.last, one.head) != one.head]
        if bad or lies:
            first = min(one.first for one in [*bad, *lies])
            self.replica.write_receipt(db, "entries-missing", {"url": self._url(db), "from": first})
        for entry, _, manifest in manifests(db, space.n, HEARD, MADE, SOUND, TAKEN):
            if any(vouch.manifest == entry for vouch in words):
                # The relay has it all the same, in the checkpoint's segments.
                db.executemany("DELETE FROM lacking WHERE relay = ? AND entry IN (SELECT n FROM entry WHERE space = ? "
                               "AND author = ? AND branch = 0 AND sequence <= ? AND kind = ?)",
                               [(self.relay, space.n, author, sequence, CHANGES)
                                for author, (sequence, _) in manifest.vector.items()])
        db.execute("UPDATE gap SET settled = 1 WHERE space = ? AND relay = ?", (space.n, self.relay))
        self.replica.hear()  # what came behind the gap has its turn now

    # --- making -------------------------------------------------------------------------

    def _make(self, db: Connection) -> Errand:
        replica, space = self.replica, self.replica.space
        role = role_of(space, replica.device)
        if role is None or role < Role.WRITER:
            return None
        if db.execute("SELECT 1 FROM draft WHERE space = ?", (space.n,)).fetchone() is None:
            if not replica.checkpoint_wanted and not self._worth(db):
                return None
            base = next(((entry, manifest) for entry, _, manifest in manifests(db, space.n, MADE, SOUND, TAKEN)
                         if self.whole.get(entry, True) and self._holds(db, manifest)), None)
            if base is not None and base[0] not in self.whole:
                return Ask(base[0], tuple(base[1].segments[:MAX_CHUNK_IDS]))
            if base is not None and making.growth(db, space.n, base[1].vector) < LEAST:
                replica.checkpoint_wanted = False
                return None
            if not making.begin(db, space.n, base):
                replica.checkpoint_wanted = False
                return None
            return Again()
        if not making.written(db, space.n):
            making.work(db, space, replica.device, replica.entropy, Budget(TURN))
            return Again()
        if segments := making.unsent(db, space.n, _AHEAD):
            return Put(tuple(segments))
        manifest = making.finished(db, space.n)
        making.clear(db, space.n)
        replica.checkpoint_wanted = False
        sealed, entry = replica.say(db, self.relay, Item(MANIFEST, "", "", msgspec.msgpack.encode(manifest)))
        set_state(db, space.n, entry, MADE)
        bundle = manifest.bundles[-1]
        replica.write_receipt(db, "checkpoint-made", {"entries": sum(
            sequence for sequence, _ in manifest.vector.values()), "bytes": sum(
            one.size for one in manifest.bundles), "written": bundle.size})
        return Send(sealed)

    def _worth(self, db: Connection) -> bool:
        """Whether there is so much that a checkpoint is made unasked: looked at once for each connection."""
        replica, space = self.replica, self.replica.space
        if self._weighed or not replica.automatic:
            return False
        self._weighed = True
        last = next((manifest for _, _, manifest in manifests(db, space.n, HEARD, MADE, SOUND, TAKEN)), None)
        state = space.membership.state
        makers = sorted(device for device in state.devices if (state.right(device) or Role.READER) >= Role.WRITER)
        replica.checkpoint_wanted = worth(making.growth(db, space.n, {} if last is None else last.vector),
                                          0 if last is None else sum(one.size for one in last.bundles),
                                          makers.index(replica.device) if replica.device in makers else len(makers))
        return replica.checkpoint_wanted

    # --- vouching -----------------------------------------------------------------------

    def _vouch(self, db: Connection) -> Errand:
        replica, space = self.replica, self.replica.space
        control = space.control_of(space.epoch)
        newest = next(iter(manifests(db, space.n, HEARD, MADE, SOUND, TAKEN)), None)
        if newest is None or control is None or newest[0] in self._nothing | self.lacking:
            return None
        entry, author, manifest = newest
        log = self._log(db)
        if not self._independent(replica.device, author) or not self._holds(db, manifest) or any(
                vouch.manifest == entry and vouch.log == log and vouch.control == control.public
                and self._independent(voucher, author) for _, voucher, vouch, _ in vouches(db, space.n)):
            return None
        ranges = self._ranges(db, manifest)
        if not ranges:
            self._nothing.add(entry)
            return None
        (state,) = db.execute("SELECT state FROM checkpoint WHERE space = ? AND entry = ?",
                              (space.n, entry)).fetchone()
        if state != SOUND:
            taking.begin(db, space.n, entry, taking.COMPARE)
            return Again()
        if entry not in self._looked:  # it may have been compared at another store, or lost a segment since
            self._looked.add(entry)
            return Ask(entry, tuple(manifest.segments[:MAX_CHUNK_IDS]))
        if not self.whole.get(entry):
            self._nothing.add(entry)
            return None
        (incarnation,) = db.execute("SELECT incarnation FROM cursor WHERE space = ? AND relay = ?",
                                    (space.n, self.relay)).fetchone()
        word = control.sign_bytes(vouch_message(space.handle, incarnation, drop_hash(ranges, ())))
        vouch = Vouch(1, entry, log, incarnation, ranges, [], control.public, word)
        return Send(replica.say(db, self.relay, Item(VOUCH, "", "", msgspec.msgpack.encode(vouch)))[0])

    def _independent(self, voucher: bytes, maker: bytes) -> bool:
        """Whether a device may vouch for a checkpoint: another person's, where there is one with a device."""
        state = self.replica.space.membership.state
        makers = state.persons_of(maker)
        others = {person for person in state.members if person not in makers and any(state.devices_of(person))}
        mine = state.persons_of(voucher) & set(state.members)
        return bool(mine & others) if others else bool(mine)

    def _ranges(self, db: Connection, manifest: Manifest) -> list[Dropped]:
        """The offsets of the relay's log that hold nothing but what a checkpoint stands for."""
        covered = self._covered(db, manifest)
        out: list[Dropped] = []
        for position, head, hash in db.execute("SELECT position, head, entry FROM relay_head WHERE space = ? AND "
                                               "relay = ? ORDER BY position", (self.replica.space.n, self.relay)):
            if hash not in covered:
                continue
            if out and out[-1].last == position - 1:
                out[-1] = Dropped(out[-1].first, position, head)
            else:
                out.append(Dropped(position, position, head))
        log = self._log(db)
        asked = united([one for _, _, vouch, state in vouches(db, self.replica.space.n)
                        if vouch.log == log and state == 1 for one in vouch.ranges])
        return [one for one in out if not any(other.first <= one.first and one.last <= other.last
                                              for other in asked)][:MAX_DROPPED]

    def _covered(self, db: Connection, manifest: Manifest) -> set[bytes]:
        return {hash for author, (sequence, _) in manifest.vector.items() for (hash,) in db.execute(
            "SELECT hash FROM entry WHERE space = ? AND author = ? AND branch = 0 AND sequence <= ? AND kind = ?",
            (self.replica.space.n, author, sequence, CHANGES))}

    # --- dropping -----------------------------------------------------------------------

    def _drop(self, db: Connection) -> Errand:
        space = self.replica.space
        epoch = self.replica.epoch_at(db, self.relay)
        control = space.control_of(epoch)
        if epoch.admin is None or control is None:
            return None
        log = self._log(db)
        known = {entry: manifest for entry, _, manifest in manifests(db, space.n, HEARD, MADE, SOUND, TAKEN)}
        for entry, author, vouch, state in vouches(db, space.n):
            if state or vouch.log != log:
                continue
            manifest = known.get(vouch.manifest)
            if manifest is None or vouch.control != control.public:
                continue  # it is not here yet, or no word to this relay any more
            if not self._counts(db, author, vouch) or not self._holds(db, manifest) or not self._fits(
                    db, vouch, manifest):
                db.execute("UPDATE vouch SET state = 2 WHERE space = ? AND entry = ?", (space.n, entry))
                continue
            if entry not in self._looked:  # another drop may have released what this checkpoint consists of
                self._looked.add(entry)
                return Ask(vouch.manifest, tuple(manifest.segments[:MAX_CHUNK_IDS]))
            if not self.whole.get(vouch.manifest):
                continue
            return Drop(entry, epoch.admin, Dropping(vouch.incarnation, tuple(vouch.ranges), tuple(vouch.release),
                                                     vouch.control, vouch.signature))
        return None

    def _counts(self, db: Connection, voucher: bytes, vouch: Vouch) -> bool:
        """Whether a vouch is independent of who made the checkpoint, and that was not refused."""
        row = db.execute("SELECT author, state FROM checkpoint WHERE space = ? AND entry = ?",
                         (self.replica.space.n, vouch.manifest)).fetchone()
        return row is not None and row[1] != REFUSED and self._independent(voucher, row[0])

    def _fits(self, db: Connection, vouch: Vouch, manifest: Manifest) -> bool:
        """Whether, by what is here, a vouch names nothing but what the checkpoint stands for."""
        covered = self._covered(db, manifest)
        for one in vouch.ranges:
            rows = db.execute("SELECT position, head, entry FROM relay_head WHERE space = ? AND relay = ? AND "
                              "position BETWEEN ? AND ?",
                              (self.replica.space.n, self.relay, one.first, one.last)).fetchall()
            if any(hash is not None and hash not in covered for _, _, hash in rows):
                return False
            if any(hash is None and not self._in_gap(db, position) for position, _, hash in rows):
                return False
            if any(position == one.last and head != one.head for position, head, _ in rows):
                return False
        # Of two checkpoints made at once one may name again what the other outlives: no segment is released.
        return not vouch.release

    def _in_gap(self, db: Connection, position: int) -> bool:
        return db.execute("SELECT 1 FROM gap WHERE space = ? AND relay = ? AND first <= ? AND last >= ?",
                          (self.replica.space.n, self.relay, position, position)).fetchone() is not None

    def _log(self, db: Connection) -> bytes:
        (incarnation,) = db.execute("SELECT incarnation FROM cursor WHERE space = ? AND relay = ?",
                                    (self.replica.space.n, self.relay)).fetchone()
        return log_name(incarnation, self.replica.space.handle)

    def _url(self, db: Connection) -> str:
        (url,) = db.execute("SELECT url FROM relay WHERE n = ?", (self.relay,)).fetchone()
        return str(url)
