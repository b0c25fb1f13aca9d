"""An export: what a home holds, as files that any program reads.

    DIR/manifest.json             what is here: written last, so an export without it is incomplete
    DIR/records/COLLECTION.jsonl  one record a line, by id
    DIR/history/COLLECTION.jsonl  one change a line, each record's in causal order (where asked for)
    DIR/attachments/ID            the content of one attachment: what `{"_blob": ID, ...}` in a record stands for
    DIR/attachments/index.jsonl   which ones are here, one a line (where there are any)
    DIR/spaces/ID/...             each other space that was exported with it: an export by itself

A record's line is a JSON object (UTF-8, one line, ended by a line feed):

    id       the record's id
    value    its fields; what JSON has no form for as text (times in RFC 3339, bytes in hexadecimal)
    kinds    [[path, kind], ...]: which places of `value` are such text ("t" a time, "b" bytes;
             all kinds are in chez/records/values.py); absent if there are none
    about    what Chez keeps beside the fields, such as the `source` of an import (absent if nothing)

A change's line: `id` of the record, `hash`, `author` (the device, or "import"; of a change
that is named after what it holds, as a migration's is, the device that brought it),
`sequence` (its actor's number in this record), `builds_on`, `time` (its author's clock when it was
made, Unix milliseconds; null if not known), `origin`, and `change`: the Automerge change in base64.
A record's changes in order are an Automerge document. Deleted records are in the history
only. Integers have 64 bits: a reader that turns them into floats loses digits.

An attachment's line: `id`, `bytes`, `sha256`. One that was not whole on the exporting
device is not here; what only deleted records or older values hold is not either.

The list of the person's relays (`chez-relays`) is in no export. No collection of Chez's own (`is_own`) is taken from
one, and no table of open data into the private space: what is in them is believed (decision 0064).

Whoever made an export may have made it to do harm: a file of it is named by a pattern that
leads nowhere else, and read only if it is a plain file of the size that its line says.
"""

import errno
import hashlib
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez.errors import BadArchive
from chez.home.relay_list import COLLECTION
from chez.records.reference import MAX_SIZE
from chez.records.types import OPEN
from chez.records.values import OWN

__all__ = ("ATTACHMENTS", "CHANGES", "INDEX", "LEFT_OUT", "MANIFEST", "MAX_LINE", "NO_KINDS", "RECORDS", "SPACES",
           "AttachmentLine", "ChangeLine", "File", "Holds", "Manifest", "Part", "RecordLine", "file_name", "is_export",
           "is_own", "open_file", "read_manifest")

MANIFEST: Final = "manifest.json"
FORMAT: Final = "chez export"
RECORDS: Final = "records"
CHANGES: Final = "history"
ATTACHMENTS: Final = "attachments"
SPACES: Final = "spaces"
INDEX: Final = f"{ATTACHMENTS}/index.jsonl"

LEFT_OUT: Final = (COLLECTION,)
"""Collections that no export holds: where the person's devices go, with the tokens that operators gave them, which in
plain text would let others in."""

MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes of one line: a record takes at most a few changes' worth, and this is far more."""

MAX_MANIFEST: Final = 64 * 1024 * 1024
"""Bytes of the manifest: two hundred for each file."""

NO_KINDS: Final = msgspec.Raw(b"")
"""`kinds` of a record whose value is plain JSON."""

_HEAD: Final = 4096
"""Bytes in which a manifest says what it is."""

_PLAIN: Final = re.compile(r"[a-z][a-z0-9_.-]{0,99}")
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_PATH: Final = re.compile(r"(records|history)/[a-z~][a-z0-9_.~-]{0,127}\.jsonl|attachments/index\.jsonl")
_HEX: Final = r"^[0-9a-f]{64}\Z"


Holds = Literal["records", "history", "attachments"]
"""What the lines of a file are: also the folder that it is in."""


class File(msgspec.Struct, frozen=True):
    """One file of an export: how many lines and bytes, and their hash."""

    path: str
    collection: str
    holds: Holds
    lines: Annotated[int, Meta(ge=0)]
    bytes: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]


