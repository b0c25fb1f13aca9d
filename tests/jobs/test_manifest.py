"""A manifest says everything a person must know, and nothing else."""

import pytest

from chez_sandbox.job_errors import ManifestInvalid
from chez_sandbox.manifest import parse_manifest
from tests.jobs.samples import manifest_text


def test_a_valid_manifest_is_read_whole() -> None:
    """Every table arrives as a typed value, and the parameters as canonical JSON."""
    manifest = parse_manifest(manifest_text())
    assert (manifest.id, manifest.version) == ("mean-power", 1)
    assert manifest.reads[0].window is not None and manifest.reads[0].window.days == 365
    assert manifest.parameters_json == b'{"note":"none"}'
    assert manifest.schema.count == 1001
    assert manifest.review == "show-me-first"


MISTAKES = {
    "days = 365": ("days = 0", "reads[0].window.days", ">= 1"),
    "until = ": ("untill = ", "reads[0].window.untill", "field, days, until"),
    "version = 1": ('version = "1"', "version", "expected int"),
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
    "chez = 1": ("chez = 2", "chez", "allowed: 1"),
    'note = "none"': ("note = nan", "parameters.note", "finite"),
    'name = "Mean power"': ('name = "Mean \\u001b[2J power"', "name", "not printable"),
    'plain = "Tells': ('plain = "\\u202eTells', "purpose.plain", "not printable"),
    'relay = "ws://127.0.0.1:9"': ('relay = "http://127.0.0.1"', "provider.relay", "ws://"),
    'dpv = "dpv:': ('dpv = "', "purpose.dpv", "DPV term"),
    "retention_days = 30": ("retention_days = 30\nextra = 1", "extra", "is not a field"),
    'sealing_key = "': (f'sealing_key = "{"00" * 32}"\n# "', "provider.sealing_key", "X25519"),
    '"readings"\n': ('"sqlite_master"\n', "reads[0].collection", "sqlite_"),
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


def test_bytes_that_are_no_toml_are_refused() -> None:
    """Wrong encodings, huge files and endless nesting are typed errors."""
    for text in (b"\xff\xfe", b"a" * 70_000, b"a = " + b"[" * 5000, b"a = 1e999999999999999999999"):
        with pytest.raises(ManifestInvalid):
            parse_manifest(text)
