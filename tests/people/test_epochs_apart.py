"""Epochs started apart: with devices that nobody had heard of, by who was taken out, and by who gave up his role."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed
from tests.home.pairing import PASSPHRASE
from tests.people.persons import in_step, persons, roles, shared, values
from tests.people.support import ids, open_again
from tests.relay.within import Within


async def paired_apart(home: chez.Home, folder: Path, url: str, name: str) -> None:
    """Another device of a person, let in by code; neither is in step with any relay since."""
    async with home.pair(url) as pairing:
        joined = asyncio.create_task(chez.join(folder / name, pairing.code, passphrase=PASSPHRASE, name=name,
                                               relay=url, kdf=Kdf.minimum()))
        await pairing.confirm()
        await joined


async def test_a_device_that_an_epoch_missed_gets_its_keys(tmp_path: Path, server: Within) -> None:
    """An owner starts an epoch before it hears of a member's new device: the member's other device hands on the keys.

    Once only, and the new device reads and writes as any.
    """
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await paired_apart(berta, tmp_path, server.url, "phone")
        await trip.rename("Rome")
        await trip.rotate()
        await trip.collection("notes").put({"n": 1}, id="a")
        await anna.sync()
        async with open_again(tmp_path / "phone") as phone:
            await in_step(berta, phone)
            assert await values(phone.space("Rome")) == {"a": {"n": 1}}
            await phone.space("Rome").collection("notes").put({"n": 2}, id="b")
            await in_step(phone, anna, berta)
            assert await values(trip) == await values(hers) == {"a": {"n": 1}, "b": {"n": 2}}
            sent = [(await home.sync()).sent for home in (berta, phone, anna)]
            assert sent == [0, 0, 0]


async def test_a_device_that_met_no_relay_starts_an_epoch(tmp_path: Path, server: Within) -> None:
    """Just paired, a device starts two epochs and only then meets the relay, which has the keys of before."""
    async with persons(tmp_path, "berta", relay=server.url) as (berta,):
        await berta.collection("notes").put({"n": 1}, id="a")
        await berta.sync()
        await paired_apart(berta, tmp_path, server.url, "phone")
        async with open_again(tmp_path / "phone") as phone:
            for _ in range(2):
                await phone.devices.rotate()
            await phone.collection("notes").put({"n": 2}, id="b")
            await in_step(phone, berta)
            assert await ids(phone) == await ids(berta) == {"a", "b"}
            assert phone._replica.space.epoch == berta._replica.space.epoch


@pytest.mark.slow
async def test_nobody_is_taken_out_by_a_device_that_read_nothing_yet(tmp_path: Path, server: Within) -> None:
    """Before its first sync a new device takes nobody out: all that they had written would count for nothing."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await hers.collection("notes").put({"n": 1}, id="a")
        await anna.collection("notes").put({"n": 1}, id="a")
        await in_step(berta, anna)
        await paired_apart(anna, tmp_path, server.url, "phone")
        async with open_again(tmp_path / "phone") as phone:
            with pytest.raises(NotAllowed, match="read nothing yet"):
                await phone.devices.remove("anna")
            await in_step(anna, phone)
            await phone.space("Trip").remove("berta")
            await phone.devices.remove("anna")
            await phone.sync()
            assert await ids(phone) == {"a"} and await values(phone.space("Trip")) == {"a": {"n": 1}}


