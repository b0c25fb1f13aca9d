"""The organisation's quickstart, run as it stands against real processes."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.demo.test_readme import ROOT, WAIT
from tests.ports import free_port

PAGE = (ROOT / "docs" / "quickstart-organisation.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_an_empty_folder_to_the_customers_record(tmp_path: Path) -> None:
    """The page's commands, in order and in one shell, end with two of three records at the customer's, and the
    organisation knows it."""
    port = str(free_port())
    relay, *rest = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    relay = relay.replace("serve ", f"serve --listen 127.0.0.1:{port} ")
    rest = [block.replace("8787", port) for block in rest]
    place, programs = tmp_path / "empty", tmp_path / "bin"
    for folder in (place, programs):
        folder.mkdir()
    program = programs / "chez-deposit"  # there is none where the project was installed before it had this one
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m chez_deposit "$@"\n')
    program.chmod(0o755)
    with (tmp_path / "log").open("wb") as out:
        shell = subprocess.Popen(
            ["sh", "-c", "\n".join(["set -e", relay, WAIT.replace("PORT", port), *rest, "echo the end"])],
            cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LANG": "C", "LC_ALL": "C",
                 "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"})
    try:
        shell.wait(800)
        said = (tmp_path / "log").read_text()  # before the relay has a word on its own end
    finally:
        # Not the relay alone: the owner, should a command before `lock` have failed.
        subprocess.run([sys.executable, "-m", "chez.cli", "--home", "person", "lock"], cwd=place,
                       capture_output=True, timeout=90, check=False)
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    assert said.endswith("the end\n"), said
    for line in ("batch january: 2 records, 1 line rejected", "1 message sent, 0 queued",
                 "line 3: its field 'kind' is missing", "1 taken, 0 refused"):
        assert line in said, said
    assert re.search(r"12-345\s+home-insurance\s+18\.40?\s*\n12-346\s+bicycle-insurance\s+4\.10?\s*\n", said), said
