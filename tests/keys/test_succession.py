"""A key that goes on as another: what both sign, and what follows from any statements in any order."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chez.crypto import SigningKey
from chez.errors import InvalidValue
from chez.succession import MAX_CHAIN, Succession, check_chain, follow, succeed
from tests.relay.support import seed
from tests.tries import tries

KEYS = [SigningKey.from_seed(seed(f"succession {number}")) for number in range(MAX_CHAIN + 3)]


def chain(*places: int) -> list[Succession]:
    """Statements from one key to the next."""
    made: list[Succession] = []
    for old, new in pairwise(places):
        made.append(succeed("organisation", KEYS[old], KEYS[new], made))
    return made


def test_a_chain_holds_to_its_last_key() -> None:
    """What both keys of each step signed holds, for the last key and no other, and tells who goes on."""
    made = chain(0, 1, 2, 3)
    check_chain("organisation", made, KEYS[3].public)
    check_chain("organisation", made[1:], KEYS[3].public)
    check_chain("organisation", [], KEYS[0].public)
    assert [one.count for one in made] == [1, 2, 3]
    assert follow(KEYS[0].public, made).keys == tuple(key.public for key in KEYS[:4])


def test_what_both_did_not_sign_is_refused() -> None:
    """Another kind's statement, one of another key, one that the new key or the old one did not sign, another count, a
    gap, another order, a key that comes twice, too many: each is refused."""
    one, two = chain(0, 1, 2)
    thief = KEYS[5]
    forged = succeed("organisation", thief, KEYS[1])
    without = succeed("organisation", KEYS[0], thief)
    for wrong, key in (
            ([one, two], KEYS[1]), ([one, two], thief), ([two, one], KEYS[2]), ([one, one], KEYS[1]),
            ([structs.replace(forged, old=KEYS[0].public)], KEYS[1]),
            ([structs.replace(without, new=KEYS[1].public)], KEYS[1]),
            ([structs.replace(one, count=2)], KEYS[1]), ([one, structs.replace(two, count=3)], KEYS[2]),
            ([structs.replace(one, given=one.taken, taken=one.given)], KEYS[1]),
            ([one, succeed("organisation", KEYS[1], KEYS[2], chain(5, 6, 7))], KEYS[2]),
            ([*chain(0, 1, 2), succeed("organisation", KEYS[2], KEYS[0], chain(5, 6, 7))], KEYS[0]),
            (chain(*range(MAX_CHAIN + 2)), KEYS[MAX_CHAIN + 1])):
        with pytest.raises(InvalidValue):
            check_chain("organisation", wrong, key.public)
    with pytest.raises(InvalidValue):
        check_chain("publisher", [one], KEYS[1].public)
    for key, before in (*((key, [one, two]) for key in KEYS[:3]), (KEYS[2], [])):
        with pytest.raises(InvalidValue, match="succeed itself"):
            succeed("organisation", KEYS[2], key, before)


@given(st.data())
@settings(max_examples=tries(60))
def test_the_order_of_statements_is_nothing(data: st.DataObject) -> None:
    """Whatever is said, in whatever order and however often, the same follows; what is said more can only lengthen a
    line, or show where two claim to go on."""
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 4)).filter(
        lambda pair: pair[0] != pair[1]), max_size=7))
    said = [Succession(KEYS[old].public, KEYS[new].public, count, bytes(64), bytes(64)) for old, new, count in pairs]
    line = follow(KEYS[0].public, said)
    assert line == follow(KEYS[0].public, data.draw(st.permutations(said + said[:2])))
    assert len(set(line.keys)) == len(line.keys) and len(line.rivals) != 1
    assert all(any((one.old, one.new) == pair for one in said) for pair in pairwise(line.keys))


def test_two_successors_end_a_line() -> None:
    """Where a key signed two, neither goes on; where one that went on signed another, the line ends there too."""
    honest, stolen = chain(0, 1, 2), succeed("organisation", KEYS[0], KEYS[7])
    line = follow(KEYS[0].public, [*honest, stolen])
    assert line.keys == (KEYS[0].public,) and set(line.rivals) == {KEYS[1].public, KEYS[7].public}
    assert follow(KEYS[1].public, [*honest, stolen]).key == KEYS[2].public


def test_an_old_statement_fits_nowhere_later() -> None:
    """A count that does not follow, and one that leads back to a key that was, count for nothing."""
    one, two = chain(0, 1, 2)
    back = succeed("organisation", KEYS[2], KEYS[1], chain(5, 6, 7))
    assert back.count == two.count + 1
    early = succeed("organisation", KEYS[2], KEYS[3])
    assert follow(KEYS[0].public, [one, two, back, early]).key == KEYS[2].public
    assert follow(KEYS[0].public, [one, two, *chain(0, 1, 2, 3)]).key == KEYS[3].public
