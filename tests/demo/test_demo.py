"""The demo, as a newcomer starts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_plays_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    """Every act and every piece of evidence holds, and the folder it used is gone."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=880, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "Everything above was verified" in done.stdout
    assert list(tmp_path.iterdir()) == []
