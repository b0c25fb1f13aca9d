"""A folder as the zip that it would be: an export that somebody unpacked comes home as it would have packed.

Nothing is packed, and nothing copied: the zip is a file whose bytes are looked up when they are read. What stands
between the files in it, their headers and the directory, is made once and held; a byte of a file's comes from the
folder. So all that reads archives reads folders, with the same bounds (`chez.connectors.archive`), and the same
folder is the same zip: names are in order, times are left out.

A folder is opened without trust. No link is followed, be it a file or a folder on the way to one; what is no plain file
is never opened; a name that is no text, and what lies too deep, is left out. Each is a `Reject`. A file that
changes while it is read no longer has its checksum, and is broken in the zip as any other would be.

    open_export(path)        a file as it is, or a folder so
    left_out(file)           what of a folder is not in its zip
    folder_of(file)          the zip's bytes, for who serves them to a walled reader
"""

import hashlib
import io
import os
import stat
import zipfile
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from chez.connectors.api import HASHED, Reject, Source, excerpt, open_source
from chez.connectors.archive import MAX_DIRECTORY, MAX_MEMBERS
from chez.connectors.positioned import Positioned
from chez.errors import InvalidValue, StorageFailed
from chez.shown import UNREADABLE

__all__ = ("MAX_FOLDERS", "FolderZip", "folder_of", "left_out", "open_export")

MAX_FOLDERS: Final = 64
"""Folders inside each other: each is open while what is in it is listed."""

_BUFFER: Final = 64 * 1024
_LARGE: Final = 1 << 31
"""Bytes of a file from which its headers are those of large ones, as `zipfile` wants to know beforehand."""

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_PARTLY: Final = "Import the folders in it one by one."


def open_export(path: Path, heard: Callable[[int], None] | None = None) -> tuple[BinaryIO, Source]:
    """Open an export, a file or a folder, and describe it; the caller closes it.

    Reads all of it once for its hash, which takes a while of a large one: `heard` is told how many bytes are read.
    Raises as `open_source`; also `InvalidValue` for a folder without a file that can be read, or with too many.
    """
    if not path.is_dir():
        return open_source(path, heard)
    try:
        made = FolderZip(path, heard)
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from error
    name = path.resolve().name.encode("utf-8", "replace").decode()
    return io.BufferedReader(made, _BUFFER), Source(name, made.sha256, made.size)


def left_out(file: BinaryIO) -> tuple[Reject, ...]:
    """What of a folder is not in its zip; nothing of a file that is none."""
    folder = folder_of(file)
    return () if folder is None else folder.rejects


def folder_of(file: BinaryIO) -> "FolderZip | None":
    """The zip that a file of `open_export` is, if it is one of a folder."""
    raw = getattr(file, "raw", None)
    return raw if isinstance(raw, FolderZip) else None


class FolderZip(Positioned):
    """The zip's bytes: `size` of them, with this `sha256`; `rejects` are what is not in it."""

    def __init__(self, path: Path, heard: Callable[[int], None] | None = None) -> None:
        """Read a folder once; `heard` is told how many bytes of the zip are known so far.

        Raises `InvalidValue`, and `OSError` where it can't be read.
        """
        self._root = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        self._open: tuple[str, int] = ("", -1)
        try:
            listing = _Listing(self._root, path)
            tape = _Tape(heard)
            _record(tape, self._root, listing)
        except BaseException:
            self.close()
            raise
        self.rejects = tuple(listing.rejects)
        self._starts, self._parts = tape.starts, tape.parts
        self.size, self.sha256 = tape.size, tape.digest.digest()

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from there, or those that there are to the end.

        Zeros stand for what a file had and has no more: its checksum tells who reads it.
        """
        out = bytearray()
        number = bisect_right(self._starts, offset) - 1
        within = offset - self._starts[number]
        while len(out) < size and number < len(self._parts):
            out += self._part(self._parts[number], within, size - len(out))
            number, within = number + 1, 0
        return bytes(out)

    def _part(self, part: "bytearray | tuple[str, int]", within: int, size: int) -> bytes | bytearray:
        if isinstance(part, bytearray):
            return part[within : within + size]
        name, length = part
        wanted = max(0, min(size, length - within))
        try:
            data = os.pread(self._file(name), wanted, within)
        except OSError:
            data = b""
        return data + bytes(wanted - len(data))

    def close(self) -> None:
        if not self.closed:
            for handle in (self._open[1], self._root):
                if handle >= 0:
                    os.close(handle)
            self._open, self._root = ("", -1), -1
        super().close()

    def _file(self, name: str) -> int:
        """The file of this name, open; the one before is closed."""
        if self._open[0] != name:
            before, self._open = self._open[1], ("", -1)
            if before >= 0:
                os.close(before)
            self._open = (name, _opened(self._root, name))
        return self._open[1]


class _Tape:
    """What `zipfile` writes: bytes of its own are kept, a file's bytes are only where they come from."""

    def __init__(self, heard: Callable[[int], None] | None) -> None:
        self._heard, self._told = heard, 0
        self.starts: list[int] = []
        self.parts: list[bytearray | tuple[str, int]] = []
        self.size = 0
        self.digest = hashlib.sha256()
        self._copied: int | None = None

    def write(self, data: bytes) -> int:
        """Take what is written."""
        self.digest.update(data)
        if self._copied is not None:
            self._copied += len(data)
        else:
            if not self.parts or not isinstance(self.parts[-1], bytearray):
                self.starts.append(self.size)
                self.parts.append(bytearray())
            self.parts[-1] += data  # type: ignore[operator]
        self.size += len(data)
        if self._heard is not None and self.size - self._told >= HASHED:
            self._told = self.size
            self._heard(self.size)
        return len(data)

    def flush(self) -> None:
        """There is nothing to flush."""

    @contextmanager
    def copying(self, name: str) -> Iterator[None]:
        """What is written meanwhile is a file's, from its beginning."""
        begun, self._copied = self.size, 0
        yield
        copied, self._copied = self._copied, None
        if copied:
            self.starts.append(begun)
            self.parts.append((name, copied))


