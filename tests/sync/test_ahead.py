"""What a live change shows is told before the store has it: only what then comes, and readers wait for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlcipher3
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import Damaged, StorageFailed
from chez.records.store import RecordStore, Shown
from chez.store.database import Connection
from chez.sync.entry import CHANGES, Inner, read_signed, seal, sign_entry, unseal
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.frames import Entry
from tests.home.pairing import paired
from tests.simulation.household import Household, Member, household

RELAY = 1


class Side:
    """A device of a space, with a relay that has what it makes."""

    def __init__(self, house: Household, member: Member, key: int) -> None:
        random = Random(key)
        self.member, self.db = member, house.store(member, bytes((key,)) * 32)
        self.records = RecordStore(member.keys.id)
        self.told: list[Shown] = []
        self.records.ahead = self._hear
        self.replica: Replica = house.replica(member, self.db, random, self.records)
        self.replica.resume(self.db, RELAY, bytes(32))
        self.begun = self.replica.author.unacknowledged(self.db, RELAY)
        self.replica.relays.begin(RELAY)

    def _hear(self, shown: Shown) -> bool:
        self.told.append(shown)
        return True

    def write(self, work: Callable[[Connection], object]) -> list[Sealed]:
        """Do something in a transaction; what it leaves to be sent."""
        self.db.execute("BEGIN IMMEDIATE")
        work(self.db)
        sealed = self.replica.author.outgoing(self.db, RELAY)
        self.db.execute("COMMIT")
        return sealed

    def put(self, id: str, value: dict[str, Any]) -> list[Sealed]:
        """A record is put."""
        return self.write(lambda db: self.records.put(db, 1, "notes", id, value))

    def shows(self, id: str) -> tuple[object, ...] | None:
        """A record's row, as readers have it."""
        found = self.db.execute("SELECT id, json, kinds FROM record WHERE collection = 'notes' AND id = ? "
                                "AND deleted = 0", (id,)).fetchone()
        return None if found is None else tuple(found)


class Line:
    """The relay's log, which one device reads entry by entry; each is looked into before it is taken in."""

    def __init__(self, reader: Side) -> None:
        self.reader, self.position, self.head = reader, 0, GENESIS_HEAD

    def bring(self, envelope: bytes, *, undone: bool = False) -> bool:
        """The next entry; whether it was told ahead what it shows. With `undone` it is taken in only the second time.
        """
        side, entry = self.reader, Entry(self.position + 1, envelope)
        side.told.clear()
        before = self._everything()
        tell = side.replica.ahead(side.db, entry)
        assert self._everything() == before, "a look wrote something"
        if tell is not None:
            tell()
        self.head = fold_head(self.head, entry_id(envelope))
        for again in (True, False) if undone else (False,):
            side.db.execute("BEGIN IMMEDIATE")
            received = side.replica.incoming(side.db, RELAY, (entry,), self.head)
            if again:
                side.db.execute("ROLLBACK")
                side.records.forget()
                side.replica.forget()
                continue
            side.db.execute("COMMIT")
            for shown in side.told:
                assert received.applied == 1
                assert shown.row == side.shows(shown.row[0])
        self.position += 1
        return tell is not None

    def _everything(self) -> int:
        return int(self.reader.db.total_changes)


def two() -> tuple[Side, Side, Line]:
    """An author, a reader that has what the author began with, and the line between them."""
    random = Random(5)
    house = household(random)
    first, second = house.members(random, 2)
    author, reader = Side(house, first, 1), Side(house, second, 2)
    line = Line(reader)
    for one in author.begun:
        line.bring(one.envelope)
    for n in (-1, 0, 1):
        for one in author.put("a", {"n": n, "t": "", "u": 1.5}):
            line.bring(one.envelope)
    return author, reader, line


VALUES = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.text(max_size=4), st.booleans(), st.none(),
                   st.floats(allow_nan=False), st.binary(max_size=3), st.just([1]), st.just({"x": 1}))
