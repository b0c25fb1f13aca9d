"""A manifest says everything a person must know, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.bundle import build_bundle
from chez_sandbox.consent.inspect import describe, plain_words
from chez_sandbox.job_errors import ManifestInvalid
from chez_sandbox.manifest import parse_manifest
from tests.jobs.samples import MEAN, READS, RESULT, SIGNING, manifest_text
from tests.tries import tries


@pytest.mark.parametrize(("levels", "read"), [(20, True), (40, False), (300, False), (5000, False)])
@pytest.mark.parametrize("part", ['note = "none"\n', "multipleOf = 10\n"])
def test_what_is_nested_deep_is_refused_wherever_its_reader_stands(levels: int, read: bool, part: str) -> None:
    """A manifest is read or refused by itself, parameters as what only describes a result: were it as deep as Python
    goes, a grant would be a grant to one reader and damaged to the next."""
    deep = f"{part}description = {'{a=' * levels}1{'}' * levels}\n"
    text = manifest_text().replace(part.encode(), deep.encode())

    def standing(frames: int) -> bool:
        if frames:
            return standing(frames - 1)
        try:
            parse_manifest(text)
        except ManifestInvalid:
            return False
        return True

    assert [standing(frames) for frames in (0, 400)] == [read, read]


def test_a_valid_manifest_is_read_whole() -> None:
    """Every table arrives as a typed value, and the parameters as canonical JSON."""
    manifest = parse_manifest(manifest_text())
    assert (manifest.id, manifest.version) == ("mean-power", 1)
    assert manifest.reads[0].window is not None and manifest.reads[0].window.last == 365
    assert manifest.parameters_json == b'{"note":"none"}'
    assert manifest.schema.count == 1001
    assert manifest.review == "show-me-first"


def test_what_is_done_to_a_manifest_is_not_in_the_next_one() -> None:
    """The same text is remembered, and says the same to everybody: a bundle's signature stands for it."""
    first = parse_manifest(manifest_text())
    first.parameters["note"] = "all of it"
    first.reads[0].fields.append("name")
    first.result.clear()
    again = parse_manifest(manifest_text())
    assert again.parameters_json == b'{"note":"none"}' and "name" not in again.reads[0].fields
    assert again.result and again.schema.count == 1001


MISTAKES = {
    "last = 365": ("last = 0", "reads[0].window.last", "at least 1"),
    "until = ": ("untill = ", "reads[0].window.untill", "field, last, grid, until, zone"),
    "version = 1": ('version = "1"', "version", "must be a whole number, and is a text"),
    "bits = 1000": ("bits = 9", "budget.bits", "9.97"),
    "maximum = 10000": ("maximum = 10005", "result.watts.maximum", "multiple of the step"),
    "multipleOf = 10": ("multipleOf = 0", "result.watts.multipleOf", "above 0"),
    "minimum = 0": ("minimun = 0", "result.watts.minimun", "allowed: maximum, minimum, multipleOf"),
    'type = "integer"': ('type = "string"', "result.watts.maximum", "not allowed"),
    'id = "mean-power"': ('id = "Mean power"', "id", "lower-case letters"),
    '"local", "watts"]': ('"local", "local"]', "reads[0].fields", "twice"),
    'field = "flow",': ('field = "flow", op = "like",', "reads[0].where[0].op", "allowed: !=, <"),
    'value = "consumption"': ('value = ["a"]', "reads[0].where[0].value", "must be a list"),
    'collection = "readings"': ('collection = "chez.grants"', "reads[0].collection", "lower-case"),
    'domain = "example.org"\n': ("", "provider.domain", "is missing"),
    "chez = 1": ("chez = 2", "chez", "2 is not possible here"),
    'note = "none"': ("note = nan", "parameters.note", "finite"),
    'name = "Mean power"': ('name = "Mean \\u001b[2J power"', "name", "not printable"),
    'plain = "Tells': ('plain = "\\u202eTells', "purpose.plain", "not printable"),
    '"Mean power"': ('"   "', "name", "nothing that can be seen"),
    'name = "Example Energy Advice"': ('name = "\\u3164 \\u2800"', "provider.name", "nothing that can be seen"),
    'contact = "privacy@example.org"': ('contact = "\\u0301\\ufe0f"', "provider.contact", "nothing that can be seen"),
    'relay = "ws://127.0.0.1:9"': ('relay = "http://127.0.0.1"', "provider.relay", "ws://"),
    'dpv = "dpv:': ('dpv = "', "purpose.dpv", "DPV term"),
    "retention_days = 30": ("retention_days = 30\nextra = 1", "extra", "is not a field"),
    'sealing_key = "': (f'sealing_key = "{"00" * 32}"\n# "', "provider.sealing_key", "X25519"),
    '"readings"\n': ('"sqlite_master"\n', "reads[0].collection", "sqlite_"),
    'until = "latest"': ('until = "latest", zone = "Paris"', "reads[0].window.zone", "Europe/Paris"),
    'value = "consumption" }': (
        'value = true, op = "<" }', "reads[0].where[0].value", "no order"),
    '{ field = "flow", value = "consumption" }': (
        '{ field = "flow", value = [1, "a"], op = "in" }', "reads[0].where[0].value", "mixes numbers and texts"),
    '"flow", value = "consumption"': (
        '"flow", op = ">", value = inf', "reads[0].where[0].value", "finite"),
    "[budget]": ("[budget", "", "not TOML"),
}


