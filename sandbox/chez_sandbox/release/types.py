"""The types of a closed result: each knows how to admit a value, and how many there are.

`admit(value, path)` gives the rounded value and its canonical JSON text; `count` is
exact; `max_bytes` bounds the text. A type is immutable and shares nothing.
"""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol

import msgspec

from chez_sandbox.job_errors import ResultRefused

__all__ = (
    "ArrayType",
    "BooleanType",
    "EnumType",
    "NullType",
    "NullableType",
    "NumberType",
    "ObjectType",
    "Type",
)

MAX_EXPONENT: Final = 400
"""Decimal exponents beyond this (doubles end at 324) are refused: `1e-99999999` is ten
bytes of text and gigabytes as an exact fraction."""

MAX_DIGITS: Final = 800
"""Digits of a number looked at; an exact double has at most 767 significant ones."""


class Type(Protocol):
    """What every type of a closed result can do."""

    @property
    def count(self) -> int:
        """The exact number of canonical texts."""

    @property
    def max_bytes(self) -> int:
        """The length of the longest canonical text."""

    def admit(self, value: object, path: str) -> tuple[object, str]:
        """The rounded value and its canonical text; raises `ResultRefused` naming `path`."""


class NullType(msgspec.Struct, frozen=True):
    """null."""

    count: int = 1
    max_bytes: int = 4

    def admit(self, value: object, path: str) -> tuple[object, str]:
        if value is not None:
            raise ResultRefused(path, "must be null")
        return None, "null"


class BooleanType(msgspec.Struct, frozen=True):
    """true or false."""

    count: int = 2
    max_bytes: int = 5

    def admit(self, value: object, path: str) -> tuple[object, str]:
        if not isinstance(value, bool):
            raise ResultRefused(path, "must be true or false")
        return value, "true" if value else "false"


class EnumType(msgspec.Struct, frozen=True):
    """One of a fixed set of strings."""

    values: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def max_bytes(self) -> int:
        return max(len(json.dumps(v)) for v in self.values)

    def admit(self, value: object, path: str) -> tuple[object, str]:
        if not isinstance(value, str) or value not in self.values:
            raise ResultRefused(path, f"must be one of {', '.join(self.values)}")
        return value, json.dumps(value)


class NumberType(msgspec.Struct, frozen=True):
    """Numbers on the grid of `step` from `low * step` to `high * step` (both included).

    A value between two grid points is rounded to the nearest one, to the even one when
    both are as near; a value outside the bounds is refused, not bent.
    """

    step: Decimal
    low: int
    high: int

    @property
    def count(self) -> int:
        return self.high - self.low + 1

    @property
    def max_bytes(self) -> int:
        return max(len(self.text(self.low)), len(self.text(self.high)))

    @property
    def _places(self) -> int:
        exponent = self.step.normalize().as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0

    def text(self, steps: int) -> str:
        """The canonical text of a number of steps."""
        # Integer arithmetic on purpose: a Decimal context would round long products.
        scaled = steps * int(self.step.scaleb(self._places))
        if not self._places:
            return str(scaled)
        digits = str(abs(scaled)).rjust(self._places + 1, "0")
        return f"{'-' if scaled < 0 else ''}{digits[: -self._places]}.{digits[-self._places :]}"

    def admit(self, value: object, path: str) -> tuple[object, str]:
        steps = _exact(value, path) / Fraction(self.step)
        if not self.low <= steps <= self.high:
            raise ResultRefused(path, f"must be from {self.text(self.low)} to {self.text(self.high)}")
        text = self.text(round(steps))
        return (Decimal(text) if self._places else int(text)), text


def _exact(value: object, path: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ResultRefused(path, "must be a number")
    if isinstance(value, Decimal):
        digits = value.as_tuple()
        if not isinstance(digits.exponent, int):
            raise ResultRefused(path, "must be a finite number")
        if abs(digits.exponent) > MAX_DIGITS or abs(value.adjusted()) > MAX_EXPONENT:
            raise ResultRefused(path, "has an exponent out of bounds")
    return Fraction(value)


class ArrayType(msgspec.Struct, frozen=True):
    """From `least` to `most` values of one type, in the job's order (the order counts)."""

    items: Type
    least: int
    most: int

    @property
    def count(self) -> int:
        each = self.items.count
        if each == 1:
            return self.most - self.least + 1
        # The geometric sum of each**length; in closed form, for the powers can be huge.
        return int((each ** (self.most + 1) - each**self.least) // (each - 1))

    @property
    def max_bytes(self) -> int:
        return 2 + self.most * self.items.max_bytes + max(0, self.most - 1)

    def admit(self, value: object, path: str) -> tuple[object, str]:
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            raise ResultRefused(path, f"must be a list of {self.least} to {self.most} values")
        admitted = [self.items.admit(item, f"{path}[{number}]") for number, item in enumerate(value)]
        return [item for item, _ in admitted], f"[{','.join(text for _, text in admitted)}]"


class ObjectType(msgspec.Struct, frozen=True):
    """Fixed keys, all present; written in the order of their code points."""

    fields: tuple[tuple[str, Type], ...]

    @property
    def count(self) -> int:
        product = 1
        for _, kind in self.fields:
            product *= kind.count
        return product

    @property
    def max_bytes(self) -> int:
        inner = sum(len(json.dumps(name)) + 1 + kind.max_bytes for name, kind in self.fields)
        return 2 + inner + max(0, len(self.fields) - 1)

    def admit(self, value: object, path: str) -> tuple[object, str]:
        if not isinstance(value, dict):
            raise ResultRefused(path, "must be an object")
        names = {name for name, _ in self.fields}
        if missing := sorted(names - value.keys()):
            raise ResultRefused(path, f"lacks {', '.join(missing)}")
        if len(value) != len(names):
            # The surplus key is the job's own text: it is not even named.
            raise ResultRefused(path, "has a key that the schema does not name")
        admitted = {name: kind.admit(value[name], f"{path}.{name}") for name, kind in self.fields}
        text = ",".join(f"{json.dumps(name)}:{part}" for name, (_, part) in admitted.items())
        return {name: item for name, (item, _) in admitted.items()}, f"{{{text}}}"


class NullableType(msgspec.Struct, frozen=True):
    """A value of one type, or null."""

    kind: Type

    @property
    def count(self) -> int:
        return self.kind.count + 1

    @property
    def max_bytes(self) -> int:
        return max(4, self.kind.max_bytes)

    def admit(self, value: object, path: str) -> tuple[object, str]:
        return (None, "null") if value is None else self.kind.admit(value, path)
