"""Whoever is killed, at whatever step of a checkpoint: what is there afterwards is whole, and goes on."""

import asyncio
import os
from pathlib import Path

import pytest

from chez_relay.storage import Expire, Quotas
from chez_relay.storage.census import census
from chez_relay.storage.checking import check
from chez_relay.storage.sqlite import FILE_NAME
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shown, written
from tests.people.persons import persons
from tests.people.support import join
from tests.relay.support import relay
from tests.simulation import test_convergence
from tests.simulation.device import RELAY, Device
from tests.simulation.world import Place, World

STEPS = range(1, 40) if os.environ.get("CHEZ_EVERY_STEP") else range(3, 40, 12)


@pytest.mark.parametrize("step", STEPS)
def test_a_device_is_killed_after_any_commit(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maker, the voucher or the newcomer begins again from its last commit, and all agree in the end."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.TURN", 300)
    monkeypatch.setattr("chez.sync.checkpoints.desk.TURN", 300)  # so that there are many turns to be killed after
    monkeypatch.setattr("chez.sync.replica.TURN", 300)
    world = World(5, 1, rotates=False)
    world.chaos(120)
    world.settle()
    world.storage._quotas = Quotas(grace=0.0)
    maker, commits, killed = world.devices[0], 0, False
    maker.write(lambda db: maker.replica.relays.want_checkpoint(db, maker.replica.space.n, {RELAY}))
    assert maker.lanes is not None
    maker.lanes.wake(maker.replica.space.id)
    plain = world._work

    def work(device: Device, place: Place) -> None:
        nonlocal commits, killed
        plain(device, place)
        commits += 1
        if commits == step:
            killed = True
            device.start()
            world._forget_closed()

    world._work = work  # type: ignore[method-assign]
    world.settle()
    world.storage.perform_now([Expire()])
    world.heal()
    test_convergence.check(world)
    assert killed
    for device in world.devices:
        for table in ("fetching", "folding", "staged_entry", "staged_change", "draft", "gathered", "drafted",
                      "segment"):
            assert device.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, (device.name, table)


@pytest.mark.slow
async def test_the_relay_is_killed_while_it_lets_go(tmp_path: Path) -> None:
    """Killed again and again, it has a log without a hole each time, and a new device has everything at the end."""
    data = tmp_path / "relay"
    async with persons(tmp_path, "anna") as (anna,):
        space = anna.space()
        async with relay(data, *AT_ONCE) as server:
            await anna.set_relay(server.url)
            for _ in range(20):
                await written(space, "anna", 3)
                await anna.sync()
            before = census(data).bytes
            done = await space.checkpoint()
            assert done is not None and done.dropped
            await server.kill()
        for delay in (0.0, 0.02, 0.06, 0.1):
            async with relay(data, *AT_ONCE) as server:
                await asyncio.sleep(delay)
                await server.kill()
            report = check(data / FILE_NAME)
            assert not report.findings and not report.structure
        async with relay(data, *AT_ONCE) as server:
            await anna.set_relay(server.url)
            for _ in range(100):
                if census(data).bytes < before:
                    break
                await asyncio.sleep(0.05)
            await anna.sync()
            async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
                assert await shown(phone.space()) == await shown(space) != {}
