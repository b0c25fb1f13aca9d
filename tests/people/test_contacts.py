"""Contacts: cards kept under names, on all devices of a person, with safety words that both see."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.spaces.card import Card
from tests.home.pairing import PASSPHRASE
from tests.people.persons import in_step, persons, shared
from tests.people.support import join, open_again
from tests.relay.within import Within
from tests.spaces.people import Person


async def test_two_people_see_the_same_words_whatever_devices_come_and_go(tmp_path: Path, server: Within) -> None:
    """The words are the same on both sides and stay so; they differ for anybody else."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        await anna.contacts.add(await berta.card(), "Berta B.")
        await berta.contacts.add(await anna.card())
        words = await anna.contacts.words("Berta B.")
        assert words == await berta.contacts.words("anna") and len(words.split()) == 12
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await phone.devices.remove("berta")
            changed = await anna.contacts.add(await phone.card())
            assert (changed.name, changed.called, changed.devices) == ("Berta B.", "berta", ("phone",))
            assert await anna.contacts.words("Berta B.") == words == await phone.contacts.words("anna")
        await anna.contacts.add(await carl.card())
        assert await anna.contacts.words("carl") != words


async def test_contacts_are_on_all_devices_of_a_person(tmp_path: Path, server: Within) -> None:
    """What one device adds, verifies and forgets, the other has, renames and forgets, too."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            await anna.contacts.add(await berta.card())
            await anna.contacts.verify("berta")
            await in_step(anna, phone)
            assert await phone.contacts.all() == await anna.contacts.all()
            (found,) = await phone.contacts.all()
            assert found.verified and found.id == berta.person_id and found.devices == ("berta",)
            renamed = await phone.contacts.add(found.card, "Bertie")
            assert renamed.verified and renamed.name == "Bertie"
            await in_step(phone, anna)
            assert [one.name for one in await anna.contacts.all()] == ["Bertie"]
            await anna.contacts.verify("Bertie", False)
            removed = await anna.contacts.remove(berta.person_id.hex()[:8])
            assert removed.name == "Bertie" and not removed.verified
            await in_step(anna, phone)
            assert await phone.contacts.all() == []
            kinds = [receipt.kind for receipt in await anna.journal.receipts() if receipt.kind.startswith("contact")]
            assert kinds == ["contact-added", "contact-verified", "contact-doubted", "contact-removed"]


async def test_a_newer_card_adds_and_an_older_one_takes_nothing_away(tmp_path: Path, server: Within) -> None:
    """Two cards of a person are joined: each device it has, and each that it took out, whichever card comes last."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        old = await berta.card()
        async with join(berta, tmp_path / "phone", "phone", server.url):
            new = await berta.card()
        for first, second in ((old, new), (new, old)):
            await anna.contacts.add(first)
            assert (await anna.contacts.add(second)).devices == ("berta", "phone")
            await anna.contacts.remove("berta")
        await anna.contacts.add(new)
        before = await anna.journal.receipts()
        assert (await anna.contacts.add(old)).card == new and await anna.journal.receipts() == before


def test_cards_that_know_different_things_are_joined() -> None:
    """Two devices that had not heard of each other's words: both are in the whole, in any order; not of two persons."""
    ben, anna = Person("ben"), Person("anna")
    enrol = ben.enrol()
    first = ben.certify([enrol.hash], 0, ben.root)
    one = ben.certify([first.hash], 1, ben.devices[0].signing)
    two = ben.certify([first.hash], 2, ben.devices[0].signing)
    cards = [Card.of(ben.id, [enrol, first, extra]) for extra in (one, two)]
    wholes = [cards[0].joined(cards[1]), cards[1].joined(cards[0])]
    assert {whole.devices for whole in wholes} == {("ben0", "ben1", "ben2")}
    said = [{statement.hash for statement in whole.statements} for whole in wholes]
    assert said == [{statement.hash for statement in (enrol, first, one, two)}] * 2
    assert cards[0].joined(cards[0]) == cards[0] and wholes[0].joined(cards[1]).text == wholes[0].text
    begun = anna.enrol()
    other = Card.of(anna.id, [begun, anna.certify([begun.hash], 0, anna.root)])
    with pytest.raises(InvalidValue, match="two persons"):
        cards[0].joined(other)


