"""Patches of a text, and texts in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from chez.records.manuscript import Manuscript
from chez.records.patches import Patch, applied, composed, difference, inverse, moved, over, patch_of, stepwise
from chez.records.text import Splice

words = st.text(st.sampled_from("abcxyzé🙂"), max_size=12)


@st.composite
def _steps(draw: st.DrawFn, length: int, letters: str) -> list[Splice]:
    out = []
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, length))
        delete = draw(st.integers(0, min(4, length - at)))
        insert = draw(st.text(letters, max_size=4))
        length += len(insert) - delete
        out.append(Splice(at, delete, insert))
    return out


def _played(text: str, steps: "list[Splice] | Patch") -> str:
    for one in steps:
        text = text[: one.at] + one.insert + text[one.at + one.delete :]
    return text


@given(words, st.data())
def test_a_patch_does_what_its_steps_do(text: str, data: st.DataObject) -> None:
    """Steps put together are one patch of the text before them, which is in a normal form."""
    steps = data.draw(_steps(len(text), "12"))
    patch = patch_of(steps)
    assert applied(text, patch) == _played(text, steps) == _played(text, stepwise(patch))
    ends = [-1, *[one.at + one.delete for one in patch]]
    assert all(one.at > end and (one.delete or one.insert) for one, end in zip(patch, ends, strict=False))


@given(words, st.data())
def test_two_patches_of_one_text_end_the_same_in_either_order(text: str, data: st.DataObject) -> None:
    """Transformed over each other they lead to one text that has all insertions, the first one's before the other's."""
    a = patch_of(data.draw(_steps(len(text), "12")))
    b = patch_of(data.draw(_steps(len(text), "78")))
    after_b, after_a = over(a, b)
    both = applied(applied(text, a), after_a)
    assert both == applied(applied(text, b), after_b)
    for patch, letters in ((a, "12"), (b, "78")):
        put_in = "".join([one.insert for one in patch])
        assert "".join([letter for letter in both if letter in letters]) == put_in


def test_what_is_put_in_at_one_place_stands_in_the_order_of_the_patches() -> None:
    """At one place the first patch's insertion comes first, also where both take out what stands there."""
    a, b = (Splice(1, 1, "A"),), (Splice(1, 1, "B"),)
    after_b, after_a = over(a, b)
    assert applied(applied("xyz", a), after_a) == applied(applied("xyz", b), after_b) == "xABz"


@given(words, st.data())
def test_patches_compose_and_are_taken_back(text: str, data: st.DataObject) -> None:
    """Composing is doing one after the other; an inverse takes a patch back."""
    a = patch_of(data.draw(_steps(len(text), "12")))
    middle = applied(text, a)
    b = patch_of(data.draw(_steps(len(middle), "78")))
    assert applied(text, composed(a, b)) == applied(middle, b)
    assert applied(middle, inverse(text, a)) == text


@given(words, st.data())
def test_a_place_moves_with_the_characters_before_it(text: str, data: st.DataObject) -> None:
    """A place is afterwards behind what is left of the characters that were before it, and what was put in there."""
    patch = patch_of(data.draw(_steps(len(text), "12")))
    position = data.draw(st.integers(0, len(text)))
    place = moved(patch, position)
    after = applied(text, patch)
    assert 0 <= place <= len(after)
    gone = [n for one in patch for n in range(one.at, one.at + one.delete)]
    left = [text[n] for n in range(position) if n not in gone]
    assert [letter for letter in after[:place] if letter not in "12"] == left


@given(words, st.data())
def test_a_difference_by_names_finds_what_was_done(text: str, data: st.DataObject) -> None:
    """Characters that have names tell exactly where something went and came, also among equal letters."""
    steps = data.draw(_steps(len(text), "ab"))
    names, new, fresh = list(range(len(text))), text, len(text)
    before = list(names)
    for one in steps:
        new = _played(new, [one])
        names[one.at : one.at + one.delete] = range(fresh, fresh + len(one.insert))
        fresh += len(one.insert)
    found = difference(text, new, before, names)
    assert applied(text, found) == new
    assert sum(one.delete for one in found) == len(set(before) - set(names))


@given(st.text(max_size=30), st.data())
def test_a_manuscript_is_the_text_that_its_splices_make(text: str, data: st.DataObject) -> None:
    """Whatever is spliced, far or near, in small or large pieces, the content and what was taken out are a str's."""
    text *= data.draw(st.sampled_from((1, 200, 400)))
    manuscript = Manuscript(text)
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(text)))
        delete = data.draw(st.integers(0, len(text) - at))
        insert = data.draw(st.text("12", max_size=4)) * data.draw(st.sampled_from((1, 1500)))
        assert manuscript.splice(at, delete, insert) == text[at : at + delete]
        text = text[:at] + insert + text[at + delete :]
        assert len(manuscript) == len(text)
    assert str(manuscript) == text
