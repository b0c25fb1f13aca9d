"""Connectors bring outside data home: which exist, and which one reads a file.

    for item in read(path): ...        # Found | Reject | Progress

See `chez.connectors.api` for what a connector is and promises.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from chez.connectors.api import (
    HEAD_BYTES,
    Connector,
    Found,
    Item,
    Progress,
    Reject,
    Source,
    open_source,
)
from chez.errors import ChezError, InvalidValue, NotFound

__all__ = (
    "Connector", "Found", "Item", "Progress", "Reject", "Source", "connectors", "find", "open_source", "read",
    "read_open",
    "recognise",
)

GROUP = "chez.connectors"


def connectors() -> tuple[Connector, ...]:
    """The built-in connectors, then those of installed packages, by name.

    An installed one never replaces a built-in one. Raises `InvalidValue` naming the
    package when one of them fails to load.
    """
    from importlib.metadata import entry_points

    from chez.connectors.household_power import HouseholdPower
    from chez.connectors.linky import Linky
    from chez.connectors.ofx import Ofx
    from chez.connectors.tempo import Tempo

    known: dict[str, Connector] = {c.name: c for c in (Linky(), Tempo(), Ofx(), HouseholdPower())}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            connector: Connector = entry.load()()
            known.setdefault(connector.name, connector)
        except Exception as error:
            raise InvalidValue(f"the connector {entry.name!r} ({entry.value}) does not load: {error}",
                               "Update or uninstall the package that brings it.") from error
    return tuple(known.values())


def find(name: str) -> Connector:
    """The connector of this name. Raises `NotFound` with the names there are."""
    known = connectors()
    for connector in known:
        if connector.name == name:
            return connector
    raise NotFound(f"there is no connector {name!r}", f"Known: {', '.join(c.name for c in known)}.")


def recognise(path: Path) -> Connector:
    """The connector that reads a file.

    Raises `NotFound` (no such file), `StorageFailed` (unreadable) or `InvalidValue` (not
    a file, empty, or of no known format; the formats are named).
    """
    file, source = open_source(path)
    with file:
        return _recognise(file.read(HEAD_BYTES), source)


def _recognise(head: bytes, source: Source) -> Connector:
    known = connectors()
    for connector in known:
        if connector.recognise(head, source.name):
            return connector
    raise InvalidValue(f"{source.name!r} is in no format known here",
                       f"Known: {'; '.join(f'{c.name} ({c.title})' for c in known)}.")


def read(path: Path, connector: Connector | None = None) -> Iterator[Item]:
    """Read a file with a connector, by default the one that recognises it.

    Raises like `recognise`; also `InvalidValue` when the connector finds that the file
    is not its format, or fails in a way it should not.
    """
    file, source = open_source(path)
    with file:
        if connector is None:
            connector = _recognise(file.read(HEAD_BYTES), source)
            file.seek(0)
        yield from read_open(connector, file, source)


def read_open(connector: Connector, file: BinaryIO, source: Source) -> Iterator[Item]:
    """Read an open file with a connector; raises `InvalidValue` when it fails in a way it should not."""
    try:
        yield from connector.read(file, source)
    except (ChezError, GeneratorExit, OSError):
        raise
    except Exception as error:
        # The boundary to code that is not ours: its mistake must not look like the person's.
        raise InvalidValue(f"the connector {connector.name!r} failed on {source.name!r}: "
                           f"{type(error).__name__}") from error
