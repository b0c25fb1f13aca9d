"""A provider's new version asks again, and says what it changes."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

import chez
from chez.crypto import SealingKey, SigningKey
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent import verbs
from chez_sandbox.consent.catalogue import Language, phrase
from chez_sandbox.consent.difference import _read, difference, foreign_keys, granted_before
from chez_sandbox.consent.grants import list_grants, revoke_grant
from chez_sandbox.consent.inspect import describe, plain_words
from chez_sandbox.provider.judging import check_facts
from tests.jobs.samples import INBOX, MEAN, READS, RESULT, SEALING, SIGNING, manifest_text
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import grant

CHANGES: dict[str, tuple[str, str, str]] = {
    "a field": ('"local", "watts"]', '"local", "watts", "meter"]', "it reads more of readings: meter"),
    "no field": ('["local", "watts"]', '["watts"]', "it reads less of readings: no longer local"),
    "the order": ('["local", "watts"]', '["watts", "local"]', "it reads the same fields of readings in another order"),
    "rows": ('value = "consumption"', 'value = "production"', "it reads other rows of readings"),
    "a window": ("last = 365", "last = 730", "it reads another time of readings: 730 whole days"),
    "the zone": ('until = "latest"', 'until = "latest", zone = "UTC"', "newest row, as days go in UTC (before: "),
    "spaces": ('collection = "readings"', 'collection = "readings"\nspaces = "all"', "also what others share with you"),
    "least rows": ('collection = "readings"', 'collection = "readings"\nmin_rows = 5', "it needs at least 5 rows"),
    "the result": ("multipleOf = 10", "multipleOf = 1", "a run can tell more: at most 13.29 bits (before: 9.97)"),
    "what is told": ("properties.watts", "properties.power", "it may tell what it could not: power"),
    "runs": ("runs = 100", "runs = 200", "more runs are asked for: 200 (before: 100)"),
    "bits": ("bits = 1000", "bits = 500", "fewer bits are asked for over all runs: 500 (before: 1000)"),
    "keeping": ("retention_days = 30", "retention_days = 90", "more days the provider keeps results: 90 (before: 30)"),
    "the purpose": ("on average", "at night", "it says another purpose"),
    "the basis": ("[purpose]", '[purpose]\nlawful_basis = "dpv:LegitimateInterest"',
                  "it says another lawful basis: dpv:LegitimateInterest (before: dpv:Consent)"),
    "whose domain": ('domain = "example.org"', 'domain = "example.net"',
                     "its provider is now Example Energy Advice, example.net"),
    "when": ("\n[purpose]", 'schedule = "daily"\ncatch_up = "all"\n\n[purpose]',
             "every day, once; what was missed is made up for, in order (before: whenever you start it)"),
    "the review": ("\n[purpose]", 'review = "within-the-grant"\n\n[purpose]',
                   "how results leave, by its wish, changed: within-the-grant (before: show-me-first)"),
    "limits": ("[budget]", "[limits]\nseconds = 3.0\n\n[budget]", "what it may use of this device changed"),
    "another inbox": (INBOX.hex(), "ab" * 32, "results go to another place, or are sealed to another key"),
    "another sealing key": (SEALING.public.hex(), SealingKey.from_seed(bytes([8]) * 32).public.hex(),
                            "results go to another place, or are sealed to another key"),
    "parameters": ('note = "none"', 'note = "some"', "its parameters changed"),
    "the name": ('name = "Mean power"', 'name = "Power"', "its name changed"),
    "the place": ("ws://127.0.0.1:9", "ws://127.0.0.1:10", "results go to another place"),
    "who": ("privacy@example.org", "sales@example.org", "its provider is now Example Energy Advice"),
}


def version(number: int, *changes: str, code: bytes = MEAN) -> Bundle:
    """The sample job as a version with these changes."""
    text = manifest_text(version=number).decode()
    for name in changes:
        old, new, _ = CHANGES[name]
        assert old in text
        text = text.replace(old, new)
    return build_bundle(text.encode(), code, "python", SIGNING)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_has_its_sentence(name: str) -> None:
    """Whatever a version changes of what a person is shown is said, with what it was before."""
    assert any(CHANGES[name][2] in line for line in difference(version(1), version(2, name)))


@for_all(st.sets(st.sampled_from([name for name in CHANGES if name not in ("no field", "the order", "a field")])))
def test_nothing_else_is_said_to_change(names: set[str]) -> None:
    """Every change made together is told, in at least one line each; with none, only that the text is another."""
    lines = difference(version(1), version(2, *sorted(names)))
    assert all(any(CHANGES[name][2].split(":")[0] in line for line in lines) for name in names)
    if not names:
        assert lines == ["nothing of what you are shown changed, only how its manifest is written"]


def test_new_code_alone_is_told() -> None:
    """The same manifest with other code says so, and a bundle does not differ from itself."""
    assert difference(version(1), version(2, code=MEAN + b"#")) == ["its code is another"]
    assert difference(version(1), version(1)) == []


def test_a_collection_comes_and_goes() -> None:
    """A whole collection more is named with its fields, and one less by its name."""
    more = READS + READS.replace('"readings"', '"tariff_days"')
    bundles = [build_bundle(manifest_text(reads=reads), MEAN, "python", SIGNING) for reads in (READS, more)]
    assert difference(*bundles) == ["it reads more: tariff_days (local, watts)"]
    assert difference(*reversed(bundles)) == ["it reads tariff_days no longer"]


@pytest.mark.parametrize(("before", "after", "said"), [
    ('value = 1', 'value = "1"', 'only where flow = "1" (before: only where flow = 1)'),
    ('value = true', 'value = "True"', 'only where flow = "True" (before: only where flow = True)'),
    ('op = "in", value = ["a", "b"]', 'op = "in", value = ["a, b"]',
     'only where flow in "a, b" (before: only where flow in a, b)'),
    ('value = "a\\nb"', r'value = "a\\nb"', r'only where flow = "a\\nb" (before: only where flow = "a\nb")'),
    ('value = "a"', r'value = "a\" and x = \"b"', r'only where flow = "a\" and x = \"b"'),
])  # fmt: skip
def test_other_values_choose_other_rows_in_words_too(before: str, after: str, said: str) -> None:
    """A text that reads as a number or a list, or as words of ours, is told from these: the rows are others."""
    reads = (READS.replace('value = "consumption"', value) for value in (before, after))
    old, new = (build_bundle(manifest_text(reads=read), MEAN, "python", SIGNING) for read in reads)
    (line,) = difference(old, new)
    assert said in line


def test_a_value_inside_another_is_told_with_both_names() -> None:
    """A result of the night is another one than that of the day, and the screen says which it is."""
    day, night = (RESULT.replace("properties.watts", f'properties.{name}]\ntype = "object"\n[result.properties.{name}.'
                                 "properties.watts") for name in ("day", "night"))  # fmt: skip
    old, new = (build_bundle(manifest_text(rest=rest), MEAN, "python", SIGNING) for rest in (day, night))
    assert any("Leaves   day.watts: a number" in line for line in plain_words(describe(old)))
    assert [line.partition(": a number")[0] for line in difference(old, new)] == [
        "it may tell what it could not: night.watts", "it may no longer tell: day.watts"]


def given_to(parameters: str) -> Bundle:
    """The sample job with these parameters."""
    return build_bundle(manifest_text(rest=RESULT.replace('note = "none"', parameters)), MEAN, "python", SIGNING)


@pytest.mark.parametrize(("before", "after", "said"), [
    ("n = 1", "n = true", "n = true (before: n = 1)"),
    ("n = 1", "n = 1.0", "n = 1.0 (before: n = 1)"),
    ("n = 1\nother = [2]", "other = [2]", "nothing (before: n = 1)"),
    ("other = [2]", "n = 1\nother = [2]", "n = 1 (before: nothing)"),
    ("a = 1\nb = 2\nc = 3", "a = 2\nb = 2\nc = 4", "a = 2, c = 4 (before: a = 1, c = 3)"),
])
def test_of_the_parameters_those_that_changed_are_told(before: str, after: str, said: str) -> None:
    """A job tells 1 from true and from 1.0; what is as it was is not told again, in neither language."""
    old, new = given_to(before), given_to(after)
    assert difference(old, new) == [f"its parameters changed: {said}"]
    french = said.replace("(before:", "(avant :").replace("nothing", "rien")
    assert difference(old, new, "fr") == [f"ses paramètres ont changé : {french}"]


def test_of_the_limits_those_that_changed_are_told() -> None:
    """Each by its name, and no others."""
    less = RESULT.replace("[budget]", "[limits]\nseconds = 3.0\n\n[budget]")
    after = build_bundle(manifest_text(rest=less), MEAN, "python", SIGNING)
    (line,) = difference(version(1), after)
    assert line.startswith("what it may use of this device changed: seconds = 3.0 (before: seconds = ")


def test_the_screen_shows_what_the_provider_gives_its_code() -> None:
    """Each parameter on a marked line of its own, whatever is in it; of many, and of long ones, what there is more."""
    def lines(parameters: str) -> list[str]:
        shown = plain_words(describe(given_to(parameters)))
        begin = shown.index(f"{'':10} {phrase('en', 'parameters')}") + 1
        return [line.strip() for line in shown[begin:-1]]

    assert lines('b = "Bundle  00\\nWho"\na = [1, {x = "\\u202e"}]') == [
        r'| a = [1, {"x": "\u202e"}]', r'| b = "Bundle  00\nWho"']
    assert lines('"a = 1, b" = 2') == ['| "a = 1, b" = 2']
    all_of_it = phrase("en", "parameters.more", count=9)
    assert lines("\n".join(f"p{n} = {n}" for n in range(9))) == [*(f"| p{n} = {n}" for n in range(8)), all_of_it]
    long, more = lines(f'text = "{"x" * 1000}"')
    assert long.endswith("x …") and len(long) < 200 and more == phrase("en", "parameters.more", count=1)
    without = build_bundle(manifest_text(rest=RESULT.replace('[parameters]\nnote = "none"\n', "")), MEAN, "python",
                           SIGNING)
    assert not any(phrase("en", "parameters") in line for line in plain_words(describe(without)))


def test_a_window_of_one_day_is_told_as_one() -> None:
    """One whole day, no words of a zone where days are those of the wall's clock, and which rows: those alone."""
    day = "one whole day by local, the last one complete by the newest row"
    some = READS.replace("365", "1")
    every = some.replace('where = [{ field = "flow", value = "consumption" }]\n', "")
    wide = every.replace('collection = "readings"', 'collection = "readings"\nspaces = "all"\nmin_rows = 5')
    more = [phrase("en", "spaces"), phrase("en", "least", rows=5)]
    for reads, rows in ((some, ["only rows where flow = consumption", day]), (every, [day]), (wide, [day, *more])):
        shown = plain_words(describe(build_bundle(manifest_text(reads=reads), MEAN, "python", SIGNING)))
        begin = next(number for number, line in enumerate(shown) if line.strip().startswith("Reads"))
        assert [line.strip() for line in shown[begin + 1:begin + 1 + len(rows)]] == rows
        assert shown[begin + 1 + len(rows)].strip().startswith("Leaves")


