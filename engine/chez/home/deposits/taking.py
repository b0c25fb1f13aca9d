"""The relay's part of deposits: inboxes kept open and emptied, acknowledgements sent, revoked addresses closed.

Each address has a connection of its own, which names its inbox and nothing else of this person; so does each
organisation that is told something. An item is deleted at the relay when it is durable here. What may not be taken yet
(nobody said whose the address is, or the day's quota is used up) stays there with all behind it, until it expires.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from chez.crypto import SigningKey
from chez.deposits.ack import Acknowledgement, seal_ack
from chez.deposits.address import AddressKeys
from chez.errors import ChezError, RelayRefused, RelayUnreachable
from chez.home.deposits.addresses import AddressBook, Stored
from chez.home.deposits.intake import Intake, Verdict
from chez.home.deposits.reports import DepositsReport
from chez.home.held import Held
from chez.store.database import Connection, Database
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import InboxArrived
from chez.sync.pinning import join
from chez_wire.frames import InboxItem
from chez_wire.limits import MAX_INBOX_ITEMS, MAX_INBOX_TTL
from chez_wire.login import Role, inbox_of

__all__ = ("Taking",)

MOST_SECONDS: Final = 120.0
"""That nothing comes of one inbox before the next one is looked at."""

MOST_ALTOGETHER: Final = 600.0
"""Seconds of one inbox in one go, whatever comes of it: a relay that gives little by little keeps nobody waiting for
longer, who asked for a sync, nor the other inboxes. What is left is taken the next time."""

MOST_ITEMS: Final = 2 * MAX_INBOX_ITEMS
"""Items of one inbox looked at in one go: a relay that gives item after item keeps nobody from the other inboxes."""

LONGEST: Final = 90 * 24 * 3600 * 1000
"""Milliseconds for which an acknowledgement is tried: an organisation may be gone, with its inbox."""

TOGETHER: Final = 64
"""Items judged in one transaction, as long as none is taken: a flood of junk costs few commits."""

MOST_ACKS: Final = 256
"""Acknowledgements sent in one go."""

_Due = tuple[int, bytes, int, int, bytes, str, int, int]


@dataclass(slots=True)
class _Tally:
    """What is counted of one go."""

    counts: Counter[str] = field(default_factory=Counter)
    waiting: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    limit: asyncio.Timeout | None = None
    last: float = 0.0

    def begins(self, limit: asyncio.Timeout) -> None:
        """An inbox is looked at, for no longer than this."""
        self.limit, self.last = limit, asyncio.get_running_loop().time() + MOST_ALTOGETHER

    def got_on(self) -> None:
        """Something came of the inbox that is looked at: it has its time anew."""
        if self.limit is not None:
            self.limit.reschedule(min(asyncio.get_running_loop().time() + MOST_SECONDS, self.last))

    def report(self) -> DepositsReport:
        """It as a value."""
        return DepositsReport(**self.counts, waiting=tuple(self.waiting), problems=tuple(self.problems))


class Taking:
    """Takes what lies in the inboxes of a home's addresses; `now` gives Unix milliseconds."""

    def __init__(self, database: Database, private: Held, book: AddressBook, intake: Intake,
                 now: Callable[[], int]) -> None:
        self._database = database
        self._private = private
        self._book = book
        self._intake = intake
        self._now = now
        self._alone = asyncio.Lock()

    async def once(self) -> DepositsReport:
        """Look at every inbox once, and send the acknowledgements that are due; never raises for a relay."""
        async with self._alone:
            tally = _Tally()
            if self._private.replica.access.removed:  # what it took would reach nobody
                return tally.report()
            known = await self._database.read(self._book.all)
            now = self._now()
            live = [one for one in known if one.live(now)]
            random.shuffle(live)  # no relay shall know two of a person's addresses by their order
            for stored in live:
                await self._guarded(tally, f"the deposit address {stored.label!r}", self._empty, stored)
            for stored in known:
                if stored.revoked and not stored.form.closed:
                    await self._guarded(tally, f"the revoked address {stored.label!r}", self._close, stored)
            await self._acknowledge(tally)
            return tally.report()

    async def _guarded(self, tally: _Tally, what: str, work: Callable[[_Tally, Stored], Awaitable[None]],
                       stored: Stored) -> None:
        try:
            async with asyncio.timeout(MOST_SECONDS) as limit:
                tally.begins(limit)
                await work(tally, stored)
        except TimeoutError:
            spent = MOST_ALTOGETHER if asyncio.get_running_loop().time() >= tally.last else MOST_SECONDS
            tally.problems.append(f"{what}: its relay did not do its part within {spent:g} seconds")
        except ChezError as error:
            tally.problems.append(f"{what}: {error}")

    # --- one inbox --------------------------------------------------------------------------

    async def _empty(self, tally: _Tally, stored: Stored) -> None:
        keys = self._book.keys(stored)
        if keys is None:
            return  # its epoch is still to come, by the next sync
        inbox, dropped, looked, done = inbox_of(keys.inbox.public), 0, 0, 0
        async with connect(self._dialled(stored)) as relay:
            await relay.create_inbox(keys.inbox, keys.put.public, self._seconds(stored))
            await _open(relay, inbox, Role.TAKE, keys.inbox)
            await relay.watch(inbox, 0)
            async for event in relay.arrivals():
                if not isinstance(event, InboxArrived):
                    raise RelayUnreachable("the relay ended the watch of a deposit inbox", "It is tried again.")
                items = [item for item in event.items if item.number > done]
                if not event.items or looked >= MOST_ITEMS:
                    break
                taken, refused, goes_on = await self._take(tally, stored, keys, items)
                dropped += refused
                if taken:
                    await relay.ack(inbox, taken)
                if not goes_on:
                    break
                if items:
                    tally.got_on()
                looked, done = looked + len(event.items), max(done, event.items[-1].number)
                if not relay.unread:  # what is under way comes by itself
                    await relay.watch(inbox, done)
        if dropped:
            await self._database.write(lambda db: self._private.engine.receipt(
                db, "deposit-dropped", {"address": stored.id.hex(), "label": stored.label, "count": dropped}))

    async def _take(self, tally: _Tally, stored: Stored, keys: AddressKeys,
                    items: list[InboxItem]) -> tuple[int, int, bool]:
        """Take items in: up to which number they may be deleted, how many were dropped, whether to go on."""
        upto = dropped = at = 0
        allowed = True
        while at < len(items):
            part = items[at:at + TOGETHER]
            judged = await self._database.write(lambda db, part=part: self._judged(db, stored, keys, part))  # type: ignore[misc]
            for item, (verdict, outcomes) in zip(part, judged, strict=False):
                match verdict:
                    case Verdict.TOMORROW:
                        tally.waiting.append(stored.label)
                        return upto, dropped, False
                    case Verdict.UNALLOWED:  # the others that ask there are to be shown, too
                        if allowed:
                            tally.waiting.append(stored.label)
                        allowed = False
                    case Verdict.TAKEN:
                        tally.counts.update({"messages": 1, **outcomes})
                    case Verdict.DROPPED | Verdict.REFUSED if allowed:
                        dropped += verdict is Verdict.DROPPED
                        tally.counts["dropped"] += 1
                if allowed:
                    upto = item.number
            at += len(judged)
        return upto, dropped, allowed

    def _judged(self, db: Connection, stored: Stored, keys: AddressKeys,
                items: list[InboxItem]) -> list[tuple[Verdict, Counter[str]]]:
        """What becomes of items, up to the first that was taken: a transaction holds one message's records."""
        # Read again in the transaction that writes: it may have been revoked, or be somebody's, since.
        now, current = self._now(), self._book.by_id(db, stored.id)
        if current is None or not current.live(now):
            raise RelayUnreachable("the address was revoked meanwhile")
        judged = []
        for item in items:
            judged.append(self._intake.take(db, current, keys, item.item, now))
            if judged[-1][0] in (Verdict.TAKEN, Verdict.TOMORROW):
                break
        return judged

    async def _close(self, tally: _Tally, stored: Stored) -> None:
        """Let a revoked address's inbox end, with all in it: from then on the relay knows no such inbox."""
        keys = self._book.keys(stored)
        if keys is None:
            return
        async with connect(self._dialled(stored)) as relay:
            await relay.create_inbox(keys.inbox, keys.put.public, 1)

        def work(db: Connection) -> None:
            current = self._book.by_id(db, stored.id)
            if current is not None:
                current.form.closed = True
                self._book.put(db, current)

        await self._database.write(work)

    def _dialled(self, stored: Stored) -> str:
        return join(stored.form.relay, stored.form.pins)

    def _seconds(self, stored: Stored) -> int:
        return min(MAX_INBOX_TTL, max(1, (stored.until - self._now()) // 1000))

    # --- acknowledgements -------------------------------------------------------------------

    async def _acknowledge(self, tally: _Tally) -> None:
        due: list[_Due] = await self._database.read(lambda db: db.execute(
            "SELECT n, address, era, number, hash, outcome, refused, due FROM deposit_ack WHERE due <= ? ORDER BY n "
            "LIMIT ?", (self._now(), MOST_ACKS)).fetchall())
        groups: dict[bytes, list[_Due]] = {}
        for one in due:
            groups.setdefault(one[1], []).append(one)
        for address, said in groups.items():
            stored = await self._database.read(lambda db, id=address: self._book.by_id(db, id))  # type: ignore[misc]
            if stored is None or stored.card is None or said[0][-1] < self._now() - LONGEST:
                await self._sent(said)  # whose word it would be is gone, or who would hear it
                continue
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    tally.counts["acknowledged"] += await self._tell(stored, said)
            except (ChezError, TimeoutError) as error:
                tally.problems.append(f"the acknowledgement for {stored.card.name!r}: {error}")

    async def _tell(self, stored: Stored, said: list[_Due]) -> int:
        """Put acknowledgements into the organisation's inbox; how many were."""
        keys, card = self._book.keys(stored), stored.card
        if keys is None or card is None:
            return 0
        async with connect(card.relay) as relay:
            await _open(relay, card.inbox, Role.PUT, card.writer)
            for _, _, era, number, hash, outcome, refused, _ in said:
                ack = Acknowledgement(1, keys.id, era, number, hash, outcome, refused)  # type: ignore[arg-type]
                await relay.put(card.inbox, seal_ack(ack, keys.signing, card))
        await self._sent(said)
        return len(said)

    async def _sent(self, said: list[_Due]) -> None:
        await self._database.write(lambda db: db.executemany(
            "DELETE FROM deposit_ack WHERE n = ?", [(one[0],) for one in said]))


async def _open(relay: RelayConnection, inbox: bytes, role: Role, key: SigningKey) -> None:
    (outcome,) = await relay.open([(inbox, role, key)])
    if outcome.error:
        raise RelayRefused(f"the relay does not open the inbox ({outcome.error})", reason=outcome.error)
