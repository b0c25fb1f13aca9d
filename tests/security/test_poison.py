"""Members gone bad, who write changes by hand: every device ends with the same records, and goes on.

Whether a change is taken in must depend on what it builds on alone. So two devices get
the same hostile entries in different orders, with different things in their caches, and
must agree on every value, and on which changes are in every document.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.automerge import BadChange
from chez.records.diff import write_difference
from chez.records.encode import _MAGIC, encode_fields, sleb, uleb
from chez.records.store import RecordStore
from chez.store.database import Connection
from chez.sync.entry import CHANGE, CHANGES, GENESIS, Inner, Item, SignedEntry, seal, sign_entry
from chez.sync.replica import Replica
from chez_wire.frames import Entry
from tests.simulation.household import NOW, Household, Member, household
from tests.tries import tries

HEAD = bytes(32)
COLLECTION = "notes"
RECORDS = ("a", "b")


def scalar_change(kind: int, raw: bytes, actor: bytes = b"x" * 32) -> bytes:
    """A change that sets one field to a scalar of any kind code and any bytes."""
    columns = [(0x15, sleb(-1) + uleb(1) + b"k"), (0x34, uleb(1)), (0x42, sleb(-1) + uleb(1)),
               (0x56, sleb(-1) + uleb(len(raw) << 4 | kind)), (0x57, raw), (0x70, sleb(-1) + uleb(0))]
    columns = [column for column in columns if column[1]]
    body = b"".join((uleb(0), uleb(32), actor, uleb(1), uleb(1), b"\0\0\0", uleb(len(columns)),
                     *[uleb(id) + uleb(len(data)) for id, data in columns], *[data for _, data in columns]))
    return sealed(b"\1" + uleb(len(body)) + body)


def sealed(tail: bytes) -> bytes:
    """A chunk with the right checksum, whatever it holds."""
    return _MAGIC + hashlib.sha256(tail).digest()[:4] + tail


class Author:
    """A member that writes its chain by hand."""

    def __init__(self, house: Household, member: Member, random: Random) -> None:
        self.house, self.keys, self.random = house, member.keys, random
        self.heads = member.heads
        self.sequence, self.previous = 0, GENESIS
        self.documents: dict[str, automerge.Document] = {}
        self.number = dict.fromkeys(RECORDS, 0)

    def entry(self, *items: Item) -> SignedEntry:
        """The next entry of the chain."""
        self.sequence += 1
        inner = Inner(1, self.house.space, self.keys.id, self.sequence, self.previous, NOW, CHANGES, list(items),
                      self.heads, None)
        signed = sign_entry(inner, self.keys.signing)
        self.previous = signed.hash
        return signed

    def change(self, id: str, made: list[bytes]) -> bytes:
        """A change of a record: honest, or wrong in one of many ways."""
        self.number[id] += 1
        field, number = f"f{self.random.randrange(3)}", self.number[id]
        known = [automerge.read_change(data).hash for data in made]
        depends = self.random.sample(known, self.random.randrange(min(3, len(known)) + 1))
        match self.random.randrange(8):
            case 0:  # its own next number, building on anything or nothing
                return encode_fields(self.keys.id, number, self.random.randrange(1, 40), depends, {field: number}).bytes
            case 1:  # a number used before, or not come yet
                wrong = self.random.randrange(1, number + 3)
                return encode_fields(self.keys.id, wrong, 1, depends, {field: "wrong"}).bytes
            case 2:  # building on what never comes
                return encode_fields(self.keys.id, number, 9, [self.random.randbytes(32)], {field: "orphan"}).bytes
            case 3 if made:  # bytes of another change, damaged, with a right checksum
                return self._damaged(self.random.choice(made))
            case _:
                return self._honest(id, field)

    def _damaged(self, data: bytes) -> bytes:
        tail = bytearray(data[8:])
        for _ in range(self.random.randint(1, 3)):
            tail[self.random.randrange(len(tail))] = self.random.randrange(256)
        return sealed(bytes(tail))

    def _honest(self, id: str, field: str) -> bytes:
        document = self.documents.setdefault(id, automerge.new(self.keys.id))
        before = automerge.extract(document)
        value = self.random.choice(("text", 7, 1.5, None, ["a", "b"], {"x": [1]}, b"raw"))
        after = before | {field: value, "n": self.number[id]}
        change = write_difference(document, before, after)
        assert change is not None
        return change


class Reader:
    """An honest device that takes in what others wrote."""

    def __init__(self, house: Household, member: Member, random: Random) -> None:
        self.house, self.member, self.random = house, member, random
        self.db: Connection = house.store(member, bytes(32))
        self.offset = 0
        self.restart()
        self.replica.resume(self.db, 1, bytes(32))

    def restart(self) -> None:
        """Begin again from what is stored."""
        self.records = RecordStore(self.member.keys.id)
        self.replica: Replica = self.house.replica(self.member, self.db, self.random, self.records)

    def receive(self, entries: list[SignedEntry]) -> None:
        """One page."""
        handle, epoch = self.replica.space.handle, self.house.epoch
        page = []
        for entry in entries:
            self.offset += 1
            page.append(Entry(self.offset, seal(entry.packed, handle, epoch, self.random.randbytes(24))))
        self.replica.incoming(self.db, 1, page, HEAD)

    def shown(self) -> list[tuple[str, str, int]]:
        """Every record as a query sees it."""
        return self.db.execute("SELECT id, json, deleted FROM record WHERE deleted < 2 ORDER BY id").fetchall()

    def applied(self) -> list[tuple[str, bytes]]:
        """Which changes are in which document."""
        return self.db.execute("SELECT id, hash FROM change JOIN record ON record.n = change.record "
                               "WHERE state < 2 ORDER BY id, hash").fetchall()

    def check(self) -> None:
        """A document loaded anew from the log is what the projection says."""
        for n, json in self.db.execute("SELECT n, json FROM record WHERE deleted < 2").fetchall():
            self.records.forget()
            value = automerge.extract(self.records._rows.load(self.db, n))
            value.pop("_deleted", None)
            assert self.records._rows._columns(self.db, COLLECTION, value)[0] == json


@contextmanager
def quietly(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The document library writes its panics to standard error."""
    yield
    capfd.readouterr()


