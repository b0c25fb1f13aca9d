"""What a flood into an invitation's inbox does: to the journal, to a sync, and to the guests who come after it."""

import asyncio
from pathlib import Path

import pytest

from chez import crypto
from chez.errors import NotAllowed
from chez.home import answering
from chez.spaces.card import Card
from chez.spaces.invitations import InviteLink, Reply, open_request, seal_request
from chez.sync import pushes
from chez.sync.connection import connect
from chez_wire.login import Role as Put
from tests.people.guests import asked, invited
from tests.people.persons import persons, roles
from tests.relay.within import Within
from tests.spaces.people import Person


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all requests that are looked at."""
    sizes: list[int] = []

    def counted(box: bytes, *rest: object) -> object:
        sizes.append(len(box))
        return open_request(box, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(answering, "open_request", counted)
    return sizes


@pytest.mark.slow
async def test_a_flood_of_guests_fills_no_journal_and_keeps_nobody_out(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a link sends rubbish, requests of made persons and repeats of them: the journal tells of a few, all is
    taken out of the inbox, and an honest guest who comes after it is answered."""
    monkeypatch.setattr(answering, "MOST_TOLD", 3)
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna, uses=2)
        await asked(berta, link)
        invitation = InviteLink.read(link)
        await anna.sync()
        for number in range(6):
            made = Person(f"made {number}")
            enrol = made.enrol()
            card = Card.of(made.id, [enrol, made.certify([enrol.hash], 0, made.root)])
            async with connect(server.url) as relay:
                await relay.open([(invitation.inbox, Put.PUT, invitation.put)])
                for _ in range(2):
                    await relay.put(invitation.inbox, crypto.random_bytes(100))
                    await relay.put(invitation.inbox, seal_request(invitation, card, made.devices[0], Reply(bytes(32))))
        await asked(clara, link)
        for _ in range(2):
            assert (await anna.sync()).unanswered == ""
        assert len(await roles(trip)) == 3
        assert len(await anna.journal.receipts("invitation-refused")) == 3
        with pytest.raises(NotAllowed, match="used by as many"):
            await clara.join(link)


@pytest.mark.slow
async def test_an_inbox_full_of_rubbish_is_emptied_by_one_sync(
        tmp_path: Path, server: Within, looked_at: list[int]) -> None:
    """Many pages of large items, in two inboxes: each item is looked at once, and who asks after them is let in."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        links = [await invited(trip, anna) for _ in range(2)]
        async with connect(server.url) as relay:
            for one in map(InviteLink.read, links):
                await relay.open([(one.inbox, Put.PUT, one.put)])
                await asyncio.gather(*(relay.put(one.inbox, crypto.random_bytes(60_000)) for _ in range(100)))
        await asked(berta, links[0])
        assert (await anna.sync()).unanswered == ""
        assert len(looked_at) == 201
        assert (await berta.join(links[0])).role == "writer"


async def test_an_inbox_with_more_than_there_is_room_for_is_worked_off(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, looked_at: list[int]) -> None:
    """Items come faster than they are looked at: those there was no room for come again, and each is looked at once."""
    monkeypatch.setattr(pushes, "ITEM_ROOM", 1_000_000)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna)
        one = InviteLink.read(link)
        async with connect(server.url) as relay:
            await relay.open([(one.inbox, Put.PUT, one.put)])
            await asyncio.gather(*(relay.put(one.inbox, crypto.random_bytes(60_000)) for _ in range(60)))
        await asked(berta, link)
        assert (await anna.sync()).unanswered == ""
        assert len(looked_at) == 61
        assert (await berta.join(link)).role == "writer"


async def test_who_refills_an_inbox_without_pause_keeps_no_sync(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync looks at as much as an inbox has room for, brings the spaces in step, and says where more is; guests of
    other invitations are let in meanwhile."""
    monkeypatch.setattr(answering, "MOST_LOOKED_AT", 40)

    async def fill(one: InviteLink) -> None:
        async with connect(server.url) as relay:
            await relay.open([(one.inbox, Put.PUT, one.put)])
            while True:
                await asyncio.gather(*(relay.put(one.inbox, crypto.random_bytes(2_000)) for _ in range(20)))

    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, other = await anna.create_space("Trip"), await anna.create_space("Other")
        flooded, link = await invited(trip, anna), await invited(other, anna)
        await asked(berta, link)
        filling = asyncio.create_task(fill(InviteLink.read(flooded)))
        await trip.collection("notes").put({"n": 1}, id="a")
        report = await anna.sync()
        filling.cancel()
        assert report.problems == () and (await anna.status()).pending == 0
        assert "more came by an invitation to 'Trip'" in report.unanswered and "Other" not in report.unanswered
        assert (await berta.join(link)).role == "writer"
