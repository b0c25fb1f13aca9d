"""The layer itself: nothing passes it, what it says fails does, and images are what the model says."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.durability.images import Disk, How
from tests.durability.scenarios import SCENARIOS
from tests.durability.tape import Appear, Op, Rename, Sync, Truncate, Vanish, Write, walk
from tests.durability.trial import Bench

Tree = dict[str, bytes | None]


def tree(folder: Path) -> Tree:
    """Everything in a folder."""
    return {path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in walk(folder)}


@pytest.mark.parametrize("bench", SCENARIOS, indirect=True)
def test_nothing_passes_the_layer(bench: Bench) -> None:
    """What was recorded, played over the folder as it was, gives the folder as it is, to the byte."""
    found = bench.run()
    now = tree(bench.folder)
    disk = bench.before
    disk.play(found.ops)
    bench.leave(disk, "all", "")
    assert tree(bench.folder) == now and found.ended == "done" and found.boundaries >= 5
    bench.hold(found.acknowledged(), "nothing at all")


# --- images against a plain model of a folder ---------------------------------------------


Step = tuple[str, int, int, bytes]
WHAT = ("write", "truncate", "create", "remove", "rename", "link", "sync", "names")
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 5), st.integers(0, 40), st.binary(max_size=12)),
                 max_size=40)
HOWS: tuple[How, ...] = ("none", "all", "beginning", "some")


class Plain:
    """A folder of files in memory that tells the same steps to a disk."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.files: dict[int, bytearray] = {}
        self.ops: list[Op] = []
        self._next = 1

    def do(self, step: Step) -> None:
        """One step, where it is possible."""
        what, which, size, data = step
        name, node = f"f{which}", self.names.get(f"f{which}")
        if what == "create" and node is None:
            self.names[name], self.files[self._next] = self._next, bytearray()
            self.ops.append(Appear(0, name, self._next))
            self._next += 1
        elif what == "names":
            self.ops.append(Sync(0))
        elif node is not None:
            self._change(what, name, node, size, data)

    def _change(self, what: str, name: str, node: int, size: int, data: bytes) -> None:
        file, other = self.files[node], f"f{size % 6}"
        if what == "write":
            file.extend(bytes(max(0, size - len(file))))
            file[size : size + len(data)] = data
            self.ops.append(Write(node, size, data))
        elif what == "truncate":
            file.extend(bytes(max(0, size - len(file))))
            del file[size:]
            self.ops.append(Truncate(node, size))
        elif what == "remove":
            del self.names[name]
            self.ops.append(Vanish(0, name))
        elif what == "rename" and other != name:
            self.names[other] = self.names.pop(name)
            self.ops.append(Rename(0, name, 0, other, node))
        elif what == "link" and other not in self.names:
            self.names[other] = node
            self.ops.append(Appear(0, other, node))
        elif what == "sync":
            self.ops.append(Sync(node))

    def tree(self) -> Tree:
        """What is in it."""
        return {".": None} | {name: bytes(self.files[node]) for name, node in self.names.items()}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[Op], How, int], Tree]]:
    """A function: what a power cut leaves after some steps in an empty folder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "empty").mkdir()

    def after(ops: list[Op], how: How, seed: int) -> Tree:
        disk = Disk.of(folder / "empty")
        disk.play(ops)
        disk.leave(folder / "left", how, Random(seed))
        found = tree(folder / "left")
        shutil.rmtree(folder / "left")
        return found

    yield after


def played(steps: list[Step]) -> Plain:
    """A folder after some steps."""
    folder = Plain()
    for step in steps:
        folder.do(step)
    return folder


@given(STEPS)
def test_all_that_was_done_is_what_is_there(left: Callable[[list[Op], How, int], Tree], steps: list[Step]) -> None:
    """When everything survives, the image is the folder."""
    folder = played(steps)
    assert left(folder.ops, "all", 0) == folder.tree()


@given(STEPS, st.sampled_from(HOWS), st.integers(0, 5))
def test_what_was_synced_survives(left: Callable[[list[Op], How, int], Tree], steps: list[Step], how: How,
                                  seed: int) -> None:
    """After everything was fsynced, whatever is left is the folder."""
    folder = played(steps)
    ops = [*folder.ops, *(Sync(node) for node in folder.files), Sync(0)]
    assert left(ops, how, seed) == folder.tree()


@given(STEPS, st.sampled_from(HOWS[:1] + HOWS[2:]), st.binary(min_size=1, max_size=5))
def test_an_fsync_that_failed_saves_nothing(left: Callable[[list[Op], How, int], Tree], steps: list[Step], how: How,
                                            data: bytes) -> None:
    """What it gave up is not made durable by the next one, but by writing it again."""
    folder = played(steps)
    mark = b"\xff" + data
    node = 100
    ops = [*folder.ops, Appear(0, "mark", node), Sync(0), Write(node, 0, mark), Sync(node, failed=True), Sync(node)]
    assert left(ops, how, 1)["mark"] == b""
    assert left([*ops, Write(node, 0, mark), Sync(node)], how, 1)["mark"] == mark


def test_what_was_not_synced_may_be_there_in_every_way(left: Callable[[list[Op], How, int], Tree]) -> None:
    """Two writes into a synced file and the removal of its name: every combination is met, and half a write."""
    ops: list[Op] = [Appear(0, "f", 1), Write(1, 0, b"aaaa"), Sync(1), Sync(0),
                     Write(1, 0, b"bb"), Write(1, 2, b"cc"), Vanish(0, "f")]
    met = {left(ops, "some", seed).get("f") for seed in range(400)}
    assert {None, b"aaaa", b"bbaa", b"aacc", b"bbcc", b"baaa"} <= met
