"""A page that costs far more than its bytes is worked off in turns, and a turn is bounded whatever a member sends."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue
from chez.records import automerge, store
from chez.records.automerge import BadChange, RawChange
from chez.records.encode import _MAGIC, encode_fields, sleb, uleb
from chez.records.graph import Graph, Incoming, Known
from chez.records.operations import HEAD, MAKE_LIST, SET, Operation, encode
from chez.records.store import RecordStore
from chez.records.waiting import Budget
from chez.spaces.membership import Membership
from chez.spaces.statements import Signed
from chez.store.database import Connection
from chez.sync import chains, checks, intake, planning
from chez.sync.entry import CHANGE, CHANGES, STATEMENT, STATEMENTS, Inner, Item, Part, SignedEntry, seal, sign_entry
from chez.sync.sealed import Cursor
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.frames import Entry
from tests.security.test_poison import Author, Reader
from tests.simulation.household import NOW, household
from tests.spaces.entangled import devices_apart

PASSPHRASE = "correct horse"


def dense(actor: bytes, sequence: int, start: int, depends: list[bytes], count: int) -> RawChange:
    """A change that puts `count` times null into a new list: a few hundred bytes, however many."""
    made: list[Operation] = [Operation((start, actor), None, f"list{sequence}", False, MAKE_LIST, 0, b"", ())]
    last = HEAD
    for number in range(start + 1, start + count):
        made.append(Operation((number, actor), (start, actor), last, True, SET, 0, b"", ()))
        last = number, actor
    return encode(actor, sequence, start, depends, made)


class Flood(Author):
    """A member whose entries hold changes of thousands of operations."""

    def signed(self, changes: dict[str, list[RawChange]], part: Part | None = None) -> SignedEntry:
        """The next entry, with the changes of each record."""
        self.sequence += 1
        items = [Item(CHANGE, "notes", id, change.bytes) for id, made in changes.items() for change in made]
        made = sign_entry(Inner(1, self.house.space, self.keys.id, self.sequence, self.previous, NOW, CHANGES, items,
                                self.heads, None, part), self.keys.signing)
        self.previous = made.hash
        return made

    def says(self, statements: list[Signed]) -> SignedEntry:
        """The next entry, with statements."""
        self.sequence += 1
        items = [Item(STATEMENT, "", "", one.raw) for one in statements]
        made = sign_entry(Inner(1, self.house.space, self.keys.id, self.sequence, self.previous, NOW, STATEMENTS, items,
                                self.heads, None), self.keys.signing)
        self.previous = made.hash
        return made

    def flood(self, entries: int, count: int) -> list[SignedEntry]:
        """Entries of one such change each, of a record each."""
        return [self.signed({f"n{number}": [dense(self.keys.id, 1, 1, [], count)]}) for number in range(entries)]


@dataclass
class Turns(Reader):
    """A device that takes in a page in turns."""

    sizes: list[int] = field(default_factory=list)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.sizes = []
        self.db.execute("UPDATE cursor SET position = 0, head = ?", (GENESIS_HEAD,))

    def page(self, entries: list[SignedEntry]) -> tuple[list[Entry], bytes]:
        """A page, and the relay's head after it."""
        handle, epoch = self.replica.space.handle, self.house.epoch
        page = [Entry(n, seal(entry.packed, handle, epoch, self.random.randbytes(24)))
                for n, entry in enumerate(entries, 1)]
        head = GENESIS_HEAD
        for entry in page:
            head = fold_head(head, entry_id(entry.envelope))
        return page, head

    def work_off(self, page: list[Entry], head: bytes, turn: int, *, restarts: bool = False) -> None:
        """Turn by turn, each in a transaction; with crashes in the middle of some, and a restart after each."""
        while True:
            cursor = self.cursor()
            rest = page[cursor.position:]
            before = self.applied_operations()
            crash = restarts and self.random.random() < 0.5
            self.db.execute("BEGIN")
            budget = Budget(turn)
            received = self.replica.go_on(self.db, budget)
            if not received.left and not budget.spent:
                received = self.replica.incoming(self.db, 1, rest, head, budget)
            self.db.execute("ROLLBACK" if crash else "COMMIT")
            if crash:
                self.restart()
                assert self.cursor() == cursor
                continue
            self.sizes.append(self.applied_operations() - before)
            if restarts:
                self.restart()
            if self.cursor().position == len(page) and not received.left:
                return

    def cursor(self) -> Cursor:
        """How far the relay was read."""
        return Cursor(*self.db.execute("SELECT position, head FROM cursor").fetchone())

    def applied_operations(self) -> int:
        """Operations that are in documents."""
        found: int = self.db.execute("SELECT coalesce(sum(weight), 0) FROM change WHERE state < 2").fetchone()[0]
        return found


