"""A space is shared: its owner lets people in, each sees who is there, and who may not say so is refused."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.spaces.card import Card
from chez.spaces.link import SpaceLink
from chez.spaces.statements import Signed
from chez.store.database import Connection
from tests.home.pairing import PASSPHRASE
from tests.people.persons import in_step, persons, roles, shared
from tests.relay.within import relay


async def test_an_owner_lets_people_in(tmp_path: Path) -> None:
    """By their cards people become members in the role that is said; each addition starts an epoch and is a receipt."""
    async with persons(tmp_path, "anna", "berta", "carl") as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        assert await roles(trip) == {"anna": "owner"}
        added = await trip.add(await berta.card())
        assert (added.name, added.role, added.own, added.devices) == ("berta", "writer", False, ("berta",))
        await trip.add(await carl.card(), "reader")
        assert await roles(trip) == {"anna": "owner", "berta": "writer", "carl": "reader"}
        assert [member.own for member in await trip.members()] == [True, False, False]
        assert trip._held.space.epoch.number == 3
        receipts = await anna.journal.receipts("member-added")
        assert [(one.body["name"], one.body["role"], one.body["space"]) for one in receipts] == [
            ("berta", "writer", trip.id), ("carl", "reader", trip.id)]


async def test_what_cannot_be_added_changes_nothing(tmp_path: Path) -> None:
    """One's own card, a member's, an unknown role, no card, and anybody in the private space: refused, nothing said."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.add(await berta.card(), "reader")
        before = len(trip._held.space.membership), len(await anna.journal.receipts())
        hers, own = await berta.card(), await anna.card()
        for card, role, refusal in ((own, "writer", NotAllowed), (hers, "owner", NotAllowed),
                                    (hers, "editor", InvalidValue), ("berta", "writer", NotFound),
                                    (hers[:-4], "writer", InvalidValue)):
            with pytest.raises(refusal):
                await trip.add(card, role)  # type: ignore[arg-type]
        with pytest.raises(NotAllowed):
            await anna.space().add(await berta.card())
        assert (len(trip._held.space.membership), len(await anna.journal.receipts())) == before
        assert [member.name for member in await anna.space().members()] == ["anna"]


async def test_an_old_card_is_completed_by_what_is_known(tmp_path: Path) -> None:
    """Of a person who shares another space already, what is known there counts beside an older card."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        old = await berta.card()
        await berta.devices.rename("berta", "phone")
        trip, house = await anna.create_space("Trip"), await anna.create_space("House")
        await trip.add(await berta.card())
        await house.add(old)
        assert [member.devices for member in await house.members()] == [("anna",), ("phone",)]


async def test_a_card_and_a_link_say_what_they_are_of(tmp_path: Path) -> None:
    """The card is of the home's person, the link of the space and its relay; the private space has none."""
    async with persons(tmp_path, "anna") as (anna,):
        card = Card.read(await anna.card())
        assert (card.person, card.name, card.devices) == (anna.person_id, "anna", ("anna",))
        trip = await anna.create_space("Trip")
        with pytest.raises(NotFound):
            trip.link()
        await anna.set_relay("wss://relay.example")
        link = SpaceLink.read(trip.link())
        assert (link.space.hex(), link.relay, link.name) == (trip.id, "wss://relay.example", "Trip")
        with pytest.raises(NotAllowed):
            anna.space().link()


async def test_roles_are_given_by_owners(tmp_path: Path) -> None:
    """An owner makes a reader a writer and an owner, and lowers it again; each is a new epoch and a receipt."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.add(await berta.card(), "reader")
        for role in ("writer", "owner", "reader"):
            given = await trip.set_role("berta", role)
            assert given.role == role and await roles(trip) == {"anna": "owner", "berta": role}
        assert await trip.set_role(given, "reader") == given
        assert trip._held.space.epoch.number == 5 and not trip._held.space.membership.state.rotation_owed
        assert [one.body["role"] for one in await anna.journal.receipts("member-role")] == ["writer", "owner", "reader"]
        for who in ("Berta", given.id.hex()[:7], b"x" * 32):
            with pytest.raises(NotFound):
                await trip.set_role(who, "writer")
        assert (await trip.set_role(given.id.hex()[:8], "writer")).name == "berta"
        assert (await trip.set_role(given.id, "reader")).name == "berta"


async def test_a_space_is_never_left_without_an_owner(tmp_path: Path) -> None:
    """The only owner neither leaves nor becomes a writer; after `transfer` the other is the owner, and then it does."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        with pytest.raises(NotAllowed, match="nobody"):
            await trip.leave()
        await trip.add(await berta.card())
        for step in (trip.leave(), trip.set_role("anna", "writer"), trip.remove("anna"), anna.space().leave(),
                     trip.transfer("anna")):
            with pytest.raises(NotAllowed):
                await step
        assert trip.role == "owner"
        await trip.transfer("berta")
        assert await roles(trip) == {"berta": "owner", "anna": "writer"} and trip.role == "writer"
        state = trip._held.space.membership.state
        assert state.rotation_owed and len(state.epochs) == 3
        for step in (trip.add(await anna.card()), trip.remove("berta"), trip.set_role("berta", "reader"), trip.rotate(),
                     trip.rename("Rome"), trip.archive(), trip.transfer("berta")):
            with pytest.raises(NotAllowed, match="owner"):
                await step
        await trip.collection("notes").put({"n": 1})
        await trip.leave()
        assert trip.role is None and await roles(trip) == {"berta": "owner"}
        assert [one.body["name"] for one in await anna.journal.receipts("space-left")] == ["Trip"]
        for step in (trip.leave(), trip.collection("notes").put({"n": 2}), trip.add(await berta.card())):
            with pytest.raises(NotAllowed, match="no part"):
                await step
        assert await trip.collection("notes").count() == 1


