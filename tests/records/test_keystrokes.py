"""Keystrokes written by hand are the changes that the document library makes."""

from typing import Any

from automerge import core
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.automerge import Document
from chez.records.keystrokes import changes_by_hand, changes_by_library, is_worth_it
from chez.records.patches import Patch
from chez.records.text import Splice

A, B = b"a" * 32, b"b" * 32
letters = st.text(st.sampled_from("abé🙂\n"), max_size=4)


def _splice(document: Document, text: bytes, share: float, delete: int, insert: str) -> Splice:
    size = automerge.length(document, text)
    at = int(share * size)
    return Splice(at, min(delete, size - at), insert)


def _made(actors: tuple[bytes, bytes], steps: list[Any]) -> tuple[Document, bytes]:
    """A document with a text that two devices wrote."""
    first, second = actors
    document = automerge.new(first)
    with automerge.transaction(document) as tx:
        text = tx.put_object(automerge.ROOT, "body", core.ObjType.Text)
        tx.splice_text(text, 0, 0, "begin")
    for n, step in enumerate(steps):
        document.set_actor((first, second)[n % 2])
        one = _splice(document, text, *step)
        automerge.splice(document, text, [(one.at, one.delete, one.insert)])
    return document, text


_steps = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), letters.filter(bool)), max_size=6)


@settings(deadline=None)
@given(st.permutations((A, B)), _steps, st.data())
def test_strokes_written_by_hand_are_those_of_the_library(actors: list[bytes], before: Any, data: st.DataObject
                                                          ) -> None:
    """Whoever made the text and whoever wrote in it, each stroke is the same change, byte for byte."""
    document, text = _made((actors[0], actors[1]), before)
    document.set_actor(A)
    own = [one for one in automerge.history(document) if one.actor == A]
    last = max(one.last for one in automerge.history(document))
    other = document.fork()
    other.set_actor(A)
    size = automerge.length(document, text)
    strokes: list[Patch] = []
    for _ in range(data.draw(st.integers(1, 12))):
        steps = []
        for _ in range(data.draw(st.sampled_from((1, 1, 1, 2)))):
            at = data.draw(st.integers(0, size))
            delete = data.draw(st.integers(0, min(3, size - at)))
            insert = data.draw(letters if delete else letters.filter(bool))
            size += len(insert) - delete
            steps.append(Splice(at, delete, insert))
        strokes.append(tuple(steps))
    by_hand = changes_by_hand(document, text, (len(own), own[-1].hash) if own else (0, b""), last, strokes)
    assert by_hand == changes_by_library(other, text, strokes)
    after = automerge.applied(document, by_hand)
    assert automerge.content(after, text) == automerge.content(other, text)
    assert after.get_heads() == other.get_heads()


def test_few_strokes_are_left_to_the_library() -> None:
    """Writing by hand has to be worth taking all of it in; in a long history it takes more of them."""
    assert not is_worth_it(1, 0)
    assert is_worth_it(3_000, 300_000)
    assert not is_worth_it(500, 300_000)

