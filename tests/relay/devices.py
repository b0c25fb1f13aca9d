"""What devices at two relays do with one space and one inbox, and what they must be answered whatever happens."""

import asyncio
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any, Final

from chez_relay import storage as s
from chez_relay.errors import Code, StorageFailed
from chez_relay.fanout import Growth
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.refusals import NO_CHUNK
from chez_wire.envelope import entry_id
from tests.relay.modelled import KilledError
from tests.relay.promises import PIECES, Told, piece
from tests.relay.storing import SPACE, create, drop, rotate, table
from tests.relay.support import Space, seed

__all__ = ("ALL", "INBOX", "Devices")

INBOX: Final = s.AddInbox(seed("inbox"), seed("owner"), seed("writer"), 100_000)
ALL: Final = 1 << 20


class Devices:
    """All of them. `log` is what was asked and answered, for who looks for what went wrong.

    `cuts` is odd while a relay's node is cut off, which may tell what was so before.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.relays: list[JetStreamStorage] = []
        self.told = Told()
        self.over = False
        self.cuts = 0
        self.log: list[str] = []
        self.pushed: list[tuple[int, int, bytes]] = []
        self.tasks: dict[JetStreamStorage, dict[asyncio.Task[Any], None]] = {}
        self._owning = asyncio.Lock()
        self._number = self._upto = 0
        self._items: dict[bytes, bool] = {}  # put and acknowledged, and whether each try was answered
        self._seen: set[bytes] = set()
        self._taken: list[bytes] = []
        self._early: set[bytes] = set()  # read before whoever put it was answered: put again, it comes again

    def keep(self, relay: JetStreamStorage, work: "Coroutine[Any, Any, Any]") -> "asyncio.Task[Any]":
        """Do something at a relay, until that ends."""
        task = asyncio.ensure_future(work)
        self.tasks[relay][task] = None
        task.add_done_callback(lambda task: self.tasks[relay].pop(task))
        return task

    async def ask(self, *requests: s.Request) -> list[s.Result] | None:
        """What one of the relays answers; None where it is gone."""
        at = self.random.randrange(2)
        relay = self.relays[at]
        begun = asyncio.get_running_loop().time()
        try:
            results = list(await self.keep(relay, relay.perform(requests)))
        except (KilledError, StorageFailed, asyncio.CancelledError):
            results = None
        self.log.append(f"{begun:.3f}-{asyncio.get_running_loop().time():.3f} at {at}: {short(requests)} -> "
                        f"{'gone' if results is None else short(results)}")
        for one in results or ():
            assert getattr(one, "code", None) is not Code.DAMAGED, "what is whole was called damaged"
        return results

    async def _surely(self, request: s.Request) -> tuple[s.Result, bool]:
        """What is answered at last, asked again as often as it takes; whether the first try was answered."""
        first = True
        while (results := await self.ask(request)) is None or unheard(results[0]):
            first = False
            await asyncio.sleep(0.1)
        return results[0], first

    def _settled(self, version: int) -> bool:
        """Whether keys and life of the space were the same all the time."""
        return version % 2 == 0 and version == self.told.version

    async def own(self) -> None:
        """The owner drops, rotates, or deletes and makes anew."""
        await self.random.choice((self.rotate, self.begin_anew, *[self.drop] * 8))()

    async def rotate(self) -> None:
        """The space gets other keys and packets."""
        told = self.told
        async with self._owning:
            told.version += 1
            after = Space(f"generation {self._next()}")
            request = rotate(after, count := self.random.randrange(4), by=told.keys.keys.admin,
                             previous=told.keys.keys.read)
            result, _ = await self._surely(request)
            assert result == s.Done(), result
            told.keys, told.packets = after, table(count, 1)
            told.version += 1

    async def begin_anew(self) -> None:
        """The space is deleted, and made once more."""
        told = self.told
        async with self._owning:
            told.version += 1
            result, _ = await self._surely(s.DropSpace(SPACE.handle, told.keys.keys.admin))
            assert result == s.Done(), result
            told.anew()
            result, _ = await self._surely(create(count := self.random.randrange(3)))
            assert result == s.Done(), result
            told.packets = table(count)
            told.version += 1

    async def drop(self) -> None:
        """Some entries are dropped, and chunks let go."""
        async with self._owning:
            await self._drop()

    async def _drop(self) -> None:
        told = self.told
        places = {place for place in told.places.values() if place[0] not in told.named}
        chosen = sorted(self.random.sample(sorted(places), self.random.randint(0, min(3, len(places)))))
        chunks = [number for number, held in told.held.items() if held and not told.busy[number]]
        chunks = self.random.sample(chunks, self.random.randint(0, min(2, len(chunks))))
        if not chosen and not chunks:
            return
        told.letting.update(chunks)
        told.turns.update(chunks)
        told.named.update(offset for offset, _ in chosen)
        keys = told.keys.keys
        request = drop([s.Dropped(offset, offset, head) for offset, head in chosen], [piece(n) for n in chunks],
                       told.follows, by=keys.admin, voucher=keys.control)
        result, _ = await self._surely(request)
        assert result == s.Done(), result
        told.follows = request.drop
        told.held.update(dict.fromkeys(chunks, False))
        told.letting.difference_update(chunks)

    async def write(self) -> None:
        """Append one entry or more, new or sent before, until it is told that they are there."""
        told, version = self.told, self.told.version
        asked = list[s.AddEntry]()
        for _ in range(self.random.choice((1, 1, 1, 4))):
            known = [one for one, place in told.places.items() if place[0] not in told.named]
            if known and self.random.random() < 0.2:
                envelope, control = told.sent[self.random.choice(known)]
            else:
                envelope = SPACE.envelope(self._next(), self.random.randint(130, 400))
                control = self.random.random() < 0.2
            keys = told.keys.keys
            asked.append(s.AddEntry(SPACE.handle, entry_id(envelope), envelope, control,
                                    keys.control if control else keys.append))
        while asked and not self.over:
            results = await self.ask(*asked)
            if not self._settled(version):
                return
            for request, result in zip(asked, results or (), strict=results is not None):
                if isinstance(result, s.Stored):
                    place = result.offset, result.head
                    assert told.places.setdefault(request.entry, place) == place or result.offset > max(
                        told.named, default=0), "an entry is there twice"
                    told.sent[request.entry] = request.envelope, request.control
                else:
                    assert unheard(result), f"what is allowed was refused: {result}"
            asked = [one for one in asked if one.entry not in told.places]

    async def read(self) -> None:
        """Read some of the log, and look the space up."""
        told, version = self.told, self.told.version
        end = max((place[0] for place in told.places.values()), default=0)
        request = s.ReadPage(SPACE.handle, self.random.randint(0, end), self.random.choice((1, 1000, ALL)),
                             told.keys.keys.read)
        packet = s.ReadPacket(SPACE.handle, told.packets[0].tag) if told.packets else s.Lookup((INBOX.inbox,))
        results = await self.ask(request, s.Lookup((SPACE.handle,)), packet)
        if results is None or not self._settled(version):
            return
        page, found, known = results
        assert unheard(known) or known in (
            s.PacketData(told.packets[0].box) if told.packets else None,
            s.Found((s.InboxInfo(INBOX.owner_key, INBOX.write_key),))), known
        if isinstance(page, s.Page):
            for one in page.entries:
                place = told.places.get(entry_id(one.envelope))
                assert place is None or place[0] == one.offset, "an entry is read at another place"
            assert all(gone.first in told.named for gone in page.dropped)
        else:
            assert unheard(page), f"what is allowed was refused: {page}"
        if isinstance(found, s.Found):
            assert isinstance(found.known[0], s.SpaceInfo) and found.known[0].offset >= end, "what is there is not told"
        else:
            assert unheard(found), found

    async def attach(self) -> None:
        """Put a chunk, one more or one of before, until it is told that it is there."""
        told, version = self.told, self.told.version
        number = self.random.choice((self.random.choice([*told.held] or [0]), self.random.randrange(PIECES)))
        if number in told.letting:
            return
        told.busy[number] += 1
        told.turns[number] += 1
        data = piece(number).data
        result, sure = await self._surely(s.AddChunk(
            SPACE.handle, piece(number).chunk, data, told.keys.keys.append))
        told.busy[number] -= 1
        told.uncounted += 0 if sure and self._settled(version) else len(data)
        if self._settled(version):
            assert result == s.Done(), f"what is allowed was refused: {result}"
            told.held[number] = True
        else:
            told.held.pop(number, None)

    async def find(self) -> None:
        """Ask which chunks are there."""
        told, version, keys = self.told, self.told.version, self.told.keys.keys
        before, turns, cuts = dict(told.held), dict(told.turns), self.cuts
        idle = [number for number in told.held if not told.busy[number] and number not in told.letting][-8:]
        chosen = self.random.choice(idle or [0])
        some = piece(chosen)
        results = await self.ask(s.FindChunks(SPACE.handle, tuple(piece(n).chunk for n in idle), keys.read),
                                 s.ReadChunk(SPACE.handle, some.chunk, keys.read))
        if results is None or not self._settled(version) or unheard(results[0]):
            return
        found, read = results
        assert unheard(read) or read in (s.ChunkData(some.data), NO_CHUNK), read
        assert isinstance(found, s.FoundChunks), found
        for number, there in zip(idle, found.held, strict=True):
            if number in before and told.turns[number] == turns[number] and cuts % 2 == 0 and cuts == self.cuts:
                assert there == before[number], f"chunk {number} is {'' if there else 'not '}there"
                assert number != chosen or not there or read != NO_CHUNK, f"chunk {number} is not handed out"

    async def send(self) -> None:
        """Put an item into the inbox, until it is told that it waits there."""
        item = self._next().to_bytes(8, "big") * 8
        result, sure = await self._surely(s.AddItem(INBOX.inbox, item, INBOX.write_key))
        if result == s.Done():
            self._items[item] = sure
        else:
            assert getattr(result, "code", None) is Code.FULL, result

    async def take(self) -> None:
        """Read the inbox, and take what was read out of it."""
        waited, cuts, taken = set(self._items), self.cuts, set(self._taken)
        page, _ = await self._surely(s.ReadItems(INBOX.inbox, self.random.choice((0, self._upto)), ALL))
        assert isinstance(page, s.ItemPage), page
        found = [one.item for one in page.items]
        if cuts % 2 == 0 and cuts == self.cuts:
            assert waited - self._seen <= set(found), "an item that was acknowledged is gone"
            for item in found:
                assert item not in taken or item in self._early or not self._items.get(item, False), (
                    "an item came twice")
        assert [one.number for one in page.items] == sorted({one.number for one in page.items})
        self._seen.update(found)
        self._early.update(item for item in found if item not in self._items)
        if found:
            self._upto = max(self._upto, page.items[-1].number)
            result, _ = await self._surely(s.DropItems(INBOX.inbox, self._upto))
            assert result == s.Done(), result
            self._taken += found

    async def expire(self) -> None:
        """What is due goes."""
        await self.ask(s.Expire())

    def grown(self, growth: Growth) -> None:
        """A relay pushes what came."""
        if (page := growth.spaces.get(SPACE.handle)) is not None:
            self.pushed += [(self.told.version, one.offset, one.envelope) for one in page.entries]

    def _next(self) -> int:
        self._number += 1
        return self._number


def unheard(result: s.Result) -> bool:
    """Whether the cluster gave no answer: what was asked may have happened."""
    return isinstance(result, s.Refused) and result.code is Code.STORAGE


def short(what: Sequence[object]) -> str:
    """Requests or answers in a line."""
    return ", ".join(f"{type(one).__name__}{_detail(one)}" for one in what)


def _detail(one: object) -> str:
    match one:
        case s.AddEntry(entry=entry):
            return f" {entry.hex()[:6]}"
        case s.AddChunk(chunk=chunk) | s.ReadChunk(chunk=chunk):
            return f" {chunk.hex()[:6]}"
        case s.Stored(offset=offset, fresh=fresh):
            return f" {offset}{'' if fresh else ' again'}"
        case s.AddItem(item=item):
            return f" {int.from_bytes(item[:8], 'big')}"
        case s.ItemPage(items=items):
            return f" {[(one.number, int.from_bytes(one.item[:8], 'big')) for one in items]}"
        case s.DropItems(upto=upto):
            return f" {upto}"
        case s.FoundChunks(held=held):
            return f" {[int(one) for one in held]}"
        case s.FindChunks(chunks=chunks):
            return f" {[one.hex()[:6] for one in chunks]}"
        case s.Refused(code=code):
            return f" {code}"
        case s.Page(entries=entries, dropped=dropped, end=end):
            without = [(gone.first, gone.last) for gone in dropped]
            return f" {[entry.offset for entry in entries]} without {without} of {end}"
        case s.DropEntries(ranges=ranges, chunks=chunks):
            return f" {[gone.first for gone in ranges]} {[chunk.hex()[:6] for chunk in chunks]}"
        case _:
            return ""
