"""A backup: one encrypted, signed file with everything a home needs to be made again.

Its content, inside the sealed file of `store.sealed`, is a list of parts:

    length (4 bytes) ‖ MessagePack [name, size] ‖ so many bytes

    about          MessagePack (class About): whose home this is
    chez.db        the store as of one moment, still under the key of the home's database
    blobs/ab/cdef  each piece of an attachment, sealed as it is at home
    signature      Ed25519 by the device over all before it, header included

The file opens with the passphrase that the home had when it was made: the header holds
the home's key file, and the file's key derives from the database key in it.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadArchive, ChezError, Damaged, InvalidValue, NotFound, StorageFailed
from chez.home.exporting import OnProgress, on_loop
from chez.home.names import check_path
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.shown import NO_FILE, UNREADABLE
from chez.store.checks import store_problems
from chez.store.database import Connection, Database
from chez.store.disk import disk_error, name_file
from chez.store.file import connect, copy
from chez.store.keyfile import KEY_FILE
from chez.store.sealed import CHUNK, Header, SealedReader, SealedWriter, read_header
from chez_durable.folders import sync_folder

__all__ = ("SCRATCH", "STORE_FILE", "About", "Backup", "BackupReport", "open_backup", "unseal")

STORE_FILE: Final = "chez.db"
SCRATCH: Final = ".backup-"
"""How names in a home's folder begin that a backup needs while it is made."""

_BLOBS: Final = "blobs"
_PIECE: Final = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{1,126}")
_SIGNED: Final = "chez/1 backup"
MAX_PART: Final = 4096
"""Bytes of a part's name and size, or of `about`."""


