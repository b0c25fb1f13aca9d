"""Taking results from the inbox: open, check, keep, and only then let the relay forget.

Each message becomes one line of a JSON Lines file, written through to the disk before it
is acknowledged; a message that comes twice (a lost acknowledgement, a relay that repeats)
is recognised by its id, across restarts, and kept once. What does not open is kept as a
line too, with the reason, and never stops what follows.

Where bundles are given, a message of another one is no result: anybody with a bundle can write it, and no schema says
what may be in it. Its line keeps it whole, and it is opened again when the file is opened with its bundle.

Whoever has a bundle may put anything there, without end: of what is no result the file has so many bytes, and of
later ones the reason alone.

Whatever else results go to (a hook, tables) is filled from this file, and remembers its
place in it: so nothing is lost between the two, whenever the process is killed.
"""

import base64
import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec

from chez.crypto import hash_fields
from chez.errors import InvalidValue, StorageFailed
from chez.shown import UNREADABLE, UNWRITABLE
from chez_durable.folders import sync_folder
from chez_sandbox.bundle import Bundle
from chez_sandbox.job_errors import MessageInvalid, ResultRefused
from chez_sandbox.provider.keys import ProviderKeys
from chez_sandbox.release.parse import MAX_DEPTH
from chez_sandbox.release.release import Release, message_id, message_size, open_message
from chez_sandbox.release.strict_json import read_json
from chez_wire.limits import MAX_INBOX_ITEM

__all__ = ("BEGINNING", "Kept", "Line", "Place", "ResultBook", "result_id")

MAX_USELESS: Final = 64 << 20
"""Bytes of items of no result that are kept, to be looked into."""
MAX_UNHELD: Final = 1 << 30
"""Bytes of items of bundles that were not given, which may be results: about a million."""
MAX_LINE: Final = 16 * MAX_INBOX_ITEM
"""More bytes than any line has: a number's form (1e15) takes up to five times as much room in it as in an item."""


class Place(msgspec.Struct, frozen=True):
    """A place between two lines of a book: up to where something has taken it."""

    offset: int
    """In bytes."""
    mark: str
    """The hash of the line before it, which tells another file in the book's place; empty at the beginning."""


BEGINNING = Place(0, "")
"""Nothing was taken yet."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a book, and the place behind it."""

    value: dict[str, Any]
    end: Place


class Kept(msgspec.Struct, frozen=True):
    """What became of one item of the inbox; it is durable here."""

    line: dict[str, Any]
    new: bool
    """False for a message that was kept before."""
    release: Release | None
    """What the message says; None for one that does not open, or does not fit its job."""


def result_id(release: Release) -> str:
    """The id of a result, 32 hexadecimal digits: the same however often it comes."""
    return message_id(release.pseudonym, release.grant, release.sequence, release.consent).hex()


