"""Granting less than a job asks for: fields left out, shorter windows. Part of what is signed.

A job that asked for a field which the person left out finds the column, and null in every row
of it, as if no record had the field; the rows are chosen as the manifest says. A
shorter window ends where the manifest's ends. Nothing can be widened.
"""

from collections.abc import Iterable, Sequence

import msgspec

from chez.errors import InvalidValue
from chez_sandbox.consent.catalogue import Language, Phrase, phrase, refused
from chez_sandbox.manifest import Manifest, Read

__all__ = ("WHOLE", "Narrowing", "narrow", "narrowed_words", "read_narrowing")


class Narrowing(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a person takes away from what a job asks for; empty for nothing. Made by `read_narrowing`."""

    dropped: tuple[tuple[str, str], ...] = ()
    """(collection, field), in order."""
    last: tuple[tuple[str, int], ...] = ()
    """(collection, how many of the window's steps), in order."""

    def hidden(self, collection: str) -> frozenset[str]:
        """The fields of a collection that the job sees as null."""
        return frozenset(field for name, field in self.dropped if name == collection)


WHOLE = Narrowing()
"""All that a job asks for."""


def read_narrowing(manifest: Manifest, drop: Iterable[str] = (), windows: Iterable[str] = ()) -> Narrowing:
    """A narrowing from "collection.field" and "collection=steps" as people write them.

    Raises `InvalidValue` for what the job does not ask for, or more than it asks for.
    """
    dropped, last = set(), {}
    for text in drop:
        collection, _, field = text.partition(".")
        dropped.add((collection, field))
    for text in windows:
        collection, _, steps = text.partition("=")
        if not (steps.isascii() and steps.isdigit()) or len(steps) > 4:
            raise refused(InvalidValue, "no-window", text=text)
        last[collection] = int(steps)
    narrowing = Narrowing(tuple(sorted(dropped)), tuple(sorted(last.items())))
    narrow(manifest, narrowing)
    return narrowing


def narrow(manifest: Manifest, narrowing: Narrowing) -> Manifest:
    """The manifest with the shorter windows; raises `InvalidValue` unless each part of a narrowing takes something."""
    reads = {read.collection: read for read in manifest.reads}
    for collection, field in narrowing.dropped:
        what = f"{collection}.{field}"
        if field not in _read(reads.get(collection), what, manifest).fields:
            raise refused(InvalidValue, "not-asked", what=what, asked=_asked(manifest.reads))
    for collection, steps in narrowing.last:
        read = _read(reads.get(collection), collection, manifest)
        if read.window is None:
            raise refused(InvalidValue, "windowless", collection=collection, steps=steps)
        if not 1 <= steps <= read.window.last:
            asked = Phrase(_steps(read.window.grid, read.window.last), last=read.window.last)
            raise refused(InvalidValue, "wider", collection=collection, steps=steps, asked=asked)
        window = msgspec.structs.replace(read.window, last=steps)
        reads[collection] = msgspec.structs.replace(read, window=window)
    return msgspec.structs.replace(manifest, reads=[reads[read.collection] for read in manifest.reads])


def _read(read: Read | None, what: str, manifest: Manifest) -> Read:
    if read is None:
        raise refused(InvalidValue, "not-asked", what=what, asked=_asked(manifest.reads))
    return read


def _steps(grid: str, number: int) -> str:
    """The catalogue's name for so many steps of a window."""
    return f"window.{grid}" if number > 1 else f"window.one-{grid}"


def _asked(reads: Sequence[Read]) -> str:
    return ", ".join(f"{read.collection}.{field}" for read in reads for field in read.fields)


def narrowed_words(manifest: Manifest, narrowing: Narrowing, language: Language = "en") -> list[str]:
    """What was taken away, one line each; none when nothing was."""
    windows = {read.collection: read.window for read in manifest.reads}
    lines = [phrase(language, "less.field", field=field, collection=collection)
             for collection, field in narrowing.dropped]  # fmt: skip
    for collection, steps in narrowing.last:
        window = windows[collection]
        if window is not None:
            given = phrase(language, _steps(window.grid, steps), last=steps)
            lines.append(phrase(language, "less.window", steps=given, collection=collection, whole=window.last))
    return lines
