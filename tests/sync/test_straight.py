"""A live change goes straight into an entry: what is made is the same, and nothing that waits is passed over."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import BadEntry
from chez.records.store import RecordStore
from chez.sync import author as author_module
from chez.sync.outbox import waits
from chez.sync.sealed import Sealed
from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.home.pairing import paired
from tests.simulation.household import household
from tests.tries import tries

RELAY = 1


class Author:
    """A device that edits one record, with a relay that is given what it makes; `directly` as a link does it."""

    def __init__(self, directly: bool) -> None:
        random = Random(7)
        house = household(random)
        self.directly, self.me = directly, house.founder.keys.id
        self.db = house.store(house.founder, bytes(32))
        self.records = RecordStore(self.me)
        self.replica = house.replica(house.founder, self.db, random, self.records)
        self.sealed: list[Sealed] = []
        self.straight = self.count = 0
        self.records.put(self.db, 1, "notes", "a", {"n": 0, "t": ""})
        self.replica.resume(self.db, RELAY, bytes(32))
        self.replica.author.unacknowledged(self.db, RELAY)
        self.replica.relays.begin(RELAY)

    def edit(self, field: str, undone: bool, more: bool) -> None:
        """One transaction: the record is edited, and with `more` another one is put; or all of it is undone."""
        self.count += 1
        self.db.execute("BEGIN IMMEDIATE")
        if more:
            self.records.put(self.db, 1, "notes", f"{self.count}", {"n": self.count})
        draft = self.records.begin_edit(self.db, 1, "notes", "a")
        after = draft.value | {field: self.count}
        change = draft.written(after)
        assert change is not None
        self.records.end_edit(self.db, 1, draft, change, after, last=self.directly)
        sealed = None if more else self.replica.author.straight(self.db, RELAY)
        self.straight += sealed is not None
        self.records.log_held(self.db)
        made = self.replica.author.outgoing(self.db, RELAY) if sealed is None else [sealed]
        assert not waits(self.db, self.me).spaces
        if undone:
            self.db.execute("ROLLBACK")
            self.records.forget()
            self.replica.forget()
        else:
            self.db.execute("COMMIT")
            self.sealed += made

    def acknowledge(self) -> None:
        """The relay has what was sealed first."""
        if self.sealed:
            self.replica.author.acknowledged(self.db, RELAY, self.sealed.pop(0), None)

    def rotate(self) -> None:
        """The keys are replaced: entries name other statements, and are sealed under another epoch."""
        self.replica.rotate(self.db)
        self.sealed += self.replica.author.outgoing(self.db, RELAY)

    def rows(self) -> Iterator[list[tuple[object, ...]]]:
        """What the store has."""
        for table in ("change", "entry", "named", "sealed", "record", "cursor"):
            yield self.db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4").fetchall()


STEPS = st.one_of(st.tuples(st.just("edit"), st.sampled_from("nt"), st.booleans(), st.booleans()),
                  st.just("acknowledge"), st.just("rotate"))


@settings(max_examples=tries(20), deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_what_is_made_is_the_same(steps: list[object]) -> None:
    """Byte for byte: the log, the entries, the envelopes; with other work in the same transaction, and undone."""
    one, other = Author(True), Author(False)
    for step in [("edit", "n", False, False)] * 2 + steps + [("edit", "n", False, False)] * 2:
        for author in (one, other):
            if isinstance(step, tuple):
                author.edit(*step[1:])
            else:
                getattr(author, str(step))()
    assert list(one.rows()) == list(other.rows())
    assert one.straight and not other.straight


async def _edit(notes: chez.Collection[dict[str, object]], n: int) -> None:
    async with notes.edit("r") as draft:
        draft["n"] = n


async def test_edits_reach_the_other_device_whether_they_go_straight_or_wait(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connected they do; without a link, beside other work, or when they can't be sealed, they wait in the outbox."""
    went, refuse = [0], [False]
    real = author_module.straight

    def counted(*args: object) -> Sealed | None:
        if refuse[0]:
            raise BadEntry("too large")
        went[0] += 1
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(author_module, "straight", counted)
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                paired(tmp_path, url := f"ws://127.0.0.1:{server.port}") as (a, b)):
        notes, seen = a.collection("notes"), b.collection("notes")
        await notes.put({"n": 0}, id="r")

        async def outbox() -> int:
            return int(await a._database.read(
                lambda db: db.execute("SELECT count(*) FROM change WHERE state = 1").fetchone()[0]))

        async with a.connect(url) as link:
            for n in range(1, 4):
                await _edit(notes, n)
                await link.synced(30)
            assert went[0] and not await outbox()
            before, refuse[0] = went[0], True
            await _edit(notes, 4)  # sealed by who looks for what waits
            refuse[0] = False
            await asyncio.gather(_edit(notes, 5), notes.put({"n": 1}, id="other"))
            await link.synced(30)
            assert not await outbox() and went[0] == before
        await _edit(notes, 6)
        assert await outbox() == 1
        await a.sync(url)
        assert not await outbox()
        await b.sync(url)
        assert (await seen.get("r")).value == {"n": 6} and (await seen.get("other")).value == {"n": 1}
        history = await seen.history("r")
        assert len(history) == 7
        chain = await a._database.read(lambda db: db.execute(
            "SELECT sequence FROM entry WHERE author = ? ORDER BY sequence", (a.device_id,)).fetchall())
        assert all(next == before + 1 for (before,), (next,) in pairwise(chain))


async def test_an_edit_whose_commit_fails_is_not_there(tmp_path: Path) -> None:
    """Nothing of it is sent, and the next one goes on from what is there."""
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                paired(tmp_path, url := f"ws://127.0.0.1:{server.port}") as (a, b)):
        notes, seen = a.collection("notes"), b.collection("notes")
        await notes.put({"n": 0}, id="r")
        async with a.connect(url) as link:
            await _edit(notes, 1)
            await link.synced(30)
            real = a._database.before_commit
            assert real is not None

            def failing(db: object) -> None:
                real(db)
                raise RuntimeError("the commit fails")

            a._database.before_commit = failing
            with pytest.raises(RuntimeError):
                await _edit(notes, 2)
            a._database.before_commit = real
            assert (await notes.get("r")).value == {"n": 1}
            for n in (3, 4):
                await _edit(notes, n)
                await link.synced(30)
        await b.sync(url)
        assert (await seen.get("r")).value == {"n": 4}
        assert len(await seen.history("r")) == 4
