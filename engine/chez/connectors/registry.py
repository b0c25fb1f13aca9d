"""Which connectors there are, and which one reads a file.

They are found by entry points of the group `chez.connectors`: `name = "module:callable"`,
the callable without arguments giving a `Connector`. Those that come with Chez are entry
points like any other, in pyproject.toml and in `BUILT_IN`: what an installation knows of
a checkout is as old as the last `bin/setup`, and a checkout must not lack its own parts.
A package that fails to load, or whose `recognise` raises, hinders no other.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import HEAD_BYTES, Connector, Reject, Source, excerpt, open_source
from chez.connectors.archive import Archive, is_archive
from chez.connectors.zipped import Zipped
from chez.errors import BadArchive, InvalidValue, NotFound

__all__ = (
    "BUILT_IN", "GROUP", "Broken", "Registered", "broken", "connectors", "find", "load", "recognise", "recognise_open",
    "registered",
)

UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
"""How UTF-16 text begins, which spreadsheets call Unicode text."""

UNREAD_SHOWN: Final = 3
"""Files of a zip of which it is said why they are not read."""

GROUP: Final = "chez.connectors"

BUILT_IN: Final = (
    ("linky", "chez.connectors.linky:Linky"),
    ("tempo", "chez.connectors.tempo:Tempo"),
    ("ofx", "chez.connectors.ofx:Ofx"),
    ("household-power", "chez.connectors.household_power:HouseholdPower"),
    ("camt", "chez.connectors.camt:Camt"),
    ("mt940", "chez.connectors.mt940:Mt940"),
    ("caisse-epargne", "chez.connectors.caisse_epargne:CaisseEpargne"),
    ("mesinfos", "chez.connectors.mesinfos:MesInfos"),
    ("green-button", "chez.connectors.green_button:GreenButton"),
    ("geojson", "chez.connectors.geojson:GeoJson"),
    ("gbfs", "chez.connectors.gbfs:Gbfs"),
    ("gtfs", "chez.connectors.gtfs:Gtfs"),
    ("icalendar", "chez.connectors.icalendar:ICalendar"),
    ("vcard", "chez.connectors.vcard:VCard"),
    ("gpx", "chez.connectors.gpx:Gpx"),
    ("twitter", "chez.connectors.twitter:Twitter"),
    ("mail", "chez.connectors.mail:Mail"),
    ("apple-health", "chez.connectors.apple_health:AppleHealth"),
    ("google-location", "chez.connectors.google_location:GoogleLocation"),
    ("google-activity", "chez.connectors.google_activity:GoogleActivity"),
    ("school-holidays", "chez.connectors.school_holidays:SchoolHolidays"),
)
"""Name and place of each connector that comes with Chez, in the order in which they are asked."""


class Registered(msgspec.Struct, frozen=True):
    """A connector, and where it is: "module:callable"."""

    connector: Connector
    place: str


class Broken(msgspec.Struct, frozen=True):
    """An entry point that gives no connector, and why."""

    name: str
    place: str
    reason: str

    def __str__(self) -> str:
        return f"the connector {self.name!r} ({self.place}) does not load: {self.reason}"


def registered() -> tuple[Registered, ...]:
    """The connectors that load, built-in ones first, then those of installed packages by name.

    An installed one never replaces a built-in one, nor one before it.
    """
    return _look()[0]


def connectors() -> tuple[Connector, ...]:
    """The connectors that load, in the order in which they are asked."""
    return tuple(one.connector for one in registered())


def broken() -> tuple[Broken, ...]:
    """Entry points of installed packages that give no connector."""
    return _look()[1]


def _look() -> tuple[tuple[Registered, ...], tuple[Broken, ...]]:
    known: dict[str, Registered] = {}
    failed: list[Broken] = []
    for name, place in _entries():
        try:
            connector = load(place)
            if not (isinstance(connector.name, str) and connector.name.isprintable()
                    and isinstance(connector.version, int) and isinstance(connector.title, str)):
                raise TypeError("its name, version or title is none")
            known.setdefault(connector.name, Registered(connector, place))
        except Exception as error:  # the boundary to code that is not ours
            failed.append(Broken(name, place, f"{type(error).__name__}: {excerpt(str(error))}"))
    return tuple(known.values()), tuple(failed)


def load(place: str, configuration: bytes = b"") -> Connector:
    """The connector that is at "module:callable", made of its configuration if it has one.

    Raises whatever the package raises.
    """
    module, _, path = place.partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    connector: Connector = found(configuration) if configuration else found()
    return connector


def _entries() -> Iterator[tuple[str, str]]:
    # Not at the top: half of what starting a walled reader would take, which needs none of it.
    from importlib.metadata import entry_points

    yield from BUILT_IN
    own = {place for _, place in BUILT_IN}
    yield from sorted((entry.name, entry.value) for entry in entry_points(group=GROUP) if entry.value not in own)


def find(name: str) -> Connector:
    """The connector of this name. Raises `NotFound` with the names there are, and what is broken."""
    known, failed = _look()
    for one in known:
        if one.connector.name == name:
            return one.connector
    hint = " ".join([f"Known: {', '.join(one.connector.name for one in known)}.", *_complaints(failed)])
    raise NotFound(f"there is no connector {name!r}", hint)


def recognise(path: Path) -> Connector:
    """The connector that reads a file; of a zip, the one that knows it whole, else a `Zipped`.

    Raises `NotFound` (no such file), `StorageFailed` (unreadable), `BadArchive` (a zip that
    can't be read) or `InvalidValue` (not a file, empty, or of no known format; the connectors
    that there are and those that are broken are named).
    """
    file, source = open_source(path)
    with file:
        return recognise_open(file, source)


def recognise_open(file: BinaryIO, source: Source) -> Connector:
    """The same for an open file, which is at its beginning again afterwards."""
    known, failed = _look()
    ours = tuple(one.connector for one in known)
    head = file.read(HEAD_BYTES)
    chosen = _asked(ours, head, source.name)
    unread: Sequence[Reject] = ()
    if chosen is None and is_archive(head):
        chosen, unread = _of_archive(ours, file, source)
    file.seek(0)
    if chosen is None:
        hint = [*(["Save it as UTF-8."] if head.startswith(UTF_16) else []),
                f"Known (chez import --formats): {', '.join(one.name for one in ours)}.",
                "Of any other export, chez import --explore shows what is in it.",
                *_complaints(failed)]
        raise InvalidValue(_unknown(source.name, head, unread), " ".join(hint))
    return chosen


def _unknown(name: str, head: bytes, unread: Sequence[Reject]) -> str:
    if head.startswith(UTF_16):
        return f"{name!r} is UTF-16 text, as no format known here is"
    if not is_archive(head):
        return f"{name!r} is in no format known here"
    said = f"{name!r} has no file in a format known here"
    if unread:
        # Which is why, most often: all of it is encrypted, say.
        said += f"; not looked into: {', '.join(f'{one.member!r} ({one.reason})' for one in unread[:UNREAD_SHOWN])}"
    return said if len(unread) <= UNREAD_SHOWN else f"{said}, and {len(unread) - UNREAD_SHOWN:,} more"


def _complaints(failed: Sequence[Broken]) -> list[str]:
    return [f"Left out: {one}." for one in failed]


def _asked(known: Sequence[Connector], head: bytes, name: str) -> Connector | None:
    for connector in known:
        try:
            if connector.recognise(head, name):
                return connector
        except Exception:  # one that raises does not know the file
            continue
    return None


def _of_archive(known: Sequence[Connector], file: BinaryIO,
                source: Source) -> tuple[Connector | None, Sequence[Reject]]:
    """Who reads a zip: one that knows its names, or those that know its members by their heads; what nobody can."""
    archive = Archive(file, source.size)
    names = [member.name for member in archive.members]
    for connector in known:
        try:
            if getattr(connector, "recognise_members", lambda names: False)(names):
                return connector, ()
        except Exception:  # the boundary to code that is not ours
            continue
    plan: dict[str, Connector] = {}
    broken: list[Reject] = []
    for name in names:
        try:
            with archive.open(name) as member:
                head = member.read(HEAD_BYTES)
        except BadArchive as error:
            broken.append(Reject(1, error.message, "", name))
            continue
        if not is_archive(head) and (chosen := _asked(known, head, name.rpartition("/")[2])) is not None:
            plan[name] = chosen
    return (Zipped(plan) if plan else None), (*archive.rejects, *broken)