class Part(msgspec.Struct, frozen=True):
    """Another space, exported with this one: its id, its name, and the SHA-256 of its manifest."""

    id: Annotated[str, Meta(pattern=_HEX)]
    name: str
    sha256: Annotated[str, Meta(pattern=_HEX)]

    @property
    def path(self) -> str:
        """The folder that it is in."""
        return f"{SPACES}/{self.id}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export says of itself; ids in hexadecimal, `made` in RFC 3339.

    `space` is what was exported, by its name; `spaces` are the others that were with it.
    """

    format: Literal["chez export"] = "chez export"
    version: Annotated[int, Meta(ge=1, le=1)] = 1
    made: str
    person: str
    device: str
    name: str
    history: bool
    space: str = ""
    files: list[File]
    spaces: list[Part] = []


class RecordLine(msgspec.Struct, omit_defaults=True):
    """A record as a line of its collection's file."""

    id: str
    value: dict[str, msgspec.Raw]
    kinds: msgspec.Raw = NO_KINDS
    about: dict[str, msgspec.Raw] | None = None


class ChangeLine(msgspec.Struct):
    """A change as a line of its collection's history."""

    id: str
    hash: str
    author: str
    sequence: int
    builds_on: list[str]
    time: int | None
    origin: str | None
    change: bytes


class AttachmentLine(msgspec.Struct):
    """An attachment as a line of their index."""

    id: Annotated[str, Meta(pattern=_HEX)]
    bytes: Annotated[int, Meta(ge=0, le=MAX_SIZE)]
    sha256: Annotated[str, Meta(pattern=_HEX)]

    @property
    def path(self) -> str:
        """Where its content is."""
        return f"{ATTACHMENTS}/{self.id}"


def file_name(collection: str) -> str:
    """The name of a collection's file: its own where every file system takes it as it is.

    Others (capitals, which some systems don't tell from small letters; letters beyond
    ASCII; names of devices) get a hash behind what is left of them.
    """
    if _PLAIN.fullmatch(collection) and not _DEVICES.fullmatch(collection):
        return f"{collection}.jsonl"
    rest = re.sub(r"[^a-z0-9_-]", "", collection.lower())[:40].lstrip("0123456789_-")
    return f"{rest}~{hashlib.sha256(collection.encode()).hexdigest()[:16]}.jsonl"


def is_own(collection: str, private: bool) -> bool:
    """Whether an import leaves a collection out: Chez's own, and in the `private` space tables of open data.

    Contacts, grants, budgets, addresses and whom the person follows are kept there: devices act on what they find, and
    nothing of it is signed by whoever gave the person this export.
    """
    name = collection.casefold()
    return name.startswith(OWN) or (private and name.startswith(OPEN))


def is_export(path: Path) -> bool:
    """Whether a path names an export, whole or not: its folder or its manifest.

    A folder that another service's export was unpacked into is none, also where that has a file of this name.
    """
    if not path.is_dir():
        return path.name == MANIFEST
    try:
        with _plain(path / MANIFEST) as file:
            if FORMAT.encode() in file.read(_HEAD):
                return True
    except OSError:
        pass
    return any((path / RECORDS).glob("*.jsonl"))  # one whose manifest was lost or altered


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an export. Raises `BadArchive` when there is none or it is not one."""
    try:
        with _plain(folder / MANIFEST) as file:
            data = file.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise BadArchive(f"{folder} is no complete export: {MANIFEST} can't be read ({error.strerror})",
                         "Export again: the manifest is written last.") from None
    try:
        if len(data) > MAX_MANIFEST:
            raise ValueError("it is too large")
        manifest = msgspec.json.decode(data, type=Manifest)
        bad = [file.path for file in manifest.files
               if not _PATH.fullmatch(file.path) or file.path.partition("/")[0] != file.holds]
        if bad:
            raise ValueError(f"{bad[0]!r} is no file of an export")
        if len({file.path for file in manifest.files}) < len(manifest.files):
            raise ValueError("it names a file twice")
        if len({part.id for part in manifest.spaces}) < len(manifest.spaces):
            raise ValueError("it names a space twice")
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise BadArchive(f"{folder / MANIFEST} is no manifest of an export: {error}", "Export again.") from None
    return manifest


def _plain(path: Path) -> BufferedReader:
    """Open a plain file, and wait at no pipe. Raises `OSError`, also for what is no plain file."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no plain file")
    return open(handle, "rb")


def open_file(folder: Path, path: str, size: int) -> BufferedReader:
    """Open a file of an export; `path` is as in its manifest or index. Raises `BadArchive`."""
    try:
        # Not through a link, which may lead out of the folder; and not waiting at a pipe.
        handle = os.open(folder / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BadArchive(f"this export lacks {path} ({error.strerror})", "Export again.") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size != size:
        os.close(handle)
        raise BadArchive(f"{path} is not what the manifest says: it has another size, or is no plain file",
                         "Export again.")
    return open(handle, "rb")
