"""`chez` as real processes."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSPHRASE = "correct horse battery staple"


@dataclass
class Chez:
    """A home and how to run commands on it."""

    home: Path
    passphrase_file: Path
    made: list[int] = field(default_factory=list)

    def arguments(self, *words: str, passphrase: bool = True) -> list[str]:
        """The command line of one invocation."""
        given = ("--passphrase-file", str(self.passphrase_file)) if passphrase else ()
        return [sys.executable, "-m", "chez.cli", "--home", str(self.home), *given, *words]

    def run(self, *words: str, code: int = 0, passphrase: bool = True, stdin: bytes = b"",
            env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal and check its exit code; never a stack trace."""
        done = subprocess.run(self.arguments(*words, passphrase=passphrase), input=stdin, timeout=50,
                              capture_output=True, env={**os.environ, **(env or {})}, check=False)
        text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(),
                                           done.stderr.decode())
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

    def up(self) -> int:
        """Start a detached owner; give its pid."""
        pid: int = self.json("up", "--detach")["pid"]
        self.made.append(pid)
        return pid

    def end(self) -> None:
        """End the owners that this test started."""
        for pid in self.made:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
        for _ in self._read():
            if text in self.seen:
                return
        raise AssertionError(self.seen)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._terminal, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C until the command ends.

        Python does not hear one that comes after its last look at signals and before it waits for
        a line, so that here, where nobody's finger is between prompt and key, one may get lost.
        """
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)

    def finish(self) -> int:
        """Read to the end; give the exit code."""
        for _ in self._read():
            pass
        os.close(self._terminal)
        return self.process.wait(timeout=30)

    def _read(self) -> Iterator[None]:
        yield
        deadline = time.monotonic() + 40
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
