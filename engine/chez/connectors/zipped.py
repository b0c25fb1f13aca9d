"""A zip of files that belong to several connectors: each is read by the one that knows it."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import BinaryIO, Final

from chez.connectors.api import Connector, Found, Item, Progress, Reject, Source
from chez.connectors.archive import Archive, is_archive
from chez.connectors.reading import read_open

__all__ = ("NAME", "Zipped")

NAME: Final = "zip"


class Zipped:
    """Reads a zip's members by a plan: which connector, by a member's name.

    `Found.by` says which one it was. Members that nobody knows are rejects.
    """

    name = NAME
    version = 1
    title = "a zip of files in these formats"

    def __init__(self, plan: Mapping[str, Connector]) -> None:
        self.plan = dict(plan)

    def recognise(self, head: bytes, name: str) -> bool:
        """Any zip: made for one that was looked into already."""
        return is_archive(head)

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """All members' items, each with the member's name. Raises `BadArchive`."""
        archive = Archive(file, source.size)
        yield from archive.rejects
        for member in archive.members:
            if (connector := self.plan.get(member.name)) is None:
                yield Reject(1, "no connector knows this file", "", member.name)
                continue
            by = f"{connector.name}/{connector.version}"
            for item in archive.items(member, source, partial(read_open, connector)):
                yield Found(item.record, item.row, item.member, by) if isinstance(item, Found) else item
        yield Progress(source.size)