class _Listing:
    """The plain files of a folder, in order, with their sizes; and what is left out."""

    def __init__(self, root: int, path: Path) -> None:
        self.files: list[tuple[str, int]] = []
        self.rejects: list[Reject] = []
        self.path, self._count = path, 0
        self._list(root, "", 1)

    def _list(self, folder: int, before: str, depth: int) -> None:
        for entry, found in self._entries(folder):
            name = before + entry
            if not _is_text(entry):
                self._leave(name, "its name is no text")
            elif stat.S_ISREG(found.st_mode):
                self.files.append((name, found.st_size))
            elif not stat.S_ISDIR(found.st_mode):
                link = stat.S_ISLNK(found.st_mode)
                self._leave(name, "it is a link, and links are not followed" if link else "it is no plain file")
            elif depth >= MAX_FOLDERS:
                self._leave(name, f"it lies in more than {MAX_FOLDERS} folders")
            else:
                self._enter(folder, entry, name, depth)

    def _enter(self, folder: int, entry: str, name: str, depth: int) -> None:
        try:
            inner = os.open(entry, _FLAGS | os.O_DIRECTORY, dir_fd=folder)
        except OSError as error:
            self._leave(name, f"the folder can't be read: {error.strerror}")
            return
        try:
            self._list(inner, f"{name}/", depth + 1)
        finally:
            os.close(inner)

    def _entries(self, folder: int) -> list[tuple[str, os.stat_result]]:
        entries = []
        with os.scandir(folder) as found:
            for one in found:
                self._count += 1
                if self._count > MAX_MEMBERS:
                    raise InvalidValue(f"{self.path} has more than {MAX_MEMBERS:,} files and folders in it", _PARTLY)
                entries.append((one.name, one.stat(follow_symlinks=False)))
        return sorted(entries, key=lambda entry: entry[0])

    def _leave(self, name: str, reason: str) -> None:
        self.rejects.append(Reject(1, reason, "", excerpt(name)))


def _record(tape: _Tape, root: int, listing: _Listing) -> None:
    """Have the zip of these files written onto a tape. Raises `InvalidValue` when it has none, or too long names."""
    count = 0
    with zipfile.ZipFile(tape, "w") as made:  # type: ignore[call-overload]
        for name, size in listing.files:
            try:
                file = open(_opened(root, name), "rb", buffering=0)
            except OSError as error:
                listing.rejects.append(Reject(1, f"it can't be read: {error.strerror}", "", excerpt(name)))
                continue
            with file:
                count += _member(tape, made, file, name, size)
        begun = made.start_dir
    if not count:
        raise InvalidValue(f"there is no file in {listing.path} that can be read", "Name the folder that has them.")
    if tape.size - begun > MAX_DIRECTORY:
        raise InvalidValue(f"the names in {listing.path} take more than {MAX_DIRECTORY:,} bytes", _PARTLY)


def _member(tape: _Tape, made: zipfile.ZipFile, file: io.FileIO, name: str, size: int) -> int:
    about = zipfile.ZipInfo(name)
    about.create_system = 3  # the same everywhere
    with made.open(about, "w", force_zip64=size >= _LARGE) as member, tape.copying(name):
        left = size
        while left and (data := file.read(min(left, HASHED))):
            member.write(data)
            left -= len(data)
    return 1


def _opened(root: int, name: str) -> int:
    """A plain file in the folder, open. Raises `OSError`, also for what was put in its place or on its way."""
    *folders, last = name.split("/")
    here = root
    try:
        for folder in folders:
            inner = os.open(folder, _FLAGS | os.O_DIRECTORY, dir_fd=here)
            if here != root:
                os.close(here)
            here = inner
        # Not waiting, should it be a pipe by now.
        handle = os.open(last, _FLAGS | os.O_NONBLOCK, dir_fd=here)
    finally:
        if here != root:
            os.close(here)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is no plain file")
    return handle


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