STEPS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from("ntu"), VALUES),
    st.tuples(st.just("undone"), st.sampled_from("ntu"), st.integers(0, 9)),
    st.tuples(st.just("mine"), st.sampled_from("nt"), st.integers(0, 9)),
    st.tuples(st.just("delete")), st.tuples(st.just("other"), st.integers(0, 9)),
    st.tuples(st.just("repeat")), st.tuples(st.just("swap"), st.integers(0, 9)))


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=12), st.integers(10, 99))
def test_what_is_told_ahead_is_what_comes(steps: list[tuple[Any, ...]], last: int) -> None:
    """Whatever the author writes, and the reader meanwhile; and a plain row of edits is told."""
    author, reader, line = two()
    value, sent = {"n": 1, "t": "", "u": 1.5}, [b""]
    for kind, *what in steps:
        if kind in ("set", "undone"):
            value = value | {what[0]: what[1]}
            made = author.put("a", value)
        elif kind == "mine":
            reader.put("a", value | {what[0]: what[1]})
            continue
        elif kind == "delete":
            if author.shows("a") is None:
                continue
            made = author.write(lambda db: author.records.delete(db, 1, "notes", "a"))
        elif kind == "other":
            made = author.put(f"b{what[0]}", {"n": what[0]})
        elif kind == "swap":  # the relay has them in another order than they were made in
            value = value | {"n": what[0] + 1}
            first = author.put("a", value | {"n": what[0]})
            made = [*author.put("a", value), *first]
        else:
            if sent[-1]:
                line.bring(sent[-1])
            continue
        for one in made:
            line.bring(one.envelope, undone=kind == "undone")
            sent.append(one.envelope)
    # A new record; then its document is loaded, and then it is known what the next one goes on from.
    told = [line.bring(one.envelope) for n in range(5) for one in author.put("z", {"n": last + n})]
    assert told == [False, False, False, True, True]


def _resealed(side: Side, sealed: Sealed, alter: Callable[[Inner], Inner]) -> bytes:
    """An entry as its author would have made it otherwise: signed, and sealed as the first."""
    space = side.replica.space
    signed = read_signed(unseal(sealed.envelope, space.handle, space.epochs))
    inner = alter(signed.inner)
    entry = sign_entry(inner, side.member.keys.signing)
    return seal(entry.packed, space.handle, space.epoch, bytes(24))


@pytest.mark.parametrize("alter", [
    lambda inner: _with(inner, sequence=inner.sequence + 1),
    lambda inner: _with(inner, previous=bytes(32)),
    lambda inner: _with(inner, space=bytes(32)),
    lambda inner: _with(inner, heads=[bytes(32)]),
    lambda inner: _with(inner, kind=1 - CHANGES),
    lambda inner: _with(inner, items=inner.items * 2),
])
def test_what_breaks_a_rule_is_not_told(alter: Callable[[Inner], Inner]) -> None:
    """Of a chain that does not go on, of another space, of statements that are not here; and what is right is told."""
    author, reader, line = two()
    (good,) = author.put("a", {"n": 2, "t": "", "u": 1.5})
    before = reader.shows("a")
    entry = Entry(line.position + 1, _resealed(author, good, alter))
    assert reader.replica.ahead(reader.db, entry) is None
    assert reader.shows("a") == before and line.bring(good.envelope)


def _with(inner: Inner, **fields: Any) -> Inner:
    names = ("version", "space", "author", "sequence", "previous", "time", "kind", "items", "heads", "relay", "part")
    return Inner(**{name: fields.get(name, getattr(inner, name)) for name in names})


def test_what_forks_a_chain_is_not_told() -> None:
    """Where its author has another entry in that place, it does not count, though it has the next change."""
    author, reader, line = two()
    (first,), (second,) = author.put("a", {"n": 2, "t": "", "u": 1.5}), author.put("a", {"n": 3, "t": "", "u": 1.5})
    space = reader.replica.space
    there = read_signed(unseal(first.envelope, space.handle, space.epochs)).inner
    assert line.bring(first.envelope)
    fork = _resealed(author, second, lambda inner: _with(inner, sequence=there.sequence, previous=there.previous))
    assert reader.replica.ahead(reader.db, Entry(line.position + 1, fork)) is None
    assert line.bring(second.envelope)


