"""A home's life through the command line: made, opened, owned, damaged, locked."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mnemonic import Mnemonic

from chez.agent import paths
from tests.cli.forks import command
from tests.cli.support import PASSPHRASE, Chez, Terminal, alive, until, within


@pytest.fixture
def empty(empty: Chez) -> Chez:
    """Here each command is a process, as it is for people."""
    empty.inside, empty.forked = False, True
    return empty


@pytest.fixture
def owned(chez: Chez) -> Chez:
    """A fresh home with an owner as people start it."""
    chez.up(detached=True)
    return chez


def test_init_shows_24_words_once(empty: Chez) -> None:
    """A new home is private, says its words once with a warning, and is not made twice."""
    shown = empty.run("init", "--kdf", "minimum").stdout
    numbered = [word for word in shown.split() if word.rstrip(".").isdigit()]
    assert len(numbered) == 25 and "ONCE" in shown  # 1. to 24., and the 24 of the heading
    assert stat.S_IMODE(empty.home.stat().st_mode) == 0o700
    assert PASSPHRASE not in shown
    assert empty.error("init", "--kdf", "minimum")["code"] == "HomeExists"
    for file in empty.home.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_no_home_takes_the_place_of_a_folder_that_stays(empty: Chez, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that the command runs in, and a link to one, are refused before there are any words; whoever runs a
    command in a folder that is gone is told so."""
    here, link = tmp_path / "here", tmp_path / "link"
    here.mkdir()
    link.symlink_to(here)
    monkeypatch.chdir(here)
    for place, told in ((".", "in which this command runs"), (str(link), "is a link")):
        error = Chez(Path(place), empty.passphrase_file).error("init", "--kdf", "minimum")
        assert error["code"] == "InvalidValue" and told in error["message"]
    assert not any(here.iterdir())
    Chez(Path("new"), empty.passphrase_file).run("init", "--kdf", "minimum")
    assert (here / "new" / "chez.key").exists()
    shutil.rmtree(here)
    assert Chez(Path("."), empty.passphrase_file).error("status")["code"] == "NotFound"


@pytest.mark.parametrize("form", [("init",), ("--json", "init"), ("init", "--words-file", "/no/such/folder/words")])
def test_words_are_not_lost_with_an_output_that_takes_nothing(empty: Chez, form: tuple[str, ...]) -> None:
    """The home is made by then: standard error has them, also where the file for them can't be written."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(empty.arguments(*form, "--kdf", "minimum"), stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=90, check=False)
    told = re.search(r"words are: ((?:\w+ ){23}\w+)", done.stderr)
    assert done.returncode == 1 and told is not None and empty.home.exists(), done.stderr
    assert "No space left" in done.stderr and "Traceback" not in done.stderr
    assert Mnemonic("english").check(told[1])


def test_words_go_to_an_owner_only_file(empty: Chez, tmp_path: Path) -> None:
    """--words-file is new and private, never overwrites, and keeps the words off the terminal."""
    file = tmp_path / "words"
    done = empty.run("init", "--kdf", "minimum", "--words-file", str(file))
    words = file.read_text().split()
    assert len(words) == 24 and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert " ".join(words[:3]) not in done.stdout
    other = Chez(tmp_path / "other", empty.passphrase_file)
    assert other.error("init", "--kdf", "minimum", "--words-file", str(file))["code"] == "HomeExists"
    assert not other.home.exists() and file.read_text().split() == words


@pytest.mark.slow
def test_a_passphrase_is_typed_at_the_terminal(empty: Chez) -> None:
    """init asks twice and never echoes; later commands ask once."""
    terminal = Terminal(empty.arguments("init", "--kdf", "minimum", "--no-confirm", passphrase=False))
    terminal.expect("Choose a passphrase")
    terminal.type("typed secret\n")
    terminal.expect("Once more")
    terminal.type("typed secret\n")
    assert terminal.finish() == 0 and "typed secret" not in terminal.seen
    terminal = Terminal(empty.arguments("ls", passphrase=False))
    terminal.expect("Passphrase")
    terminal.type("typed secret\n")
    assert terminal.finish() == 0 and "typed secret" not in terminal.seen


@pytest.mark.parametrize("words", [("ls",), ("up",), ("passphrase", "change")])
def test_nobody_is_asked_for_the_passphrase_of_a_home_that_is_not_there(
        words: tuple[str, ...], chez: Chez, tmp_path: Path) -> None:
    """A folder without a home, as a mistyped --home names one, is told as that: it is not locked."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    error = Chez(tmp_path / "folder", chez.passphrase_file).error(*words, passphrase=False)
    assert error["code"] == "HomeMissing" and "there is no home at" in error["message"]


