"""Which relays the spaces of a home are at, and what is known of each: as the store has it, and as the home connects.

The private space is at the home's relay and at those beside it; so are the spaces that have no relay of their own.
While the home is connected to another relay than its own, that one stands in for it.
"""

from collections.abc import Callable

from chez.errors import NotFound
from chez.spaces.space import SpaceKeys
from chez.store.database import Database
from chez.sync.connection import relay_name
from chez.sync.pinning import join

__all__ = ("Routes", "no_relay")


class Routes:
    """The relays of one home; `relay` gives its own."""

    def __init__(self, relay: Callable[[], str | None]) -> None:
        self.at: str | None = None
        """While the home is connected, the relay that it is connected to; None for a home that has none, whose spaces
        are at relays of their own."""
        self.kept: str | None = None
        """The home's relay, as the store had it last."""
        self.only_here: set[str] = set()
        """The relays that are this device's alone: other devices of the person know nothing of them."""
        self._relay = relay
        self._connected = False
        self._beside: list[str] = []
        self._pins: dict[str, tuple[str, ...]] = {}

    async def load(self, database: Database, private: int) -> None:
        """Learn from the store which relays there are; `private` is the row of the private space."""
        rows = await database.read(lambda db: db.execute(
            "SELECT url, beside, pins, here FROM relay ORDER BY n").fetchall())
        self._beside = [url for url, beside, _, _ in rows if beside]
        self._pins = {url: tuple(pins.split(",")) for url, _, pins, _ in rows if pins}
        (self.kept,) = await database.read(lambda db: db.execute(
            "SELECT relay FROM space WHERE n = ?", (private,)).fetchone())
        self.only_here = {url for url, _, _, here in rows if here > 0}

    def begin(self, url: str | None) -> None:
        """The home connects to a relay."""
        self.at, self._connected = url, True

    def end(self) -> None:
        """The home is connected no more."""
        self.at, self._connected = None, False

    def moved(self, former: str | None) -> None:
        """The store may have another relay than the `former` one: who is connected to that goes on at the new one."""
        if self.at == former and self.kept is not None:
            self.at = self.kept

    @property
    def home(self) -> str | None:
        """The home's relay, if it has one."""
        return self._relay()

    def choose(self, url: str | None) -> str:
        """The relay that is named, or else the home's. Raises `NotFound`, `InvalidValue`."""
        chosen = self.choose_any(url)
        if chosen is None:
            raise no_relay()
        return chosen

    def choose_any(self, url: str | None) -> str | None:
        """As `choose`; None for a home that has no relay, of which spaces may be at relays of their own."""
        chosen = url or self._relay()
        if chosen is not None:
            relay_name(chosen)
        return chosen

    def chosen(self) -> tuple[str, tuple[str, ...]]:
        """The home's relay, and the pins that are known of its key. Raises `NotFound`."""
        url = self.choose(None)
        return url, self.pins(url)

    def relay_of(self, space: SpaceKeys) -> str | None:
        """Where a space is kept in step: now, or when the home connects."""
        return next(iter(self.urls_of(space)), None)

    def urls_of(self, space: SpaceKeys) -> list[str]:
        """All the relays where a space is kept in step: its own, or the home's and those beside it."""
        if not space.private and space.relay is not None:
            return [space.relay]
        home = self.at if self._connected else self._relay()
        return [] if home is None else [home, *(url for url in self._beside if url != home)]

    def pins(self, url: str | None) -> tuple[str, ...]:
        """The pins that are known of a relay's key."""
        return self._pins.get(url or "", ())

    def address(self, url: str) -> str:
        """What is dialled to reach a relay: its URL, and the pins that are known of its key."""
        return join(url, self.pins(url))


def no_relay() -> NotFound:
    """What is raised where a relay is needed."""
    return NotFound("no relay is set", "Name one, or set it: `chez relay URL`, in an app `home.set_relay(url)`.")
