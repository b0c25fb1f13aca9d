"""pyright, whose package for npm is plain JavaScript; installed once, held to its lock."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.missing import leave_out

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("pyright")
CACHE = ROOT / ".cache" / "pyright"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def pyright() -> Path:
    """The installed checker; tests are left out where there is no npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        leave_out("there is no node or npm here")
    lock, done = SOURCE / "package-lock.json", CACHE / "installed.lock"
    if not done.exists() or done.read_bytes() != lock.read_bytes():
        CACHE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(SOURCE / name, CACHE / name)
        # Not `npm ci`, which refuses a lock whose optional packages a registry does not list.
        quiet = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
        subprocess.run(["npm", "install", "--no-save", *quiet], cwd=CACHE, check=True, capture_output=True)
        done.write_bytes(lock.read_bytes())
    return CACHE / "node_modules" / "pyright" / "index.js"


def test_programs_are_checked_strictly(pyright: Path, tmp_path: Path) -> None:
    """Right programs pass in strict mode, and each mistake in mistakes.py is found."""
    shutil.copytree(SOURCE.with_name("programs"), tmp_path / "programs")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({
        "include": ["programs"], "extraPaths": [str(ROOT / "engine")], "typeCheckingMode": "strict",
        "pythonVersion": "3.11", "reportUnnecessaryTypeIgnoreComment": True}))
    done = subprocess.run(["node", pyright, "--outputjson", "-p", tmp_path, "--pythonpath", sys.executable],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert [one["message"] for one in found["generalDiagnostics"]] == []
    assert found["summary"]["filesAnalyzed"] == 3 and done.returncode == 0
