"""Sending what the journal says must leave: each message to its provider's inbox, at its time.

A message is sent on a connection of its own, which names only the provider's inbox, so
that the relay does not see it beside the person's spaces. It is sent until the relay says
it is durable; a repeat is the same bytes with the same sequence, which the provider drops.

Before the first attempt a receipt says so ("sending"), in a transaction that looks once more whether
the message is still the run's last word, and its grant is not revoked: so a result is either withdrawn or sent,
whatever races.

Providers choose the relays. One that can't be reached, or says nothing, is left for this time with all that is for it;
what nobody foresaw of one is kept (`reports`), and holds no other up.
"""

import base64
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from chez import inboxes
from chez.agent.reports import FILE_NAME, write
from chez.crypto import SigningKey
from chez.errors import ChezError, RelayUnreachable
from chez_sandbox.consent.catalogue import Phrase
from chez_sandbox.consent.leaving import Leaving, leavings
from chez_sandbox.consent.run import withdraw_if_revoked, withdraw_revoked

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = ("Delivery", "deliver")


class Delivery(msgspec.Struct, frozen=True):
    """What `deliver` did: messages sent, those that could not be, and the last problem in words.

    `held` are those whose time has not come, `next` is when the first of them leaves.
    """

    sent: int
    waiting: int
    problem: str
    held: int
    next: datetime | None


async def deliver(home: "Home", now: datetime) -> Delivery:
    """Send every message in the journal whose time has come and that no relay has yet; never raises for a relay.

    What is still here of a revoked grant's results leaves as "none".
    """
    await withdraw_revoked(home)
    due, held = await home.transaction(partial(_due, now=now))
    sent = waiting = 0
    problem, away = "", set[str]()
    for waits in due:
        if waits.receipt.body["relay"] in away:
            waiting += 1
            continue
        leaving = await home.transaction(partial(_begin, home=home, run=waits.run))
        if leaving is None:
            continue
        body = leaving.receipt.body
        # The receipt says where to, so that a revoked or damaged grant holds no message back.
        writer = SigningKey.from_seed(bytes.fromhex(body["inbox_write_seed"]))
        message = base64.b64decode(body["message"])
        try:
            await inboxes.put(home.relays.address(body["relay"]), bytes.fromhex(body["inbox"]), writer, message)
        except ChezError as error:  # one provider's relay must not hold up the others
            waiting, problem = waiting + 1, str(error)
            if isinstance(error, RelayUnreachable):
                away.add(body["relay"])
            continue
        except Exception as error:  # nor must what nobody foresaw
            write(home.path, error, now.isoformat())
            waiting, problem = waiting + 1, Phrase("pending.unexpected", kind=type(error).__name__, file=FILE_NAME)
            continue
        grant, sequence = leaving.run
        sent += await home.transaction(partial(_delivered, grant=grant, sequence=sequence))
    return Delivery(sent, waiting, problem, len(held), min((one.leaves for one in held), default=None))


def _due(transaction: "Transaction", *, now: datetime) -> tuple[list[Leaving], list[Leaving]]:
    """What is to be sent now, and what later. What was begun is gone on with, also when the clock went back."""
    due: list[Leaving] = []
    held: list[Leaving] = []
    for leaving in leavings(transaction):
        if not leaving.delivered and leaving.receipt.body["message"]:
            (due if leaving.sending or leaving.leaves <= now else held).append(leaving)
    # Not in the order in which they were made: what was withdrawn was made again, and would come last.
    return sorted(due, key=lambda one: (one.leaves, one.run)), held


def _begin(transaction: "Transaction", *, home: "Home", run: tuple[str, int]) -> Leaving | None:
    """A run's last word, of which is receipted that it may have left from now on; None where there is nothing to send.

    Those before it took their time, and meanwhile it may have been withdrawn, or revoked on another device: then it is
    a "none".
    """
    grant, sequence = run
    (last,) = leavings(transaction, grant=grant, sequence=sequence)
    if last.may_be_withdrawn and withdraw_if_revoked(home, transaction, grant):
        (last,) = leavings(transaction, grant=grant, sequence=sequence)
    if last.delivered or not last.receipt.body["message"]:
        return None
    if not last.sending:
        transaction.receipt("sending", {"grant": grant, "sequence": sequence})
    return last


def _delivered(transaction: "Transaction", *, grant: str, sequence: int) -> bool:
    """Receipt a delivery, unless another one that went on beside this was first."""
    if transaction.receipts("delivered", grant=grant, sequence=sequence):
        return False
    transaction.receipt("delivered", {"grant": grant, "sequence": sequence})
    return True
