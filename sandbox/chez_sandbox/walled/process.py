"""The walled process: it calls one function on one open file, and can do nothing else.

Order matters: first everything is imported that the function needs (that needs files), then
the walls go up, then the process says which stand, and only then is a byte of the file read.
No key ever comes here: the process is started anew, with an empty environment and three
descriptors: the order on its standard input, the file, and the pipe to its parent.

Started by launcher.py as `python -I -S -c BOOT`; its arguments are the descriptors of the
file and the pipe, the parent's process id, bytes of memory and of address space, seconds
of processor, and the target "module:function".
"""

import codecs
import gc
import importlib
import os
import signal
import stat
import struct
from collections.abc import Callable

import msgspec

from chez_sandbox.runtime import walls

__all__ = ("CODECS", "Hello", "main")

CODECS = (
    "ascii", "cp037", "cp437", "cp850", "cp1250", "cp1251", "cp1252", "cp1254", "iso8859-1", "iso8859-2",
    "iso8859-15", "koi8-r", "mac-roman", "utf-7", "utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le",
    "utf-32", "gb18030", "shift-jis", "euc-jp", "big5", "base64", "quopri",
)  # fmt: skip
"""Encodings that files declare: Python loads each from a file when it is first used."""

_GARBAGE = 100_000  # new objects between two collections


class Hello(msgspec.Struct, frozen=True):
    """The first message on the pipe: which walls stand, or why nothing will be called."""

    walls: tuple[str, ...] = ()
    failed: str = ""


def main(arguments: list[str]) -> None:
    """The process: see the module's word on the order."""
    file, pipe, parent, memory, address_space, cpu_seconds = map(int, arguments[:6])
    walls.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal: when reading ends is the engine's to say
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
    try:
        work = _prepare(arguments[6], file, pipe)
    except Exception as error:  # the boundary to code that is not ours
        _say(pipe, Hello(failed=f"{type(error).__name__}: {str(error)[:500]}"))
        os._exit(1)
    walls.let_others_first()
    standing = list(walls.lock_files())
    if walls.limit(data=memory, address_space=address_space, cpu_seconds=cpu_seconds):
        standing.append(walls.RLIMITS)
    if walls.close_door((file,), (pipe,), seekable=(file,)):
        standing.append(walls.SECCOMP)
    _say(pipe, Hello(tuple(sorted(standing))))
    try:
        work()
    finally:
        # Nothing is left to tidy that ending does not free, and less code runs after foreign bytes.
        os._exit(0)


def _prepare(target: str, file: int, pipe: int) -> Callable[[], None]:
    for name in CODECS:
        codecs.lookup(name)
    importlib.import_module("_strptime")  # which datetime imports when it first parses
    order = bytearray()
    while part := os.read(0, 1 << 16):
        order += part
    os.close(0)
    if stat.S_ISREG(os.fstat(file).st_mode):  # and not a pipe, over which a folder's bytes come
        os.lseek(file, 0, os.SEEK_SET)  # where the parent's own reading ahead left it says nothing
    module, _, name = target.partition(":")
    prepare = getattr(importlib.import_module(module), name)
    work: Callable[[], None] = prepare(bytes(order), os.fdopen(file, "rb", closefd=False), pipe)
    return work


def _say(pipe: int, hello: Hello) -> None:
    body = msgspec.msgpack.encode(hello)
    os.write(pipe, struct.pack(">I", len(body)) + body)
