"""wipe at the command line: it asks, ends an owner, and needs no passphrase."""

from pathlib import Path

from tests.cli.support import Chez, Terminal, alive, until


def test_a_home_is_wiped_once_confirmed(either: Chez) -> None:
    """Without a terminal it takes --yes; an owner is ended first, and no passphrase is needed."""
    assert either.error("wipe", passphrase=False)["code"] == "NotAllowed"
    assert either.run("status")
    done = either.json("wipe", "--yes", passphrase=False)
    assert done["left"] == [] and not either.home.exists()
    for pid in either.made:
        until(lambda pid=pid: not alive(pid))  # type: ignore[misc]
    assert either.error("wipe", "--yes", passphrase=False)["code"] == "HomeMissing"


def test_the_person_types_the_word(owned: Chez) -> None:
    """Anything else wipes nothing; an owner tells first what would be lost."""
    owned.run("put", "notes", "a", "n=1")
    for word, code in (("yes", 1), ("", 1), ("wipe", 0)):
        assert owned.home.exists()
        terminal = Terminal(owned.arguments("wipe", passphrase=False))
        terminal.expect("not reached a relay")
        terminal.expect("Type wipe")
        terminal.type(word + "\n")
        assert terminal.finish() == code
    assert not owned.home.exists()


def test_a_folder_that_is_no_home_is_left_alone(empty: Chez, tmp_path: Path) -> None:
    """A mistyped --home loses nobody's files."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precious").write_text("x")
    assert empty.error("wipe", "--yes")["code"] == "HomeMissing"
    assert (tmp_path / "home" / "precious").read_text() == "x"
