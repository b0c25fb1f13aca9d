"""A device is taken out: it reads nothing new, writes nothing that counts, and hears of it; the others go on."""

import asyncio
import shutil
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import ChezError, InvalidValue, NotAllowed, NotFound, RelayRefused
from chez.spaces.space import keep_statement
from chez.store.database import Connection
from chez.sync.connection import connect
from chez.sync.entry import unseal
from chez_wire.envelope import Header
from chez_wire.login import Role
from tests.home.pairing import PASSPHRASE, paired
from tests.people.support import ids, join, open_again, raw_entries, turned_until
from tests.relay.within import Within, relay


async def test_devices_are_listed_named_and_found(tmp_path: Path, server: Within) -> None:
    """Both devices show both, with who let in whom and when they were last seen; a new name arrives everywhere."""
    async with paired(tmp_path, server.url) as (a, b):
        await b.collection("notes").put({"n": 1})
        await b.sync(server.url)
        await a.sync(server.url)
        listed = {info.name: info for info in await a.devices.all()}
        assert set(listed) == {"a", "b"}
        assert listed["a"].own and listed["a"].let_in_by is None and listed["b"].let_in_by == "a"
        assert all(info.active and info.seen is not None for info in listed.values())
        await a.devices.rename("b", "phone")
        await a.sync(server.url)
        await b.sync(server.url)
        assert [info.name for info in await b.devices.all()] == ["phone", "a"]
        with pytest.raises(NotFound):
            await a.devices.rename("b", "x")
        with pytest.raises(InvalidValue):
            await a.devices.rename("phone", "")
        for whole in (False, True):  # who has a stolen device may call another one so
            called = a.device_id.hex() if whole else a.device_id.hex()[:8]
            await a.devices.rename(b.device_id, called)
            if whole:
                assert (await a.devices.find(called)).own
            else:
                with pytest.raises(InvalidValue, match="names 2 devices"):
                    await a.devices.find(called)


async def test_a_removed_device_is_sent_no_later_key_and_nothing_it_could_read(
        tmp_path: Path, server: Within) -> None:
    """All that the relay hands out after the removal, tried with every key the removed device has: nothing opens."""
    async with paired(tmp_path, server.url) as (a, b):
        notes = a.collection("notes")
        await notes.put({"text": "before"}, id="before")
        await a.sync(server.url)
        await b.sync(server.url)
        removed = await a.devices.remove("b")
        assert removed.id == b.device_id
        await notes.put({"text": "after"}, id="after")
        await a.sync(server.url)
        with pytest.raises(RelayRefused):
            await b.sync(server.url)
        assert await ids(b) == {"before"}
        assert [(info.name, info.active) for info in await a.devices.all()] == [("a", True), ("b", False)]
        held = b._replica.space.epochs
        known = set(held)
        later = [entry for entry in raw_entries(tmp_path / "relay") if Header.decode(entry).epoch not in known]
        assert later, "what was written after the removal is under another epoch"
        for entry in later:
            with pytest.raises(ChezError):
                unseal(entry, b._replica.space.handle, held)
        assert not any(epoch.id in known for epoch in a._replica.space.epochs.values() if epoch.number == 2)


async def test_a_removed_device_hears_of_it(tmp_path: Path, server: Within) -> None:
    """Connected or not, the removed device learns that it was taken out, can't act for the person, keeps its data."""
    async with paired(tmp_path, server.url) as (a, b), b.connect(server.url) as link:
        await link.synced(90)
        await a.devices.remove("b")
        await a.sync(server.url)

        async def removed() -> bool:
            return (await b.status()).removed

        async with asyncio.timeout(90):
            await turned_until(link, removed)
        for act in (b.devices.rename("a", "mine"), b.devices.remove("a"), b.devices.rotate()):
            with pytest.raises(NotAllowed):
                await act
        with pytest.raises(NotAllowed):
            await a.devices.remove("a")


