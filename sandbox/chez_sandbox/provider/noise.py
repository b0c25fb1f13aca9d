"""What `chez-job check` says of values that are noised: how far off they will be, and what noise does not cover."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.manifest import Manifest, Measurement
from chez_sandbox.privacy.utility import USUAL, utility
from chez_sandbox.release.types import ArrayType, NumberType, ObjectType

__all__ = ("SUPPOSED", "noise_facts", "noise_lines", "noise_warnings")

SUPPOSED: Final = 1000
"""Rows that a mean is taken over where there is no sample data."""


def noise_facts(manifest: Manifest, rows: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """For each noised value the error that noise makes, JSON-able; `rows` are those of the samples, if any."""
    return [_facts(one, SUPPOSED if rows is None else rows[one.collection]) for one in manifest.measurements]


def _facts(one: Measurement, rows: int) -> dict[str, Any]:
    error = utility(one, rows)
    return {
        "key": one.key,
        "statistic": one.statistic,
        "epsilon": one.epsilon,
        "rows": rows,
        "error_usually": error.usually,
        "error_typical": error.typical,
        "error_in": "ranks" if error.ranks else "units",
    }


def noise_lines(facts: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    return [f"  noise    {one['key']}: {_words(one)}" for one in facts]


def _words(one: Mapping[str, Any]) -> str:
    usually = f"{one['error_usually']:.4g}"
    often = f"in {USUAL:.0%} of draws, at an epsilon of {one['epsilon']:g}"
    if one["error_in"] == "ranks":
        return f"its rank is off by at most {usually} of {one['rows']:,} rows {often}"
    over = f", over {one['rows']:,} rows" if one["statistic"] == "mean" else ""
    return f"off by at most {usually} {often}; {one['error_typical']:.3g} on average{over}"


def noise_warnings(manifest: Manifest, rows: Mapping[str, int] | None) -> Iterator[tuple[str, str]]:
    """(place, words) of what a provider should weigh."""
    if not manifest.measurements:
        return
    if manifest.own_schema is not None:
        noised = sorted({one.collection for one in manifest.measurements})
        words = f"the job itself reads {', '.join(noised)}, too: what it says is not noised, and may tell of any row"
        yield "result", words
    asked = manifest.budget.epsilon or 0.0
    if (windows := int(asked / manifest.epsilon + 1e-9)) < manifest.budget.runs:
        yield "budget.epsilon", f"suffices for {windows} windows, and {manifest.budget.runs} runs are asked for"
    if asked > (most := Ceilings().provider_epsilon):
        yield "budget.epsilon", f"is more than the {most:g} that a person lets one provider have in all"
    for number, (one, facts) in enumerate(zip(manifest.measurements, noise_facts(manifest, rows), strict=True)):
        span = _span(manifest, one)
        if facts["error_in"] == "units" and facts["error_usually"] >= span / 2:
            words = f"makes noise of up to {facts['error_usually']:.4g}, where the result has a range of {span:g}"
            yield f"measurements[{number}].epsilon", words


def _span(manifest: Manifest, one: Measurement) -> float:
    """How far apart the least and the greatest value of the result are."""
    root = manifest.schema.root
    kind = dict(root.fields)[one.key] if isinstance(root, ObjectType) else None
    inner = kind.items if isinstance(kind, ArrayType) else kind
    return float((inner.high - inner.low) * inner.step) if isinstance(inner, NumberType) else 0.0
