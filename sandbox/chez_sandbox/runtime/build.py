"""Builds the Python runtime of jobs, for bin/build-runtime and for the wheel (hatch_build.py).

Its inputs are the WIT, the guest's source and componentize-py's version; their hash is
in the artifact's name, so that what is there already is not built again. Two builds of
the same inputs differ in bytes, fuel and hash order: there is one artifact, and receipts
bind its hash.

Only the standard library is needed, and componentize-py in the running Python: a wheel
is built where nothing else is installed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from chez_sandbox.runtime.artifact import GUEST, WIT, artifact_path

__all__ = ("build", "ensure_artifact")


def ensure_artifact(announce: Callable[[str], None], *, force: bool = False) -> Path:
    """The artifact of the present inputs, built (about 10 s) unless it is there.

    Raises RuntimeMissing without componentize-py, CalledProcessError when it fails.
    """
    target = artifact_path()
    if force or not target.exists():
        announce("Building the Python runtime of jobs (about 10 s, once)...")
        build(target)
    return target


def build(target: Path) -> None:
    """Compiles the guest into `target`, which appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        made = Path(folder) / "python.wasm"
        command = [
            sys.executable, "-c", "import sys, componentize_py; sys.exit(componentize_py.script())",
            "--quiet", "--wit-path", str(WIT), "--world", "python-job",
            "componentize", "--stub-wasi", "--python-path", str(GUEST), "app", "--output", str(made),
        ]  # fmt: skip
        # A VIRTUAL_ENV in the environment would put its packages on the guest's path.
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        subprocess.run(command, check=True, env={**environment, "PYTHONDONTWRITEBYTECODE": "1"}, cwd=folder)
        made.chmod(0o644)
        os.replace(made, target)
    for old in target.parent.glob("python-*.wasm"):
        if old != target:
            old.unlink(missing_ok=True)
