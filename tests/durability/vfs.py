"""SQLite's changes of files, led over a tape: a layer below SQLCipher, at SQLite's own VFS.

The default VFS of a SQLite library is a table of functions (`sqlite3_vfs`), and each file it
opens has one of its own (`sqlite3_io_methods`): see sqlite.org/c3ref/vfs.html and
c3ref/io_methods.html. Here the functions that open and delete files, write, cut and sync
them are replaced through ctypes, in the library that an extension module has in itself or is
linked with. What comes by is ciphertext.

Only in a process that was started for it, and for good: nothing is restored.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from tests.durability.tape import Op, Sync, Tape, Truncate, Vanish, Write

__all__ = ("install",)

_OK: Final = 0
_FULL: Final = 13
_CANNOT_OPEN: Final = 14
_WRITE, _FSYNC, _TRUNCATE, _DELETE = (10 | kind << 8 for kind in (3, 4, 6, 10))
"""SQLITE_IOERR_WRITE and so on (sqlite.org/rescode.html)."""

_CREATE: Final = 0x00000004
_LOG: Final = 0x00000800 | 0x00080000 | 0x00004000
"""SQLITE_OPEN_MAIN_JOURNAL, _WAL, _SUPER_JOURNAL: who opens one to create it syncs its name with its first sync
(`os_unix.c`, whether or not it was there)."""

_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int,
                         ctypes.c_void_p)
_REMOVE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
_ON_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_ON_SIZE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_ON_FLAGS = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("file_size", ctypes.c_int), ("longest", ctypes.c_int),
                ("next", ctypes.c_void_p), ("name", ctypes.c_char_p), ("data", ctypes.c_void_p),
                ("open", ctypes.c_void_p), ("delete", ctypes.c_void_p)]


class _Methods(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("close", ctypes.c_void_p), ("read", ctypes.c_void_p),
                ("write", ctypes.c_void_p), ("truncate", ctypes.c_void_p), ("sync", ctypes.c_void_p),
                ("others", ctypes.c_void_p * 13)]


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


def install(tape: Tape, module: ModuleType) -> None:
    """Lead what the SQLite in an extension module does to the tape's folder over the tape, in this process."""
    library = ctypes.CDLL(module.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_initialize()
    _Layer(tape, library.sqlite3_vfs_find(None).contents)


class _Layer:
    """The functions in the place of those of a VFS."""

    _kept: Final[list[Any]] = []
    """ctypes' functions, which SQLite calls as long as the process lives."""

    def __init__(self, tape: Tape, vfs: _Vfs) -> None:
        self._tape = tape
        self._open = _OPEN(vfs.open)
        self._delete = _REMOVE(vfs.delete)
        self._methods: dict[int, _Methods] = {}
        self._nodes: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._unnamed: set[int] = set()
        replaced = _OPEN(self.open), _REMOVE(self.delete)
        self._kept.append((self, replaced))
        vfs.open, vfs.delete = (ctypes.cast(function, ctypes.c_void_p).value for function in replaced)

    def open(self, vfs: int, name: int | None, file: int, flags: int, flags_out: int | None) -> int:
        """xOpen. A file that it makes is a boundary; one in the folder gets methods of ours."""
        path = os.path.abspath(os.fsdecode(ctypes.string_at(name))) if name else ""
        if not self._tape.covers(path):
            return int(self._open(vfs, name, file, flags, flags_out))
        if os.path.exists(path):
            result = int(self._open(vfs, name, file, flags, flags_out))
            if result == _OK:
                self._adopt(file, path, flags)
            return result

        def opened() -> int:
            result = int(self._open(vfs, name, file, flags, flags_out))
            if result == _OK:
                self._born = self._tape.born(path)
                self._adopt(file, path, flags)
            return result

        try:
            return self._tape.step(f"create {os.path.basename(path)}", opened,
                                   lambda result: self._born if result == _OK else None, needs_room=True)
        except OSError:
            _File.from_address(file).methods = None  # so that nobody closes what was not opened
            return _CANNOT_OPEN

    def _adopt(self, file: int, path: str, flags: int) -> None:
        self._nodes[file], self._names[file] = self._tape.node(path), path
        self._unnamed.discard(file)
        if flags & _LOG and flags & _CREATE:
            self._unnamed.add(file)
        opened = _File.from_address(file)
        at = ctypes.addressof(opened.methods.contents)
        if at not in self._methods:
            self._methods[at] = self._methods_over(opened.methods.contents)
        opened.methods = ctypes.pointer(self._methods[at])

    def _methods_over(self, real: _Methods) -> _Methods:
        made = _Methods.from_buffer_copy(real)
        write, truncate, sync = _ON_WRITE(real.write), _ON_SIZE(real.truncate), _ON_FLAGS(real.sync)

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            node = self._nodes[file]
            return self._over(
                f"write {size} bytes at {offset} of", file, lambda: write(file, data, size, offset),
                lambda: Write(node, offset, ctypes.string_at(data, size)), _WRITE, needs_room=True, size=size,
                half=lambda: write(file, data, size // 2, offset) if size > 1 else _OK)

        def on_truncate(file: int, size: int) -> int:
            return self._over("truncate", file, lambda: truncate(file, size),
                              lambda: Truncate(self._nodes[file], size), _TRUNCATE)

        def on_sync(file: int, flags: int) -> int:
            node = self._nodes[file]
            result = self._over("fsync", file, lambda: sync(file, flags), lambda: Sync(node), _FSYNC,
                                failed=lambda: Sync(node, failed=True))
            if result == _OK and file in self._unnamed:  # SQLite's own has synced the folder as well
                self._unnamed.discard(file)
                self._tape.also(Sync(self._tape.node(os.path.dirname(self._names[file]))))
            return result

        ours = _ON_WRITE(on_write), _ON_SIZE(on_truncate), _ON_FLAGS(on_sync)
        self._kept.append((write, truncate, sync, ours))
        made.write, made.truncate, made.sync = (ctypes.cast(function, ctypes.c_void_p).value for function in ours)
        return made

    def _over(self, what: str, file: int, do: Callable[[], int], op: Callable[[], Op], otherwise: int,
              **more: Any) -> int:
        """One step over the tape, with SQLite's result for it."""
        name = os.path.basename(self._names[file])
        try:
            return self._tape.step(f"{what} {name}", do, lambda result: op() if result == _OK else None, **more)
        except OSError as error:
            return _FULL if error.errno == errno.ENOSPC else otherwise

    def delete(self, vfs: int, name: int, sync: int) -> int:
        """xDelete: the entry goes, and then the folder is synced if that is asked for."""
        path = os.path.abspath(os.fsdecode(ctypes.string_at(name)))
        if not self._tape.covers(path) or not os.path.exists(path):
            return int(self._delete(vfs, name, sync))
        folder = self._tape.node(os.path.dirname(path))
        try:
            result = self._tape.step(f"unlink {os.path.basename(path)}", lambda: int(self._delete(vfs, name, 0)),
                                     lambda _: Vanish(folder, os.path.basename(path)))
            if sync and result == _OK:
                handle = os.open(os.path.dirname(path), os.O_RDONLY)
                try:
                    os.fsync(handle)  # over the tape, if Python's calls are
                finally:
                    os.close(handle)
        except OSError:
            return _DELETE
        return result
