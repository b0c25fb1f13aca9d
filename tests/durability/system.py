"""Python's own ways to change files, led over a tape: `os`, and files opened for writing.

What the engine writes outside SQLite (key files, pieces of attachments, backups, exports)
goes through these. Only in a process that was started for it, and for good: nothing is
restored.
"""

import builtins
import io
import os
from collections.abc import Callable
from typing import IO, Any

from tests.durability.tape import Appear, Op, Rename, Sync, Tape, Truncate, Vanish, Write

__all__ = ("install",)


def _full(path: Any, folder: int | None = None) -> str:
    """A path as the tape knows it; of an open file the one it has."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    text = os.fsdecode(path)
    if folder is not None and not os.path.isabs(text):
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    return os.path.abspath(text)


class _File(io.FileIO):
    """A file whose writes go over the tape."""

    def __init__(self, tape: Tape, file: int, mode: str) -> None:
        super().__init__(file, mode)
        self._tape = tape

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        offset = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
        node = self._tape.node(self.fileno())

        def do(part: memoryview = view) -> int:
            return super(_File, self).write(part)

        return self._tape.step(f"write {len(view)} bytes", do, lambda count: Write(node, offset, bytes(view[:count])),
                               half=lambda: do(view[: len(view) // 2]), needs_room=True)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        node = self._tape.node(self.fileno())
        return self._tape.step("truncate", lambda: super(_File, self).truncate(size),
                               lambda _: Truncate(node, size))


def install(tape: Tape) -> None:
    """Lead every change of the tape's folder over it, from now on, in this process."""
    _install_names(tape)
    _install_open(tape)
    _install_descriptors(tape)


def _install_names(tape: Tape) -> None:
    unlink, rmdir, mkdir, rename, link = os.unlink, os.rmdir, os.mkdir, os.rename, os.link

    def removing(real: Callable[..., None], what: str) -> Callable[..., None]:
        def remove(path: Any, *, dir_fd: int | None = None) -> None:
            full = _full(path, dir_fd)
            if not tape.covers(full) or not os.path.lexists(full):
                return real(path, dir_fd=dir_fd)
            folder, name = tape.node(os.path.dirname(full)), os.path.basename(full)
            return tape.step(f"{what} {name}", lambda: real(path, dir_fd=dir_fd), lambda _: Vanish(folder, name))
        return remove

    def make(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        full = _full(path, dir_fd)
        if not tape.covers(full) or os.path.lexists(full):
            return mkdir(path, mode, dir_fd=dir_fd)
        return tape.step(f"mkdir {os.path.basename(full)}", lambda: mkdir(path, mode, dir_fd=dir_fd),
                         lambda _: tape.born(full, is_folder=True), needs_room=True)

    def move(old: Any, new: Any, **folders: Any) -> None:
        full, to = _full(old, folders.get("src_dir_fd")), _full(new, folders.get("dst_dir_fd"))
        if not tape.covers(full):
            return rename(old, new, **folders)
        op = Rename(tape.node(os.path.dirname(full)), os.path.basename(full), tape.node(os.path.dirname(to)),
                    os.path.basename(to), tape.node(full))
        return tape.step(f"rename to {op.to_name}", lambda: rename(old, new, **folders), lambda _: op)

    def name_again(old: Any, new: Any, **more: Any) -> None:
        full, to = _full(old), _full(new)
        if not tape.covers(to):
            return link(old, new, **more)
        op = Appear(tape.node(os.path.dirname(to)), os.path.basename(to), tape.node(full))
        return tape.step(f"link {op.name}", lambda: link(old, new, **more), lambda _: op, needs_room=True)

    os.unlink, os.remove, os.rmdir = removing(unlink, "unlink"), removing(unlink, "unlink"), removing(rmdir, "rmdir")
    os.mkdir, os.rename, os.replace, os.link = make, move, move, name_again


def _install_open(tape: Tape) -> None:
    opened, simple = os.open, io.open

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full = _full(path, dir_fd)
        real = lambda: opened(path, flags, mode, dir_fd=dir_fd)  # noqa: E731
        if not tape.covers(full):
            return real()
        name = os.path.basename(full)
        if flags & os.O_CREAT and not os.path.lexists(full):
            return tape.step(f"create {name}", real, lambda _: tape.born(full), needs_room=True)
        if flags & os.O_TRUNC and os.stat(full).st_size:
            return tape.step(f"empty {name}", real, lambda _: Truncate(tape.node(full), 0))
        return real()

    def open_file(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **more: Any) -> IO[Any]:
        if not set("wax+") & set(mode) or more.get("opener") or not tape.covers(_full(file)):
            return simple(file, mode, buffering, *args, **more)
        flags = os.O_CLOEXEC | (os.O_RDWR if "+" in mode else os.O_WRONLY)
        flags |= {"w": os.O_CREAT | os.O_TRUNC, "a": os.O_CREAT | os.O_APPEND, "x": os.O_CREAT | os.O_EXCL,
                  "r": 0}[next(letter for letter in mode if letter in "waxr")]
        handle = file if isinstance(file, int) else open_(file, flags, 0o666)
        raw = _File(tape, handle, mode.replace("b", "").replace("t", "").replace("x", "w"))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **more)

    os.open, io.open, builtins.open = open_, open_file, open_file


def _install_descriptors(tape: Tape) -> None:
    write, pwrite, ftruncate, fsync, fdatasync = os.write, os.pwrite, os.ftruncate, os.fsync, os.fdatasync

    def on(handle: int, what: str, do: Callable[..., Any], done: Callable[[int, Any], Op], **more: Any) -> Any:
        if not tape.covers(_full(handle) + ("/" if os.path.isdir(handle) else "")):
            return do()
        node = tape.node(handle)
        return tape.step(what, do, lambda result: done(node, result), **more)

    def write_(handle: int, data: Any) -> int:
        offset = os.lseek(handle, 0, os.SEEK_CUR) if os.path.isfile(handle) else 0
        return on(handle, "write", lambda part=data: write(handle, part),
                  lambda node, count: Write(node, offset, bytes(data[:count])),
                  half=lambda: write(handle, data[: len(data) // 2]), needs_room=True)

    def pwrite_(handle: int, data: Any, offset: int) -> int:
        return on(handle, "pwrite", lambda: pwrite(handle, data, offset),
                  lambda node, count: Write(node, offset, bytes(data[:count])),
                  half=lambda: pwrite(handle, data[: len(data) // 2], offset), needs_room=True)

    def syncing(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(file: Any) -> None:
            handle = file if isinstance(file, int) else file.fileno()
            node = tape.node(handle)
            return on(handle, "fsync", lambda: real(handle), lambda node, _: Sync(node),
                      failed=lambda: Sync(node, failed=True))
        return sync

    os.write, os.pwrite, os.fsync, os.fdatasync = write_, pwrite_, syncing(fsync), syncing(fdatasync)
    os.ftruncate = lambda handle, size: on(handle, "truncate", lambda: ftruncate(handle, size),
                                           lambda node, _: Truncate(node, size))
