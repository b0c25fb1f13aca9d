"""What the measurements of a manifest must be beyond their shape, so that their promise holds.

All problems are given at once, and nothing is raised.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from chez_sandbox.form.places import Path
from chez_sandbox.form.shape import path_text
from chez_sandbox.job_errors import Problem
from chez_sandbox.privacy.statistics import MOST, Statistic
from chez_sandbox.release.types import ArrayType, NumberType, ObjectType, Type

if TYPE_CHECKING:
    from chez_sandbox.manifest import Manifest, Measurement

__all__ = ("MAX_GRID", "measurement_problems")

MAX_GRID: Final = 10_000
"""Steps of a quantile's grid: each is one possible answer, and takes part in the draw."""

_BOUNDED: Final = ("lower", "upper", "step")
_NEEDED: Final[Mapping[Statistic, tuple[str, ...]]] = {
    "count": (),
    "sum": ("field", *_BOUNDED),
    "mean": ("field", *_BOUNDED),
    "quantile": ("field", *_BOUNDED, "at"),
    "histogram": ("field",),
}
_ALL: Final = ("field", *_BOUNDED, "at", "edges", "categories")


def measurement_problems(manifest: "Manifest") -> list[Problem]:
    """What is wrong with the measurements of a manifest that is right otherwise."""
    found = [
        problem
        for number, one in enumerate(manifest.measurements)
        for problem in (*_source(manifest, one, ("measurements", number)),
                        *_form(one, ("measurements", number)),
                        *_key(manifest, number, one))
    ]  # fmt: skip
    return [*_rows(manifest), *found, *_budget(manifest)]


def _at(path: Path, problem: str, hint: str = "") -> Problem:
    return Problem(path_text(path), problem, hint, where=path)


def _rows(manifest: "Manifest") -> Iterator[Problem]:
    """Which rows count must be known without looking at them, so that it depends on no row; all are the person's."""
    noised = {one.collection for one in manifest.measurements}
    for number, read in enumerate(manifest.reads):
        if read.collection in noised and (read.window is None or read.window.until != "run-date"):
            hint = 'give it a window with until = "run-date": then the run\'s date alone says which days count'
            yield _at(("reads", number, "window"), "does not end with the run's date, and its rows are noised", hint)
        if read.collection in noised and read.min_rows:
            hint = "whether a result comes would tell how many rows there are, without any noise"
            yield _at(("reads", number, "min_rows"), "must be 0, for its rows are noised", hint)
        if read.collection in noised and read.spaces != "private":
            hint = "rows of others would be counted, and they did not consent"
            yield _at(("reads", number, "spaces"), 'must be "private", for its rows are noised', hint)


def _source(manifest: "Manifest", one: "Measurement", path: Path) -> Iterator[Problem]:
    reads = {read.collection: read for read in manifest.reads}
    if one.collection not in reads:
        yield _at((*path, "collection"), f"{one.collection!r} is not read", f"read are: {', '.join(reads)}")
    elif one.field is not None and one.field not in (fields := reads[one.collection].fields):
        yield _at((*path, "field"), f"{one.field!r} is not read", f"read of it are: {', '.join(fields)}")


def _form(one: "Measurement", path: Path) -> Iterator[Problem]:
    """The fields that a statistic has, and those it has not."""
    needed = _NEEDED[one.statistic]
    of_histogram = ("edges", "categories") if one.statistic == "histogram" else ()
    given = [name for name in _ALL if getattr(one, name) not in (None, [])]
    for name in needed:
        if name not in given:
            yield _at((*path, name), f"is missing: a {one.statistic} needs it", f"it needs {', '.join(needed)}")
    for name in given:
        if name not in (*needed, *of_histogram):
            allowed = ", ".join((*needed, *of_histogram)) or "nothing of that kind"
            yield _at((*path, name), f"means nothing for a {one.statistic}", f"it has {allowed}")
    if Decimal(str(one.epsilon)) % Decimal("0.001"):
        yield _at((*path, "epsilon"), f"is {one.epsilon:g}, and epsilon is counted in thousandths", "such as 0.125")
    if one.statistic == "histogram":
        yield from _bins(one, path)
    elif set(_BOUNDED) <= set(needed) & set(given):
        yield from _bounds(one, path)


