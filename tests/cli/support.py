"""`chez` in the tests' own process, or as processes of their own, and at a terminal."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli import forks
from tests.relay.within import relay_beside

PASSPHRASE = "correct horse battery staple"


@dataclass
class Chez:
    """A home and how to run commands on it."""

    home: Path
    passphrase_file: Path
    made: list[int] = field(default_factory=list)
    inside: bool = True
    """Whether commands run in the tests' own process: a fifth of the time, where the process is not what is tested.

    Those with an environment of their own never do, nor does an owner."""
    forked: bool = False
    """Whether commands that do not are forked, which spares what a process costs to begin."""

    def arguments(self, *words: str, passphrase: bool = True) -> list[str]:
        """The command line of one invocation."""
        given = ("--passphrase-file", str(self.passphrase_file)) if passphrase else ()
        return [sys.executable, "-m", "chez.cli", "--home", str(self.home), *given, *words]

    def run(self, *words: str, code: int = 0, passphrase: bool = True, stdin: bytes = b"",
            env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal and check its exit code; never a stack trace."""
        arguments = self.arguments(*words, passphrase=passphrase)
        if self.inside and env is None:
            text = within(arguments, stdin)
        else:
            run = forks.command if self.forked else beside
            done = run(arguments, stdin, {**os.environ, **(env or {})})
            text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert text.returncode == code, (text.returncode, text.stdout, text.stderr)
        assert "Traceback" not in text.stderr + text.stdout
        return text

    def json(self, *words: str, **options: Any) -> Any:
        """Run a command with --json and give the one value it prints."""
        return json.loads(self.run("--json", *words, **options).stdout)

    def lines(self, *words: str, **options: Any) -> list[Any]:
        """Run a command with --json and give the values it prints."""
        return [json.loads(line) for line in self.run("--json", *words, **options).stdout.splitlines()]

    def error(self, *words: str, code: int = 1, **options: Any) -> dict[str, str]:
        """Run a command with --json that must fail; give its error."""
        done = self.run("--json", *words, code=code, **options)
        assert done.stdout == ""
        found: dict[str, str] = json.loads(done.stderr.splitlines()[-1])["error"]
        assert set(found) == {"code", "message", "hint"}
        return found

    def init(self) -> str:
        """Make the home at minimum cost; give its words."""
        self.passphrase_file.write_text(PASSPHRASE + "\n")
        self.passphrase_file.chmod(0o600)
        words: str = self.json("init", "--kdf", "minimum", "--name", "test")["words"]
        return words

    def up(self, *, detached: bool = False) -> int:
        """Start an owner; give its pid. With `detached` by `chez up --detach`, which takes most of a second."""
        if detached or not self.inside:
            told = self.json("up", "--detach")
        else:
            told = json.loads(forks.owner(self.arguments("--json", "up")))
        pid: int = told["pid"]
        self.made.append(pid)
        return pid

    def end(self) -> None:
        """End the owners that this test started."""
        for pid in self.made:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def beside(arguments: list[str], stdin: bytes, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command line as a process."""
    return subprocess.run(arguments, input=stdin, timeout=250, capture_output=True, env=env, check=False)


def within(arguments: list[str], stdin: bytes) -> subprocess.CompletedProcess[str]:
    """Run a command line of `Chez.arguments` in this process."""
    from chez.cli.main import main

    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(arguments[3:])
    finally:
        sys.stdin = before
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def running_relay(data: Path, port: int) -> Iterator[str]:
    """A relay over `data` while the block lasts; its URL."""
    with relay_beside(data, "--listen", f"127.0.0.1:{port}") as url:
        yield url


def another(folder: Path, name: str, passphrase: str = "another passphrase") -> Chez:
    """A device, which has no home yet if nothing is in its folder."""
    device = Chez(folder / name, folder / f"{name}-passphrase")
    device.passphrase_file.write_text(passphrase + "\n")
    device.passphrase_file.chmod(0o600)
    return device


def pair(laptop: Chez, phone: Chez, url: str, name: str = "phone") -> None:
    """Let another device in, both sides through the command line."""
    with subprocess.Popen(laptop.arguments("--json", "pair", "--yes"), stdout=subprocess.PIPE) as showing:
        assert showing.stdout is not None
        code = json.loads(showing.stdout.readline())["code"]
        phone.run("join", code, "--kdf", "minimum", "--relay", url, "--name", name)
        assert showing.wait(timeout=90) == 0


class Terminal:
    """A command at a pseudo-terminal."""

    def __init__(self, arguments: list[str], env: dict[str, str] | None = None) -> None:
        ours, theirs = pty.openpty()
        self._terminal = ours
        self.seen = ""
        self.process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "COLUMNS": "120", "TERM": "xterm", **(env or {})})
        os.close(theirs)

    def expect(self, text: str) -> None:
        """Read until the terminal has shown this text."""
        self.expect_like(re.escape(text))

    def expect_like(self, pattern: str) -> None:
        """Read until the terminal has shown what a regular expression finds."""
        for _ in self._read():
            if re.search(pattern, self.seen):
                return
        raise AssertionError(self.seen)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._terminal, text.encode())

    def interrupt(self, *, group: bool = False) -> None:
        """Press Ctrl-C until the command ends; with `group` its children hear it too, as they do at a real terminal.

        Python does not hear one that comes after its last look at signals and before it waits for
        a line, so that here, where nobody's finger is between prompt and key, one may get lost.
        """
        while self.process.poll() is None:
            if group:
                os.killpg(self.process.pid, signal.SIGINT)
            else:
                self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)

    def finish(self) -> int:
        """Read to the end; give the exit code."""
        for _ in self._read():
            pass
        os.close(self._terminal)
        return self.process.wait(timeout=90)

    def _read(self) -> Iterator[None]:
        yield
        deadline = time.monotonic() + 90
        while select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:
                return
            if not data:
                return
            self.seen += data.decode(errors="replace")
            yield
        raise AssertionError(f"nothing more came after {self.seen!r}")
