"""Public spaces with a real relay: whoever has the address reads, and nobody else than members writes."""

import asyncio
from pathlib import Path

import msgspec
import pytest

import chez
from chez import crypto
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.keys.epochs import Epoch
from chez.records.encode import encode_fields
from chez.spaces.link import SpaceLink
from chez.spaces.public import Address
from chez.spaces.rotation import accept_packet, tag_of
from chez.spaces.statements import Add, sign_statement
from chez.spaces.statements import Role as Owner
from chez.sync.connection import RelayConnection, connect
from chez.sync.entry import CHANGE, CHANGES, STATEMENT, STATEMENTS, Inner, Item, seal, sign_entry
from chez_wire.login import Role
from tests.home.pairing import paired
from tests.people.persons import persons, roles, shared, values
from tests.people.support import join, open_again, turned_until
from tests.relay.within import Within


async def outcome(relay: RelayConnection, address: Address, role: Role, key: object) -> str:
    """What the relay says when somebody wants a role with a key."""
    (answer,) = await relay.open([(address.handle, role, key)])  # type: ignore[list-item]
    return answer.error


async def test_an_address_opens_the_log_and_no_way_to_post_anything(tmp_path: Path, server: Within) -> None:
    """With the address alone the newest epoch is found at the relay, over rotations; its secret reads, and is refused
    for appending, and for what members of other spaces may post too."""
    async with paired(tmp_path, server.url) as (a, b):
        news = await a.create_space("News", public=True)
        assert news.public and not a.space().public
        await news.collection("notes").put({"n": 1}, id="a")
        await a.set_relay(server.url)
        await a.sync()
        await b.sync(server.url)
        await b.space("News").collection("notes").put({"n": 2}, id="b")
        await b.sync(server.url)
        await a.sync(server.url)
        assert sorted([note.id async for note in news.collection("notes")]) == ["a", "b"]
        address = Address.read(news.address)
        for _ in range(2):
            async with connect(server.url) as relay:
                box = await relay.get_packet(address.handle, tag_of(address.space, address.key.public))
                epoch = accept_packet(address.space, box, address.key)
                assert isinstance(epoch, Epoch) and epoch.append is None
                assert await outcome(relay, address, Role.READ, epoch.read) == ""
                page = await relay.read(address.handle, 0)
                assert page.entries
                for role in (Role.CONTROL, Role.APPEND):
                    for key in (epoch.control, epoch.read):
                        assert await outcome(relay, address, role, key) == "denied"
            await a.devices.remove("b") if epoch.number == 1 else None
            await a.sync(server.url)
        assert epoch.number == 2


async def test_only_a_public_space_at_a_relay_has_an_address(tmp_path: Path, server: Within) -> None:
    """A shared space, and a public one that no relay has, have none; the name in it is the space's."""
    async with paired(tmp_path, server.url) as (a, _):
        with pytest.raises(NotAllowed):
            (await a.create_space("Trip")).address  # noqa: B018
        news = await a.create_space("News", public=True)
        with pytest.raises(NotFound):
            news.address  # noqa: B018
        await a.set_relay(server.url)
        assert Address.read(news.address).name == "News"


async def test_followers_read_on_over_rotations_and_write_nothing(tmp_path: Path, server: Within) -> None:
    """A follower, its second device, and one who comes later read all that members write, under each epoch; what they
    may not do is refused before anything is written; nobody is a member by it."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        news = await anna.create_space("News", public=True)
        await news.collection("notes").put({"n": 1}, id="a")
        photo = await news.blobs.add(b"a photo", media_type="image/png")
        await news.collection("photos").put({"photo": photo}, id="p")
        await anna.sync()
        hers = await berta.follow(news.address)
        await berta.sync()
        assert (hers.name, hers.role, hers.public, hers.status().removed) == ("News", None, True, False)
        assert await values(hers) == {"a": {"n": 1}} and await roles(hers) == {"anna": "owner"}
        shown = (await hers.collection("photos").get("p")).value["photo"]
        assert b"".join([part async for part in hers.blobs.read(shown)]) == b"a photo"
        with pytest.raises(NotAllowed):
            await hers.blobs.add(b"mine", media_type="image/png")
        for refused in (hers.collection("notes").put({"n": 9}, id="x"), hers.collection("notes").delete("a"),
                        hers.add(await berta.card()), hers.rename("Mine"), hers.invite(), hers.leave()):
            with pytest.raises(NotAllowed):
                await refused
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await phone.sync()
            for number in range(2, 4):
                await news.rotate()
                await news.collection("notes").put({"n": number}, id="a")
                await anna.sync()
                for home in (berta, phone):
                    report = await home.sync()
                    assert (report.problems, report.quarantined) == ((), 0)
                    assert await values(home.space("News")) == {"a": {"n": number}}
        assert [one.kind for one in await berta.journal.receipts("space-followed")] == ["space-followed"]
        with pytest.raises(NotAllowed, match="already"):
            await berta.follow(news.address)
        assert await roles(news) == {"anna": "owner"}
    async with open_again(tmp_path / "berta") as berta:
        assert await values(berta.space("News")) == {"a": {"n": 3}}
        await berta.sync()


async def test_a_follower_hears_of_news_while_connected(tmp_path: Path, server: Within) -> None:
    """Connected, a follower reads what is written, also after the keys were replaced while it was."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        news = await anna.create_space("News", public=True)
        await anna.sync()
        async with berta.connect() as link:
            hers = await berta.follow(news.address)
            for number in range(3):
                await news.collection("notes").put({"n": number}, id="a")
                await anna.sync()

                async def heard(number: int = number) -> bool:
                    return (await values(hers)).get("a") == {"n": number}

                async with asyncio.timeout(90):
                    await turned_until(link, heard)
                await news.rotate()
            assert link.problems == {}


