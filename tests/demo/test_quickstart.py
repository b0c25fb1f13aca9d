"""The provider's quickstart, run as it stands against real processes."""

import json
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

PAGE = (ROOT / "docs" / "quickstart-provider.md").read_text()
GRANT = "$(sed -n 's/^Run it with: chez job run //p' ../log)"
"""What the page leaves to the reader: the number that the line before printed."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_an_empty_folder_to_the_first_result(tmp_path: Path) -> None:
    """The page's commands, in order and in one shell, end with the job's result in the provider's file."""
    port = str(free_port())
    relay, *rest = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    relay = relay.replace("serve ", f"serve --listen 127.0.0.1:{port} ")
    rest = [block.replace("8787", port).replace("GRANT", GRANT) for block in rest]
    place = tmp_path / "empty"
    place.mkdir()
    with (tmp_path / "log").open("wb") as out:
        shell = subprocess.Popen(
            ["sh", "-c", "\n".join(["set -e", relay, WAIT.replace("PORT", port), *rest, "echo the end"])],
            cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "LANG": "C", "LC_ALL": "C",
                 "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
    try:
        shell.wait(800)
        said = (tmp_path / "log").read_text()  # before the relay has a word on its own end
    finally:
        # Not the relay alone: the owner, should a command before `lock` have failed.
        subprocess.run([sys.executable, "-m", "chez.cli", "--home", "person", "lock"], cwd=place,
                       capture_output=True, timeout=90, check=False)  # fmt: skip
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    assert said.endswith("the end\n"), said
    (line,) = (place / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["result"] == {"watts": 1100} and line in said
