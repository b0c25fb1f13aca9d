"""Where somebody was, how they got there, and what stands there."""

from datetime import datetime
from typing import ClassVar

import msgspec

__all__ = ("Station", "Trip", "Visit")


class Visit(msgspec.Struct, kw_only=True):
    """A stay at one place.

    <https://schema.org/ArriveAction> and <https://schema.org/DepartAction> at a <https://schema.org/Place>.
    """

    __collection__: ClassVar[str] = "visits"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "place", "start")
    __version__: ClassVar[int] = 1

    service: str
    """Who recorded it: "google", "gpx", ..."""
    place: str
    """The service's id of the place; else "latitude,longitude" with five decimals."""
    start: datetime
    """When it began, UTC."""
    end: datetime | None = None
    """When it ended, UTC."""
    latitude: float | None = None
    """WGS 84, degrees north."""
    longitude: float | None = None
    """WGS 84, degrees east."""
    local: str = ""
    """`start` on the clock of the wall: "2023-10-01T08:00"; empty when the service does not say."""
    offset: int | None = None
    """How far that clock was ahead of UTC, in minutes."""
    name: str = ""
    """What the place is called."""
    address: str = ""
    """Its address, as the service writes it."""
    country: str = ""
    """ISO 3166-1 alpha-2 code."""
    kind: str = ""
    """"home", "work", or what else the service takes the place for."""
    probability: float | None = None
    """How sure the service is, from 0 to 1."""


class Trip(msgspec.Struct, kw_only=True):
    """A way from one place to another, with its track.

    <https://schema.org/TravelAction>; a track of GPX 1.1. Of a long track a part of the points is
    kept (`chez.vocabulary.track`), so that a record stays small; the raw export has the others.
    """

    __collection__: ClassVar[str] = "trips"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "reference")
    __version__: ClassVar[int] = 1

    service: str
    """Who recorded it: "google", "gpx", "apple", ..."""
    reference: str
    """The service's id of the trip; else "row:" with a hash of what the export says of it."""
    start: datetime | None = None
    """When it began, UTC; None when the track has no times."""
    end: datetime | None = None
    """When it ended, UTC."""
    local: str = ""
    """`start` on the clock of the wall, empty when the service does not say."""
    offset: int | None = None
    """How far that clock was ahead of UTC, in minutes."""
    mode: str = ""
    """"walking", "cycling", "bus", "train", "car", ..., lower case; empty when not said."""
    name: str = ""
    """What it is called."""
    metres: float | None = None
    """Length of the way in metres, over all its points."""
    climb: float | None = None
    """Sum of what it goes up, in metres."""
    points: int = 0
    """How many points the export has; `track` may keep fewer."""
    track: str = ""
    """The points kept, in order, parted by blanks: "latitude,longitude" (WGS 84, five decimals), and ",seconds" since
    `start` for those with a time."""
    from_latitude: float | None = None
    """Where it began: WGS 84, degrees north."""
    from_longitude: float | None = None
    """Where it began: WGS 84, degrees east."""
    to_latitude: float | None = None
    """Where it ended: WGS 84, degrees north."""
    to_longitude: float | None = None
    """Where it ended: WGS 84, degrees east."""
    probability: float | None = None
    """How sure the service is of `mode`, from 0 to 1."""


class Station(msgspec.Struct, kw_only=True):
    """A place of a network where vehicles stop or stand: shared bikes, a tram stop, chargers.

    <https://schema.org/CivicStructure>; GBFS 3 `station_information` and `station_status`; GTFS `stops`.
    """

    __collection__: ClassVar[str] = "stations"
    __identity__: ClassVar[tuple[str, ...]] = ("network", "number")
    __version__: ClassVar[int] = 1

    network: str
    """The network: "velov", or the system's id."""
    number: str
    """The network's id of the station."""
    kind: str
    """"bike", "tram", "bus", "metro", "train", "charger", ..."""
    name: str = ""
    """What it is called, without its number."""
    address: str = ""
    """Its address, as the network writes it."""
    latitude: float | None = None
    """WGS 84, degrees north."""
    longitude: float | None = None
    """WGS 84, degrees east."""
    capacity: int | None = None
    """How many vehicles can stand there."""
    vehicles: int | None = None
    """How many could be taken at `at`."""
    docks: int | None = None
    """How many could be brought back at `at`."""
    at: datetime | None = None
    """When `vehicles`, `docks` and `open` were so, UTC."""
    open: bool | None = None
    """Whether it worked at `at`."""
