"""The chain of a publisher's editions, without any home."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.opendata.editions import MAX_EDITIONS, Chain, Edition, before_hash, read_chain, record_of
from chez.opendata.errors import DataForked, DataInvalid
from tests.opendata.support import KEY, OTHER

SPACE = b"s" * 32
Record = dict[str, Any]


def edition(chain: Chain, space: bytes = SPACE, **said: Any) -> Edition:
    """The next edition of a chain."""
    plain = {"publisher": KEY.public, "space": space, "dataset": "velov", "content": bytes([chain.number % 256]) * 32,
             "before": before_hash(b""), "tables": ("open_velov",), "rows": 1, "added": 1, "changed": 0, "removed": 0,
             "whole": True, "time": 5}
    return chain.next(**(plain | said))


def records(count: int, **said: Any) -> list[Record]:
    """The records of a chain of so many editions."""
    found: list[Record] = []
    for _ in range(count):
        one = edition(read_chain(found[-1:], SPACE), **said)
        found.append(record_of(one, one.sign(KEY), b""))
    return found


@given(st.permutations(range(4)), st.integers(0, 3))
def test_a_chain_is_read_in_any_order_and_from_any_beginning(order: list[int], first: int) -> None:
    """Records in any order, some of them twice and the oldest gone, make the chain that is left. It goes on from the
    edition before it and from no other that was seen."""
    made = records(4)[first:]
    chain = read_chain([made[at] for at in order if at < len(made)] + made[:1], SPACE)
    assert [one.edition.number for one in chain.signed] == list(range(first + 1, 5))
    assert chain.head.startswith("4:") and chain.find(first) is None and chain.find(5) is None
    last = chain.last
    assert last is not None and chain.holds(4, last.hash)
    assert not chain.holds(first, chain.signed[0].edition.previous)
    for number in (4, first or 4):
        with pytest.raises(DataForked):
            chain.holds(number, SPACE)


def test_a_gap_a_fork_and_other_publishers_are_refused() -> None:
    """A missing edition, two under one number, one after another than is here, one of another space or publisher, and
    more than a chain has are each refused with what is wrong."""
    made = records(3)
    with pytest.raises(DataInvalid, match="edition 2 is missing"):
        read_chain([made[0], made[2]], SPACE)
    other = records(3, rows=2)
    for forked in ([*made, other[2]], [*made[:2], other[2]]):
        with pytest.raises(DataForked):
            read_chain(forked, SPACE)
    with pytest.raises(DataInvalid, match="of another space"):
        read_chain(made, b"t" * 32)
    theirs = edition(read_chain(made, SPACE), publisher=OTHER.public)
    with pytest.raises(DataInvalid, match="another publisher's key"):
        read_chain([*made, record_of(theirs, theirs.sign(OTHER), b"")], SPACE)
    with pytest.raises(DataInvalid, match="more than"):
        read_chain(made[:1] * (2 * MAX_EDITIONS + 1), SPACE)


def test_what_is_not_signed_is_no_edition() -> None:
    """An altered edition, another's signature, another encoding of the same, and what leads back altered are refused
    when written and when read."""
    (made,) = records(1)
    body, signature = made["edition"], made["signature"]
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(body)[:-1], 6])
    for bent in ({"edition": longer}, {"signature": bytes(64)}, {"signature": "x"}, {"edition": body + b"\x00"},
                 {"edition": None}, {"before": "x"}):
        with pytest.raises(DataInvalid):
            read_chain([made | bent], SPACE)
    one = edition(Chain(), before=before_hash(b"back"))
    kept = record_of(one, one.sign(KEY), b"back")
    assert read_chain([kept], SPACE).signed[0].before == b"back"
    for before, sign in ((b"", KEY), (b"other", KEY), (b"back", OTHER)):
        with pytest.raises(DataInvalid):
            record_of(one, one.sign(sign), before)
    with pytest.raises(DataInvalid, match="altered"):
        read_chain([kept | {"before": b"other"}], SPACE)
    assert signature == one.sign(KEY) or signature != b""


@given(st.dictionaries(st.sampled_from(["edition", "signature", "before"]),
                       st.one_of(st.binary(max_size=80), st.none())))
def test_any_record_is_a_typed_error(record: Record) -> None:
    """A record of anything is refused."""
    with pytest.raises(DataInvalid):
        read_chain([record], SPACE)
