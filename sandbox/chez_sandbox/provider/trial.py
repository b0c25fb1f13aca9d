"""`chez-job test`: the same job under plain CPython and in the real sandbox, compared."""

import os
import secrets
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec

from chez.errors import StorageFailed
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.scope import granted_tables, too_few_rows
from chez_sandbox.privacy.drawing import draw_from
from chez_sandbox.provider.native import NativeRun, run_native
from chez_sandbox.provider.project import Project
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.host import Runtime

__all__ = ("Trial", "cache_folder", "cache_key", "run_trial")


class Trial(msgspec.Struct, frozen=True):
    """Both runs, and what they read. `native` is None for a component."""

    rows: dict[str, int]
    native: NativeRun | None
    sandbox: Execution

    @property
    def same(self) -> bool:
        """Whether both gave the same JSON, or both gave none."""
        return self.native is None or self.native.value == self.sandbox.run.value

    @property
    def passed(self) -> bool:
        """Whether a result that fits the schema came out, the same in both."""
        return self.same and self.sandbox.admitted is not None


async def run_trial(
    project: Project, samples: Path, today: date, cache: Path, preparing: Callable[[], None], *, watched: bool = False
) -> Trial:
    """Run a job twice on sample data, whose rows and window are cut as the manifest says.

    `preparing` is called when the Python runtime is to be compiled first.
    """
    with open_samples(samples) as home:
        tables = await granted_tables(home, project.manifest, today)
    seed, run_date, native = bytes(32), today.isoformat(), None
    runs = project.manifest.own_schema is not None
    if runs and project.kind == "python" and not too_few_rows(project.manifest, tables):
        parameters = project.manifest.parameters_json
        native = await run_native(
            project.code.decode(), parameters, tables, seed, run_date, seconds=project.manifest.limits.seconds,
            watched=watched,
        )  # fmt: skip
    bundle = Bundle(project.manifest, project.kind, project.manifest_text, project.code, b"")
    async with Runtime(cache, cache_key(cache)) as runtime:
        if project.kind == "python" and not await runtime.is_compiled():
            preparing()
        # The samples are the provider's own: noise may be drawn from them as often as it likes.
        sandbox = await execute(runtime, bundle, tables, seed, run_date, noise=draw_from)
    return Trial({table.name: len(table.rows) for table in tables}, native, sandbox)


def cache_folder() -> Path:
    """Where compiled code is kept: $XDG_CACHE_HOME/chez-job, else ~/.cache/chez-job."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "chez-job"


def cache_key(cache: Path) -> bytes:
    """The secret that protects compiled code, made with the first: native code that others could write would be theirs.

    Raises `StorageFailed`.
    """
    path = cache / "key"
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            key = path.read_bytes()
            if len(key) == 32:
                return key
        except FileNotFoundError:
            pass
        key = secrets.token_bytes(32)
        temporary = path.with_name(f"key.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
        temporary.replace(path)
        return key
    except OSError as error:
        raise StorageFailed(
            f"{cache} can't be used: {error.strerror}", "set XDG_CACHE_HOME to a folder of yours"
        ) from None
