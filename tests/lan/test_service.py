"""Who is kept in step with on a network, when several say to be the same."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from chez.errors import Unavailable
from chez.lan.discovery import Neighbour
from chez.lan.policy import Policy
from chez.lan.recognition import Served
from chez.lan.service import Service
from chez.sync.connection import connect
from chez.sync.link import Link
from chez.sync.meeting import Acquaintances
from tests.lan.street import Looker, Street
from tests.lan.support import Liar, child, secrets
from tests.relay.support import Space

SPACE = Space("common")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits to be dialled, whose instance is lower: here nobody else dials."""
    monkeypatch.setattr("chez.lan.policy.YIELD", 0.0)


@dataclass
class Standing:
    """A link that stands until it is said to be cut."""

    url: str
    status: str = "synced"
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def turn(self) -> None:
        """Wait until something happens to it."""
        await self.news.wait()
        self.news.clear()

    def cut(self) -> None:
        """Its other end is gone."""
        self.status = "connecting"
        self.news.set()


class Kept:
    """The links that a home keeps, as they are made and let go."""

    def __init__(self) -> None:
        self.now: list[Standing] = []
        self.changed = asyncio.Event()

    async def meet(self, url: str, label: str, known: Acquaintances) -> Link:
        """See `Links`."""
        self.now.append(Standing(url))
        self.changed.set()
        return cast("Link", self.now[-1])

    async def part(self, link: Any) -> None:
        """See `Links`."""
        self.now.remove(link)

    async def until(self, url: str) -> Standing:
        """Wait for the link to this relay; no other may be there."""
        async with asyncio.timeout(90):
            while [one.url for one in self.now] != [url]:
                self.changed.clear()
                await self.changed.wait()
        return self.now[0]


@asynccontextmanager
async def of_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, street: Street, kept: Kept) -> AsyncIterator[
        tuple[Service, Any, Any, asyncio.Event]]:
    """A home that is not on its network yet, two relays whose stores are copies, and whether one is to wait."""
    async with child(tmp_path / "first", SPACE):
        pass
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    waits, away = asyncio.Event(), Policy.away
    monkeypatch.setattr(Policy, "away", lambda *given: (away(*given), waits.set()))
    service = Service(tmp_path / "own", tmp_path / "blobs", lambda: Served(secrets(SPACE)), kept, street.looker(),
                      "127.0.0.1")
    async with child(tmp_path / "first", SPACE) as first, child(tmp_path / "second", SPACE) as second:
        yield service, first, second, waits