def hostile_entries(house: Household, members: list[Member], random: Random, count: int) -> list[list[SignedEntry]]:
    """The chains of several authors, whose changes build on each other's."""
    authors = [Author(house, member, random) for member in members]
    made: dict[str, list[bytes]] = {id: [] for id in RECORDS}
    chains: list[list[SignedEntry]] = [[] for _ in authors]
    for _ in range(count):
        at = random.randrange(len(authors))
        items = []
        for _ in range(random.randint(1, 3)):
            id = random.choice(RECORDS)
            data = authors[at].change(id, made[id])
            with_header = _readable(data)
            if with_header and automerge.read_change(data).actor == authors[at].keys.id:
                made[id].append(data)
                items.append(Item(CHANGE, COLLECTION, id, data))
        chains[at].append(authors[at].entry(*items))
    return chains


def _readable(data: bytes) -> bool:
    # What can't even be read as a change breaks its author's chain on every device at
    # once (test_refold, test_review_peers); here the chains go on.
    try:
        automerge.read_change(data)
    except BadChange:
        return False
    return True


def interleaved(chains: list[list[SignedEntry]], random: Random) -> list[SignedEntry]:
    """One order of arrival: mostly each chain in order, sometimes not."""
    left = [list(chain) for chain in chains if chain]
    out: list[SignedEntry] = []
    while left:
        chain = random.choice(left)
        out.append(chain.pop(0 if random.random() < 0.8 else random.randrange(len(chain))))
        left = [chain for chain in left if chain]
    return out


