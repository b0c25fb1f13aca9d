"""People come into a space by its link, over a real relay: what they read, write, hear of, and what is refused."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from chez.errors import InvalidValue, NotAllowed, NotFound, RelayUnreachable
from chez.home import joining
from chez.spaces.link import SpaceLink
from chez.spaces.membership import Membership
from chez.sync.survey import Survey
from tests.people.persons import persons, roles, shared, values
from tests.people.support import join, open_again
from tests.relay.within import Within


async def test_a_newcomer_reads_everything_at_once_and_both_write(tmp_path: Path, server: Within) -> None:
    """After several epochs a newcomer reads what was written under each, with no edit by anybody; then both write."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        for number in range(3):
            await trip.collection("notes").put({"n": number}, id=f"n{number}")
            await anna.sync()
            await trip.rotate()
        photo = await trip.blobs.add(b"a photo", media_type="image/png")
        await trip.collection("notes").put({"photo": photo}, id="photo")
        (hers,) = await shared(trip, anna, berta)
        assert (hers.name, hers.id, hers.role) == ("Trip", trip.id, "writer")
        assert set(await values(hers)) == {"n0", "n1", "n2", "photo"}
        got = (await hers.collection("notes").get("photo")).value["photo"]
        assert b"".join([part async for part in hers.blobs.read(got)]) == b"a photo"
        await hers.collection("notes").put({"n": 9}, id="n0")
        await hers.collection("notes").put({"n": 7}, id="hers")
        await berta.sync()
        await anna.sync()
        assert await values(trip) == await values(hers) and (await values(trip))["n0"] == {"n": 9}
        history = await trip.collection("notes").history("n0")
        assert history[0].device_name == "berta"
        assert await roles(hers) == {"anna": "owner", "berta": "writer"}
        (receipt,) = await berta.journal.receipts("space-joined")
        assert receipt.body == {"name": "Trip", "space": trip.id, "relay": server.url}


async def test_all_devices_of_both_have_the_space(tmp_path: Path, server: Within) -> None:
    """Each person's second device finds the space by itself, reads all of it, and writes in it; who is a member takes
    one of its own out, and the space's owner starts the new epoch."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="first")
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            (hers,) = await shared(trip, anna, berta)
            async with join(anna, tmp_path / "tablet", "tablet", server.url) as tablet:
                await phone.sync()
                for home, name in ((phone, "phone"), (tablet, "tablet")):
                    await home.space("Trip").collection("notes").put({"by": name}, id=name)
                for home in (phone, tablet, anna, berta, phone, tablet):
                    await home.sync()
                everywhere = [await values(space) for space in (
                    trip, hers, phone.space("Trip"), tablet.space("Trip"))]
                assert all(one == everywhere[0] for one in everywhere) and len(everywhere[0]) == 3
                assert {member.name: member.devices for member in await hers.members()} == {
                    "anna": ("anna", "tablet"), "berta": ("berta", "phone")}
                assert [await home.audit() for home in (anna, berta, phone, tablet)] == [[], [], [], []]
                before = trip._held.space.epoch.number
                await berta.devices.remove("phone")  # where she is no owner she says it, and starts no epoch
                await berta.sync()
                await anna.sync()
                assert {member.name: member.devices for member in await trip.members()}["berta"] == ("berta",)
                assert trip._held.space.epoch.number == before + 1


async def test_people_follow_a_shared_space_while_connected(tmp_path: Path, server: Within) -> None:
    """Connected the whole time, a newcomer joins, and what each writes shows at the other."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        async with anna.connect() as hers, berta.connect() as theirs:
            await trip.collection("notes").put({"n": 1}, id="a")
            await trip.add(await berta.card())
            await hers.synced(90)
            copy = await berta.join(trip.link())
            await theirs.synced(90)
            assert set(await values(copy)) == {"a"}
            await copy.collection("notes").put({"n": 2}, id="b")
            async with asyncio.timeout(90):
                async for notes in trip.collection("notes").where().live():
                    if len(notes) == 2:
                        break


async def test_a_link_without_membership_opens_nothing(tmp_path: Path, server: Within) -> None:
    """Before one is let in, or while who did so was not in step, the relay has no keys; then the same link works."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        await anna.sync()
        with pytest.raises(NotFound, match="no keys"):
            await berta.join(trip.link())
        await trip.add(await berta.card())
        with pytest.raises(NotFound, match="no keys"):
            await berta.join(trip.link())
        await anna.sync()
        with pytest.raises(NotFound, match="no keys"):
            await carl.join(trip.link())
        await berta.join(trip.link())
        with pytest.raises(NotAllowed, match="already"):
            await berta.join(trip.link())
        with pytest.raises(NotAllowed, match="already"):
            await anna.join(trip.link())
        assert len(await carl.spaces()) == 1 and len(await berta.journal.receipts("space-joined")) == 1


async def test_what_is_no_link_of_the_space_is_refused(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to another relay, with another space's id or place, or to nothing: refused in words, nothing is kept.

    Nor where a relay that is in league with who made it shows the space there, or somebody's private space.
    """
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, house = await anna.create_space("Trip"), await anna.create_space("House")
        for space in (trip, house):
            await space.add(await berta.card())
        await anna.sync()
        link, other = SpaceLink.read(trip.link()), SpaceLink.read(house.link())
        await berta.join(other.text)
        for wrong, refusal in ((replace(link, relay="ws://127.0.0.1:9"), RelayUnreachable),
                               (replace(link, relay="ftp://x"), InvalidValue),
                               (replace(link, space=bytes(32)), NotFound), (replace(link, handle=bytes(32)), NotFound),
                               (replace(link, handle=other.handle), InvalidValue)):
            with pytest.raises(refusal):
                await berta.join(wrong.text)
        shown: list[Membership] = []

        async def in_league(*_: object, **__: object) -> Survey:
            return Survey(shown[-1], trip._held.space.epoch, dict(trip._held.space.epochs), 1, 0)

        with monkeypatch.context() as patch:
            patch.setattr(joining, "survey", in_league)
            for space, at, refused in ((trip, bytes(32), "at another place"),
                                       (anna.space(), None, "somebody's private space")):
                keys = space._held.space
                shown.append(keys.membership)
                with pytest.raises(InvalidValue, match=refused):
                    await berta.join(replace(link, space=keys.id, handle=at or keys.handle).text)
        for text in ("", trip.id, await anna.card()):
            with pytest.raises(InvalidValue):
                await berta.join(text)
        assert {space.name for space in await berta.spaces()} == {"private", "House"}


async def test_a_joined_space_survives_the_home(tmp_path: Path, server: Within) -> None:
    """Joined and not synced yet, the home is closed and opened again: then the space is there and comes in step."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        async with persons(tmp_path, "berta", relay=server.url) as (berta,):
            await trip.add(await berta.card(), "reader")
            await anna.sync()
            await berta.join(trip.link())
        async with open_again(tmp_path / "berta") as berta:
            hers = berta.space("Trip")
            assert hers.role == "reader" and hers.link() == trip.link()
            await berta.sync()
            assert await values(hers) == {"a": {"n": 1}}