def test_a_change_that_was_refused_before_is_not_told() -> None:
    """Its author put it before the one that it builds on: it counts nowhere, also when its number comes next."""
    author, reader, line = two()
    (before,), (first,), (second,) = [author.put("a", {"n": n, "t": "", "u": 1.5}) for n in (2, 3, 4)]
    assert line.bring(before.envelope)
    space = reader.replica.space
    one, other = (read_signed(unseal(made.envelope, space.handle, space.epochs)).inner for made in (first, second))
    told, sequence, previous = [], one.sequence, one.previous
    for items in (other.items, one.items, other.items):
        inner = _with(one, sequence=sequence, previous=previous, items=items)
        entry = sign_entry(inner, author.member.keys.signing)
        told.append(line.bring(seal(entry.packed, space.handle, space.epoch, sequence.to_bytes(24, "big"))))
        sequence, previous = sequence + 1, entry.hash
    assert told == [False, True, False]


def test_a_row_of_live_changes_is_told_without_the_store() -> None:
    """What the last turn left is known: a statement that finds nothing takes as long as one that does."""
    author, reader, line = two()
    for n in (2, 3):
        assert all(line.bring(one.envelope) for one in author.put("a", {"n": n, "t": "", "u": 1.5}))
    asked: list[str] = []
    reader.db.set_trace_callback(asked.append)
    (next,) = author.put("a", {"n": 4, "t": "", "u": 1.5})
    assert reader.replica.ahead(reader.db, Entry(line.position + 1, next.envelope)) is not None
    assert not asked
    reader.put("other", {})  # what is here may be otherwise
    asked.clear()
    assert reader.replica.ahead(reader.db, Entry(line.position + 1, next.envelope)) is not None
    assert len(asked) == 3


def test_an_envelope_that_was_altered_is_not_told() -> None:
    """The look checks all that the turn checks; what fails is for the turn to set aside."""
    author, reader, line = two()
    (good,) = author.put("a", {"n": 2, "t": "", "u": 1.5})
    bad = good.envelope[:-1] + bytes((good.envelope[-1] ^ 1,))
    assert not line.bring(bad)
    assert reader.db.execute("SELECT count(*) FROM quarantine").fetchone() == (1,)
    assert line.bring(good.envelope)


def test_what_was_read_ahead_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn takes over what the look opened, of this very entry only."""
    author, _, line = two()
    (first,), (second,) = author.put("a", {"n": 2, "t": "", "u": 1.5}), author.put("a", {"n": 3, "t": "", "u": 1.5})
    opened: list[bytes] = []

    def counted(envelope: bytes, *rest: Any) -> bytes:
        opened.append(envelope)
        return unseal(envelope, *rest)

    monkeypatch.setattr("chez.sync.ahead.unseal", counted)
    monkeypatch.setattr("chez.sync.intake.unseal", counted)
    line.reader.replica.ahead(line.reader.db, Entry(line.position + 1, second.envelope))
    assert line.bring(first.envelope) and line.bring(second.envelope)
    assert opened == [second.envelope, first.envelope, second.envelope]


# --- two homes ---------------------------------------------------------------------------


class Gate:
    """Holds a home's transactions right before their commit, while it is closed; or lets the next one fail."""

    def __init__(self, home: chez.Home) -> None:
        self.open, self.at = threading.Event(), threading.Event()
        self.open.set()
        self.fails = False
        real = home._database.before_commit
        assert real is not None

        def held(db: Connection) -> None:
            real(db)
            self.at.set()
            assert self.open.wait(30)
            if self.fails:
                self.fails = False
                raise StorageFailed("the disk refuses")

        home._database.before_commit = held

    def close(self) -> None:
        """From now on."""
        self.at.clear()
        self.open.clear()


