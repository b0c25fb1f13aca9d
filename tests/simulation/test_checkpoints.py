"""Checkpoints are made, vouched for and dropped while devices write, and everybody holds the same all the while."""


import pytest

from chez.sync.checkpoints.format import Vouch
from chez.sync.checkpoints.heard import ASKED, LATE, UNFIT, vouches
from chez_relay.storage import Expire, Quotas
from tests.simulation.device import RELAY, Device
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import check
from tests.simulation.test_renewal import Renewals
from tests.simulation.world import World

__all__ = ()


def world_with(seed: int, steps: int) -> World:
    """Devices that wrote for a while at a relay that drops at once."""
    world = World(seed, rotates=False)
    world.chaos(steps)
    world.settle()
    return world


def play(seed: int, steps: int) -> World:
    """Edits, faults, checkpoints and drops, then peace; what is promised holds, or the seed is printed."""
    world = World(seed, checkpoints=True)
    with replaying(world, seed, steps):
        world.chaos(steps)
        world.heal()
        check(world)
        for device in world.devices:  # nobody lied: what one vouched for, no other finds wrong
            assert not device.db.execute("SELECT 1 FROM vouch WHERE state = ?", (UNFIT,)).fetchall(), device.name
    return world


def said(world: World, state: int) -> list[Vouch]:
    """The vouches of a state, by what the first device knows."""
    device = world.devices[0]
    return [vouch for n in device.replicas for _, _, vouch, now in vouches(device.db, n) if now == state]


@pytest.mark.slow
@pytest.mark.parametrize("seed", (0, 5, 6))
def test_devices_agree_while_what_they_wrote_is_checkpointed_and_dropped(seed: int) -> None:
    """At any moment a device may make a checkpoint, and the relay let go of what it stands for, or lose it all."""
    play(seed, 400)


def test_of_checkpoints_made_at_once_one_is_dropped_first() -> None:
    """Vouches come too late for others, and segments are released: of twelve runs some show both, and all agree."""
    late = released = False
    for seed in range(20, 32):
        world = play(seed, 400)
        late = late or bool(said(world, LATE))
        released = released or any(vouch.release for vouch in said(world, ASKED))
        if late and released:
            return
    raise AssertionError("no drop came before another, or nothing was released")


@pytest.mark.slow
def test_where_an_entry_was_at_a_former_store_says_nothing_of_the_present_one() -> None:
    """An entry waits for its key while the relay loses its store: its old place is not taken for one to be dropped."""
    play(1002, 800)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", (1080, 1098))
def test_a_drop_rests_on_nothing_that_another_one_released(seed: int) -> None:
    """With these seeds a newcomer lacked entries while drops had no order, each of which released segments."""
    play(seed, 800)


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("thousand", (1, 2))
def test_devices_agree_in_many_runs(thousand: int) -> None:
    """The same for more seeds, fifteen each, with longer runs."""
    for seed in range(thousand * 1000, thousand * 1000 + 15):
        play(seed, 800)


def checkpoint(world: World) -> None:
    """One device makes a checkpoint of the private space, and the relay drops what that stands for."""
    world.storage._quotas = Quotas(grace=0.0)
    device = world.devices[0]
    device.write(lambda db: device.replica.relays.want_checkpoint(db, device.replica.space.n, {RELAY}))
    assert device.lanes is not None
    device.lanes.wake(device.replica.space.id)
    world.settle()
    world.storage.perform_now([Expire()])


@pytest.mark.parametrize("seed", range(2))
def test_a_new_device_has_everything_from_a_checkpoint_and_the_tail(seed: int) -> None:
    """What was dropped comes from the checkpoint, what came after it from the log, and all devices agree."""
    world = world_with(seed, 250)
    space = world.storage._spaces[world.devices[0].replica.space.handle]
    before = sum(space.used.values())
    checkpoint(world)
    assert any(envelope is None for envelope in space.envelopes)
    assert sum(space.used.values()) < before
    world.chaos(60)
    world.heal()
    check(world)


@pytest.mark.parametrize("seed", range(2))
def test_a_home_that_is_restored_makes_the_checkpoint_anew_that_it_was_making(seed: int) -> None:
    """Its draft stands for entries that arrived nowhere, which the home says in another name: it waits for none."""
    world = Renewals(seed, "lost")
    world.quiet = True
    world._pair(world.devices[0])
    while world._step():
        pass
    device = world.devices[0]
    world.workload._create(device, False)
    world._checkpoint(device)
    while (device.busy or device.flush()) and not drafts(device):
        device.work()
    assert drafts(device)
    world._become_new(device)
    world.heal(5000)
    world.check()
    assert not drafts(device)
    assert device.db.execute("SELECT 1 FROM checkpoint").fetchone() is not None


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_dropped_on_a_checkpoint_that_a_restored_home_alone_knows(seed: int) -> None:
    """It was restored as of a moment when it had said a manifest that arrived nowhere: who joins later has all."""
    world = Renewals(seed, "lost")
    world.quiet = True
    world._pair(world.devices[0])
    world.workload._create(world.devices[0], False)
    while world._step():
        pass
    world.storage._quotas = Quotas(grace=0.0)
    device = world.devices[0]
    world._checkpoint(device)
    while not checkpoints(device):
        assert world._step()
    world._cut(device)
    for link in world.links:
        link.up.clear()
    world._become_new(device)
    world.settle()
    world.storage.perform_now([Expire()])
    world.quiet = True
    world.heal(5000)
    world.check()
    assert len({checkpoints(device) for device in world.devices}) == 1


def checkpoints(device: Device) -> frozenset[bytes]:
    """The checkpoints that a device heard of, or made."""
    return frozenset(entry for (entry,) in device.db.execute("SELECT entry FROM checkpoint"))


def drafts(device: Device) -> list[int]:
    """The rows of the spaces of which a device is making a checkpoint."""
    return [n for (n,) in device.db.execute("SELECT space FROM draft")]
