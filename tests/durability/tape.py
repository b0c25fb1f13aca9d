"""What a process does to the files of one folder, in order, and where a fault strikes it.

Each change (a write, a truncation, an fsync, an entry of a folder that comes, goes or moves)
is one *boundary*: it is counted before it is done, a fault may strike there, and it is put on
the tape once it is done, under the lock under which it was done. So the tape is the order
in which the disk was told, and playing it over the folder's first state gives its last one
(`images.py`; a test holds that to the byte).

Files and folders are *nodes*: numbers that stay with a file when it is renamed. The first
ones are those of the folder at the start, in the order of `walk`.
"""

import errno
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar

__all__ = ("NO_FAULT", "Acknowledged", "Appear", "Fault", "Op", "Recording", "Rename", "Sync", "Tape", "Truncate",
           "Vanish", "Write", "ignored", "walk")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes were written into a file."""

    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file was cut or stretched to a size."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's content or a folder's entries were made durable; or not, if it `failed`."""

    node: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Appear:
    """A folder has a new entry: a file that was made, another name of one, or a folder."""

    folder: int
    name: str
    node: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Vanish:
    """An entry of a folder is gone."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """An entry moved, in place of what was there."""

    folder: int
    name: str
    to: int
    to_name: str
    node: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The program was told that something is done."""

    what: str


Op = Write | Truncate | Sync | Appear | Vanish | Rename | Acknowledged


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the boundary number `at` (from 1).

    `kill` ends the process before it, `torn` in the middle of it (half of a write is done).
    `eio` fails it, once; `enospc` fails it if it needs room, and whatever needs room from then on.
    """

    kind: Literal["none", "kill", "torn", "eio", "enospc"] = "none"
    at: int = 0


NO_FAULT: Final = Fault()

SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class Recording:
    """How a process ended: what it did, how many boundaries it met, and its error if it raised one."""

    ops: list[Op]
    boundaries: int
    syncs: list[int]
    """Which of the boundaries are fsyncs."""
    growing: list[int]
    """Which need room: what is made, and what is written. Writes below a disk's sector, such as the heads of frames
    in SQLite's log, stand for the write that follows them and are left out."""
    cuts: list[int]
    """How much was on the tape before each of the boundaries."""
    ended: Literal["killed", "done", "refused", "broken"]
    error: str = ""
    struck: str = ""
    """What the fault met."""
    nodes: dict[int, int] = field(default_factory=dict)
    """The nodes of files and folders by their numbers of the file system: for who goes on in the same folder."""

    @property
    def last(self) -> int:
        """How much is on the tape up to the last thing that the program was told was done; all, if nothing was."""
        told = [place for place, op in enumerate(self.ops, 1) if isinstance(op, Acknowledged)]
        return told[-1] if told else len(self.ops)

    def acknowledged(self, until: int | None = None) -> list[str]:
        """What the program was told was done, up to a place of the tape."""
        return [op.what for op in self.ops[:until] if isinstance(op, Acknowledged)]


def ignored(name: str) -> bool:
    """Files that are no part of what survives: SQLite's shared memory, made anew by whoever opens first."""
    return name.endswith("-shm")


def walk(root: Path) -> Iterator[Path]:
    """A folder and everything in it, in an order that a copy of it has too."""
    yield root
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *names]):
            if not ignored(name):
                yield Path(folder, name)


@dataclass(slots=True)
class Tape:
    """One process's recording, written to `out` when it ends (a file outside `root`)."""

    root: Path
    out: Path
    fault: Fault = NO_FAULT
    known: dict[int, int] = field(default_factory=dict)
    """The nodes of a process before, in the same folder."""
    ops: list[Op] = field(default_factory=list)
    boundaries: int = 0
    syncs: list[int] = field(default_factory=list)
    growing: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    struck: str = ""
    _nodes: dict[int, int] = field(default_factory=dict)
    _count: int = 0
    _full: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._nodes, self._count = dict(self.known), max(self.known.values(), default=-1) + 1
        for path in walk(self.root):
            if (inode := path.stat().st_ino) not in self._nodes:
                self._new(inode)

    def covers(self, path: str) -> bool:
        """Whether a path is in the folder, and no file that is ignored."""
        return path.startswith(f"{self.root}/") and not ignored(path)

    def node(self, path: str | int) -> int:
        """The node of a path or an open file; -1 for one that is not in the folder."""
        return self._nodes.get(os.stat(path).st_ino, -1)

    def born(self, path: str, *, is_folder: bool = False) -> Appear:
        """Note a file or folder that was just made."""
        # A number of the file system is used again once its file is gone, so this is another node.
        node = self._new(os.stat(path).st_ino)
        return Appear(self.node(os.path.dirname(path)), os.path.basename(path), node, is_folder)

    def _new(self, inode: int) -> int:
        self._nodes[inode] = self._count
        self._count += 1
        return self._nodes[inode]

    def step(self, what: str, do: Callable[[], T], done: Callable[[T], Op | None], *,
             half: Callable[[], object] | None = None, needs_room: bool = False, size: int = SECTOR,
             failed: Callable[[], Op] | None = None) -> T:
        """Do one thing to the disk: `do` does it, `done` says what was done, for the tape.

        `half` does half of it; a write has a `size`. Raises OSError where the fault says so, with what `failed`
        says on the tape; that is for an fsync.
        """
        with self._lock:
            self.boundaries += 1
            self._count_in(needs_room and size >= SECTOR, failed is not None)
            if self.fault.at == self.boundaries or (self._full and needs_room):
                self._strike(what, do, half, needs_room, failed)
            result = do()
            if (op := done(result)) is not None:
                self.ops.append(op)
            return result

    def _count_in(self, grows: bool, syncs: bool) -> None:
        self.cuts.append(len(self.ops))
        if grows:
            self.growing.append(self.boundaries)
        if syncs:
            self.syncs.append(self.boundaries)

    def _strike(self, what: str, do: Callable[[], object], half: Callable[[], object] | None, needs_room: bool,
                failed: Callable[[], Op] | None) -> None:
        self.struck = self.struck or what
        kind = self.fault.kind
        if kind == "torn":
            (half or do)()
        if kind in ("kill", "torn"):
            self.write("killed")
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "enospc":
            self._full = True
            if needs_room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if kind == "eio":
            if failed is not None:
                self.ops.append(failed())
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def also(self, op: Op) -> None:
        """Note what came with the last step."""
        with self._lock:
            self.ops.append(op)

    def acknowledge(self, what: str) -> None:
        """The program was told that something is done."""
        self.also(Acknowledged(what))

    def relieve(self) -> None:
        """There is room again, and nothing fails any more."""
        with self._lock:
            self.fault, self._full = NO_FAULT, False

    def write(self, ended: Literal["killed", "done", "refused", "broken"], error: str = "") -> None:
        """Put the recording where whoever started the process finds it."""
        with self._lock:
            self.out.write_bytes(pickle.dumps(
                Recording(self.ops, self.boundaries, self.syncs, self.growing, self.cuts, ended, error, self.struck,
                          self._nodes)))
