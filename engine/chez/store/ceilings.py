"""SQLite's own ceilings, for which its Python binding has no call: of one connection, and of its memory.

A statement that somebody else wrote can make a value of a gigabyte in one step, between
two looks of any watch. Two things of SQLite's C interface (sqlite.org/c3ref) stop it
before it begins: `sqlite3_limit` bounds a connection's values and programs, and
`sqlite3_hard_heap_limit64` refuses memory beyond a sum. They are called in the very
library that the binding is.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, TypeVar

from chez.errors import StorageFailed

__all__ = ("STATEMENT", "VALUE", "little_heap", "lowered")

T = TypeVar("T")

VALUE: Final = 16 * 1024 * 1024
"""Bytes of one value, or of one row of the store, in a statement that somebody else wrote."""

_LENGTH, _SQL_LENGTH, _VDBE_OP, _ATTACHED, _LIKE_PATTERN_LENGTH = 0, 1, 5, 7, 8  # sqlite3.h, SQLITE_LIMIT_...
STATEMENT: Final[Mapping[int, int]] = MappingProxyType({
    _LENGTH: VALUE,
    _SQL_LENGTH: VALUE,  # the views of wide collections are made by SQL too
    _VDBE_OP: 250_000,
    _ATTACHED: 0,
    _LIKE_PATTERN_LENGTH: 200,  # matching takes time by the product of pattern and text, in one step
})
"""The ceilings of a connection on which such statements run."""

_Opened = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class _Library:
    """The library that the binding is. Raises `StorageFailed` if it hides what is needed to bound anything.

    The binding tells nobody a connection's handle; SQLite tells it to what is registered for
    new connections, in the thread that opens one. What is registered stays so: a thread may
    be about to call it at any time.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(import_module("sqlcipher3._sqlite3").__file__)
        try:
            library.sqlite3_limit.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
            library.sqlite3_auto_extension.argtypes = (_Opened,)
            library.sqlite3_hard_heap_limit64.argtypes = (ctypes.c_int64,)
            library.sqlite3_hard_heap_limit64.restype = library.sqlite3_memory_used.restype = ctypes.c_int64
        except AttributeError:
            raise StorageFailed("this build of SQLCipher lets nobody bound what a statement takes",
                                "Install the sqlcipher3 that Chez names, or ask by filters instead of SQL.") from None
        self.c: Any = library
        self.wanted = threading.local()
        self._opened = _Opened(self._lower)
        if failed := library.sqlite3_auto_extension(self._opened):
            raise StorageFailed(f"SQLite can't bound what a statement takes (error {failed})", "Try again.")

    def _lower(self, handle: int, message: int, routines: int) -> int:
        for which, most in getattr(self.wanted, "ceilings", {}).items():
            self.c.sqlite3_limit(handle, which, most)
        return 0


_once: Final = threading.Lock()
_made: Final = cache(_Library)


def _library() -> _Library:
    # One for ever: SQLite would call into a second that was made at the same time and let go.
    with _once:
        return _made()


def lowered(connect: Callable[[], T], ceilings: Mapping[int, int]) -> T:
    """Call `connect`, which opens a connection in this thread, and lower its ceilings. Raises `StorageFailed`."""
    wanted = _library().wanted
    wanted.ceilings = ceilings
    try:
        return connect()
    finally:
        del wanted.ceilings


class _Heap:
    """The one limit on SQLite's memory that a process has, while anybody needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    @contextmanager
    def little(self, more: int) -> Iterator[None]:
        library = _library().c
        with self._lock:
            most = library.sqlite3_memory_used() + more
            library.sqlite3_hard_heap_limit64(max(most, library.sqlite3_hard_heap_limit64(-1)))
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    library.sqlite3_hard_heap_limit64(0)


# SQLite has this limit once in a process, so who needs it is counted once in a process.
_heap: Final = _Heap()


def little_heap(more: int) -> AbstractContextManager[None]:
    """While this lasts SQLite gets at most `more` bytes than it had; beyond, a statement raises MemoryError.

    The limit is the process's: another connection's statement may be the one that is
    refused, and is undone like any that fails. Raises `StorageFailed`.
    """
    return _heap.little(more)
