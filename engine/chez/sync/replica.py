"""One space's side of sync, as functions over an open transaction: no sockets, no clock.

Out: changes waiting in the outbox become entries of this device's chain, are signed,
sealed for a relay, and the sealed bytes are stored; only then may they be sent.

In: what a relay hands out is checked and merged (`sync.intake`), in one transaction with
the cursor that says how far it was read.

Time and randomness are arguments, so that a simulation replays exactly.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from typing import Any

from chez import crypto
from chez.errors import SpaceFull
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.keys.person import Person
from chez.records.anew import settled, unsettled
from chez.records.store import RecordStore
from chez.records.waiting import Budget
from chez.spaces.copies import copy_person, tell_private
from chez.spaces.handover import announce_end, announce_missed
from chez.spaces.permits import role_of
from chez.spaces.space import SpaceKeys, load_space, note_name
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.ahead import Foreseen, Quiet, foresee
from chez.sync.chains import keep_entry, last_entry, note_whole, regained
from chez.sync.checkpoints.due import want
from chez.sync.checkpoints.heard import hear
from chez.sync.checkpoints.making import lost
from chez.sync.checkpoints.taking import Reading
from chez.sync.entry import (
    CHANGES,
    CHECKPOINTS,
    STATEMENTS,
    Inner,
    Item,
    Part,
    SignedEntry,
    seal,
    sign_entry,
    signature_of,
)
from chez.sync.heads import Alarm, forget_heads, head_after, hidden, note_head, note_heads, note_placed
from chez.sync.intake import TURN, Intake
from chez.sync.outbox import (
    Waits,
    change_items,
    has_statements,
    journal_head,
    named_by,
    offers,
    put_into,
    say_last,
    seen_last,
    take_statements,
    unheard,
    waiting_changes,
)
from chez.sync.outstanding import outstanding
from chez.sync.owing import owes, said_by, say_unread, untold
from chez.sync.planning import by_epoch, plan
from chez.sync.received import Received
from chez.sync.requests import Rotation
from chez.sync.retiring import retire_expelled
from chez.sync.room import full, measured, room_of, stand
from chez.sync.rotating import (
    Creation,
    creation_of,
    learn_epochs,
    mailboxes,
    rotation_at,
    start_epoch,
    take_packet,
)
from chez.sync.sealed import Cursor, Sealed, acknowledge, advance, begin_anew, keep_sealed, sealed_for, unsealed
from chez.sync.sealing import epoch_for, seal_anew, stranded
from chez.sync.several import Several
from chez.sync.straight import straight
from chez.sync.tally import Notice, Tally
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.frames import Dropped, Entry

__all__ = ("Replica",)


class Replica:
    """The sync logic of one space on one device.

    `now` gives Unix milliseconds (for history, never for order), `entropy` fresh random
    bytes; `note` writes a receipt, given its kind and body.
    """

    def __init__(self, space: SpaceKeys, device: DeviceKeys, records: RecordStore, now: Callable[[], int],
                 entropy: Callable[[int], bytes],
                 note: Callable[[Connection, str, dict[str, Any]], object] = lambda db, kind, body: None) -> None:
        self.space = space
        self._device = device
        self._records = records
        self._now = now
        self.entropy = entropy
        self.write_receipt = note
        self._stale = False
        self.person: Person | None = None
        """The person's own keys while a home comes back by them: its root says farewell."""
        self.recovery: crypto.SealingKey | None = None
        """The person's recovery key until relays know of a device that came back by it: its packets open here."""
        self.silent = False
        """Whether nothing is sent, whatever waits: a device that is not certified yet only reads."""
        self.current = space.epoch
        """The epoch that is sealed under, as the last transaction here left it; read from any thread."""
        self.relays = Several()
        self.anew = False
        """Whether a relay where the space was deleted is to have it again: the person says so."""
        self.unsettled = False
        """Whether work of the device this home was waits for what a relay has of it (`records.anew`)."""
        self._left = True
        self._heard = False
        self._known: Quiet | None = None
        self._foreseen: Foreseen | None = None
        self.gapped = False
        """Whether a relay passed over entries that are not here yet, when it was met last."""
        self.automatic = False
        """Whether a checkpoint is made unasked when there is so much that it is worth it (`checkpoints.policy`)."""
        self.full: SpaceFull | None = None
        """Why nothing more of a followed space is taken in, once it takes its room, as was seen last."""
        self.checkpoints_due: set[int] = set()
        """Relays at which a checkpoint is to be made, as was seen last (`checkpoints.due` has it)."""

    @property
    def device(self) -> bytes:
        """This device's id."""
        return self._device.id

    def forget(self) -> None:
        """Some work was undone: what it taught of the members is read again from the store."""
        self._stale = True
        self._known = None  # the store counts what was undone all the same
        self.relays.undone()

    def hear(self) -> None:
        """Statements or keys of the space came by another way than its entries: what waited for them is `left`."""
        self._stale = True
        self._heard = True  # last: `go_on`, in the writer's thread, must read the store after it forgot this

    @property
    def left(self) -> bool:
        """Whether something that came before may wait for its turn; until `go_on` was asked, nobody knows."""
        return self._heard or self._left

    def refresh(self, db: Connection) -> None:
        """Read the members again if some work on them was undone."""
        if self._stale:
            self.space = load_space(db, self.space.n)
            self._stale = False
        self.current = self.space.epoch

    # --- out ------------------------------------------------------------------------

    def collect(self, db: Connection, found: Waits | None = None) -> list[tuple[int, SignedEntry]]:
        """Put everything that waits into entries of this device's chain; (row, entry) each.

        `found` is what this transaction was found to leave, if somebody asked.
        """
        self.refresh(db)
        made: list[tuple[int, SignedEntry]] = []
        if self.mute or self.space.regains is not None:
            return made
        if said := (found is None or found.said) and has_statements(db, self.space.n):
            self._stale = unheard(db, self.space)  # an epoch among it, with its keys, is what it is sealed under
            self.refresh(db)
        now = self._now()  # one for all: an item's age counts from its entry's time
        right = role_of(self.space, self._device.id)
        gone = None if right is not None else self._device.id
        statements = take_statements(db, self.space.n, gone) if said else ()
        made += [self._append(db, now, STATEMENTS, items) for items in by_epoch(statements)]
        writes = right is not None and (self.space.private or right >= Role.WRITER)
        tells = self.space.private and (found is None or found.tells)
        for batch, part in plan(waiting_changes(db, self.space.n)) if writes else ():
            items, hashes = change_items(db, self.space.n, batch, now)
            made.append(self._append(db, now, CHANGES, items + (self._journal_head(db) if tells else []), part, hashes))
            put_into(db, self.space.n, batch, made[-1][0])
        if tells and right is not None:
            made += [self._append(db, now, CHANGES, [item]) for item in offers(db)]
        if tells and right is not None and not made and (head := self._journal_head(db)):
            made.append(self._append(db, now, CHANGES, head))  # receipts alone are witnessed too
        return made

    def _journal_head(self, db: Connection) -> list[Item]:
        return journal_head(db, self.space.n, self._device.id)

    def _append(self, db: Connection, now: int, kind: int, items: list[Item],
                part: Part | None = None, hashes: Sequence[bytes] = ()) -> tuple[int, SignedEntry]:
        sequence, previous, _ = last_entry(db, self.space.n, self._device.id)
        heads = named_by(self.space, self._device.id, kind, items)
        entry = sign_entry(Inner(1, self.space.id, self._device.id, sequence + 1, previous, now, kind, items,
                                 heads, seen_last(db, self.space, sequence), part), self._device.signing, hashes)
        return keep_entry(db, self.space.n, entry), entry

    def outgoing(self, db: Connection, relay: int, found: Waits | None = None) -> list[Sealed]:
        """Collect what waits and seal it for a relay; the bytes returned are stored first. `found` as for `collect`."""
        made = [(row, entry.packed, entry.inner.kind) for row, entry in self.collect(db, found)]
        self.relays.made((one[0] for one in made), relay)
        if due := self.relays.due(relay):  # rows that were undone are not there, or are what was made just now
            wanted = due | {one[0] for one in made}
            made = [one for one in unsealed(db, self.space.n, relay, self._device.id) if one[0] in wanted]
        sealed = [self._seal(db, relay, *one) for one in made]
        self.relays.paid(relay, due)
        return sealed

    def straight(self, db: Connection, relay: int) -> Sealed | None:
        """As `outgoing`, of the one change that a transaction leaves, where nothing waited before it: it is held.

        None where more is to be seen to; nothing is done then.
        """
        held = self._records.held
        if held is None or held.space != self.space.n or held.changes != db.total_changes:
            return None
        if self._stale or self.mute or self.space.regains is not None or self.relays.owes(relay):
            return None
        right = role_of(self.space, self._device.id)
        if right is None or not (self.space.private or right >= Role.WRITER):
            return None
        sealed = straight(db, self.space, self._device, held, relay, self._now(), self.entropy, self._records.log_held)
        if sealed is not None:
            self.relays.made((sealed.entry,), relay)
        return sealed

    def log_held(self, db: Connection) -> None:
        """What is held, of this space or another, waits in the outbox from now on."""
        self._records.log_held(db)

    def flush(self, db: Connection) -> None:
        """Put what waits into entries now, before something is said that ends the right to."""
        self.relays.made(row for row, _ in self.collect(db))

    def unacknowledged(self, db: Connection, relay: int) -> list[Sealed]:
        """Everything of this device that a relay has not acknowledged, in chain order.

        While the replica is `unsettled` this comes after the relay was read to its end. Bytes sealed before
        are repeated as they were; entries never sealed for this relay (it is new, or lost its store) are now.
        """
        if self.unsettled:
            settled(db, self.space.n)
            self.unsettled = False
        self.relays.made((row for row, _ in self.collect(db)), relay)
        self.relays.begin(relay)
        if stranded(self.space, self._device.id, self.epoch_at(db, relay)):
            seal_anew(db, self.space, relay, self.space.epoch.id)
        lacked = self.relays.lacked(db, self.space.n, relay)
        if self.mute:
            return []
        for one in self._signed(db, relay, lacked):
            self._seal(db, relay, *one)
        for one in self._signed(db, relay, unsealed(db, self.space.n, relay, self._device.id)):
            self._seal(db, relay, *one)
        return sealed_for(db, self.space.n, relay)

    def overdue(self, db: Connection, relay: int, *, at_once: bool = False) -> list[Sealed]:
        """What another relay brought a while ago, or `at_once` at any time, and this one does not show, sealed for it.

        Nothing for who is mute.
        """
        late = self.relays.overdue(db, self.space.n, relay, at_once=at_once)
        return [self._seal(db, relay, *one) for one in self._signed(db, relay, late) if not self.mute]

    def _signed(self, db: Connection, relay: int,
                entries: list[tuple[int, bytes, int]]) -> list[tuple[int, bytes, int]]:
        """Those that carry a signature. For others, which came with a checkpoint, another one is wanted there."""
        found = [one for one in entries if signature_of(one[1])]
        if len(found) < len(entries):
            self.want_checkpoint(db, {relay})
        return found

    def want_checkpoint(self, db: Connection, relays: Set[int]) -> None:
        """A checkpoint is to be made at each of these relays, by their rows, once all of it was read here."""
        want(db, self.space.n, relays)
        self.checkpoints_due = self.checkpoints_due | relays

    def _seal(self, db: Connection, relay: int, entry: int, packed: bytes, kind: int) -> Sealed:
        epoch = epoch_for(self.space, self._device.id, self.epoch_at(db, relay), packed, kind)
        envelope = seal(packed, self.space.handle, epoch, self.entropy(crypto.NONCE_BYTES))
        return keep_sealed(db, relay, entry, envelope, control=kind == STATEMENTS)

    # --- epochs ---------------------------------------------------------------------

    @property
    def role(self) -> Role | None:
        """What this device may do in the space, by the statements that are here."""
        return self.space.membership.state.right(self._device.id)

    @property
    def removed(self) -> bool:
        """Whether this device has no part in the space any more, by the statements that are here or a farewell."""
        return self.space.farewell or (self.role is None and not self.follows)

    @property
    def follows(self) -> bool:
        """Whether the space is public, and this device reads it without ever having belonged to it."""
        state = self.space.membership.state
        return self.space.public and not state.persons_of(self._device.id) & state.admissions

    @property
    def mute(self) -> bool:
        """Whether nothing of this device can be sent: who only reads a public space has no credential for it."""
        return self.silent or (self.space.public and self.space.epoch.append_seed is None)

    @property
    def _signer(self) -> crypto.SigningKey:
        return self._device.signing if self.person is None else self.person.root

    @property
    def tags(self) -> list[bytes]:
        """Where the packets with the keys of a new epoch lie at relays that this device can open, its own first."""
        return list(mailboxes(self.space, self._device, self.recovery))

    def epoch_at(self, db: Connection, relay: int) -> Epoch:
        """The epoch whose credentials a relay has, as far as is known here."""
        row = db.execute("SELECT epoch FROM cursor WHERE space = ? AND relay = ?", (self.space.n, relay)).fetchone()
        return self.space.epochs.get(row[0] if row else b"", self.space.epoch)

    def let_in(self, db: Connection, relay: int, epoch: Epoch) -> None:
        """A relay took the credentials of this epoch."""
        self.refresh(db)
        db.execute("UPDATE cursor SET epoch = ? WHERE space = ? AND relay = ?", (epoch.id, self.space.n, relay))

    def caught_up(self, db: Connection, relay: int, end: int) -> list[Alarm]:
        """A relay was read to its end: start the epoch that is owed, if it still is; what it does not show."""
        self.refresh(db)
        note_whole(db, self.space.n)
        regained(db, self.space, self._device.id)
        if retire_expelled(db, self.space, self._device):
            self.recount(db)
        self.discharge(db, relay)
        say_last(db, self.space, self._device.id, self.epoch_at(db, relay).id)
        announce_missed(db, self.space, self._device.id)
        return hidden(db, self.space.n, relay, end)

    def discharge(self, db: Connection, relay: int) -> None:
        """Start the epoch that is owed, if it still is."""
        self.refresh(db)
        if owes(db, self.space, self._device, self.epoch_at(db, relay), first=False):
            self.rotate(db)

    def rotate(self, db: Connection) -> None:
        """Start a new epoch. Raises `NotAllowed`."""
        self.refresh(db)
        start_epoch(db, self.space, self._device, self.entropy)
        self.current = self.space.epoch

    def rotation(self, db: Connection, relay: int,
                 at: Epoch) -> tuple[bool, tuple[crypto.SigningKey, Rotation] | None]:
        """Whether a relay is to hear statements first; who signs and what replaces the keys of the epoch `at` there.

        None when nothing does. A device that was taken out brings its own last epoch, if it said that before.
        """
        self.refresh(db)
        says = role_of(self.space, self._device.id) is not None
        if not says and not said_by(db, self.space, self.space.epoch.id, self._device.id):
            return False, None
        waits = untold(db, self.space.n, relay, says=says) or (says and say_unread(db, self.space, relay))
        return waits, rotation_at(self.space, at, self._signer, self.entropy)

    def creation(self, db: Connection, relay: int) -> Creation:
        """What a relay is asked for that does not know the space. Raises `RelayRefused` (`rotating.creation_of`)."""
        self.refresh(db)
        return creation_of(db, relay, self.space, self._signer, self.entropy)

    def take_packet(self, db: Connection, relay: int, box: bytes) -> tuple[Epoch | None, Received]:
        """The epoch in this device's packet, None when it is no packet for it; and what that unlocked."""
        self.refresh(db)
        under = self.space.epoch.id
        epoch = take_packet(db, self.space, box, self._device, self.recovery)
        received = Received()
        if epoch is not None:
            budget = Budget(TURN) if self.bounded(db) else None
            with self.within_room(db, budget):
                self._unlock(db, relay, under, received, budget)
            self.relays.came(db, self.space.n, relay, received)
            note_placed(db, self.space.n, received.placed)
        self.current = self.space.epoch
        return epoch, received

    # --- acknowledgements -----------------------------------------------------------

    def acknowledged(self, db: Connection, relay: int, sealed: Sealed, passed: Cursor | None) -> None:
        """A relay holds an own entry durably; `passed` is where the cursor is now, if the entry does not come back."""
        acknowledge(db, self.space.n, relay, sealed)
        if passed is not None:
            advance(db, self.space.n, relay, passed.position, passed)
            note_head(db, self.space.n, relay, passed.position, passed.head)
            note_placed(db, self.space.n, [(relay, passed.position, hash) for (hash,) in db.execute(
                "SELECT hash FROM entry WHERE n = ? AND kind = ?", (sealed.entry, CHANGES)).fetchall()])

    # --- in -------------------------------------------------------------------------

    def resume(self, db: Connection, relay: int, incarnation: bytes) -> tuple[Cursor, bool, Epoch]:
        """Where to go on reading a relay, whether its store is another than last time, and whose credentials it has.

        In that case everything is read again, and then what it lacks is sent, whoever's it is:
        who wrote it may not come again.
        """
        self.refresh(db)
        self._check_room(db)
        copy_person(db, self.space.n, self.space.membership)
        self._left = self.leaves(db)
        self.gapped = self.behind(db, relay)
        self.unsettled = unsettled(db, self.space.n)
        row = db.execute("SELECT incarnation, position, head FROM cursor WHERE space = ? AND relay = ?",
                         (self.space.n, relay)).fetchone()
        if row is not None and row[0] == incarnation:
            # Statements that wait may have come from elsewhere, and be in what is still to be read.
            self.relays.resume(db, self.space.n, relay, self._device.id, waits=has_statements(db, self.space.n))
            return Cursor(row[1], row[2]), False, self.epoch_at(db, relay)
        db.execute("INSERT OR REPLACE INTO cursor (space, relay, incarnation, position, head, acknowledged) "
                   "VALUES (?, ?, ?, 0, ?, 0)", (self.space.n, relay, incarnation, GENESIS_HEAD))
        self.reseed(db, relay)
        if row is not None and lost(db, self.space.n, relay):
            self.want_checkpoint(db, {relay})
        return Cursor(0, GENESIS_HEAD), row is not None, self.space.epoch

    def reseed(self, db: Connection, relay: int) -> None:
        """Read a relay from its beginning, then send it every entry that it turns out not to have."""
        forget_heads(db, self.space.n, relay)
        begin_anew(db, self.space.n, relay, self._device.id)
        self.relays.begin_anew(relay)

    def pass_over(self, db: Connection, relay: int, gap: Dropped) -> Received:
        """Entries that follow the cursor were dropped, for a checkpoint stands for them."""
        advance(db, self.space.n, relay, gap.first, Cursor(gap.last, gap.head))
        db.execute("INSERT OR REPLACE INTO gap (space, relay, first, last, head) VALUES (?, ?, ?, ?, ?)",
                   (self.space.n, relay, gap.first, gap.last, gap.head))
        return Received(alarms=note_head(db, self.space.n, relay, gap.last, gap.head))

    def incoming(self, db: Connection, relay: int, entries: Sequence[Entry], head: bytes,
                 budget: Budget | None = None) -> Received:
        """Take in entries that follow the cursor, as far as the budget goes, and move it to the last one taken.

        `head` is the relay's head after all of them; empty where a range that was dropped follows. Raises `SpaceFull`.
        """
        self.refresh(db)
        with self.within_room(db, budget):
            return self._incoming(db, relay, entries, head, budget)

    def _incoming(self, db: Connection, relay: int, entries: Sequence[Entry], head: bytes,
                  budget: Budget | None) -> Received:
        received = Received()
        if entries:
            known = self._known.found if self._known is not None and self._known.changes == db.total_changes else None
            (before,) = db.execute("SELECT head FROM cursor WHERE space = ? AND relay = ?",
                                   (self.space.n, relay)).fetchone()
            advance(db, self.space.n, relay, entries[0].offset,
                    Cursor(entries[-1].offset, head or head_after(before, entries)))
            intake = Intake(db, relay, self.space, self._device.id, self._records, budget, now=self._now(),
                            found=known, foreseen=self._foreseen)
            self._foreseen = None
            received = self._taken(db, relay, intake.take(entries), budget, intake)
            taken = entries[:received.entries]
            received.alarms += note_heads(db, self.space.n, relay, before, taken, received.placed)
            if len(taken) < len(entries):
                there = Cursor(entries[0].offset - 1 + len(taken), head_after(before, taken))
                advance(db, self.space.n, relay, entries[-1].offset + 1, there)
            found = intake.found if intake.plain and not self.unsettled else None
            self._known = None if found is None else Quiet(db.total_changes, found, intake.reached,
                                                           self._records.rows.calm)
        return received

    def ahead(self, db: Connection, entry: Entry) -> Callable[[], None] | None:
        """What tells of what an entry will show that follows the cursor, if that is known before it is taken in.

        To be asked while the writer's thread has nothing to do, just before it does that; writes nothing.
        """
        self._foreseen = None
        if self._stale or self.unsettled or self.left or self.space.public:
            return None
        if self._known is None or self._known.changes != db.total_changes:
            self._known = Quiet(db.total_changes, outstanding(db, self.space.n))
        self._foreseen = foreseen = foresee(db, self.space, self._device.id, self._records, entry, self._known)
        return None if foreseen is None or foreseen.shown is None else partial(self._records.ahead, foreseen.shown)

    def bounded(self, db: Connection) -> bool:
        """Whether what comes of the space is held to its room: it is followed."""
        return self.space.public and (self.follows or room_of(db, self.space.n) is not None)

    @contextmanager
    def within_room(self, db: Connection, budget: Budget | None = None) -> Iterator[None]:
        """Take something in that a relay has of the space, as far as there is room. Raises `SpaceFull`."""
        if not self.bounded(db):
            yield
            return
        self._check_room(db)
        with measured(db, self.space.n, self.space.name, budget):
            yield

    def stand(self, db: Connection) -> None:
        """Work raised `SpaceFull`, and was undone: nothing more of the space is taken in."""
        stand(db, self.space.n)
        self._left = self._left and not self._is_full(db)

    def _is_full(self, db: Connection) -> bool:
        self.full = full(db, self.space.n, self.space.name) if self.space.public else None
        return self.full is not None

    def _check_room(self, db: Connection) -> None:
        if self._is_full(db) and self.full is not None:
            raise SpaceFull(self.full.message, self.full.hint)

    def leaves(self, db: Connection, intake: Intake | None = None) -> bool:
        """Whether something that came before waits for its turn (`go_on`); `intake` is what this turn took in."""
        if self._is_full(db):
            return False
        if intake is None or not intake.plain:
            intake = Intake(db, 0, self.space, self._device.id, self._records)
        return intake.left()

    def go_on(self, db: Connection, budget: Budget) -> Received:
        """Take in what is `left`, as far as the budget goes. Raises `HomeCopied`."""
        self._heard = False
        self.refresh(db)
        if self._is_full(db):  # what waits here has its turn when there is room
            self._left = False
            return Received()
        with self.within_room(db, budget):
            intake = Intake(db, 0, self.space, self._device.id, self._records, budget, now=self._now())
            received = self._taken(db, 0, intake.go_on(), budget)
            note_placed(db, self.space.n, received.placed)
            return received

    def read_checkpoint(self, db: Connection, relay: int, reading: Reading) -> Received:
        """One turn on the entries of a checkpoint whose chains were folded. Raises `HomeCopied`."""
        self.refresh(db)
        budget = Budget(TURN)
        intake = Intake(db, relay, self.space, self._device.id, self._records, budget, now=self._now())
        reading.take(intake)
        received = self._taken(db, relay, intake.end(), budget)
        note_placed(db, self.space.n, received.placed)
        return received

    def behind(self, db: Connection, relay: int) -> bool:
        """Whether a relay passed over entries, and it was not seen to yet that they are here all the same."""
        return db.execute("SELECT 1 FROM gap WHERE space = ? AND relay = ? AND settled = 0",
                          (self.space.n, relay)).fetchone() is not None

    def say(self, db: Connection, relay: int, item: Item) -> tuple[Sealed, bytes]:
        """Put a manifest or a vouch into an entry of its own, and seal it for a relay; the entry's hash.

        Other relays are owed it as any entry: the next ones of this device follow it.
        """
        row, entry = self._append(db, self._now(), CHECKPOINTS, [item])
        self.relays.made([row], relay)
        hear(db, self.space.n, entry.inner, entry.hash)
        return self._seal(db, relay, row, entry.packed, CHECKPOINTS), entry.hash

    def recount(self, db: Connection) -> None:
        """A statement made here may decide which entries count: records follow, what is `left` of it in turns."""
        self.refresh(db)
        tally = Tally(db, self.space, self._device.id, self._records, Budget(TURN), outstanding(db, self.space.n))
        self._tell(db, tally.end())
        if tally.owed():
            self._left = self._records.left = True

    def _tell(self, db: Connection, notices: list[Notice]) -> None:
        for kind, body in notices:
            self.write_receipt(db, kind, body)

    def _taken(self, db: Connection, relay: int, received: Received, budget: Budget | None,
               intake: Intake | None = None) -> Received:
        under = self.current.id
        if received.said:
            announce_end(db, self.space, self._device.id)
            self._unlock(db, relay, under, received, budget)
            at = self.epoch_at(db, relay)
            received.owed = owes(db, self.space, self._device, at, first=True)
            say_last(db, self.space, self._device.id, at.id)
        if (private := tell_private(db, self.space.n, received.statements)) is not None:
            received.spaces.append(private)
        self._tell(db, received.notices)
        self._left = self.leaves(db, intake)
        received.left = self.left
        self.current = self.space.epoch
        if self.unsettled:
            self._records.settle(db, self.space.n)
        self.relays.came(db, self.space.n, relay, received)
        return received

    def _unlock(self, db: Connection, relay: int, under: bytes, received: Received,
                budget: Budget | None = None) -> None:
        """Statements lead to keys, keys to entries that were locked, and these to statements."""
        while True:
            learn_epochs(db, self.space, under)
            under = self.space.epoch.id
            intake = Intake(db, relay, self.space, self._device.id, self._records, budget, received, self._now())
            if not intake.take_locked():
                break
        note_name(db, self.space)
