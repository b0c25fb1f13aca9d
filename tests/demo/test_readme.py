"""README's tutorials, run as they stand against real processes."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
WAIT = f"""{sys.executable} - <<'END'
import socket, time
for _ in range(1800):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            break
    time.sleep(0.05)
END"""


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorials_run(tmp_path: Path) -> None:
    """Each reader's commands do what README says, in order, in one shell; the app's program too."""
    port = free_port()
    path, *tutorials = [block.replace("127.0.0.1:8787", f"127.0.0.1:{port}") for block in blocks("sh")]
    (app,) = blocks("python")
    (tmp_path / "app.py").write_text(app.replace("127.0.0.1:8787", f"127.0.0.1:{port}"))
    assert "chez-relay serve" in tutorials[0]
    script = ["set -e", 'cd "$CHEZ"', path, 'cd "$PLACE"', tutorials[0], WAIT.replace("PORT", str(port))]
    script += [*tutorials[1:], f"{sys.executable} app.py", "echo the end"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        shell = subprocess.Popen(
            ["sh", "-c", "\n".join(script)], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env={**os.environ, "CHEZ": str(ROOT), "PLACE": str(tmp_path)}, start_new_session=True,
        )  # fmt: skip
    try:
        shell.wait(800)
        said = log.read_text()  # before the relay has a word on its own end
    finally:
        # Not the relay alone: the owner, should a command before `lock` have failed.
        subprocess.run([sys.executable, "-m", "chez.cli", "--home", "laptop", "lock"], cwd=tmp_path,
                       capture_output=True, timeout=90, check=False)
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    assert said.endswith("tea {'cups': 3, 'title': 'Tea'}\nsent 2\nthe end\n"), said


def test_every_reader_has_a_tutorial() -> None:
    """README names the two commands and has a part for each of the four readers."""
    assert "sh bin/demo" in README and "sh bin/test" in README
    for reader in ("The person", "The app developer", "The provider", "The operator"):
        assert f"### {reader}" in README
