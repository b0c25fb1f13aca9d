"""What a transaction wrote stays together on the wire, and nothing else is said by how entries are cut."""

from collections.abc import Iterator
from random import Random
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from chez.sync.planning import Waiting, by_epoch, plan
from chez_wire.limits import (
    MAX_BATCH_BYTES,
    MAX_BATCH_CHANGES,
    MAX_BATCH_OPERATIONS,
    MAX_CHANGE,
    MAX_ENTRY_OPERATIONS,
    MAX_ITEMS,
    MAX_PARTS,
    MAX_STATEMENTS,
    TARGET_INNER,
)
from tests.spaces.people import Author, Person, begin

WEIGHTS = st.one_of(st.integers(1, 20), st.integers(MAX_ENTRY_OPERATIONS // 4, MAX_ENTRY_OPERATIONS))
SIZES = st.one_of(st.integers(100, 400), st.integers(TARGET_INNER // 4, MAX_CHANGE))


@st.composite
def outboxes(draw: st.DrawFn) -> list[Waiting]:
    """Changes alone, of imports, and of transactions, in the order they were written."""
    waiting: list[Waiting] = []
    for batch in range(draw(st.integers(0, 12))):
        origin = draw(st.sampled_from((None, None, "run 1", "run 2")))
        together = origin is None and draw(st.booleans())
        for size in draw(st.lists(SIZES, min_size=1, max_size=8)):
            waiting.append(Waiting(len(waiting) + 1, size, origin, batch if together else None, draw(WEIGHTS)))
    return waiting


@given(outboxes())
def test_every_change_once_in_order_and_batches_whole(waiting: list[Waiting]) -> None:
    """Entries hold everything in order, within the limits, of one origin; a batch is in one, or in parts of its own."""
    entries = list(plan(waiting))
    assert [one for entry, _ in entries for one in entry] == waiting
    expected = 0
    for entry, part in entries:
        assert entry and len(entry) < MAX_ITEMS
        assert len(entry) == 1 or sum(one.size for one in entry) <= TARGET_INNER
        assert sum(one.weight for one in entry) <= MAX_ENTRY_OPERATIONS
        assert len({one.origin for one in entry}) == 1
        if part is None:
            assert expected == 0
        else:
            assert part.number == expected and len({one.batch for one in entry}) == 1
            expected = 0 if part.last else expected + 1
    assert expected == 0
    for batch in {one.batch for one in waiting} - {None}:
        holding = [part for entry, part in entries if any(one.batch == batch for one in entry)]
        assert len(holding) == 1 or [part.number for part in holding if part is not None] == list(range(len(holding)))


@given(st.lists(SIZES, min_size=1, max_size=40), st.lists(WEIGHTS, max_size=12), st.integers(1, 60), st.randoms())
def test_a_transaction_within_its_limits_never_needs_too_many_parts(
    sizes: list[int], weights: list[int], repeat: int, random: Random
) -> None:
    """However a transaction's bytes and operations are spread over its changes, it fits the parts of a batch."""
    sizes = sizes * repeat
    random.shuffle(sizes)
    while len(sizes) > MAX_BATCH_CHANGES or sum(sizes) + 256 * len(sizes) > MAX_BATCH_BYTES:
        sizes.pop()
    while sum(weights) + len(sizes) > MAX_BATCH_OPERATIONS:
        weights.pop()
    weights = (weights + [1] * len(sizes))[:len(sizes)]
    random.shuffle(weights)
    parts = [part for _, part in plan(Waiting(n, size, None, 1, weight) for n, (size, weight) in enumerate(
        zip(sizes, weights, strict=True), 1))]
    assert len(parts) <= MAX_PARTS


def test_the_most_changes_and_the_most_bytes_fit() -> None:
    """At both limits at once, in the order that wastes most."""
    small = (MAX_BATCH_BYTES // 2) // 356
    large = (MAX_BATCH_BYTES // 2) // (MAX_CHANGE + 356 + 256)
    sizes = [100] * small + [size for _ in range(large) for size in (MAX_CHANGE, 100)]
    assert len(list(plan(Waiting(n, size, None, 1) for n, size in enumerate(sizes, 1)))) <= MAX_PARTS


class _Looked:
    """Like a `Waiting`; counts, for all of them, how often one's size is asked for."""

    times = 0

    def __init__(self, n: int) -> None:
        self.n, self.origin, self.batch, self.weight = n, None, None, 1

    @property
    def size(self) -> int:
        type(self).times += 1
        return 100


def test_the_cost_of_planning_grows_with_what_waits_and_no_faster() -> None:
    """A day of typing waits as a quarter of a million changes: each is looked at a few times, however many wait."""
    _Looked.times = 0
    entries = list(plan(cast("Iterator[Waiting]", (_Looked(n) for n in range(1, 20_001)))))
    assert len(entries) == 5 and _Looked.times <= 3 * 20_000


FIRST = begin(Person("Anna"))
AUTHOR = Author(FIRST[-1].hash, Person("Anna").devices[0].signing)
EPOCH = AUTHOR.epoch([FIRST[-1].hash], 2, [FIRST[-1].hash]).raw
BEGINNING = AUTHOR.epoch([FIRST[-1].hash], 1, []).raw
OTHER = FIRST[0].raw


@given(st.lists(st.sampled_from((EPOCH, BEGINNING, OTHER)), max_size=20), st.integers(0, 2))
def test_a_new_epoch_is_alone_in_its_entry(statements: list[bytes], many: int) -> None:
    """All statements in order, none left out, within the limits; one that ends an epoch is with no other."""
    statements = statements + [OTHER] * (many * MAX_STATEMENTS)
    entries = [[item.data for item in items] for items in by_epoch(statements)]
    assert [one for entry in entries for one in entry] == statements
    for entry in entries:
        assert entry == [EPOCH] if EPOCH in entry else (
            sum(map(len, entry)) <= TARGET_INNER and len(entry) <= MAX_STATEMENTS)
