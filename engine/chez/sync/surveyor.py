"""Surveying a space at a relay: the shell around `chez.sync.survey`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chez.crypto import SealingKey
from chez.errors import BadEntry, NotAllowed, NotFound, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.spaces.rotation import Farewell, open_packet
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EntriesArrived
from chez.sync.patience import SLOWEST_BYTES, SLOWEST_SPAN, Pace
from chez.sync.survey import Survey, Surveying
from chez_wire.login import Role

__all__ = ("OnEntries", "survey")

T = TypeVar("T")

OnEntries = Callable[[int, int], None]
"""Is told how many entries were gone over, and how many there are."""

TRIES: Final = 3
"""How often it is begun anew because the space's keys were replaced meanwhile."""


async def survey(url: str, handle: bytes, tag: bytes, key: SealingKey, *, space: bytes | None = None,
                 progress: OnEntries | None = None) -> Survey:
    """Read a space's log at a relay with what is in the packet under a tag, which opens with this key.

    It takes as long as it needs while enough comes (`patience.Pace`).

    Without `space` the packet says which it is. Only entries' statements are read; ordinary
    sync takes the log in, once space, statements and epochs are stored.

    Raises `NotFound` when the relay has no such packet, `NotAllowed` when it says that the
    device was taken out, `RelayUnreachable` also for a relay that is too slow, `RelayRefused`
    (with reason "denied" when the keys in the packet do not open the space), `RelayMisbehaved`
    for a packet that is none, of another space, or of an epoch of whose beginning the log says
    nothing.
    """
    for _ in range(TRIES):
        async with connect(url) as relay:
            patient = _Patient(relay)
            try:
                under_way = await _packet(relay, patient, handle, tag, key, space)
                return await _read(relay, patient, handle, under_way, progress)
            except RelayRefused as error:
                if error.reason not in ("rotated", "denied"):
                    raise
                refusal = error
    raise refusal


class _Patient:
    """Waits for a relay's answers while enough of them comes."""

    def __init__(self, relay: RelayConnection) -> None:
        self._relay = relay
        self._pace = Pace()

    async def wait(self, answer: Awaitable[T], size: Callable[[T], int] = lambda answer: 0) -> T:
        """An answer, of so many bytes. Raises `RelayUnreachable` when the relay is too slow."""
        now, before = asyncio.get_running_loop().time, self._relay.carried
        waiting = asyncio.ensure_future(answer)
        try:
            while not waiting.done():
                left = self._pace.left(now(), self._relay.carried - before)
                if not left:
                    raise RelayUnreachable(
                        f"{self._relay.relay} is too slow: less than {SLOWEST_BYTES // 1024} KiB came in "
                        f"{SLOWEST_SPAN:g} seconds",
                        "Try again over a better connection, or use another relay that the space is at.")
                await asyncio.wait((waiting,), timeout=left)
        finally:
            waiting.cancel()
        found = waiting.result()
        self._pace.came(now(), size(found))
        return found


async def _packet(relay: RelayConnection, patient: _Patient, handle: bytes, tag: bytes, key: SealingKey,
                  space: bytes | None) -> Surveying:
    try:
        box = await patient.wait(relay.get_packet(handle, tag))
    except RelayRefused as error:
        if error.reason != "unknown":
            raise
        raise NotFound(f"{relay.relay} has nothing for these keys",
                       "Is it the right relay? Who lets somebody in has to be in step with it first.") from None
    try:
        named, content = open_packet(box, key)
    except BadEntry as error:
        raise RelayMisbehaved(f"{relay.relay} has something else in their place: {error.message}",
                              "Try again, or use another relay that the space is at.") from None
    if space is not None and named != space:
        raise RelayMisbehaved(f"{relay.relay} has keys of another space in their place",
                              "Try again, or use another relay that the space is at.")
    if isinstance(content, Farewell):
        raise NotAllowed("who had these keys was taken out of the space", "An owner of the space lets you in again.")
    return Surveying(handle, named, content)


async def _read(relay: RelayConnection, patient: _Patient, handle: bytes, under_way: Surveying,
                progress: OnEntries | None) -> Survey:
    opened = await patient.wait(relay.open([(handle, Role.READ, under_way.newest.read)]))
    for outcome in opened:
        if outcome.error:
            raise RelayRefused(f"{relay.relay} does not open the space with the keys that it has for it "
                               f"({outcome.error})", "Its store is damaged, or it lies. Use another relay.",
                               reason=outcome.error)
    while under_way.after is not None:
        page = await patient.wait(relay.read(handle, under_way.after), _size)
        await asyncio.to_thread(under_way.take, page.entries, page.end)
        if progress is not None:
            progress(*under_way.progress)
    return under_way.result()


def _size(page: EntriesArrived) -> int:
    return sum(len(entry.envelope) for entry in page.entries)
