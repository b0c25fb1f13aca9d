"""What a home says of itself: its collections, how it stands, what a sync did."""

from dataclasses import dataclass

__all__ = ("CollectionInfo", "HomeStatus", "SyncReport")


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection's name and how many records it has."""

    name: str
    records: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did: entries sent and received, and the relay's last offset.

    `quarantined` entries failed a check and were set aside; `reset` says that the
    relay's store was another than last time, so that everything was sent again.
    """

    relay: str
    sent: int
    received: int
    quarantined: int
    offset: int
    reset: bool


@dataclass(frozen=True, slots=True)
class HomeStatus:
    """How a home stands: records, changes not yet acknowledged by a relay, what was set aside.

    `attachments` counts those that are whole here and not at a relay yet; `removed` says that
    another device of the person has taken this one out.
    """

    records: int
    pending: int
    quarantined: int
    relay: str | None
    offset: int
    link: str
    devices: tuple[str, ...]
    attachments: int = 0
    removed: bool = False
