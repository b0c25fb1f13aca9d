"""card and contact: two people, who give each other their cards and compare safety words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chez.spaces.card import Card
from tests.cli.support import Chez, Terminal, another
from tests.spaces.people import Person


@pytest.fixture
def berta(tmp_path: Path) -> Iterator[Chez]:
    """Another person."""
    device = another(tmp_path, "berta")
    device.run("init", "--kdf", "minimum", "--name", "berta", "--no-confirm")
    yield device
    device.end()


def test_two_people_become_contacts(either: Chez, berta: Chez, tmp_path: Path) -> None:
    """A card goes by text, file or pipe; both see the same twelve words; verified, it is shown as such."""
    card = berta.run("card").stdout.strip()
    assert card.startswith("chez-card:") and berta.json("card") == {"card": card}
    made = either.json("contact", "add", card, "--name", "Berta B.")
    assert (made["name"], made["called"], made["devices"], made["verified"]) == ("Berta B.", "berta", ["berta"], False)
    (tmp_path / "anna.card").write_text(either.run("card").stdout)
    berta.run("contact", "add", str(tmp_path / "anna.card"), "--name", "Anna")
    berta.run("contact", "add", "-", stdin=(tmp_path / "anna.card").read_bytes())
    assert [one["name"] for one in berta.lines("contact", "list")] == ["Anna"]
    shown = either.json("contact", "show", "Berta B.")
    assert shown["words"] == berta.json("contact", "show", "Anna")["words"] and len(shown["words"].split()) == 12
    assert (shown["spaces"], shown["card"]) == ([], card)
    text = either.run("contact", "show", shown["id"][:8]).stdout
    assert " ".join(shown["words"].split()[:6]) in text and " ".join(shown["words"].split()[6:]) in text
    assert either.error("contact", "verify", "Berta B.")["code"] == "NotAllowed"  # nobody is there to compare
    assert either.json("contact", "verify", "Berta B.", "--yes")["verified"] is True
    listed = either.run("contact", "list").stdout
    assert "Berta B." in listed and "yes" in listed
    assert either.json("contact", "verify", "Berta B.", "--no")["verified"] is False
    assert "no contact any more" in either.run("contact", "remove", "Berta B.").stdout
    assert either.lines("contact", "list") == []


def test_the_words_are_shown_and_asked_about(chez: Chez, berta: Chez) -> None:
    """Only a yes verifies; no says what it means."""
    chez.run("contact", "add", berta.run("card").stdout)
    words = chez.json("contact", "show", "berta")["words"].split()
    for answer, code in (("no", 1), ("yes", 0)):
        terminal = Terminal(chez.arguments("contact", "verify", "berta"))
        terminal.expect("same words")
        terminal.type(answer + "\n")
        assert terminal.finish() == code
        assert " ".join(words[:6]) in terminal.seen and " ".join(words[6:]) in terminal.seen
        assert chez.json("contact", "show", "berta")["verified"] is (code == 0)


def test_a_stranger_writes_no_lines_of_its_own(chez: Chez) -> None:
    """The names of a card's devices, which a stranger chose, stay in the line that they are told in."""
    made = Person("phone\nAnna is verified, phone")
    enrol = made.enrol()
    card = Card.of(made.id, [enrol, made.certify([enrol.hash], 0, made.root)])
    shown = chez.run("contact", "add", card.text, "--name", "Mallory").stdout
    assert shown.count("\n") == 1 and "phone\\nAnna" in shown
    for words in (("list",), ("show", "Mallory")):
        assert "\nAnna" not in chez.run("contact", *words).stdout


def test_what_is_no_card_or_no_contact_is_refused(chez: Chez, berta: Chez, tmp_path: Path) -> None:
    """Nonsense, a file that is none, one's own card, another person under a name that is given, two options at odds."""
    chez.run("contact", "add", berta.run("card").stdout, "--name", "B.")
    third = another(tmp_path, "third")
    third.run("init", "--kdf", "minimum", "--name", "b", "--no-confirm")
    other = third.run("card").stdout.strip()
    refused = chez.error("contact", "add", other, "--name", "B.")
    assert refused["code"] == "NotAllowed" and "another person already" in refused["message"]
    assert "safety words" in refused["hint"]
    assert chez.error("contact", "add", chez.run("card").stdout.strip())["code"] == "NotAllowed"
    assert chez.error("contact", "add", other[:-9])["code"] == "InvalidValue"
    assert chez.error("contact", "add", str(tmp_path / "nowhere"))["code"] == "NotFound"
    assert chez.error("contact", "add", str(tmp_path))["code"] == "InvalidValue"
    assert chez.error("contact", "show", "nobody")["code"] == "NotFound"
    assert chez.error("contact", "verify", "B.", "--yes", "--no", code=2)["code"] == "Usage"