@pytest.mark.slow
async def test_nobody_puts_another_out_by_saying_to_have_its_store(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two relays with one incarnation that both prove a space, the second waits until the first one's link is cut,
    as it is when a device began anew."""
    street, kept = Street(), Kept()
    async with of_one_store(tmp_path, monkeypatch, street, kept) as (service, first, second, waits):
        assert first.listening is not None and second.listening is not None
        assert first.listening.incarnation == second.listening.incarnation
        running = asyncio.create_task(service.run())
        street.announce(Neighbour(first.instance, ("127.0.0.1",), first.listening.port))
        link = await kept.until(first.url)
        street.announce(Neighbour(second.instance, ("127.0.0.1",), second.listening.port))
        async with asyncio.timeout(90):
            await waits.wait()
        assert kept.now == [link]
        link.cut()
        street.leave(first.instance)
        await kept.until(second.url)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert kept.now == []


class Slow(Kept):
    """Links that take a while to be made; `most` were there at once, `odd` says that they were two, or one went."""

    most = 0

    def __init__(self) -> None:
        super().__init__()
        self.odd = asyncio.Event()

    async def meet(self, url: str, label: str, known: Acquaintances) -> Link:
        """See `Links`."""
        await asyncio.sleep(1)
        link = await super().meet(url, label, known)
        self.now[-1].status = "connecting"
        self.most = max(self.most, len(self.now))
        if self.most > 1:
            self.odd.set()
        return link

    async def part(self, link: Any) -> None:
        """See `Links`."""
        await super().part(link)
        self.odd.set()


@pytest.mark.slow
async def test_of_two_who_are_met_at_once_with_one_store_one_is_kept_in_step_with(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a device that began anew is announced beside itself: two links would say and read the same log twice."""
    street, kept = Street(), Slow()
    async with of_one_store(tmp_path, monkeypatch, street, kept) as (service, first, second, waits):
        assert first.listening is not None and second.listening is not None
        for one in (first, second):
            street.announce(Neighbour(one.instance, ("127.0.0.1",), one.listening.port))
        running = asyncio.create_task(service.run())
        async with asyncio.timeout(90):
            ends = [asyncio.create_task(one.wait()) for one in (waits, kept.odd)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await kept.changed.wait()
            assert kept.most == 1 and not kept.odd.is_set()
            [link] = kept.now
            # Who is linked goes: the other one has its turn.
            link.cut()
            gone, other = (first, second) if link.url == first.url else (second, first)
            street.leave(gone.instance)
            await kept.until(other.url)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert kept.now == []


@pytest.mark.slow
async def test_a_flood_that_is_over_keeps_nobody_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was announced when there was no room for it is looked for again, and met."""
    monkeypatch.setattr("chez.lan.policy.MAX_NEIGHBOURS", 2)
    monkeypatch.setattr("chez.lan.service.LOOK_AGAIN", 0.0)
    monkeypatch.setattr("chez.sync.lookout.TICK", 0.05)
    street, kept = Street(), Kept()
    for number in (210, 211):
        street.announce(Neighbour(bytes((number,)) * 32, ("127.0.0.1",), 1025))
    service = Service(tmp_path / "own", tmp_path / "blobs", lambda: Served(secrets(SPACE)), kept, street.looker(),
                      "127.0.0.1")
    async with child(tmp_path / "first", SPACE) as first:
        assert first.listening is not None
        street.announce(Neighbour(first.instance, ("127.0.0.1",), first.listening.port))
        running = asyncio.create_task(service.run())
        await kept.until(first.url)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert kept.now == []


@pytest.mark.slow
async def test_links_are_bounded_whoever_is_announced_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is met, leaves, and is announced as somebody new has as many links as there may be devices, and no
    more; when one of them goes, the next has its turn."""
    monkeypatch.setattr("chez.lan.service.MAX_NEIGHBOURS", 1)
    monkeypatch.setattr("chez.lan.policy.AWAY", (0.02, 0.1))
    street, kept, waits, away = Street(), Kept(), asyncio.Event(), Policy.away
    monkeypatch.setattr(Policy, "away", lambda *given: (away(*given), waits.set()))
    async with child(tmp_path / "first", SPACE) as first, child(tmp_path / "second", SPACE) as second, \
            on(street, kept, tmp_path):
        assert first.listening is not None and second.listening is not None
        street.announce(Neighbour(first.instance, ("127.0.0.1",), first.listening.port))
        link = await kept.until(first.url)
        street.leave(first.instance)
        street.announce(Neighbour(second.instance, ("127.0.0.1",), second.listening.port))
        async with asyncio.timeout(90):
            await waits.wait()
        assert kept.now == [link]
        link.cut()
        await kept.until(second.url)


class Unsteady(Looker):
    """A network where it takes a while to begin, and nobody can be announced at first; `said` is what was done."""

    def __init__(self, street: Street) -> None:
        super().__init__(street)
        self.said: list[str] = []

    async def begin(self, seen: Callable[[Neighbour], None], gone: Callable[[bytes], None]) -> None:
        """See `Discovery`."""
        await asyncio.sleep(0.05)
        self.said.append("begun")
        await super().begin(seen, gone)

    async def announce(self, instance: bytes, port: int) -> None:
        """See `Discovery`."""
        self.said.append("announced")
        if self.said.count("announced") == 1:
            raise Unavailable("not just now")
        await super().announce(instance, port)

    async def end(self) -> None:
        """See `Discovery`."""
        self.said.append("ended")
        await super().end()


async def test_two_looks_do_not_cross(tmp_path: Path) -> None:
    """A network that changes twice at once is looked at once more after the first look, and not beside it: what the
    first one began would be ended by nobody."""
    looker = Unsteady(Street())
    service = Service(tmp_path / "own", tmp_path / "blobs", Served, Kept(), looker, "127.0.0.1")
    for _ in range(2):
        service._tick(changed=True)
    await asyncio.gather(*service._tasks)
    assert looker.said == ["ended", "begun", "ended", "begun"] and service.problem == ""


@pytest.mark.slow
async def test_who_can_not_be_announced_is_announced_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kept a device from it is over some time, and nobody tells."""
    monkeypatch.setattr("chez.sync.lookout.TICK", 0.05)
    street, kept = Street(), Kept()
    looker = Unsteady(street)
    service = Service(tmp_path / "own", tmp_path / "blobs", lambda: Served(secrets(SPACE)), kept, looker, "127.0.0.1")
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(90):
        await street.news.wait()
    assert looker.said.count("announced") == 2 and service.problem == ""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def on(street: Street, kept: Kept, folder: Path) -> AsyncIterator[Service]:
    """A home on a street, whose own relay is announced."""
    service = Service(folder / "own", folder / "blobs", lambda: Served(secrets(SPACE)), kept, street.looker(),
                      "127.0.0.1")
    running = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(90):
            await street.news.wait()
        yield service
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.slow
async def test_a_member_who_names_anothers_instance_keeps_nobody_apart(tmp_path: Path) -> None:
    """Who is here and says to be announced as somebody else is counted as somebody, and that one is dialled."""
    street, kept = Street(), Kept()
    async with child(tmp_path / "first", SPACE) as first, on(street, kept, tmp_path) as service:
        assert first.listening is not None
        async with connect(f"wss://127.0.0.1:{service.port}", known=Liar(first.instance, SPACE)):
            own = await kept.until(f"wss://127.0.0.1:{service.port}")  # somebody came by: it is filled
            assert service.guests == 1
            kept.now.remove(own)
            street.announce(Neighbour(first.instance, ("127.0.0.1",), first.listening.port))
            await kept.until(first.url)
            kept.now.append(own)


@pytest.mark.slow
async def test_at_a_forged_address_nobody_is_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stranger answers in a device's place, or forwards what is said to it, it is looked for at the next
    address, and again soon: it is not taken for a stranger, who is tried ever more seldom."""
    monkeypatch.setattr("chez.lan.policy.AWAY", (0.02, 0.1))
    street, kept = Street(), Kept()
    async with child(tmp_path / "first", SPACE) as first:
        assert first.listening is not None
        port = first.listening.port

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            forwarded.set()
            await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)

        forwarded = asyncio.Event()
        forwarding = await asyncio.start_server(forward, "127.0.0.3", port)
        async with forwarding, child(tmp_path / "another", Space("another"), listen=f"127.0.0.2:{port}"), \
                on(street, kept, tmp_path) as service:
            forged = ("127.0.0.2", "127.0.0.3")
            street.announce(Neighbour(first.instance, forged, port))
            async with asyncio.timeout(90):
                for _ in range(2):  # it comes back soon
                    await forwarded.wait()
                    forwarded.clear()
            assert service.strangers == 0 and kept.now == []
            street.announce(Neighbour(first.instance, (*forged, "127.0.0.1"), port))
            await kept.until(first.url)


@pytest.mark.slow
async def test_who_has_another_address_is_met_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was cut does not wait at an address where its device is announced no more: it is met where it is."""
    monkeypatch.setattr("chez.lan.policy.AWAY", (0.02, 0.1))
    street, kept = Street(), Kept()
    async with child(tmp_path / "first", SPACE, listen="0.0.0.0:0") as first, on(street, kept, tmp_path):
        assert first.listening is not None
        port = first.listening.port
        street.announce(Neighbour(first.instance, ("127.0.0.2",), port))
        link = await kept.until(f"wss://127.0.0.2:{port}")
        link.cut()
        street.announce(Neighbour(first.instance, ("127.0.0.3",), port))
        link.cut()  # it was tried once more, in vain
        await kept.until(f"wss://127.0.0.3:{port}")
