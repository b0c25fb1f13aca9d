"""Stations of shared bikes: GBFS files, and the list of stations that JCDecaux publishes for each of its cities.

    {"last_updated": 1640887163, "ttl": 60, "version": "2.3", "data": {"stations": [
      {"station_id": "2010", "name": "Confluence", "lat": 45.74, "lon": 4.81, "capacity": 20}]}}

    [{"number": 2010, "name": "02010 - CONFLUENCE DARSE", "address": "...", "latitude": 45.74, "longitude": 4.81}]

`station_information` (and JCDecaux's list) become stations, `station_status` becomes what was free when. Versions 1 to
3 differ in names (`num_bikes_available`, `num_vehicles_available`), in truth values that are 0 and 1, in times that
are text, and in names that are a list of translations. Source: GBFS 2.3 and 3.0, MobilityData.

A GBFS file does not say of which network it is: `network` is the part of the file's name before `station_` there, and
the file's name for JCDecaux, whose files are called by the contract ("Lyon.json"). A number stands before its
station's name, often with zeros in front: it is left out of the name.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Any, BinaryIO, ClassVar, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Reject, Source
from chez.connectors.elements import Element, Named, elements
from chez.connectors.tables import RowKeys, slug
from chez.errors import InvalidValue
from chez.vocabulary import Station

__all__ = ("Gbfs", "StationStatus")

MAX_TEXT: Final = 500
_NO_ID: Final = "the station has no id"
_NO_TEXT: Final = f"its name or address is no text of at most {MAX_TEXT} characters"
_NUMBERED: Final = re.compile(r"0*(\d{1,9})\s*-\s*(.+)", re.ASCII | re.DOTALL)


class StationStatus(msgspec.Struct, kw_only=True):
    """What was free at a station when it last told: the newest word of each (GBFS `station_status`)."""

    __collection__: ClassVar[str] = "station_status"
    __identity__: ClassVar[tuple[str, ...]] = ("network", "number")

    network: str
    """As in `Station`."""
    number: str
    """The station's id, as in `Station`."""
    vehicles: int | None = None
    """How many could be taken."""
    docks: int | None = None
    """How many could be brought back."""
    open: bool | None = None
    """Whether vehicles were rented out."""
    at: datetime | None = None
    """When that was so, UTC."""


class _Never(msgspec.Struct):
    """What stands under no key of a station of which only the place is told."""

    never: Annotated[int, msgspec.Meta(lt=0, gt=0)]


_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class _Placed(msgspec.Struct):
    """A station as most files have it, in GBFS's words: `_record` reads any other one, and says what is wrong."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = msgspec.field(name="station_id")
    name: _Text
    address: _Text | None = None
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = msgspec.field(name="lat", default=None)
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = msgspec.field(name="lon", default=None)
    capacity: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = None
    number: _Never | msgspec.UnsetType = msgspec.UNSET
    bikes: None = msgspec.field(name="num_bikes_available", default=None)
    vehicles: None = msgspec.field(name="num_vehicles_available", default=None)
    docks: _Never | msgspec.UnsetType = msgspec.field(name="num_docks_available", default=msgspec.UNSET)


class Gbfs:
    """Reads stations of shared bikes."""

    name = "gbfs"
    version = 2
    title = "stations of shared bikes: GBFS station_information or station_status, JCDecaux's list"
    types = (Station, StationStatus)
    example = b'{"last_updated": 1, "data": {"stations": [{"station_id": "1", "name": "\xc3\xa9", "lat": 1.5}]}}'

    def recognise(self, head: bytes, name: str) -> bool:
        """A list of stations in GBFS's words, or in JCDecaux's."""
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if start.startswith(b"{"):
            return b'"stations"' in start and b'"station_id"' in start
        words = (b'"number"', b'"latitude"', b'"address"')
        return start.startswith(b"[") and all(word in start[:2000] for word in words)

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Station` or `StationStatus` each. Raises `InvalidValue` for what lists no stations."""
        stem = PurePath(source.name).stem
        system, keys, known, told = stem.partition("station_")[0].rstrip("_-"), RowKeys(), False, None
        network, contract = slug(system, "gbfs"), slug(stem, "jcdecaux")
        for one in elements(file, ((), ("data", "stations")), _Placed):
            if isinstance(one, Named):
                known = known or one.path in (("last_updated",), ("ttl",))
                told = one.value if one.path == ("last_updated",) else told
            elif isinstance(one, Element):
                known = True
                try:
                    value = one.value
                    record = (_placed(value, network) if type(value) is _Placed
                              else _record(value, network, contract, told))
                    keys.claim([record.number], one.number)
                    yield Found(record, one.number)
                except ValueError as error:
                    yield Reject(one.number, str(error), "")
            else:
                yield one
        if not known:
            raise InvalidValue("the file lists no stations", "Take station_information.json or station_status.json.")


