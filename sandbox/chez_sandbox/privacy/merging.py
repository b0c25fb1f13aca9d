"""A result from its parts: what the job says itself, and what was drawn.

A drawn value is brought to the result's own step and bounds. That is done to the drawn number alone,
so that it tells nothing more of the rows.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from chez_sandbox.manifest import Manifest
from chez_sandbox.privacy.drawing import Drawn
from chez_sandbox.privacy.statistics import values
from chez_sandbox.release.schema import Admitted
from chez_sandbox.release.types import ArrayType, NumberType, ObjectType, Type

__all__ = ("merge",)


def merge(manifest: Manifest, own: Mapping[str, Any], drawn: Drawn) -> Admitted:
    """The whole result, of a checked manifest: `own` is what the job's part of the schema admitted.

    The job has no way to a noised key: its own schema does not name it.
    """
    root = manifest.schema.root
    fields = dict(root.fields) if isinstance(root, ObjectType) else {}
    noised = {one.key: _told(fields[one.key], values(one, drawn[one.key])) for one in manifest.measurements}
    value, text = root.admit({**own, **noised}, "result")
    return Admitted(value, text.encode())


def _told(kind: Type, made: Sequence[Fraction]) -> Decimal | list[Decimal]:
    match kind:
        case NumberType():
            return _fit(kind, made[0])
        case ArrayType(items=NumberType() as items):
            return [_fit(items, value) for value in made]
    raise TypeError(kind)


def _fit(kind: NumberType, value: Fraction) -> Decimal:
    return Decimal(kind.text(min(max(round(value / Fraction(kind.step)), kind.low), kind.high)))
