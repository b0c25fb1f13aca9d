"""One exchange with all relays that is waited for: `Home.sync`, and `Home.synced` while a home is connected."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Final
from weakref import WeakKeyDictionary

import msgspec

from chez.errors import ChezError, HomeCopied, Misuse, RelayUnreachable
from chez.home.instep import in_step, summed_up, telling
from chez.home.lacks import with_lacks
from chez.home.reports import SyncReport
from chez.home.syncing import Syncing, relay_row
from chez.store.database import Connection
from chez.sync.link import Link
from chez.sync.work import Progress

__all__ = ("Exchange",)

ANSWER_SECONDS: Final = 10.0
"""Seconds in which a relay with which all is in step is to answer when somebody asks for a sync."""


class Exchange:
    """What one sync of a home does; `follow` takes over what came about the person's relays, `finish` ends what was
    begun and cut short, and says whether there was something.
    """

    def __init__(self, syncing: Syncing, follow: Callable[[], Awaitable[None]] | None = None,
                 finish: Callable[[], Awaitable[bool]] | None = None) -> None:
        self._syncing = syncing
        self._follow = follow
        self._finish = finish
        self._told: WeakKeyDictionary[Link, int] = WeakKeyDictionary()

    async def sync(self, timeout: float, url: str | None = None, *, reseed: bool = False, everywhere: bool = False,
                   progress: Callable[[int, int], None] | None = None) -> SyncReport:
        """Send everything that waits and fetch everything new; see `Home.sync`."""
        syncing = self._syncing
        if reseed:
            await self._reseed(syncing.routes.choose_any(url))
        if not await syncing.under_way():
            await syncing.catch_up()  # meanwhile it may be connected
        if await syncing.under_way():  # already kept in step in the background: wait for that
            if url is not None:
                await syncing.be_free(url)
            if not syncing.leading():
                syncing.routes.choose(None)  # raises: the last space that was at a relay is gone
            for link in syncing.links:
                link.try_now()
            begun = {link: link.done for link in syncing.links}
            await self._ask(timeout)
            async with telling(syncing.links, progress):
                return await self._synced(begun, timeout, everywhere)
        chosen = syncing.routes.choose_any(url)
        async with syncing.connected(chosen, retry=False, send=False), telling(syncing.links, progress):
            return await self._synced({}, timeout, everywhere)

    async def _ask(self, timeout: float) -> None:
        """See that the relays with which all is in step are there still: a network that is there no more tells nobody.

        Who has less time than an answer may take gives up none of them for that.
        """
        links = [link for link in self._syncing.links if not link.near]
        if not links:
            return
        questions = [asyncio.create_task(link.asked(ANSWER_SECONDS)) for link in links]
        try:
            answered, _ = await asyncio.wait(questions, timeout=timeout)
        finally:
            for question in questions:
                question.cancel()
        if not answered:
            raise RelayUnreachable(f"{links[0].url} did not answer within {timeout:g} seconds",
                                   "It is asked in the background whether it is there still.")

    async def own_in_step(self, timeout: float | None, *, everywhere: bool) -> None:
        """Wait until the private space is in step; see `Home.synced`."""
        own = self._syncing.standing.links_of(self._syncing.spaces.private.space)
        if not own and await self._syncing.under_way():
            self._syncing.routes.choose(None)  # raises: it has no relay, its spaces have
        stand = await _in_step(own, timeout, everywhere)
        if everywhere:
            await self._even(stand, timeout, everywhere)

    async def _even(self, links: list[Link], timeout: float | None, everywhere: bool) -> None:
        """Have each relay of the private space given what another one brought after it was read itself.

        While connected that is done after a while (`Several.overdue`); after a sync, nothing more comes of this device.
        """
        own = self._syncing.standing.links_of(self._syncing.spaces.private.space)
        links = [link for link in links if link in own]
        for link in links:
            with suppress(ChezError):  # raised below
                await link.synced(timeout)
                link.forward(at_once=True)
        await _stand(links, timeout, everywhere)

    async def _reseed(self, url: str | None) -> None:
        """Read each space's relay from its beginning, and send it what it lacks, with the next connection."""
        spaces = list(self._syncing.spaces.all.values())

        def work(db: Connection) -> None:
            for held in spaces:
                held.replica.refresh(db)
                for at in self._syncing.routes.urls_of(held.space) or ([] if url is None else [url]):
                    held.replica.reseed(db, relay_row(db, at))
                held.replica.anew = True

        await self._syncing.database.write(work)
        for link in self._syncing.links:
            link.begin_anew()

    async def _synced(self, begun: dict[Link, Progress], timeout: float, everywhere: bool) -> SyncReport:
        syncing = self._syncing
        own = syncing.leading()
        stand = await _in_step(own, timeout, everywhere)
        if self._follow is not None:
            await self._follow()
        waited = [*syncing.near, *own]
        # What came may have told of another relay, or of a space at another one.
        while (link := next((one for one in syncing.links if one not in waited), None)) is not None:
            waited.append(link)
            with suppress(ChezError):  # told below
                await link.synced(timeout)
                stand.append(link)
        if self._finish is not None and await self._finish():
            await _in_step(own, timeout, everywhere)  # the other devices are told
        if everywhere or not syncing.stays:
            await self._even(stand, timeout, everywhere)
        for held in list(syncing.spaces.all.values()):
            there = [link for link in syncing.standing.links_of(held.space)
                     if held.space.id not in link.problems and link.status not in ("connecting", "failed")]
            for link in there:
                with nullcontext() if held.space.private and link is there[0] else suppress(ChezError):
                    await held.blobs.sent(link, timeout)
        return await self._report(begun, await self._answer(timeout))

    async def _answer(self, timeout: float) -> str:
        """Answer those who came by invitations; why that failed, if it did. While the home is connected, it goes on by
        itself."""
        if self._syncing.stays:
            return ""
        problem = ""
        for link in [link for link in self._syncing.links if link.status != "failed" and not link.near]:
            try:
                async with asyncio.timeout(timeout):
                    problem = await self._syncing.answering.once(link) or problem
            except TimeoutError:
                problem = f"the relay at {link.url} did not do its part within {timeout:g} seconds"
            except ChezError as error:
                problem = str(error)
        return problem

    async def _report(self, begun: dict[Link, Progress], unanswered: str) -> SyncReport:
        syncing, device = self._syncing, self._syncing.device
        done = {link: _since(link.done, begun.get(link, Progress())) for link in syncing.links}
        renewed = self._renewed()
        problems = tuple(status for status in syncing.standing.spaces() if status.problem)
        own, stand = syncing.standing.link_of(syncing.spaces.private.space), syncing.standing.relays()
        own = own or min(syncing.leading(), key=lambda link: link.error is not None, default=None)
        if own is None:
            raise Misuse("this home was disconnected while it synced", "Sync again.")
        kept = syncing.standing.kept_at()
        relays = await syncing.database.read(lambda db: with_lacks(db, device, stand, kept))
        each = {link.url: now for link, now in done.items()}
        relays = tuple(msgspec.structs.replace(one, sent=now.sent, received=now.received)
                       if (now := each.get(one.url)) is not None else one for one in relays)
        return SyncReport(own.url, sum(one.sent for one in done.values()), sum(one.received for one in done.values()),
                          sum(one.quarantined for one in done.values()), own.progress.end, renewed,
                          problems, unanswered, relays, syncing.answering.let_in())

    def _renewed(self) -> tuple[str, ...]:
        """The relays whose store was another one than before, and that no report named yet."""
        found = tuple(link for link in self._syncing.links if link.renewed > self._told.get(link, 0))
        self._told.update({link: link.renewed for link in found})
        return tuple(link.url for link in found)


def _since(now: Progress, before: Progress) -> Progress:
    """What was done over a link since it had done so much."""
    return Progress(now.sent - before.sent, now.received - before.received, now.quarantined - before.quarantined)


async def _in_step(links: list[Link], timeout: float | None, everywhere: bool) -> list[Link]:
    """As `_stand`, for links of which a connected home has at least one."""
    if not links:
        raise Misuse("this home is not connected", "Wait inside `async with home.connect()`, or call `sync`.")
    return await _stand(links, timeout, everywhere)


async def _stand(links: list[Link], timeout: float | None, everywhere: bool) -> list[Link]:
    """Wait for links (`in_step`); those that are in step. Raises what kept all of them, or `everywhere` some, from it.
    """
    failed = await in_step(links, timeout, everywhere=everywhere)
    if (copied := next((error for error in failed if isinstance(error, HomeCopied)), None)) is not None:
        raise copied  # whatever other relays know of it
    if failed and (all(failed) or (everywhere and any(failed))):
        raise summed_up(links, failed)
    return [link for link, error in zip(links, failed, strict=True) if error is None]
