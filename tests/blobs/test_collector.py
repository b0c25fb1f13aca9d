"""What is freed and when, against a simple model, whatever happens in whatever order."""

from functools import partial
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chez.blobs import collector, tables
from chez.blobs.format import MANIFEST
from chez_wire.chunks import chunk_id
from tests.store.blank import blank
from tests.tries import tries

NAMES = st.integers(0, 4)
RECORDS = st.integers(1, 3)
CRASHES = st.booleans()


class Freeing(RuleBasedStateMachine):
    """One device's store, its files as a set of names, and what a person would expect of both."""

    def __init__(self) -> None:
        super().__init__()
        self.db = blank()
        self.db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
        self.db.execute("INSERT INTO relay (n, url) VALUES (1, 'ws://relay.test')")
        self.files: set[bytes] = set()
        self.made = 0
        self.adding: set[int] = set()
        # The model: what each attachment consists of, what records hold, and what is in use.
        self.blobs: dict[str, tuple[bytes, ...]] = {}
        self.content: dict[str, int] = {}
        self.records: dict[int, str] = {}
        self.fresh: set[str] = set()
        self.reading: set[str] = set()
        self.pinned: set[str] = set()
        self.evicted: set[str] = set()
        self.left: set[bytes] = set()
        self.idle: dict[str, int] = {}
        self.passes = 0

    def _piece(self) -> bytes:
        self.made += 1
        return chunk_id(self.made.to_bytes(8, "big"))

    def _work(self, work: Any, *, crash: bool = False) -> Any:
        """One transaction; a crash is one that never commits."""
        self.db.execute("BEGIN")
        result = work(self.db)
        self.db.execute("ROLLBACK" if crash else "COMMIT")
        return result

    # --- adding -------------------------------------------------------------------------

    @rule(content=NAMES)
    def add(self, content: int) -> None:
        """An addition to its end: a new blob, or the one that is here with this content."""
        n = self._work(lambda db: tables.begin(db, 1))
        pieces = [(position, self._piece(), 10) for position in (0, 1, MANIFEST)]
        self.files |= {id for _, id, _ in pieces}
        self._work(lambda db: tables.add_pieces(db, n, pieces))
        mine = pieces[-1][1].hex()

        def work(db: Any) -> str:
            known, id = tables.finish(db, n, mine, 1024, content.to_bytes(32, "big"), self.files.__contains__)
            db.execute("UPDATE blob SET idle = NULL WHERE n = ?", (known,))
            return id

        id = self._work(work)
        twins = {twin for twin in self.blobs if self.content[twin] == content and twin not in self.evicted}
        assert id in (twins or {mine})
        if not twins:
            self.blobs[mine] = tuple(id for _, id, _ in pieces)
            self.content[mine] = content
        self.fresh.add(id)
        self.idle.pop(id, None)

    @rule(noted=st.booleans())
    def begin_and_fail(self, noted: bool) -> None:
        """An addition that is cut off; some of its files may be in no row yet."""
        n = self._work(lambda db: tables.begin(db, 1))
        pieces = [(0, self._piece(), 10)]
        self.files |= {id for _, id, _ in pieces}
        if noted:
            self._work(lambda db: tables.add_pieces(db, n, pieces))

    # --- using --------------------------------------------------------------------------

    @precondition(lambda self: self.blobs)
    @rule(record=RECORDS, data=st.data(), crash=CRASHES)
    def put(self, record: int, data: st.DataObject, crash: bool) -> None:
        """A record holds an attachment instead of what it held."""
        id = data.draw(st.sampled_from(sorted(self.blobs)))
        json = msgspec.json.encode({"a": {"_blob": id, "size": 1024}}).decode()
        self._work(lambda db: db.execute(
            "INSERT INTO record (n, space, collection, id, json, deleted, tail, changed, born) "
            "VALUES (?1, 1, 'notes', ?2, ?3, 0, 0, ?1, ?1) ON CONFLICT (n) DO UPDATE SET json = excluded.json",
            (record, str(record), json)), crash=crash)
        if not crash:
            self.records[record] = id

    @rule(record=RECORDS)
    def purge(self, record: int) -> None:
        """A record goes for good."""
        self._work(lambda db: db.execute("DELETE FROM record WHERE n = ?", (record,)))
        self.records.pop(record, None)

    @precondition(lambda self: self.blobs)
    @rule(data=st.data())
    def toggle(self, data: st.DataObject) -> None:
        """A reader begins or ends; a pin is set or taken away."""
        id = data.draw(st.sampled_from(sorted(self.blobs)))
        if data.draw(st.booleans()):
            self.reading ^= {id}
        else:
            self.pinned ^= {id}
            self._work(lambda db: db.execute("UPDATE blob SET pinned = ? WHERE id = ?", (id in self.pinned, id)))

    @precondition(lambda self: self.blobs)
    @rule(data=st.data(), passes=st.integers(1, 3))
    def pin_for_a_while(self, data: st.DataObject, passes: int) -> None:
        """Found unused, then pinned while passes go by, which count for nothing."""
        self.collect(crash=False)
        if not self.blobs:
            return
        id = data.draw(st.sampled_from(sorted(self.blobs)))
        for pinned in (True, False):
            (self.pinned.add if pinned else self.pinned.discard)(id)
            self._work(lambda db, pinned=pinned: db.execute("UPDATE blob SET pinned = ? WHERE id = ?", (pinned, id)))
            for _ in range(passes if pinned else 2):
                self.collect(crash=False)

    @precondition(lambda self: self.blobs)
    @rule(data=st.data(), removing=st.sampled_from([{}, {0}, {1}, {2}]),
          ends=st.sampled_from(["evicted", "arrived", "held", "held"]))
    def evict_and_fetch(self, data: st.DataObject, removing: set[int], ends: str) -> None:
        """Chunks are given up and come back, files first; the remover may come at any time, a crash too."""
        id = data.draw(st.sampled_from(sorted(self.blobs)))
        known = tables.get(self.db, 1, id)
        assert known is not None
        chunks = set(self.blobs[id][:2])
        self._work(lambda db: tables.unhold(db, known.n))
        self.evicted.add(id)
        self.left -= chunks
        if 0 in removing:
            self.remove(crash=False)
        if ends == "evicted":
            return
        self._work(lambda db: tables.ensure(db, 1, id))
        if 1 in removing:
            self.remove(crash=False)
        self.files |= chunks
        if 2 in removing:
            self.remove(crash=False)
        if ends == "arrived":
            self.left |= chunks
            return
        self._work(lambda db: tables.hold(db, known.n, [(0, b"", 10), (1, b"", 10)]))
        self.evicted.discard(id)

    # --- freeing ------------------------------------------------------------------------

    @rule(crash=CRASHES)
    def collect(self, crash: bool) -> None:
        """A pass frees exactly what was in no record and no use for the grace, counted in passes."""
        held = set(self.records.values())
        in_use = (self.fresh - held) | self.reading
        freed = self._work(lambda db: collector.collect(db, in_use), crash=crash)
        idle, passes = dict(self.idle), self.passes + 1
        expected = set()
        for id in self.blobs:
            if id in held or id in in_use or id in self.pinned:
                idle.pop(id, None)
            elif id not in idle:
                idle[id] = passes
            elif passes - idle[id] >= collector.GRACE:
                expected.add(id)
        assert set(freed) == expected
        if not crash:
            self.fresh -= held
            self.passes = passes
            self.idle = {id: since for id, since in idle.items() if id not in expected}
            for id in expected:
                del self.blobs[id]
                self.evicted.discard(id)

    @rule(crash=CRASHES)
    def remove(self, crash: bool) -> None:
        """Files are taken away; a crash leaves the names for the next time."""
        ids = self._work(lambda db: collector.remove(db, self.files.discard), crash=crash)
        if not crash:
            self._work(lambda db: collector.removed(db, ids, self.files.__contains__))

    @rule()
    def restart(self) -> None:
        """The process is gone and comes back: what is in memory is not, and what was cut off goes."""
        self.fresh.clear()
        self.reading.clear()
        if collector.unfinished(self.db, ()):
            self.files &= tables.known_of(self.db, self.files) | {
                id for (id,) in self.db.execute("SELECT id FROM doomed")}
            self._work(lambda db: collector.drop_unfinished(db, ()))

    # --- what always holds ----------------------------------------------------------------

    @invariant()
    def what_is_known_is_here(self) -> None:
        """Every blob of the model is in the store, and each piece that the store calls held is a file."""
        known = {id for (id,) in self.db.execute("SELECT id FROM blob WHERE id IS NOT NULL")}
        assert known == set(self.blobs)
        assert set(self.records.values()) <= known
        held = {id for (id,) in self.db.execute("SELECT id FROM chunk WHERE held = 1")}
        assert held <= self.files

    def teardown(self) -> None:
        """After a restart and enough passes, what records hold or a person pinned is left, and files of that alone."""
        self.restart()
        for _ in range(collector.GRACE + 1):
            self.collect(crash=False)
        while ids := self._work(lambda db: collector.remove(db, self.files.discard)):
            self._work(partial(collector.removed, ids=ids, there=self.files.__contains__))
        assert set(self.blobs) == set(self.records.values()) | (self.pinned & set(self.blobs))
        held = {id for (id,) in self.db.execute("SELECT id FROM chunk WHERE held = 1")}
        # A piece that arrived just before a crash is found when it is next wanted, or goes with its blob.
        left = self.left & tables.known_of(self.db, self.left)
        assert self.files - left == held - left
        self.db.close()


Freeing.TestCase.settings = settings(max_examples=tries(80), stateful_step_count=30, deadline=None)
TestFreeing = Freeing.TestCase