@settings(max_examples=tries(60), deadline=None)
@given(st.integers(0, 2**32))
def test_devices_agree_on_hostile_changes_in_any_order(seed: int) -> None:
    """Wrong numbers, damaged bytes, missing and refused ground: same records and same documents everywhere."""
    random = Random(seed)
    house = household(random)
    members = house.members(random, 5)
    chains = hostile_entries(house, members[1:3], random, 24)
    readers = [Reader(house, member, random) for member in members[3:]]
    for reader in readers:
        order = interleaved(chains, random)
        while order:
            size = random.randint(1, 8)
            page, order = order[:size], order[size:]
            reader.receive(page)
            if random.random() < 0.3:
                reader.records.forget()  # as after a restart, or when others were used more
    first, second = readers
    assert first.shown() == second.shown()
    assert first.applied() == second.applied()
    first.check()


@pytest.mark.parametrize(("kind", "raw"), [(8, sleb(5)), (10, b"abc"), (15, b""), (9, sleb(2**62)),
                                           (9, sleb(-(2**62))), (9, sleb(253_402_300_800_000))])
def test_values_that_no_record_holds_are_refused_by_their_bytes(kind: int, raw: bytes) -> None:
    """A counter, a kind yet unknown, a time of no calendar: no device loads them, whatever it holds."""
    with pytest.raises(BadChange):
        automerge.read_change(scalar_change(kind, raw))


@pytest.mark.parametrize(("kind", "raw"), [(9, sleb(253_402_300_799_999)), (9, sleb(-62_135_510_400_000)),
                                           (3, b"\xff" * 9 + b"\x01"), (5, b"\xff" * 8), (4, sleb(-(2**63)))])
def test_values_at_the_edge_are_taken_in_and_shown(kind: int, raw: bytes) -> None:
    """What the library can read gives a record, however odd."""
    change = automerge.read_change(scalar_change(kind, raw))
    assert "k" in automerge.extract(automerge.load(change.bytes, b"y" * 32))


def test_what_is_nested_too_deep_hides_itself_only() -> None:
    """A value deeper than a record allows shows as nothing; the fields beside it are there."""
    document = automerge.new(b"x" * 32)
    with automerge.transaction(document) as tx:
        tx.put(automerge.ROOT, "beside", automerge.core.ScalarType.Int, 1)
        at = automerge.ROOT
        for _ in range(200):
            at = tx.put_object(at, "in", automerge.core.ObjType.Map)
    value = automerge.extract(document)
    assert value["beside"] == 1
    depth = 0
    while value is not None:
        value, depth = value.get("in"), depth + 1
    assert depth < 40


def _chain_of(count: int, author: bytes) -> list[bytes]:
    made: list[bytes] = []
    for number in range(1, count + 1):
        depends = [automerge.read_change(made[-1]).hash] if made else []
        made.append(encode_fields(author, number, number, depends, {f"f{number}": number}).bytes)
    return made


@pytest.mark.parametrize("order", [list, lambda items: list(reversed(items))])
@pytest.mark.slow
def test_a_long_chain_of_changes_costs_what_it_holds(order: Callable[[list[SignedEntry]], list[SignedEntry]]) -> None:
    """A page of thousands of entries in the worst order is sorted in one pass, not one pass for each."""
    random = Random(3)
    house = household(random)
    members = house.members(random, 3)
    author = Author(house, members[1], random)
    entries = [author.entry(Item(CHANGE, COLLECTION, "a", data)) for data in _chain_of(1500, members[1].keys.id)]
    reader = Reader(house, members[2], random)
    queries = 0

    def count(_: str) -> None:
        nonlocal queries
        queries += 1

    reader.db.set_trace_callback(count)
    reader.receive(order(entries))
    reader.db.set_trace_callback(None)
    assert len(reader.applied()) == 1500
    assert queries < 40 * 1500
