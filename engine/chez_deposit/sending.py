"""Puts what is queued into the customers' inboxes, at whichever relays these are.

A message counts as sent when the relay says that it is durable. A few relays are served at once. To one customer
messages go one after the other; many customers share a connection: a relay sees which inboxes one sender fills, and
neither who that is nor whose they are.
A connection that breaks is made again; what was not answered is put again, the same bytes, which a relay keeps once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from chez import inboxes
from chez.deposits.address import Address, kept_address
from chez.errors import ChezError, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.pinning import join
from chez_deposit.book import Book, State
from chez_deposit.keys import OrganisationKeys
from chez_wire.limits import MAX_INBOX_TTL
from chez_wire.login import Role

__all__ = ("Sent", "send")

PORTION: Final = 1000
"""Customers over one connection: a relay lets one hold a few thousand inboxes open."""

RELAYS: Final = 8
"""Relays that are served at one time: customers choose them, and each that is silent holds one place for `SILENCE`."""

AT_ONCE: Final = 32
"""Customers to whom messages are under way at one time, over one connection."""

STEP: Final = 256
"""Messages between two commits of what was sent."""

ATTEMPTS: Final = 4
"""How often one connection is made again before the rest is left for the next time."""

SILENCE: Final = 120.0
"""Seconds for which an answer is waited for. Customers choose the relays: one that says nothing is left."""

PATIENCE: Final = 30 * 24 * 3600
"""Seconds for which an inbox that no relay knows is tried: a new address is opened when its device comes to the relay,
and one that was revoked, or has expired, never is."""


@dataclass(slots=True)
class Sent:
    """What one go did: messages that are durable at relays, those still queued, those given up; why, in words."""

    sent: int = 0
    queued: int = 0
    gone: int = 0
    problems: dict[str, int] = field(default_factory=dict)

    def note(self, why: str, count: int = 1) -> None:
        """Count a problem."""
        self.problems[why] = self.problems.get(why, 0) + count


@dataclass(slots=True)
class _Customer:
    address: Address
    messages: deque[tuple[int, int]]
    """Row and time of each that is queued."""


async def send(book: Book, keys: OrganisationKeys, *, now: Callable[[], int],
               progress: Callable[[int, int], None] | None = None, relays: Collection[str] = ()) -> Sent:
    """Send what is queued, each customer once; `now` gives Unix seconds, `progress(done, total)` counts messages.

    With `relays` no customer's relay is dialled but these, each written as the address writes it, without its pins.
    The inbox for acknowledgements is opened, or kept open, first. Never raises for a relay: what could not be sent
    stays queued.
    """
    report = Sent()
    try:
        await inboxes.create(keys.relay, keys.inbox_owner, keys.inbox_writer.public, ttl=MAX_INBOX_TTL)
    except ChezError as error:
        report.note(f"no inbox for acknowledgements: {error.message}")
    (total,) = book.db.execute("SELECT count(*) FROM message WHERE state = ?", (State.QUEUED,)).fetchone()
    waiting = deque[tuple[str, list[tuple[int, Address]]]]()
    for dialled, customers in _relays(book):
        if relays and customers[0][1].relay not in relays:
            report.note("a customer's relay is none of those that may be dialled", len(customers))
        else:
            waiting.append((dialled, customers))

    async def serve() -> None:
        while waiting:
            dialled, customers = waiting.popleft()
            await _relay(dialled, _portions(book, customers), lambda: _Marks(
                book, now, report, lambda: progress and progress(report.sent, total)))

    await _together(serve() for _ in range(min(RELAYS, len(waiting))))
    (report.queued,) = book.db.execute("SELECT count(*) FROM message WHERE state = ?", (State.QUEUED,)).fetchone()
    return report


def _relays(book: Book) -> list[tuple[str, list[tuple[int, Address]]]]:
    """The customers for whom something is queued, by the address that is dialled.

    Those of most customers come first: a relay that is somebody's alone, to be silent there, keeps few waiting.
    """
    relays: dict[str, list[tuple[int, Address]]] = {}
    for n, text in book.db.execute("SELECT n, address FROM customer WHERE n IN (SELECT customer FROM message "
                                   "WHERE state = ?) ORDER BY n", (State.QUEUED,)).fetchall():
        address = kept_address(text)
        relays.setdefault(join(address.relay, address.pins), []).append((n, address))
    return sorted(relays.items(), key=lambda one: -len(one[1]))


def _portions(book: Book, customers: list[tuple[int, Address]]) -> Iterator[list[_Customer]]:
    """What is queued for one relay's customers, in portions of so many."""
    for start in range(0, len(customers), PORTION):
        yield [
            _Customer(address, deque(book.db.execute(
                "SELECT n, at FROM message WHERE state = ? AND customer = ? ORDER BY n",
                (State.QUEUED, n)).fetchall()))
            for n, address in customers[start:start + PORTION]]


