"""The relay's part of deposits: inboxes kept open and emptied, acknowledgements sent, revoked addresses closed.

Each address has a connection of its own, which names its inbox and nothing else of this person; so does each
organisation that is told something. An item that was taken is deleted at the relay when a relay has the line about it,
and another device of the person, too, or a week is over: this device may be lost meanwhile, or be taken out by one that
has not read that line, for which it is none. What may not be taken yet (nobody said whose the address is, or the day's
quota is used up) stays there with all behind it, until it expires.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from chez.crypto import SigningKey
from chez.deposits.ack import Acknowledgement, seal_ack
from chez.deposits.address import AddressKeys
from chez.errors import ChezError, RelayRefused, RelayUnreachable
from chez.home.deposits.addresses import AddressBook, Stored
from chez.home.deposits.intake import Intake, Stays, Verdict
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

MOST_LEFT: Final = 64
"""Items that are left in an inbox for other devices, with what lies between: it is to have room for what comes, and
each look gets them again."""

MOST_ACKS: Final = 256
"""Acknowledgements sent in one go."""

_SEEN: Final = "deposit.seen."

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


@dataclass(slots=True)
class _Emptying:
    """How far an inbox may be emptied: items are deleted from the first on."""

    judged: int = 0
    """The number of the last item that was judged."""
    deleted: int = 0
    """Up to which they are."""
    unsent: bool = False
    """Whether something is left that waits for a relay to have the line about it."""
    _count: int = 0
    _left: deque[tuple[int, int, Stays]] = field(default_factory=deque)

    def saw(self, number: int, stays: Stays) -> None:
        """One more item was judged."""
        self.judged, self._count = number, self._count + 1
        if stays is not Stays.NOT:
            self._left.append((self._count, number, stays))
            self.unsent = self.unsent or stays is Stays.UNSENT

    @property
    def upto(self) -> int:
        """The number up to which items may be deleted."""
        while self._left and self._left[0][2] is Stays.ALONE and self._count - self._left[0][0] >= MOST_LEFT:
            self._left.popleft()
        return self._left[0][1] - 1 if self._left else self.judged


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
        self._unsent: set[bytes] = set()  # the addresses where the last look left what no relay had the line about

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

    async def let_go(self) -> None:
        """Delete at the relays what the last look left there because no relay had the line about it; now one may."""
        async with self._alone:
            for stored in await self._database.read(self._book.all):
                if stored.id in self._unsent and stored.live(self._now()):
                    last = await self._database.read(lambda db, id=stored.id: _seen(db, id))  # type: ignore[misc]
                    await self._guarded(_Tally(), stored.label, partial(self._empty, last=last), stored)

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

    async def _empty(self, tally: _Tally, stored: Stored, *, last: int | None = None) -> None:
        """Look at what lies in an inbox; with a `last` number nothing behind it, which was not taken yet."""
        keys = self._book.keys(stored)
        if keys is None:
            return  # its epoch is still to come, by the next sync
        inbox, dropped, looked, done, emptying = inbox_of(keys.inbox.public), 0, 0, 0, _Emptying()
        seen = await self._database.read(lambda db: _seen(db, stored.id))
        async with connect(self._dialled(stored)) as relay:
            await relay.create_inbox(keys.inbox, keys.put.public, self._seconds(stored))
            await _open(relay, inbox, Role.TAKE, keys.inbox)
            await relay.watch(inbox, 0)
            async for event in relay.arrivals():
                if not isinstance(event, InboxArrived):
                    raise RelayUnreachable("the relay ended the watch of a deposit inbox", "It is tried again.")
                items = [item for item in event.items if item.number > done and (last is None or item.number <= last)]
                if not event.items or looked >= MOST_ITEMS:
                    break
                refused, goes_on = await self._take(tally, stored, keys, items, emptying)
                dropped += refused
                if (upto := emptying.upto) > emptying.deleted:
                    emptying.deleted = upto
                    await relay.ack(inbox, upto)
                if not goes_on:
                    break
                if items:
                    tally.got_on()
                looked, done = looked + len(event.items), max(done, event.items[-1].number)
                if last is not None and done >= last:
                    break
                if not relay.unread:  # what is under way comes by itself
                    await relay.watch(inbox, done)
        if last is None and 0 < emptying.judged < seen:  # the last that is told is deleted last: it is a new inbox
            await self._database.write(lambda db: _see(db, stored.id, emptying.judged))
        (self._unsent.add if emptying.unsent else self._unsent.discard)(stored.id)
        if dropped:
            await self._database.write(lambda db: self._private.engine.receipt(
                db, "deposit-dropped", {"address": stored.id.hex(), "label": stored.label, "count": dropped}))

    async def _take(self, tally: _Tally, stored: Stored, keys: AddressKeys, items: list[InboxItem],
                    emptying: _Emptying) -> tuple[int, bool]:
        """Take items in: how many were dropped, whether to go on."""
        dropped = at = 0
        allowed = True
        while at < len(items):
            part = items[at:at + TOGETHER]
            judged = await self._database.write(
                lambda db, part=part, told=allowed: self._judged(db, stored, keys, part, told=told))  # type: ignore[misc]
            for item, (verdict, outcomes, stays, again) in zip(part, judged, strict=False):
                match verdict:
                    case Verdict.TOMORROW:
                        tally.waiting.append(stored.label)
                        return dropped, False
                    case Verdict.UNALLOWED:  # the others that ask there are to be shown, too
                        if allowed:
                            tally.waiting.append(stored.label)
                        allowed = False
                    case Verdict.TAKEN:
                        tally.counts.update({"messages": 1, **outcomes})
                    case Verdict.DROPPED | Verdict.REFUSED if allowed and not again:
                        dropped += verdict is Verdict.DROPPED
                        tally.counts["dropped"] += 1
                if allowed:
                    emptying.saw(item.number, stays)
            at += len(judged)
        return dropped, allowed

    def _judged(self, db: Connection, stored: Stored, keys: AddressKeys, items: list[InboxItem], *,
                told: bool) -> list[tuple[Verdict, Counter[str], Stays, bool]]:
        """What becomes of items, up to the first that was taken: a transaction holds one message's records.

        Last whether that was told before; whether it is `told` now depends on what came before them.
        """
        # Read again in the transaction that writes: it may have been revoked, or be somebody's, since.
        now, current = self._now(), self._book.by_id(db, stored.id)
        if current is None or not current.live(now):
            raise RelayUnreachable("the address was revoked meanwhile")
        judged, seen, last = [], _seen(db, stored.id), 0
        for item in items:
            again = item.number <= seen
            verdict, outcomes = self._intake.take(db, current, keys, item.item, now, again=again)
            stays = (self._intake.stays(db, current, keys, item.item, now) if verdict is Verdict.REPEATED else
                     Stays.UNSENT if verdict in (Verdict.TAKEN, Verdict.REFUSED) else Stays.NOT)
            judged.append((verdict, outcomes, stays, again))
            told = told and verdict not in (Verdict.UNALLOWED, Verdict.TOMORROW)
            last = item.number if told else last
            if verdict in (Verdict.TAKEN, Verdict.TOMORROW):
                break
        if last > seen:
            _see(db, stored.id, last)
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


def _seen(db: Connection, address: bytes) -> int:
    """The number of the last item at an address that was judged: what comes again of those was left there."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_SEEN + address.hex(),)).fetchone()
    return 0 if row is None else int(row[0])


def _see(db: Connection, address: bytes, number: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_SEEN + address.hex(), number))


async def _open(relay: RelayConnection, inbox: bytes, role: Role, key: SigningKey) -> None:
    (outcome,) = await relay.open([(inbox, role, key)])
    if outcome.error:
        raise RelayRefused(f"the relay does not open the inbox ({outcome.error})", reason=outcome.error)
