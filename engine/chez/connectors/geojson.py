"""GeoJSON: each feature of a collection, its point as latitude and longitude.

    {"type": "FeatureCollection", "name": "bancs", "features": [
      {"type": "Feature", "id": 7, "properties": {"bois": true},
       "geometry": {"type": "Point", "coordinates": [4.83, 45.76]}}]}

Source: RFC 7946; `name` is what GIS programs write beside it. A feature without an id, or in a collection without a
name, is known by what it says: an id is one within its layer. Other geometries than points are kept as GeoJSON text.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, BinaryIO, ClassVar, Final, Literal

import msgspec

from chez.connectors.api import Found, Item, Reject, Source
from chez.connectors.elements import Element, Named, elements
from chez.connectors.tables import RowKeys
from chez.errors import InvalidValue

__all__ = ("Feature", "GeoJson")

MAX_GEOMETRY: Final = 24 * 1024
"""Bytes of a geometry as text: some thousand corners."""

MAX_PROPERTIES: Final = 128
MAX_TEXT: Final = 4096
"""Bytes of one property; what is nested is text of JSON."""

_sorted = msgspec.json.Encoder(order="sorted")


Plain = str | int | float | bool | None


class Feature(msgspec.Struct, kw_only=True):
    """A thing with a place on earth, and what is said of it (RFC 7946, section 3.2)."""

    __collection__: ClassVar[str] = "features"
    __identity__: ClassVar[tuple[str, ...]] = ("layer", "feature")

    layer: str
    """The collection's name, empty if it has none."""
    feature: str
    """Its id in the layer; else "row:" with a hash of what is said of it."""
    kind: str
    """The geometry's type: "Point", "Polygon", ...; empty without one."""
    latitude: float | None = None
    """Of a point: WGS 84, degrees north."""
    longitude: float | None = None
    """Of a point: WGS 84, degrees east."""
    geometry: str = ""
    """Of all else: the geometry as GeoJSON text."""
    properties: dict[str, Plain] = {}
    """What is said of it, by name."""


class _Point(msgspec.Struct):
    """A point: longitude and latitude, perhaps a height."""

    type: Literal["Point"]
    coordinates: Annotated[list[float], msgspec.Meta(min_length=2, max_length=4)]


class _Marked(msgspec.Struct):
    """A feature as most files have it, a point: `_feature` reads any other one value by value."""

    type: Literal["Feature"]
    geometry: _Point
    id: str | int | None = None
    properties: dict[str, Plain] | None = None


