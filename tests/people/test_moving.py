"""A space goes to another place: an owner who left took the old one over, or the relay is changed."""

import asyncio
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

import chez
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.spaces import handover
from chez.spaces.link import SpaceLink
from chez.spaces.statements import Move, Signed
from chez.store.database import Connection
from chez.sync.connection import connect
from chez.sync.rotating import rotation_at
from chez_relay.storage.sqlite import FILE_NAME
from tests.home.pairing import PASSPHRASE
from tests.home.test_doctor import harm
from tests.people.persons import in_step, persons, roles, shared, values
from tests.people.support import join, open_again
from tests.relay.within import Within, relay


async def take_over(space: chez.Space, thief: chez.Home) -> None:
    """An owner whose removal is on its way replaces the relay's keys by some that nobody else has."""
    replica = space._held.replica
    at = replica.space.epoch

    def work(db):  # type: ignore[no-untyped-def]
        replica.rotate(db)
        return rotation_at(replica.space, at, thief._device.signing, replica.entropy)

    made = await thief._database.write(work)
    assert made is not None and thief.relay is not None
    signer, rotation = made
    async with connect(thief.relay) as opened:
        await opened.rotate(replica.space.handle, signer, replace(rotation, packets=()))


@pytest.mark.slow
async def test_a_leaving_owner_who_takes_the_place_over_wins_nothing(tmp_path: Path, server: Within) -> None:
    """It is removed and locks the relay: another owner moves the space; all members go on, it is left with the old."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        async with join(carl, tmp_path / "phone", "phone", server.url) as phone:
            await his.collection("notes").put({"n": 1}, id="before")
            photo = await trip.blobs.add(b"x" * 5000)
            await trip.collection("notes").put({"photo": photo}, id="photo")
            await in_step(anna, berta, carl, phone)
            await trip.remove("berta")
            await take_over(hers, berta)
            for home in (anna, carl):
                assert [problem.name for problem in (await home.sync()).problems] == ["Trip"]
            await his.collection("notes").put({"n": 2}, id="meanwhile")
            old = trip.link()
            await trip.move()
            assert trip.link() != old
            assert not (await anna.sync()).problems
            with pytest.raises(NotAllowed, match="already"):
                await carl.join(old)
            assert await carl.join(trip.link()) == his
            assert not (await carl.sync()).problems
            await in_step(anna, phone, carl, phone)
            theirs = phone.space("Trip")
            assert theirs.link() == trip.link()
            for space in (trip, his, theirs):
                assert set(await values(space)) == {"before", "meanwhile", "photo"}
                assert await roles(space) == {"anna": "owner", "carl": "writer"}
            await theirs.collection("notes").put({"n": 3}, id="after")
            await in_step(phone, anna, carl)
            assert len(await values(trip)) == len(await values(his)) == 4
            got = (await his.collection("notes").get("photo")).value["photo"]
            assert b"".join([part async for part in his.blobs.read(got)]) == b"x" * 5000
            with pytest.raises((NotAllowed, NotFound)):
                await berta.join(trip.link())
            assert set(await values(hers)) == {"before", "photo"}
            assert [await home.alarms() for home in (anna, carl, phone)] == [[], [], []]
            assert [await home.audit() for home in (anna, carl, phone)] == [[], [], []]


@pytest.mark.slow
async def test_a_handover_that_has_no_room_for_the_move_leads_to_the_new_place(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A space of many statements is handed over without the last ones, the move among them: the person's other device
    finds it where it is now, and so does one that is paired later."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        async with join(carl, tmp_path / "phone", "phone", server.url) as phone:
            await his.collection("notes").put({"n": 1}, id="before")
            await in_step(anna, berta, carl, phone)
            room = sum(len(one.raw) for one in trip._held.space.membership.statements)
            await trip.remove("berta")
            await take_over(hers, berta)
            await trip.move()
            await anna.sync()
            monkeypatch.setattr(handover, "ROOM", room)
            assert not any(isinstance(Signed.kept(raw).body, Move)
                           for raw in handover.hand_over(trip._held.space, "").statements)
            assert await carl.join(trip.link()) == his
            await in_step(carl, phone)
            theirs = phone.space("Trip")
            assert theirs.link() == trip.link() and set(await values(theirs)) == {"before"}
            await theirs.collection("notes").put({"n": 2}, id="after")
            await in_step(phone, anna)
            assert set(await values(trip)) == {"before", "after"}
            async with join(carl, tmp_path / "tablet", "tablet", server.url) as tablet:
                await in_step(carl, tablet)
                assert tablet.space("Trip").link() == trip.link()
                assert set(await values(tablet.space("Trip"))) == {"before", "after"}


async def test_a_space_goes_to_another_relay(tmp_path: Path, server: Within) -> None:
    """Moved while connected, the space is at the other relay with all of it; a newcomer and members join there."""
    async with (persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl),
                relay(tmp_path / "other") as other):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await hers.collection("notes").put({"n": 1}, id="a")
        await in_step(berta, anna)
        async with anna.connect() as link:
            await link.synced(90)
            await trip.move(relay=other.url)
            await trip.collection("notes").put({"n": 2}, id="b")
            await trip.add(await carl.card())
            await anna.sync()
        assert SpaceLink.read(trip.link()).relay == other.url
        his = await carl.join(trip.link())
        assert await berta.join(trip.link()) == hers
        await in_step(carl, berta)
        for space in (his, hers):
            assert set(await values(space)) == {"a", "b"}
        await hers.collection("notes").put({"n": 3}, id="c")
        await in_step(berta, anna, carl)
        assert set(await values(trip)) == set(await values(his)) == {"a", "b", "c"}
        (receipt,) = await anna.journal.receipts("space-moved")
        assert receipt.body["relay"] == other.url


async def test_a_link_to_another_relay_leads_no_member_there_without_an_owners_word(
        tmp_path: Path, server: Within) -> None:
    """An owner's home that is kept at another relay from now on takes its spaces along under the handle that each has,
    as anybody could who has their logs: the link says so to a member, and what to ask for; moved, it leads there."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta), relay(tmp_path / "other") as other:
        await anna.set_relay(server.url)
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await anna.set_relay(other.url)
        await anna.sync()
        with pytest.raises(NotAllowed, match=r"already, at .*, and this link names ") as refused:
            await berta.join(trip.link())
        assert "space move" in refused.value.hint
        await trip.move()
        await trip.collection("notes").put({"n": 1}, id="a")
        await anna.sync()
        assert await berta.join(trip.link()) == hers
        await berta.sync()
        assert set(await values(hers)) == {"a"}


