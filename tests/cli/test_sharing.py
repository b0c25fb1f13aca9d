"""space members, add, role, remove, ... at the command line: two people, a real relay, with and without an owner."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import Chez, Terminal, another


@pytest.fixture(params=["alone", "owned"])
def anna(request: pytest.FixtureRequest, tmp_path: Path, relay: str) -> Iterator[Chez]:
    """A person with a space "Trip" at the relay, once without and once with an owner."""
    yield from _person(tmp_path, "anna", relay, owned=request.param == "owned", space="Trip")


@pytest.fixture
def quick(tmp_path: Path, relay: str) -> Iterator[Chez]:
    """The same, without an owner."""
    yield from _person(tmp_path, "anna", relay, space="Trip")


@pytest.fixture
def berta(tmp_path: Path, relay: str) -> Iterator[Chez]:
    """Another person, without an owner."""
    yield from _person(tmp_path, "berta", relay)


def _person(folder: Path, name: str, url: str, *, owned: bool = False, space: str | None = None) -> Iterator[Chez]:
    device = another(folder, name)
    device.run("init", "--kdf", "minimum", "--name", name, "--no-confirm")
    if owned:
        device.up()
    device.run("relay", url)
    if space is not None:
        device.run("space", "create", space)
        device.run("put", "notes", "a", "n=1", "--space", space)
    yield device
    device.end()


def joined(owner: Chez, guest: Chez, role: str = "writer") -> None:
    """Let a guest into the owner's space, by contact and link."""
    owner.run("contact", "add", guest.run("card").stdout, "--name", "B.")
    link = owner.json("space", "add", "Trip", "B.", "--role", role)["link"]
    owner.run("sync")
    guest.run("join", link)


def notes(chez: Chez) -> set[str]:
    """The notes in the space."""
    return {one["id"] for one in chez.lines("ls", "notes", "--space", "Trip")}


def test_how_much_room_a_space_takes(anna: Chez) -> None:
    """What a space takes at its relay is told with what it may, to people and programs; of another relay nothing."""
    anna.run("sync")
    found = anna.json("space", "usage", "Trip")
    assert 0 < found["entries"] < found["entries_limit"] and 0 == found["attachments"] < found["attachments_limit"]
    said = anna.run("space", "usage", "Trip", "--at", found["relay"]).stdout
    assert f"{found['entries']:,} of {found['entries_limit']:,} bytes (0%)" in said
    assert anna.error("space", "usage", "Trip", "--at", "ws://elsewhere:1")["code"] == "NotFound"


def test_from_a_card_to_a_removal(anna: Chez, berta: Chez) -> None:
    """A contact is let in and joins by the link, writes, is made a reader, and is taken out; each step is told."""
    anna.run("contact", "add", berta.run("card").stdout, "--name", "B.")
    said = anna.run("space", "add", "Trip", "B.").stdout
    assert "B. is in 'Trip', as writer" in said
    link = said.split("chez join ")[1].split()[0]
    assert link == anna.run("space", "link", "Trip").stdout.strip() == anna.json("space", "link", "Trip")["link"]
    anna.run("sync")
    assert "you are in 'Trip', as writer" in berta.run("join", link).stdout
    berta.run("put", "notes", "b", "n=2", "--space", "Trip")
    berta.run("sync")
    anna.run("sync")
    assert notes(anna) == {"a", "b"}
    listed = {one["name"]: (one["role"], one["contact"], one["own"]) for one in anna.lines("space", "members", "Trip")}
    assert listed == {"anna": ("owner", None, True), "berta": ("writer", "B.", False)}
    text = anna.run("space", "members", "Trip").stdout
    assert "you" in text and "B." in text
    assert anna.json("contact", "show", "B.")["spaces"] == ["Trip"]
    assert "B. is reader of 'Trip' now" in anna.run("space", "role", "Trip", "B.", "reader").stdout
    anna.run("sync")
    berta.run("sync")
    assert berta.error("put", "notes", "c", "n=3", "--space", "Trip")["code"] == "NotAllowed"
    assert "B. is out of 'Trip'" in anna.run("space", "remove", "Trip", "B.", "--yes").stdout
    anna.run("put", "notes", "secret", "n=4", "--space", "Trip")
    anna.run("sync")
    assert [one["name"] for one in berta.json("sync")["problems"]] == ["Trip"]
    assert notes(berta) == {"a", "b"} and notes(anna) == {"a", "b", "secret"}
    assert "you were removed (anna says so)" in berta.run("space", "list").stdout
    berta.run("space", "forget", "Trip", "--yes")
    assert [one["name"] for one in berta.lines("space", "list")] == ["private"]


def test_an_owner_hands_over_and_leaves(quick: Chez, berta: Chez) -> None:
    """transfer, then leave: the other is the owner, starts the epoch that is owed, and is told who left."""
    joined(quick, berta)
    assert quick.error("space", "leave", "Trip", "--yes")["code"] == "NotAllowed"
    assert "B. is the owner of 'Trip' now" in quick.run("space", "transfer", "Trip", "B.", "--yes").stdout
    quick.run("sync")
    berta.run("sync")
    assert {one["name"]: one["role"] for one in berta.lines("space", "members", "Trip")} == {
        "anna": "writer", "berta": "owner"}
    assert "forget" in quick.run("space", "leave", "Trip", "--yes").stdout
    assert quick.error("space", "forget", "Trip", "--yes")["code"] == "NotAllowed"  # nobody was told yet
    quick.run("sync")
    assert "you left it" in quick.run("space", "list").stdout
    berta.run("sync")
    berta.run("sync")
    assert berta.json("space", "show", "Trip")["members"] == 1
    assert berta.lines("space", "audit", "Trip") == []
    quick.run("space", "forget", "Trip", "--yes")
    assert berta.json("space", "delete", "Trip", "--yes")["name"] == "Trip"
    assert [one["name"] for one in berta.lines("space", "list")] == ["private"]