@dataclass
class Live:
    """A writes, B follows a record; B's commits can be held, and what its live answer says comes into the queue."""

    a: chez.Home
    b: chez.Home
    gate: Gate
    answers: "asyncio.Queue[Any]"
    link: AsyncExitStack
    """B's."""

    async def next(self) -> Any:
        """What the live answer says next."""
        return await asyncio.wait_for(self.answers.get(), 30)

    async def put(self, n: int) -> None:
        """A changes the record."""
        await self.a.collection("notes").put({"n": n}, id="r")


@asynccontextmanager
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """Two devices in step, of which one follows a record of the other's."""
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                paired(tmp_path, url := f"ws://127.0.0.1:{server.port}") as (a, b)):
        answers: asyncio.Queue[Any] = asyncio.Queue()

        async def follow() -> None:
            async for record in b.collection("notes").live("r"):
                answers.put_nowait(None if record is None else record.value["n"])

        async with a.connect(url) as one, AsyncExitStack() as stack:
            other = await stack.enter_async_context(b.connect(url))
            following = asyncio.create_task(follow())
            for n in range(4):
                await a.collection("notes").put({"n": n}, id="r")
                await one.synced(30)
                while await asyncio.wait_for(answers.get(), 30) != n:
                    pass
            await other.synced(30)
            gate = Gate(b)
            try:
                yield Live(a, b, gate, answers, stack)
            finally:
                gate.open.set()
                following.cancel()


async def test_a_live_answer_has_a_change_before_it_is_committed(tmp_path: Path) -> None:
    """And whoever reads from then on waits for the commit, however the store is read."""
    async with live(tmp_path) as one:
        one.gate.close()
        await one.put(10)
        assert await one.next() == 10
        notes = one.b.collection("notes")
        reads = [asyncio.create_task(read) for read in (_value(notes), notes.where().first(), notes.history("r"))]
        await asyncio.to_thread(one.gate.at.wait, 30)
        done, _ = await asyncio.wait(reads, timeout=0.2)
        assert not done
        one.gate.open.set()
        value, found, history = await asyncio.gather(*reads)
        assert found is not None and value == found.value == {"n": 10} and len(history) == 5
        assert one.answers.empty()


async def _value(notes: "chez.Collection[Any]") -> Any:
    return (await notes.get("r")).value


async def test_what_was_told_and_fails_is_taken_back_and_comes_again(tmp_path: Path) -> None:
    """The live answer says what the store has; with the next connection the relay hands the change out again."""
    async with live(tmp_path) as one:
        one.gate.close()
        one.gate.fails = True
        await one.put(10)
        assert await one.next() == 10
        one.gate.open.set()
        assert await one.next() == 3
        assert await _value(one.b.collection("notes")) == {"n": 3}
        await one.link.aclose()
        async with one.b.connect() as link:
            await link.synced(30)
            assert await one.next() == 10


async def test_an_edit_of_what_was_told_goes_on_from_it(tmp_path: Path) -> None:
    """It waits for the change in the writer's order: what is written on the answer comes after it."""
    async with live(tmp_path) as one:
        await one.put(10)
        assert await one.next() == 10
        notes = one.b.collection("notes")
        async with notes.edit("r") as draft:
            assert draft == {"n": 10}
            draft["n"] = 11
        assert await _value(notes) == {"n": 11}
        assert not await notes.conflicts("r")


@pytest.mark.parametrize("error", [Damaged("a page does not open"), sqlcipher3.OperationalError("no")])
async def test_a_look_that_fails_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               error: Exception) -> None:
    """What is wrong is for the turn to find, which stops one space at most; here it finds nothing."""
    async with live(tmp_path) as one:
        def fails(*_: object, **__: object) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr("chez.sync.replica.foresee", fails)
            await one.put(10)
            assert await one.next() == 10
        await one.put(11)
        assert await one.next() == 11
