"""The notes app: how typing and arriving text meet, and the app itself without a screen."""

import os
import subprocess
from pathlib import Path

import pytest
from examples.notes.merging import Edit, edit_between, index_of, location_of, merged, moved
from hypothesis import given
from hypothesis import strategies as st

from tests.blocking.conftest import relay

__all__ = ("relay",)

ROOT = Path(__file__).resolve().parents[2]
words = st.text(alphabet="ab \n", max_size=12)


def after(text: str, edit: Edit) -> str:
    """A text after an edit."""
    at, gone, come = edit
    return text[:at] + come + text[at + gone :]


@given(words, words)
def test_an_edit_makes_the_one_text_into_the_other(old: str, new: str) -> None:
    """What differs between two texts, done to the first, gives the second."""
    assert after(old, edit_between(old, new)) == new


@given(words, words)
def test_where_one_side_did_nothing_the_other_stands(base: str, other: str) -> None:
    """Text that arrived shows as it is when nothing was typed, and what was typed stays when nothing arrived."""
    assert after(other, merged(base, base, other)) == other
    assert after(base, merged(base, other, base)) == other


@given(words, words, words, words, words)
def test_two_who_write_in_different_places_both_keep_their_words(a: str, b: str, c: str, x: str, y: str) -> None:
    """What is typed before a word and what arrives behind it are both there, and the caret stays in its word."""
    base = f"{a}[{b}]{c}"
    mine, theirs = f"{a}{x}[{b}]{c}", f"{a}[{b}]{y}{c}"
    assert after(theirs, merged(base, mine, theirs)) == f"{a}{x}[{b}]{y}{c}"
    assert after(mine, merged(base, theirs, mine)) == f"{a}{x}[{b}]{y}{c}"
    assert moved(len(a) + 1, edit_between(base, mine)) == len(a) + len(x) + 1
    assert moved(len(a) + 1, edit_between(base, theirs)) == len(a) + 1


@given(words, words, words)
def test_any_edits_meet_without_an_error(base: str, mine: str, theirs: str) -> None:
    """Whatever both did, the edit lies within the text that it is for."""
    at, gone, _ = merged(base, mine, theirs)
    assert 0 <= at <= at + gone <= len(theirs)


@given(words, st.data())
def test_a_position_is_a_line_and_a_column(text: str, data: st.DataObject) -> None:
    """Both ways of saying where something is lead to each other."""
    index = data.draw(st.integers(0, len(text)))
    line, column = location_of(text, index)
    assert index_of(text, (line, column)) == index and column <= len(text.split("\n")[line])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_app_shows_what_another_device_writes(examples_python: Path, relay: str, tmp_path: Path) -> None:
    """Played by Textual's pilot: notes are made, written by two devices at once, listed and deleted; the sync shows."""
    done = subprocess.run(
        [examples_python, Path(__file__).with_name("pilot.py"), tmp_path, relay], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'engine'}"}, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.endswith("the end\n"), done.stdout + done.stderr
