"""Coming by an invitation: its link is shown to an owner's device, over the relay, and what that answers is waited for.

The guest's inbox for the answer follows from the device and the link: whoever gave up waiting,
or was killed, finds there what was answered meanwhile.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from chez import crypto
from chez.errors import BadEntry, NotAllowed, NotFound, RelayRefused, RelayUnreachable, Unanswered
from chez.keys.device import DeviceKeys
from chez.spaces.card import Card
from chez.spaces.invitations import InviteLink, Reason, Refusal, Reply, Welcome, seal_request
from chez.sync.connection import RelayConnection, connect, relay_name
from chez.sync.events import InboxArrived
from chez_wire.limits import MAX_INBOX_TTL
from chez_wire.login import Role, inbox_of

__all__ = ("ask",)

DAY: Final = 24 * 3600
PATIENCE: Final = 8.0
"""Seconds for which a relay is asked again that knows of no such invitation."""
FIRST_PAUSE: Final = 0.25
REACHED_WITHIN: Final = 30.0
"""Seconds that a relay has, at least, to take what is asked: the time in which somebody is to answer begins then."""
_REFUSED: Final = {
    Reason.EXPIRED: "it has expired",
    Reason.USED: "it was used by as many as it was made for",
    Reason.REVOKED: "it was revoked",
    Reason.REMOVED: "you left the space, or were taken out, or this device was: an invitation brings nobody back",
}


async def ask(link: InviteLink, address: str, card: Card, device: DeviceKeys, timeout: float, now: int) -> str:
    """Ask to be let in at the relay's address, and wait for the answer: the space link. `now` in Unix milliseconds.

    Raises `NotAllowed` with what was answered, or for an invitation that ended, `NotFound`
    when the relay knows of none, `Unanswered` when what was asked has been at the relay for `timeout` seconds,
    `InvalidValue` for a person of whom too much was said, `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`.
    """
    name = relay_name(link.relay)
    if now >= link.expires:
        ended = datetime.fromtimestamp(link.expires / 1000, UTC)
        raise NotAllowed(f"the invitation to {link.name!r} ended on {ended:%Y-%m-%d}", "Ask for a new one.")
    reply = Reply(crypto.keyed_hash(device.secret("chez/1 invitation reply"), "chez/1 invitation reply", link.seed))
    request = seal_request(link, card, device, reply)
    left = min(MAX_INBOX_TTL, (link.expires - now) // 1000 + DAY)
    asked, loop = False, asyncio.get_running_loop()
    try:
        async with asyncio.timeout(max(timeout, REACHED_WITHIN)) as limit, connect(address) as relay:
            def there() -> None:
                nonlocal asked
                asked = True
                limit.reschedule(loop.time() + timeout)

            return await _ask(relay, link, reply, request, left, min(PATIENCE, timeout / 2), there)
    except TimeoutError:
        if not asked:
            raise RelayUnreachable(f"the relay at {name} did not take what was asked", "Try again.") from None
        raise Unanswered(f"nobody has answered yet who may let you into {link.name!r}",
                         f"What you asked waits at {name}: do the same again later. Who invited you has to be in "
                         "step with the relay once, `chez sync` there does it.") from None


async def _ask(relay: RelayConnection, link: InviteLink, reply: Reply, request: bytes, left: int,
               patience: float, there: Callable[[], None]) -> str:
    inbox = inbox_of(reply.inbox.public)
    await relay.create_inbox(reply.inbox, reply.put.public, left)
    (taking,) = await relay.open([(inbox, Role.TAKE, reply.inbox)])
    if taking.error:
        raise RelayRefused(f"the relay does not open the inbox for the answer ({taking.error})", reason=taking.error)
    await relay.watch(inbox)
    asked = False
    async for event in relay.arrivals():
        if not isinstance(event, InboxArrived):
            raise RelayUnreachable("the relay ended the watch of the inbox for the answer", "Try again.")
        for item in event.items:
            try:
                answer = reply.open(item.item)
            except BadEntry:  # of somebody who found the inbox: there is no other way to it
                continue
            await relay.ack(inbox, event.items[-1].number)
            return _answered(link, answer)
        if not asked:  # nobody had answered before
            asked = True
            await _reach(relay, link, patience)
            await relay.put(link.inbox, request)
            there()
    raise AssertionError("arrivals end by raising")  # pragma: no cover


async def _reach(relay: RelayConnection, link: InviteLink, patience: float) -> None:
    """Find where requests by an invitation go: who made it just now may be about to tell the relay of it."""
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
    until = loop.time() + patience
    while (await relay.open([(link.inbox, Role.PUT, link.put)]))[0].error:
        if loop.time() + pause > until:
            raise _ended(relay.relay, link)
        await asyncio.sleep(pause)
        pause *= 2


def _answered(link: InviteLink, answer: Welcome | Refusal) -> str:
    if isinstance(answer, Refusal):
        raise NotAllowed(f"the invitation to {link.name!r} does not let you in: {_REFUSED[answer.reason]}",
                         "An owner can add you again, by your card: `chez card`." if answer.reason is Reason.REMOVED
                         else "Ask for a new one, or give an owner your card: `chez card`.")
    return answer.link


def _ended(relay: str, link: InviteLink) -> NotFound:
    return NotFound(f"{relay} knows of no such invitation to {link.name!r}",
                    "It has ended, or who made it was not in step with the relay since: ask for `chez sync` there.")
