"""JSON text as a job may hand it out, read without losing or tolerating anything.

Python's reader is lenient where a result must not be: it takes NaN, keeps the last of
two equal keys, and turns decimals into floats. Here decimals stay exact.
"""

import json
from decimal import Decimal
from typing import Any, Final

from chez_sandbox.job_errors import ResultRefused

__all__ = ("MAX_RESULT_BYTES", "read_json")

MAX_RESULT_BYTES: Final = 1 << 20
"""Bytes of JSON text looked at: the runtime's own limit is lower, this bounds the parser."""


def _refuse_constant(name: str) -> Any:
    raise ResultRefused("result", f"{name} is not a number")


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ResultRefused("result", "a key appears twice in one object")
    return value


def read_json(text: bytes) -> object:
    """The value of strict JSON text: int, Decimal, str, bool, None, list, dict.

    Raises `ResultRefused` for anything else, for text over `MAX_RESULT_BYTES`, and for
    nesting deeper than the interpreter takes.
    """
    if len(text) > MAX_RESULT_BYTES:
        raise ResultRefused("result", f"more than {MAX_RESULT_BYTES} bytes")
    try:
        return json.loads(
            text.decode(),
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_refuse_repeats,
        )
    except (ValueError, ArithmeticError, RecursionError):
        raise ResultRefused("result", "the job did not hand out JSON text") from None
