"""What a waiting worker does until its job comes: once through a run, with a job of ours.

A process that was just forked owns hardly a page. Its first run takes a thousand page faults, most
of them to copy what it shares with the zygote and with the compiled code; on a machine that gives
free memory back to its host, each new page may take 0.1 ms. So the worker runs a job once, in an
instance of its own that is dropped; makes the one that will serve; and has the kernel copy for it
those pages of the memory image that the rehearsal wrote to. The walls stand by then, nothing of a
job has run, and of the rehearsal nothing is left but warm pages.

Which pages were written is asked of /proc/self, whose files are opened before the walls and closed
before anything of the job runs. Source: proc_pid_pagemap(5), madvise(2).
"""

import ctypes
import mmap
import os
from collections.abc import Iterator
from typing import Final

import msgspec
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime.execution import Instance, NotOurs, execute, make_ahead
from chez_sandbox.runtime.messages import Limits, Rows, Start, TableHead, ToWorker
from chez_sandbox.runtime.tables import Budget, Tables

__all__ = ("Pages", "stand_by")

# Rows and no query: SQLite's limit of the heap is the process's, and can't be raised again.
_SOURCE: Final = """
def run(data, params):
    return {"date": str(data.run_date), "sum": sum(row["n"] for row in data.rows("t"))}
"""
_TABLE: Final = TableHead("t", ("at", "n"), 2)
_START: Final = Start(_SOURCE, "{}", "2000-01-01", bytes(32), Limits(), [_TABLE])
_ROWS: Final = Rows(0, [("2000-01-01", 1), ("2000-01-02", 2)])

_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, since Linux 5.14; an older one refuses, and faults later
_ENTRY = 8  # bytes of one page in pagemap
_PRESENT, _OF_FILE = 1 << 63, 1 << 61


class Pages:
    """The pages of this process that are mapped, for writing, from the file of compiled code."""

    def __init__(self, file: tuple[str, int], maps: int, pagemap: int) -> None:
        self._file, self._maps, self._pagemap = file, maps, pagemap

    @classmethod
    def open(cls, code: int) -> "Pages | None":
        """Those from the file of this descriptor; None where the kernel does not tell."""
        maps = -1
        try:
            maps = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
            pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if maps >= 0:
                os.close(maps)
            return None
        about = os.fstat(code)
        return cls((f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}", about.st_ino), maps, pagemap)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What has to stay readable and seekable behind the walls until `close`."""
        return self._maps, self._pagemap

    def close(self) -> None:
        """No more looking."""
        os.close(self._maps)
        os.close(self._pagemap)

    def written(self) -> list[tuple[int, int]]:
        """Where, in the file, pages were copied because they were written to: (offset, bytes), joined and sorted."""
        found: list[tuple[int, int]] = []
        for first, last, offset in self._mappings():
            count = (last - first) // mmap.PAGESIZE
            os.lseek(self._pagemap, first // mmap.PAGESIZE * _ENTRY, os.SEEK_SET)
            body = os.read(self._pagemap, count * _ENTRY)
            for number, entry in enumerate(memoryview(body).cast("Q")):
                if entry & _PRESENT and not entry & _OF_FILE:
                    at = offset + number * mmap.PAGESIZE
                    if found and sum(found[-1]) == at:
                        found[-1] = found[-1][0], found[-1][1] + mmap.PAGESIZE
                    else:
                        found.append((at, mmap.PAGESIZE))
        return found

    def touch(self, written: list[tuple[int, int]]) -> None:
        """Has these parts of the file copied before anybody writes to them."""
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for first, last, offset in self._mappings():
            for at, size in written:
                if offset <= at and at + size <= offset + last - first:
                    advise(first + at - offset, size, _POPULATE_WRITE)

    def _mappings(self) -> Iterator[tuple[int, int, int]]:
        """(first address, last, offset in the file) of each writable mapping."""
        os.lseek(self._maps, 0, os.SEEK_SET)
        text = b""
        while piece := os.read(self._maps, 1 << 16):
            text += piece
        for line in text.decode(errors="replace").splitlines():
            addresses, rights, offset, device, inode, *_ = line.split()
            if (device, int(inode)) == self._file and rights.startswith("rw"):
                first, _, last = addresses.partition("-")
                yield int(first, 16), int(last, 16), int(offset, 16)


class _NoClock:
    """The rehearsal ends by its fuel."""

    def arm(self, seconds: float) -> None:
        """Nothing runs out."""

    def stop(self) -> None:
        """Nothing was started."""


def stand_by(
    engine: wasmtime.Engine,
    component: wc.Component,
    decoder: msgspec.msgpack.Decoder[ToWorker],
    pages: Pages | None,
) -> Instance | None:
    """An instance of the Python runtime that no run had, in warm pages; None when something failed.

    What fails here costs time only: the run then makes an instance for itself.
    """
    try:
        rehearsed = _rehearse(engine, component, decoder)
        written = pages.written() if pages else []
        del rehearsed
        made = make_ahead(engine, component)
        if pages:
            pages.touch(written)
    except (NotOurs, wasmtime.WasmtimeError, MemoryError, OSError):
        return None
    return made


def _rehearse(
    engine: wasmtime.Engine, component: wc.Component, decoder: msgspec.msgpack.Decoder[ToWorker]
) -> Instance:
    """One run, from the first message to the last, without a word to anybody; its instance."""
    for message in (_START, _ROWS):
        decoder.decode(msgspec.msgpack.encode(message))
    budget = Budget(_START.limits, lambda: False)
    tables = Tables(_START.tables, budget)
    tables.add(0, _ROWS.rows)
    made = make_ahead(engine, component)
    done = execute(engine, component, _START, tables, budget, _NoClock(), ahead=made)
    msgspec.msgpack.encode(done)
    return made
