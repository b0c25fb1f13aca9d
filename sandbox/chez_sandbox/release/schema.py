"""Closed result schemas: a strict subset of JSON Schema (2020-12) that can be counted.

    object    "properties" only; every one is required, no other may appear
    array     "items", "maxItems" (and "minItems", 0 if absent)
    number    "minimum", "maximum", "multipleOf" (the step); bounds lie on the step's grid
    integer   the same; the step is 1 if absent
    string    "enum" only: there is no free text
    boolean, null
    "type": [T, "null"] allows null besides T

A job hands out JSON text; `Schema.admit` checks it, rounds every number to its step and
encodes it anew, so nothing of the job's own bytes leaves: no key order, no whitespace,
no low bits of a float, no NaN payload. Two results that encode alike are one output, and
`Schema.count` is the exact number of different outputs: `bits` follows from the schema
alone, before any run.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from chez_sandbox.release.parse import parse_schema
from chez_sandbox.release.strict_json import read_json
from chez_sandbox.release.types import Type

__all__ = ("OUTCOMES", "Admitted", "Schema", "count_text")

OUTCOMES: Final = ("result", "none")
"""All that a provider can learn besides a result: that there is one, or not."""


def count_text(count: int) -> str:
    """A number of results as text: exact up to a hundred digits, else of how many tens' power it is at least.

    A schema may have a hundred thousand bits, and Python writes no number of so many digits.
    """
    return str(count) if count < 10**100 else f"10^{math.floor(math.log10(count))}"


class Admitted(msgspec.Struct, frozen=True):
    """A result that may leave: the rounded `value`, and its canonical bytes (JSON, UTF-8)."""

    value: object
    encoded: bytes


class Schema(msgspec.Struct, frozen=True):
    """A closed result schema; made by `Schema.parse`."""

    root: Type

    @classmethod
    def parse(cls, schema: Mapping[str, object], path: str = "result") -> "Schema":
        """Read a schema from its JSON form (numbers as int or Decimal).

        Raises `SchemaInvalid` naming the place below `path` when it is open (free text,
        unbounded numbers or arrays, optional keys) or larger than one release may be.
        """
        return cls(parse_schema(schema, path))

    def admit(self, text: bytes) -> Admitted:
        """Check and round a job's JSON result. Raises `ResultRefused`; never guesses."""
        value, encoded = self.root.admit(read_json(text), "result")
        return Admitted(value, encoded.encode())

    @property
    def count(self) -> int:
        """The exact number of different results that can leave."""
        return self.root.count

    @property
    def bits(self) -> float:
        """The most one run can carry, in bits: the results, and the code for "none"."""
        return math.log2(self.count + len(OUTCOMES) - 1)

    @property
    def max_bytes(self) -> int:
        """The length of the longest canonical result."""
        return self.root.max_bytes