@pytest.mark.slow
async def test_a_space_that_another_device_moved_is_left_at_once(tmp_path: Path, server: Within) -> None:
    """While it is read at its old place, another space's entry tells of the new one, at another relay in the end:
    nothing is sealed for the old."""
    async with (relay(tmp_path / "other") as other, persons(tmp_path, "anna", relay=server.url) as (anna,), join(
            anna, tmp_path / "phone", "phone", server.url) as phone):
        trip = await anna.create_space("Trip")
        await in_step(anna, phone)
        notes = phone.space("Trip").collection("notes")
        for turn in range(6):
            await notes.put({"n": turn}, id=f"{turn}")
            await in_step(phone, anna)
            await trip.move(relay=other.url if turn == 5 else None)
            await anna.sync()
            if turn % 2:
                await notes.put({"n": turn}, id=f"{turn} late")
            assert not (await phone.sync()).problems
            assert (await phone.status()).pending == 0
            await in_step(anna, phone)
            assert await values(trip) == await values(phone.space("Trip"))
            assert phone.space("Trip").link() == trip.link()
        assert SpaceLink.read(trip.link()).relay == other.url


@pytest.mark.parametrize("first", [True, False])
async def test_two_devices_that_move_a_space_at_once_end_up_at_one_relay(
        tmp_path: Path, server: Within, first: bool) -> None:
    """Each takes it to another relay before it hears of the other: one of the places counts, and its relay with it."""
    async with (relay(tmp_path / "one") as one, relay(tmp_path / "two") as two,
                persons(tmp_path, "anna", relay=server.url) as (anna,),
                join(anna, tmp_path / "phone", "phone", server.url) as phone):
        trip = await anna.create_space("Trip")
        await in_step(anna, phone)
        theirs = phone.space("Trip")
        for space, url, id in ((trip, one.url, "a"), (theirs, two.url, "b")):
            await space.move(relay=url)
            await space.collection("notes").put({"n": 1}, id=id)
        await in_step(*((anna, phone) if first else (phone, anna)))
        await in_step(anna, phone)
        assert trip.link() == theirs.link() and SpaceLink.read(trip.link()).relay in (one.url, two.url)
        assert set(await values(trip)) == set(await values(theirs)) == {"a", "b"}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=[pytest.mark.slow, pytest.mark.exhaustive])
                                      for seed in range(2, 8))])
