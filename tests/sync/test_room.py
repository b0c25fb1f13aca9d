"""A followed space is held to its room, and no other: what a turn may write, and that it stands at its bound."""

from random import Random

import pytest

from chez.errors import SpaceFull
from chez.records.store import RecordStore
from chez.records.waiting import Budget
from chez.spaces.space import make_space
from chez.spaces.statements import Kind
from chez.store.database import Connection
from chez.sync.access import Access
from chez.sync.room import Bound, give_room, let_go, room_of
from tests.simulation.household import Household, household


@pytest.fixture
def house() -> Household:
    """A person with one device."""
    return household(Random(7))


@pytest.fixture
def db(house: Household) -> Connection:
    """Its store."""
    return house.store(house.founder, bytes(32))


def public(house: Household, db: Connection, *, own: bool = False) -> Access:
    """The access of a stranger's device to a public space, or of the `own` one that made it."""
    random = Random(8)
    private = house.replica(house.founder, db, random)
    n = make_space(db, private.space, house.founder.keys, "stations", Kind.PUBLIC, random.randbytes)
    space = house.replica(house.founder, db, random, n=n).space
    return Access(space, house.founder.keys if own else house.candidate(random))


def fill(db: Connection, access: Access, count: int) -> None:
    """So many records come, of texts that do not compress below a kilobyte."""
    records, noise = RecordStore(access.device), Random(count)
    for number in range(count):
        records.put(db, access.space.n, "stations", f"{number} of {count}", {"text": noise.randbytes(1000).hex()})


def test_what_is_not_followed_has_no_bound(house: Household, db: Connection) -> None:
    """Neither an own space, nor a public one that the device belongs to."""
    for access in (Access(house.replica(house.founder, db, Random(1)).space, house.founder.keys),
                   public(house, db, own=True)):
        bound, budget = Bound(access), Budget(10**9)
        assert not bound.bounds(db)
        with bound.within(db, budget):
            fill(db, access, 3)
        bound.check(db)
        assert room_of(db, access.space.n) is None and budget.left == 10**9


def test_a_turn_that_wants_more_than_there_is_is_refused(house: Household, db: Connection) -> None:
    """What fits is counted; what does not raises. Only once it is written down nothing more is taken in, until there is
    more room, or the person belongs to the space."""
    access = public(house, db)
    bound, n = Bound(access), access.space.n
    give_room(db, n, None, 5)
    with bound.within(db):
        fill(db, access, 3)
    room = room_of(db, n)
    assert room is not None and room.records == 3 and room.bytes >= 3000
    with pytest.raises(SpaceFull, match="5 records"), bound.within(db):
        fill(db, access, 4)
    assert not bound.is_full(db) and bound.full is None
    bound.stand(db)
    assert bound.is_full(db) and bound.full is not None
    with pytest.raises(SpaceFull) as found, bound.within(db):
        pytest.fail("nothing more is taken in")
    assert found.value is not bound.full
    give_room(db, n, None, 50)
    with bound.within(db):
        fill(db, access, 6)
    bound.stand(db)
    let_go(db, n)
    assert not bound.is_full(db)


def test_a_budget_is_kept_to_the_room(house: Household, db: Connection) -> None:
    """So that a turn ends near the bound; some of it is left at any bound, or nothing would ever be found too much."""
    access = public(house, db)
    bound, n = Bound(access), access.space.n
    lefts = []
    for bytes in (10**9, 10**6, 0):
        give_room(db, n, bytes, None)
        budget = Budget(10**6)
        with bound.within(db, budget):
            lefts.append(budget.left)
    assert lefts[0] == 10**6 > lefts[1] > lefts[2] == 1