def _pair(seed: int = 11) -> tuple[Flood, Turns, Turns]:
    random = Random(seed)
    house = household(random)
    members = house.members(random, 4)
    return Flood(house, members[1], random), Turns(house, members[2], random), Turns(house, members[3], random)


def test_a_page_of_costly_entries_is_taken_in_in_turns() -> None:
    """No turn does more than its budget and one entry; the cursor goes along; crashes lose and double nothing."""
    author, reader, at_once = _pair()
    page, head = reader.page(author.flood(30, 300))
    reader.work_off(page, head, 1000, restarts=True)
    assert len(reader.sizes) >= 9
    assert max(reader.sizes) <= 1000 + 300
    assert reader.cursor() == Cursor(30, head)
    at_once.replica.incoming(at_once.db, 1, page, head)
    assert at_once.cursor() == reader.cursor()
    assert (reader.shown(), reader.applied()) == (at_once.shown(), at_once.applied())
    assert reader.db.execute("SELECT count(*) FROM entry").fetchone() == (30,)
    reader.check()


def test_the_cursor_in_the_middle_of_a_page_is_the_relays() -> None:
    """After a turn that did not end the page, the head kept is the one that the relay had there."""
    author, reader, _ = _pair()
    page, head = reader.page(author.flood(6, 300))
    received = reader.replica.incoming(reader.db, 1, page, head, Budget(700))
    assert 0 < received.entries < 6
    expected = GENESIS_HEAD
    for entry in page[:received.entries]:
        expected = fold_head(expected, entry_id(entry.envelope))
    assert reader.cursor() == Cursor(received.entries, expected)


def test_what_one_entry_releases_is_taken_in_in_turns() -> None:
    """Costly entries wait for their chain's first, which comes last, and their changes for its: turns are bounded."""
    author, reader, at_once = _pair()
    ground = encode_fields(author.keys.id, 1, 1, [], {"a": 1})
    first = author.signed({"n": [ground]})
    last = ground
    entries = []
    for number in range(2, 22):
        last = dense(author.keys.id, number, last.last + 1, [last.hash], 300)
        entries.append(author.signed({"n": [last]}))
    page, head = reader.page([*entries, first])
    reader.work_off(page, head, 1000, restarts=True)
    assert max(reader.sizes) <= 1000 + 300
    at_once.replica.incoming(at_once.db, 1, page, head)
    assert (reader.shown(), reader.applied()) == (at_once.shown(), at_once.applied())
    assert len(reader.applied()) == 21
    assert reader.db.execute("SELECT count(*) FROM parked").fetchone() == (0,)
    reader.check()


