"""Zip files from outside, read without trusting a byte of them.

A name in an archive is a label and never a path: nothing is unpacked, members are
streamed. What is bounded, and why:

- the directory (`MAX_DIRECTORY`, `MAX_MEMBERS`): it is the one part that is held;
- what all members together unpack to (`MAX_RATIO` times the archive, and `SPARE`), counted
  as it is unpacked, for sizes that an archive states are claims; members that overlap
  (D. Fifield, A better zip bomb, WOOT 2019) count each time;
- an archive inside an archive is not opened.

A member that is encrypted, compressed in another way than deflate, broken or badly named
costs itself: it is a `Reject`. Source: APPNOTE.TXT 6.3.10 (PKWARE).
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import IO, BinaryIO, Final

import msgspec

from chez.connectors.api import Found, Item, Progress, Reject, Source, excerpt
from chez.errors import BadArchive, InvalidValue

__all__ = ("MAX_DIRECTORY", "MAX_MEMBERS", "MAX_RATIO", "SIGNATURE", "SPARE", "Archive", "Member", "is_archive")

SIGNATURE: Final = b"PK\x03\x04"
"""What a zip begins with; one that is empty, split or has a program in front is not read."""

MAX_DIRECTORY: Final = 4 * 1024 * 1024
"""Bytes of an archive's directory, and of any other read from the archive: the directory of 40,000 files
with names of 60 characters."""

MAX_MEMBERS: Final = 40_000
"""Files in one archive: a large Takeout has thousands."""

MAX_NAME: Final = 512
"""Characters in a member's name, its folders included."""

MAX_RATIO: Final = 100
"""How many times the archive's size its members may unpack to: exports of JSON and XML shrink to a tenth, seldom
to a thirtieth."""

SPARE: Final = 16 * 1024 * 1024
"""Bytes that members may unpack to beyond that: a small archive of a repetitive table."""

_BUFFER: Final = 64 * 1024
_AGAIN: Final = "Download it again from the service."
_PARTLY: Final = "Unpack it, and import the files of it that you want."
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
                  OSError, LookupError, OverflowError, struct.error)
"""What `zipfile` raises on bytes that are no archive, as seen and as fuzzed."""


class Member(msgspec.Struct, frozen=True):
    """A file in an archive: its name, folders included, its stated size in bytes, and that in the archive."""

    name: str
    size: int
    packed: int


