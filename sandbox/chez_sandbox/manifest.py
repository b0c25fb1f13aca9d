"""What a job says about itself: `manifest.toml`, read into typed values.

    chez = 1                        # version of this format
    id = "tariff-advisor"           # with the provider's key: which job
    version = 1                     # only rises
    name = "Tariff advisor"
    schedule = "manual"             # or "once", "daily", "weekly", "monthly", "on-new-data"
    catch_up = "last"               # or "all": what becomes of turns that passed while nothing could run
    new_data = ["readings"]         # for "on-new-data": whose new rows it waits for
    retention_days = 30             # how long the provider keeps a result
    review = "show-me-first"        # or "within-the-grant": what it asks for; the person decides

    [purpose]                       # why: a DPV term, and plain words
    [provider]                      # who: name, contact, keys, inbox (`chez-job build` fills it in)
    [[reads]]                       # what: collection, fields, where, window, min_rows, spaces; any number
    [parameters]                    # handed to the job as they are; part of what is signed
    [result]                        # what can leave: a closed schema (release.schema)
    [[measurements]]                # values of the result that the device computes and noises; any number
    [limits]                        # fuel, memory_mib, seconds, output_bytes
    [budget]                        # runs, and bits over all of them; epsilon, where anything is noised

Unknown fields are refused, so that nothing a person was not shown is signed or read.
Errors are one `ManifestInvalid` that names every field that is wrong, its line, and what is
allowed there. docs/jobs.md has it field by field; `form.published` is its JSON Schema.
"""

import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chez_sandbox.form.measurements import measurement_problems
from chez_sandbox.form.places import Path, find, places
from chez_sandbox.form.published import msgspec_schema
from chez_sandbox.form.rules import parameter_problems, result_problems, rule_problems
from chez_sandbox.form.shape import path_text, shape_problems
from chez_sandbox.job_errors import ManifestInvalid, Problem
from chez_sandbox.privacy.statistics import Statistic
from chez_sandbox.release.schema import Schema

__all__ = (
    "MAX_MANIFEST",
    "Budget",
    "Filter",
    "Limits",
    "Manifest",
    "Measurement",
    "Predecessor",
    "Provider",
    "Purpose",
    "Read",
    "Window",
    "differing",
    "parse_manifest",
)

MAX_MANIFEST: Final = 64 * 1024
"""Bytes of a manifest: a person should be able to read it."""

MAX_NESTING: Final = 32
"""Levels of tables and lists in a manifest: more are read or not, as deep as who reads stands in the interpreter."""

Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="32 bytes as 64 hexadecimal digits")]
Line = Annotated[str, Meta(min_length=1, max_length=120, description="one line of at most 120 characters")]
Prose = Annotated[str, Meta(min_length=1, max_length=1000, description="at most 1000 characters")]
Slug = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z", description="lower-case letters, digits and '-'")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}\Z", description="lower-case letters, digits and '_'")]
FieldName = Annotated[
    str,
    Meta(
        pattern=r"^(_id|_space|[a-z][a-z0-9_]{0,62})\Z",
        description="lower-case letters, digits and '_', a letter first; or _id, _space",
    ),
]
Zone = Annotated[
    str,
    Meta(
        pattern=r"^(local|UTC|[A-Z][A-Za-z_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2})\Z",
        description="local, UTC, or a zone such as Europe/Paris",
    ),
]
Term = Annotated[
    str,
    Meta(pattern=r"^dpv:[A-Z][A-Za-z]{1,62}\Z", description="a DPV term such as dpv:ServicePersonalisation"),
]
Scalar = str | int | float | bool


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the manifest: closed, immutable."""


class Purpose(_Part, frozen=True, kw_only=True):
    """Why the job runs."""

    dpv: Term
    """W3C Data Privacy Vocabulary purpose, such as `dpv:ServicePersonalisation`."""
    plain: Prose
    """The same in words for the person."""
    lawful_basis: Literal[
        "dpv:Consent",
        "dpv:Contract",
        "dpv:LegalObligation",
        "dpv:LegitimateInterest",
        "dpv:PublicInterest",
        "dpv:VitalInterest",
    ] = "dpv:Consent"


MAX_FORMERLY: Final = 8
"""Former keys that a card may name: each costs whoever reads it a signature to check."""


class Predecessor(_Part, frozen=True, kw_only=True):
    """A key that the provider had before, and its word for the next one (`succession`)."""

    key: Key
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z", description="64 bytes as 128 hexadecimal digits")]


class Provider(_Part, frozen=True, kw_only=True):
    """Who gets the result, and how it travels. Grants bind every field of it."""

    name: Line
    contact: Line
    domain: Annotated[str, Meta(pattern=r"^[a-z0-9.-]{1,253}\Z", description="a domain such as example.org")]
    signing_key: Key
    """Ed25519, signs the bundle; it is the provider's identity."""
    sealing_key: Key
    """X25519, results are sealed to it."""
    relay: Annotated[
        str,
        Meta(pattern=r"^wss?://[!-.0-~]+(/[!-~]*)?\Z", description="ws://HOST:PORT or wss://HOST", max_length=256),
    ]
    inbox: Key
    """The relay's name of the inbox: the hash of its owner's key."""
    inbox_write_seed: Key
    """Whoever has the bundle may write here: the inbox's quota, not this seed, keeps order."""
    formerly: Annotated[list[Predecessor], Meta(max_length=MAX_FORMERLY)] = []
    """The keys that it had before, oldest first, each with its signature over the next one."""