def _placed(value: _Placed, system: str) -> Station:
    number, name, address = value.id, value.name, value.address or ""
    if not number.isprintable():
        raise ValueError(_NO_ID)
    if "\0" in name or "\0" in address:
        raise ValueError(_NO_TEXT)
    return Station(network=system, number=number, kind="bike", name=_unnumbered(name.strip(), number),
                   address=address.strip(), latitude=value.latitude, longitude=value.longitude, capacity=value.capacity)


def _record(value: Any, system: str, contract: str, told: Any) -> Station | StationStatus:
    if not isinstance(value, dict):
        raise ValueError("it is no station")
    if "number" in value:
        number = _id(value["number"])
        return Station(network=contract, number=number, kind="bike", name=_name(value.get("name"), number),
                       address=_text(value.get("address")), latitude=_degrees(value.get("latitude"), 90),
                       longitude=_degrees(value.get("longitude"), 180))
    number = _id(value.get("station_id"))
    vehicles = value.get("num_bikes_available", value.get("num_vehicles_available"))
    if vehicles is not None or "num_docks_available" in value:
        return StationStatus(network=system, number=number, vehicles=_count(vehicles),
                             docks=_count(value.get("num_docks_available")), open=_truth(value.get("is_renting")),
                             at=_instant(value.get("last_reported", told)))
    return Station(network=system, number=number, kind="bike", name=_name(value.get("name"), number),
                   address=_text(value.get("address")), latitude=_degrees(value.get("lat"), 90),
                   longitude=_degrees(value.get("lon"), 180), capacity=_count(value.get("capacity")))


def _id(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not 1 <= len(text) <= 100 or not text.isprintable():
        raise ValueError(_NO_ID)
    return text


def _text(value: Any) -> str:
    if isinstance(value, list):  # GBFS 3: one for each language
        value = next((one.get("text") for one in value if isinstance(one, dict)), None)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise ValueError(_NO_TEXT)
    return value.strip()


def _name(value: Any, number: str) -> str:
    return _unnumbered(_text(value), number)


def _unnumbered(text: str, number: str) -> str:
    if not text[:1].isdecimal():
        return text
    found = _NUMBERED.fullmatch(text)
    return found[2].strip() if found is not None and found[1] == number.lstrip("0") else text


def _degrees(value: Any, most: float) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not -most <= value <= most:
        raise ValueError("its place is not on earth, in degrees")
    return float(value)


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= 100_000:
        raise ValueError("a number of vehicles or docks is none")
    return value


def _truth(value: Any) -> bool | None:
    if value is not None and value not in (0, 1):  # 1.x has 0 and 1
        raise ValueError("whether it rents out is neither true nor false")
    return None if value is None else bool(value)


def _instant(value: Any) -> datetime | None:
    """Unix seconds, or in GBFS 3 a time of RFC 3339."""
    if value is None:
        return None
    try:
        if isinstance(value, str) and len(value) <= 40:
            found = datetime.fromisoformat(value)
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        elif type(value) in (int, float):
            found = datetime.fromtimestamp(value, UTC)
        else:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise ValueError("the time at which it was so is none") from None
    if not MIN_YEAR < found.year < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    return found
