"""SQL functions whose work is more than the length of what they get, counted call by call.

SQLite looks at the budget between two instructions, and a call of a function is one: what a
call may take has to be bounded before it. `instr`, `replace`, `like`, `glob` and the trims with
characters compare each place of one text with another text. They are SQLite's own here as well,
called on a second connection that holds nothing, after the product of both lengths was counted.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

__all__ = ("bound_functions",)

Value = None | int | float | str | bytes

_NUMBER: Final = 32  # bytes of a number's text, at most

# Comparisons in one call, at most, so that the longest takes about 0.1 s, and how many count as one
# step. Measured on 3.40 (2026): 0.05 ns each in memcmp, 11 ns in a pattern of wildcards, 5 ns for a
# set of characters; ordinary patterns are far cheaper, so that they count for less than the worst.
_FINDING: Final = (1 << 30, 512)
_MATCHING: Final = (1 << 23, 64)

# name, how many arguments: the first two are compared with each other
_BOUNDED: Final = (
    ("instr", 2, _FINDING),
    ("replace", 3, _FINDING),
    ("like", 2, _MATCHING),
    ("like", 3, _MATCHING),
    ("glob", 2, _MATCHING),
    ("trim", 2, _MATCHING),
    ("ltrim", 2, _MATCHING),
    ("rtrim", 2, _MATCHING),
)


def bound_functions(
    database: sqlite3.Connection,
    limits: tuple[tuple[int, int], ...],
    spend: Callable[[int], bool],
    refuse: Callable[[str], None],
) -> None:
    """Puts the counted functions in the place of SQLite's; same values, a bound on each call.

    `limits` are those of the database, for the values made here. `spend` counts steps and tells
    whether the statement may go on. `refuse` is told in words why a call is refused: what a
    function raises reaches the statement without its text. Both ways the statement ends.
    """
    plain = sqlite3.connect(":memory:", isolation_level=None)
    for which, most in limits:
        plain.setlimit(which, most)
    for name, count, bound in _BOUNDED:
        call = _counted(plain, name, count, bound, spend, refuse)
        database.create_function(name, count, call, deterministic=True)


def _counted(
    plain: sqlite3.Connection,
    name: str,
    count: int,
    bound: tuple[int, int],
    spend: Callable[[int], bool],
    refuse: Callable[[str], None],
) -> Callable[..., Value]:
    statement = f"SELECT {name}({', '.join('?' * count)})"
    most, unit = bound

    def call(*values: Value) -> Value:
        work = _bytes(values[0]) * _bytes(values[1])
        if work > most:
            refuse(f"{name} of texts that are too long: one's length times the other's is over {most}")
            raise ValueError(name)
        try:
            (answer,) = plain.execute(statement, values).fetchone()
        except sqlite3.Error as problem:
            refuse(str(problem))
            raise
        if not spend(work // unit):
            raise ValueError(name)
        return answer  # type: ignore[no-any-return]

    return call


def _bytes(value: Value) -> int:
    """At least the bytes of the value's text: characters beyond ASCII count as the longest."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return len(value) if isinstance(value, bytes) else _NUMBER
