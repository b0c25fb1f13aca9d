"""Several relays for one space: what each is still to be given, where more than one keeps it.

Each relay has a log of its own, a cursor, and its own sealed bytes. What is put into an entry
is sealed for every relay that takes entries as they are made, in one transaction. An entry of
somebody else that came from one relay counts as lacking at the others until they show it; one
that does not for too long, or at the end of an exchange that is waited for, is given it (`overdue`),
so a device that knows several relays also carries between those that do not share all their devices.
"""

from collections.abc import Callable, Iterable, Set

from chez.store.database import Connection
from chez.sync.checkpoints.due import want
from chez.sync.received import Received
from chez.sync.sealed import lacking

__all__ = ("Several",)


class Several:
    """The relays that one space is kept in step with, by their rows; used by its replica."""

    def __init__(self) -> None:
        self.kept: set[int] = set()
        """Those that links keep it in step with, whether they can be reached or not."""
        self.reseeding: set[int] = set()
        """Those that are read to their end to learn what they lack, before anything is sent."""
        self.doubted: set[int] = set()
        """Those on this network, of devices, whose log is not what was read of it: what is known of it is forgotten."""
        self.checkpoints_due: set[int] = set()
        """Those at which a checkpoint is to be made, as was seen last (`checkpoints.due` has it)."""
        self._unread: set[int] = set()
        """Those to be read once since the home was opened, before anything of this device is sent to any."""
        self._read: set[int] = set()
        self._going: dict[int, Callable[[], None]] = {}
        self._owed: dict[int, set[int]] = {}
        self._paid: dict[int, set[int]] = {}
        self._late: dict[int, set[int]] = {}
        self._waits = True
        """Whether something may wait of which it is noted where it was seen (`came`); unknown, it is so."""
        self._unproven: set[int] = set()
        """Those that were storing an entry that was taken in here before they said that they have it, and may lack it
        still."""
        self._left_out: frozenset[int] | None = None
        """While only these bring something, of all others it is noted that they may lack it (`came`)."""

    def read_first(self, relay: int, go_on: Callable[[], None], *, near: bool) -> None:
        """A link keeps it in step with a relay from now on: until that was read, nothing is sent to others.

        A home that was set back (a virtual machine's snapshot) learns there of entries that it has no more; sent
        before, the next ones would be others under their numbers. `go_on` is called once there is nothing to wait for.
        Devices that are met on a network (`near`) are not waited for: they come and go.
        """
        self._going[relay] = go_on
        if not near and relay not in self._read:
            self._unread.add(relay)

    def was_read(self, relay: int, *, whole: bool) -> None:
        """A relay was read to its end, or can't be just now (not `whole`)."""
        if whole:
            self._read.add(relay)
        if relay in self._unread:
            self._unread.discard(relay)
            for other, go_on in () if self._unread else tuple(self._going.items()):
                if other != relay:
                    go_on()

    def wait_no_more(self, relay: int) -> None:
        """Something is to be sent to a relay now, whether others were read or not."""
        for other in self._unread - {relay}:
            self.was_read(other, whole=False)

    def let_go(self, relay: int) -> None:
        """No link keeps it in step with a relay any more."""
        self.was_read(relay, whole=False)
        self._going.pop(relay, None)
        self.end(relay)

    def waits_for_others(self, relay: int) -> bool:
        """Whether another relay is to be read before something is sent to this one."""
        return bool(self._unread - {relay})

    @property
    def linked(self) -> frozenset[int]:
        """Those that it is kept in step with over a link just now."""
        return frozenset(self._going)

    def begin(self, relay: int) -> None:
        """From now on what is put into entries is sealed for a relay as it is made."""
        self._owed[relay], self._paid[relay] = set(), set()

    def end(self, relay: int) -> None:
        """No more: with the next connection it gets what it has not acknowledged."""
        self._owed.pop(relay, None)
        self._paid.pop(relay, None)
        self._late.pop(relay, None)

    def resume(self, db: Connection, space: int, relay: int, device: bytes, *, waits: bool) -> None:
        """A connection begins: the relay is read to its end first if it may lack something, or something `waits`.

        It may lack what came from others than this `device` after it was let go of.
        """
        db.execute("INSERT OR IGNORE INTO lacking (relay, entry) SELECT cursor.relay, entry.n FROM cursor "
                   "JOIN entry ON entry.space = cursor.space AND entry.n >= missed AND author <> ? "
                   "WHERE cursor.space = ? AND cursor.relay = ? AND missed > 0", (device, space, relay))
        db.execute("UPDATE cursor SET missed = 0 WHERE space = ? AND relay = ? AND missed > 0", (space, relay))
        self._left_out = None
        (self.reseeding.add if waits or lacking(db, space, relay) else self.reseeding.discard)(relay)

    def begin_anew(self, relay: int) -> None:
        """A relay is read from its beginning: each entry counts as lacking there until it is shown."""
        self.reseeding.add(relay)
        self._left_out = None

    def lacked(self, db: Connection, space: int, relay: int) -> list[tuple[int, bytes, int]]:
        """What a relay that was read turned out to lack: it is given that now."""
        found = lacking(db, space, relay)
        db.execute("DELETE FROM lacking WHERE relay = ? AND entry IN (SELECT n FROM entry WHERE space = ?)",
                   (relay, space))
        self.reseeding.discard(relay)
        return found

    def stands(self, relay: int) -> bool:
        """Whether a relay is connected, and given entries as they are made."""
        return relay in self._owed

    def owes(self, relay: int) -> bool:
        """Whether there are entries that were not sealed yet for a relay that is to have them."""
        return bool(self._owed.get(relay))

    def made(self, rows: Iterable[int], relay: int | None = None) -> None:
        """Entries were made, in these rows: all relays are owed them, but for the one they are sealed for now."""
        rows = set(rows)
        for other, owed in tuple(self._owed.items()):  # the loop may end one
            if other != relay:
                owed |= rows

    def due(self, relay: int) -> set[int]:
        """What a relay is owed."""
        return set(self._owed.get(relay, ()))

    def paid(self, relay: int, rows: set[int]) -> None:
        """These were sealed for a relay, in a transaction that may still be undone."""
        if rows and relay in self._owed:
            self._owed[relay] -= rows
            self._paid[relay] = rows

    def undone(self) -> None:
        """A transaction was undone: what was paid last may not have been. (What is sealed already is not sealed again.)
        """
        self._waits = True
        self._left_out = None
        for relay, rows in tuple(self._paid.items()):
            if (owed := self._owed.get(relay)) is not None:
                owed |= rows

    def came(self, db: Connection, space: int, relay: int, received: Received) -> None:
        """Entries were taken in that came from a relay (0: they were here): others may lack them.

        Those that waited before, or wait now, are at the relays that were noted as they came. That is noted of a space
        that one relay alone keeps, too: another may come to it, or this one lose its store. Relays that were never read
        are read whole, and given what they lack, at the first contact. Of one that was let go of the first entry is
        noted that it may lack (`resume`): it may come back, or never.
        """
        kept = frozenset(self.kept)  # links come and go meanwhile, in another thread
        if received.first is not None:
            self._leave_out(db, space, kept | {relay}, received.first)
        if not (received.shown or self._waits) and (received.first is None or len(kept) < 2):
            return
        db.executemany("INSERT OR IGNORE INTO shown (space, hash, relay) VALUES (?, ?, ?)",
                       [(space, hash, at) for hash, relays in received.shown.items() for at in relays])
        waited = self._waits = bool(received.shown or self._waits) and db.execute(
            "SELECT 1 FROM shown WHERE space = ? LIMIT 1", (space,)).fetchone() is not None
        if (first := received.first) is None:
            return
        for other in kept if waited else kept - {relay}:
            db.execute("INSERT OR IGNORE INTO lacking (relay, entry) SELECT cursor.relay, entry.n FROM entry, cursor "
                       "WHERE entry.n >= ?1 AND entry.space = ?2 AND cursor.space = ?2 AND cursor.relay = ?3 AND CASE "
                       "WHEN EXISTS (SELECT 1 FROM shown WHERE space = ?2 AND hash = entry.hash) "
                       "THEN NOT EXISTS (SELECT 1 FROM shown WHERE space = ?2 AND hash = entry.hash AND relay = ?3) "
                       "ELSE ?3 <> ?4 END", (first, space, other, relay))
        # What waited may have been shown again behind what it waited for.
        db.executemany("DELETE FROM lacking WHERE relay = ? AND entry = ?",
                       [(at, row) for at, row in received.again if row >= first])
        if waited:
            db.execute("DELETE FROM shown WHERE space = ?2 AND hash IN (SELECT hash FROM entry WHERE n >= ?1 "
                       "AND space = ?2)", (first, space))

    def unproven(self, db: Connection, relay: int, row: int) -> None:
        """An entry was taken in which a relay was storing, and did not say that it has: it is lacking there until then.
        """
        self._unproven.add(relay)
        db.execute("INSERT OR IGNORE INTO lacking (relay, entry) VALUES (?, ?)", (relay, row))

    @property
    def carries(self) -> bool:
        """Whether a relay may have to be given while it is connected what did not begin here."""
        return bool(self._unproven) or len(self.kept) > 1

    def _leave_out(self, db: Connection, space: int, there: frozenset[int], first: int) -> None:
        """Relays that were read once, others than `there`, may lack what comes from this row on."""
        if there == self._left_out:
            return
        db.execute(f"UPDATE cursor SET missed = ? WHERE space = ? AND relay NOT IN ({', '.join('?' * len(there))}) "
                   "AND (missed = 0 OR missed > ?)", (first, space, *there, first))
        self._left_out = there

    def overdue(self, db: Connection, space: int, relay: int, *, at_once: bool,
                said: bool) -> list[tuple[int, bytes, int]]:
        """What a relay lacked at the last look, and lacks still, or `at_once` all that it lacks: it is given that now.

        `said`: of what is said of the space alone.
        """
        now = {entry[0]: entry for entry in lacking(db, space, relay, said=said)} if self.carries else {}
        late = [now[row] for row in sorted(now.keys() if at_once else self._late.get(relay, set()) & now.keys())]
        self._late[relay] = set(now) - {row for row, _, _ in late}
        if not (now or said):
            self._unproven.discard(relay)
        db.executemany("DELETE FROM lacking WHERE relay = ? AND entry = ?", [(relay, row) for row, _, _ in late])
        return late

    def want_checkpoint(self, db: Connection, space: int, relays: Set[int]) -> None:
        """A checkpoint is to be made at each of these, once all of it was read here."""
        want(db, space, relays)
        self.checkpoints_due = self.checkpoints_due | relays
