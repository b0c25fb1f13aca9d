"""Where the Python runtime of jobs is, and which one: its name is the hash of its inputs."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chez_sandbox.errors import RuntimeMissing

__all__ = ("GUEST", "WIT", "artifact_path", "find_artifact")

_HERE = Path(__file__).resolve().parent
GUEST = _HERE / "guest"
WIT = _HERE.parent / "wit"
_BUILT = _HERE / "_built"


def artifact_path() -> Path:
    """The file that bin/build-runtime makes from the present inputs; it may not exist.

    Raises RuntimeMissing when componentize-py, one of the inputs, is not installed.
    """
    try:
        builder = version("componentize-py")
    except PackageNotFoundError:
        raise RuntimeMissing(
            "The Python runtime can't be built here", "Install the extra `provider` and run bin/build-runtime"
        ) from None
    inputs = hashlib.sha256(f"componentize-py {builder}\n".encode())
    for path in sorted([*WIT.glob("*.wit"), *GUEST.glob("*.py")]):
        content = path.read_bytes()
        inputs.update(f"{path.parent.name}/{path.name} {len(content)}\n".encode())
        inputs.update(content)
    return _BUILT / f"python-{inputs.hexdigest()[:16]}.wasm"


def find_artifact() -> Path:
    """The built runtime: that of the present inputs, or the one a wheel carries.

    Raises RuntimeMissing when there is none.
    """
    built = sorted(_BUILT.glob("python-*.wasm"))
    if len(built) == 1:
        return built[0]
    if built and (path := artifact_path()) in built:
        return path
    raise RuntimeMissing("The Python runtime of jobs was not built", "Run bin/build-runtime (bin/setup does)")
