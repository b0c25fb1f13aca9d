"""Who types a code: the exchange with whoever shows it, over the code's two inboxes.

A code's first message waits for whoever types it, who takes it out; where there is none, the code was typed already.

The side that shows the code takes what is sent to it out of its inbox as soon as it sees it, long
before a person has said yes. So who finds its own message there after a while knows that
nobody waits for it any more: a device that went away, or was killed, can't say so.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from chez import crypto, inboxes
from chez.errors import ChezError, NotAllowed, NotFound, RelayRefused
from chez.sync.codes import Purpose, mailbox

__all__ = ("UNREAD_SECONDS", "type_code")

UNREAD_SECONDS: Final = 30.0
"""After so long somebody who waits has taken out what was sent, over the slowest line that can sync at all."""

LOOK_SECONDS: Final = 10.0

FIRST_SECONDS: Final = 30.0
"""The first message lies there before a code is shown: after so long nobody left one, or somebody took it."""

T = TypeVar("T")


async def type_code(code: str, purpose: Purpose, url: str, reply: Callable[[bytes], bytes],
                    last: Callable[[bytes], T | None], seconds: float, wrong: str) -> T:
    """Answer the first message of who shows a code by `reply`, and give what `last` makes of the second, which may
    come in several items: it gives None of each but the last one.

    `wrong` tells what a code may be that the relay does not know. Raises what the two raise, `NotAllowed` when
    nobody waits for the code any more or nothing came within `seconds`, `NotFound`, `RelayUnreachable`, `RelayRefused`.
    """
    to_us, _ = mailbox(code, True, purpose)
    to_them, their_box = mailbox(code, False, purpose)
    sent = b""
    looking: asyncio.Task[bool] | None = None
    try:
        async with asyncio.timeout(seconds) as limit, inboxes.watch(url, to_us) as items:
            now = asyncio.get_running_loop().time()
            limit.reschedule(now + min(seconds, FIRST_SECONDS))
            async for item in items:
                limit.reschedule(now + seconds)
                await items.ack(item.number)
                if sent:
                    if (found := last(item.item)) is not None:
                        return found
                    continue
                sent = reply(item.item)
                await inboxes.put(url, their_box, to_them, sent)
                looking = asyncio.create_task(_unread(url, to_them, sent, limit))
    except TimeoutError:
        if not sent and seconds > FIRST_SECONDS:
            raise NotAllowed("nothing waits for this code: it was typed before, here or by somebody else",
                             "Ask for a new code, and tell who shows it if it was not you.") from None
        if looking is not None and looking.done() and not looking.cancelled() and looking.result():
            raise NotAllowed("nobody waits for this code any more: the device that showed it gave up, or is off",
                             "Ask for a new code there.") from None
    except RelayRefused as error:
        if error.reason != "unknown":
            raise
        raise NotFound("the relay knows of no such code", wrong) from None
    finally:
        if looking is not None:
            looking.cancel()
    raise NotAllowed("the other side did not answer in ten minutes", "Ask for a new code there.")


async def _unread(url: str, box: crypto.SigningKey, sent: bytes, limit: asyncio.Timeout) -> bool:
    """Whether what was sent lies in the other side's inbox still, after a while; then the wait is over."""
    await asyncio.sleep(UNREAD_SECONDS)
    unread = False
    with suppress(ChezError, TimeoutError):  # then the rest of the time tells
        async with asyncio.timeout(LOOK_SECONDS), inboxes.watch(url, box) as items:
            async for item in items:
                unread = item.item == sent
                if unread:
                    break
    if unread:
        limit.reschedule(asyncio.get_running_loop().time())
    return unread
