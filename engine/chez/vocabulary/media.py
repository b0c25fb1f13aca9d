"""What was watched, listened to, read and looked for."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

import msgspec

__all__ = ("Activity", "Viewing")


class Viewing(msgspec.Struct, kw_only=True):
    """A film, an episode, a piece of music or a book that was bought, lent or played.

    <https://schema.org/WatchAction>, <https://schema.org/ListenAction>.
    """

    __collection__: ClassVar[str] = "viewings"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "reference")
    __version__: ClassVar[int] = 1

    service: str
    """Who offered it, as it calls itself in its exports."""
    reference: str
    """The service's number of the order or play; else "row:" with a hash of what the export says of it."""
    at: datetime
    """When, UTC."""
    work: str = ""
    """The service's id of the work."""
    title: str = ""
    """What the work is called, when the export says it."""
    kind: str = ""
    """"video", "music", "book", "game"; empty when not said."""
    seconds: float | None = None
    """How long it was played, in seconds."""
    price: Decimal | None = None
    """What was paid for it, in `currency`, taxes included; 0 for what a subscription covers."""
    currency: str | None = None
    """ISO 4217 code of `price`."""
    status: str = ""
    """What the service says became of it, in its words."""


class Activity(msgspec.Struct, kw_only=True):
    """Something else that a service remembers the person for: a search, a page opened, an app allowed.

    <https://schema.org/Action>.
    """

    __collection__: ClassVar[str] = "activities"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "reference")
    __version__: ClassVar[int] = 1

    service: str
    """"google", "twitter", ..."""
    reference: str
    """The service's id of it; else "row:" with a hash of what the export says of it."""
    kind: str = ""
    """"search", "visit", "app", ..., lower case; empty when not said."""
    at: datetime | None = None
    """When, UTC; None when the export does not say."""
    title: str = ""
    """What, in the service's words."""
    link: str = ""
    """Where it leads."""
    product: str = ""
    """The part of the service: "Maps", "Search"."""
