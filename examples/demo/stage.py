"""The stage of the demo: a folder, real processes, and plain words about them."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

__all__ = ("DemoFailed", "Device", "Stage", "check", "tell", "title")

WIDTH: Final = 92
SCRIPTS: Final = Path(sys.executable).parent
"""Where this environment keeps `chez`, `chez-relay` and `chez-job`."""


class DemoFailed(Exception):
    """Something that the demo promises did not happen."""


def title(text: str) -> None:
    """A heading."""
    click.secho(f"\n== {text}", bold=True)


def tell(text: str) -> None:
    """A paragraph of narration."""
    click.echo(textwrap.fill(" ".join(text.split()), WIDTH))


def check(holds: bool, text: str) -> None:
    """Say that something was verified. Raises `DemoFailed` when it does not hold."""
    if not holds:
        raise DemoFailed(text)
    click.secho(textwrap.fill(f"ok  {text}", WIDTH, subsequent_indent="    "), fg="green")


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition. Raises `DemoFailed`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise DemoFailed(f"after {seconds:g} s still not so: {what}")
        time.sleep(0.05)


class Stage:
    """Runs the programs in one folder, shows each command, and ends every process it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._services: list[subprocess.Popen[str]] = []
        self._owners: list[tuple[str, int]] = []
        (folder / "cache").mkdir()
        # chez-job keeps compiled code in the user's cache: here it stays in the folder.
        self._environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}

    def run(self, *words: str, shown: bool = True, echo: bool = True) -> str:
        """One command to its end; gives what it printed. Raises `DemoFailed`."""
        if shown:
            click.secho("  $ " + " ".join(_quoted(word) for word in words), fg="cyan")
        done = subprocess.run(
            [str(SCRIPTS / words[0]), *words[1:]], cwd=self.folder, env=self._environment, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DemoFailed(f"`{' '.join(words)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        if shown and echo:
            for line in (done.stdout + done.stderr).splitlines():
                click.echo("    " + line.rstrip())
        return done.stdout

    def ask(self, *words: str) -> Any:
        """The JSON answer of a command, not shown."""
        return json.loads(self.run(*words, shown=False))

    def start(self, *words: str, wait_for: str) -> tuple[subprocess.Popen[str], str]:
        """A process that goes on; gives it and the first line in which `wait_for` matches."""
        click.secho("  $ " + " ".join(_quoted(word) for word in words) + " &", fg="cyan")
        process = subprocess.Popen(
            [str(SCRIPTS / words[0]), *words[1:]], cwd=self.folder, env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._services.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            click.echo("    " + line.rstrip())
            if found := re.search(wait_for, line):
                return process, found[0]
        raise DemoFailed(f"`{words[0]}` ended before it was ready")

    def owner(self, home: str, pid: int) -> None:
        """Remember the owner of a home, to be ended."""
        self._owners.append((home, pid))

    def end(self) -> None:
        """End everything that was started: owners first, so that their homes close cleanly."""
        for home, pid in self._owners:
            with suppress(DemoFailed, subprocess.TimeoutExpired):
                self.run("chez", "--home", home, "lock", shown=False)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL) if _alive(pid) else None
        for process in reversed(self._services):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


class Device:
    """One of the person's devices: a home, its passphrase file, and the commands on it."""

    def __init__(self, stage: Stage, name: str, passphrase: str) -> None:
        self.stage = stage
        self.name = name
        self._file = f"{name}.passphrase"
        path = stage.folder / self._file
        path.touch(mode=0o600)
        path.write_text(passphrase + "\n")

    def run(self, *words: str, echo: bool = True) -> str:
        """`chez` on this home, shown."""
        return self.stage.run("chez", "--home", self.name, *words, echo=echo)

    def unlocking(self, *words: str) -> str:
        """A command that needs the passphrase, shown."""
        return self.run("--passphrase-file", self._file, *words)

    def json(self, *words: str) -> Any:
        """The JSON answer of a command, not shown."""
        return self.stage.ask("chez", "--home", self.name, "--json", *words)

    def up(self) -> None:
        """Start the owner: the process that holds the keys and keeps in step with the relay."""
        self.unlocking("up", "--detach")
        pid = int((self.stage.folder / self.name / "owner.lock").read_text())
        self.stage.owner(self.name, pid)

    def value(self, collection: str, id: str) -> dict[str, Any]:
        """One record's value, or {} when it is not here."""
        try:
            found: dict[str, Any] = self.json("get", collection, id)["value"]
        except DemoFailed:
            return {}
        return found

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, not shown; with the passphrase, so that no owner is needed."""
        text = self.stage.run(
            "chez", "--home", self.name, "--passphrase-file", self._file, "--json", "sql", "--limit", "1000000",
            query, shown=False,
        )  # fmt: skip
        return [json.loads(line) for line in text.splitlines()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _quoted(word: str) -> str:
    return f"'{word}'" if re.search(r"[\s\"{}*$]", word) else word
