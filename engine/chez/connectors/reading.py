"""The boundary to a connector's code, which may be somebody else's."""

from collections.abc import Iterator
from typing import BinaryIO

from chez.connectors.api import Connector, Item, Source
from chez.errors import ChezError, InvalidValue

__all__ = ("read_open",)


def read_open(connector: Connector, file: BinaryIO, source: Source) -> Iterator[Item]:
    """Read an open file with a connector; raises `InvalidValue` when it fails in a way it should not."""
    try:
        yield from connector.read(file, source)
    except (ChezError, GeneratorExit, OSError, MemoryError):
        raise
    except Exception as error:
        # Its mistake must not look like the person's.
        raise InvalidValue(f"the connector {connector.name!r} failed on {source.name!r}: "
                           f"{type(error).__name__}") from error