async def _relay(dialled: str, portions: Iterator[list[_Customer]], made: Callable[[], "_Marks"]) -> None:
    """Serve one relay, a portion after the other, until it is away; what keeps it is counted."""
    for customers in portions:
        marks, away = made(), False
        for attempt in range(ATTEMPTS + 1):
            try:
                async with connect(dialled) as relay:
                    await _portion(relay, customers, marks)
                break
            except RelayUnreachable as error:
                if attempt == ATTEMPTS:
                    marks.report.note(error.message)
                    away = True
                else:
                    await asyncio.sleep(0.25 * 2**attempt)
            except ChezError as error:
                marks.report.note(error.message)
                away = isinstance(error, RelayMisbehaved)
                break
            finally:
                marks.write()
        if away:
            return


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of these at once; the first that fails ends the others, and is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Marks:
    """What was sent, written a few at a time: a mark that is lost costs a repeat."""

    def __init__(self, book: Book, now: Callable[[], int], report: Sent, told: Callable[[], object]) -> None:
        self.book = book
        self.now = now
        self.report = report
        self._told = told
        self._sent: list[tuple[int, bool]] = []
        self._gone: list[tuple[int, str]] = []

    def sent(self, n: int, acknowledged: bool) -> None:
        """A message is durable at its relay; where it is acknowledged its bytes are kept until then."""
        self._sent.append((n, acknowledged))
        self.report.sent += 1
        if len(self._sent) >= STEP:
            self.write()

    def failed(self, customer: _Customer, error: RelayRefused) -> None:
        """A relay said no to a customer's next message."""
        ended = error.reason == "denied"
        for n, at in customer.messages:
            if ended or (error.reason == "unknown" and at + PATIENCE < self.now()):
                self._gone.append((n, f"the relay no longer takes anything at this address ({error.reason})"))
                self.report.gone += 1
        self.report.note(f"{error.reason}: {error.message}")

    def write(self) -> None:
        """Let what was noted be durable."""
        now = self.now()
        with self.book.writing() as db:
            db.executemany("UPDATE message SET state = ?, at = ?, item = CASE WHEN ? THEN item END WHERE n = ? "
                           "AND state = ?", [(State.SENT, now, kept, n, State.QUEUED) for n, kept in self._sent])
            db.executemany("UPDATE message SET state = ?, at = ?, item = NULL, note = ? WHERE n = ?",
                           [(State.GONE, now, why, n) for n, why in self._gone])
        self._sent.clear()
        self._gone.clear()
        self._told()


async def _portion(relay: RelayConnection, customers: list[_Customer], marks: _Marks) -> None:
    """Send to these customers over one connection. Raises what broke it."""
    waiting = deque(one for one in customers if one.messages)
    async with _answered():
        outcomes = await relay.open([(one.address.inbox, Role.PUT, one.address.writer) for one in waiting])
    for one, outcome in zip(list(waiting), outcomes, strict=True):
        if outcome.error:
            waiting.remove(one)
            unknown = outcome.error == "unknown"
            text = "the relay has no such inbox, or it has expired" if unknown else "the relay refused the key"
            marks.failed(one, RelayRefused(text, reason=outcome.error))
            one.messages.clear()
    await _together(_work(relay, waiting, marks) for _ in range(min(AT_ONCE, len(waiting))))


@asynccontextmanager
async def _answered() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(SILENCE):
            yield
    except TimeoutError:
        raise RelayMisbehaved(f"a relay said nothing for {SILENCE:g} seconds",
                              "What is queued is sent next time.") from None


async def _work(relay: RelayConnection, waiting: deque[_Customer], marks: _Marks) -> None:
    while waiting:
        customer = waiting.popleft()
        address = customer.address
        try:
            while customer.messages:
                n, _ = customer.messages[0]
                row = marks.book.db.execute("SELECT item FROM message WHERE n = ?", (n,)).fetchone()
                async with _answered():
                    await relay.put(address.inbox, row[0])
                customer.messages.popleft()
                marks.sent(n, address.acknowledged)
        except RelayRefused as error:
            marks.failed(customer, error)
            customer.messages.clear()