class Filter(_Part, frozen=True, kw_only=True):
    """Only rows whose `field` compares so with `value` (a list for "in") are read.

    A row whose field holds a value of another type, or none, is not read, whatever `op` is:
    texts are compared with texts by code points, numbers with numbers.
    """

    field: FieldName
    op: Literal["=", "!=", "<", "<=", ">", ">=", "in"] = "="
    value: Scalar | Annotated[list[Scalar], Meta(min_length=1, max_length=100)]
    """One value, or for "in" a list of values of one type."""


class Window(_Part, frozen=True, kw_only=True):
    """Only whole days, weeks or months that are over are read, the last ones there are.

    Its ends lie on the grid, never at the instant of the run, so that what two runs read is
    either the same or differs by whole steps.
    """

    field: Name
    """Holds a day or a time as ISO 8601 text."""
    last: Annotated[int, Meta(ge=1, le=3660)]
    """How many days, weeks or months."""
    grid: Literal["day", "week", "month"] = "day"
    """What is counted; weeks begin on Monday (ISO 8601)."""
    until: Literal["run-date", "latest"] = "run-date"
    """"run-date" ends with the last step that was over before the day of the run; "latest" with the last one
    that the newest row before that day completes, for data that comes late."""
    zone: Zone = "local"
    """Where a day begins: "local" for a field with days or times of the wall's clock, else the zone whose
    midnights count, for a field with instants in UTC."""


class Read(_Part, frozen=True, kw_only=True):
    """One collection the job reads: only these fields, of only these rows."""

    collection: Name
    fields: Annotated[list[FieldName], Meta(min_length=1, max_length=64)]
    """Columns of the table that the job gets; `_id` is the record's id, `_space` the name of its space."""
    where: Annotated[list[Filter], Meta(max_length=16)] = []
    """All of them must hold."""
    window: Window | None = None
    """Without one all rows there are."""
    min_rows: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """With fewer rows the job does not run, and what leaves is the code "none"."""
    spaces: Literal["private", "all"] = "private"
    """"all" reads every space in which the person has a role, and so what others share with them; of collections that
    begin with `open_` also the open data that they follow. No other public space that they follow is read."""