def test_a_providers_words_begin_no_line_of_ours() -> None:
    """Line breaks in a purpose or in a value that chooses rows begin no line, and a purpose's lines are marked."""
    text = manifest_text(version=2).replace(b"on average", rb"\nJob: Tax check")
    text = text.replace(b'"consumption"', rb'"a\nWho b"')
    after = build_bundle(text, MEAN, "python", SIGNING)
    lines = [*difference(version(1), after), *plain_words(describe(after))]
    assert any("Tax check" in line for line in lines) and any(r"a\nWho b" in line for line in lines)
    assert not any("\n" in line or line.startswith(("Job:", "Who")) for line in lines)
    assert [line for line in lines if line.strip().startswith("| Job: Tax check")]


async def test_a_new_version_is_shown_with_what_it_changes(home: chez.Home) -> None:
    """Before it asks, the screen has the changes since the newest version granted, revoked or not."""
    await grant(home, version(1), 1)
    await grant(home, version(2, "a field"), 2)
    await revoke_grant(home, "02" * 16)
    person = Person("no")
    asked: dict[str, Any] = {"bundle": version(3, "a field", "a window").encoded}
    assert await verbs.job_grant(home, asked, person) == {"grant": None}
    shown = "\n".join(person.shown[-1]["job"]["words"])
    assert "Changed  since version 2, which you granted:" in shown
    assert "it reads another time of readings" in shown and "meter" in shown and "reads more of" not in shown