class Archive:
    """A zip that is open for reading: `members` that can be read, `rejects` for those that can't."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Read the directory of a zip of `size` bytes; the file stays the caller's to close. Raises `BadArchive`."""
        try:
            self._zip = zipfile.ZipFile(_Careful(file))
        except _BROKEN as error:
            raise BadArchive(f"the archive can't be read: {_why(error)}", _AGAIN) from None
        # Not `is_dir`, which looks at a name's last character, also where a name has none.
        files = [info for info in self._zip.infolist() if not info.filename.endswith("/")]
        if len(files) > MAX_MEMBERS:
            raise BadArchive(f"the archive has {len(files):,} files; at most {MAX_MEMBERS:,} are read",
                             _PARTLY)
        self._left = size * MAX_RATIO + SPARE
        self._infos: dict[str, zipfile.ZipInfo] = {}
        rejects = []
        for info in files:
            if reason := _objection(info) or ("it is in the archive twice" if info.filename in self._infos else ""):
                rejects.append(Reject(1, reason, "", excerpt(info.filename)))
            else:
                self._infos[info.filename] = info
        self.rejects = tuple(rejects)
        self.members = tuple(Member(info.filename, info.file_size, info.compress_size)
                             for info in self._infos.values())
        self._before: dict[str, int] = {}
        self._packed = 1
        self.reading(self.members)

    def reading(self, members: Sequence[Member]) -> None:
        """Tell which members `items` will be asked for, in this order, where that is not all in theirs: progress is of
        what is read, and only rises."""
        packed = [*accumulate((member.packed for member in members), initial=0)]
        self._before = {member.name: before for member, before in zip(members, packed, strict=False)}
        self._packed = max(1, packed[-1])

    def open(self, name: str) -> BinaryIO:
        """A member's bytes, streamed; `seek(0)` begins again, other jumps are refused. The caller closes it.

        Opening and reading raise `BadArchive` where the member is broken, longer than it says, or
        all that was unpacked too much; `KeyError` for a name that is no member.
        """
        return io.BufferedReader(_Unpacked(self, self._infos[name]), _BUFFER)

    def items(self, member: Member, source: Source,
              read: Callable[[BinaryIO, Source], Iterator[Item]]) -> Iterator[Item]:
        """What `read` finds in one member, its name on each item, progress in bytes of the archive, by how much is read
        of what will be.

        A member that is broken, or not what `read` takes, ends in a `Reject`; the rest of the archive goes on.
        """
        before, line = self._before[member.name], 1
        about = Source(member.name.rpartition("/")[2], source.sha256, member.size)
        try:
            with self.open(member.name) as file:
                for item in read(file, about):
                    if isinstance(item, Found):
                        line = item.row
                        yield Found(item.record, line, member.name, item.by)
                    elif isinstance(item, Progress):
                        part = min(item.done, member.size) * member.packed // max(1, member.size)
                        yield Progress(min((before + part) * source.size // self._packed, source.size))
                    else:
                        line = item.line
                        yield replace(item, member=member.name)
        except (BadArchive, InvalidValue) as error:
            yield Reject(line, error.message, "", member.name)

    def _unpack(self, count: int) -> None:
        """Count bytes that were unpacked."""
        self._left -= count
        if self._left < 0:
            raise BadArchive(f"the archive unpacks to more than {MAX_RATIO} times its size",
                             "It may be made to fill memory. Unpack it by hand if you trust it.")


class _Careful(io.RawIOBase):
    """The archive's file as `zipfile` may see it: no read of more than the directory may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(min(size, MAX_DIRECTORY + 1) if size >= 0 else MAX_DIRECTORY + 1)
        if len(data) > MAX_DIRECTORY:
            raise BadArchive(f"the archive's directory has more than {MAX_DIRECTORY:,} bytes", _PARTLY)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Unpacked(io.RawIOBase):
    """One member's bytes, counted, every failure a `BadArchive`."""

    def __init__(self, archive: Archive, info: zipfile.ZipInfo) -> None:
        self._archive, self._info = archive, info
        self._done = 0
        self._file = self._begin()

    def _begin(self) -> IO[bytes]:
        try:
            return self._archive._zip.open(self._info)
        except _BROKEN as error:
            raise self._bad(error) from None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._done

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if (offset, whence) == (0, 1) or (offset, whence) == (self._done, 0):
            return self._done
        if (offset, whence) != (0, 0):
            raise io.UnsupportedOperation("a member of an archive is read from its beginning")
        self._file.close()
        self._file, self._done = self._begin(), 0
        return 0

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except _BROKEN as error:
            raise self._bad(error) from None
        self._archive._unpack(len(data))
        buffer[: len(data)] = data
        self._done += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()

    def _bad(self, error: Exception) -> BadArchive:
        return BadArchive(f"the file is broken in the archive: {_why(error)}", _AGAIN)


def is_archive(head: bytes) -> bool:
    """Whether a file that begins like this is a zip."""
    return head.startswith(SIGNATURE)


def _objection(info: zipfile.ZipInfo) -> str:
    """Why a member is not read; empty if it may be."""
    parts = info.filename.split("/")
    if len(info.filename) > MAX_NAME or not info.filename.isprintable() or "\\" in info.filename:
        return "its name is none that an export would give"
    if ".." in parts or "" in parts or "." in parts or ":" in parts[0]:
        return "its name leads out of the archive"
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted: unpack the archive with its password, and import the files"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed in a way that is not read here"
    return ""


def _why(error: Exception) -> str:
    return excerpt(str(error)) or type(error).__name__
