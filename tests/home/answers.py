"""What a query should answer, said in plain Python; and values and conditions to try it on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

import chez
from chez import field
from chez.query.conditions import Condition

__all__ = ("NAMES", "Case", "answer", "cases", "ordered", "place", "values")

Case = tuple[Condition, Callable[[dict[str, Any]], bool]]
"""A condition, and the same said in Python."""

NAMES: dict[str, tuple[str, ...]] = {
    "a": ("a",), "b": ("b",), "in.side": ("in", "side"), "with\\.dot": ("with.dot",), "it's": ("it's",),
    'q"uote': ('q"uote',), "back\\slash": ("back\\slash",), "zero\0": ("zero\0",), "ligne\n": ("ligne\n",),
    "été": ("été",), "$[0]": ("$[0]",),
}
"""Names of fields as a query writes them, and where they lead."""

TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, tzinfo=UTC))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(
    ["", "a", "ab", "abc", "[", "[1]", "{", "{}", "|", "Z", "é", "\0", "\U0010ffff", "\U0010ffff\U0010ffff", "\ud7ff",
     "12", "null", "2020-01-01T00:00:00.000Z", "00ff"])
NUMBERS = (st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
           | st.sampled_from([0.0, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, float(2**63), -(2**63), 0.1,
                              1e-320])
           | st.booleans())
BYTES = st.binary(max_size=3)
SCALARS = NUMBERS | TEXTS | TIMES | BYTES
NESTED = st.lists(st.none() | SCALARS, max_size=2) | st.dictionaries(
    st.sampled_from(["side", "x"]), SCALARS, max_size=2)


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """A record: each field there or not, of any type."""
    found: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from([*NAMES.values()]), max_size=5, unique=True)):
        value = draw(st.none() | SCALARS | NESTED)
        inside = found
        for step in path[:-1]:
            inside = inside.setdefault(step, {})
        inside[path[-1]] = value
    return found


def place(record: dict[str, Any], path: tuple[str, ...]) -> Any:
    """What is at the end of a path, None if there is nothing."""
    found: Any = record
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def ordered(value: Any) -> tuple[int, Any]:
    """Where a value stands in the order of everything."""
    if value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 1, value
    if isinstance(value, datetime):
        return 2, value.isoformat(timespec="milliseconds")[:23] + "Z"
    if isinstance(value, bytes):
        return 2, value.hex()
    if isinstance(value, list | dict):
        return 2, msgspec.json.encode(_shown(value)).decode()
    return 2, value


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return ordered(value)[1] if isinstance(value, datetime | bytes) else value


def _compared(value: Any, other: Any, fits: Callable[[Any, Any], bool]) -> bool:
    if isinstance(value, list | dict) or value is None:
        return False
    (kind, left), (other_kind, right) = ordered(value), ordered(other)
    return kind == other_kind and fits(left, right)


@st.composite
def _leaves(draw: st.DrawFn) -> Case:
    name, path = draw(st.sampled_from([*NAMES.items()]))
    wanted = draw(SCALARS)
    at = field(name)
    if isinstance(wanted, datetime) and draw(st.booleans()):
        wanted = wanted.astimezone(UTC) + timedelta(0)
    few = draw(st.lists(st.none() | SCALARS, max_size=3))
    start = draw(TEXTS)

    def equals(value: Any, other: Any) -> bool:
        return value is None if other is None else _compared(value, other, lambda a, b: bool(a == b))

    return draw(st.sampled_from([
        (at == wanted, lambda r: equals(place(r, path), wanted)),
        (at != wanted, lambda r: not equals(place(r, path), wanted)),
        (at < wanted, lambda r: _compared(place(r, path), wanted, lambda a, b: bool(a < b))),
        (at <= wanted, lambda r: _compared(place(r, path), wanted, lambda a, b: bool(a <= b))),
        (at > wanted, lambda r: _compared(place(r, path), wanted, lambda a, b: bool(a > b))),
        (at >= wanted, lambda r: _compared(place(r, path), wanted, lambda a, b: bool(a >= b))),
        (at.between(wanted, few[0] if few and few[0] is not None else wanted),
         lambda r: _compared(place(r, path), wanted, lambda a, b: bool(a >= b)) and _compared(
             place(r, path), few[0] if few and few[0] is not None else wanted, lambda a, b: bool(a <= b))),
        (at.in_(few), lambda r: any(equals(place(r, path), one) for one in few)),
        (at.prefix(start), lambda r: _compared(place(r, path), start, lambda a, b: bool(a.startswith(b)))),
        (at.is_null(), lambda r: place(r, path) is None),
        (at == None, lambda r: place(r, path) is None),  # noqa: E711
        (at != None, lambda r: place(r, path) is not None),  # noqa: E711
    ]))


def cases() -> st.SearchStrategy[Case]:
    """Conditions of every kind, combined."""
    return st.recursive(_leaves(), lambda inner: st.one_of(
        inner.map(lambda one: (~one[0], lambda r: not one[1](r))),
        st.tuples(inner, inner).map(lambda two: (two[0][0] & two[1][0], lambda r: two[0][1](r) and two[1][1](r))),
        st.tuples(inner, inner).map(lambda two: (two[0][0] | two[1][0], lambda r: two[0][1](r) or two[1][1](r))),
    ), max_leaves=5)


async def answer(query: "chez.Query[Any]") -> list[str]:
    """The ids of the records that a query gives."""
    return [record.id for record in await query.all()]
