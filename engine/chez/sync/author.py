"""What leaves this device: changes, statements and the like become entries of its chain, sealed for each relay.

Entries are made and sealed in the transaction that wrote what is in them, or in a later one; only once that is
durable may they be sent. What was sealed for a relay stays until it is acknowledged, and a repeat is the same bytes.
"""

from collections.abc import Callable, Sequence

from chez import crypto
from chez.records.anew import settled
from chez.records.store import RecordStore
from chez.spaces.permits import role_of
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.access import Access
from chez.sync.chains import keep_entry, last_entry
from chez.sync.checkpoints.heard import hear
from chez.sync.copied import check_own
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
from chez.sync.heads import note_head, note_placed
from chez.sync.outbox import (
    Waits,
    change_items,
    has_statements,
    journal_head,
    named_by,
    offers,
    put_into,
    seen_last,
    take_statements,
    unheard,
    waiting_changes,
)
from chez.sync.planning import by_epoch, plan
from chez.sync.sealed import Cursor, Sealed, acknowledge, advance, keep_sealed, places, sealed_for, unsealed
from chez.sync.sealing import epoch_for, seal_anew, stranded
from chez.sync.several import Several
from chez.sync.straight import straight

__all__ = ("Author",)


class Author:
    """This device as an author of one space's entries; relays are named by their rows in the store.

    `now` gives Unix milliseconds (for history, never for order), `entropy` fresh random bytes; `relays` is what each
    is still to be given.
    """

    def __init__(self, access: Access, records: RecordStore, relays: Several, now: Callable[[], int],
                 entropy: Callable[[int], bytes]) -> None:
        self._access = access
        self._records = records
        self._relays = relays
        self._now = now
        self._entropy = entropy
        self.unsettled = False
        """Whether work of the device this home was waits for what a relay has of it (`records.anew`)."""

    # --- entries ------------------------------------------------------------------------

    def collect(self, db: Connection, found: Waits | None = None) -> list[tuple[int, SignedEntry]]:
        """Put everything that waits into entries of this device's chain; (row, entry) each.

        `found` is what this transaction was found to leave, if somebody asked.
        """
        access = self._access
        access.refresh(db)
        made: list[tuple[int, SignedEntry]] = []
        if access.mute or access.space.regains is not None:
            return made
        if (said := (found is None or found.said) and has_statements(db, access.space.n)) and unheard(db, access.space):
            access.forget()  # an epoch among it, with its keys, is what it is sealed under
            access.refresh(db)
        space, now = access.space, self._now()  # one time for all: an item's age counts from its entry's
        right = role_of(space, access.device)
        gone = None if right is not None else access.device
        statements = take_statements(db, space.n, gone) if said else ()
        made += [self._append(db, now, STATEMENTS, items) for items in by_epoch(statements)]
        writes = right is not None and (space.private or right >= Role.WRITER)
        tells = space.private and (found is None or found.tells)
        for batch, part in plan(waiting_changes(db, space.n)) if writes else ():
            items, hashes = change_items(db, space.n, batch, now)
            made.append(self._append(db, now, CHANGES, items + (self._journal_head(db) if tells else []), part, hashes))
            put_into(db, space.n, batch, made[-1][0])
        if tells and right is not None:
            made += [self._append(db, now, CHANGES, [item]) for item in offers(db)]
        if tells and right is not None and not made and (head := self._journal_head(db)):
            made.append(self._append(db, now, CHANGES, head))  # receipts alone are witnessed too
        return made

    def flush(self, db: Connection) -> None:
        """Put what waits into entries now, before something is said that ends the right to."""
        self._relays.made(row for row, _ in self.collect(db))

    def _journal_head(self, db: Connection) -> list[Item]:
        return journal_head(db, self._access.space.n, self._access.device)

    def _append(self, db: Connection, now: int, kind: int, items: list[Item],
                part: Part | None = None, hashes: Sequence[bytes] = ()) -> tuple[int, SignedEntry]:
        space, device = self._access.space, self._access.device
        sequence, previous, _ = last_entry(db, space.n, device)
        heads = named_by(space, device, kind, items)
        entry = sign_entry(Inner(1, space.id, device, sequence + 1, previous, now, kind, items, heads,
                                 seen_last(db, space, sequence), part), self._access.keys.signing, hashes)
        return keep_entry(db, space.n, entry), entry

    # --- sealed for a relay -------------------------------------------------------------

    def outgoing(self, db: Connection, relay: int, found: Waits | None = None) -> list[Sealed]:
        """Collect what waits and seal it for a relay; the bytes returned are stored first. `found` as for `collect`.

        Nothing where the relay was never met, or the space was taken to another place since. Raises `HomeCopied`.
        """
        check_own(db)
        if not places(db, self._access.space.n, relay):
            return []
        made = [(row, entry.packed, entry.inner.kind) for row, entry in self.collect(db, found)]
        self._relays.made((one[0] for one in made), relay)
        if due := self._relays.due(relay):  # rows that were undone are not there, or are what was made just now
            wanted = due | {one[0] for one in made}
            made = [one for one in unsealed(db, self._access.space.n, relay, self._access.device) if one[0] in wanted]
        sealed = [self._seal(db, relay, *one) for one in made]
        self._relays.paid(relay, due)
        return sealed

    def straight(self, db: Connection, relay: int) -> Sealed | None:
        """As `outgoing`, of the one change that a transaction leaves, where nothing waited before it: it is held.

        None where more is to be seen to; nothing is done then.
        """
        access, held = self._access, self._records.held
        space = access.space
        if held is None or held.space != space.n or held.changes != db.total_changes:
            return None
        if access.stale or access.mute or space.regains is not None or self._relays.owes(relay):
            return None
        right = role_of(space, access.device)
        if right is None or not (space.private or right >= Role.WRITER):
            return None
        sealed = straight(db, space, access.keys, held, relay, self._now(), self._entropy, self._records.log_held)
        if sealed is not None:
            self._relays.made((sealed.entry,), relay)
        return sealed

    def log_held(self, db: Connection) -> None:
        """What is held, of this space or another, waits in the outbox from now on."""
        self._records.log_held(db)

    def unacknowledged(self, db: Connection, relay: int) -> list[Sealed]:
        """Everything of this device that a relay has not acknowledged, in chain order.

        While it is `unsettled` this comes after the relay was read to its end. Bytes sealed before
        are repeated as they were; entries never sealed for this relay (it is new, or lost its store) are now.
        """
        access = self._access
        if self.unsettled:
            settled(db, access.space.n)
            self.unsettled = False
        self._relays.made((row for row, _ in self.collect(db)), relay)
        self._relays.begin(relay)
        space = access.space
        if stranded(space, access.device, access.epoch_at(db, relay)):
            seal_anew(db, space, relay, space.epoch.id)
        lacked = self._relays.lacked(db, space.n, relay)
        if access.mute:
            return []
        for one in self._signed(db, relay, lacked):
            self._seal(db, relay, *one)
        for one in self._signed(db, relay, unsealed(db, space.n, relay, access.device)):
            self._seal(db, relay, *one)
        return sealed_for(db, space.n, relay)

    def overdue(self, db: Connection, relay: int, *, at_once: bool = False, said: bool = False) -> list[Sealed]:
        """What another relay brought a while ago, or `at_once` at any time, and this one does not show, sealed for it.

        `said`: what is said of the space, and no changes. Nothing for who is mute.
        """
        late = self._relays.overdue(db, self._access.space.n, relay, at_once=at_once, said=said)
        return [self._seal(db, relay, *one) for one in self._signed(db, relay, late) if not self._access.mute]

    def say(self, db: Connection, relay: int, item: Item) -> tuple[Sealed, bytes]:
        """Put a manifest or a vouch into an entry of its own, and seal it for a relay; the entry's hash.

        Other relays are owed it as any entry: the next ones of this device follow it.
        """
        row, entry = self._append(db, self._now(), CHECKPOINTS, [item])
        self._relays.made([row], relay)
        hear(db, self._access.space.n, entry.inner, entry.hash)
        return self._seal(db, relay, row, entry.packed, CHECKPOINTS), entry.hash

    def acknowledged(self, db: Connection, relay: int, sealed: Sealed, passed: Cursor | None) -> None:
        """A relay holds an entry durably; `passed` is where the cursor is now, if the entry does not come back."""
        n = self._access.space.n
        acknowledge(db, n, relay, sealed, self._access.device)
        if passed is not None:
            advance(db, n, relay, passed.position, passed)
            note_head(db, n, relay, passed.position, passed.head)
            note_placed(db, n, [(relay, passed.position, hash) for (hash,) in db.execute(
                "SELECT hash FROM entry WHERE n = ? AND kind = ?", (sealed.entry, CHANGES)).fetchall()])

    def _signed(self, db: Connection, relay: int,
                entries: list[tuple[int, bytes, int]]) -> list[tuple[int, bytes, int]]:
        """Those that carry a signature. For others, which came with a checkpoint, another one is wanted there."""
        found = [one for one in entries if signature_of(one[1])]
        if len(found) < len(entries):
            self._relays.want_checkpoint(db, self._access.space.n, {relay})
        return found

    def _seal(self, db: Connection, relay: int, entry: int, packed: bytes, kind: int) -> Sealed:
        access, space = self._access, self._access.space
        epoch = epoch_for(space, access.device, access.epoch_at(db, relay), packed, kind)
        envelope = seal(packed, space.handle, epoch, self._entropy(crypto.NONCE_BYTES))
        return keep_sealed(db, relay, entry, envelope, kind)