async def test_a_name_is_one_persons(tmp_path: Path) -> None:
    """Another person's card under a name that is given, a name that can't be, one's own card: refused, nothing kept."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        await chez.create(tmp_path / "again", passphrase=PASSPHRASE, name="berta", kdf=Kdf.minimum())
        async with open_again(tmp_path / "again") as mallory:
            await anna.contacts.add(await berta.card())
            await anna.contacts.verify("berta")
            hers = await mallory.card()
            for card, name, error in ((hers, None, NotAllowed), (hers, "berta", NotAllowed), (hers, "", InvalidValue),
                                      (await anna.card(), "me", NotAllowed), ("nonsense", "x", InvalidValue),
                                      (hers, "a\nb", InvalidValue), (hers, "chez-card:x", InvalidValue)):
                with pytest.raises(error):
                    await anna.contacts.add(card, name)
            with pytest.raises(NotAllowed, match="another person already"):
                await anna.contacts.add(await mallory.card())
            assert [(one.name, one.verified) for one in await anna.contacts.all()] == [("berta", True)]
            await anna.contacts.add(await mallory.card(), "some Berta")
            assert not (await anna.contacts.find("some Berta")).verified
            for act in (anna.contacts.find("nobody"), anna.contacts.remove("nobody"), anna.contacts.words(bytes(32))):
                with pytest.raises(NotFound):
                    await act


@pytest.mark.parametrize("taken", ["rene\u0301", "Ren\u00e9", "REN\u00c9", "\uff32en\u00e9"])
async def test_a_name_that_looks_like_a_contacts_is_taken(tmp_path: Path, taken: str) -> None:
    """An accent written in another way, another case, or letters of another width make no second contact."""
    async with persons(tmp_path, "anna", "rene", "carl") as (anna, rene, carl):
        assert (await anna.contacts.add(await rene.card(), "Rene\u0301")).name == "Ren\u00e9"
        with pytest.raises(NotAllowed, match="another person"):
            await anna.contacts.add(await carl.card(), taken)
        assert (await anna.contacts.find("Rene\u0301")).id == rene.person_id


async def test_no_contact_is_called_as_an_id_begins(tmp_path: Path) -> None:
    """Somebody who calls itself as another person's id begins becomes no contact by that name, with no name given."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        begins = berta.person_id.hex()[:8]
        await chez.create(tmp_path / "thief", passphrase=PASSPHRASE, name=begins, kdf=Kdf.minimum())
        async with open_again(tmp_path / "thief") as thief:
            await anna.contacts.add(await berta.card())
            with pytest.raises(InvalidValue, match="looks like a person's id"):
                await anna.contacts.add(await thief.card())
            await anna.contacts.add(await thief.card(), "Mallory")
        assert (await anna.contacts.find(begins)).id == berta.person_id


async def test_records_that_are_no_contacts_are_left_out(tmp_path: Path) -> None:
    """Whatever an app writes into the collection: what is no contact is none, and a card under another id neither."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        found = await anna.contacts.add(await berta.card())
        records = anna.collection("chez-contacts")
        good = (await records.get(berta.person_id.hex())).value
        for number, value in enumerate((
                {}, {"name": 1}, {**good, "card": "chez-card:x"}, {**good, "added": "yesterday"}, good)):
            await records.put(value, id=f"no-{number}")
        assert await anna.contacts.all() == [found]
        for bad in ({"name": 1}, {"card": 1}, {"added": "yesterday"}):
            await records.put(good | bad, id=berta.person_id.hex())
            assert await anna.contacts.all() == []
            with pytest.raises(NotFound):
                await anna.contacts.find(berta.person_id)
        await records.put({**good, "verified": "yes"}, id=berta.person_id.hex())
        assert not (await anna.contacts.find("berta")).verified


async def test_members_go_by_what_one_calls_them(tmp_path: Path, server: Within) -> None:
    """A contact is let in, given roles and taken out by its name, which never means who merely calls itself so."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        await anna.contacts.add(await berta.card(), "B.")
        await anna.contacts.verify("B.")
        await trip.add("B.", "reader")
        await shared(trip, anna, carl)
        shown = {member.name: (member.contact, member.verified) for member in await trip.members()}
        assert shown == {"anna": (None, False), "berta": ("B.", True), "carl": (None, False)}
        assert (await trip.set_role("B.", "writer")).role == "writer"
        assert (await trip.remove("B.")).id == berta.person_id
        await anna.contacts.add(await berta.card(), "carl")
        with pytest.raises(InvalidValue, match="is no member"):
            await trip.remove("carl")
        with pytest.raises(NotFound):
            await trip.add("nobody")
        assert (await trip.remove(carl.person_id.hex()[:8])).name == "carl"


async def test_a_contact_who_is_no_member_is_named_as_one_named_it(tmp_path: Path) -> None:
    """Not by an id that nobody typed."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        await anna.contacts.add(await berta.card(), "Berta B.")
        trip = await anna.create_space("Trip")
        with pytest.raises(NotFound, match=r"no member 'Berta B\.' in 'Trip'"):
            await trip.remove("Berta B.")