async def test_a_home_restored_from_before_its_removal_says_what_it_met(tmp_path: Path, server: Within) -> None:
    """It is a device that nobody knows, which no relay lets in: its status says that it is shut out, and not that it
    was removed; the device that was removed knows that, and another says neither. Another relay that lets it in changes
    nothing, as long as the home is kept at that one.
    """
    async with paired(tmp_path, server.url) as (a, b):
        await b.sync()
        await b.backup(tmp_path / "backup")
        await a.devices.remove(b.device_id)
        await a.sync(server.url)
        with pytest.raises(RelayRefused):
            await b.sync()
        await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, name="again",
                           kdf=Kdf.minimum())
        async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
            assert not (await again.status()).shut_out
            with pytest.raises(RelayRefused, match="lets this device into the space no more"):
                await again.sync()
        async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
            found = [await home.status() for home in (again, b, a)]
            assert [(one.shut_out, one.removed) for one in found] == [(True, False), (False, True), (False, False)]
            async with relay(tmp_path / "another") as other:  # which never had the space
                await again.sync(other.url)
                assert (await again.status()).shut_out
                await again.relays.set(other.url, here=True)
                await again.sync()
            assert not (await again.status()).shut_out


async def test_a_device_that_was_away_gets_the_keys_of_every_epoch_it_missed(
        tmp_path: Path, server: Within) -> None:
    """Three rotations and changes under each pass while a device is away: at its next contact it reads all of them."""
    async with paired(tmp_path, server.url) as (a, b):
        notes = a.collection("notes")
        for number in range(3):
            await a.devices.rotate()
            await notes.put({"n": number}, id=f"n{number}")
            await a.sync(server.url)
        await b.collection("notes").put({"n": 9}, id="offline")
        await b.sync(server.url)
        assert await ids(b) == {"n0", "n1", "n2", "offline"}
        await a.sync(server.url)
        assert "offline" in await ids(a)
        assert b._replica.space.epoch == a._replica.space.epoch
        assert b._replica.space.epoch.number == 4


@pytest.mark.slow
async def test_a_rotation_while_others_are_connected_interrupts_nobody(tmp_path: Path, server: Within) -> None:
    """Live links on both sides go on through rotations made on either, with changes under way."""
    async with paired(tmp_path, server.url) as (a, b), a.connect(server.url) as one, b.connect(server.url) as two:
        for number in range(6):
            home = (a, b)[number % 2]
            await home.collection("notes").put({"n": number}, id=f"{number}-before")
            await home.devices.rotate()
            await home.collection("notes").put({"n": number}, id=f"{number}-after")
            await one.synced(90)
            await two.synced(90)
        async with asyncio.timeout(90):
            for home in (a, b):
                async for notes in home.collection("notes").where().live():
                    if len(notes) == 12:
                        break
        assert one.error is None and two.error is None


async def test_two_owners_rotate_at_once_and_a_merge_follows(tmp_path: Path, server: Within) -> None:
    """Two epochs started apart both stand until a device that knows both starts one after them."""
    async with paired(tmp_path, server.url) as (a, b):
        await a.devices.rotate()
        await b.devices.rotate()
        await a.collection("notes").put({"n": 1}, id="a")
        await b.collection("notes").put({"n": 1}, id="b")
        for home in (a, b, a, b, a):
            await home.sync(server.url)
        for home in (a, b):
            state = home._replica.space.membership.state
            assert not state.rotation_owed and len(state.epoch_heads) == 1
            assert await ids(home) == {"a", "b"}
        assert a._replica.space.epoch == b._replica.space.epoch and a._replica.space.epoch.number == 3


async def test_a_newcomer_reads_everything_at_once(tmp_path: Path, server: Within) -> None:
    """A device paired after several epochs reads what was written under each, with no edit by anybody."""
    async with paired(tmp_path, server.url) as (a, _):
        for number in range(3):
            await a.collection("notes").put({"n": number}, id=f"n{number}")
            await a.sync(server.url)
            await a.devices.rotate()
        await a.sync(server.url)
        async with join(a, tmp_path / "c", "c", server.url) as c:
            assert await ids(c) == {"n0", "n1", "n2"}


async def test_a_removal_made_offline_is_carried_out_at_the_next_contact(tmp_path: Path, server: Within) -> None:
    """A removal made without a relay, the home closed and reopened: then the relay's keys are replaced."""
    async with paired(tmp_path, server.url) as (a, _):
        await a.devices.remove("b")
        await a.collection("notes").put({"n": 1}, id="secret")
    async with open_again(tmp_path / "a") as again:
        await again.sync(server.url)
        assert again._replica.space.epoch.number == 2
    async with open_again(tmp_path / "b") as b:
        with pytest.raises(RelayRefused):
            await b.sync(server.url)
        assert await ids(b) == set() and (await b.status()).removed


