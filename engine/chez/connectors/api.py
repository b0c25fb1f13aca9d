"""What a connector is: it turns an outside file into records, one row at a time.

    file ── recognise(head) ──> connector ── read(file, source) ──> Found | Reject | Progress

A connector sees bytes and yields values; it opens nothing, stores nothing and knows no
home. The import engine turns `Found` into records whose ids come from their identity
(`chez.records.types.identity_of`), and attaches the provenance: connector and version,
the file's SHA-256, the row.

What every connector promises (`chez.connectors.kit` checks it):

- any bytes end in `Found`, `Reject`, `Progress` or a `ChezError`, in time linear in the
  file's size and in memory that does not grow with it beyond a small set of seen ids;
- a bad row costs that row: it is one `Reject` with its line and the reason;
- reading a file twice yields equal items in the same order;
- nothing in a file is executed, expanded or followed.

An installed package adds connectors through the entry point group `chez.connectors`;
each entry point names a callable without arguments that returns a `Connector`.
docs/connectors.md tells all of it on a page.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol, runtime_checkable

import msgspec

from chez.errors import InvalidValue, NotFound, StorageFailed
from chez.shown import NO_FILE, UNREADABLE

__all__ = (
    "HASHED", "HEAD_BYTES", "MAX_EXCERPT", "MAX_YEAR", "MIN_YEAR", "ArchiveConnector", "Connector", "Found", "Item",
    "Progress", "Reject", "Source", "excerpt", "open_source",
)

HEAD_BYTES: Final = 64 * 1024
"""Bytes of a file's beginning that `Connector.recognise` sees."""

MAX_EXCERPT: Final = 120
"""Characters of a bad row that a `Reject` shows: enough to find it, not to repeat it."""

HASHED: Final = 1 << 20
"""Bytes of a file after which it is told how far its hash is."""

PART: Final = 64 * 1024
"""Bytes of it that are read at once."""

MIN_YEAR: Final = 1900
MAX_YEAR: Final = 2200
"""Dates outside are mistakes or mischief in what people export today."""


class Source(msgspec.Struct, frozen=True):
    """The file that is read: its name (no folder), SHA-256 (32 bytes) and size in bytes.

    Of a member of an archive: the member's name and size, and the archive's SHA-256.
    """

    name: str
    sha256: bytes
    size: int


class Found(msgspec.Struct, frozen=True):  # made for each row: a frozen dataclass takes nine times as long
    """One record, and the line of the file (from 1) on which it began.

    In an archive `member` is the file in it that has the row, and `by` ("linky/1") the connector
    that read it, where another one was asked; both are empty otherwise.
    """

    record: msgspec.Struct
    row: int
    member: str = ""
    by: str = ""

    def __repr__(self) -> str:
        return f"Found(row={self.row}, member={self.member!r}, by={self.by!r})"


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be read: its line (from 1), why, and its beginning, escaped.

    `member` is the file of an archive that has the row.
    """

    line: int
    reason: str = field(repr=False)
    text: str = field(repr=False)
    member: str = ""


class Progress(msgspec.Struct, frozen=True):
    """Bytes of the file read so far (of `Source.size`)."""

    done: int


Item = Found | Reject | Progress
"""What reading a file gives, one after the other."""


@runtime_checkable
class Connector(Protocol):
    """Reads one format.

    It also has `types`, a tuple of the Structs that its records are (in `chez.vocabulary` or its own): read behind
    walls, a record of another type ends reading.
    """

    @property
    def name(self) -> str:
        """Short and stable, in lower case: part of every record's provenance."""

    @property
    def version(self) -> int:
        """Rises whenever the same file would give other records."""

    @property
    def title(self) -> str:
        """What people call the format."""

    def recognise(self, head: bytes, name: str) -> bool:
        """Tell from a file's first `HEAD_BYTES` bytes and its name whether it is this format."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Read a file from its beginning. Raises `InvalidValue` when it is not this format."""


class ArchiveConnector(Connector, Protocol):
    """Reads a whole zip, whose files belong together: `read` gets the archive (see `chez.connectors.archive`)."""

    def recognise_members(self, names: Sequence[str]) -> bool:
        """Tell from the names of an archive's files, folders before them, whether it is this format."""


def excerpt(text: str | bytes) -> str:
    """The beginning of a bad row, fit to be shown: control characters and bad bytes escaped."""
    if isinstance(text, bytes):
        text = text[:4 * MAX_EXCERPT].decode("utf-8", "surrogateescape")
    shown = "".join(c if c.isprintable() else _escape(c) for c in text.strip()[:MAX_EXCERPT + 1])
    return shown if len(shown) <= MAX_EXCERPT else shown[:MAX_EXCERPT - 1] + "…"


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no text, carried by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def open_source(path: Path, heard: Callable[[int], None] | None = None) -> tuple[BinaryIO, Source]:
    """Open a regular file and describe it; the caller closes it.

    Reads the file once for its hash; `heard` is told how many bytes are read, now and then. Raises `NotFound`,
    `InvalidValue` (a folder, a pipe, a device, an empty file) or `StorageFailed` (unreadable).
    """
    try:
        # Before opening: to open a named pipe would wait for its writer.
        if not path.is_file():
            if path.exists():
                raise InvalidValue(f"{path} is not a file", "Name one file that a service let you download.")
            raise NotFound(f"there is no file {path}", NO_FILE)
        file = path.open("rb")
        try:
            digest, size = hashlib.sha256(), 0
            while part := file.read(PART):
                digest.update(part)
                size += len(part)
                if heard is not None and size % HASHED == 0:
                    heard(size)
            file.seek(0)
        except BaseException:
            file.close()
            raise
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from error
    if not size:
        file.close()
        raise InvalidValue(f"{path} is empty", "Use another file, or have this one made again by whoever it is from.")
    # A name need not be text: one that an old zip brought in Latin-1, say. What is kept and told of it has to be.
    return file, Source(path.name.encode("utf-8", "replace").decode(), digest.digest(), size)
