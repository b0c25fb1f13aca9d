"""passphrase and keyring at the command line, alone and with an owner."""

import os
from pathlib import Path

import pytest

from tests.cli.support import PASSPHRASE, Chez, Terminal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def empty(empty: Chez) -> Chez:
    """Commands run as processes: `keyring` keeps the first backend that a process asked for."""
    empty.inside, empty.forked = False, True
    return empty


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring that all processes of a test share; keyring's own variable names it."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.home.rings.FileRing")
    monkeypatch.setenv("CHEZ_TEST_RING", str(tmp_path / "ring.json"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "ring.json"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A file with another passphrase."""
    (tmp_path / "other").write_text("quite another\n")
    (tmp_path / "other").chmod(0o600)
    return tmp_path / "other"


@pytest.mark.slow
def test_the_passphrase_is_changed(either: Chez, other: Path) -> None:
    """With the old one and a new one, alone and through an owner; a wrong old one or an empty new one is refused."""
    either.run("passphrase", "change", "--new-passphrase-file", str(other))
    assert either.error("passphrase", "change", "--new-passphrase-file", str(other))["code"] == "WrongPassphrase"
    renewed = Chez(either.home, other)
    assert renewed.lines("journal", "--kind", "passphrase-changed")
    either.run("lock")
    assert either.error("ls")["code"] == "WrongPassphrase"
    assert renewed.run("status")
    either.passphrase_file.write_text("\n")
    changing = ("passphrase", "change", "--new-passphrase-file", str(either.passphrase_file))
    assert renewed.error(*changing)["code"] == "InvalidValue"
    assert renewed.run("status")


def test_a_new_passphrase_is_typed_twice(chez: Chez) -> None:
    """At a terminal the old one is asked once, the new one twice, and nothing is echoed."""
    terminal = Terminal(chez.arguments("passphrase", "change", passphrase=False))
    for prompt, text in (("Passphrase", PASSPHRASE), ("Choose a passphrase", "typed secret"),
                         ("Once more", "typed secret")):
        terminal.expect(prompt)
        terminal.type(text + "\n")
    assert terminal.finish() == 0 and "typed secret" not in terminal.seen
    chez.passphrase_file.write_text("typed secret\n")
    chez.run("status")


@pytest.mark.slow
def test_the_keyring_opens_the_home(ring: Path, either: Chez) -> None:
    """After add no command needs a passphrase, nor does an owner; after remove each does again."""
    assert either.json("keyring", "status", passphrase=False) == {
        "added": False, "opens": False, "backend": "file ring", "problem": ""}
    assert "file ring" in either.run("keyring", "add").stdout
    assert either.json("keyring", "status", passphrase=False)["opens"] is True
    either.run("lock")
    assert either.json("status", passphrase=False)["name"] == "test"
    either.made.append(either.json("up", "--detach", passphrase=False)["pid"])
    assert either.json("status", passphrase=False)["name"] == "test"
    either.run("lock")
    assert either.json("doctor", passphrase=False)["findings"] == []
    assert either.json("keyring", "remove", passphrase=False) == {"removed": True}
    assert either.error("status", passphrase=False)["code"] == "HomeLocked"
    assert either.json("keyring", "remove") == {"removed": False}


@pytest.mark.slow
def test_a_keyring_that_fails_is_told_and_the_passphrase_asked(chez: Chez, ring: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal the error says why; at one the person is told, and asked; a file named comes first."""
    chez.run("keyring", "add")
    ring.unlink()
    error = chez.error("status", passphrase=False)
    assert error["code"] == "HomeLocked" and "no longer holds" in error["message"]
    terminal = Terminal(chez.arguments("status", passphrase=False))
    terminal.expect("no longer holds")
    terminal.expect("Passphrase")
    terminal.type(PASSPHRASE + "\n")
    assert terminal.finish() == 0
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    assert "no keyring on this system" in chez.error("status", passphrase=False)["message"]
    assert chez.error("keyring", "add")["code"] == "KeyringUnavailable"
    assert "no keyring on this system" in chez.run("keyring", "status", passphrase=False).stdout
    assert chez.run("status")


