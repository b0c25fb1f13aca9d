"""`chez-job check`, and sample data made from a manifest."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent.dpv import PURPOSES
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.manifest import Manifest, parse_manifest
from chez_sandbox.provider.generate import ROWS, generate
from chez_sandbox.provider.judging import check_facts, check_words, findings, overlaps
from chez_sandbox.provider.keys import save_keys
from chez_sandbox.provider.native import run_native
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.provider.versions import version_changes, version_findings
from chez_sandbox.runtime.host import Table
from tests.jobs.messages import KEYS
from tests.jobs.samples import MEAN, READS, RESULT, SIGNING, manifest_text
from tests.jobs.test_flow import chez_job, within
from tests.tries import tries

DAY = date(2026, 11, 26)


def manifest(reads: str = READS, rest: str = RESULT) -> Manifest:
    """A checked manifest."""
    return parse_manifest(manifest_text(reads=reads, rest=rest))


def result(kind: str, runs: int = 1) -> str:
    """A result of one field, with the bits that a run takes."""
    return f"[result]\ntype = \"object\"\n[result.properties]\n{kind}\n[budget]\nruns = {runs}\nbits = 400\n"


WIDE = '{ type = "integer", minimum = 0, maximum = 99999999999999 }'
CARRIERS = {
    f"best = {WIDE}": ("refused", "result.best"),
    f"prm = {WIDE}": ("refused", "result.prm"),
    'meter_id = { type = ["integer", "null"], minimum = 0, maximum = 99999 }': ("refused", "result.meter_id"),
    'list = { type = "array", maxItems = 1, items = { type = "object", properties = { iban = { type = "integer", '
    "minimum = 0, maximum = 9999 } } } }": ("refused", "result.list[].iban"),
    'digits = { type = "array", maxItems = 14, items = { type = "integer", minimum = 0, maximum = 9 } }':
        ("warning", "result.digits"),
    'name = { enum = ["base", "tempo"] }': None,
    "valid = { type = \"boolean\" }": None,
    'paid = { type = "integer", minimum = 0, maximum = 99999 }': None,
}  # fmt: skip


def test_a_purpose_that_the_vocabulary_does_not_have_is_warned_of() -> None:
    """A term of the right form that is no purpose of the DPV is warned of; each example has one that is."""
    made_up = manifest_text(reads=READS, rest=RESULT).replace(b"dpv:ServicePersonalisation", b"dpv:HomeEnergyAdvice")
    assert [one.path for one in findings(parse_manifest(made_up), None) if "Vocabulary" in one.words] == ["purpose.dpv"]
    examples = Path(__file__).parents[2] / "examples" / "jobs"
    named = {re.search(r'dpv = "dpv:(\w+)"', path.read_text())[1] for path in examples.glob("*/manifest.toml")}  # type: ignore[index]
    assert named and named | {"ServicePersonalisation"} <= PURPOSES


@pytest.mark.parametrize("field", CARRIERS)
def test_result_fields_that_can_carry_an_identifier_are_found(field: str) -> None:
    """A number as fine as an account's, a name that promises one, a list that spells it: each at its field."""
    found = [one for one in findings(manifest(rest=result(field)), None) if one.path.startswith("result.")]
    assert [(one.level, one.path) for one in found] == ([] if CARRIERS[field] is None else [CARRIERS[field]])


@pytest.fixture
def provider_key(tmp_path: Path) -> Path:
    """A provider's key file, whose inbox no test needs."""
    save_keys(tmp_path / "provider.key", KEYS)
    return tmp_path / "provider.key"


FEW = RESULT.replace("runs = 100", "runs = 10")


def version(number: int, code: bytes = MEAN, **parts: Any) -> Bundle:
    """A signed version of the sample job."""
    parts = {"rest": FEW} | parts
    return build_bundle(manifest_text(version=number, **parts), code, "python", SIGNING)


