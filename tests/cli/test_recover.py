"""`chez recover`: everything back on a new machine, from words or shares, with a real relay."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.keys import new_words
from tests.cli.support import PASSPHRASE, Chez, Terminal


@pytest.fixture
def laptop(empty: Chez, relay: str) -> tuple[Chez, str]:
    """A home with a record and a space, in step with the relay; and its words."""
    async def made() -> str:
        words = await chez.create(empty.home, passphrase=PASSPHRASE, name="test", kdf=Kdf.minimum())
        async with chez.open(empty.home, passphrase=PASSPHRASE) as home:
            await home.set_relay(relay)
            await home.collection("notes").put({"title": "Tea"}, id="tea")
            await home.create_space("Trip")
            await home.sync()
        return words

    return empty, asyncio.run(made())


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Chez]:
    """A machine that has nothing."""
    device = Chez(tmp_path / "new" / "home", tmp_path / "new-passphrase")
    device.passphrase_file.write_text("another passphrase\n")
    device.passphrase_file.chmod(0o600)
    yield device
    device.end()


def test_everything_comes_back_from_a_pipe(laptop: tuple[Chez, str], new: Chez, relay: str) -> None:
    """Words through a pipe: the records are there, the other device stays, the journal says what happened."""
    old, words = laptop
    done = new.json("recover", "--relay", relay, "--name", "phone", "--kdf", "minimum", stdin=words.encode())
    assert done["records"] == 1 and done["expelled"] == [] and done["devices"] == ["test"] and done["problem"] == ""
    assert [space["name"] for space in done["spaces"]] == ["private", "Trip"]
    assert new.json("get", "notes", "tea")["value"] == {"title": "Tea"}
    assert [line["kind"] for line in new.lines("journal")] == ["home-recovered"]
    old.run("sync")
    assert set(old.json("status")["devices"]) == {"test", "phone"}
    again = new.error("recover", "--relay", relay, stdin=words.encode())
    assert again["code"] == "HomeExists"


@pytest.mark.slow
def test_shares_bring_it_back_and_the_others_go(laptop: tuple[Chez, str], new: Chez, relay: str,
                                                tmp_path: Path) -> None:
    """Two of three shares in files, all other devices expelled: the old one is out."""
    old, words = laptop
    shares = old.json("recovery", "split", "-k", "2", "-n", "3", stdin=words.encode())["shares"]
    files = [tmp_path / f"share-{number}" for number in range(2)]
    for file, share in zip(files, shares[1:], strict=True):
        file.write_text(share)
    done = new.json("recover", "--shares", "--expel-others", "--relay", relay, "--kdf", "minimum",
                    *map(str, files))
    assert done["expelled"] == ["test"]
    assert [line["kind"] for line in new.lines("journal")] == ["home-recovered", "device-removed"]
    refused = old.error("sync")
    assert refused["code"] == "RelayRefused" and old.json("status")["removed"]


def test_at_a_terminal_words_are_typed_unseen_and_the_person_is_asked(
        laptop: tuple[Chez, str], new: Chez, relay: str) -> None:
    """A wrong word is told, nothing else that is typed is shown; the other device is named, and goes after a yes."""
    _, words = laptop
    terminal = Terminal(new.arguments("recover", "--relay", relay, "--kdf", "minimum", passphrase=False))
    terminal.expect("24 words: ")
    terminal.type(words.replace(words.split()[3], "chez") + "\n")
    terminal.expect("was typed as 'chez'")
    shown, terminal.seen = terminal.seen, terminal.seen.split("was typed as")[1]
    terminal.expect("24 words: ")
    terminal.type(words + "\n")
    terminal.expect("Choose a passphrase: ")
    terminal.type(PASSPHRASE + "\n")
    terminal.expect("Once more: ")
    terminal.type(PASSPHRASE + "\n")
    terminal.expect("'test' (fingerprint")
    terminal.expect("[no]: ")
    terminal.type("yes\n")
    assert terminal.finish() == 0
    assert "Taken out, for good: 'test'" in terminal.seen and "1 record is back" in terminal.seen
    # Three in a row: one alone may be a word that the command says, such as "other".
    assert " ".join(words.split()[5:8]) not in shown + terminal.seen


@pytest.mark.slow
def test_what_cannot_be_is_told_before_anything_is_made(laptop: tuple[Chez, str], new: Chez, relay: str,
                                                        tmp_path: Path) -> None:
    """Words of nobody, no words, too few shares, no relay: one line each, and no home."""
    words = laptop[1]
    (tmp_path / "words").write_text(words)
    for given, stdin, code in (((), new_words(bytes(32)), "NotFound"), ((), "a b c", "InvalidValue"),
                               (("--shares",), "a b c", "InvalidValue")):
        assert new.error("recover", "--relay", relay, *given, stdin=stdin.encode())["code"] == code
    nowhere = new.error("recover", "--relay", "ws://127.0.0.1:1", "--from", str(tmp_path / "words"))
    assert nowhere["code"] == "RelayUnreachable"
    new.error("recover", "--from", str(tmp_path / "words"), code=2)
    new.error("recover", "--relay", relay, "--shares", "--from", str(tmp_path / "words"), code=2)
    new.error("recover", "--relay", relay, str(tmp_path / "words"), code=2)
    assert not new.home.exists()


@pytest.mark.slow
def test_a_device_that_is_left_takes_the_spaces_back(laptop: tuple[Chez, str], new: Chez, relay: str,
                                                     tmp_path: Path) -> None:
    """Another device took this one out: by the words it is out itself, and the next machine gets everything back."""
    old, words = laptop
    new.json("recover", "--relay", relay, "--name", "phone", "--kdf", "minimum", stdin=words.encode())
    old.run("sync")
    new.run("device", "remove", "test", "--yes")
    new.run("sync")
    assert old.error("sync")["code"] == "RelayRefused"
    assert old.error("take-back", "--device", "tablet", stdin=words.encode())["code"] == "NotFound"
    assert old.error("take-back", stdin=new_words(bytes(32)).encode())["code"] == "InvalidValue"
    old.error("take-back", "--device", "phone", "--expel-others", stdin=words.encode(), code=2)
    done = old.json("take-back", "--device", "phone", stdin=words.encode())
    assert done["expelled"] == ["phone"] and done["problem"] == "" and done["records"] == 1
    assert [line["kind"] for line in old.lines("journal")][-2:] == ["home-taken-back", "device-removed"]
    assert new.error("sync")["code"] == "RelayRefused"
    third = Chez(tmp_path / "third" / "home", new.passphrase_file)
    back = third.json("recover", "--relay", relay, "--kdf", "minimum", stdin=words.encode())
    assert back["records"] == 1 and back["problem"] == ""
    third.end()


@pytest.mark.slow
def test_at_a_terminal_the_person_says_who_goes(laptop: tuple[Chez, str], new: Chez, relay: str) -> None:
    """The other devices are named, and the one that is typed is out; it is told in words what the relay has now."""
    old, words = laptop
    new.json("recover", "--relay", relay, "--name", "phone", "--kdf", "minimum", stdin=words.encode())
    old.run("sync")
    terminal = Terminal(old.arguments("take-back", passphrase=True))
    terminal.expect("24 words: ")
    terminal.type(words + "\n")
    terminal.expect("'phone' (fingerprint")
    terminal.expect("[none]: ")
    terminal.type("phone\n")
    assert terminal.finish() == 0
    assert "Taken out, for good: 'phone'" in terminal.seen and "your 24 words bring them back" in terminal.seen
