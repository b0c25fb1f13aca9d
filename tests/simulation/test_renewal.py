"""Homes that are restored or copied become new devices: nothing acknowledged is lost, and all agree."""

import os
from dataclasses import replace
from typing import Literal, get_args

import pytest

from chez import crypto
from chez.home.renewal import renew
from chez.records.anew import unsettled
from chez.store.database import Connection
from chez.store.file import connect
from tests.simulation.device import Device
from tests.simulation.household import NOW, Member
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import check
from tests.simulation.world import World

Fate = Literal["lost", "copied", "twice"]
"""What may become of a device."""

STEPS = int(os.environ.get("CHEZ_STEPS", "300"))
SEEDS = [int(os.environ["CHEZ_SEED"])] if "CHEZ_SEED" in os.environ else list(range(6))


class Renewals(World):
    """A world in which devices are lost and restored as of that moment.

    With `copied`, some are copied instead, and both go on: then a list that both made of
    the same unsent work is two lists, one of which is seen (the other is its conflict),
    so tokens in lists are not looked for. With `twice`, one is lost and restored twice: both
    say the same unsent work, which is there once.
    """

    def __init__(self, seed: int, fate: Fate, *, rotates: bool = True) -> None:
        super().__init__(seed, rotates=rotates)
        self.fate = fate
        self.renewed = 0

    def _fault(self) -> None:
        choice = self.random.random()
        device = self.random.choice(self.devices)
        if choice < 0.3:
            self._become_new(device)
        elif choice < 0.5 and self.fate != "lost" and len(self.devices) < 5:
            self._cut(device)
            if self.fate == "twice":
                self._last_frames(device)
            copy = Device(self.family, device.member, self.random, copied(device.db))
            self.devices.append(copy)
            self._become_new(copy)
            if self.fate == "twice":
                self._become_new(device)
        else:
            # A relay's lost store is filled again by the devices there are; what only a device
            # had that is no more would be missing in it.
            kept = self.storage
            super()._fault()
            self.places[0].storage = kept

    def _edit(self, device: Device) -> None:
        super()._edit(device)
        # Edits of what a connector brought leave in its entries when they are made anew, apart
        # from the rest of their transaction.
        self.workload.together = [(mark, keys) for mark, keys in self.workload.together
                                  if "readings" not in {collection for _, collection, _ in keys}]

    def _become_new(self, device: Device) -> None:
        self._cut(device)
        if self.fate != "copied":
            self._last_frames(device)
        former, keys = device.member, self.family.candidate(self.random)
        name = f"device {self.random.randrange(10**6)}"
        device.edits.clear()
        device.write(lambda db: renew(db, former.keys, keys, name, NOW, "restored"))
        before = (former.keys.sealing, *former.keys.former)
        device.member = Member(name, replace(keys, former=before), former.statements, former.epochs)
        device.start()
        self.renewed += 1
        self.note(former.name, f"is {name} now")

    def _last_frames(self, device: Device) -> None:
        """What a device that is no more had sent arrives, or a part of it, and the rest never does."""
        for link in [link for link in self.links if link.device is device]:
            for _ in range(self.random.randint(0, len(link.up))):
                self._carry_up(link)
                while link.owed:
                    self._carry_owed(link)
            link.up.clear()
            while link.owed:
                self._carry_owed(link)
        self._forget_closed()

    def check(self) -> None:
        """The promises of sync."""
        if self.fate == "copied":
            self.workload.tokens.clear()
        check(self)
        for device in self.devices:
            assert not any(unsettled(device.db, n) for n in device.replicas)


def copied(db: Connection) -> Connection:
    """A copy of a store, as it was last committed."""
    copy = connect(":memory:", crypto.random_bytes(32))
    db.backup(copy)
    copy.execute("PRAGMA synchronous = OFF")
    return copy


def play(seed: int, fate: Fate, steps: int = STEPS, *, rotates: bool = True) -> Renewals:
    """One run, or the seed that replays it."""
    world = Renewals(seed, fate, rotates=rotates)
    with replaying(world, seed, steps):
        world.chaos(steps)
        world.heal()
        world.check()
    return world


@pytest.mark.slow
@pytest.mark.parametrize("fate", get_args(Fate))
@pytest.mark.parametrize("seed", SEEDS)
def test_convergence_of_restored_and_copied_homes(seed: int, fate: Fate) -> None:
    """After restores and copies among all other faults, all devices hold every acknowledged write."""
    assert play(seed, fate).renewed >= 1


@pytest.mark.slow
def test_what_was_known_of_changes_made_once_more_is_forgotten() -> None:
    """Runs in which an edit was undone of a record whose changes had been made once more as others arrived."""
    play(1014, "lost", 450, rotates=False)
    play(1086, "lost", 600, rotates=False)  # and undone, and done again, before that too


@pytest.mark.slow
def test_a_seed_is_a_run() -> None:
    """The same seed gives the same run, to the last step."""
    assert play(3, "copied").trace == play(3, "copied").trace


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fate", get_args(Fate))
def test_convergence_of_many_runs(fate: Fate) -> None:
    """The same for twenty-five more seeds, with longer runs."""
    for seed in range(1000, 1025):
        play(seed, fate, 2 * STEPS)
