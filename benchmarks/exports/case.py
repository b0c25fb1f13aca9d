"""What is measured of one connector."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.harness import ROOT
from chez.connectors import Connector

__all__ = ("DATA", "Case")

DATA: Final = ROOT / "tests" / "data"


@dataclass(frozen=True, slots=True)
class Case:
    """One connector: a large file made from a real one, its rows, and how the bare library reads them."""

    name: str
    what: str
    peer: str
    make: Callable[[], bytes]
    rows: int
    bare: Callable[[bytes], int]
    connector: Callable[[], Connector] | None = None
    """What reads it, where that is none that is registered."""
    share: float | None = 0.5
    """Of the bare library's speed, what is promised; None where nothing is yet: the figure is told all the same."""
