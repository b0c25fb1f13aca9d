"""A disk that fills up under an open home: writes fail with a reason, and nothing else is lost.

Two ways, each in a process of its own (`filling.py` has what is asserted). The real one is a
small tmpfs, mounted in a mount namespace that goes with the process; it needs a kernel that
lets us make one. The limit on the size of files (RLIMIT_FSIZE, with SIGXFSZ ignored) works
everywhere and goes another way through SQLite: write() fails with EFBIG, which SQLite calls
an I/O error, where ENOSPC is its "full".
"""

import subprocess
import sys
from pathlib import Path

from tests.home.filling import DISK
from tests.missing import leave_out

ROOT = Path(__file__).resolve().parents[2]


MOUNT = f'mount -t tmpfs -o size={DISK} none "$1" && shift && exec "$@"'
"""For a shell: make its first argument a small disk, then become the program in the others."""


def small_disk(folder: Path) -> list[str]:
    """What to write before a command so that `folder` is a small disk for it, and for nobody else."""
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", str(folder)]


def fill(folder: Path, how: str, *before: str) -> None:
    """Run the app; it ends with a traceback if something it asserts does not hold."""
    words = [*before, sys.executable, "-m", "tests.home.filling", str(folder), how]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


def test_a_full_disk(tmp_path: Path) -> None:
    """Writes raise StorageFailed and reads go on; after room was made, writing does too, open or reopened."""
    disk = small_disk(tmp_path)
    try:
        possible = subprocess.run([*disk, "true"], capture_output=True, text=True, timeout=90)
    except FileNotFoundError:
        leave_out("there is no unshare here")
    if possible.returncode != 0:
        leave_out(f"no disk can be mounted here: {possible.stderr.strip()}")
    fill(tmp_path, "disk", *disk)
    assert list(tmp_path.iterdir()) == []  # all of it was on that disk


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """When the system refuses to let a file grow, the same holds: a typed error, no loss, and writing goes on later."""
    fill(tmp_path, "limit")
