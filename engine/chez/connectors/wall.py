"""What keeps a parser apart: a process that reads one open file and says things on one pipe.

The engine knows no sandbox; whatever can wall a process in offers itself by the entry point
group `chez.walls`, as a `Launch`. The one that comes with Chez is in `chez_sandbox.walled`,
behind the walls of jobs: no file but the one that is open, no network, no other process,
bounded memory and processor time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Final, Protocol

from chez.connectors.api import excerpt
from chez.errors import ChezError, WallMissing

__all__ = ("GROUP", "OWN", "Launch", "Order", "Walled", "find_wall")

GROUP: Final = "chez.walls"

OWN: Final = ("sandbox", "chez_sandbox.walled.launcher:launch")
"""Name and place of the wall of this distribution, as pyproject.toml has it: what an installation knows of a checkout
may be older."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a walled process is to do.

    `target` is "module:function". It is called with `argument`, the file and the pipe's
    descriptor before the walls go up, imports what it will need, and returns a function
    without arguments that is called behind them. `memory` in bytes that may be written.
    """

    target: str
    argument: bytes = field(repr=False)
    file: int
    memory: int
    cpu_seconds: int


class Walled(Protocol):
    """A process behind its walls. It ends when `end` is called, and with this process."""

    walls: tuple[str, ...]

    def read(self, size: int, seconds: float) -> bytes:
        """Up to `size` bytes of what it says, none at its end. Raises `TimeoutError` after so many seconds."""

    def end(self) -> int:
        """Kill it unless it ended; its exit code, negative for a signal. From any thread, and again."""


Launch = Callable[[Order], Walled]
"""Starts a process, and returns when its walls stand. Raises `WallMissing`."""


def find_wall() -> Launch:
    """The wall of this installation: an installed one before that of Chez. Raises `WallMissing` when none loads."""
    from importlib.metadata import entry_points

    offered = sorted((entry for entry in entry_points(group=GROUP) if entry.value != OWN[1]),
                     key=lambda entry: entry.name)
    why = ""
    for entry in (*offered, EntryPoint(*OWN, GROUP)):
        try:
            launch: Launch = entry.load()
            return launch
        except ChezError:
            raise
        except Exception as error:  # the boundary to code that is not ours
            why = f"{entry.name!r} ({entry.value}): {type(error).__name__}: {excerpt(str(error))}"
    raise WallMissing(f"nothing here can wall in the process that reads files: {why}", "Install Chez again.")