@pytest.mark.slow
async def test_a_space_whose_keys_changed_goes_to_another_relay(tmp_path: Path, server: Within) -> None:
    """A relay that never had a space, or lost it, gets it in its newest epoch; all devices meet there."""
    async with paired(tmp_path, server.url) as (a, b), relay(tmp_path / "other") as other:
        await a.collection("notes").put({"n": 1}, id="one")
        first = a._replica.space.epoch
        await a.devices.rotate()
        await a.sync(other.url)
        await b.sync(other.url)
        await b.collection("notes").put({"n": 2}, id="two")
        await b.sync(other.url)
        await a.sync(other.url)
        assert await ids(a) == await ids(b) == {"one", "two"}
        async with connect(other.url) as opened:
            (outcome,) = await opened.open([(a._replica.space.handle, Role.READ, first.read)])
            assert outcome.error == "denied"


async def test_a_new_epoch_in_one_space_or_in_all_that_are_ones_own(tmp_path: Path, server: Within) -> None:
    """`rotate` means the private space, another by its name, or each that one owns; a removed device starts none."""
    async with paired(tmp_path, server.url) as (a, b):
        trip = await a.create_space("Trip")
        assert [(one.name, one.epoch) for one in await a.devices.rotate()] == [("private", 2)]
        assert [(one.space, one.epoch) for one in await a.devices.rotate("Trip")] == [(trip.id, 2)]
        assert [one.epoch for one in await a.devices.rotate(everywhere=True)] == [3, 3]
        with pytest.raises(NotFound):
            await a.devices.rotate("Nowhere")
        await a.sync(server.url)
        await b.sync(server.url)
        await b.devices.remove("a")
        await b.sync(server.url)
        with pytest.raises(RelayRefused, match="this device was removed"):
            await a.sync(server.url)
        status = await a.status()
        assert status.removed and status.spaces[0].removed_by == "b"
        own = (await a.devices.all())[0]
        assert own.own and not own.active and own.removed_by == "b"
        with pytest.raises(NotAllowed):
            await a.devices.rotate(everywhere=True)


async def test_the_journal_tells_who_was_taken_out(tmp_path: Path, server: Within) -> None:
    """A removal, a new name and a new epoch are receipts."""
    async with paired(tmp_path, server.url) as (a, _):
        await a.devices.rename("b", "phone")
        await a.devices.rotate()
        await a.devices.remove("phone")
        kinds = [receipt.kind for receipt in await a.journal.receipts()]
        assert kinds[-3:] == ["device-renamed", "epoch-started", "device-removed"]


@pytest.mark.parametrize("public", [False, True])
async def test_who_heard_that_it_is_out_makes_no_space(tmp_path: Path, server: Within, public: bool) -> None:
    """Its words on one count for nobody: it is refused, and the home opens again, with one that it made before."""
    async with paired(tmp_path, server.url) as (a, b):
        await a.devices.remove("b")
        await a.sync(server.url)
        await b.create_space("Before", public=public)
        with pytest.raises(RelayRefused):
            await b.sync(server.url)
        with pytest.raises(NotAllowed, match="removed"):
            await b.create_space("After", public=public)
        shutil.copytree(tmp_path / "b", tmp_path / "copy")
    async with open_again(tmp_path / "copy") as b:
        assert [space.name for space in await b.spaces()] == ["private", "Before"]


async def test_who_heard_that_it_is_out_says_nothing_more_in_its_private_space(tmp_path: Path, server: Within) -> None:
    """Its removal arrived and the new keys did not yet: what it wrote stays with it, and others set nothing aside."""
    async with paired(tmp_path, server.url) as (a, b):
        for home in (a, b):
            await home.set_relay(server.url)
            await home.sync()
        await b.devices.remove("a")  # as b holds it: what it wrote is sent by nobody
        said = b._replica.space.membership.person_log(b.person_id)[-1]
        await a.collection("notes").put({"n": 1}, id="late")
        await a.journal.append("test", {})

        def heard(db: Connection) -> list[object]:
            a._replica.refresh(db)
            keep_statement(db, a._replica.space.n, a._replica.space.membership, said)
            return [*a._replica.author.collect(db)]

        assert await a._database.write(heard) == []
        await a.sync()
        report = await b.sync()
        assert report.quarantined == 0 and not await b.audit()
        assert await ids(a) == {"late"} and await ids(b) == set()
