"""Sending what the journal says must leave: each message to its provider's inbox.

A message is sent on a connection of its own, which names only the provider's inbox, so
that the relay does not see it beside the person's spaces. It is sent until the relay says
it is durable; a repeat is the same bytes with the same sequence, which the provider drops.

Residual (issue 7): a message leaves as soon as the person says so, so *when* it leaves
tells the provider when the job ran. Its size and that there is exactly one tell nothing.
"""

import base64
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from chez import inboxes
from chez.crypto import SigningKey
from chez.errors import ChezError

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = ("Delivery", "deliver")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What `deliver` did: messages sent, messages still waiting, and the last problem in words."""

    sent: int
    waiting: int
    problem: str


async def deliver(home: "Home") -> Delivery:
    """Send every message that is in the journal and not yet at its relay; never raises for a relay."""
    delivered = {(r.body["grant"], r.body["sequence"]) for r in await home.journal.receipts("delivered")}
    departures = [*await home.journal.receipts("release"), *await home.journal.receipts("refusal")]
    sent = waiting = 0
    problem = ""
    for receipt in sorted(departures, key=lambda receipt: receipt.number):
        body = receipt.body
        grant, sequence = body["grant"], body["sequence"]
        if (grant, sequence) in delivered:
            continue
        # The receipt says where to, so that a revoked or damaged grant holds nothing back.
        writer = SigningKey.from_seed(bytes.fromhex(body["inbox_write_seed"]))
        message = base64.b64decode(body["message"])
        try:
            await inboxes.put(home.relays.address(body["relay"]), bytes.fromhex(body["inbox"]), writer, message)
        except ChezError as error:  # one provider's relay must not hold up the others
            waiting, problem = waiting + 1, str(error)
            continue
        sent += await home.transaction(partial(_delivered, grant=grant, sequence=sequence))
    return Delivery(sent, waiting, problem)


def _delivered(transaction: "Transaction", *, grant: str, sequence: int) -> bool:
    """Receipt a delivery, unless another one that went on beside this was first."""
    if transaction.receipts("delivered", grant=grant, sequence=sequence):
        return False
    transaction.receipt("delivered", {"grant": grant, "sequence": sequence})
    return True