async def test_who_only_reads_writes_nothing(tmp_path: Path) -> None:
    """A reader's every way to write is refused before anything is written: nothing waits to be sent."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        notes = trip.collection("notes")
        await notes.put({"text": chez.Text("tea"), "n": 1}, id="a")
        await notes.put({"n": 1}, id="b")
        await notes.delete("b")
        await trip.add(await berta.card(), "owner")
        await trip.set_role("anna", "reader")
        with pytest.raises(NotAllowed, match="read"):
            async with notes.edit("a") as draft:
                draft["n"] = 2
        with pytest.raises(NotAllowed, match="read"):
            async with notes.typing("a", "text"):
                pass
        for step in (notes.put({"n": 2}), notes.put({"n": 2}, id="a"), notes.delete("a"), notes.restore("b"),
                     notes.purge("a"), notes.undo("a"), trip.blobs.add(b"content"),
                     anna.transaction(lambda transaction: transaction.put(notes, {"n": 2}))):
            with pytest.raises(NotAllowed, match="read"):
                await step
        assert (await notes.get("a")).value["n"] == 1 and await notes.count() == 1
        assert (await trip.blobs.status()).known == 0
        await anna.collection("notes").put({"n": 1})


async def test_an_archived_space_is_read_and_not_written(tmp_path: Path) -> None:
    """What is put away takes no writing until it is taken out again; its name may change meanwhile."""
    async with persons(tmp_path, "anna") as (anna,):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        await trip.archive()
        await trip.archive()
        with pytest.raises(NotAllowed, match="archived"):
            await trip.collection("notes").put({"n": 2}, id="a")
        assert trip.archived and (await trip.collection("notes").get("a")).value == {"n": 1}
        await trip.rename("Rome")
        assert anna.space("Rome") == trip and trip.name == "Rome"
        assert (await anna.sql("SELECT _space FROM notes")).rows == [("Rome",)]
        for bad in ("private", "", "a\nb"):
            with pytest.raises(InvalidValue):
                await trip.rename(bad)
        await trip.archive(False)
        await trip.collection("notes").put({"n": 2}, id="a")
        kinds = [one.kind for one in await anna.journal.receipts()]
        assert kinds[-3:] == ["space-archived", "space-renamed", "space-taken-out"]


async def test_a_removed_member_is_gone_and_may_come_back(tmp_path: Path) -> None:
    """Removal ends membership with a new epoch, in one transaction; the same card lets the person in again."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.add(await berta.card())
        gone = await trip.remove("berta")
        assert gone.id == berta.person_id and await roles(trip) == {"anna": "owner"}
        assert trip._held.space.epoch.number == 3 and not trip._held.space.membership.state.rotation_owed
        with pytest.raises(NotFound):
            await trip.remove("berta")
        await trip.add(await berta.card(), "reader")
        assert await roles(trip) == {"anna": "owner", "berta": "reader"}
        assert [one.body["name"] for one in await anna.journal.receipts("member-removed")] == ["berta"]


async def test_a_person_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Others see what the person is called, not its device; a name that would confuse is refused before anything is."""
    for bad in ("", " Anna", "An\nna", "A" * 65):
        with pytest.raises(InvalidValue, match="person's name"):
            await chez.create(tmp_path / "bad", passphrase=PASSPHRASE, name="laptop", person=bad)
    assert not (tmp_path / "bad").exists()
    await chez.create(tmp_path / "home", passphrase=PASSPHRASE, name="laptop", person="Anna", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase=PASSPHRASE) as home:
        trip = await home.create_space("Trip")
        (member,) = await trip.members()
        assert (member.name, member.devices, home.name) == ("Anna", ("laptop",), "laptop")


async def test_what_is_said_of_another_persons_devices_is_not_said_in_the_private_space(tmp_path: Path) -> None:
    """What a shared space tells of the person's own devices is copied there; a member's are no matter of it."""
    async with (relay(tmp_path / "relay") as server,
                persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta)):
        trip = await anna.create_space("Trip")
        await shared(trip, anna, berta)
        await berta.devices.rename(berta.device_id, "her phone")
        await in_step(berta, anna)

        def told(db: Connection) -> list[int]:
            return [n for n, body in db.execute("SELECT space, body FROM statement").fetchall()
                    if getattr(Signed.kept(body).body, "name", "") == "her phone"]

        found = await anna._database.read(told)
        assert found and set(found) == {trip._held.space.n}