def test_a_space_is_renamed_put_away_and_rotated(quick: Chez, berta: Chez) -> None:
    """All members see the name, and that nobody writes; a new epoch locks nobody out; only owners do these."""
    joined(quick, berta)
    assert "is called 'Rome' now" in quick.run("space", "rename", "Trip", "Rome").stdout
    assert "put away" in quick.run("space", "archive", "Rome").stdout
    quick.run("sync")
    berta.run("sync")
    (shown,) = [one for one in berta.lines("space", "list") if one["name"] == "Rome"]
    assert (shown["archived"], shown["role"]) == (True, "writer") and "put away" in berta.run("space", "list").stdout
    assert berta.error("put", "notes", "b", "n=2", "--space", "Rome")["code"] == "NotAllowed"
    for act in (("rename", "Rome", "x"), ("archive", "Rome"), ("rotate", "Rome"), ("delete", "Rome", "--yes")):
        assert berta.error("space", *act)["code"] == "NotAllowed"
    assert quick.json("space", "archive", "Rome", "--undo")["archived"] is False
    assert quick.json("space", "rotate", "Rome")["epoch"] == 3
    quick.run("sync")
    berta.run("sync")
    berta.run("put", "notes", "b", "n=2", "--space", "Rome")
    shown_text = berta.run("space", "show", "Rome").stdout
    assert "writer" in shown_text and "members" in shown_text


def test_an_owner_takes_a_space_elsewhere(quick: Chez, berta: Chez) -> None:
    """Only an owner moves a space; its members come by the link that is shown then, and nothing is lost."""
    joined(quick, berta)
    assert berta.error("space", "move", "Trip", "--yes")["code"] == "NotAllowed"
    assert quick.error("space", "move", "Trip")["code"] == "NotAllowed", "without a person to say yes"
    before = quick.json("space", "link", "Trip")["link"]
    link = quick.json("space", "move", "Trip", "--yes")["link"]
    assert link != before
    quick.run("sync")
    berta.run("join", link)
    berta.run("put", "notes", "b", "n=2", "--space", "Trip")
    berta.run("sync")
    quick.run("sync")
    assert quick.json("get", "notes", "b", "--space", "Trip")["value"] == {"n": 2}


def test_mistakes_and_second_thoughts(quick: Chez, berta: Chez) -> None:
    """Nobody there to answer, a no at the terminal, who is no contact and no member, roles and spaces that are none."""
    joined(quick, berta)
    for act in (("remove", "Trip", "B."), ("leave", "Trip"), ("transfer", "Trip", "B."), ("delete", "Trip"),
                ("forget", "Trip")):
        assert "must answer" in quick.error("space", *act)["message"]
    nobody = Terminal(quick.arguments("space", "transfer", "Trip", "nobody"))
    assert nobody.finish() == 1 and "there is no member 'nobody'" in nobody.seen and "the owner of" not in nobody.seen
    for act in ("leave", "move", "forget", "delete"):
        assert quick.error("space", act, "Tripp")["code"] == "NotFound"  # nobody is asked about what is not there
    (id,) = (one["id"] for one in quick.lines("space", "list") if one["name"] == "Trip")
    terminal = Terminal(quick.arguments("space", "delete", id[:12]))
    terminal.expect("Delete 'Trip' and all that is in it")
    terminal.type("no\n")
    assert terminal.finish() == 1
    terminal = Terminal(quick.arguments("space", "remove", "Trip", "B."))
    terminal.expect("out of 'Trip'?")
    assert "with its device " in terminal.seen and "B. (" in terminal.seen
    terminal.type("no\n")
    assert terminal.finish() == 1 and "nothing was changed" in terminal.seen
    assert len(quick.lines("space", "members", "Trip")) == 2
    assert quick.error("space", "add", "Trip", "nobody")["code"] == "NotFound"
    assert quick.error("space", "add", "Trip", "-", stdin=b"nonsense")["code"] == "NotFound"
    assert quick.error("space", "add", "Trip", "-", stdin=berta.run("card").stdout.encode())["code"] == "NotAllowed"
    assert quick.error("space", "add", "private", "B.")["code"] == "NotAllowed"
    assert quick.error("space", "role", "Trip", "nobody", "reader")["code"] == "NotFound"
    assert quick.error("space", "role", "Trip", "B.", "editor", code=2)["code"] == "Usage"
    assert quick.error("space", "delete", "Trip", "--yes")["code"] == "NotAllowed"  # others are in it
    assert quick.error("space", "members", "Nowhere")["code"] == "NotFound"
    assert berta.error("space", "remove", "Trip", "anna", "--yes")["code"] == "NotAllowed"
