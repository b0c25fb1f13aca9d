"""What the person's other devices tell of spaces, taken in: found, led where they are now, or erased."""

from collections.abc import Iterable, Iterator

from chez.spaces.handover import Deleted, Offer, refused, take_offer
from chez.store.database import Connection
from chez.sync.moving import lead

__all__ = ("take_offers",)


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
        n = take_offer(db, offer, device, late=late)
        if n is not None:
            if isinstance(offer, Offer) and not late:
                lead(db, n, offer)
            found.append(n)