def test_an_owner_has_a_home_in_a_folder_whose_name_is_no_text(chez: Chez, tmp_path: Path) -> None:
    """`chez up` and `chez status` tell of a folder named in Latin-1 by its bytes."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    chez.home.rename(folder)
    moved = Chez(folder, chez.passphrase_file)
    try:
        moved.up(detached=True)
        assert moved.json("status", passphrase=False)["home"] == f"{tmp_path}/caf\\xe9"
    finally:
        moved.end()


@pytest.mark.slow
def test_what_can_be_wrong_with_opening(chez: Chez, tmp_path: Path) -> None:
    """Wrong passphrase, no passphrase, no home, bad file: each its own error."""
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    wrong.chmod(0o600)
    assert Chez(chez.home, wrong).error("ls")["code"] == "WrongPassphrase"
    assert Chez(chez.home, wrong).error("up", "--detach")["code"] == "WrongPassphrase"
    assert Chez(chez.home, wrong).error("up")["code"] == "WrongPassphrase"
    assert Chez(chez.home, tmp_path / "none").error("ls")["code"] == "NotFound"
    assert chez.error("ls", passphrase=False)["code"] == "HomeLocked"
    assert Chez(tmp_path / "nowhere", chez.passphrase_file).error("ls")["code"] == "HomeMissing"
    assert Chez(tmp_path / "nowhere", chez.passphrase_file).error("up", "--detach")["code"] == "HomeMissing"
    (tmp_path / "folder").mkdir()
    assert Chez(tmp_path / "folder", chez.passphrase_file).error("ls")["code"] == "HomeMissing"
    for content in (b"", b"\xff\xfe\n", b"x" * 100_000):
        wrong.write_bytes(content)
        assert Chez(chez.home, wrong).error("ls")["code"] == "InvalidValue"
    wrong.write_text(PASSPHRASE)
    wrong.chmod(0o644)
    assert "chmod 600" in Chez(chez.home, wrong).run("ls").stderr


@pytest.mark.slow
def test_every_damaged_file_is_a_typed_error(chez: Chez, tmp_path: Path) -> None:
    """Whichever file of a home is cut, emptied or flipped: noticed, and told in one line, and never a wrong answer."""
    chez.run("put", "notes", "a", "n=1")
    files = sorted(file.relative_to(chez.home) for file in chez.home.rglob("*") if file.is_file())
    assert files
    copies: list[Chez] = []
    for name in files:
        for damage in ("empty", "half", "flip"):
            copy = Chez(tmp_path / f"{name.name}-{damage}", chez.passphrase_file)
            shutil.copytree(chez.home, copy.home)
            data = (copy.home / name).read_bytes()
            third = len(data) // 3
            hurt = {"empty": b"", "half": data[:len(data) // 2],
                    "flip": data[:third] + bytes(b ^ 85 for b in data[third:third + 64]) + data[third + 64:]}
            (copy.home / name).write_bytes(hurt[damage])
            copies.append(copy)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda copy: command(
            copy.arguments("--json", "get", "notes", "a"), b"", dict(os.environ)), copies))
    for copy, done in zip(copies, results, strict=True):
        assert b"Traceback" not in done.stderr and b"Unexpected" not in done.stderr, (copy, done)
        # The lock's content is a courtesy, and a page nobody reads is not looked at; what is cut is noticed.
        if done.returncode == 0:
            assert copy.home.name.startswith("owner.lock") or copy.home.name.endswith("flip"), copy
            assert json.loads(done.stdout)["value"] == {"n": 1}
        else:
            assert done.returncode == 1 and json.loads(done.stderr)["error"]["code"] == "Damaged", (copy, done)


def test_the_owner_answers_without_a_passphrase_until_lock(chez: Chez) -> None:
    """up --detach returns when it answers; lock returns when it is gone."""
    pid = chez.up(detached=True)
    assert alive(pid)
    chez.run("put", "notes", "a", "n=1", passphrase=False)
    assert chez.json("get", "notes", "a", passphrase=False)["value"] == {"n": 1}
    assert chez.json("lock", passphrase=False)["owner"]["pid"] == pid
    until(lambda: not alive(pid))  # it has closed the home, and is about to end
    assert chez.error("get", "notes", "a", passphrase=False)["code"] == "HomeLocked"
    assert chez.json("get", "notes", "a")["value"] == {"n": 1}
    assert chez.json("lock") == {"locked": True, "owner": None}
    assert not (chez.home / "owner.sock").exists()


def test_who_stops_the_start_of_an_owner_has_none(chez: Chez, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while `chez up --detach` waits: what it had started ends, and goes on in no background."""
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(child: "subprocess.Popen[bytes]", _: int) -> bytes:
        started.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr("chez.cli.commands.up._line", interrupted)
    assert within(chez.arguments("up", "--detach"), b"").returncode == 130
    assert started[0].wait(60) != 0
    assert paths.connect(chez.home) is None


