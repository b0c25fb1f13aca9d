"""What a `repr` may show: enough to tell what something is, nothing that it contains.

A `repr` ends up in logs, tracebacks and bug reports. So it shows ids, names of collections
and fields, counts; never a key, a passphrase, a code, or what a record holds. Fields of
dataclasses that hold such things say `repr=False`.
"""

from collections.abc import Iterable
from typing import Final

__all__ = ("WIDTH", "listed")

WIDTH: Final = 80
"""Characters of a list of names."""


def listed(names: Iterable[str]) -> str:
    """Names with commas between, cut where it gets too long: `title, cups, … (12 in all)`."""
    given = [*names]
    text = ", ".join(given)
    if len(text) <= WIDTH:
        return text
    return f"{text[:WIDTH].rpartition(', ')[0] or text[: WIDTH // 2]}, … ({len(given)} in all)"