def test_an_entry_or_a_batch_of_too_many_operations_ends_its_authors_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What shows together is merged in one go, so it is bounded: by what no device of ours puts together."""
    monkeypatch.setattr(checks, "MAX_ENTRY_OPERATIONS", 200)
    monkeypatch.setattr(chains, "MAX_BATCH_OPERATIONS", 800)
    author, reader, _ = _pair()
    big = [dense(author.keys.id, 1, 1, [], 100)]
    reader.receive([author.signed({"n1": big, "n2": big, "n3": big}), author.signed({})])
    assert reader.shown() == []
    reasons = [reason for (reason,) in reader.db.execute("SELECT reason FROM quarantine ORDER BY n")]
    assert "300 operations; at most 200" in reasons[0] and "set aside" in reasons[1]
    for count, shown in ((4, 8), (5, 0)):
        author, reader, _ = _pair()
        big = [dense(author.keys.id, 1, 1, [], 100)]
        reader.receive([author.signed({f"a{n}": big, f"b{n}": big}, Part(n, n == count - 1)) for n in range(count)])
        assert len(reader.shown()) == shown
    (reason,) = reader.db.execute("SELECT reason FROM quarantine").fetchone()
    assert "the batch has more than 800 operations" in reason


def test_statements_beside_many_others_take_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of statements that cost more to judge than to read is taken in turn by turn; an entry has so many."""
    author, reader, at_once = _pair()
    log = devices_apart(80)
    page, head = reader.page([author.says(log[n:n + 8]) for n in range(0, len(log), 8)])
    looks = []
    add = Membership.add

    def counted(self: Membership, statements: Iterable[Signed]) -> list[Signed]:
        before = self.looks
        joined = add(self, statements)
        looks.append(self.looks - before)
        return joined

    monkeypatch.setattr(Membership, "add", counted)
    reader.work_off(page, head, 300)
    assert max(looks) > 100
    assert len(reader.sizes) >= 5
    at_once.replica.incoming(at_once.db, 1, page, head)
    one, other = reader.replica.space.membership, at_once.replica.space.membership
    person = log[0].issuer
    assert (one.person_heads(person), one.state.expelled) == (other.person_heads(person), other.state.expelled)
    assert one.state.expelled
    monkeypatch.setattr(intake, "MAX_STATEMENTS", 5)
    author, reader, _ = _pair()
    reader.receive([author.says(log[:5]), author.says(log[5:11])])
    (reason,) = reader.db.execute("SELECT reason FROM quarantine").fetchone()
    assert "6 statements; at most 5" in reason and reader.replica.space.membership.knows([log[4].hash])


def test_own_entries_stay_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of few bytes and many operations, written together here, are cut into entries that others take."""
    monkeypatch.setattr(planning, "MAX_ENTRY_OPERATIONS", 1000)
    _, reader, _ = _pair()
    for n in range(5):
        own = dense(reader.member.keys.id, 1, 1, [], 400)
        reader.records.merge(reader.db, 1, [Incoming("notes", f"n{n}", own)])
    made = [entry for _, entry in reader.replica.author.collect(reader.db) if entry.inner.kind == CHANGES]
    weights = [sum(automerge.read_change(item.data).weight for item in entry.inner.items) for entry in made]
    assert weights == [800, 800, 400]


def test_a_transaction_of_too_many_operations_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others would refuse is not written: the error says how much it was, and what to do."""
    monkeypatch.setattr(store, "MAX_BATCH_OPERATIONS", 30)
    _, reader, _ = _pair()
    with pytest.raises(InvalidValue, match="41 fields, items and characters; at most 30"):
        with reader.records.together(reader.db):
            reader.records.put(reader.db, 1, "notes", "n", {"list": [None] * 40})


def keyed(actor: bytes, count: int) -> bytes:
    """A change that sets one key of a map `count` times."""
    def run(value: int) -> bytes:
        return sleb(count) + uleb(value)
    columns = [(0x15, sleb(count) + uleb(1) + b"a"), (0x34, uleb(count)), (0x42, run(1)), (0x56, run(0)),
               (0x70, run(0))]
    body = b"".join((uleb(0), uleb(32), actor, uleb(1), uleb(1), b"\0\0\0", uleb(len(columns)),
                     *[uleb(id) + uleb(len(data)) for id, data in columns], *[data for _, data in columns]))
    tail = b"\1" + uleb(len(body)) + body
    return _MAGIC + hashlib.sha256(tail).digest()[:4] + tail


def test_more_keys_than_bytes_are_refused_by_the_bytes_alone() -> None:
    """No edit names a key of a map twice in one change, so keys cost bytes; items of lists and their ends don't."""
    with pytest.raises(BadChange, match="more operations on keys than it has bytes"):
        automerge.read_change(keyed(bytes(32), 100_000))
    assert automerge.read_change(keyed(bytes(32), 2)).weight == 2
    assert automerge.read_change(dense(bytes(32), 1, 1, [], 100_000).bytes).weight == 100_000