def test_a_second_owner_is_told_who_is_first(owned: Chez) -> None:
    """The answer names the first owner's process and socket."""
    for words in (("up",), ("up", "--detach")):
        error = owned.error(*words)
        assert error["code"] == "HomeBusy"
        assert str(owned.made[0]) in error["message"] and "owner.sock" in error["message"]


@pytest.mark.slow
def test_a_home_held_by_an_app_without_a_socket_is_busy(chez: Chez) -> None:
    """An app that holds the home and serves nothing: others wait a little, then are told."""
    code = ("import asyncio, chez, sys\n"
            "async def main():\n"
            f"    async with chez.open({str(chez.home)!r}, passphrase={PASSPHRASE!r}):\n"
            "        print('open', flush=True); await asyncio.to_thread(sys.stdin.read)\n"
            "asyncio.run(main())\n")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as app:
        assert app.stdout is not None and app.stdin is not None
        assert app.stdout.readline() == b"open\n"
        assert chez.error("ls")["code"] == "HomeBusy"
        waiting = subprocess.Popen(chez.arguments("put", "notes", "a", "n=1"), stdout=subprocess.PIPE)
        app.stdin.close()
    with waiting:
        assert waiting.wait(timeout=90) == 0


def test_the_passphrase_is_nowhere_to_be_seen(owned: Chez) -> None:
    """Not in the owner's command line, environment or open files."""
    process = Path(f"/proc/{owned.made[0]}")
    for name in ("cmdline", "environ"):
        content = (process / name).read_bytes()
        assert PASSPHRASE.encode() not in content and str(owned.passphrase_file).encode() not in content
    for file in (process / "fd").iterdir():
        assert os.readlink(file) != str(owned.passphrase_file)
    for file in owned.home.rglob("*"):
        if file.is_file():
            assert PASSPHRASE.encode() not in file.read_bytes()


def test_the_detached_owner_holds_no_terminal_and_no_folder(owned: Chez) -> None:
    """It leads its own session, sits in /, and its standard streams lead nowhere."""
    pid = owned.made[0]
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}