async def test_connected_devices_that_move_a_space_about_stay_together(
        tmp_path: Path, server: Within, seed: int) -> None:
    """One after the other, and just when they hear of each other's move, to any of three relays, while both write."""
    chance = random.Random(seed)
    async with (relay(tmp_path / "one") as one, relay(tmp_path / "two") as two,
                persons(tmp_path, "anna", relay=server.url) as (anna,),
                join(anna, tmp_path / "phone", "phone", server.url) as phone):
        trip = await anna.create_space("Trip")
        await in_step(anna, phone)
        theirs, written = phone.space("Trip"), set[str]()
        async with anna.connect(), phone.connect():
            for turn in range(10):
                for space in chance.sample([trip, theirs, trip, theirs], chance.choice([2, 2, 3])):
                    await space.move(relay=chance.choice([server.url, one.url, two.url]))
                    if chance.random() < 0.5:
                        written.add((await space.collection("notes").put({"turn": turn})).id)
                    await asyncio.sleep(chance.choice([0, 0.005, 0.02, 0.05]))
                async with asyncio.timeout(20):
                    while trip.link() != theirs.link() or not (  # noqa: ASYNC110 - a state with no event of its own
                            set(await values(trip)) == set(await values(theirs)) == written):
                        await asyncio.sleep(0.05)
        await in_step(anna, phone)
        for home in (anna, phone):
            status = await home.status()
            assert (status.pending, [one.problem for one in status.spaces]) == (0, ["", ""])


async def test_a_sync_that_is_given_up_leaves_no_space_at_its_former_place(tmp_path: Path, server: Within) -> None:
    """Cancelled at some moment, as just when it heard of the new place, it leaves the next one to be in step."""
    async with (relay(tmp_path / "other") as other, persons(tmp_path, "anna", relay=server.url) as (anna,),
                join(anna, tmp_path / "phone", "phone", server.url) as phone):
        trip = await anna.create_space("Trip")
        await in_step(anna, phone)
        for turn in range(15):
            await trip.move(relay=other.url if turn % 2 else server.url)
            await trip.collection("notes").put({"n": 1}, id=f"{turn}")
            await anna.sync()
            given_up = asyncio.create_task(phone.sync())
            await asyncio.sleep(0.0035 * turn)
            given_up.cancel()
            await asyncio.wait((given_up,))
            assert not (await phone.sync()).problems
            assert phone.space("Trip").link() == trip.link() and f"{turn}" in await values(phone.space("Trip"))


@pytest.mark.slow
async def test_the_doctor_puts_a_space_back_where_it_was_moved_to(tmp_path: Path, server: Within) -> None:
    """All that was known of it is lost, but for the entries that handed it over, from each of its places."""
    async with relay(tmp_path / "other") as other, persons(tmp_path, "anna", relay=server.url) as (anna,):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            for url in (other.url, server.url, other.url):
                await trip.move(relay=url)
                await in_step(anna, phone)
            n = phone.space("Trip")._held.space.n

        def lose(db: Connection) -> None:
            for table in ("statement", "epoch", "cursor"):
                db.execute(f"DELETE FROM {table} WHERE space = ?", (n,))
            db.execute("DELETE FROM space WHERE n = ?", (n,))

        harm(tmp_path / "phone", lose)
        assert (await chez.doctor(tmp_path / "phone", passphrase=PASSPHRASE, repair=True)).left == ()
        async with open_again(tmp_path / "phone") as phone:
            assert not (await phone.sync()).problems
            assert phone.space("Trip").link() == trip.link() and set(await values(phone.space("Trip"))) == {"a"}


