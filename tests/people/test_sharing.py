"""A space is shared: its owner lets people in, each sees who is there, and who may not say so is refused."""

from pathlib import Path

import pytest

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.spaces.card import Card
from chez.spaces.link import SpaceLink
from tests.people.persons import persons, roles


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
                                    (hers, "editor", InvalidValue), ("berta", "writer", InvalidValue),
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