def test_an_owner_that_is_said_to_be_ready_holds_no_terminal_any_more() -> None:
    """However slow it is to let go of its streams: whoever was told that it answers finds that it did."""
    slowly = ("import os, time; from chez.cli.commands import up; let_go = os.dup2; "
              "os.dup2 = lambda *given: (time.sleep(0.1), let_go(*given)); up._report({}); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", slowly], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        try:
            assert owner.stdout is not None and owner.stdout.readline() == b"{}\n"
            assert {os.readlink(f"/proc/{owner.pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}
        finally:
            owner.kill()


def test_the_socket_is_private(owned: Chez) -> None:
    """Mode 0600 in a folder of mode 0700."""
    path = paths.socket_path(owned.home)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_owner_in_the_foreground_ends_by_signal(chez: Chez, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM close the home and leave no socket."""
    with subprocess.Popen(chez.arguments("up"), stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert str(owner.pid).encode() in owner.stdout.readline()
        chez.run("put", "notes", "a", "n=1", passphrase=False)
        owner.send_signal(number)
        assert owner.wait(timeout=90) == 0
    assert not (chez.home / "owner.sock").exists()
    assert chez.json("get", "notes", "a")["value"] == {"n": 1}


def test_nothing_acknowledged_is_lost_when_the_owner_is_killed(owned: Chez, tmp_path: Path) -> None:
    """kill -9 in the middle of puts: what was answered is there after a restart."""
    code = ("import sys\nfrom pathlib import Path\nfrom chez.agent import paths\n"
            "from chez.cli.client import exchange\n"
            f"link = paths.connect(Path({str(owned.home)!r}))\n"
            "n = 0\n"
            "while True:\n"
            "    name = f'{sys.argv[1]}-{n}'\n"
            "    exchange(link, None, 'put', {'collection': 'notes', 'id': name, 'value': {'n': n}})\n"
            "    print(name, flush=True); n += 1\n")
    logs = [tmp_path / f"acknowledged-{i}" for i in range(4)]
    clients = []
    for i, log in enumerate(logs):
        with log.open("wb") as out:
            clients.append(subprocess.Popen([sys.executable, "-c", code, str(i)], stdout=out,
                                            stderr=subprocess.DEVNULL))
    until(lambda: all(log.read_bytes().count(b"\n") > 20 for log in logs))
    os.kill(owned.made[0], signal.SIGKILL)
    for client in clients:
        assert client.wait(timeout=90) == 1
    acknowledged = {name for log in logs for name in log.read_text().split()}
    until(lambda: not alive(owned.made[0]))
    owned.up(detached=True)
    kept = {one["id"] for one in owned.lines("ls", "notes")}
    assert acknowledged <= kept
    # At most the one put of each client whose answer was cut off.
    assert len(kept - acknowledged) <= len(clients)


def test_the_warm_path_imports_nothing_heavy(owned: Chez) -> None:
    """`chez get` through the owner loads no CRDT, database, cryptography or table drawing."""
    owned.run("put", "notes", "a", "n=1")
    code = ("import sys\nfrom chez.cli.main import main\n"
            "try: main()\nfinally: print(' '.join(sorted(sys.modules)), file=sys.stderr)\n")
    done = subprocess.run([sys.executable, "-c", code, *owned.arguments("--json", "get", "notes", "a")[3:]],
                          capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    heavy = {"automerge", "nacl", "sqlcipher3", "rich", "aiosqlite", "websockets", "wasmtime", "asyncio",
             "anyio", "chez.home", "chez.crypto", "importlib.metadata", "subprocess", "chez_sandbox"}
    assert not loaded & heavy


def test_a_reader_that_has_enough_is_no_error(owned: Chez) -> None:
    """`chez ls | head -1` ends quietly."""
    lines = [b'{"x":"%s"}' % (b"y" * 500)] * 2000
    owned.run("put", "notes", "--file", "-", stdin=b"\n".join(lines))
    line = subprocess.list2cmdline(owned.arguments("--json", "ls", "notes"))
    done = subprocess.run(["sh", "-c", f"{line} | head -1"], capture_output=True, timeout=90)
    assert done.stderr == b"" and done.stdout.count(b"\n") == 1


def test_an_accident_is_one_line_and_a_private_file(chez: Chez) -> None:
    """An unexpected exception shows one line; --debug shows the rest."""
    code = ("import chez.cli.near as near\nfrom chez.cli.main import main\n"
            "def crash(*_): raise RuntimeError('secret content')\nnear.run_near = crash\nmain()\n")

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-c", code, *chez.arguments(*words)[3:]], capture_output=True,
                              text=True, timeout=90)

    done = run("ls")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "secret" not in done.stderr
    assert "unexpected: RuntimeError" in done.stderr and "unexpected.txt" in done.stderr
    report = chez.home / "unexpected.txt"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600 and "secret" not in report.read_text()
    assert "Traceback" in run("--debug", "ls").stderr


def test_version_and_help_need_no_home(empty: Chez) -> None:
    """What a newcomer types first works."""
    empty.forked = False
    assert empty.run("version").stdout == empty.run("--version").stdout
    assert empty.run("--version").stdout.startswith("chez ")
    assert "A home:" in empty.run("--help").stdout
    assert "Usage: chez" in empty.run("put", "--help").stdout
