"""What somebody did with Google's services: Takeout's "My Activity" in JSON, one file for each service.

What the file does not say, and how it is settled here: what was done has no id, and is told by service, time and what
it says. Its kind is read from the English beginnings of titles ("Searched for ..."); in other languages it stays empty.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import Item, Source
from chez.connectors.checks import utc
from chez.connectors.objects import typed_records
from chez.errors import InvalidValue
from chez.vocabulary import Activity

__all__ = ("GoogleActivity",)

BEGINNING: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s{0,64}\[\s{0,64}\{\s{0,64}"header"\s{0,9}:\s{0,9}"[^"]{0,200}",'
                              rb'\s{0,64}"title"\s{0,9}:')
KINDS: Final = {"Searched": "search", "Visited": "visit", "Viewed": "visit", "Watched": "watch", "Used": "app",
                "Directions": "directions", "Listened": "listen"}
MAX_TEXT: Final = 2048
_EMPTY: Final = hashlib.blake2b(digest_size=16)
# A copy costs a third of a new one.
_encode: Final = msgspec.json.Encoder().encode


class _Entry(msgspec.Struct):
    """One thing that was done."""

    header: str
    title: str
    time: datetime
    link: str = msgspec.field(name="titleUrl", default="")


class GoogleActivity:
    """Reads My Activity into activities."""

    name = "google-activity"
    version = 1
    title = "Google My Activity (Takeout), JSON"
    types = (Activity,)
    example = b'[{"header":"Search","title":"Searched for x","time":"2024-01-31T08:00:00.000Z"}]'

    def recognise(self, head: bytes, name: str) -> bool:
        """A list of objects that begin with a header and a title."""
        return BEGINNING.match(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Activity` for each object. Raises `InvalidValue` when there is none in the file."""
        seen = yield from typed_records(file, _Entry, _record)
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no activity", "Export it again from Google.")


def _record(entry: _Entry) -> Activity:
    at, header, title, link = utc(entry.time), entry.header, entry.title, entry.link
    hashed = _EMPTY.copy()
    # The time as `isoformat` writes it, which takes five times as long.
    hashed.update(_encode((header, f"{_encode(at)[1:-2].decode()}+00:00", title, link)))
    return Activity(
        service="google", reference=f"row:{hashed.hexdigest()}", at=at, kind=KINDS.get(title.partition(" ")[0], ""),
        title=title[:MAX_TEXT], link=link[:MAX_TEXT], product=header[:256])