async def test_who_left_and_did_not_say_so_yet_does_not_come_in_again(tmp_path: Path, server: Within) -> None:
    """Left, and not in step since: the link leads nowhere, though the relay still has keys."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await hers.leave()
        with pytest.raises(NotAllowed, match="no member"):
            await berta.join(trip.link())
        assert hers.role is None and len(await berta.journal.receipts("space-joined")) == 1


@pytest.mark.slow
async def test_keys_of_who_is_an_owner_no_more_are_replaced_at_the_relay(tmp_path: Path, server: Within) -> None:
    """An owner's epoch reaches the relay first, and is void by another's word: the epoch after it replaces its keys.

    All read what is written then, also who had to ask for the keys of it.
    """
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        await hers.rotate()
        await trip.set_role("berta", "reader")
        await in_step(berta, carl, anna, berta, carl)
        await trip.collection("notes").put({"n": 1}, id="a")
        await in_step(anna, berta, carl)
        for space in (trip, hers, his):
            assert await values(space) == {"a": {"n": 1}}
            assert await roles(space) == {"anna": "owner", "berta": "reader", "carl": "writer"}
            assert space._held.space.epoch.id == trip._held.space.epoch.id


@pytest.mark.slow
async def test_an_epoch_of_who_is_an_owner_no_more_is_followed(tmp_path: Path, server: Within) -> None:
    """Anna starts an epoch; apart from that Carl transfers the space to Berta, and comes to the relay second.

    His epoch stands beside Anna's, and only he has its keys, who can start none any more: the
    owners go on without them.
    """
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        (his,) = await shared(trip, anna, carl, role="owner")
        await in_step(anna, berta, carl)
        await trip.rotate()
        await his.transfer("berta")
        await in_step(anna, carl, berta)
        assert await roles(trip) == {"anna": "owner", "berta": "owner", "carl": "writer"}
        await his.collection("notes").put({"n": 1}, id="a")
        await in_step(carl, anna, berta)
        assert await values(trip) == await values(hers) == {"a": {"n": 1}}
        await trip.remove("carl")
        await in_step(anna, berta)
        assert not hers._held.space.membership.state.rotation_owed


@pytest.mark.slow
async def test_what_is_under_a_void_epoch_is_read_by_whoever_comes_later(tmp_path: Path, server: Within) -> None:
    """Written under an epoch whose author was no owner any more, as it turned out: newcomers read it all the same."""
    async with persons(tmp_path, "anna", "berta", "carl", "dora", relay=server.url) as (anna, berta, carl, dora):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        await hers.rotate()
        await hers.rotate()
        await in_step(berta, carl)
        await his.collection("notes").put({"n": 1}, id="a")
        await carl.sync()
        await trip.remove("berta")
        await in_step(anna, carl)
        (theirs,) = await shared(trip, anna, dora)
        for space in (trip, his, theirs):
            assert await values(space) == {"a": {"n": 1}}
            assert not space._held.space.membership.state.rotation_owed


@pytest.mark.slow
async def test_what_a_leaving_owner_had_not_sent_is_read(tmp_path: Path, server: Within) -> None:
    """An owner writes, rotates and leaves while apart, and its other device rotates meanwhile: what it wrote shows.

    Its other device's epoch is void by the leaving, so what leaves is sealed under its own, of
    which nobody gets the keys: the relay's are not replaced by one that does not follow them.
    """
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        await paired_apart(anna, tmp_path, server.url, "phone")
        async with open_again(tmp_path / "phone") as phone:
            await in_step(anna, phone, berta)
            await trip.collection("notes").put({"n": 1}, id="a")
            await trip.rotate()
            await trip.leave()
            await phone.space("Trip").rotate()
            await in_step(phone, anna, berta)
            assert await roles(hers) == {"berta": "owner"}
            assert await values(hers) == {"a": {"n": 1}}


@pytest.mark.parametrize("first", ["anna", "carl"])
@pytest.mark.slow
async def test_what_owners_wrote_who_transfer_apart_is_read(tmp_path: Path, server: Within, first: str) -> None:
    """Two owners write and hand their roles on, apart: whoever is second at the relay is read as well, and goes on."""
    async with persons(tmp_path, "anna", "berta", "carl", "dora", relay=server.url) as (anna, berta, carl, dora):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        (his,) = await shared(trip, anna, carl, role="owner")
        (theirs,) = await shared(trip, anna, dora)
        everybody = (anna, berta, carl, dora)
        await in_step(*everybody)
        for one, heir in ((trip, "berta"), (his, "dora")):
            await one.collection("notes").put({"n": 1}, id=heir)
            await one.transfer(heir)
        await in_step(*((anna, carl) if first == "anna" else (carl, anna)), berta, dora)
        for name, one in (("anna", trip), ("carl", his)):
            await one.collection("notes").put({"n": 2}, id=name)
        await in_step(*everybody)
        for space in (trip, hers, his, theirs):
            assert await roles(space) == {"anna": "writer", "berta": "owner", "carl": "writer", "dora": "owner"}
            assert await values(space) == {"berta": {"n": 1}, "dora": {"n": 1}, "anna": {"n": 2}, "carl": {"n": 2}}
            assert not space._held.space.membership.state.rotation_owed


@pytest.mark.slow
async def test_a_name_that_waited_for_keys_is_seen_at_once(tmp_path: Path, server: Within) -> None:
    """A new name arrives under keys that come later in the same sync: the space is called so after it."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        await paired_apart(anna, tmp_path, server.url, "phone")
        async with open_again(tmp_path / "phone") as phone:
            await in_step(anna, phone, berta)
            await trip.rotate()
            await trip.rename("Milan")
            await phone.space("Trip").rotate()
            for home in (phone, anna, berta):
                await home.sync()
            assert (hers.name, trip.name) == ("Milan", "Milan")