VERSIONS: dict[str, tuple[Bundle, list[tuple[str, str]]]] = {
    "the same bundle": (version(2), []),
    "other code": (version(3, MEAN + b"#"), []),
    "other code, same number": (version(2, MEAN + b"#"), [("refused", "version")]),
    "an older one": (version(1), [("refused", "version")]),
    "another job": (version(3, job="another"), [("refused", "id")]),
    "fewer days": (version(3, reads=READS.replace("365", "364")), [("warning", "reads[0]")]),
    "other rows": (version(3, reads=READS.replace("consumption", "production")), [("warning", "reads[0]")]),
    "more fields": (version(3, reads=READS.replace('["local"', '["meter", "local"')), []),
    "another parameter": (version(3, rest=FEW.replace('"none"', '"some"')), [("warning", "parameters")]),
    "a parameter of another kind": (version(3, rest=FEW.replace('"none"', "true")), [("warning", "parameters")]),
    "more runs": (version(3, rest=RESULT), [("warning", "budget.bits")]),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_is_held_against_an_older_one(name: str) -> None:
    """What devices refuse, and what two versions' results tell when compared, is found at its place."""
    before, (after, found) = version(2), VERSIONS[name]
    assert [(level, path) for level, path, _ in version_findings(before, after)] == found
    facts = check_facts(after, None, True, before)
    assert facts["against"] == 2 and bool(facts["changes"]) == (name != "the same bundle")
    assert facts["ok"] == (("refused" in dict(found)) is False)
    assert ("           nothing" in check_words(facts)) == (name == "the same bundle")


def test_a_folder_that_gives_true_for_1_is_another_version() -> None:
    """Also where the provider is the same, which a folder does not name: a job tells them apart."""
    one, true = (version(2, rest=FEW.replace('"none"', value)) for value in ("1", "true"))
    assert version_changes(one, one, signed=False) == []
    assert version_changes(one, true, signed=False) == ["its parameters changed: note = true (before: note = 1)"]


@pytest.mark.slow
def test_a_folder_is_held_against_what_was_built_of_it(tmp_path: Path, provider_key: Path) -> None:
    """`check --against` takes a folder for the same provider's: unchanged it is the same, changed it needs a number."""
    chez_job(tmp_path, "new", "job")
    chez_job(tmp_path, "build", "job", "--key", provider_key, "--out", "job.chez", "--sign")
    arguments = ("check", "job", "--no-run", "--against", "job.chez", "--json")
    facts = json.loads(chez_job(tmp_path, *arguments))
    assert facts["ok"] and facts["changes"] == []
    manifest = tmp_path / "job" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("last = 30", "last = 31"))
    arguments = ("check", "job", "--no-run", "--against", "job.chez")
    done = within(tmp_path, *arguments, cache=tmp_path / "cache")
    assert done.returncode == 1 and "raise it" in done.stdout and "the window changed" in done.stdout


OVERLAPS = {
    ('last = 30', "manual", 12): ("overlap", "share 29 of 30 days"),
    ('last = 30', "manual", 1): ("none", "one run"),
    ('last = 1', "daily", 12): ("none", "no two windows share"),
    ('last = 7', "weekly", 12): ("none", "no two windows share"),
    ('last = 28', "weekly", 12): ("overlap", "tells of 7 days alone, for each of 12 runs but one"),
    ('last = 4, grid = "week"', "weekly", 12): ("overlap", "tells of 1 week alone"),
    ('last = 2, grid = "month"', "on-new-data", 2): ("overlap", "share 1 of 2 months"),
}  # fmt: skip


@pytest.mark.parametrize(("window", "schedule", "runs"), OVERLAPS)
def test_windows_that_overlap_are_told(window: str, schedule: str, runs: int) -> None:
    """How much neighbouring windows share follows from window, grid and schedule."""
    text = manifest_text(reads=READS.replace("last = 365", window), rest=RESULT.replace("100", str(runs))).decode()
    text = text.replace("retention_days", f'schedule = "{schedule}"\nretention_days', 1)
    (overlap,) = overlaps(parse_manifest(text.encode()))
    risk, words = OVERLAPS[window, schedule, runs]
    assert overlap.risk == risk and words in overlap.words


def test_reading_everything_is_told() -> None:
    """Without a window two runs differ by exactly what came between them."""
    (overlap,) = overlaps(manifest('[[reads]]\ncollection = "readings"\nfields = ["watts"]\n'))
    assert overlap.risk == "open"


def test_budgets_are_weighed() -> None:
    """A budget below its runs, and one above what a device lets any provider have, are told."""
    few = findings(manifest(rest=RESULT.replace("bits = 1000", "bits = 30")), None)
    assert "suffices for 3 of 100 runs" in next(one.words for one in few if one.path == "budget.bits")
    rich = RESULT.replace("bits = 1000", "bits = 5000").replace("runs = 100", "runs = 900")
    many = findings(manifest(rest=rich), None)
    assert any("more than the 1000 bits" in one.words for one in many)