async def test_attachments_go_to_the_new_place_while_connected(tmp_path: Path, server: Within) -> None:
    """Moved within its relay while a device is connected, the attachments are sent there at once, and `status` counts
    them until they are."""
    async with (persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta)):
        trip = await anna.create_space("Trip")
        photo = await trip.blobs.add(b"x" * 5000)
        await trip.collection("notes").put({"photo": photo}, id="photo")
        await trip.add(await berta.card())
        await anna.sync()
        assert (await anna.status()).attachments == 0
        await trip.move()
        assert (await anna.status()).attachments == 1
        await anna.sync()
        async with anna.connect() as link:
            await link.synced(90)
            await trip.move()
            async with asyncio.timeout(20):
                while (await anna.status()).attachments:  # noqa: ASYNC110 - a state with no event of its own
                    await asyncio.sleep(0.05)
            await berta.join(trip.link())
            await berta.sync()
            hers = berta.space("Trip")
            got = (await hers.collection("notes").get("photo")).value["photo"]
            assert b"".join([part async for part in hers.blobs.read(got)]) == b"x" * 5000


async def test_who_may_not_moves_nothing(tmp_path: Path, server: Within) -> None:
    """A writer, the private space, a relay that is none: refused, and all stays where it is."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        link = trip.link()
        with pytest.raises(NotAllowed, match="owner"):
            await hers.move()
        with pytest.raises(NotAllowed, match="yours alone"):
            await anna.space().move()
        with pytest.raises(InvalidValue):
            await trip.move(relay="ftp://relay")
        await in_step(anna, berta)
        assert trip.link() == hers.link() == link


@pytest.mark.slow
@pytest.mark.parametrize("out", [True, False])
async def test_who_made_a_space_and_was_taken_out_has_no_say_where_it_goes(
        tmp_path: Path, server: Within, out: bool) -> None:
    """Its 24 words outrank owners at the relay where it made the space; at the next place those of who moved it do."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        if out:
            await hers.remove("anna")
        await hers.move()
        await berta.sync()
        state = hers._held.space.membership.state
        mine, other = (min(state.persons_of(home.device_id)) for home in (anna, berta))
        with sqlite3.connect(tmp_path / "relay" / FILE_NAME) as db:
            (key,) = db.execute("SELECT recovery_key FROM spaces WHERE handle = ?",
                                (hers._held.space.handle,)).fetchone()
        assert key == state.persons[other if out else mine].relay_recovery


@pytest.mark.slow
async def test_a_removed_owners_own_move_leads_nobody_astray(tmp_path: Path, server: Within) -> None:
    """It moves the space for itself, with all members in it: who knows of its removal does not follow."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        await trip.remove("berta")
        await in_step(anna, carl)
        await hers.move()
        await berta.sync()
        for home in (anna, carl):
            with pytest.raises(InvalidValue, match="another place"):
                await home.join(hers.link())
        await trip.collection("notes").put({"n": 1}, id="a")
        await in_step(anna, carl)
        assert set(await values(his)) == {"a"} and his.link() == trip.link()


@pytest.mark.slow
async def test_who_moved_a_space_and_lost_the_right_to_at_the_same_time_comes_back(
        tmp_path: Path, server: Within) -> None:
    """Another owner takes the right before it hears of the move: that is void, and the old link leads back there."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        old = hers.link()
        await trip.move()
        await trip.collection("notes").put({"n": 1}, id="there")
        await anna.sync()
        await hers.set_role("anna", "writer")
        await hers.collection("notes").put({"n": 1}, id="here")
        await in_step(berta, carl)
        with pytest.raises(InvalidValue, match="another place"):
            await berta.join(trip.link())
        assert await anna.join(old) == trip
        await in_step(anna, berta, carl, anna)
        assert trip.role == "writer" and trip.link() == hers.link() == his.link()
        for space in (trip, hers, his):
            assert set(await values(space)) == {"there", "here"}