@pytest.mark.parametrize("good", MISTAKES)
def test_a_mistake_names_its_field_and_what_is_allowed(good: str) -> None:
    """Each mistake is a ManifestInvalid whose path is the field's and whose text helps."""
    bad, path, words = MISTAKES[good]
    text = manifest_text().decode()
    assert good in text
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text.replace(good, bad, 1).encode())
    assert caught.value.path == path
    assert words in str(caught.value)


def test_all_mistakes_are_told_at_once_with_their_places() -> None:
    """Every wrong field is named, in the order of the text, each with line, column and what was probably meant."""
    text = manifest_text().decode()
    for good, bad in (
        ("version = 1", 'version = "1"'),
        ("until =", "untill ="),
        ("maximum = 10000", "maximun = 10000"),
        ('"latest"', '"lattest"'),
        ("note =", "note = nan\nnext ="),
    ):
        text = text.replace(good, bad, 1)
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text.encode())
    lines = text.splitlines()
    found = {problem.path: problem for problem in caught.value.problems}
    assert list(found) == [
        "version", "reads[0].window.untill", "parameters.note", "result.watts.maximun"]  # fmt: skip
    for problem in found.values():
        # The key itself stands at the place that is told.
        assert lines[problem.line - 1][problem.column - 1 :].startswith(problem.path.rpartition(".")[2])
    assert 'did you mean "until"' in found["reads[0].window.untill"].hint
    assert 'did you mean "maximum"' in found["result.watts.maximun"].hint
    assert caught.value.path == "version" and "4 problems" in str(caught.value)


def test_a_rule_names_its_line_too() -> None:
    """What no schema can say, a budget below one run, is told at its line; faults of the TOML itself as well."""
    text = manifest_text(rest=RESULT.replace("bits = 1000", "bits = 9")).decode()
    for wrong, line in ((text, "bits = 9"), (text.replace("bits = 9", "bits = "), "bits = ")):
        with pytest.raises(ManifestInvalid) as caught:
            parse_manifest(wrong.encode())
        (problem,) = caught.value.problems
        assert wrong.splitlines()[problem.line - 1] == line and f"line {problem.line}" in str(caught.value)


WEEKS = READS.replace("last = 365", 'last = 4, grid = "week"')