class ResultBook:
    """The file of results: `keep` is durable when it returns.

    Raises `StorageFailed` when the file can't be opened, read or written.
    """

    def __init__(self, path: Path, keys: ProviderKeys, bundles: Iterable[Bundle] = ()) -> None:
        self._path = path
        self._keys = keys
        self._bundles: Mapping[bytes, Bundle] = {bundle.hash: bundle for bundle in bundles}
        self._seen: set[str] = set()
        self._consents: dict[tuple[str, str], str] = {}
        self._late = range(0)
        """Where, in the file, the lines end that were written when it was opened."""
        self._room = {False: MAX_USELESS, True: MAX_UNHELD}
        """How much more is kept of items that are no result, and that may be one of a bundle that was not given."""

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync_folder(self._path.parent)  # else a power cut may take the whole file, by its name
            waiting, size = self._read_back(), os.fstat(self._file).st_size
            for item, received in waiting:
                self.keep(item, received)
            self._late = range(size + 1, os.fstat(self._file).st_size + 1)
        except BlockingIOError:
            os.close(self._file)
            hint = "end that one first, or name another --out"
            raise StorageFailed(f"{self._path} is being written by another chez-job results", hint) from None
        except OSError as error:
            raise StorageFailed(f"{self._path} can't be used: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def bundles(self) -> Mapping[bytes, Bundle]:
        """The bundles that results are held against, by hash."""
        return self._bundles

    def late(self) -> Iterator[Kept]:
        """What became a result when the file was opened, for its bundle is held now; without what it says."""
        for line in self.lines(BEGINNING) if self._late else ():
            if line.end.offset in self._late:
                yield Kept(line.value, True, None)

    def _read_back(self) -> list[tuple[bytes, datetime]]:
        """Note what is there. Gives the messages, and when they came, that wait for a bundle which is held now."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            # What follows shall not be one line with what a crash cut. Where its end alone is missing, it is whole.
            os.write(self._file, b"\n")
        waiting = []
        for line in self.lines(BEGINNING):
            if isinstance(id := line.value.get("id"), str):
                self._note(line.value, id)
            if (item := self._waiting(line.value)) is not None:
                waiting.append(item)
        return waiting

    def _waiting(self, line: Mapping[str, Any]) -> tuple[bytes, datetime] | None:
        try:
            if line["outcome"] != "invalid" or bytes.fromhex(line["bundle"]) not in self._bundles:
                return None
            return base64.b64decode(line["item"]), datetime.fromisoformat(line["received"]).astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def lines(self, after: Place) -> Iterator[Line]:
        """The lines behind a place, whole ones only. Raises `InvalidValue` where the place is not of this file."""
        try:
            with self._path.open("rb") as file:
                self._require_here(file, after)
                end = after.offset
                for text in file:
                    end += len(text)
                    if text.endswith(b"\n") and (value := _value(text)) is not None:
                        yield Line(value, Place(end, _mark(text)))
        except OSError as error:
            raise StorageFailed(f"{self._path} can't be read: {error.strerror}", UNREADABLE) from None

    def _require_here(self, file: BinaryIO, place: Place) -> None:
        """Seek to a place, if it is the end of the line that it names."""
        if place.offset:
            file.seek(max(0, place.offset - MAX_LINE))
            before = file.read(place.offset - file.tell())
            begin = before.rstrip(b"\n").rfind(b"\n") + 1
            if file.tell() != place.offset or _mark(before[begin:]) != place.mark:
                raise InvalidValue(
                    f"{self._path} is not the file of results that was gone on with before",
                    "bring that one back with --out, or begin anew where the results go",
                )

    def keep(self, item: bytes, now: datetime) -> Kept:
        """Open a message and keep it, unless it was kept before."""
        line: dict[str, Any] = {"received": now.astimezone(UTC).isoformat(timespec="seconds")}
        opened = release = None
        try:
            opened = open_message(item, self._keys.sealing, self._keys.inbox)
            line |= self._opened(opened, len(item))
            release = opened
        except (MessageInvalid, ResultRefused) as error:
            id = hash_fields("chez/1 invalid item", item)[:16].hex()
            line |= {"id": id, "outcome": "invalid", "problem": error.message}
            if opened is not None and self._unheld(opened):
                line["bundle"] = opened.bundle.hex()
            if len(item) <= self._room["bundle" in line]:
                line["item"] = base64.b64encode(item).decode()
        if new := line["id"] not in self._seen:
            self._append(json.dumps(line) + "\n")
            self._note(line, line["id"])
        return Kept(line, new, release)

    def _note(self, line: Mapping[str, Any], id: str) -> None:
        self._seen.add(id)
        if isinstance(item := line.get("item"), str):
            self._room["bundle" in line] -= len(item) * 3 // 4
        if (consent := line.get("consent")) is not None:
            self._consents[line["pseudonym"], line["grant"]] = consent

    def _unheld(self, release: Release) -> bool:
        """Whether there are bundles to hold results against, and this one's is none of them."""
        return bool(self._bundles) and release.bundle not in self._bundles

    def _opened(self, release: Release, size: int) -> dict[str, Any]:
        if self._unheld(release):
            raise MessageInvalid(f"the message is of the bundle {release.bundle.hex()}, which is none of those given")
        bundle = self._bundles.get(release.bundle)
        if bundle is not None:
            self._require_fitting(bundle, release, size)
        person, consent = (release.pseudonym.hex(), release.grant.hex()), release.consent.hex()
        if self._consents.get(person, consent) != consent:
            raise MessageInvalid("the message names another consent than those before it of the same grant")
        return {
            "id": result_id(release),
            "outcome": release.outcome,
            "result": _plain(release.result) if release.outcome == "result" else None,
            "job": bundle.manifest.id if bundle else None,
            "version": bundle.manifest.version if bundle else None,
            "run_date": release.run_date,
            "sequence": release.sequence,
            "grant": release.grant.hex(),
            "pseudonym": release.pseudonym.hex(),
            "bundle": release.bundle.hex(),
            "consent": consent,
            "bytes": size,
        }

    def _require_fitting(self, bundle: Bundle, release: Release, size: int) -> None:
        """Whoever has the bundle can write to the inbox: hold every message against the schema."""
        schema = bundle.manifest.schema
        if size != message_size(schema):
            raise MessageInvalid(f"the message has {size} bytes, not the {message_size(schema)} of its job")
        if release.outcome == "result" and schema.admit(release.result).encoded != release.result:
            raise MessageInvalid("the result is not in canonical form")

    def _append(self, text: str) -> None:
        begin, left = os.fstat(self._file).st_size, text.encode()
        try:
            while left:  # a disk that is nearly full takes a part, and says so by the number alone
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):  # the next line shall not be one with the part
                os.ftruncate(self._file, begin)
            raise StorageFailed(f"{self._path} can't be written: {error.strerror}", UNWRITABLE) from None


def _mark(text: bytes) -> str:
    return hash_fields("chez/1 line of results", text)[:8].hex()


def _value(text: bytes) -> dict[str, Any] | None:
    """The line, or None for one cut by a crash."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _plain(result: bytes) -> object:
    """A result that no schema bounds. Raises `ResultRefused` for what Python's reader would tolerate, and for more
    levels than any schema has: whether a line with thousands can be read again depends on who reads it."""
    read_json(result)
    value = json.loads(result, parse_float=_finite)
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = [list(one.values()) if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for some in inner for one in some]
        if not level:
            return value
    raise ResultRefused("result", f"is nested deeper than {MAX_DEPTH} levels")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ResultRefused("result", "has a number larger than JSON's readers take")
    return number
