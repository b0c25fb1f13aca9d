"""One trial: a scenario's folder, something that happens to it, and whether what must hold does."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Final

from tests.durability.images import Disk, How
from tests.durability.relays import relay
from tests.durability.running import record
from tests.durability.scenarios import SCENARIOS
from tests.durability.tape import NO_FAULT, Fault, Recording, walk

__all__ = ("STEP", "Bench", "sample")

STEP = 1 if os.environ.get("CHEZ_EVERY_BOUNDARY") else 12
"""A walk through all boundaries of a scenario tries every twelfth, which takes minutes, or each, which takes half
an hour more: when that variable is set."""

LONG: Final = ("import", "restore", "salvage")
"""Scenarios whose trials take the longest: of theirs, a walk that leaves some out tries a third."""


class Bench:
    """Where trials of one scenario are made; each begins with a copy of what was prepared once."""

    def __init__(self, name: str, ground: Path) -> None:
        self.name = name
        self.scenario = SCENARIOS[name]
        self.prepared = ground / name
        self._at = ground / "trial"
        shutil.rmtree(self._at, ignore_errors=True)  # of a trial that failed
        if not self.prepared.exists():
            self.prepared.mkdir()
            asyncio.run(self.scenario.prepare(self.prepared))

    @property
    def step(self) -> int:
        """How far a walk goes from one boundary to the next that it tries."""
        return STEP * 3 if STEP > 1 and self.name in LONG else STEP

    @property
    def folder(self) -> Path:
        """What is recorded, and meets the fault, in the trial that is under way."""
        return self._at / self.scenario.taped

    @property
    def before(self) -> Disk:
        """A disk that holds it as it is before each trial."""
        return Disk.of(self.prepared / self.scenario.taped)

    def run(self, fault: Fault = NO_FAULT) -> Recording:
        """The scenario, on a copy, with a fault; `hold` or `clear` comes next."""
        shutil.copytree(self.prepared, self._at)
        with relay(self._at / "relay") if self.scenario.taped else nullcontext():
            found = record(self.name, self.folder, fault)
        assert found.ended != "broken", f"{fault} at {found.struck}: {found.error}"
        return found

    def hold(self, acknowledged: Sequence[str], what: str) -> None:
        """What must hold of the folder as it is now; it is removed."""
        try:
            asyncio.run(self.scenario.check(self._at, acknowledged))
        except BaseException as error:
            error.add_note(f"{self.name}: {what}, acknowledged: {list(acknowledged)}")
            raise
        self.clear()

    def clear(self) -> None:
        """Remove the folder of the last trial."""
        shutil.rmtree(self._at)

    def strike(self, fault: Fault) -> bool:
        """Run with a fault and see what holds; False when the scenario has no such boundary."""
        found = self.run(fault)
        self.hold(found.acknowledged(), f"{fault} at {found.struck}")
        return found.boundaries >= fault.at

    def cut(self, at: int, how: How, seed: int) -> bool:
        """Cut the power before a boundary and see what holds; False when the scenario has no such boundary.

        The program is really stopped there, so that what went over the network by then is what it was.
        """
        found = self.run(Fault("kill", at))
        disk = self.before
        disk.play(found.ops)
        self.leave(disk, how, f"{at} {seed}")
        self.hold(found.acknowledged(), f"power cut at {at}, before {found.struck}, left {how}, {seed}")
        return found.boundaries >= at

    def cut_later(self, at: int) -> bool:
        """Kill it before a boundary, begin again, and cut the power at the last word; False where no such boundary is.

        What was loose at the kill is so still: who begins again sees it, and the disk need not have it.
        """
        found = self.run(Fault("kill", at))
        if found.ended != "killed":
            self.clear()
            return False
        with relay(self._at / "relay") if self.scenario.taped else nullcontext():
            again = record(self.name, self.folder, after=found)
        told = f"killed at {at}, before {found.struck}"
        # Of a home that was made but for its last sync the second run says that it is there.
        assert again.ended == "done" or "HomeExists" in again.error, f"{told}: {again.error}"
        disk = self.before
        disk.play([*found.ops, *again.ops[: again.last]])
        self.leave(disk, "none", str(at))
        self.hold(again.acknowledged(), f"{told}, begun again, power cut at the last word")
        return True

    def cut_everywhere(self, how: How, seed: int) -> int:
        """Cut the power before every boundary of one recording, in steps; how many folders were different.

        For a scenario that is alone with its disk: nobody else knows how far it came.
        """
        found = self.run()
        shutil.rmtree(self.folder)
        disk, played, seen = self.before, 0, set[bytes]()
        for at, place in enumerate([*found.cuts, len(found.ops)], 1):
            disk.play(found.ops[played:place])
            played = place
            if at % self.step != 1 % self.step:
                continue
            disk.leave(self.folder, how, Random(f"{self.name} {at} {seed}"))
            acknowledged = found.acknowledged(place)
            if (mark := _digest(self.folder, acknowledged)) in seen:
                shutil.rmtree(self.folder)
                continue
            seen.add(mark)
            self.hold(acknowledged, f"power cut at {at}, left {how}, {seed}")
        return len(seen)

    def leave(self, disk: Disk, how: How, seed: str) -> None:
        """Put in the place of the folder what a power cut may leave of it."""
        shutil.rmtree(self.folder)
        disk.leave(self.folder, how, Random(f"{self.name} {seed}"))


def _digest(folder: Path, acknowledged: Sequence[str]) -> bytes:
    digest = hashlib.sha256(repr(acknowledged).encode())
    for path in walk(folder):
        digest.update(repr((path.relative_to(folder), path.is_file() and path.read_bytes())).encode())
    return digest.digest()


def sample(name: str, total: int, count: int) -> list[int]:
    """Some of the numbers from 1 to `total`, the same each time."""
    return Random(name).sample(range(1, total + 1), min(count, total))
