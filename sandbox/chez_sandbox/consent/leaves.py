"""What can leave, in words: each value of a result, and what is promised of those that are noised."""

import math
from typing import Any

from chez.phrasing import Figure
from chez_sandbox.consent.catalogue import Language, figure, phrase
from chez_sandbox.consent.quoting import values_words
from chez_sandbox.manifest import Manifest, Measurement
from chez_sandbox.release.types import (
    ArrayType,
    BooleanType,
    EnumType,
    NullableType,
    NullType,
    NumberType,
    ObjectType,
    Type,
)

__all__ = ("leaves_words", "noise_facts", "noise_words")


def leaves_words(manifest: Manifest, language: Language) -> list[str]:
    """One line for each value of a result; of a noised one, what of the rows it is."""
    root, noised = manifest.schema.root, {one.key: one for one in manifest.measurements}
    if not isinstance(root, ObjectType):
        return _leaves(root, phrase(language, "type.result"), language)
    lines = []
    for name, kind in root.fields:
        told = _leaves(kind, name, language)
        lines += [_noised(told[0], noised[name], language)] if name in noised else told
    return lines


def noise_facts(manifest: Manifest) -> dict[str, Any] | None:
    """What is noised, JSON-able; None where nothing is."""
    if not manifest.measurements:
        return None
    return {
        "keys": [one.key for one in manifest.measurements],
        "epsilon": manifest.epsilon,
        "times": float(f"{math.exp(manifest.epsilon):.3g}"),
        "alone": manifest.own_schema is None,
    }


def noise_words(facts: dict[str, Any] | None, language: Language) -> list[str]:
    """What is promised of noised values, and what is not; `facts` are of `noise_facts`."""
    if facts is None:
        return []
    return [
        phrase(language, "noise.here"),
        phrase(language, "noise.times", times=figure(facts["times"]), epsilon=figure(facts["epsilon"])),
        phrase(language, "noise.unit"),
        phrase(language, "noise.alone" if facts["alone"] else "noise.clear"),
    ]


def _noised(line: str, one: Measurement, language: Language) -> str:
    what = phrase(
        language,
        f"noise.{one.statistic}",
        collection=one.collection,
        field=one.field,
        low=Figure(_exact(one.lower or 0)),
        high=Figure(_exact(one.upper or 0)),
        share=figure(one.at or 0, ".4g"),
        bins=max(len(one.categories), len(one.edges) - 1),
        which=_bins(one, language),
    )
    return phrase(language, "noise.line", line=line, what=what, epsilon=figure(one.epsilon))


def _bins(one: Measurement, language: Language) -> str:
    """Which bins a histogram has: a count is of what is in them."""
    if one.categories:
        return values_words(one.categories)
    bounds = ", ".join(map(_exact, one.edges))
    return phrase(language, "noise.bounds", bounds=bounds)


def _exact(number: float) -> str:
    """A bound with all its digits: one that differs in the last is another."""
    return str(int(number) if float(number).is_integer() and abs(number) < 1e15 else number)


def _leaves(kind: Type, name: str, language: Language) -> list[str]:
    if isinstance(kind, ObjectType):
        return [line for field, inner in kind.fields for line in _leaves(inner, f"{name}.{field}", language)]
    return [phrase(language, "type.line", name=name, what=_type_words(kind, language))]


def _type_words(kind: Type, language: Language) -> str:
    match kind:
        case NumberType():
            said = phrase(language, "type.number", low=Figure(kind.text(kind.low)), high=Figure(kind.text(kind.high)))
            return said if kind.step == 1 else said + phrase(language, "type.step", step=Figure(kind.step))
        case EnumType():
            return phrase(language, "type.enum", values=values_words(kind.values))
        case BooleanType():
            return phrase(language, "type.boolean")
        case NullType():
            return phrase(language, "type.null")
        case NullableType():
            return phrase(language, "type.nullable", what=_type_words(kind.kind, language))
        case ArrayType():
            what = _type_words(kind.items, language)
            return phrase(language, "type.array", least=kind.least, most=kind.most, what=what)
        case ObjectType():
            inside = (
                phrase(language, "type.line", name=field, what=_type_words(inner, language))
                for field, inner in kind.fields
            )
            return "{" + "; ".join(inside) + "}"
    raise TypeError(kind)
