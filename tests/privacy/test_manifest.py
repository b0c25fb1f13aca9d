"""What a manifest may declare of values that are noised, and how its mistakes are told."""

import pytest

from chez_sandbox.form.published import published_schema
from chez_sandbox.job_errors import ManifestInvalid
from chez_sandbox.manifest import Manifest, parse_manifest
from tests.jobs.samples import manifest_text
from tests.privacy.samples import COUNT, noised_manifest, rest


def test_a_manifest_declares_what_the_device_noises() -> None:
    """All five statistics are typed values; the job's own part of the result is what they leave."""
    manifest = parse_manifest(noised_manifest())
    assert [one.statistic for one in manifest.measurements] == ["count", "sum", "mean", "quantile", "histogram"]
    assert manifest.epsilon == 2.5 and manifest.budget.epsilon == 5 and manifest.own_schema is None
    mixed = parse_manifest(noised_manifest(rest=rest(COUNT, own='ok = { type = "boolean" }')))
    assert mixed.own_schema is not None and mixed.own_schema.count == 2 and mixed.schema.count == 2002
    plain = parse_manifest(manifest_text())
    assert plain.own_schema == plain.schema and plain.epsilon == 0


def test_noise_never_lowers_the_bound_in_bits() -> None:
    """The bits of a run are counted by the schema alone, whatever is noised in it."""
    noised = parse_manifest(noised_manifest(rest=rest(COUNT)))
    clear = parse_manifest(manifest_text(rest=rest("").replace("epsilon = 5.0", "").replace(
        "[result.properties]\n", '[result.properties]\nrows = { type = "integer", minimum = 0, maximum = 1000 }\n')))
    assert noised.schema.bits == clear.schema.bits


MISTAKES = {
    'until = "run-date"': ('until = "latest"', "reads[0].window", "run's date alone"),
    '"watts", "rate"]\n': ('"watts", "rate"]\nmin_rows = 3\n', "reads[0].min_rows", "without any noise"),
    'key = "rows"': ('key = "lines"', "measurements[0].key", "no key of the result"),
    'key = "mean"': ('key = "sum"', "measurements[2].key", "measured twice"),
    'statistic = "count"': ('statistic = "avarage"', "measurements[0].statistic", "count, histogram"),
    'statistic = "count"\ncollection = "readings"': (
        'statistic = "count"\ncollection = "bills"', "measurements[0].collection", "read are: readings"),
    'statistic = "count"\ncollection = "readings"\n': (
        'statistic = "count"\ncollection = "readings"\nfield = "watts"\n', "measurements[0].field", "means nothing"),
    'field = "rate"\n': ('field = "tariff"\n', "measurements[4].field", "local, watts, rate"),
    "at = 0.5\n": ("", "measurements[3].at", "a quantile needs it"),
    "epsilon = 0.5\nlower = 0\n": ("epsilon = 0.5\nlower = inf\n", "measurements[1].lower", "finite"),
    "upper = 1000": ("upper = 1005", "measurements[1].upper", "multiple of the step"),
    "lower = 0": ("lower = 1000", "measurements[1].lower", "below upper"),
    "step = 10\n\n": ("step = 1e-9\n\n", "measurements[1].upper", "steps from 0"),
    "at = 0.5\ncollection = \"readings\"\nfield = \"watts\"\nepsilon = 0.5\nlower = 0\nupper = 1000\nstep = 10": (
        'at = 0.5\ncollection = "readings"\nfield = "watts"\nepsilon = 0.5\nlower = 0\nupper = 1000\nstep = 0.01',
        "measurements[3].step", "too fine"),
    'categories = ["low", "high"]': ('categories = ["low", "low"]', "measurements[4].categories", "each once"),
    'categories = ["low", "high"]\n': ("edges = [0, 5, 5]\n", "measurements[4].edges", "rise"),
    ', "high"]': ("]", "measurements[4].categories", "at least two"),
    'categories = ["low", "high"]\nepsilon': ("edges = [0, 5]\nepsilon", "measurements[4].edges", "at least three"),
    'categories = ["low"': ('edges = [0, 1, 2]\ncategories = ["low"', "measurements[4]", "one of both"),
    "maxItems = 2": ("maxItems = 3", "result.properties.rates", "exactly 2 numbers"),
    'rows = { type = "integer"': ('rows = { type = ["integer", "null"]', "result.properties.rows", "no null"),
    "epsilon = 0.5\n\n": ("epsilon = 0\n\n", "measurements[0].epsilon", "at least 0.001"),
    'high"]\nepsilon = 0.5': ('high"]\nepsilon = 0.0015', "measurements[4].epsilon", "in thousandths"),
    "epsilon = 5.0": ("epsilon = 2.0", "budget.epsilon", "one window costs 2.5"),
    "\nepsilon = 5.0": ("", "budget.epsilon", "is missing"),
    "[[reads]]\n": ('[[reads]]\nspaces = "all"\n', "reads[0].spaces", 'must be "private"'),
}  # fmt: skip


@pytest.mark.parametrize("good", MISTAKES)
def test_a_mistake_in_a_measurement_names_its_place(good: str) -> None:
    """Each mistake is told with its path, its line, and what to do, whatever else is wrong."""
    bad, path, words = MISTAKES[good]
    text = noised_manifest().decode()
    assert good in text
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text.replace(good, bad, 1).encode())
    (problem,) = [one for one in caught.value.problems if one.path == path]
    assert words in str(problem) and problem.line > 0


def test_all_mistakes_of_measurements_are_told_at_once() -> None:
    """Wrong measurements and a wrong window are named together, in the order of the text."""
    text = noised_manifest().decode().replace('"run-date"', '"latest"').replace("upper = 1000", "upper = 1005")
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text.encode())
    paths = [problem.path for problem in caught.value.problems]
    assert {"reads[0].window", *(f"measurements[{number}].upper" for number in (1, 2, 3))} == set(paths)
    assert [problem.line for problem in caught.value.problems] == sorted(one.line for one in caught.value.problems)


def test_epsilon_without_noise_is_refused() -> None:
    """A budget of epsilon is for values that are noised; else it would promise what nothing keeps."""
    text = manifest_text().decode().replace("runs = 100", "runs = 100\nepsilon = 1.0")
    with pytest.raises(ManifestInvalid, match="no value is noised"):
        parse_manifest(text.encode())


def test_editors_know_measurements() -> None:
    """The published schema has the measurements, each field with words."""
    fields = published_schema(Manifest)["$defs"]["Measurement"]["properties"]
    assert len(fields) == 11 and all(field.get("description") for field in fields.values())
