"""What is asked for, and what is refused before anything is: options, numbers, places that are taken."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chez import cli, errors
from chez_sandbox.bundle import MAX_BUNDLE
from tests.cli.support import Chez, beside


@pytest.mark.parametrize("options", [(), ("--title", "Trees"), ("--title", "Trees", "--name", "City")])
def test_who_is_at_no_terminal_is_not_asked(empty: Chez, tmp_path: Path, options: tuple[str, ...]) -> None:
    """What is missing is said, as of any option; nothing is asked on standard output, and nothing "interrupted"."""
    done = empty.run("publisher", "new-key", "--out", str(tmp_path / "key"), *options, code=2, passphrase=False)
    assert done.stdout == ""
    assert "Missing option '--" in done.stderr


def test_no_number_is_no_number_of_seconds(chez: Chez) -> None:
    """`nan` is told as what it is, not as what the owner's protocol makes of it."""
    done = chez.run("sync", "--timeout", "nan", code=2)
    assert "'nan' is no number" in done.stderr


def test_every_number_is_one(chez: Chez) -> None:
    """Of a person's options that take a number none takes what is no number, or has no end; the home is not asked."""
    for words in (("space", "checkpoint", "a", "--timeout"), ("job", "grant", "a", "--bits"),
                  ("job", "grant", "a", "--epsilon"), ("job", "allowance", "give", "a", "a"),
                  ("job", "allowance", "ask", "a")):
        for word in ("nan", "inf", "-inf"):
            told = chez.error(*words, *(("--", word) if words[-1] == "a" else (word,)), code=2)["message"]
            assert word in told and ("is no number" in told or "not in the range" in told)


@pytest.mark.parametrize("words", [
    ("chez_sandbox.provider", "results", "--wait"), ("chez_deposit", "acks", "--wait"),
    ("chez_relay", "top", "--interval")])
