"""A document as it was at some of its changes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.diff import write_difference
from tests.tries import tries


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.booleans()), max_size=8))
@settings(max_examples=tries(60), deadline=None)
def test_each_earlier_state_is_there(plan: list[tuple[bool, int, bool]]) -> None:
    """Of two devices that set one field and meet, the value at every point is the one that was read there."""
    first = automerge.new(b"a" * 32)
    write_difference(first, {}, {"n": 0})
    documents = [first, first.fork()]
    documents[1].set_actor(b"b" * 32)
    seen = []
    for own, number, meets in plan:
        document = documents[0 if own else 1]
        value = automerge.extract(document)
        write_difference(document, value, {"n": number})
        seen.append((document.get_heads(), automerge.extract(document)))
        if meets:
            documents[0].merge(documents[1])
            documents[1].merge(documents[0])
    documents[0].merge(documents[1])
    for heads, value in seen:
        assert automerge.extract(automerge.since(documents[0], heads, b"c")) == value
