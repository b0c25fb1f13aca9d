"""What a device is told that was taken out, and what it is told when that is over."""

from pathlib import Path

import chez
from chez.spaces.rotation import Farewell, accept_packet, tag_of
from tests.people.lying import packets, set_packet
from tests.people.persons import in_step, persons, shared, values
from tests.people.proxy import Proxy, behind, proxy


async def _taken_out_and_back(front: Proxy, data: Path, anna: chez.Home, berta: chez.Home) -> tuple[bytes, bytes]:
    """Berta is removed from Anna's space, then let in again; her tag there, and the farewell that lay under it."""
    async with behind(front, data):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await trip.remove("berta")
        await anna.sync()
        handle, key = trip._held.space.handle, berta._device.sealing
        tag = tag_of(trip._held.space.id, key.public)
        farewell = packets(data, handle)[tag]
        content = accept_packet(trip._held.space.id, farewell, key)
        assert isinstance(content, Farewell) and content.epoch == trip._held.space.epoch.id
        await berta.sync()
        assert hers.status().removed
        await trip.add(await berta.card(), "writer")
        await anna.sync()
        assert await berta.join(trip.link()) == hers
        await in_step(berta, anna)
        await trip.collection("notes").put({"n": 1}, id="since")
        await trip.rotate()
        await anna.sync()
    return tag, farewell


async def test_an_old_farewell_takes_nobody_out_again(tmp_path: Path) -> None:
    """A relay shows who is back the farewell of before: it is refused, and told; what is there is read later."""
    data = tmp_path / "relay"
    async with proxy() as front, persons(tmp_path, "anna", "berta", relay=front.url) as (anna, berta):
        tag, farewell = await _taken_out_and_back(front, data, anna, berta)
        trip, hers = anna.space("Trip"), berta.space("Trip")
        handle = trip._held.space.handle
        true = packets(data, handle)[tag]
        set_packet(data, handle, tag, farewell)
        async with behind(front, data):
            report = await berta.sync()
            assert [space.name for space in report.problems] == ["Trip"]
            assert "holds an older state" in report.problems[0].problem
            assert not hers.status().removed and hers.role == "writer"
            await hers.collection("notes").put({"n": 2}, id="offline")
        set_packet(data, handle, tag, true)
        async with behind(front, data):
            assert (await berta.sync()).problems == ()
            await in_step(anna)
            assert set(await values(hers)) == set(await values(trip)) == {"since", "offline"}
