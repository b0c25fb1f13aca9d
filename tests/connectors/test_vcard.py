"""Address books: the real files, exactly; against the library `vobject`; and what broken or hostile ones give."""

from datetime import UTC, date, datetime

import pytest

from chez.connectors import Item, read
from chez.connectors.vcard import VCard
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Contact
from tests.connectors.support import CARDS, read_bytes, records, rejects

COUNTS = {"John_Doe_ANDROID": 6, "John_Doe_BLACK_BERRY": 1, "John_Doe_EVOLUTION": 1, "John_Doe_GMAIL": 1,
          "John_Doe_LOTUS_NOTES": 1, "John_Doe_MAC_ADDRESS_BOOK": 1, "John_Doe_MS_OUTLOOK": 1, "gmail-list": 3,
          "outlook-2003": 1, "thunderbird-MoreFunctionsForAddressBook-extension": 1}


def card(*lines: str) -> bytes:
    """A card with these lines."""
    return "\r\n".join(("BEGIN:VCARD", *lines, "END:VCARD", "")).encode()


def contacts(items: list[Item]) -> list[Contact]:
    """The contacts among the items."""
    return [one for one in records(items) if isinstance(one, Contact)]


def one(*lines: str) -> Contact:
    """The contact of a card, which has no rejects."""
    items = read_bytes(VCard(), card(*lines))
    (found,) = contacts(items)
    assert rejects(items) == []
    return found


def test_the_real_files() -> None:
    """All 10 files, of eight programs: 17 cards, nothing rejected, each card its own."""
    found = {path.stem: list(read(path)) for path in CARDS.glob("*.vcf")}
    assert {name: len(contacts(items)) for name, items in found.items()} == COUNTS
    assert [told for items in found.values() for told in rejects(items)] == []
    assert len({identity_of(one) for items in found.values() for one in contacts(items)}) == 17
    (old,) = contacts(found["outlook-2003"])
    assert old == Contact(
        uid=old.uid, name="John Doe III", given="John", family="Doe", organisation="Company, The, TheDepartment",
        title="The Job Title", emails=["jdoe@hotmail.com"],
        phones=["BusinessPhone", "HomePhone", "MobilePhone", "BusinessFaxPhone"], links=["http://web-page-address.com"],
        addresses=["TheOffice\n123 Main St\nAustin\nTX\n12345\nUnited States of America"], birthday=date(1980, 3, 21),
        note="This is the note field!!\nSecond line\n\nThird line is empty",
        updated=datetime(2012, 10, 12, 21, 5, 25, tzinfo=UTC))
    android = contacts(found["John_Doe_ANDROID"])
    assert (android[3].name, android[3].phones) == ("Ñ Ñ Ñ Ñ Ñ Ñ Ñ Ñ Ñ Ñ Ñ",
                                                    ["123456", "234567", "3456789", "45678901"])
    assert contacts(found["John_Doe_LOTUS_NOTES"])[0].emails == ["john.doe@ibm.com", "billy_bob@gmail.com"]


def test_the_library_says_the_same() -> None:
    """Names, mail addresses, numbers and birthdays are those of `vobject` in the files that it reads."""
    import vobject

    compared = 0
    for path in sorted(CARDS.glob("*.vcf")):
        try:
            text = path.read_text(encoding="utf-8")
            theirs = list(vobject.readComponents(text, allowQP=True, ignoreUnreadable=True))
        except Exception:  # it raises what it falls over: that of two files
            continue
        for ours, other in zip(contacts(list(read(path))), theirs, strict=True):
            compared += 1
            # A name ends at a comma for vobject, though a text is no list (RFC 2426, 3.1.1).
            assert ours.name.startswith(other.fn.value) and ours.family == other.n.value.family
            assert sorted(ours.emails) == sorted({item.value for item in other.contents.get("email", ())})
            assert sorted(ours.phones) == sorted({item.value for item in other.contents.get("tel", ())})
            if "bday" in other.contents:
                assert f"{ours.birthday}".replace("-", "") == other.bday.value.replace("-", "")
    assert compared == 10


def test_version_4() -> None:
    """URIs, preferences by number, parameters in quotes, and a card's own id (RFC 6350)."""
    found = one("VERSION:4.0", "FN:Jeanne d'Arc", "N:d'Arc;Jeanne;;;", "UID:urn:uuid:4fbe",
                'TEL;VALUE=uri;TYPE="home,v:o":tel:+33-4-72;ext=1', "EMAIL;PREF=2:b@x.fr",
                "EMAIL;PREF=1:mailto:a@x.fr", "BDAY:--0106",
                "CATEGORIES:saints,generals\\, too", "REV:20240131T120000+0200", "item1.URL:http://x.fr")
    assert found == Contact(
        uid="urn:uuid:4fbe", name="Jeanne d'Arc", given="Jeanne", family="d'Arc", phones=["+33-4-72;ext=1"],
        emails=["a@x.fr", "b@x.fr"], groups=["saints", "generals, too"], links=["http://x.fr"],
        updated=datetime(2024, 1, 31, 10, tzinfo=UTC))


