"""The examples' own environment: Textual, matplotlib and Jupyter are 400 MB that nothing else needs."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "examples" / "requirements.lock"
CACHE = ROOT / ".cache" / "examples"


@pytest.fixture(scope="session")
def examples_python() -> Path:
    """A Python that has what examples/requirements.lock names, installed once for each state of that file."""
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + str(CACHE).encode()).hexdigest()
    stamp, python = CACHE / "installed", CACHE / "bin" / "python"
    CACHE.parent.mkdir(exist_ok=True)
    with (CACHE.parent / "examples.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            # Without a pip of its own, which takes as long to put there as all the rest.
            subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", CACHE], check=True)
            # What is imported is compiled then, which is a fraction of what is installed.
            subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-qq",
                            "--disable-pip-version-check", "--require-hashes", "--no-compile", "--only-binary",
                            ":all:", "-r", LOCK], check=True)
            stamp.write_text(wanted)
    return python
