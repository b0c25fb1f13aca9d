"""The screen before consent in two languages: every sentence exists in both, with the same values."""

import re
from string import Formatter

import pytest

import chez
from chez_sandbox.consent import verbs
from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.catalogue import PHRASES, language_of
from chez_sandbox.consent.inspect import describe, plain_words
from tests.jobs.samples import READS
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import bundle


@pytest.mark.parametrize("name", PHRASES)
def test_every_sentence_is_in_both_languages(name: str) -> None:
    """Neither is empty, both take the same values, and heads fit their column."""
    english, french = PHRASES[name]
    assert english.strip() and french.strip()
    values = [{field for _, field, _, _ in Formatter().parse(text) if field} for text in (english, french)]
    assert values[0] == values[1]
    if name.startswith("head."):
        assert max(len(english), len(french)) <= 8


def test_the_french_screen_has_the_facts_of_the_english_one() -> None:
    """Line by line the same numbers and names stand in both, and the words differ."""
    job = bundle(reads=READS.replace('"readings"', '"readings"\nspaces = "all"\nmin_rows = 5'))
    screens = [plain_words(describe(job, language), language) for language in ("en", "fr")]
    assert len(screens[0]) == len(screens[1])
    for english, french in zip(*screens, strict=True):
        assert re.findall(r"\d+", english) == re.findall(r"\d+", french)
    text = "\n".join(screens[1])
    assert "Pourquoi" in text and "un nombre de 0 à 10000, arrondi à 10" in text and "365 jours entiers" in text
    ours = text.replace(job.manifest.purpose.plain, "")
    assert not re.search(r"\b(the|runs?|only|sealed|about|whole|nothing)\b", ours)


async def test_the_verbs_speak_the_language_that_is_asked_for(home: chez.Home) -> None:
    """Inspecting and granting show the screen in French when it is asked for."""
    person = Person("no")
    asked = {"bundle": bundle().encoded, "language": "fr"}
    shown = await verbs.job_inspect(home, asked, person)
    await verbs.job_grant(home, asked, person)
    for words in (shown["words"], person.shown[-1]["job"]["words"]):
        assert any("toujours en un message scellé" in line for line in words)


def test_a_locale_has_a_language() -> None:
    """French for French locales of any country, English for all others and for none."""
    assert [language_of(name) for name in ("fr_FR.UTF-8", "fr", "FR_CA", "fr.UTF-8")] == ["fr"] * 4
    assert [language_of(name) for name in ("", "C", "C.UTF-8", "en_US", "fro", "de_DE")] == ["en"] * 6
    assert bits_words(9.97, "fr") == "un nombre de 4 chiffres"