class About(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Whose backup it is, and of which device; `made` is RFC 3339."""

    version: Annotated[int, Meta(ge=1, le=1)]
    person: Annotated[bytes, Meta(min_length=32, max_length=32)]
    device: Annotated[bytes, Meta(min_length=32, max_length=32)]
    name: Annotated[str, Meta(max_length=128)]
    made: Annotated[str, Meta(max_length=64)]


class _Part(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=256)]
    size: Annotated[int, Meta(ge=0, le=2**62)]


class BackupReport(msgspec.Struct, frozen=True):
    """What a backup wrote: its path, size in bytes and SHA-256; and whether it was restored to try."""

    path: str
    bytes: int
    sha256: str
    verified: bool


class Backup(msgspec.Struct, frozen=True):
    """What a backup needs of a home; `secret` is the database's key."""

    database: Database
    journal: Journal
    device: DeviceKeys
    home: Path
    about: About

    async def write(self, path: Path, verify: bool, progress: OnProgress | None) -> BackupReport:
        """Write a backup; see `Home.backup`."""
        check_path(path)
        self.database.check_writable("Open it without read_only=True: the journal is to tell of a backup.")
        if path.exists() or path.is_symlink():
            raise InvalidValue(f"there is something at {path} already", "A backup is never written over anything.")
        if not path.parent.is_dir():
            raise NotFound(f"there is no folder {path.parent}", "Make it, or choose another; of a disk, plug it in.")
        note = on_loop(progress)
        report = await self.database.aside(lambda db, check: self._write(db, path, verify, note, check))
        try:
            await self.journal.append("backup", {"to": str(path), "bytes": report.bytes, "sha256": report.sha256,
                                                 "verified": verify})
        except ChezError:  # of what nobody knows nothing is left
            path.unlink(missing_ok=True)
            raise
        return report

    def _write(self, db: Connection, path: Path, verify: bool, note: OnProgress,
               check: Callable[[], None]) -> BackupReport:
        try:
            scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self.home))
        except OSError as error:
            raise disk_error(error, f"{self.home} can't be written") from None
        fresh = path.with_name(f".{path.name[:200]}.{crypto.random_bytes(4).hex()}")
        try:
            with open(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w+b") as file:
                copy(db, scratch / STORE_FILE)
                check()
                size = self._seal(file, scratch / STORE_FILE, 2 if verify else 1, note, check)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                if verify:
                    (scratch / STORE_FILE).unlink()
                    self._verify(file, scratch, size, note, check)
                whole = file.seek(0, os.SEEK_END)
            _put_in_place(fresh, path)
        except FileExistsError:
            raise InvalidValue(f"there is something at {path} by now",
                               "A backup is never written over anything.") from None
        except OSError as error:
            raise disk_error(error, f"{path} can't be made") from None
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink()
            shutil.rmtree(scratch, ignore_errors=True)
        return BackupReport(str(path), whole, digest, verify)

    def _seal(self, file: BinaryIO, store: Path, turns: int, note: OnProgress, check: Callable[[], None]) -> int:
        """Write the file; returns how much content it has."""
        header = Header(crypto.random_bytes(32), (self.home / KEY_FILE).read_bytes())
        pieces = [self.home / name for name in self._pieces(store)]
        total = store.stat().st_size + sum(path.stat().st_size for path in pieces if path.exists())
        parts = _Writing(SealedWriter(file, header, bytes(self.database.key)), header)
        parts.begin("about", msgspec.msgpack.encode(self.about))
        done = 0
        for name, source in ((STORE_FILE, store), *((path.relative_to(self.home).as_posix(), path) for path in pieces)):
            try:
                opened = source.open("rb")
            except FileNotFoundError:
                continue  # freed since: the store in this backup knows that it may be missing
            with opened:
                parts.begin_file(name, os.fstat(opened.fileno()).st_size)
                while data := opened.read(CHUNK):
                    check()
                    parts.add(data)
                    done += len(data)
                    note(done, total * turns)
        parts.sign(self.device)
        return total

    def _pieces(self, store: Path) -> list[str]:
        """The files of attachments that the store in this backup holds: what was added since is nobody's in it."""
        db = connect(store, bytes(self.database.key))
        try:
            ids = sorted({id for (id,) in db.execute("SELECT id FROM chunk WHERE held = 1")})
        finally:
            db.close()
        return [f"{_BLOBS}/{id.hex()[:2]}/{id.hex()[2:]}" for id in ids]

    def _verify(self, file: BinaryIO, scratch: Path, size: int, note: OnProgress, check: Callable[[], None]) -> None:
        def step(done: int) -> None:
            check()
            note(size + min(done, size), 2 * size)

        file.seek(0)
        unseal(file, lambda header: bytes(self.database.key), scratch, step, pieces=False)
        db = connect(scratch / STORE_FILE, bytes(self.database.key))
        try:
            if found := store_problems(db):
                raise Damaged(f"what this backup restores is damaged: {found[0]}",
                              "Run `chez doctor`, then make the backup again.")
        finally:
            db.close()


def _put_in_place(fresh: Path, path: Path) -> None:
    name_file(fresh, path)
    try:
        sync_folder(path.parent)
    except OSError:
        path.unlink()  # or it would be there, and its maker told that it is not
        raise


class _Writing:
    """The parts of a backup as they are written, hashed for the signature."""

    def __init__(self, out: SealedWriter, header: Header) -> None:
        self._out = out
        self._hash = hashlib.blake2b(header.digest(), digest_size=32)

    def begin_file(self, name: str, size: int) -> None:
        part = msgspec.msgpack.encode(_Part(name, size))
        self.add(len(part).to_bytes(4, "big") + part)

    def begin(self, name: str, data: bytes) -> None:
        self.begin_file(name, len(data))
        self.add(data)

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self._out.write(data)

    def sign(self, device: DeviceKeys) -> None:
        self.begin("signature", device.signing.sign(_SIGNED, self._hash.digest()))
        self._out.close()


def unseal(file: BinaryIO, secret: Callable[[Header], bytes], folder: Path, step: Callable[[int], Any], *,
           pieces: bool = True) -> About:
    """Take a backup apart into a folder, checking all of it; `step` hears how many bytes are done.

    Without `pieces` those of attachments are checked and not written: they may need more room
    than there is.

    Raises `BadArchive`, what `secret` raises, and OSError for what the disk does not allow.
    The folder is worth nothing when this raises.
    """
    header = read_header(file)
    return _Reading(SealedReader(file, header, secret(header)), header, folder, step, pieces).take()


class _Reading:
    def __init__(self, source: SealedReader, header: Header, folder: Path, step: Callable[[int], Any],
                 pieces: bool) -> None:
        self._source = source
        self._pieces = pieces
        self._folder = folder
        self._step = step
        self._hash = hashlib.blake2b(header.digest(), digest_size=32)
        self._done = 0

    def take(self) -> About:
        about = self._about()
        seen = set()
        while True:
            before = self._hash.copy()
            part = self._part()
            if part.name == "signature":
                break
            if part.name in seen or not (part.name == STORE_FILE or _PIECE.fullmatch(part.name)):
                raise BadArchive(f"the backup holds {part.name!r}, which is no part of a home", "Use another backup.")
            seen.add(part.name)
            if self._pieces or part.name == STORE_FILE:
                self._file(part)
            else:
                self._content(part, lambda data: None)
        if part.size != crypto.SIGNATURE_BYTES or STORE_FILE not in seen:
            raise BadArchive("the backup lacks its store or its signature", "Use another backup.")
        try:
            crypto.verify(about.device, self._source.read(part.size), _SIGNED, before.digest())
        except crypto.CryptoFailed:
            raise BadArchive("the backup is not signed by the device it is of", "Use another backup.") from None
        self._source.end()
        if self._pieces:
            folders = {(self._folder / name).parent for name in seen}
            for folder in folders | {folder.parent for folder in folders if folder != self._folder}:
                sync_folder(folder)
        return about

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def _part(self) -> _Part:
        size = self._read(4)
        count = int.from_bytes(size, "big")
        if count > MAX_PART:
            raise BadArchive("a part of the backup has too long a name", "Use another backup.")
        data = self._read(count)
        try:
            return msgspec.msgpack.decode(data, type=_Part)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadArchive(f"a part of the backup can't be read: {error}", "Use another backup.") from None

    def _about(self) -> About:
        part = self._part()
        if part.name != "about" or part.size > MAX_PART:
            raise BadArchive("the backup does not say whose it is", "Use another backup.")
        try:
            return msgspec.msgpack.decode(self._read(part.size), type=About)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadArchive(f"the backup does not say whose it is: {error}", "Update Chez.") from None

    def _file(self, part: _Part) -> None:
        path = self._folder / part.name
        for folder in (path.parent.parent, path.parent):  # with `parents`, only the last would get the mode
            folder.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            self._content(part, out.write)
            out.flush()
            os.fsync(out.fileno())

    def _content(self, part: _Part, take: Callable[[bytes], Any]) -> None:
        left = part.size
        while left:
            data = self._read(min(left, CHUNK))
            take(data)
            left -= len(data)
            self._done += len(data)
            self._step(self._done)


def open_backup(path: Path) -> BinaryIO:
    """Open a backup's file. Raises `NotFound`, `StorageFailed`."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from None