class GeoJson:
    """Reads a feature collection into features."""

    name = "geojson"
    version = 2
    title = "GeoJSON, a collection of features"
    types = (Feature,)
    example = (b'{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"a": "\xc3\xa9"}, '
               b'"geometry": {"type": "Point", "coordinates": [4.8, 45.7]}}]}')

    def recognise(self, head: bytes, name: str) -> bool:
        """An object that says it is a feature collection."""
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        return start.startswith(b"{") and b'"FeatureCollection"' in start[:4096] and b'"features"' in start

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Feature` each. Raises `InvalidValue` for what is no feature collection."""
        layer, keys, known = "", RowKeys(), False
        for one in elements(file, (("features",),), _Marked):
            if isinstance(one, Named):
                known = known or (one.path, one.value) == (("type",), "FeatureCollection")
                if one.path == ("name",) and isinstance(one.value, str):
                    layer = one.value[:200]
            elif isinstance(one, Element):
                known = True
                try:
                    yield Found(_feature(one.value, layer, keys, one.number), one.number)
                except ValueError as error:
                    yield Reject(one.number, str(error), "")
            else:
                yield one
        if not known:
            raise InvalidValue("the file is no collection of features", "It is GeoJSON of another kind, or none.")


def _feature(value: Any, layer: str, keys: RowKeys, number: int) -> Feature:
    id: Any
    latitude: float | None
    longitude: float | None
    if type(value) is _Marked:
        id = value.id
        properties = value.properties or {}
        if not _are_plain(properties):
            properties = _properties(properties)
        kind, text = "Point", ""
        longitude, latitude = _place(*value.geometry.coordinates[:2])
    else:
        if not isinstance(value, dict) or value.get("type") != "Feature":
            raise ValueError("it is no feature")
        id = value.get("id")
        properties = _properties(value.get("properties") or {})
        kind, latitude, longitude, text = _geometry(value.get("geometry"))
    if layer and isinstance(id, str | int) and not isinstance(id, bool) and 0 < len(str(id)) <= 200:
        name = str(id)
        keys.claim([name], number)
    else:
        said = _sorted.encode([properties, kind, latitude, longitude, text, id if isinstance(id, str | int) else None])
        name = keys.name([said.decode()])
    return Feature(layer=layer, feature=name, kind=kind, latitude=latitude, longitude=longitude, geometry=text,
                   properties=properties)


def _are_plain(properties: dict[str, Plain]) -> bool:
    """Whether these are properties that need no second look, as most are."""
    try:
        _check_names(tuple(properties))
    except ValueError:
        return False
    for value in properties.values():
        kind = type(value)
        if kind is str:
            if len(value) > MAX_TEXT // 4 or "\0" in value:  # type: ignore[arg-type, operator]
                return False
        elif kind is int and not -2**63 <= value < 2**63:  # type: ignore[operator]
            return False
    return True


@lru_cache(maxsize=64)  # of few names that are short: what raises is not kept
def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > MAX_PROPERTIES or not all(map(_is_name, names)):
        raise ValueError


def _is_name(name: str) -> bool:
    return bool(name) and name[0] != "_" and len(name) <= 200 and "\0" not in name


def _properties(given: Any) -> dict[str, Plain]:
    if not isinstance(given, dict) or len(given) > MAX_PROPERTIES:
        raise ValueError(f"its properties are no object of at most {MAX_PROPERTIES}")
    found: dict[str, Plain] = {}
    for name, value in given.items():
        if not _is_name(name):
            raise ValueError("a property has a name that no field can have")
        kept = _sorted.encode(value).decode() if isinstance(value, (dict, list)) else value
        if isinstance(kept, str) and (_is_long(kept) or "\0" in kept):
            raise ValueError(f"a property is longer than {MAX_TEXT} bytes, or has a zero byte")
        if isinstance(kept, int) and not -2**63 <= kept < 2**63:
            raise ValueError("a property is a number of more than 64 bits")
        if isinstance(kept, float) and not math.isfinite(kept):
            raise ValueError("a property is no finite number")
        found[name] = kept
    return found


def _is_long(text: str) -> bool:
    return 4 * len(text) > MAX_TEXT and len(text.encode("utf-8", "replace")) > MAX_TEXT


def _geometry(given: Any) -> tuple[str, float | None, float | None, str]:
    """Kind, latitude and longitude of a point, text of what is none."""
    if given is None:
        return "", None, None, ""
    if not isinstance(given, dict) or not isinstance(kind := given.get("type"), str) or len(kind) > 32:
        raise ValueError("its geometry is none")
    if kind != "Point":
        text = _sorted.encode(given).decode()
        if len(text) > MAX_GEOMETRY:
            raise ValueError(f"its geometry has more than {MAX_GEOMETRY} bytes")
        return kind, None, None, text
    place = given.get("coordinates")
    if not isinstance(place, list) or not 2 <= len(place) <= 4 or not all(type(one) in (int, float) for one in place):
        raise ValueError("its point has no two coordinates")
    longitude, latitude = _place(*place[:2])
    return kind, latitude, longitude, ""


def _place(longitude: float, latitude: float) -> tuple[float, float]:
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise ValueError("its point is not on earth, in degrees")
    return float(longitude), float(latitude)  # not before: a whole number may be too large