class Measurement(_Part, frozen=True, kw_only=True):
    """One value of the result that the person's device computes from the granted rows, clamps and noises itself.

    The job's code neither computes nor sees it. What a row is promised stands in docs/privacy.md.
    """

    key: Name
    """Which value: a key of the result's outermost table."""
    statistic: Statistic
    """Of the rows that are read: how many; the sum, mean or a quantile of a field; how many are in each bin."""
    collection: Name
    """One of those that are read, by a window that ends with the run's date."""
    field: FieldName | None = None
    """Of which field; a count has none."""
    epsilon: Annotated[float, Meta(ge=0.001, le=10)]
    """How much one draw may tell of one row, in steps of 0.001: no answer is more than e^epsilon times likelier
    with the row than without."""
    lower: float | None = None
    """What is less counts as this; a multiple of the step."""
    upper: float | None = None
    """What is more counts as this; a multiple of the step."""
    step: Annotated[float, Meta(gt=0)] | None = None
    """The step to which each row's value is rounded."""
    at: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Which quantile: 0.5 is the median."""
    edges: Annotated[list[float], Meta(max_length=257)] = []
    """Of a histogram of numbers: where its bins begin, and where the last one ends."""
    categories: Annotated[list[Line], Meta(max_length=256)] = []
    """Of a histogram of texts: the text of each bin."""


class Limits(_Part, frozen=True, kw_only=True):
    """What a run may use; the run ends when one is met."""

    fuel: Annotated[int, Meta(ge=1_000_000, le=10**12)] = 20_000_000_000
    """WebAssembly instructions, about; a year of half-hours costs some 10^9."""
    memory_mib: Annotated[int, Meta(ge=32, le=1024)] = 128
    """Memory of the component; the Python runtime alone takes 16 MiB."""
    seconds: Annotated[float, Meta(gt=0, le=300)] = 20.0
    """Wall time of the code and its queries, once the rows are handed over."""
    output_bytes: Annotated[int, Meta(ge=16, le=1 << 20)] = 64 * 1024
    """JSON text of a result, before it is checked."""


class Budget(_Part, frozen=True, kw_only=True):
    """How much can leave under one grant, over all its runs."""

    runs: Annotated[int, Meta(ge=1, le=10_000)] = 1
    bits: Annotated[float, Meta(gt=0, le=1_000_000)]
    """Bits; at least what one run can carry."""
    epsilon: Annotated[float, Meta(gt=0, le=1000)] | None = None
    """Over all windows that are noised; at least one window's. Only with measurements."""


