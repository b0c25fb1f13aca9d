"""What a manifest must be beyond its shape: no JSON Schema can say it.

Each function gives all the problems it finds and raises nothing.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from chez.crypto import CryptoFailed, seal_to
from chez_sandbox.form.places import Path
from chez_sandbox.form.shape import path_text
from chez_sandbox.job_errors import Problem, SchemaInvalid
from chez_sandbox.release.schema import Schema

if TYPE_CHECKING:
    from chez_sandbox.manifest import Filter, Manifest, Read

__all__ = ("REPEATED", "UNSEEN", "parameter_problems", "result_problems", "rule_problems")

REPEATED: Final[Mapping[str, tuple[str, ...]]] = {
    "daily": ("day",),
    "weekly": ("day", "week"),
    "monthly": ("day", "week", "month"),
    "on-new-data": ("day", "week", "month"),
}
"""The schedules by which a job runs more than once, and the grids whose windows move on between two runs."""

UNSEEN: Final = re.compile(
    "[\\s\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
"""What a screen shows nothing of, and what parts words (Unicode's Default_Ignorable_Code_Point, and blanks)."""

_ORDERED: Final = frozenset({"<", "<=", ">", ">="})


def rule_problems(manifest: "Manifest") -> list[Problem]:
    """What is wrong with a manifest whose shape, result and parameters are right."""
    return [
        *_shown(manifest),
        *_key(manifest),
        *(problem for number, read in enumerate(manifest.reads) for problem in _read(manifest, number, read)),
        *_budget(manifest),
        *_schedule(manifest),
    ]


def result_problems(result: object) -> list[Problem]:
    """Why a result schema is not closed, or can't be counted."""
    if not isinstance(result, Mapping):
        return []  # its shape says so
    try:
        Schema.parse(result)
    except SchemaInvalid as error:
        return [Problem(one.path, one.problem, one.hint) for one in (error, *error.others)]
    return []


def parameter_problems(value: object, path: Path = ("parameters",)) -> list[Problem]:
    """Where the parameters hold what JSON can't."""
    if isinstance(value, Mapping):
        return [problem for key, item in value.items() for problem in parameter_problems(item, (*path, key))]
    if isinstance(value, list):
        return [found for number, item in enumerate(value) for found in parameter_problems(item, (*path, number))]
    if isinstance(value, float) and not math.isfinite(value):
        return [_at(path, "must be a finite number")]
    if not isinstance(value, str | bool | int | float):
        return [_at(path, f"can't be a {type(value).__name__}", "write dates and times as text")]
    return []


def _at(path: Path, problem: str, hint: str = "") -> Problem:
    return Problem(path_text(path), problem, hint, where=path)


def _shown(manifest: "Manifest") -> Iterator[Problem]:
    shown: dict[Path, str] = {
        ("name",): manifest.name,
        ("purpose", "plain"): manifest.purpose.plain,
        ("provider", "name"): manifest.provider.name,
        ("provider", "contact"): manifest.provider.contact,
    }
    for path, text in shown.items():
        # A terminal acts on control characters and on marks that turn text around.
        if not text.replace("\n", "").isprintable() or ("\n" in text and path != ("purpose", "plain")):
            yield _at(path, "has characters that are not printable")
        elif not any(unicodedata.category(char)[0] in "LNPS" for char in UNSEEN.sub("", text)):
            yield _at(path, "has nothing that can be seen")


def _key(manifest: "Manifest") -> Iterator[Problem]:
    try:
        seal_to(bytes.fromhex(manifest.provider.sealing_key), b"")
    except CryptoFailed:
        yield _at(("provider", "sealing_key"), "is not an X25519 public key")


def _read(manifest: "Manifest", number: int, read: "Read") -> Iterator[Problem]:
    path: Path = ("reads", number)
    if read.collection in [one.collection for one in manifest.reads[:number]]:
        yield _at((*path, "collection"), f"{read.collection!r} is named twice", "one table for each")
    if read.collection.startswith("sqlite_"):
        yield _at((*path, "collection"), "must not begin with sqlite_", "SQLite keeps these names")
    if len(set(read.fields)) != len(read.fields):
        yield _at((*path, "fields"), "names a field twice")
    for place, row_filter in enumerate(read.where):
        yield from _filter(row_filter, (*path, "where", place, "value"))


def _filter(row_filter: "Filter", path: Path) -> Iterator[Problem]:
    value, op = row_filter.value, row_filter.op
    if isinstance(value, list) != (op == "in"):
        yield _at(path, 'must be a list for "in", and only then')
        return
    values: list[Any] = value if isinstance(value, list) else [value]
    kinds = {_kind(one) for one in values}
    if len(kinds) > 1:
        yield _at(path, f"mixes {' and '.join(sorted(kinds))}", "a field is compared with values of one type")
    if op in _ORDERED and "true or false" in kinds:
        yield _at(path, f"has no order, so that {op!r} means nothing", 'compare true and false with "=" or "!="')
    if any(isinstance(one, float) and not math.isfinite(one) for one in values):
        yield _at(path, "must be a finite number")


def _kind(value: object) -> str:
    return "true or false" if isinstance(value, bool) else "texts" if isinstance(value, str) else "numbers"


def _budget(manifest: "Manifest") -> Iterator[Problem]:
    bits = manifest.schema.bits
    if manifest.budget.bits < bits:
        problem = f"is {manifest.budget.bits:g}, but one run can carry {bits:.2f}"
        yield _at(("budget", "bits"), problem, "give the result fewer values, or ask for more")


def _schedule(manifest: "Manifest") -> Iterator[Problem]:
    runs, schedule = manifest.budget.runs, manifest.schedule
    if schedule == "once" and runs != 1:
        yield _at(("budget", "runs"), 'must be 1 when the schedule is "once"')
    yield from _new_data(manifest)
    if (grids := REPEATED.get(schedule)) is None:
        if manifest.catch_up != "last":
            yield _at(("catch_up",), f"is for jobs that run more than once, and the schedule is {schedule!r}")
        return
    if runs < 2:
        yield _at(("budget", "runs"), f"is 1, but the schedule is {schedule!r}", 'ask for more runs, or run it "once"')
    if not any(read.window is not None and read.window.grid in grids for read in manifest.reads):
        hint = f"a window whose grid is {' or '.join(grids)}"
        problem = f"is {schedule!r}, but no window moves on so often: each run would read the same"
        yield _at(("schedule",), problem, hint)


def _new_data(manifest: "Manifest") -> Iterator[Problem]:
    """A job that waits for new data has windows by which a device sees that there is some."""
    latest = {one.collection for one in manifest.reads if one.window is not None and one.window.until == "latest"}
    if manifest.schedule != "on-new-data":
        if manifest.new_data:
            yield _at(("new_data",), 'is for the schedule "on-new-data" alone')
        return
    hint = 'a window with until = "latest"'
    for number, name in enumerate(manifest.new_data):
        if name not in latest:
            yield _at(("new_data", number), f"names {name!r}, which is not read by a window that new rows move", hint)
    if not latest:
        yield _at(("schedule",), 'is "on-new-data", but no window ends with the newest row', hint)