LOOKS = {
    "[row['watts'] for row in data.rows('readings')]": {"watts"},
    "[row.get('local') for row in data.rows('readings')]": {"local"},
    "[dict(row) for row in data.rows('readings')]": {"watts", "local"},
    "[{**row} for row in data.rows('readings')]": {"watts", "local"},
    "[list(row.values()) for row in data.rows('readings')]": {"watts", "local"},
    "__import__('json').dumps(list(data.rows('readings')))": {"watts", "local"},
    "[row for row in data.rows('readings') if 'watts' in row]": set(),
    "len(list(data.rows('readings')))": set(),
    "data.query('select sum(watts) as s from readings')": {"watts"},
    "data.query('select count(*) as s from readings')": set(),
    "data.query('select * from readings')": {"watts", "local"},
    "data.query('select 1 as x from readings where local > ?', 'a')": {"local"},
}


async def test_what_a_job_looks_at_is_seen() -> None:
    """By batches and by SQL, the columns whose values a job asked for, and no others, count as read."""
    # One process for all: each expression has a table of its own.
    lines = [f"    x = {expression.replace('readings', f't{n}')}\n" for n, expression in enumerate(LOOKS)]
    tables = [Table(f"t{n}", ("local", "watts"), [("a", 1), ("b", 2)]) for n in range(len(LOOKS))]
    source = f"def run(data, params):\n{''.join(lines)}    return 1\n"
    done = await run_native(source, b"{}", tables, bytes(32), DAY.isoformat(), watched=True)
    assert done.value == b"1", done.trace
    for n, (expression, columns) in enumerate(LOOKS.items()):
        assert {column for table, column in done.used if column and table == f"t{n}"} == columns, expression


async def test_watching_changes_no_result() -> None:
    """A watched job gives what it gives unwatched, which tells nothing of what was read."""
    take = "rows = list(data.rows('readings'))"
    source = f"def run(data, params):\n    {take}\n    return [rows, rows[0] == dict(rows[0])]\n"
    tables = [Table("readings", ("local", "watts"), [("a", 1), ("b", None)])]
    watched, plain = [
        await run_native(source, b"{}", tables, bytes(32), DAY.isoformat(), watched=flag) for flag in (True, False)]
    assert watched.value == plain.value and watched.used and not plain.used


KNOWN = {
    "readings": '"local", "watts", "flow", "start"',
    "transactions": '"posted", "amount", "currency", "name"',
    "tariff_days": '"date", "colour", "scheme"',
    "accounts": '"balance", "kind"',
    "sleep": '"at", "minutes", "deep", "room"',
}
ROOMS = 'where = [{ field = "room", op = "!=", value = "hall" }, { field = "deep", value = true }]\n'
SCOPES = [
    ("readings", 'where = [{ field = "flow", value = "consumption" }]\nwindow = { field = "local", last = 30 }'),
    ("readings", 'window = { field = "start", last = 2, grid = "month", zone = "Europe/Paris" }\nmin_rows = 700'),
    ("transactions", 'where = [{ field = "amount", op = "<", value = 0 }]\nwindow = { field = "posted", last = 90 }'),
    ("tariff_days", 'where = [{ field = "colour", value = ["red", "white"], op = "in" }]'),
    ("accounts", ""),
    ("sleep", ROOMS + 'window = { field = "at", last = 8, grid = "week", until = "latest" }'),
]  # fmt: skip


