"""How the spaces and the relays of a home stand, from what keeps them in step; no network in here."""

from collections.abc import Sequence

from chez.errors import RelayRefused
from chez.home.held import Held, HeldSpaces
from chez.home.reports import RelayStatus, SpaceStatus
from chez.home.routes import Routes
from chez.spaces.removals import name_of, removed_by
from chez.spaces.space import SpaceKeys
from chez.sync.link import Link

__all__ = ("Standing",)


class Standing:
    """What is told of the spaces that are `held`, at the relays that `routes` tells, over the links that run."""

    def __init__(self, device: bytes, held: HeldSpaces, routes: Routes, links: Sequence[Link]) -> None:
        self.held = held
        """The spaces."""
        self._device = device
        self._routes = routes
        self._links = links

    def links_of(self, space: SpaceKeys) -> list[Link]:
        """The links that keep a space in step now, that of its first relay first."""
        urls = self._routes.urls_of(space)
        return sorted((link for link in self._links if link.url in urls), key=lambda link: urls.index(link.url))

    def link_of(self, space: SpaceKeys) -> Link | None:
        """Of the links that keep a space in step now, the one that it stands best with."""
        links = self.links_of(space)
        states = ("synced", "syncing", "connecting", "failed")
        return min(links, key=lambda link: states.index(link.status_of(space.id)), default=None)

    def spaces(self) -> list[SpaceStatus]:
        """How each space stands with its relay."""
        return [self.of(held) for held in self.held.all.values()]

    def relays(self) -> list[RelayStatus]:
        """How the connection to each relay stands that spaces of this home are at."""
        if not self._links:
            urls = [url for held in self.held.all.values() for url in self._routes.urls_of(held.space)]
            return [RelayStatus(url, "off", pins=self._routes.pins(url), here=url in self._routes.only_here)
                    for url in dict.fromkeys(urls)]
        return [RelayStatus(link.url, link.status, link.since, self._problem(link), link.next_try,
                            pins=self._routes.pins(link.url), here=link.url in self._routes.only_here)
                for link in self._links if not link.near]

    def kept_at(self) -> dict[str, list[int]]:
        """The spaces that each relay is to have, by their rows."""
        kept: dict[str, list[int]] = {}
        for n, held in list(self.held.all.items()):
            for url in self._routes.urls_of(held.space):
                kept.setdefault(url, []).append(n)
        return kept

    def _problem(self, link: Link) -> str:
        """Why there is no connection, or what keeps a space from being in step there that other relays have as well."""
        if link.error is not None:
            return str(link.error)
        for held in self.held.all.values():
            error = None if held.replica.access.removed else link.problems.get(held.space.id)
            if error is not None and len(self._routes.urls_of(held.space)) > 1:  # else the space itself is told of
                return str(error) if held.space.private else f"space {held.space.name!r}: {error}"
        return self._same_store(link)

    def _same_store(self, link: Link) -> str:
        """What is told of a relay beside the home's that has the store of one before it.

        It is told, and no more: a relay that calls its store by another's name would else part the home from that one.
        """
        urls = self._routes.urls_of(self.held.private.space)
        before = urls[:urls.index(link.url)] if link.url in urls else []
        for other in self._links:
            if other.url in before and link.incarnation and other.incarnation == link.incarnation:
                return (f"it has the same store as {other.url}, so all is kept twice there. Give relays of one store "
                        f"one name, and take this one out: chez relay remove {link.url}")
        return ""

    def of(self, held: Held) -> SpaceStatus:
        """How a space stands with its relay."""
        link, stands = self.link_of(held.space), _part(held, self._device)
        if link is None:
            full = "" if held.replica.room.full is None else str(held.replica.room.full)
            return SpaceStatus(held.id, held.space.name, self._routes.relay_of(held.space), "off", full, *stands)
        error = held.replica.room.full or link.problems.get(held.space.id) or link.error
        each = tuple(RelayStatus(one.url, one.status_of(held.space.id), one.since,
                                 str(one.problems.get(held.space.id) or one.error or ""), one.next_try)
                     for one in self.links_of(held.space))
        if stands[-1] and isinstance(error, RelayRefused) and error.reason == "denied":
            return SpaceStatus(held.id, held.space.name, link.url, "off", "", *stands, each)  # as it should be
        return SpaceStatus(held.id, held.space.name, link.url, link.status_of(held.space.id),
                           held.blobs.problem if error is None else str(error), *stands, each)


def _part(held: Held, device: bytes) -> tuple[bool, str | None, bool, bool]:
    """What `SpaceStatus` says of a space from `removed` on: whether this device still has its part in it; else who said
    that it has not; whether an epoch is owed, whether it left.
    """
    state = held.space.membership.state
    if not held.replica.access.removed:
        return False, None, state.rotation_owed, False
    by, own = removed_by(held.space, device), state.persons_of(device)
    left = by is not None and bool(state.persons_of(by) & own) and not any(state.role(one) for one in own)
    return True, None if by is None else name_of(state, by, own), False, left
