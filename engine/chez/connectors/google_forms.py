"""What Google writes of places and ways: the keys that are read, of three exports of ten years."""

from datetime import datetime

import msgspec

__all__ = (
    "Activity", "ActivitySegment", "Candidate", "Duration", "LatLng", "Location", "Place", "PlaceVisit", "Segment",
    "Stay", "Step", "TimelineObject",
)


class Location(msgspec.Struct):
    """A point, as the phone sent it."""

    latitude: int = msgspec.field(name="latitudeE7")
    longitude: int = msgspec.field(name="longitudeE7")
    ms: int | str = msgspec.field(name="timestampMs", default=0)
    timestamp: datetime | None = None
    device: int = msgspec.field(name="deviceTag", default=0)


class Place(msgspec.Struct):
    """A place of the old timeline."""

    latitude: int | None = msgspec.field(name="latitudeE7", default=None)
    longitude: int | None = msgspec.field(name="longitudeE7", default=None)
    id: str = msgspec.field(name="placeId", default="")
    name: str = ""
    address: str = ""
    kind: str = msgspec.field(name="semanticType", default="")


class Duration(msgspec.Struct):
    """Its times: as text, or, older, in milliseconds."""

    start: datetime | None = msgspec.field(name="startTimestamp", default=None)
    end: datetime | None = msgspec.field(name="endTimestamp", default=None)
    start_ms: int | str = msgspec.field(name="startTimestampMs", default=0)
    end_ms: int | str = msgspec.field(name="endTimestampMs", default=0)


class PlaceVisit(msgspec.Struct):
    """A stay, in the old timeline."""

    location: Place
    duration: Duration


class ActivitySegment(msgspec.Struct):
    """A way, in the old timeline."""

    duration: Duration
    start: Place = msgspec.field(name="startLocation", default_factory=Place)
    end: Place = msgspec.field(name="endLocation", default_factory=Place)
    mode: str = msgspec.field(name="activityType", default="")
    distance: float | None = None


class TimelineObject(msgspec.Struct):
    """One object of the old timeline."""

    visit: PlaceVisit | None = msgspec.field(name="placeVisit", default=None)
    segment: ActivitySegment | None = msgspec.field(name="activitySegment", default=None)


class LatLng(msgspec.Struct):
    """Coordinates as text, under one of two keys."""

    point: str = msgspec.field(name="latLng", default="")
    other: str = msgspec.field(name="LatLng", default="")


class Candidate(msgspec.Struct):
    """What the phone takes a place, or a way, for."""

    id: str = msgspec.field(name="placeId", default="")
    other_id: str = msgspec.field(name="placeID", default="")
    kind: str = msgspec.field(name="semanticType", default="")
    mode: str = msgspec.field(name="type", default="")
    probability: float | str | None = None
    location: LatLng | str = msgspec.field(name="placeLocation", default="")


class Stay(msgspec.Struct):
    """A stay, on the phone."""

    candidate: Candidate = msgspec.field(name="topCandidate")


class Activity(msgspec.Struct):
    """A way, on the phone."""

    start: LatLng | str = ""
    end: LatLng | str = ""
    metres: float | str | None = msgspec.field(name="distanceMeters", default=None)
    candidate: Candidate = msgspec.field(name="topCandidate", default_factory=Candidate)


class Step(msgspec.Struct):
    """A point of a path, on the phone."""

    point: str
    time: datetime | None = None
    minutes: int | str | None = msgspec.field(name="durationMinutesOffsetFromStartTime", default=None)


class Segment(msgspec.Struct):
    """One object of the timeline on the phone."""

    start: str = msgspec.field(name="startTime", default="")
    end: str = msgspec.field(name="endTime", default="")
    offset: int | None = msgspec.field(name="startTimeTimezoneUtcOffsetMinutes", default=None)
    visit: Stay | None = None
    activity: Activity | None = None
    path: list[Step] | None = msgspec.field(name="timelinePath", default=None)
