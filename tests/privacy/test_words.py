"""What a person reads of noise before granting, and beside a result."""

from typing import Any

import pytest

from chez_sandbox.consent.catalogue import Language
from chez_sandbox.consent.difference import difference
from chez_sandbox.consent.inspect import describe, plain_words
from chez_sandbox.consent.told import noised_words
from tests.privacy.samples import COUNT, noised, rest

SAID: dict[Language, tuple[str, ...]] = {
    "en": ("rows: a number from 0 to 1000; noised: how many rows of readings, epsilon 0.5",
           "noised: the mean of watts in readings, each row taken as 0 to 1000, epsilon 0.5",
           "noised: where 0.5 of watts in readings lie below", "in each of 2 groups of rate (low, high)",
           "no such value is more than 12.2 times likelier (epsilon 2.5 for a window)", "that is for one row",
           "an epsilon of 5 over all windows"),
    "fr": ("bruité : combien de lignes de readings", "la somme de watts dans readings", "12,2 fois plus probable",
           "cela vaut pour une ligne", "un epsilon de 5 sur toutes les périodes"),
}  # fmt: skip


@pytest.mark.parametrize("language", SAID)
def test_the_screen_says_what_is_noised_and_what_that_promises(language: Language) -> None:
    """Each noised value has its statistic, bounds and epsilon; the promise is told with what it does not cover."""
    shown = "\n".join(plain_words(describe(noised(), language), language))
    assert [said for said in SAID[language] if said not in shown] == []
    assert max(map(len, shown.splitlines())) <= 160


def test_the_screen_says_when_the_rest_has_no_noise() -> None:
    """A job that says something itself, too, is shown to say it without noise; the code of any other does not run."""
    mixed = noised(rest=rest(COUNT, own='ok = { type = "boolean" }'))
    assert any("the rest has no noise" in line for line in plain_words(describe(mixed)))
    alone = "\n".join(plain_words(describe(noised())))
    assert "the rest has no noise" not in alone and "the job's code does not run" in alone


def test_a_version_with_less_noise_says_so() -> None:
    """What is noised no longer, noised less, or with more epsilon in all, is told before a new version is granted."""
    old, less = noised(), noised(version=2, rest=rest().replace("epsilon = 0.5\n\n", "epsilon = 0.7\n\n", 1))
    lines = difference(old, less)
    assert any(line.startswith("it may tell what it could not: rows: ") and "0.7" in line for line in lines)
    clear = noised(version=2, rest=rest(COUNT).replace(COUNT, "").replace("epsilon = 5.0", ""))
    lines = difference(noised(rest=rest(COUNT)), clear)
    assert "nothing of it is noised any more" in lines
    assert "it asks for less epsilon over all windows: 0 (before: 5)" in lines


@pytest.mark.parametrize(("old", "new", "said"), [
    ('categories = ["low", "high"]', 'categories = ["low", "ill"]', "2 groups of rate (low, ill)"),
    ('categories = ["low", "high"]', "edges = [0, 7.5, 1000001]", "2 groups of rate (bounds 0, 7.5, 1000001)"),
    ("upper = 1000\nstep = 10", "upper = 1000.001\nstep = 0.001", "each row taken as 0 to 1000.001"),
])  # fmt: skip
def test_what_is_measured_of_rows_is_told(old: str, new: str, said: str) -> None:
    """Which groups are counted, and within which bounds, is on the screen; with others a version tells what is new."""
    changed = noised(version=2, rest=rest().replace(old, new, 1))
    assert any(said in line for line in plain_words(describe(changed)))
    assert any(line.startswith("it may tell what it could not: ") and said in line
               for line in difference(noised(), changed))


def test_a_result_is_shown_with_what_is_noised_in_it() -> None:
    """Beside a result stands which values are noised: of made-up rows before a grant, the one draw after it."""
    shown: dict[str, Any] = {"noised": ["rows"], "made_up": True}
    assert "your rows are not looked at" in noised_words(shown)[0]
    assert "drawn once" in noised_words({**shown, "made_up": False})[0]
    assert noised_words({"noised": [], "made_up": True}) == []