def test_a_large_honest_edit_is_one_change() -> None:
    """A text of 100,000 characters deleted, or as many items put into a list: a few bytes, taken in elsewhere."""
    document = automerge.new(bytes(32))
    with automerge.transaction(document) as tx:
        text = tx.put_object(automerge.ROOT, "text", automerge.core.ObjType.Text)
        tx.splice_text(text, 0, 0, "x" * 60_000)
        items = tx.put_object(automerge.ROOT, "list", automerge.core.ObjType.List)
        for at in range(20_000):
            tx.insert(items, at, automerge.core.ScalarType.Null, None)
    written = automerge.read_change(automerge.last_change(document))
    with automerge.transaction(document) as tx:
        tx.splice_text(text, 0, 60_000, "")
    deleted = automerge.read_change(automerge.last_change(document))
    assert (deleted.weight, len(deleted.bytes) < 300) == (120_000, True)
    _, reader, _ = _pair()
    assert reader.records.merge(reader.db, 1, [Incoming("notes", "n", written, None),
                                               Incoming("notes", "n", deleted, None)]) == []
    assert reader.shown()[0][1].startswith('{"list":[null,null')


def test_changes_of_one_record_cost_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of keystrokes of one record, page by page: each is looked at once, and snapshots stay few."""
    author, reader, _ = _pair()
    looked, saved = [0], [0]
    arrived, save = Graph.arrived, automerge.saved

    def counted(self: Graph, item: Incoming, previous: bytes | None, known: Known) -> None:
        looked[0] += 1
        arrived(self, item, previous, known)

    def counted_save(document: automerge.Document) -> bytes | None:
        saved[0] += len(automerge.changes_of(document))
        return save(document)

    monkeypatch.setattr(Graph, "arrived", counted)
    monkeypatch.setattr(automerge, "saved", counted_save)
    made: list[RawChange] = []
    actor = author.keys.id
    for number in range(1, 4001):
        made.append(_typed(actor, number, made))
    for at in range(0, len(made), 200):
        reader.receive([author.signed({"n": made[at : at + 200]})])
    assert looked[0] == 4000
    assert saved[0] <= 6 * 4000  # snapshots come farther and farther apart
    assert len(reader.applied()) == 4000
    reader.check()


def _typed(actor: bytes, number: int, made: list[RawChange]) -> RawChange:
    """A keystroke's worth: one operation, on what came before."""
    one = Operation((number, actor), None, "typed", False, SET, 6, b"x", ((number - 1, actor),) if made else ())
    return encode(actor, number, number, [made[-1].hash] if made else [], [one])


async def test_what_is_owed_is_merged_when_the_home_opens_again(tmp_path: Path) -> None:
    """A home that ended in the middle of a page merges the rest when it opens, with no relay at hand."""
    path = tmp_path / "home"
    await chez.create(path, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    ground = encode_fields(b"o" * 32, 1, 1, [], {"a": 1})
    held = encode_fields(b"p" * 32, 1, 2, [ground.hash], {"b": 2})

    def leave(db: Connection) -> None:
        for n, author in ((77, b"o" * 32), (78, b"p" * 32)):
            db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
                       "VALUES (?, 1, ?, 1, x'00', 0, x'00')", (n, author))
        records = RecordStore(b"a" * 32)
        records.merge(db, 1, [Incoming("notes", "n", held, 78)])
        records.merge(db, 1, [Incoming("notes", "n", ground, 77)], Budget(0))
        assert records.owed(db, 1)

    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home._database.write(leave)
        assert (await home.collection("notes").get("n")).value == {"a": 1}
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        async for record in home.collection("notes").live("n"):
            if record is not None and record.value == {"a": 1, "b": 2}:
                break


def test_reading_an_entry_is_paid_for() -> None:
    """An envelope that unfolds to megabytes of nothing uses up a turn as well."""
    author, reader, _ = _pair()
    wide = [author.entry(Item(1, "", "", bytes(700_000))) for _ in range(8)]
    page, head = reader.page(wide)
    received = reader.replica.incoming(reader.db, 1, page, head, Budget(intake.TURN))
    assert 0 < received.entries < 8