class Manifest(_Part, frozen=True, kw_only=True):
    """A job, as its provider describes and signs it."""

    chez: Literal[1]
    id: Slug
    version: Annotated[int, Meta(ge=1, le=2**31)]
    name: Line
    purpose: Purpose
    provider: Provider
    reads: Annotated[list[Read], Meta(min_length=1, max_length=16)]
    parameters: dict[str, Any] = {}
    result: dict[str, Any]
    measurements: Annotated[list[Measurement], Meta(max_length=16)] = []
    limits: Limits = Limits()
    budget: Budget
    schedule: Literal["manual", "once", "daily", "weekly", "monthly", "on-new-data"] = "manual"
    """When it runs: from "daily" on the device starts it by itself, while the home is open, as the grant says."""
    catch_up: Literal["last", "all"] = "last"
    """What becomes of turns that passed while nothing could run: the last one is run, or all, in their order."""
    new_data: Annotated[list[Name], Meta(max_length=16)] = []
    """For "on-new-data": in which collections a new step of the window must be complete; else in all that have one
    that ends with the newest row."""
    retention_days: Annotated[int, Meta(ge=0, le=3660)]
    review: Literal["show-me-first", "within-the-grant"] = "show-me-first"

    @property
    def schema(self) -> Schema:
        """The result's schema (checked when the manifest was read)."""
        return Schema.parse(self.result)

    @property
    def own_schema(self) -> Schema | None:
        """The schema of what the job itself hands out: without the noised values; None when nothing is left."""
        noised = {measurement.key for measurement in self.measurements}
        if not noised:
            return self.schema
        own = {key: value for key, value in self.result["properties"].items() if key not in noised}
        return Schema.parse({"type": "object", "properties": own}) if own else None

    @property
    def epsilon(self) -> float:
        """What one window costs at most, if each value is drawn anew; 0 when nothing is noised."""
        return sum(round(measurement.epsilon * 1000) for measurement in self.measurements) / 1000

    @property
    def parameters_json(self) -> bytes:
        """The parameters as the job gets them: canonical JSON, keys in order."""
        text = json.dumps(self.parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of which two JSON objects have other values, or one has none: a job can tell 1 from 1.0 and true."""
    def as_json(values: Mapping[str, Any], name: str) -> str:
        return json.dumps(values[name], sort_keys=True) if name in values else ""

    return [name for name in dict.fromkeys([*before, *after]) if as_json(before, name) != as_json(after, name)]


def parse_manifest(text: bytes) -> Manifest:
    """Read and check a manifest. Raises `ManifestInvalid` naming every field that is wrong, and its line."""
    # Each caller's own: whoever changes a parameter of one must not change what was signed for the next.
    return deepcopy(_parsed(text))


@functools.lru_cache(maxsize=64)
def _parsed(text: bytes) -> Manifest:
    """The last texts are remembered: a home reads the bundle of each grant whenever it asks which of them are due."""
    if len(text) > MAX_MANIFEST:
        raise ManifestInvalid(Problem("", f"has {len(text)} bytes", f"at most {MAX_MANIFEST} are read"))
    try:
        tables = tomllib.loads(text.decode(), parse_float=Decimal)
    except UnicodeDecodeError:
        raise ManifestInvalid(Problem("", "is not UTF-8 text")) from None
    except (tomllib.TOMLDecodeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ManifestInvalid(_no_toml(str(error))) from None
    try:
        return _read(tables)
    except ManifestInvalid as error:
        raise ManifestInvalid(*_placed(error.problems, text.decode())) from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ManifestInvalid(Problem("", str(error))) from None


def _read(tables: dict[str, Any]) -> Manifest:
    wrong: list[Problem] = []
    # Exact decimals matter in the schema only; elsewhere a float is what JSON would say.
    plain = {key: _plain(value, (key,), wrong, exact=key == "result") for key, value in tables.items()}
    if not wrong:
        whole, parts = _shapes()
        wrong += shape_problems(plain, whole, parts)
        wrong += result_problems(plain.get("result"))
        wrong += parameter_problems(plain.get("parameters", {}))
    if not wrong:
        manifest = msgspec.convert(plain, Manifest)
        wrong += rule_problems(manifest)
        wrong += measurement_problems(manifest)
    if wrong:
        raise ManifestInvalid(*wrong)
    return manifest


@functools.cache
def _shapes() -> tuple[dict[str, Any], dict[str, Any]]:
    return msgspec_schema(Manifest)


def _plain(value: object, path: Path, wrong: list[Problem], exact: bool) -> object:
    if len(path) > MAX_NESTING and isinstance(value, dict | list):
        wrong.append(Problem(path_text(path[:3]), f"is nested deeper than {MAX_NESTING} levels", where=path[:3]))
        return None
    if isinstance(value, dict):
        return {key: _plain(item, (*path, key), wrong, exact) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, (*path, number), wrong, exact) for number, item in enumerate(value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # TOML asks for this; and Python refuses to write much longer ones as text.
        wrong.append(Problem(path_text(path), "is a whole number of more than 64 bits", where=path))
    return float(value) if isinstance(value, Decimal) and not exact else value


_TOML_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


def _no_toml(said: str) -> Problem:
    found = _TOML_PLACE.search(said)
    line, column = (int(found[1]), int(found[2])) if found else (0, 0)
    return Problem("", f"is not TOML: {_TOML_PLACE.sub('', said)}", "see toml.io", line, column)


def _placed(problems: Iterable[Problem], text: str) -> list[Problem]:
    """The problems with their lines, in the order of the text."""
    known = places(text)
    placed = []
    for problem in problems:
        at = find(known, problem.where or _result_path(problem.path, known))
        placed.append(msgspec.structs.replace(problem, line=at.line, column=at.column) if at else problem)
    return sorted(placed, key=lambda problem: (problem.line or 1 << 32, problem.column))


def _result_path(path: str, known: Iterable[Path]) -> Path:
    """The keys of a place in the result's schema, whose names leave the "properties" between them out."""
    found: Path = ()
    paths = set(known)
    for part in re.split(r"[.]", path):
        inside = (*found, "properties", part)
        found = inside if inside in paths else (*found, part)
    return found
