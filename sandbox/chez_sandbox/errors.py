"""Errors of the sandbox itself (not of a job: how a job ends is an `Outcome`).

    SandboxError
    ├── RuntimeMissing     the Python runtime was not built
    ├── BadInput           rows, source or limits can't be handed to a worker
    ├── BadComponent       a component is refused: not WebAssembly, or it imports more than `data`
    ├── NoiseMissing       the library that noises values is not installed
    └── WorkerFailed       the worker process could not be started or broke its protocol
        └── WallsMissing   this system lacks walls that a home requires

Each has `message` and `hint`, like `chez.errors`; it is a tree of its own because the
worker must import nothing of `chez`. Neither holds rows, results or keys.
"""

from typing import ClassVar

__all__ = (
    "BadComponent",
    "BadInput",
    "NoiseMissing",
    "RuntimeMissing",
    "SandboxError",
    "WallsMissing",
    "WorkerFailed",
)


class SandboxError(Exception):
    """The root of the sandbox's errors; `recoverable`: the same call may succeed later."""

    recoverable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message, hint)

    @property
    def code(self) -> str:
        """The error's name for programs."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class RuntimeMissing(SandboxError):
    """The Python runtime was not built."""

    recoverable = True


class BadInput(SandboxError):
    """Rows, source, parameters or limits can't be handed to a worker."""


class BadComponent(SandboxError):
    """A component is refused: it is not one, or it imports more than `data`."""


class NoiseMissing(SandboxError):
    """The library that noises values is not installed."""

    recoverable = True


class WorkerFailed(SandboxError):
    """The worker process could not be started, or broke its protocol."""

    recoverable = True


class WallsMissing(WorkerFailed):
    """This system lacks walls that are required around a worker: no job runs here."""

    recoverable = False
