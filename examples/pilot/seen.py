"""What each party holds, looked at from outside: whose values are found in whose files.

The values are those of a few people, by source: what the bank has of them, what the energy supplier has, and so on.
They are looked for as they are, in UTF-16, hexadecimal and base64, in every file of a party. A value that two sources
share, that is short, or that is in the programs themselves says nothing, and is left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from examples.demo.search import Search, forms
from examples.pilot.lives import SOURCES, life
from examples.pilot.person import LIVED, Lived
from examples.pilot.plan import ORGANISATIONS, ROOT, SERVICES, PilotFailed, Places, Plan

import chez

__all__ = ("Found", "Needles", "at_home", "hunt", "messages", "needles", "parties")

SHORTEST: Final = 12
"""Characters: a day alone says nothing of anybody."""

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT.*Z")
PIECE: Final = 1 << 22
LONGEST: Final = 1024
"""Bytes of the longest form of a value: pieces of a file overlap by that much."""

_OWN: Final = (ROOT / "relay" / "chez_relay", ROOT / "engine" / "chez_wire", ROOT / "engine" / "chez_durable",
               ROOT / "engine" / "chez" / "store", ROOT / "examples" / "jobs")


@dataclass(frozen=True, slots=True)
class Needles:
    """What is looked for: the texts of each source."""

    people: tuple[int, ...]
    texts: Mapping[str, frozenset[str]] = field(repr=False)

    @property
    def total(self) -> int:
        """Texts in all."""
        return sum(map(len, self.texts.values()))


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at one place: texts by source, and how many bytes were searched."""

    place: str
    bytes: int
    texts: Mapping[str, int]


def needles(plan: Plan) -> Needles:
    """The texts of some of the people, each of one source alone. Raises `PilotFailed` where a source has none."""
    last = plan.people - 1
    people = tuple(sorted({0, min(1, last), last // 3, last * 2 // 3, last}))  # the second has two devices
    texts: dict[str, set[str]] = {source: set() for source in SOURCES}
    for number in people:
        for source in SOURCES:
            texts[source] |= {text for _, record in life(plan, number, source) for text in _texts(record)}
    programs = b"".join(path.read_bytes() for folder in _OWN for path in sorted(folder.rglob("*")) if path.is_file())
    known = set(Search(text.encode() for found in texts.values() for text in found)(programs))
    alone = {}
    for source, mine in texts.items():
        others = set().union(*(found for other, found in texts.items() if other != source))
        alone[source] = frozenset(text for text in mine - others if text.encode() not in known)
        if not alone[source]:
            raise PilotFailed(f"nothing is of {source} alone: there is nothing to look for")
    return Needles(people, alone)


def _texts(record: Mapping[str, Any]) -> Iterator[str]:
    # A home keeps instants in a form of its own; what the clock of the wall said is text.
    yield from (value for value in record.values()
                if isinstance(value, str) and len(value) >= SHORTEST and not _INSTANT.fullmatch(value))


def hunt(place: str, folders: tuple[Path, ...], wanted: Needles) -> Found:
    """Look for the values in every file of some folders."""
    of = {form: (source, text) for source, texts in wanted.texts.items() for text in texts
          for form in forms(text.encode())}
    search = Search(text.encode() for texts in wanted.texts.values() for text in texts)
    size, hits = 0, set[tuple[str, str]]()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                size += path.stat().st_size
                hits |= {of[form] for piece in _pieces(path) for form in search(piece)}
    return Found(place, size, {source: sum(1 for hit in hits if hit[0] == source) for source in SOURCES})


def _pieces(path: Path) -> Iterator[bytes]:
    """A file in pieces, each beginning with the end of the one before."""
    tail = b""
    with path.open("rb") as file:
        while data := file.read(PIECE):
            yield tail + data
            tail = (tail + data)[-LONGEST:]


async def at_home(places: Places, plan: Plan, wanted: Needles) -> Found:
    """The same values, asked of the people's own homes, opened."""
    found, size = {source: set[str]() for source in SOURCES}, 0
    passphrase = places.passphrase.read_text().strip()
    for number in wanted.people:
        # The last device has what the others took: from them it has it by the relay alone.
        async with chez.open(places.homes(number)[-1], passphrase=passphrase) as home:
            for collection in {name for source in SOURCES for name, _ in life(plan, number, source)}:
                rows = await home.sql(f'SELECT * FROM "{collection}"', limit=1_000_000)
                texts = {value for row in rows.rows for value in row if isinstance(value, str)}
                for source, mine in wanted.texts.items():
                    found[source] |= mine & texts
        size += sum(path.stat().st_size for folder in places.homes(number) for path in folder.rglob("*")
                    if path.is_file())
    return Found("the people, in their homes", size, {source: len(texts) for source, texts in found.items()})


def parties(places: Places, wanted: Needles) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Who holds files, beside the people: what each is called, and its folders."""
    yield "their disks, locked", tuple(folder for number in wanted.people for folder in places.homes(number))
    yield "the relay", (places.relay,)
    yield "the city", (places.city,)
    for partner in ORGANISATIONS:
        yield f"the {partner.key}", (places.organisation(partner.key),)
    yield "the services", tuple(places.service(service.job) for service in SERVICES)


def messages(places: Places, wanted: Needles) -> list[bytes]:
    """The sealed messages that left the homes of those people."""
    return [bytes.fromhex(msgspec.json.decode((places.person(number) / LIVED).read_bytes(), type=Lived).message)
            for number in wanted.people]