async def test_a_follower_becomes_a_writer_and_a_follower_again(tmp_path: Path, server: Within) -> None:
    """An owner lets a follower in, who writes by the next sync, with or without the space link; taken out, it reads
    on like anybody."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        news = await anna.create_space("News", public=True)
        await anna.sync()
        with pytest.raises(InvalidValue):
            await news.add(await berta.card(), "reader")
        for guest in (berta, clara):
            await guest.follow(news.address)
            await guest.sync()
            await news.add(await guest.card())
        await anna.sync()
        await berta.sync()
        await clara.join(news.link())
        for guest in (berta, clara):
            await guest.space("News").collection("notes").put({"by": guest.name}, id=guest.name)
            assert (await guest.sync()).problems == ()
        await anna.sync()
        assert set(await values(news)) == {"berta", "clara"}
        await news.remove("berta")
        await news.collection("notes").put({"n": 1}, id="after")
        await anna.sync()
        await berta.sync()
        hers = berta.space("News")
        assert hers.status().removed and set(await values(hers)) == {"berta", "clara", "after"}
        with pytest.raises(NotAllowed):
            await hers.collection("notes").put({"n": 2})


async def test_stolen_credentials_write_nothing_anywhere(tmp_path: Path, server: Within) -> None:
    """A follower with the stolen key for appending, as with a relay on its side, posts a change, and a statement that
    makes it an owner: every device sets the one aside, and heeds the other not."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        news = await anna.create_space("News", public=True)
        await news.collection("notes").put({"n": 1}, id="a")
        await anna.sync()
        for home in (berta, clara):
            await home.follow(news.address)
            await home.sync()
        stolen = news._held.space.epoch.append
        assert stolen is not None
        await _posted(berta, news._held.space.handle, stolen, server.url)
        for home in (anna, clara):
            report = await home.sync()
            space = home.space("News")
            assert report.quarantined == 2 and await values(space) == {"a": {"n": 1}}
            assert await roles(space) == {"anna": "owner"}


async def _posted(thief: chez.Home, handle: bytes, key: crypto.SigningKey, url: str) -> None:
    """A change, and a word that it owns the space, by the device of a follower."""
    keys, space = thief._device, thief.space("News")._held.space
    said = [*space.membership.person_log(thief.person_id), *thief._replica.space.membership.person_log(thief.person_id)]
    heads = space.membership.named_heads
    add = sign_statement(Add(space.id, heads, keys.id, thief.person_id, Owner.OWNER, b""), keys.signing)
    written = Item(CHANGE, "notes", "a", encode_fields(keys.id, 1, 1, [], {"n": 9}).bytes)
    bodies = [(STATEMENTS, [Item(STATEMENT, "", "", one.raw) for one in (*said, add)]), (CHANGES, [written])]
    previous = bytes(32)
    async with connect(url) as relay:
        assert all(not one.error for one in await relay.open([(handle, Role.APPEND, key)]))
        for sequence, (kind, items) in enumerate(bodies, 1):
            signed = sign_entry(Inner(1, space.id, keys.id, sequence, previous, 0, kind, items, heads, None, None),
                                keys.signing)
            previous = signed.hash
            await relay.append(handle, Role.APPEND, seal(signed.packed, handle, space.epoch, crypto.random_bytes(24)))


async def test_an_address_leads_no_member_elsewhere(tmp_path: Path, server: Within) -> None:
    """Its own address, or one that somebody made with the relay of his choice, is refused to a publisher and to a
    writer, whose spaces stay where they are; nothing is told in the journal."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        news = await anna.create_space("News", public=True)
        hers = (await shared(news, anna, berta))[0]
        address = Address.read(news.address)
        for home, space in ((anna, news), (berta, hers)):
            relay = space._held.space.relay
            for one in (address, msgspec.structs.replace(address, relay="ws://127.0.0.1:9")):
                with pytest.raises(NotAllowed, match="already"):
                    await home.follow(one.text)
            assert space._held.space.relay == relay
            assert await home.journal.receipts("space-followed") == []


async def test_addresses_that_lead_elsewhere_are_refused(tmp_path: Path, server: Within) -> None:
    """An address with another nonce, of a space that is not public, or that gives a space another's place at the relay
    opens nothing; nor does one of a space that the relay does not have."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        news, trip = await anna.create_space("News", public=True), await anna.create_space("Trip")
        address = Address.read(news.address)
        with pytest.raises(NotFound):
            await berta.follow(address.text)
        await anna.sync()
        link = SpaceLink.read(trip.link())
        for wrong in (Address(address.space, address.handle, address.relay, crypto.random_bytes(32), "News"),
                      Address(link.space, link.handle, link.relay, address.nonce, "Trip"),
                      Address(bytes(32), address.handle, address.relay, address.nonce, "News")):
            with pytest.raises(chez.ChezError):
                await berta.follow(wrong.text)
        await berta.follow(address.text)
        with pytest.raises(InvalidValue, match="confused"):
            await berta.follow(Address(bytes(32), address.handle, address.relay, address.nonce, "x").text)
        with pytest.raises(InvalidValue):
            await berta.join(address.text)
        assert [space.name for space in await berta.spaces()] == ["private", "News"]
