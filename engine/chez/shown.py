"""What a `repr` may show: enough to tell what something is, nothing that it contains.

A `repr` ends up in logs, tracebacks and bug reports. So it shows ids, names of collections
and fields, counts; never a key, a passphrase, a code, or what a record holds. Fields of
dataclasses that hold such things say `repr=False`.

A sentence that quotes what it was given stays one that can be read (`brief`).
"""

from collections.abc import Iterable
from typing import Final

__all__ = ("LONGEST", "NO_FILE", "NO_RECORD", "UNREADABLE", "UNWRITABLE", "WIDTH", "brief", "listed")

WIDTH: Final = 80
"""Characters of a list of names."""

LONGEST: Final = 1000
"""Characters of a line of an error: a sentence and a long path, and less than a screen."""

NO_FILE: Final = "Look how it is written there, capitals too; a relative path begins in the folder that you are in."
UNREADABLE: Final = "Is it a file, and may you read it? `ls -l` tells."
UNWRITABLE: Final = "Is there room, and may you write there? `df` and `ls -ld` tell."
"""What to do next about a file, whoever was given its name."""

NO_RECORD: Final = "Look at its id, and in which collection and space it is; a deleted one may be in the trash."


def brief(text: str) -> str:
    """Lines of which the middle is left out where they are too long to be read: both ends say what it is about.

    What is long about an error is what it quotes: a value, a link, a file that was taken for a name. A text of a class
    of its own, which can be said in another language, has shortened what it quotes itself.
    """
    if len(text) <= LONGEST or type(text) is not str:
        return text
    return "\n".join(line if len(line) <= LONGEST else f"{line[:LONGEST // 2]} […] {line[-LONGEST // 4:]}"
                     for line in text.split("\n"))


def listed(names: Iterable[str]) -> str:
    """Names with commas between, cut where it gets too long: `title, cups, … (12 in all)`."""
    given = [*names]
    text = ", ".join(given)
    if len(text) <= WIDTH:
        return text
    return f"{text[:WIDTH].rpartition(', ')[0] or text[: WIDTH // 2]}, … ({len(given)} in all)"
