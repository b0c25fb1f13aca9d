"""Devices are taken out by others in the midst of it all: those that remain agree, and lose nothing of their own."""

import os

import pytest

from chez.home.devices import expel
from chez.records.counting import COUNTS
from chez.spaces.copies import copy_person
from chez.spaces.space import add_to_space
from chez.spaces.statements import Role
from chez.store.database import Connection
from tests.simulation.device import Device
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import check
from tests.simulation.workload import Workload
from tests.simulation.world import Link, Move, Place, World

STEPS = int(os.environ.get("CHEZ_STEPS", "300"))
SEEDS = [int(os.environ["CHEZ_SEED"])] if "CHEZ_SEED" in os.environ else list(range(8))
MOST = 9
"""Devices at most, those that were taken out included."""


class Removals(World):
    """A world in which devices take out others; the first one stays, whatever happens.

    Who was taken out goes on until it hears of it, and its relay refuses it: it writes, lets in
    others and makes spaces.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.going: set[str] = set()
        """Those that somebody took out, and whom they let in since, whether they know or not."""
        self.refused: set[str] = set()

    def _fault(self) -> None:
        others = [device for device in self.devices[1:] if device.name not in self.going]
        if others and self.random.random() < 0.2:
            gone = self.random.choice(others)
            may = [device for device in self.devices if device.name not in self.going and device is not gone]
            self._remove(self.random.choice(may), gone)
        else:
            super()._fault()

    def _remove(self, by: Device, gone: Device) -> None:
        if gone.member.keys.id not in by.replica.space.membership.devices or by.replica.access.removed:
            return
        self.going.add(gone.name)
        self.count = min(self.count + 1, MOST)
        by.write(lambda db: _expel(db, by, gone))
        self.note(by.name, f"takes out {gone.name}")

    def _moves(self, device: Device) -> list[Move]:
        moves = super()._moves(device)
        if device.replica.access.removed:
            moves = [move for move in moves if move[0] not in ("pair", "make", "rotate")]
        if self.quiet and device not in self._members():  # who is out is refused again and again
            ends = {"again", "connect"} if device.name in self.refused else {"again"}
            moves = [move for move in moves if move[0] not in ends]
        return moves

    def _pair(self, device: Device) -> None:
        """The last one to join is let in by one that stays. Whom one that was taken out lets in is no device."""
        by = self.devices[0] if self.quiet else device
        super()._pair(by)
        if by.name in self.going:
            self.going.add(self.devices[-1].name)

    def _work(self, device: Device, place: Place) -> None:
        super()._work(device, place)
        if device.lanes is None:
            self.refused.add(device.name)

    def _carry_down(self, link: Link) -> None:
        super()._carry_down(link)
        if link.device.lanes is None:
            self.refused.add(link.device.name)

    def _check_whole(self, device: Device) -> None:
        """What was written together shows together, but for what is beyond a cut.

        Of that those changes count which others build on (docs/membership.md), each record by itself.
        """
        out = {name[-1] for name in self.going}
        if not self.lost:
            torn = [mark for mark in self.workload.torn(device.db) if mark.split()[1] not in out]
            assert torn == [], device.name

    def _members(self) -> list[Device]:
        """Those that remain, as the first device has it."""
        membership = self.devices[0].replica.space.membership
        return [device for device in self.devices if device.member.keys.id in membership.devices]

    def _of(self, workload: Workload, remain: set[str]) -> None:
        """Leave of what must be true in the end what those that remain wrote."""
        mine = {key for key, by in workload.purgers if by in remain}
        doubtful = workload.purged - mine  # whether these are purged is seen by all alike, but not foreseen
        workload.purged = mine
        for promised in (workload.marks, workload.tokens):
            promised -= {(key, mark) for key, mark in promised if key in doubtful or mark.split()[1:2] == []
                         or mark.split()[1] not in remain}

    def _left_behind(self, remain: list[Device]) -> None:
        """Leave out of the checks what those that are out sent, and nobody can take in."""
        members = [device.member.keys.id.hex() for device in remain]
        known = [id.hex() for device in remain for replica in device.replicas.values()
                 for id in replica.space.membership.state.epochs]
        for device in remain:
            for table, column, ours in (("quarantine", "author", members), ("parked", "author", members),
                                        ("locked", "epoch", known)):
                device.db.execute(f"DELETE FROM {table} WHERE lower(hex({column})) NOT IN "
                                  f"({', '.join('?' * len(ours))})", ours)

    def check(self) -> None:
        """The promises of sync, of those that remain and about what they wrote."""
        remain = self._members()
        assert self.devices[0] in remain and self.devices[-1] in remain
        self.devices = remain
        self._of(self.workload, {device.name[-1] for device in remain})
        self._left_behind(remain)
        check(self)
        assert all(counting(device.db) == counting(remain[0].db) for device in remain)
        standing: dict[tuple[bytes, bytes, int, bytes], int] = {}
        for device in remain:
            for *entry, one in _entries(device.db):
                assert standing.setdefault((*entry,), one) == one


def _expel(db: Connection, by: Device, gone: Device) -> None:
    """As `Devices.remove` does it."""
    replicas = list(by.replicas.values())
    for replica in replicas:
        replica.refresh(db)
        copy_person(db, replica.space.n, replica.space.membership)
    spaces = [replica.space for replica in replicas]
    expel(db, spaces, by.member.keys, by.household.person, gone.member.keys.id, {gone.member.keys.id})
    for replica in replicas:
        if replica.space.membership.state.right(by.member.keys.id) is Role.OWNER:
            replica.rotate(db)
        replica.recount(db)


def counting(db: Connection) -> set[tuple[bytes, bytes, int, bytes, int]]:
    """The entries that count. Of the others a device may have some that were sealed by what it has no keys to."""
    return {entry for entry in _entries(db) if entry[-1] == COUNTS}


def _entries(db: Connection) -> list[tuple[bytes, bytes, int, bytes, int]]:
    """Every entry, and whether it counts."""
    return list(db.execute("SELECT space.id, author, sequence, hash, standing FROM entry "
                           "JOIN space ON space.n = entry.space"))


def play(seed: int, steps: int = STEPS) -> Removals:
    """One run, or the seed that replays it."""
    world = Removals(seed)
    with replaying(world, seed, steps):
        world.chaos(steps)
        world.heal()
        world.check()
    return world


@pytest.mark.parametrize("seed", [*SEEDS[:3], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[3:])])
def test_who_remains_agrees(seed: int) -> None:
    """After removals among all other faults, the devices that remain hold the same, and all that they wrote."""
    play(seed)


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 12))])
def test_who_is_let_in_while_an_epoch_is_started_gets_its_keys(seed: int) -> None:
    """One device starts an epoch in each space, another lets in a third at the same time: none stays shut out."""
    world = Removals(seed)
    world.quiet = True
    world._make(world.devices[0])
    world._pair(world.devices[0])
    while world._step():
        pass
    world.workload._create(world.devices[0], False)
    for replica in world.devices[1].replicas.values():
        world.devices[1].write(replica.rotate)
    world.heal()
    world.check()
    assert len(world._members()) == 3


@pytest.mark.parametrize("seed", [*range(6), 13])
def test_a_relay_gets_no_keys_of_an_epoch_that_nobody_says(seed: int) -> None:
    """A device that was taken out, and had made a space and an epoch in it, says neither: the relay keeps its keys."""
    world = Removals(seed)
    world.quiet = True
    world._pair(world.devices[0])
    while world._step():
        pass
    first, gone = world.devices
    world._cut(gone)
    world._make(gone)
    gone.write(gone.replicas[2].rotate)
    world._remove(first, gone)
    said = first.replica.space.membership.statements
    gone.write(lambda db: add_to_space(db, 1, said, [], sent=True))
    gone.replica.hear()
    world.workload._create(first, False)
    world.heal()
    world.check()


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("thousand", (1, 2))
def test_who_remains_agrees_in_many_runs(thousand: int) -> None:
    """The same for more seeds, twenty-five each, with longer runs."""
    for seed in range(thousand * 1000, thousand * 1000 + 25):
        play(seed, 2 * STEPS)