def _bounds(one: "Measurement", path: Path) -> Iterator[Problem]:
    numbers = {name: getattr(one, name) for name in _BOUNDED}
    if infinite := [name for name, number in numbers.items() if not math.isfinite(number)]:
        yield _at((*path, infinite[0]), "must be a finite number")
        return
    lower, upper, step = (Fraction(Decimal(str(number))) for number in numbers.values())
    for name, bound in (("lower", lower), ("upper", upper)):
        if (bound / step).denominator != 1:
            yield _at((*path, name), f"must be a multiple of the step {one.step}")
        elif abs(bound / step) > MOST:
            yield _at((*path, name), f"is more than {MOST} steps from 0", "take a larger step")
    if lower >= upper:
        yield _at((*path, "lower"), "must be below upper")
    elif one.statistic == "quantile" and (upper - lower) / step > MAX_GRID:
        problem = f"is too fine: the quantile would be one of more than {MAX_GRID} values"
        yield _at((*path, "step"), problem, "take a larger step, or narrower bounds")


def _bins(one: "Measurement", path: Path) -> Iterator[Problem]:
    if bool(one.edges) == bool(one.categories):
        yield _at(path, "must have edges (of numbers) or categories (of texts)", "one of both")
    if one.edges and (len(one.edges) < 3 or not all(map(math.isfinite, one.edges)) or not _rises(one.edges)):
        yield _at((*path, "edges"), "must be at least three finite numbers that rise")
    if one.categories and (len(one.categories) < 2 or len(set(one.categories)) != len(one.categories)):
        yield _at((*path, "categories"), "must be at least two texts, each once")


def _rises(numbers: Sequence[float]) -> bool:
    return all(one < other for one, other in itertools.pairwise(numbers))


def _key(manifest: "Manifest", number: int, one: "Measurement") -> Iterator[Problem]:
    """The place in the result: there, free, and of the form that the statistic gives."""
    path: Path = ("measurements", number, "key")
    root = manifest.schema.root
    fields = dict(root.fields) if isinstance(root, ObjectType) else {}
    if one.key in [other.key for other in manifest.measurements[:number]]:
        yield _at(path, f"{one.key!r} is measured twice", "one measurement for each value")
    if one.key not in fields:
        yield _at(path, f"{one.key!r} is no key of the result's outermost table", f"it has {', '.join(fields)}")
    elif not _fits(fields[one.key], one):
        bins = max(len(one.categories), len(one.edges) - 1)
        form = f"an array of exactly {bins} numbers" if one.statistic == "histogram" else "a number"
        where: Path = ("result", "properties", one.key)
        yield _at(where, f"must be {form}, for a {one.statistic} is what it gets", "nothing else, and no null")


def _fits(kind: Type, one: "Measurement") -> bool:
    if one.statistic != "histogram":
        return isinstance(kind, NumberType)
    bins = max(len(one.categories), len(one.edges) - 1)
    return isinstance(kind, ArrayType) and isinstance(kind.items, NumberType) and kind.least == kind.most == bins


def _budget(manifest: "Manifest") -> Iterator[Problem]:
    path, asked = ("budget", "epsilon"), manifest.budget.epsilon
    if not manifest.measurements:
        if asked is not None:
            yield _at(path, "means nothing: no value is noised", "leave it out, or add [[measurements]]")
    elif asked is None:
        yield _at(path, "is missing, and values are noised", f"one window costs {manifest.epsilon:g}")
    elif asked < manifest.epsilon:
        yield _at(path, f"is {asked:g}, but one window costs {manifest.epsilon:g}", "noise more, or ask for more")
