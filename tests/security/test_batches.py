"""A batch larger than an entry: all of it or nothing shows elsewhere, whatever its author or the relay does."""

from collections.abc import Sequence
from random import Random

import pytest

from chez.records.encode import encode_fields
from chez.records.store import Incoming, RecordStore, Refusal
from chez.records.waiting import Budget
from chez.store.database import Connection
from chez.sync import tally
from chez.sync.entry import CHANGE, CHANGES, Inner, Item, Part, SignedEntry, sign_entry
from tests.security.test_poison import Author, Reader
from tests.simulation.household import NOW, household


class Batcher(Author):
    """A member that writes parts by hand."""

    def part(self, number: int | None, last: bool = False) -> SignedEntry:
        """The next entry: a new record, as this part of a batch (None: of none)."""
        self.sequence += 1
        change = encode_fields(self.keys.id, 1, 1, (), {"n": self.sequence})
        inner = Inner(1, self.house.space, self.keys.id, self.sequence, self.previous, NOW, CHANGES,
                      [Item(CHANGE, "notes", f"n{self.sequence}", change.bytes)], self.heads, None,
                      None if number is None else Part(number, last))
        signed = sign_entry(inner, self.keys.signing)
        self.previous = signed.hash
        return signed


def _pair() -> tuple[Batcher, Reader]:
    random = Random(11)
    house = household(random)
    members = house.members(random, 3)
    return Batcher(house, members[1], random), Reader(house, members[2], random)


def _shown(reader: Reader) -> int:
    return len(reader.shown())


def test_parts_show_when_the_last_one_is_there() -> None:
    """Page by page, and with a restart before each, nothing of a batch shows before all of it does."""
    author, reader = _pair()
    parts = [author.part(0), author.part(1), author.part(2), author.part(3, last=True)]
    for entry in parts[:-1]:
        reader.receive([entry])
        reader.restart()
        assert _shown(reader) == 0
    reader.receive([parts[-1]])
    assert _shown(reader) == 4
    reader.receive([author.part(None)])
    assert _shown(reader) == 5
    reader.check()


def test_parts_in_any_order_of_arrival() -> None:
    """Held until their chain is whole, they show together all the same."""
    author, reader = _pair()
    entries = [author.part(None), author.part(0), author.part(1), author.part(2, last=True), author.part(None)]
    reader.receive([entries[3], entries[2]])
    reader.receive([entries[4], entries[0]])
    assert _shown(reader) == 1
    reader.receive([entries[1]])
    assert _shown(reader) == 5


@pytest.mark.parametrize("wrong", [
    [(1, False)],  # begins in the middle
    [(0, False), (0, False)],  # begins again
    [(0, False), (2, False)],  # leaves one out
    [(0, False), (None, False)],  # goes on with something else
    [(0, False), (1, True), (2, False)],  # goes on after the last
])
def test_parts_that_make_no_batch_end_their_authors_chain(wrong: list[tuple[int | None, bool]]) -> None:
    """A device that cuts batches wrongly is set aside from there on, and nothing of an unfinished batch ever shows."""
    author, reader = _pair()
    reader.receive([author.part(None)])
    before = [author.part(number, last) for number, last in wrong]
    reader.receive(before)
    reader.receive([author.part(1, last=True), author.part(None)])
    finished = 3 if wrong[:2] == [(0, False), (1, True)] else 1
    assert _shown(reader) == finished
    reasons = [reason for (reason,) in reader.db.execute("SELECT reason FROM quarantine ORDER BY n")]
    assert reasons[0] == "the entry is no part of the batch that its author began"
    assert all("set aside" in reason for reason in reasons[1:])


def test_a_rule_broken_again_is_set_aside_again() -> None:
    """What ends a chain may come twice, and beside another that ends it, on one page or later, held or not."""
    author, reader = _pair()
    first = author.part(None)
    begun = author.sequence, author.previous
    wrong = []
    for number in (1, 2):
        author.sequence, author.previous = begun
        wrong.append(author.part(number))
    reader.receive(wrong)  # held until the entry before them is there
    reader.receive([first])
    reader.receive([wrong[0], wrong[0], wrong[1]])
    reader.restart()
    reader.receive([wrong[1]])
    assert _shown(reader) == 1
    assert reader.db.execute("SELECT sequence FROM set_aside").fetchall() == [(2,), (2,)]
    assert reader.db.execute("SELECT count(*) FROM quarantine").fetchone() == (6,)


def test_a_page_that_unfolds_is_merged_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small envelopes may hold much: no more than a bound of it is kept before it is merged, batches included."""
    monkeypatch.setattr(tally, "_AT_ONCE", 1000)
    author, reader = _pair()
    merged: list[int] = []
    merge = RecordStore.merge

    def counted(self: RecordStore, db: Connection, space: int, incoming: Sequence[Incoming],
                budget: Budget | None = None) -> list[Refusal]:
        merged.append(len(incoming))
        return merge(self, db, space, incoming, budget)

    monkeypatch.setattr(RecordStore, "merge", counted)
    reader.receive([*[author.part(None) for _ in range(20)], *[author.part(n, n == 19) for n in range(20)]])
    assert _shown(reader) == sum(merged) == 40
    assert max(merged) < 16
    reader.check()
