"""Mistakes that a type checker finds: each `type: ignore` is one, and one that is not needed is an error.

Checked, never run.
"""

import msgspec

import chez
from chez import blocking


class Note(msgspec.Struct):
    """A typed record."""

    title: str


async def asynchronous(home: chez.Home) -> None:
    """Wrong values, forgotten words, mixed worlds."""
    notes = home.collection(Note)
    await notes.put({"title": "Tea"})  # type: ignore[arg-type]
    print((await notes.get("tea")).value.tittle)  # type: ignore[attr-defined]
    with notes.edit("tea"):  # type: ignore[attr-defined]
        pass
    for _ in notes:  # type: ignore[attr-defined]
        pass
    await home.sync(timeout="long")  # type: ignore[arg-type]
    chez.open("home", passphrase=b"...")  # type: ignore[arg-type]
    blocking.serve(home)  # type: ignore[arg-type]


def without_a_loop(home: blocking.Home) -> None:
    """The same without a loop."""
    notes = home.collection(Note)
    notes.put({"title": "Tea"})  # type: ignore[arg-type]
    print(notes.get("tea").value.tittle)  # type: ignore[attr-defined]
    notes.nothing()  # type: ignore[attr-defined]
