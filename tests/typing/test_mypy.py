"""mypy, as an application's developer runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_programs_are_checked_strictly(tmp_path: Path) -> None:
    """Right programs pass `mypy --strict`, and each mistake in mistakes.py is found."""
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\nwarn_unused_ignores = True\nfollow_untyped_imports = False\n"
                      "[mypy-automerge.*,gpxpy.*,mnemonic.*,mt940.*,ofxtools.*,spake2.*,sqlcipher3.*,vobject.*]\n"
                      "ignore_missing_imports = True\n")
    # The cache of the project's own runs: a second run takes a second.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", ROOT / ".mypy_cache" / "programs",
         *sorted(PROGRAMS.glob("*.py"))],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT / "engine")}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no issues found in 3 source files" in done.stdout