def test_who_a_card_without_an_id_is_about() -> None:
    """The same person in a later export, with another number and title, is the same contact; a namesake is not."""
    first = one("FN:A B", "EMAIL:a@x.fr", "TEL:1")
    assert one("FN:A B", "TITLE:Boss", "TEL:2", "EMAIL;TYPE=pref:A@x.fr").uid == first.uid
    assert one("FN:A B", "TEL:1").uid not in (first.uid, one("FN:A B", "TEL:2").uid)


@pytest.mark.parametrize(("lines", "name"), [
    (("N:Doe;John;M;;",), "John M Doe"), (("ORG:Town\\, hall;Desk",), "Town, hall, Desk"),
    (("EMAIL:a@x.fr",), "a@x.fr"), (("N:;;;;", "NICKNAME:Jo"), "Jo"),
])
def test_what_a_card_without_a_name_is_called(lines: tuple[str, ...], name: str) -> None:
    """It is called by its name's parts, its organisation, its nickname or its address."""
    assert one(*lines).name == name


def test_two_of_one_name_who_live_elsewhere_are_two() -> None:
    """Cards without an id, a mail address and a number: where they live tells them apart."""
    cards = "".join(f"BEGIN:VCARD\nFN:Jo Li\nADR:;;{street};;;;\nEND:VCARD\n" for street in ("1 Rue A", "2 Rue B"))
    found = records(read_bytes(VCard(), cards.encode()))
    assert len({identity_of(one) for one in found}) == 2


def test_cards_in_cards_and_pictures() -> None:
    """Neither an agent's card nor a picture, folded or not, nor one beyond all bounds, touches the card around it."""
    found = one("FN:Chief", "AGENT:", "BEGIN:VCARD", "FN:Agent", "BDAY:bad", "END:VCARD", "PHOTO;ENCODING=BASE64:AAAA",
                "BBBB=", "", "KEY:" + "x" * 50_000, "NOTE:kept")
    assert (found.name, found.note) == ("Chief", "kept")


@pytest.mark.parametrize(("bad", "reason"), [
    ("BDAY:1980-02-30", "no such day"), ("BDAY:soon", "no date"), ("BDAY:0001-01-01", "the year is not between"),
    ("REV:yesterday", "(REV)"), ("REV:00010101T000000+1400", "(REV)"), ("no colon", "parted by a colon"),
    ("TEL:" + "1" * 40_000, "longer than"), ('TEL;TYPE="a:1', "parted by a colon"),
])
def test_a_broken_property_costs_itself(bad: str, reason: str) -> None:
    """A property that can't be read is one reject at its line; the card is there with the others."""
    items = read_bytes(VCard(), card("FN:A", bad, "EMAIL:a@x.fr"))
    assert [(found.name, found.emails) for found in contacts(items)] == [("A", ["a@x.fr"])]
    ((line, told),) = rejects(items)
    assert line == 3 and reason in told


def test_a_broken_card_costs_itself() -> None:
    """A card without name, one beyond all bounds, and those without end, are a reject each; the one between is read."""
    data = card("VERSION:3.0") + card("FN:B", *(f"EMAIL:{at}" + "x" * 999 for at in range(50)))
    items = read_bytes(VCard(), data + b"BEGIN:VCARD\nFN:C\n" + card("FN:D") + b"BEGIN:VCARD\nFN:E\n")
    assert [found.name for found in contacts(items)] == ["D"]
    assert [told for _, told in rejects(items)] == [
        "the card names nobody", "the card is longer than 40960 characters", "the card has no end (END:VCARD)",
        "the file ends inside the card"]
    with pytest.raises(InvalidValue, match="holds no card"):
        read_bytes(VCard(), b"FN:x\n")


def test_a_card_whose_beginning_is_damaged_is_told() -> None:
    """One letter of its first line is wrong: it is not read, and that is said where it ends."""
    first, second = card("FN:Ada"), card("FN:Bob").replace(b"BEGIN", b"BEGUN")
    items = read_bytes(VCard(), first + second + first)
    assert [one.name for one in contacts(items)] == ["Ada", "Ada"]
    assert [(line, "begins nowhere" in reason) for line, reason in rejects(items)] == [(6, True)]
