"""The provider's side of a catalogue: one more signed line in a public space of its home.

A line is composed here, signed by whoever holds the provider's key, and written if it is still the
next one. The journal has a receipt of each, which also keeps this home from writing two lines of one
number, in whichever space. Publish from one device: another does not know these receipts.
"""

import asyncio
from typing import TYPE_CHECKING

from chez.crypto import SigningKey
from chez.errors import NotAllowed
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.grant import MAX_STORED_BUNDLE
from chez_sandbox.job_errors import CatalogueInvalid
from chez_sandbox.offers.feed import COLLECTION, Feed, Line, Offer, next_line, read_feed

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space
    from chez.home.transaction import Transaction

__all__ = ("compose", "feed_of", "publish", "publish_signed")


async def feed_of(space: "Space") -> Feed:
    """The catalogue in a space, verified in a thread: a hostile one takes seconds. Raises `CatalogueInvalid`."""
    records = [record.value async for record in space.collection(COLLECTION)]
    return await asyncio.to_thread(read_feed, records)


async def compose(space: "Space", bundle: Bundle) -> Line | Offer:
    """The line to sign for a bundle, or the offer of exactly this bundle that is there already.

    Raises as `next_line`, and `NotAllowed` for a bundle that nobody could grant.
    """
    if len(bundle.encoded) > MAX_STORED_BUNDLE:
        raise NotAllowed(f"the bundle has {len(bundle.encoded)} bytes", f"at most {MAX_STORED_BUNDLE} can be granted")
    feed = await feed_of(space)
    for offer in feed.newest:
        if offer.line.bundle == bundle.hash:
            return offer
    return next_line(feed, bundle)


async def publish_signed(home: "Home", space: "Space", bundle: Bundle, line: Line, signature: bytes) -> Offer:
    """Write a signed line, durable when this returns.

    Raises `NotAllowed` when it is not the next one any more, `CatalogueInvalid` when it does not verify.
    """
    record = {"line": line.encoded, "signature": signature, "bundle": bundle.encoded}
    before = [one.value async for one in space.collection(COLLECTION)]
    feed = await asyncio.to_thread(read_feed, [*before, record])
    last = feed.offers[-1]
    if last.line != line or last.open().hash != bundle.hash:
        raise CatalogueInvalid("this line is not the catalogue's last one", "compose and sign it again")
    body = {
        "space": space.id,
        "provider": line.provider.hex(),
        "number": line.number,
        "job": line.job,
        "version": line.version,
        "bundle": line.bundle.hex(),
        "line": line.hash.hex(),
    }

    def work(transaction: "Transaction") -> None:
        if any(transaction.receipts("offer-published", provider=key, number=line.number) for key in feed.keys):
            raise NotAllowed(
                f"a line {line.number} was signed here with this key before", "publish again; a key has one catalogue"
            )
        transaction.put(space.collection(COLLECTION), record, id=line.hash.hex())
        transaction.receipt("offer-published", body)

    await home.transaction(work)
    return last


async def publish(home: "Home", space: "Space", bundle: Bundle, key: SigningKey) -> Offer:
    """Offer a bundle in a catalogue, or give the offer of it that is there already.

    Raises as `compose` and `publish_signed`.
    """
    line = await compose(space, bundle)
    if isinstance(line, Offer):
        return line
    return await publish_signed(home, space, bundle, line, line.sign(key))
