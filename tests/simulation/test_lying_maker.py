"""A device makes checkpoints that are not what they say: nobody else vouches, and nothing is lost by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from chez.records.waiting import Budget
from chez.store.database import Connection
from chez.sync.checkpoints import making
from chez.sync.checkpoints.errands import Answer, Errand
from chez.sync.checkpoints.format import Frame, Record, Run, frames_of, run_of
from chez.sync.checkpoints.vouching import Vouching
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import check
from tests.simulation.world import World

_gather, _records, _step = making._gather, making._records, Vouching.step


class Liar:
    """The second device of a world: what it writes in a checkpoint is altered on the way, and it vouches for none."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random, self.lies = world, Random(seed), set[str]()

    def is_(self, db: Connection) -> bool:
        """Whether this is its store."""
        return len(self.world.devices) > 1 and self.world.devices[1].db is db

    def gather(self, db: Connection, space: int, budget: Budget) -> Iterator[Run]:
        """As `making._gather`."""
        for run in _gather(db, space, budget):
            yield self._run(db, space, run) if self.is_(db) and self.random.random() < 0.7 else run

    def records(self, db: Connection, space: int, actor: bytes, budget: Budget) -> list[Record]:
        """As `making._records`."""
        records = _records(db, space, actor, budget)
        return self._altered(records) if records and self.is_(db) and self.random.random() < 0.7 else records

    def vouch(self, of: Vouching, db: Connection, answer: Answer | None) -> Errand:
        """As `Vouching.step`."""
        return None if self.is_(db) else _step(of, db, answer)

    def _run(self, db: Connection, space: int, run: Run) -> Run:
        frames = list(frames_of(run))
        at = self.random.randrange(len(frames))
        frame, what = frames[at], self.random.choice(("stays in the log", "stays in the log", "time", "heads", "gone"))
        if frame.kept is not None or at == len(frames) - 1:
            return run
        self.lies.add(what)
        if what == "stays in the log":
            frames[at] = self._left(db, space, run, frames, at)
        elif what == "time":
            frames[at] = msgspec.structs.replace(frame, time=frame.time + 1)
        elif what == "heads":
            frames[at] = msgspec.structs.replace(frame, heads=(bytes(32), *frame.heads[1:]))
        else:
            frames[at:] = [msgspec.structs.replace(one, sequence=one.sequence - 1) for one in frames[at + 1:]]
        return run_of(run.author, frames)

    def _left(self, db: Connection, space: int, run: Run, frames: list[Frame], at: int) -> Frame:
        """An entry of changes as one that stays in the log: they are in no record then."""
        frame = frames[at]
        (hash,) = db.execute("SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence = ? AND branch = 0",
                             (space, run.author, frame.sequence)).fetchone()
        (end,) = db.execute("SELECT ordinal FROM draft_author WHERE space = ? AND author = ?",
                            (space, run.author)).fetchone()
        behind = end - sum(one.changes for one in frames[at + 1:])
        db.execute("DELETE FROM gathered WHERE space = ? AND author = ? AND ordinal >= ? AND ordinal < ?",
                   (space, run.author, behind - frame.changes, behind))
        db.execute("UPDATE gathered SET ordinal = ordinal - ? WHERE space = ? AND author = ? AND ordinal >= ?",
                   (frame.changes, space, run.author, behind))
        db.execute("UPDATE draft_author SET ordinal = ordinal - ? WHERE space = ? AND author = ?",
                   (frame.changes, space, run.author))
        return Frame(frame.sequence, 0, 0, (), {}, (), None, hash)

    def _altered(self, records: list[Record]) -> list[Record]:
        at = self.random.randrange(len(records))
        record, what = records[at], self.random.choice(("record", "id", "change", "order", "twice"))
        self.lies.add(what)
        if what == "record":
            return [*records[:at], *records[at + 1:]]
        if what == "twice":
            return [*records, record]
        change: dict[str, Any] = {"id": record.id + "x"}
        if what == "change":
            data = record.data[-1]
            change = {"data": [*record.data[:-1], data[:-1] + bytes((data[-1] ^ 1,))]}
        elif what == "order":
            change = {"at": record.at[::-1], "who": record.who[::-1]}
        return [*records[:at], msgspec.structs.replace(record, **change), *records[at + 1:]]


@contextmanager
def lying(world: World, seed: int) -> Iterator[Liar]:
    """The world's second device lies from now on."""
    liar = Liar(world, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_gather", liar.gather)
        patch.setattr(making, "_records", liar.records)
        patch.setattr(Vouching, "step", lambda self, db, answer: liar.vouch(self, db, answer))
        yield liar


def play(seed: int, steps: int) -> tuple[set[str], int]:
    """Edits, faults, checkpoints and drops beside a liar, then peace; its lies, and how often one was told."""
    world = World(seed, checkpoints=True)
    with replaying(world, seed, steps), lying(world, seed) as liar:
        world.chaos(steps)
        world.heal()
        refused = 0
        for device in world.devices:
            told = device.db.execute("DELETE FROM quarantine WHERE author = ? AND reason LIKE '%checkpoint%'",
                                     (world.devices[1].member.keys.id,))
            refused += told.rowcount
        check(world)
    return liar.lies, refused


@pytest.mark.slow
def test_what_a_liar_says_of_checkpoints_loses_nothing() -> None:
    """Devices agree, the last one to join too, whatever was dropped; over a few runs every lie is told."""
    lies, told = set[str](), 0
    for seed in range(52, 58):  # those in which it tells each
        more, refused = play(seed, 400)
        lies |= more
        told += refused
    assert told and {"stays in the log", "gone", "record", "change"} <= lies


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3000, 3020))
def test_what_a_liar_says_in_many_runs(seed: int) -> None:
    """The same, longer."""
    play(seed, 800)
