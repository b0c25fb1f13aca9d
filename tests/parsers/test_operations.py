"""Operations of changes that somebody wrote by hand: history, conflicts and undo give a typed error at worst."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.automerge import BadChange, RawChange, read_change
from chez.records.conflicts import conflicts_of
from chez.records.operations import decode
from chez.records.past import Past
from chez.records.places import Places
from chez.records.purging import is_purge
from chez.records.undo import inverse
from tests.parsers.mutations import attempt, bytes_like
from tests.parsers.test_records import ACTOR, BODIES, CHANGES, LEB, OTHER, _chunk
from tests.tries import tries


def _look(change: RawChange) -> None:
    operations = decode(change)
    assert len(operations) == change.last - change.first + 1
    places = Places()
    places.add(operations)
    for one in operations:
        places.path(one.place)
        places.within(one.obj, one.id)
        places.in_force(one.place)


@given(bytes_like(BODIES, LEB))
@settings(max_examples=tries(300), deadline=None)
def test_any_content_is_operations_or_refused(body: bytes) -> None:
    """Whatever a change holds, its operations are read or it is a `BadChange`; a purge is told without raising."""
    data = _chunk(body)
    if attempt(read_change, data, BadChange):
        attempt(lambda data: _look(read_change(data)), data, BadChange)
        assert is_purge(read_change(data)) is False


@given(st.data())
@settings(max_examples=tries(150), deadline=None)
def test_the_past_of_a_hostile_document_is_told_or_refused(data: st.DataObject) -> None:
    """A document with a change that was tampered with before it was signed is looked at, or is a `BadChange`."""
    second = _chunk(data.draw(bytes_like([BODIES[1]], LEB)))
    if not attempt(read_change, second, BadChange) or not attempt(
            lambda raw: automerge.load(CHANGES[0] + raw, OTHER), second, BadChange):
        return

    def use(raw: bytes) -> None:
        document = automerge.load(CHANGES[0] + raw, OTHER)
        past = Past("notes", "r", document, {})
        past.page(lambda device: None, 10, None)
        conflicts_of(past, lambda device: None)
        for change in past.changes:
            past.value(change.hash.hex())
            inverse(document, change, {}, ACTOR, 10**6)

    attempt(use, second, BadChange)