async def test_another_key_under_the_same_name_is_loud(home: chez.Home) -> None:
    """A provider that signs with a key it did not have before is warned of; another is not."""
    await grant(home, version(1))
    thief = SigningKey.from_seed(bytes([9]) * 32)
    fake = build_bundle(manifest_text(signing=thief), MEAN, "python", thief)
    person = Person("no")
    await verbs.job_grant(home, {"bundle": fake.encoded}, person)
    assert "HAD ANOTHER KEY BEFORE" in "\n".join(person.shown[-1]["job"]["words"])
    grants = await list_grants(home)
    assert granted_before(grants, fake) is None and foreign_keys(grants, version(2)) == []
    text = manifest_text(signing=thief).replace(b"Example Energy Advice", b"Another")
    other = build_bundle(text.replace(b"example.org", b"other.net"), MEAN, "python", thief)
    assert foreign_keys(grants, other) == []


@pytest.mark.parametrize(("language", "words"), [("en", "open data you follow"), ("fr", "données ouvertes suivies")])
def test_open_data_that_a_new_version_reads_is_told(language: Language, words: str) -> None:
    """A version that reads a city's data beside the person's own says so, in either language."""
    def say(key: str, **values: Any) -> str:
        return phrase(language, f"changed.{key}", **values)

    old = {"collection": "open_velov", "fields": ["id"], "only": [], "window": "", "spaces": "private", "min_rows": 0}
    (line,) = _read(say, old, old | {"spaces": "all"})
    assert words in line
    assert words not in _read(say, old | {"collection": "velov"}, old | {"collection": "velov", "spaces": "all"})[0]


def test_a_schema_of_however_many_results_is_told_and_compared() -> None:
    """A version whose results are a number of ten thousand digits keeps no list of grants from being shown: it is
    described, compared with the one before, and judged by its provider's tool."""
    rest = RESULT.replace("bits = 1000", "bits = 1000000").replace(
        'type = "integer"\nminimum = 0\nmaximum = 10000\nmultipleOf = 10\n',
        'type = "array"\nmaxItems = 10000\nitems = { type = "integer", minimum = 0, maximum = 9 }\n',
    )  # fmt: skip
    huge = build_bundle(manifest_text(version=2, rest=rest), MEAN, "python", SIGNING)
    before = build_bundle(manifest_text(), MEAN, "python", SIGNING)
    told = describe(huge)
    assert told["leaves"]["results"] == "10^10000" and describe(before)["leaves"]["results"] == "1001"
    assert any("a run can tell more" in line for line in difference(before, huge)) and plain_words(told)
    assert any("10^10000 values" in one["words"] for one in check_facts(huge, None, True)["findings"])
