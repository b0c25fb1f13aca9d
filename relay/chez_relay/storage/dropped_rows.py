"""What was dropped of the logs, and chunks that were released, on the open transaction of `Tables`.

First both wait for their grace to be over, and nothing changes; then an `Expire` removes them a slice
at a time. Each slice leaves a log that is whole: its range and its head say where to go on.

All rows here name others, so each has a seal: by damage no other entry or chunk may be removed. What a damaged
row names stays, and a log is not read past a range that is damaged.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from chez_relay.storage import Done, DropEntries, Dropped, Entry, Page, Result
from chez_relay.storage.entry_hashes import EntryHashes
from chez_relay.storage.integrity import Damaged, blob, intact, seal
from chez_relay.storage.refusals import NO_SPACE, OTHER_DROP, OTHER_HEAD, PAGE_AHEAD, UNVOUCHED
from chez_relay.storage.space_rows import PLACES, Room, SpaceRow, SpaceRows
from chez_relay.storage.standing import Standing
from chez_wire.dropping import uncovered, united
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.limits import MAX_DROPPED

__all__ = ("DroppedRows",)


class DroppedRows:
    """The ranges and chunks on `db`; `grace` in seconds."""

    def __init__(self, db: sqlite3.Connection, spaces: SpaceRows, hashes: EntryHashes, grace: float) -> None:
        self._db = db
        self._spaces = spaces
        self._hashes = hashes
        self._grace = grace
        self._standing = Standing()

    def drop(self, request: DropEntries, now: float) -> Result:
        """Note what is to go when its grace is over."""
        if (space := self._spaces.get(request.handle)) is None:
            return NO_SPACE
        if request.signer != space.keys.admin or request.voucher != space.keys.control:
            return UNVOUCHED
        if request.drop == space.drop:
            return Done()
        if request.follows != space.drop:
            return OTHER_DROP
        if request.ranges and request.ranges[-1].last > space.last:
            return PAGE_AHEAD
        if any(self.head(space, one.last) not in (one.head, None) for one in request.ranges):
            return OTHER_HEAD
        due = now + self._grace
        # Each offset waits once: by naming the same ones in ever other ranges a table would grow that no quota bounds.
        for first, last in [part for one in request.ranges for part in self._live(space.number, one.first, one.last)]:
            self._await(space.number, first, last, due)
        self._db.executemany(
            "INSERT OR IGNORE INTO releasing (space, chunk, due, seal) SELECT space, chunk, ?, ? FROM chunks "
            "WHERE space = ? AND chunk = ?",
            [(due, seal(space.number, chunk, due), space.number, chunk) for chunk in request.chunks])
        space.drop = request.drop
        self._spaces.changed(request.handle, space)
        return Done()

    def _live(self, number: int, first: int, last: int) -> list[tuple[int, int]]:
        """What between two offsets neither waits to be dropped nor is gone. Raises `Damaged`."""
        waiting = []
        for *fields, due, sealed in self._db.execute(
                "SELECT first, last, due, seal FROM dropping WHERE space = ? AND first <= ? ORDER BY first DESC",
                (number, last)):
            if sealed != seal(number, *fields, due):
                continue  # what it names is not believed, and stays
            if fields[1] < first:
                break
            waiting.append((fields[0], fields[1]))
        return uncovered(first, last, [*waiting, *((one.first, one.last) for one in self._gone(number, first, last))])

    def _await(self, number: int, first: int, last: int, due: float) -> None:
        self._db.execute("INSERT OR IGNORE INTO dropping (space, first, last, due, seal) VALUES (?, ?, ?, ?, ?)",
                         (number, first, last, due, seal(number, first, last, due)))

    def head(self, space: SpaceRow, offset: int) -> bytes | None:
        """The head at an offset, as its row has it; None where there is no entry, and inside a range that is gone."""
        if offset == 0:
            return GENESIS_HEAD
        row = self._db.execute("SELECT head FROM entries WHERE place = ?", (space.number * PLACES + offset,)).fetchone()
        if row is not None:
            return blob(row[0])
        return next((one.head for one in self._gone(space.number, offset, offset) if one.last == offset), None)

    def _gone(self, number: int, first: int, last: int, most: int = -1) -> list[Dropped]:
        """The ranges that end at or after an offset, and begin up to another. Raises `Damaged`."""
        found = []
        for *fields, sealed in self._db.execute("SELECT first, last, head, seal FROM dropped WHERE space = ? AND "
                                                "last >= ? ORDER BY last LIMIT ?", (number, first, most)):
            whole = sealed == seal(number, *fields)
            if fields[0] > last:
                if whole:  # so are all after it, for no two touch
                    break
                continue
            if not whole:
                raise Damaged
            found.append(Dropped(*fields))
        return found

    def kept(self, space: SpaceRow, chunk: bytes) -> bool:
        """Whether a chunk stays, for nobody released it."""
        return self._db.execute("SELECT 1 FROM releasing WHERE space = ? AND chunk = ?",
                                (space.number, chunk)).fetchone() is None

    def keep(self, space: SpaceRow, chunk: bytes) -> None:
        """A chunk was put again: it serves."""
        self._db.execute("DELETE FROM releasing WHERE space = ? AND chunk = ?", (space.number, chunk))

    def forget(self, space: int) -> None:
        """A space was deleted."""
        for table in ("dropping", "dropped", "releasing"):
            self._db.execute(f"DELETE FROM {table} WHERE space = ?", (space,))

    # --- reading ------------------------------------------------------------------------

    def page(self, space: SpaceRow, after: int, head: bytes | None, rows: Iterable[tuple[int, bytes, bytes, bytes]],
             limit: int) -> Page:
        """Entries after an offset, and the ranges between them.

        `head` is the one there, None inside a range; `rows` has place, id, head and envelope of each entry. Raises
        `Damaged` where one is lacking, or is not what its hash and its place in the chain say.
        """
        gone = self._gone(space.number, after + 1, space.last, MAX_DROPPED)
        more = len(gone) == MAX_DROPPED
        entries: list[Entry] = []
        passed: list[Dropped] = []
        at, room, start = after, limit, space.number * PLACES

        def pass_over() -> None:
            nonlocal at, head
            while gone and gone[0].first <= at + 1:
                one = gone.pop(0)
                passed.append(Dropped(at + 1, one.last, blob(one.head)))
                at, head = one.last, one.head

        pass_over()
        for place, entry, after_it, envelope in rows:
            room -= len(blob(envelope))
            if (room < 0 and entries) or (more and not gone):
                break
            # With its place in the chain an entry is bound to this space and offset: none is lacking before it.
            if (place != start + at + 1 or head is None or entry_id(envelope) != entry
                    or fold_head(head, blob(entry)) != after_it):
                raise Damaged
            entries.append(Entry(place - start, envelope))
            at, head = place - start, after_it
            pass_over()
        if head is None or (at == after and at < space.last) or (at == space.last and head != space.head):
            raise Damaged
        return Page(tuple(entries), head, space.last, tuple(passed))

    # --- removing -----------------------------------------------------------------------

    def expire(self, now: float, room: Room) -> bool:
        """Remove a slice of what had its grace; whether there is more."""
        latest = now + self._grace
        (late,) = self._db.execute("SELECT EXISTS (SELECT 1 FROM dropping WHERE due > ?1) OR EXISTS "
                                   "(SELECT 1 FROM releasing WHERE due > ?1)", (latest,)).fetchone()
        if self._standing.believed(now, late=bool(late)):
            self._not_after(latest, room.rows)
        most, handled = room.rows, False
        ranges = self._db.execute("SELECT space, first, last, due, seal FROM dropping WHERE due <= ? ORDER BY due "
                                  "LIMIT ?", (now, most)).fetchall()
        for number, first, last, due, sealed in ranges:
            with suppress(Damaged):
                intact(sealed, (number, first, last, due))
                handled = True
                if not self._remove(number, first, last, room):
                    return True
        chunks = self._db.execute("SELECT space, chunk, due, seal FROM releasing WHERE due <= ? ORDER BY due LIMIT ?",
                                  (now, max(0, room.rows))).fetchall()
        for number, chunk, due, sealed in chunks:
            with suppress(Damaged):
                intact(sealed, (number, chunk, due))
                handled = True
                if not self._release(number, chunk, room):
                    return True
        # Rows that are damaged stay, and are no reason to look again at once.
        return handled and (len(ranges) == most or len(chunks) == max(0, room.rows))

    def _not_after(self, latest: float, most: int) -> None:
        """What was named while the clock was ahead waits no longer than what is named now."""
        for table, keys in (("dropping", ("space", "first", "last")), ("releasing", ("space", "chunk"))):
            query = f"SELECT {', '.join(keys)}, due, seal FROM {table} WHERE due > ? LIMIT ?"
            for *names, due, sealed in self._db.execute(query, (latest, most)).fetchall():
                if sealed == seal(*names, due):
                    self._db.execute(
                        f"UPDATE {table} SET due = ?, seal = ? WHERE {' AND '.join(f'{key} = ?' for key in keys)}",
                        (latest, seal(*names, latest), *names))

    def _remove(self, number: int, first: int, last: int, room: Room) -> bool:
        start = number * PLACES
        rows = self._db.execute(
            "SELECT place, head, length(envelope), control, entry FROM entries WHERE place BETWEEN ? AND ?"
            " ORDER BY place LIMIT ?", (start + first, start + last, room.rows + 1)).fetchall()
        near = self._gone(number, first - 1, last + 1)
        gone = [row for row in rows if room.take(row[2])]
        entries = [(blob(row[4]), row[0] - start) for row in gone]
        if gone:
            handle, space = self._space(number)
            # No more than there is: by damage a row may be longer than what was counted, or of the other kind.
            for _, _, size, control, _ in gone:
                if control:
                    space.control_bytes = max(0, space.control_bytes - size)
                else:
                    space.data_bytes = max(0, space.data_bytes - size)
            self._spaces.changed(handle, space)
            self._hashes.remove(handle, space, entries)
            self._db.executemany("DELETE FROM entries WHERE place = ?", [(row[0],) for row in gone])
            self._pass_over(number, near, Dropped(first, gone[-1][0] - start, gone[-1][1]))
        done = len(gone) == len(rows)
        self._db.execute("DELETE FROM dropping WHERE space = ? AND first = ? AND last = ?", (number, first, last))
        if not done:
            self._await(number, first if not gone else gone[-1][0] - start + 1, last, 0.0)
        return done

    def _pass_over(self, number: int, near: Iterable[Dropped], new: Dropped) -> None:
        self._db.executemany("DELETE FROM dropped WHERE space = ? AND last = ?", [(number, one.last) for one in near])
        self._db.executemany("INSERT INTO dropped (space, first, last, head, seal) VALUES (?, ?, ?, ?, ?)", [
            (number, one.first, one.last, one.head, seal(number, one.first, one.last, one.head))
            for one in united([*near, new])])

    def _release(self, number: int, chunk: bytes, room: Room) -> bool:
        row = self._db.execute("SELECT number, length(data) FROM chunks WHERE space = ? AND chunk = ?",
                               (number, chunk)).fetchone()
        if row is not None:
            if not room.take(row[1]):
                return False
            handle, space = self._space(number)
            space.blob_bytes = max(0, space.blob_bytes - row[1])
            self._spaces.changed(handle, space)
            self._db.execute("DELETE FROM chunks WHERE number = ?", (row[0],))
        self._db.execute("DELETE FROM releasing WHERE space = ? AND chunk = ?", (number, chunk))
        return True

    def _space(self, number: int) -> tuple[bytes, SpaceRow]:
        (handle,) = self._db.execute("SELECT handle FROM spaces WHERE space = ?", (number,)).fetchone()
        space = self._spaces.get(handle)
        assert space is not None  # its row was just read
        return handle, space