@settings(max_examples=tries(30), deadline=None)
@given(st.sampled_from(SCOPES), st.integers(0, 2**32), st.dates(date(2000, 1, 1), date(2060, 1, 1)))
def test_made_samples_are_seeded_and_fit_the_scope(scope: tuple[str, str], seed: int, today: date) -> None:
    """Made rows are the same for a seed, enough for `min_rows`, and of them some pass the scope and some do not."""
    collection, rest = scope
    asked = manifest(f'[[reads]]\ncollection = "{collection}"\nfields = [{KNOWN[collection]}]\n{rest}\n')
    made = generate(asked, today, seed)
    assert made == generate(asked, today, seed) != generate(asked, today, seed + 1)
    assert set(made) == {collection} and len(made[collection]) >= max(ROWS, 2 * asked.reads[0].min_rows)
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("number", range(6))
async def test_a_job_finds_made_samples(number: int, tmp_path: Path) -> None:
    """Of the rows made for a scope most are handed over, and where it filters or cuts, not all."""
    collection, rest = SCOPES[number]
    asked = manifest(f'[[reads]]\ncollection = "{collection}"\nfields = [{KNOWN[collection]}]\n{rest}\n')
    made = generate(asked, DAY, 7)[collection]
    (tmp_path / f"{collection}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    with open_samples(tmp_path) as home:
        (table,) = await granted_tables(home, asked, DAY)
    assert len(made) * 0.5 < len(table.rows) <= len(made) and len(table.rows) >= asked.reads[0].min_rows
    assert (len(table.rows) < len(made)) is bool(rest)
    assert not any(None in row for row in table.rows)


def facts(folder: Path, *arguments: str, cache: Path, code: int = 0) -> dict[str, Any]:
    """What `chez-job check --json` says."""
    done = within(folder, "check", "--json", *arguments, cache=cache)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_check_judges_a_folder(tmp_path: Path, provider_cache: Path) -> None:
    """Fuel, padded size, bits, overlap and the consent screen of a good job; CI hears of a bad one by the exit code."""
    chez_job(tmp_path, "new", "evening")
    good = facts(tmp_path, "evening", cache=provider_cache)
    assert good["ok"] and good["unread"] == {} and good["result"] == '{"watts":1100}'
    assert 0 < good["fuel"] < good["fuel_limit"] and good["message_bytes"] == 368
    assert good["bits_in_all"] == pytest.approx(12 * good["bits"])
    assert good["differencing"][0]["risk"] == "overlap" and "at most 8.65 bits a run" in "\n".join(good["preview"])
    assert facts(tmp_path, "evening", "--strict", "--no-run", cache=provider_cache, code=1)["findings"]
    still = facts(tmp_path, "evening", "--no-run", cache=provider_cache)
    assert still["fuel"] is None and still["unread"] is None

    path = tmp_path / "evening" / "manifest.toml"
    path.write_text(path.read_text().replace('"local", "watts"]', '"local", "watts", "meter"]')
                    .replace("maximum = 20000", "maximum = 500000000000"))  # fmt: skip
    bad = facts(tmp_path, "evening", cache=provider_cache, code=1)
    assert bad["unread"] == {"readings": ["meter"]}
    first, *others = [(one["level"], one["path"]) for one in bad["findings"]]
    assert first == ("refused", "result.watts") and ("warning", "reads[0].fields") in others


def test_check_tells_programs_where_a_manifest_is_wrong(tmp_path: Path) -> None:
    """With --json the problems of a manifest are data, with line and column, and the exit code is 1."""
    chez_job(tmp_path, "new", "evening")
    path = tmp_path / "evening" / "manifest.toml"
    path.write_text(path.read_text().replace("runs = 12", "runs = 0"))
    found = facts(tmp_path, "evening", cache=tmp_path, code=1)
    (problem,) = found["problems"]
    assert not found["ok"] and (problem["path"], problem["column"]) == ("budget.runs", 1)
    assert path.read_text().splitlines()[problem["line"] - 1] == "runs = 0"


@pytest.mark.slow
def test_test_generate_tries_a_job_without_data(tmp_path: Path, provider_cache: Path) -> None:
    """`test --generate` makes what is missing, once, and the job gives a result on it; files that are there stay."""
    chez_job(tmp_path, "new", "evening")
    sample = tmp_path / "evening" / "sample" / "readings.jsonl"
    mine = sample.read_text()
    options = ("--generate", "--seed", "3", "--date", "2026-11-26", "--json")
    kept = json.loads(chez_job(tmp_path, "test", "evening", *options, cache=provider_cache))
    assert sample.read_text() == mine and kept["result"] == '{"watts":1100}'
    sample.unlink()
    made = json.loads(chez_job(tmp_path, "test", "evening", *options, cache=provider_cache))
    assert made["passed"] and made["rows"]["readings"] > 300
    assert len(sample.read_text().splitlines()) == ROWS


def test_a_folder_of_samples_that_is_not_there_lets_no_job_pass(tmp_path: Path) -> None:
    """`check --sample` with a name that was mistyped is told so, as by `test`; what was not tried is said to be that,
    and not to have no samples."""
    chez_job(tmp_path, "new", "job")
    assert "no folder samples" in chez_job(tmp_path, "check", "job", "--sample", "samples", code=1)
    assert "no folder samples" in chez_job(tmp_path, "check", "job", "--sample", "samples", "--json", code=1)
    words = chez_job(tmp_path, "check", "job", "--no-run", "--sample", "job/sample")
    assert "not tried on sample data" in words and "there is no sample data" not in words


def test_a_bundle_is_judged_without_running() -> None:
    """Of a bundle alone all is known but what a run would show."""
    found = check_facts(build_bundle(manifest_text(), MEAN, "python", SIGNING), None, True)
    assert found["ok"] and found["signed"] and found["fuel"] is None and found["unread"] is None
    assert found["consent"]["leaves"]["bits"] == 9.97
