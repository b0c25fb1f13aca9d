"""What a device is told that was taken out, and what it is told when that is over."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import RelayRefused
from chez.spaces.rotation import Farewell, accept_packet, tag_of
from tests.home.pairing import PASSPHRASE
from tests.people.lying import packets, set_packet
from tests.people.persons import in_step, persons, shared, values
from tests.people.proxy import Proxy, behind, proxy
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again
from tests.relay.within import Within


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


@pytest.mark.parametrize("known", [True, False], ids=["by a device that it knows", "by one that it doesn't know"])
async def test_a_home_that_was_another_device_is_out_though_that_one_stays(
        tmp_path: Path, server: Within, known: bool) -> None:
    """A copy that became a device of its own and is taken out reads nothing new, by no key of the one that it was."""
    async with founded(tmp_path, server.url) as (a, _), join(a, tmp_path / "b", "b", server.url) as b:
        shutil.copytree(tmp_path / "b", tmp_path / "copy")
        await chez.become_new_device(tmp_path / "copy", passphrase=PASSPHRASE, name="copy")
        async with open_again(tmp_path / "copy") as copy, AsyncExitStack() as stack:
            await copy.sync(server.url)
            await in_step(a)
            if not known:
                a = await stack.enter_async_context(join(a, tmp_path / "c", "c", server.url))
                await a.set_relay(server.url)
            await a.devices.remove("copy")
            await a.collection("notes").put({}, id="since")
            await a.sync()
            for _ in range(2):
                with pytest.raises(RelayRefused):
                    await copy.sync(server.url)
                assert (await copy.status()).removed is known and await ids(copy) == set()
                assert a._replica.space.epoch.id not in copy._replica.space.epochs
            await b.sync(server.url)
            assert await ids(b) == {"since"}


@pytest.mark.slow
async def test_who_is_let_in_by_a_home_that_came_back_hears_when_that_is_over(tmp_path: Path, server: Within) -> None:
    """A guest who was out when the owner came back by the 24 words is let in again, and taken out again: it is told so,
    by a word of then, and not by the one that the root said when the home came back."""
    async with (founded(tmp_path, server.url) as (a, words),
                persons(tmp_path, "berta", relay=server.url) as (berta,)):
        trip = await a.create_space("Trip")
        (hers,) = await shared(trip, a, berta)
        await trip.remove("berta")
        await a.sync()
        await back(tmp_path / "c", words, server.url, expel_others=True)
        async with open_again(tmp_path / "c") as c:
            await in_step(c, berta)
            assert hers.status().removed
            trip = c.space("Trip")
            await trip.add(await berta.card(), "writer")
            await c.sync()
            await berta.join(trip.link())
            await in_step(berta, c)
            assert not hers.status().removed
            await trip.remove("berta")
            await in_step(c, berta)
            assert hers.status().removed


@pytest.mark.slow
@pytest.mark.parametrize(("times", "there"), [(1, {"since"}), (2, set())])
async def test_a_guest_that_became_another_device_is_let_in_as_the_one_that_it_was(
        tmp_path: Path, server: Within, times: int, there: set[str]) -> None:
    """Taken out, restored from a backup, and let in again by somebody who has its former card alone: it reads by the
    keys of the device that the card tells of, which was told that it was out; as one more device later by none."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        card = await berta.card()
        await trip.remove("berta")
        await in_step(anna, berta)
        assert hers.status().removed
        shutil.copytree(tmp_path / "berta", tmp_path / "copy")
        for _ in range(times):
            await chez.become_new_device(tmp_path / "copy", passphrase=PASSPHRASE, name="copy")
        await trip.add(card, "writer")
        await trip.collection("notes").put({}, id="since")
        await anna.sync()
        async with open_again(tmp_path / "copy") as copy:
            await copy.sync()
            assert set(await values(copy.space("Trip"))) == there
            assert copy.space("Trip").status().removed is not bool(there)


@pytest.mark.parametrize("rotates", [False, True])
async def test_a_device_that_nobody_there_knows_hears_from_its_own_that_it_is_out(
        tmp_path: Path, server: Within, rotates: bool) -> None:
    """It came when its person was out already, and no owner knew of it: also an epoch that it began itself meanwhile,
    which came to nobody, is no sign that somebody let the person in again.
    """
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        await in_step(anna, berta)
        await trip.remove("berta")
        await anna.sync()
        async with berta.pair() as pairing, AsyncExitStack() as stack:
            joined = asyncio.create_task(chez.join(tmp_path / "new", pairing.code, passphrase=PASSPHRASE, name="new",
                                                   kdf=Kdf.minimum()))
            await pairing.confirm()
            await joined
            new = await stack.enter_async_context(open_again(tmp_path / "new"))
            await new.sync()
            if rotates:
                await new.space("Trip").rotate()
            await in_step(berta, new)
            assert hers.status().removed and new.space("Trip").status().removed
            assert (await new.status()).removed is False
