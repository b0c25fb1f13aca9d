"""Whoever comes in, or back, while others start epochs that don't know of it yet, is let in by what they do next."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed, RelayRefused
from tests.home.pairing import PASSPHRASE, paired
from tests.people.persons import persons, roles, shared, values
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again
from tests.relay.within import Within


async def test_a_device_let_in_while_another_started_an_epoch(tmp_path: Path, server: Within) -> None:
    """Who let it in starts one that includes it; until then the relay refuses it, and nothing is lost."""
    async with paired(tmp_path, server.url) as (a, b), a.pair(server.url) as pairing:
        joining = asyncio.create_task(chez.join(tmp_path / "c", pairing.code, passphrase=PASSPHRASE, name="c",
                                                relay=server.url, kdf=Kdf.minimum()))
        await pairing.confirm()
        await joining
        await b.devices.rotate()
        await b.collection("notes").put({"n": 1}, id="b")
        await b.sync(server.url)
        async with open_again(tmp_path / "c") as c:
            await c.collection("notes").put({"n": 1}, id="c")
            with pytest.raises(RelayRefused):
                await c.sync()
            await a.sync(server.url)
            await c.sync()
            assert await ids(c) == {"b", "c"} and not (await c.status()).removed
            await b.sync(server.url)
            assert await ids(b) == {"b", "c"} and a._replica.space.epoch.number == 3
            for home in (a, b, a):  # and no more epochs than that
                await home.sync(server.url)
            assert b._replica.space.epoch.number == 3


async def test_a_device_takes_nobody_out_of_a_space_that_it_has_not_read(tmp_path: Path, server: Within) -> None:
    """It can't tell what of theirs stays, and nothing would, for ever: it is to sync first, and then all of it does."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (his,) = await shared(trip, anna, carl)
        await his.collection("notes").put({"n": 1}, id="his")
        await carl.sync()
        await trip.add(await berta.card(), "owner")
        await anna.sync()
        hers = await berta.join(trip.link())
        for step in (lambda: hers.remove("carl"), lambda: hers.set_role("carl", "reader")):
            with pytest.raises(NotAllowed, match="can't tell what stays"):
                await step()
        await berta.sync()
        await hers.remove("carl")
        assert set(await values(hers)) == {"his"} and set(await roles(hers)) == {"anna", "berta"}


async def test_a_backup_from_before_an_epoch_comes_back(tmp_path: Path, server: Within) -> None:
    """Its device is a new one, which nobody knows; what was sealed to the former one leads on."""
    async with founded(tmp_path, server.url) as (a, _), join(a, tmp_path / "b", "b", server.url) as b:
        await a.collection("notes").put({"n": 1}, id="before")
        await a.sync()
        await a.backup(tmp_path / "a.backup")
        await b.devices.rotate()
        await b.collection("notes").put({"n": 2}, id="after")
        await b.sync(server.url)
        await chez.restore(tmp_path / "a.backup", tmp_path / "c", passphrase=PASSPHRASE, name="c", kdf=Kdf.minimum())
        async with open_again(tmp_path / "c") as c:
            await c.sync()
            assert await ids(c) == {"before", "after"}
            await b.devices.rotate()
            await b.sync(server.url)
            await c.sync()
            assert (await c.status()).removed is False and c._replica.space.epoch.number == 3


async def test_a_device_that_starts_an_epoch_while_it_is_taken_out_is_out(tmp_path: Path, server: Within) -> None:
    """Its epoch, which the relay had first, takes no effect: the relay gets the other's, and newcomers read all."""
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "b", "b", server.url) as b:
        await b.devices.rotate()
        await b.collection("notes").put({"n": 1}, id="b")
        await b.sync(server.url)
        await a.devices.remove("b")
        await a.collection("notes").put({"n": 1}, id="a")
        await a.sync()
        assert await ids(a) == {"a"}
        for act in (b.sync(server.url), b.sync(server.url)):
            with pytest.raises(RelayRefused):
                await act
        assert (await b.status()).removed and "a" not in await ids(b)
        async with join(a, tmp_path / "c", "c", server.url) as c:
            assert await ids(c) == {"a"}
            await c.collection("notes").put({"n": 1}, id="c")
            await c.sync()
        assert (await back(tmp_path / "d", words, server.url)).records == 2


async def test_keys_come_to_a_relay_behind_the_word_of_how_they_began(tmp_path: Path, server: Within) -> None:
    """A rotation that ends just after the relay has new keys leaves a log from which the words read everything."""
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "b", "b", server.url) as b:
        # Both start an epoch, so that the one after them is started while the relay is read.
        await a.devices.rotate()
        await b.devices.rotate()
        await a.collection("notes").put({"n": 1}, id="a")
        await a.sync()
        sent = await b.sync(server.url)
        assert sent.sent > 0
        assert (await back(tmp_path / "c", words, server.url)).records == 1
