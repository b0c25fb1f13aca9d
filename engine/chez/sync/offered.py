"""What the person's other devices tell of spaces, taken in: found, led where they are now, or erased."""

from collections.abc import Iterable, Iterator

from chez.errors import BadEntry
from chez.spaces.handover import Deleted, Offer, read_deleted, read_offer, refused, take_offer
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.entry import GONE, SPACE, Inner
from chez.sync.moving import lead

__all__ = ("read_offers", "take_and_lead", "take_offers")


def read_offers(space: SpaceKeys, inner: Inner) -> list[Offer | Deleted]:
    """What an entry says of other spaces, checked. Raises `BadEntry`."""
    offered = [item for item in inner.items if item.kind in (SPACE, GONE)]
    if offered and not space.private:
        # Whoever shares one space with this person must not put another into its home, nor take one out.
        raise BadEntry("the entry hands over a space, or deletes one, which is done in a private one")
    return [read_offer(item.data) if item.kind == SPACE else read_deleted(item.data, space.id) for item in offered]


def take_offers(db: Connection, offers: Iterable[Offer | Deleted], device: bytes, found: list[int], *,
                late: bool) -> Iterator[str]:
    """Keep, lead or bury the spaces that an entry tells of; yields why one of them is not kept.

    The rows of those that are to be opened, or erased, are added to `found`. `device` is this one; `late` as in
    `take_offer`: who was taken out leads no space anywhere.
    """
    for offer in offers:
        reason = refused(db, offer)
        if reason is not None:
            yield reason
            continue
        n = take_and_lead(db, offer, device, late=late)
        if n is not None:
            found.append(n)


def take_and_lead(db: Connection, offer: Offer | Deleted, device: bytes, *, late: bool) -> int | None:
    """As `take_offer`; and a space that is to be opened is where the other device has it."""
    n = take_offer(db, offer, device, late=late)
    if n is not None and isinstance(offer, Offer) and not late:
        lead(db, n, offer)
    return n