@pytest.mark.parametrize(
    ("schedule", "reads", "runs", "path"),
    [
        ("once", READS, 1, None), ("once", READS, 2, "budget.runs"), ("manual", "", 2, "reads"),
        ("daily", READS, 2, None), ("daily", READS, 1, "budget.runs"), ("daily", WEEKS, 2, "schedule"),
        ("weekly", WEEKS, 2, None), ("on-new-data", WEEKS.replace('"week"', '"month"'), 2, None),
        ("weekly", WEEKS.replace('"week"', '"month"'), 2, "schedule"),
        ("monthly", WEEKS.replace('"week"', '"month"'), 2, None), ("monthly", READS, 1, "budget.runs"),
        ("on-new-data", READS.replace("latest", "run-date"), 2, "schedule"),
        ('on-new-data"\nnew_data = ["bills"]#', READS, 2, "new_data[0]"),
        ('daily"\nnew_data = ["readings"]#', READS, 2, "new_data"),
        ('manual"\ncatch_up = "all"#', READS, 2, "catch_up"), ("hourly", READS, 2, "schedule"),
    ],
)  # fmt: skip
def test_a_schedule_fits_its_windows_and_runs(schedule: str, reads: str, runs: int, path: str | None) -> None:
    """A job that would run more often than what it reads can change, or more often than it may, is refused."""
    rest = RESULT.replace("runs = 100", f"runs = {runs}")
    text = manifest_text(reads=reads, rest=rest).decode()
    text = text.replace("retention_days = 30", f'retention_days = 30\nschedule = "{schedule}"')
    if path is None:
        assert parse_manifest(text.encode()).schedule == schedule
        return
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text.encode())
    assert caught.value.path == path


def test_a_schedule_is_told_to_be_started_by_the_device() -> None:
    """Whoever consents reads that a job starts by itself, when, and what waits; a manual one says nothing of it."""
    head = 'retention_days = 30\nschedule = "on-new-data"\ncatch_up = "all"\nnew_data = ["readings"]'
    repeated = manifest_text().decode().replace("retention_days = 30", head).encode()
    for text, itself in ((repeated, True), (manifest_text(), False)):
        shown = describe(build_bundle(text, MEAN, "python", SIGNING))
        words = "\n".join(plain_words(shown))
        assert shown["starts_by_itself"] is itself
        assert ("starts it by itself" in words and "nothing runs or leaves before you look" in words) is itself
        assert ("when readings has a new whole step" in words and "made up for, in order" in words) is itself


def test_who_consents_reads_where_a_result_is_sent() -> None:
    """A device dials the address that the provider chose: whoever consents reads it, and it steers no terminal."""
    text = manifest_text().decode()
    for language, said in (("en", "to the relay ws://127.0.0.1:9, which the provider chose"),
                           ("fr", "au relais ws://127.0.0.1:9, que le fournisseur a choisi")):
        shown = plain_words(describe(build_bundle(text.encode(), MEAN, "python", SIGNING), language), language)
        assert any(line.strip() == said for line in shown)
    for bent in ("ws://127.0.0.1:9/\\u001b[2J", "ws://\\u202e9.1.1.1", "ws://\\u0430.example", "ws://a b"):
        with pytest.raises(ManifestInvalid) as caught:
            parse_manifest(text.replace("ws://127.0.0.1:9", bent).encode())
        assert caught.value.path == "provider.relay"


def test_bytes_that_are_no_toml_are_refused() -> None:
    """Wrong encodings, huge files and endless nesting are typed errors."""
    for text in (b"\xff\xfe", b"a" * 70_000, b"a = " + b"[" * 5000, b"a = 1e999999999999999999999"):
        with pytest.raises(ManifestInvalid):
            parse_manifest(text)


PIECES = st.one_of(
    st.sampled_from([
        "", "\n", '"', "'", '"""', "[", "]", "[[", "{", "}", "=", ",", ".", "#", "1", "-1", "1.0", "1e400", "nan",
        "true", "2026-01-31", "07:32:00", "[reads]\n", "[[result]]\n", "[result.properties.x]\n", "result = 5\n",
        "\\", "9" * 30, "parameters = [1]\n", "\r\n", "\x00", "\u202e", "é",
    ]),
    st.text(max_size=4),
)  # fmt: skip


@settings(max_examples=tries(400), deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES), min_size=1, max_size=3))
def test_any_text_is_a_manifest_or_a_list_of_problems(changes: list[tuple[float, int, str]]) -> None:
    """Whatever is done to a manifest's text, it is read or refused with problems whose lines are in the text."""
    text = manifest_text().decode()
    for place, gone, piece in changes:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + gone :]
    try:
        parse_manifest(text.encode(errors="surrogatepass"))
    except ManifestInvalid as error:
        lines = text.replace("\r\n", "\n").split("\n")
        assert error.problems and all(0 <= problem.line <= len(lines) + 1 for problem in error.problems)
