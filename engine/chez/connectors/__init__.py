"""Connectors bring outside data home: which exist, and which one reads a file.

    for item in read(path): ...        # Found | Reject | Progress

    api.py         what a connector is and promises
    registry.py    which there are, by entry points; which one knows a file
    reading.py     the boundary to a connector's code
    archive.py     zips, bounded
    folders.py     a folder as the zip that it would be
    zipped.py      a zip whose files belong to several connectors
    lines.py, line_blocks.py, cells.py, sgml.py    what several connectors share
    wall.py, worker.py, frames.py, serving.py, walled.py    reading in a process that the system walls in
    kit.py         the acceptance suite that every connector passes
    mapping.py, mapped.py, exploring.py    what no connector knows: looked into, mapped, read
    pieces.py, pages.py, page_blocks.py    what rows there are in its JSON, text and HTML
    linky.py, ...  one module for each format
"""

from collections.abc import Iterator
from pathlib import Path

from chez.connectors.api import (
    HEAD_BYTES,
    ArchiveConnector,
    Connector,
    Found,
    Item,
    Progress,
    Reject,
    Source,
    open_source,
)
from chez.connectors.folders import open_export
from chez.connectors.reading import read_open
from chez.connectors.registry import GROUP, broken, connectors, find, recognise, recognise_open

__all__ = (
    "GROUP", "HEAD_BYTES", "ArchiveConnector", "Connector", "Found", "Item", "Progress", "Reject", "Source", "broken",
    "connectors", "find", "open_export", "open_source", "read", "read_open", "recognise", "recognise_open",
)


def read(path: Path, connector: Connector | None = None) -> Iterator[Item]:
    """Read a file with a connector, by default the one that recognises it, in this very process.

    Raises like `recognise`; also `InvalidValue` when the connector finds that the file
    is not its format, or fails in a way it should not.
    """
    file, source = open_source(path)
    with file:
        yield from read_open(connector or recognise_open(file, source), file, source)