def test_every_number_of_the_services_is_one(words: tuple[str, ...], tmp_path: Path) -> None:
    """Nor does an option of the other programs."""
    for word in ("nan", "inf"):
        done = subprocess.run([sys.executable, "-m", *words, word], cwd=tmp_path, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 2
        assert "is no number" in done.stderr or "not in the range" in done.stderr


def test_what_is_refused_says_what_to_do_next(chez: Chez, tmp_path: Path) -> None:
    """A file that is not there, what is no JSON, an id of nothing, nothing to undo: each with a hint."""
    (tmp_path / "no.json").write_text("title: Tea")
    chez.run("put", "notes", "tea", "title=Tea")
    missing, nobody = str(tmp_path / "missing"), ("notes", "nobody")
    for words in (("put", "notes", "--file", missing), ("put", "notes", "--file", str(tmp_path / "no.json")),
                  ("import", missing), ("attach", "notes", "tea", "file", missing), ("data", "add", ""),
                  ("get", *nobody), ("rm", *nobody), ("undo", *nobody), ("history", *nobody), ("undelete", *nobody),
                  ("edit", "notes", "tea", "--unset", "cups"), ("put", "", "a=1"), ("contact", "add", missing)):
        told = chez.error(*words)
        assert told["hint"], (words, told)
    chez.run("undo", "notes", "tea")
    assert "this device" in chez.error("undo", "notes", "tea")["hint"]
    assert chez.error("redo", "notes", "nobody")["hint"]
    chez.run("redo", "notes", "tea")
    assert "an undo of this device" in chez.error("redo", "notes", "tea")["hint"]


def test_each_error_of_a_command_says_what_to_do_next() -> None:
    """But what somebody was asked, and said no to."""
    found = []
    for path in Path(cli.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            kind = getattr(errors, call.func.id, None) if isinstance(call, ast.Call) and isinstance(
                call.func, ast.Name) else None
            if isinstance(kind, type) and issubclass(kind, errors.ChezError) and len(call.args) < 2:
                found.append((path.name, call.lineno, ast.unparse(call)))
    assert [one for one in found if "nothing was" not in one[2]] == []


def test_an_error_is_no_longer_than_can_be_read(chez: Chez) -> None:
    """What it quotes is shortened in the middle, whoever refuses: both ends tell what was given, in each language."""
    long = "begin" + "x" * 100_000 + "end"
    for words in (("put", "notes", long, "title=Tea"), ("ls", "notes", "--limit", long), (long,), ("lock", long),
                  ("space", "show", long)):
        told = chez.error(*words, code=2 if words[0] in ("ls", "lock", long) else 1)
        assert "begin" in told["message"] and "end" in told["message"] and " […] " in told["message"], words[0]
        assert len(told["message"]) < 2000 and len(told["hint"]) < 2000
    done = subprocess.run([sys.executable, "-m", "chez_relay", "serve", "--listen", long], capture_output=True,
                          text=True, check=False)
    assert "listen wants HOST:PORT, not something of 100,010 characters" in done.stderr
    done = subprocess.run([sys.executable, "-m", "chez_relay", long], capture_output=True, text=True, check=False)
    assert "begin" in done.stderr and "end" in done.stderr and len(done.stderr) < 2000


def test_what_names_nothing_is_refused_in_french_too(chez: Chez) -> None:
    """A device that is none, a catalogue's address that is none: as all that `chez job` refuses."""
    for words, said in ((("allowance", "give", "nix"), "aucun autre de vos appareils ne s'appelle « nix »"),
                        (("catalogue", "add", "nix"), "ce n'est pas l'adresse d'un catalogue")):
        told = chez.error("job", *words, "--language", "fr")
        assert said in told["message"] and told["hint"]
        assert said not in chez.error("job", *words, "--language", "en")["message"]


def test_an_owner_is_named_only_where_one_would_do(owned: Chez) -> None:
    """Without a terminal: what an owner serves may be had by starting one; what needs the passphrase needs it."""
    told = "give --passphrase-file FILE"
    assert owned.error("passphrase", "change", passphrase=False)["hint"] == told
    assert owned.error("take-back", passphrase=False)["hint"] == "end it with chez lock"
    owned.run("lock")
    for words in (("take-back",), ("up",), ("doctor", "--repair"), ("passphrase", "change")):
        assert owned.error(*words, passphrase=False)["hint"] == told, words
    assert "chez up" in owned.error("get", "notes", "tea", passphrase=False)["hint"]


def test_shares_that_can_not_be_are_told_why(chez: Chez) -> None:
    """Five of three: the hint says which bound was broken."""
    assert "-k at most -n" in chez.error("recovery", "split", "-k", "5", "-n", "3", "--any-home")["hint"]


def test_a_backup_is_restored_elsewhere_by_another_path(chez: Chez, tmp_path: Path) -> None:
    """The place is an argument of the command: `--home` would change nothing."""
    chez.run("backup", str(tmp_path / "file"))
    assert chez.error("restore", str(tmp_path / "file"), str(chez.home))["hint"] == "name another PATH"


def test_a_file_that_is_no_bundle_is_told_without_the_decoder(chez: Chez, tmp_path: Path) -> None:
    """Whoever names a wrong file hears of no arrays."""
    (tmp_path / "words").write_text("zoo " * 24)
    found = chez.error("job", "inspect", str(tmp_path / "words"))
    assert found["message"] == "this is no bundle of a job, or one of a later version"
    assert (tmp_path / "words").stat().st_size < MAX_BUNDLE


def test_a_closed_standard_output_is_no_file_of_the_home(chez: Chez) -> None:
    """A number that was free is taken before anything is opened: what is written there reaches no file."""
    told = ("import os; from chez.cli.starting import importing\nwith importing('chez'): pass\n"
            "os.write(2, os.readlink('/proc/self/fd/1').encode())")
    done = subprocess.run(["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, told], stderr=subprocess.PIPE,
                          check=True, env=os.environ)
    assert done.stderr == os.devnull.encode()
    assert beside(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *chez.arguments("put", "notes", "a=1")], b"",
                  dict(os.environ)).returncode == 0
    assert len(chez.lines("ls", "notes")) == 1
