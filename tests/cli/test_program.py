"""How the four programs end: one form for every error, and the same exit codes."""

import errno
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chez.cli.main
import chez_deposit.cli
import chez_relay.cli
import chez_sandbox.provider.cli


def _relay(arguments: list[str]) -> None:
    chez_relay.cli.main(arguments, prog_name="chez-relay")


PROGRAMS: dict[str, tuple[Callable[[list[str]], Any], list[str]]] = {
    "chez": (chez.cli.main.main, ["--home", "none", "ls", "notes"]),
    "chez-job": (chez_sandbox.provider.cli.main, ["keys", "card", "--key", "none"]),
    "chez-deposit": (chez_deposit.cli.main, ["card", "--key", "none"]),
    "chez-relay": (_relay, ["inspect", "--data", "none"]),
}
"""Each program, and a command line of it about what is not there."""


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program's name, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return str(request.param)


def ended(program: str, arguments: list[str]) -> object:
    """The exit code of a program."""
    with pytest.raises(SystemExit) as end:
        PROGRAMS[program][0](arguments)
    return end.value.code


def test_what_is_refused_is_told_under_the_program_s_name(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """1, nothing on standard output, a line that begins with the program's name, and no more than a hint below it."""
    assert ended(program, PROGRAMS[program][1]) == 1
    told = capsys.readouterr()
    first, *more = told.err.splitlines()
    assert told.out == "" and first.startswith(f"{program}: ") and all(line.startswith("  ") for line in more[:1])
    assert len(more) <= 1 and "Error" not in told.err


def test_a_wrong_command_line_is_told_in_the_same_form(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """2, with how the command goes below; a program alone shows its help."""
    command = next(word for word in PROGRAMS[program][1] if not word.startswith("-") and word != "none")
    assert ended(program, [command, "--such"]) == 2
    told = capsys.readouterr()
    first, second = told.err.splitlines()
    assert told.out == "" and first.startswith(f"{program}: No such option") and second.startswith("  usage: ")
    assert ended(program, []) == 2
    assert capsys.readouterr().err.startswith(f"Usage: {program}")


def test_for_programs_errors_are_json(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json there is one object, whose code names the error; of a wrong command line as well."""
    for arguments, code in ((PROGRAMS[program][1], 1), (["such", "--json"], 2)):
        assert ended(program, [*arguments, *([] if "--json" in arguments else ["--json"])]) == code
        [line] = capsys.readouterr().err.splitlines()
        assert set(json.loads(line)["error"]) == {"code", "message", "hint"}


def test_what_the_system_refuses_is_told_in_the_same_form(
        program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """1, and a line, not a stack trace: of a folder that can't be made, say."""
    def refused(*_: object, **__: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", "a/folder")

    monkeypatch.setattr("click.Group.invoke", refused)
    assert ended(program, PROGRAMS[program][1]) == 1
    first, *more = capsys.readouterr().err.splitlines()
    assert first == f"{program}: " + ("unexpected: PermissionError" if program == "chez" else
                                      "a/folder: Permission denied") and len(more) <= 1


def test_what_a_person_is_asked_is_refused_where_nobody_is_there(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No question stands before the object on its line, and nobody is said to have interrupted."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert ended("chez", ["relay", "token", "ws://a.test", "--json"]) == 1
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "InvalidValue"


def test_ctrl_c_ends_with_130(program: str, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture[str]) -> None:
    """Interrupted is told, and is not success."""
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.Group.invoke", interrupted)
    assert ended(program, PROGRAMS[program][1]) == 130
    assert capsys.readouterr() == ("", f"{program}: interrupted\n")
    assert ended(program, [*PROGRAMS[program][1], "--json"]) == 130
    told = capsys.readouterr()
    assert told.out == "" and json.loads(told.err)["error"]["code"] == "Interrupted"


@pytest.mark.parametrize("program", ["chez", "chez-job", "chez-deposit"], indirect=True)
def test_sigterm_ends_as_ctrl_c_does_with_143(program: str, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    """What is open is closed, also in a shell's background job, which ignores Ctrl-C; afterwards all is as before."""
    closed: list[int] = []

    def told(*_: object, **__: object) -> object:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            closed.append(1)

    monkeypatch.setattr("click.Group.invoke", told)
    before = signal.getsignal(signal.SIGTERM)
    for interrupt in (signal.default_int_handler, signal.SIG_IGN):
        was = signal.signal(signal.SIGINT, interrupt)
        try:
            assert ended(program, PROGRAMS[program][1]) == 143
        finally:
            signal.signal(signal.SIGINT, was)
        assert capsys.readouterr() == ("", f"{program}: terminated\n")
    assert closed == [1, 1] and signal.getsignal(signal.SIGTERM) == before


def test_sigterm_ends_what_hears_nothing() -> None:
    """A command whose thread waits for ever is ended all the same, after a while."""
    script = ("import asyncio, os, click\nfrom chez.cli import program, stopping\nstopping.GRACE = 0.2\n"
              "read, _ = os.pipe()\n"
              "async def wait():\n    print('waiting', flush=True)\n    await asyncio.to_thread(os.read, read, 1)\n"
              "program.run('chez', click.Command('chez', callback=lambda: asyncio.run(wait())), [])\n")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"waiting\n"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM  # 143 to a shell
        assert process.stderr.read() == b""


def test_who_stops_a_long_command_is_told_what_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and below it what is kept and how it goes on; an export is there whole or not at all."""
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("chez.cli.near.run_near", interrupted)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "chez.key").touch()
    (tmp_path / "passphrase").write_text("x")
    (tmp_path / "passphrase").chmod(0o600)
    common = ["--home", str(tmp_path / "home"), "--passphrase-file", str(tmp_path / "passphrase")]
    for words, stands in ((["import", str(tmp_path / "passphrase")], "the same command goes on from there"),
                          (["export", "out"], "out is there only if it is whole"),
                          (["sync"], "the next chez sync goes on")):
        assert ended("chez", [*common, *words]) == 130
        first, second = capsys.readouterr().err.splitlines()
        assert first == "chez: interrupted" and second.startswith("  ") and second.endswith(stands)


def test_what_nobody_expected_is_a_line_too(program: str, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """1, its type and where it was raised; neither a stack trace nor what it says, which may quote a record."""
    def broken(*_: object, **__: object) -> object:
        raise KeyError("secret content")

    monkeypatch.setattr("click.Group.invoke", broken)
    assert ended(program, PROGRAMS[program][1]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"{program}: unexpected: KeyError" and second.startswith("  please report it")
    assert program == "chez" or "KeyError at " in second
    assert "secret" not in second
    assert ended(program, [*PROGRAMS[program][1], "--json"]) == 1
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "Unexpected"


def test_an_answer_that_nobody_takes(program: str) -> None:
    """Standard output on a full disk is said to be; one that is closed is no error, and no file gets its number."""
    module = {"chez": "chez.cli.main", "chez-deposit": "chez_deposit.cli", "chez-job": "chez_sandbox.provider.cli",
              "chez-relay": "chez_relay.cli"}[program]
    line = f"exec {sys.executable} -c 'from {module} import main; main()' --version"
    full, closed = (subprocess.run(["sh", "-c", f"{line} {where}"], capture_output=True, text=True, timeout=90,
                                   check=False) for where in (">/dev/full", "<&- >&-"))
    assert full.returncode == 1 and full.stderr.splitlines()[0].endswith(
        ": standard output can't be written: No space left on device")
    assert (closed.returncode, closed.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell: str, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    """The line of docs/cli.md gives a script, and that asks for what may stand there; no home is needed."""
    for asked in (f"{shell}_source", f"{shell}_complete"):
        for name, value in {"_CHEZ_COMPLETE": asked, "COMP_WORDS": "chez imp", "COMP_CWORD": "1" if shell != "fish"
                            else "imp"}.items():
            monkeypatch.setenv(name, value)
        assert ended("chez", []) == 0
    told = capsys.readouterr().out
    assert "_chez_completion" in told and "import" in told


@pytest.mark.parametrize("wanted", ["click", "msgspec"])
def test_ctrl_c_while_it_is_imported_shows_no_trace(program: str, wanted: str) -> None:
    """A third of a second passes before a command runs: who is quicker than that is told as later, by all programs.

    Also where an exception would be lost, and by none that a shell started in the background, which ignores it.
    """
    module = {"chez": "chez.cli", "chez-deposit": "chez_deposit", "chez-job": "chez_sandbox.provider",
              "chez-relay": "chez_relay"}[program]
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN if "--help" in sys.argv else signal.default_int_handler)
class Quick:
    def find_spec(self, name, path=None, target=None):
        if name == "{wanted}":
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pass
sys.meta_path.insert(0, Quick())
from {module}.__main__ import main
main()
"""
    plain, told, ignored = (subprocess.run([sys.executable, "-c", code, more], capture_output=True, text=True,
                                           check=False, timeout=60) for more in ("such", "--json", "--help"))
    assert (ignored.returncode, ignored.stderr) == (0, "")
    assert (plain.returncode, plain.stdout, plain.stderr) == (130, "", f"{program}: interrupted\n")
    assert (told.returncode, told.stdout, json.loads(told.stderr)["error"]["code"]) == (130, "", "Interrupted")
