"""What a power cut may leave of a folder, given what a process did to it.

A disk holds for sure what was fsynced: of a file its content, of a folder its entries. What
came since is *loose*, and any of it may be there: none, all, a beginning, or an arbitrary
subset, writes half done, in whatever order. That is the model of ALICE (Pillai and others,
"All File Systems Are Not Created Equal", OSDI 2014); CrashMonkey (Mohan and others, OSDI
2018) tests file systems with the same kind of recording.

An fsync that failed makes nothing durable, and what it was to make durable is never made so
by a later one that succeeds: the kernel marks the pages clean (Rebello and others, "Can
Applications Recover from fsync Failures?", USENIX ATC 2020).

Bytes beside those that are written stay what they were, as SQLite expects of a disk
(sqlite.org/psow.html).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from tests.durability.tape import Acknowledged, Appear, Op, Rename, Sync, Truncate, Vanish, Write, walk

__all__ = ("Disk", "How")

How = Literal["none", "all", "beginning", "some"]
"""How much of what is loose a power cut leaves."""

Entry = Appear | Vanish | Rename
Content = Write | Truncate


@dataclass(slots=True)
class _File:
    sure: bytearray
    loose: list[Content] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    """Places in `loose` of what a failed fsync gave up."""


@dataclass(slots=True)
class Disk:
    """A disk as of some place of a tape: what is sure, and what is loose."""

    _files: dict[int, _File] = field(default_factory=dict)
    _folders: dict[int, dict[str, int]] = field(default_factory=dict)
    _entries: list[Entry] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> "Disk":
        """A disk that holds a folder for sure."""
        disk, numbers = cls(), dict[Path, int]()
        for number, path in enumerate(walk(root)):
            numbers[path] = number
            if path.is_dir():
                disk._folders[number] = {}
            else:
                disk._files[number] = _File(bytearray(path.read_bytes()))
            if number:
                disk._folders[numbers[path.parent]][path.name] = number
        return disk

    def play(self, ops: Iterable[Op]) -> None:
        """Go on by these."""
        for op in ops:
            match op:
                case Write() | Truncate():
                    self._files[op.node].loose.append(op)
                case Appear() | Vanish() | Rename():
                    self._entries.append(op)
                    if isinstance(op, Appear):
                        self._born(op)
                case Sync():
                    self._sync(op)
                case Acknowledged():
                    pass

    def _born(self, op: Appear) -> None:
        if op.is_folder:
            self._folders[op.node] = {}
        elif op.node not in self._files:
            self._files[op.node] = _File(bytearray())

    def _sync(self, op: Sync) -> None:
        file = self._files.get(op.node)
        if op.failed:
            if file is not None:
                file.lost.update(range(len(file.loose)))
        elif file is None:
            stay: list[Entry] = []
            for entry in self._entries:
                # A move is one step, made sure with the folder it leads to.
                if (entry.to if isinstance(entry, Rename) else entry.folder) == op.node:
                    _enter(self._folders, entry)
                    if isinstance(entry, Rename):  # so how the name came that it had before tells nothing any more
                        stay = [old for old in stay if (old.folder, old.name) != (entry.folder, entry.name)]
                else:
                    stay.append(entry)
            self._entries = stay
        else:
            for place, change in enumerate(file.loose):
                if place not in file.lost:
                    _apply(file.sure, change)
            file.loose = [file.loose[place] for place in sorted(file.lost)]
            file.lost = set(range(len(file.loose)))

    def leave(self, target: Path, how: How, random: Random) -> None:
        """Make, in a new folder, what a power cut may leave."""
        folders = {number: dict(entries) for number, entries in self._folders.items()}
        for entry in _chosen(self._entries, how, random):
            _enter(folders, entry)
        # What was not entered by a folder that is there is lost with its name.
        self._write(target, 0, folders, lambda file: self._content(file, how, random))

    def _write(self, at: Path, number: int, folders: dict[int, dict[str, int]],
               content: Callable[[_File], bytes]) -> None:
        at.mkdir()
        for name, node in sorted(folders[number].items()):
            if node in folders:
                self._write(at / name, node, folders, content)
            elif not os.path.lexists(at / name):
                (at / name).write_bytes(content(self._files[node]))

    def _content(self, file: _File, how: How, random: Random) -> bytes:
        data = bytearray(file.sure)
        kept = [change for place, change in enumerate(file.loose) if how == "all" or place not in file.lost]
        for change in _chosen(kept, how, random):
            if how in ("beginning", "some") and isinstance(change, Write) and random.random() < 0.2:
                change = Write(change.node, change.offset, change.data[: random.randrange(len(change.data) + 1)])
            _apply(data, change)
        return bytes(data)


def _chosen(ops: Sequence[Op], how: How, random: Random) -> Sequence[Op]:
    match how:
        case "none":
            return ()
        case "all":
            return ops
        case "beginning":
            return ops[: random.randrange(len(ops) + 1)]
        case "some":
            share = random.choice((0.1, 0.5, 0.9))
            return [op for op in ops if random.random() < share]


def _apply(data: bytearray, change: Op) -> None:
    match change:
        case Write(_, offset, new):
            data.extend(bytes(max(0, offset - len(data))))
            data[offset : offset + len(new)] = new
        case Truncate(_, size):
            data.extend(bytes(max(0, size - len(data))))
            del data[size:]


def _enter(folders: dict[int, dict[str, int]], entry: Op) -> None:
    match entry:
        case Appear(folder, name, node):
            folders[folder][name] = node
        case Vanish(folder, name):
            folders[folder].pop(name, None)
        case Rename(folder, name, to, to_name, node):
            if folders[folder].get(name) == node:
                del folders[folder][name]
            folders[to][to_name] = node
