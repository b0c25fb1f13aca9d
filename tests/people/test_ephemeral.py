"""What is said just now: to every member's device that listens, once, from who is there, and into no file."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.errors import InvalidValue, NotAllowed
from chez.sync.connection import RelayConnection, connect
from chez.sync.ephemeral.message import MAX_VALUE, Message, encode_value, open_message, seal_message
from chez.sync.events import EphemeralArrived
from chez_wire.envelope import HEADER_BYTES
from chez_wire.login import Role
from tests.people.persons import in_step, persons, shared
from tests.people.proxy import behind, proxy
from tests.people.support import join, open_again, turned_until
from tests.relay.within import Within, relay


class Ear:
    """What an app hears in a space, from now on."""

    def __init__(self, space: chez.Space, topic: str | None = None) -> None:
        self.heard: list[chez.EphemeralMessage] = []
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._listen(space, topic))

    async def _listen(self, space: chez.Space, topic: str | None) -> None:
        async for message in space.ephemeral(topic):
            async with self._news:
                self.heard.append(message)
                self._news.notify_all()

    async def upto(self, count: int) -> list[chez.EphemeralMessage]:
        """So many messages, once they were heard."""
        async with asyncio.timeout(90), self._news:
            await self._news.wait_for(lambda: len(self.heard) >= count)
        return self.heard

    async def until(self, *last: Any) -> list[Any]:
        """The values that were heard, once all of these were; they are forgotten then."""
        async with asyncio.timeout(90), self._news:
            await self._news.wait_for(lambda: all(one in [message.value for message in self.heard] for one in last))
        found, self.heard = [message.value for message in self.heard], []
        return found


@asynccontextmanager
async def connected(*homes: chez.Home) -> AsyncIterator[None]:
    """All homes connected, and in step."""
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(home.connect()) for home in homes]
        for link in links:
            await link.synced(90)
        yield


@asynccontextmanager
async def company(folder: Path, url: str, role: str = "writer") -> AsyncIterator[
        tuple[list[chez.Home], list[chez.Space]]]:
    """Ada with two devices, Ben with one, and the space that they share; not connected."""
    async with (persons(folder, "Ada", "Ben", relay=url) as (ada, ben),
                join(ada, folder / "tablet", "tablet", url) as tab):
        await tab.set_relay(url)
        space = await ada.create_space("Trip")
        (his,) = await shared(space, ada, ben, role=role)
        await in_step(ada, tab, ben)
        yield [ada, tab, ben], [space, tab.space("Trip"), his]


@asynccontextmanager
async def three(folder: Path, url: str, role: str = "writer") -> AsyncIterator[
        tuple[list[chez.Home], list[chez.Space]]]:
    """The same, connected."""
    async with company(folder, url, role) as (homes, spaces), connected(*homes):
        yield homes, spaces


@asynccontextmanager
async def relays_hand(url: str, space: chez.Space) -> AsyncIterator[RelayConnection]:
    """What a relay can do with a space: it hears all that is said, sealed, and says whatever it likes to all."""
    handle = space._held.space.handle
    async with connect(url) as hand:
        async with asyncio.timeout(30):
            while True:  # a newer epoch's keys may be on their way there
                epoch = space._held.replica.access.current
                opened = await hand.open([(handle, Role.READ, epoch.read), (handle, Role.CONTROL, epoch.control)])
                if not any(one.error for one in opened):
                    break
                await asyncio.sleep(0.05)
        await hand.subscribe(handle, 0)
        yield hand


async def recorded(hand: RelayConnection, count: int) -> list[bytes]:
    """So many sealed messages, as they come."""
    found: list[bytes] = []
    async with asyncio.timeout(90):
        async for event in hand.arrivals():
            if isinstance(event, EphemeralArrived):
                found.append(event.message)
                if len(found) == count:
                    break
    return found


def digests(*folders: Path) -> dict[Path, str]:
    """What all files hold, but for those in which SQLite notes who reads just now."""
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for folder in folders for file in folder.rglob("*")
            if file.is_file() and not file.name.endswith("-shm")}


async def test_all_devices_hear_it_once_and_no_file_changes(tmp_path: Path, server: Within) -> None:
    """Two persons, three devices: each hears the others, a reader is heard too, and neither store nor log changes."""
    async with three(tmp_path, server.url, "reader") as (homes, spaces):
        ears = [Ear(space) for space in spaces]
        for once in ("once", "twice"):  # by then what each connection began with is saved
            for number, space in enumerate(spaces):
                await space.broadcast("hello", [once, number])
            for number, ear in enumerate(ears):
                await ear.until(*([once, other] for other in range(3) if other != number))
        before = digests(tmp_path)
        for number, space in enumerate(spaces):
            assert await space.broadcast("cursor", {"n": number, "secret": "marmalade"}) == 1
        for number, ear in enumerate(ears):
            heard = await ear.upto(2)
            assert sorted(one.value["n"] for one in heard) == [one for one in range(3) if one != number]
            for one in heard:
                who = homes[one.value["n"]]
                assert (one.topic, one.device, one.person, one.missed) == ("cursor", who.device_id, who.person_id, 0)
                assert one.name == who.name and "marmalade" not in repr(one)
        assert digests(tmp_path) == before


async def test_topics_are_told_apart_and_come_in_order(tmp_path: Path, server: Within) -> None:
    """Who listens on a topic hears that alone, who listens on any hears all, each device's in the order it spoke."""
    async with three(tmp_path, server.url) as (_, (ada, _, ben)):
        here, all_of_it = Ear(ben, "presence"), Ear(ben)
        for number in range(40):
            await ada.broadcast("presence" if number % 2 else "cursor", number)
        assert await here.until(39) == list(range(1, 40, 2))
        assert await all_of_it.until(39) == list(range(40))


async def test_without_a_connection_it_is_lost(tmp_path: Path, server: Within) -> None:
    """Said while not connected it goes to no relay, now or later; who is not connected never hears it."""
    async with company(tmp_path, server.url) as ((ada, _, ben), (hers, _, his)):
        ear = Ear(his)
        assert await hers.broadcast("cursor", "nobody") == 0
        async with connected(ada), relays_hand(server.url, hers) as hand:
            assert await hers.broadcast("cursor", "alone") == 1
            await recorded(hand, 1)
            async with connected(ben):
                assert await hers.broadcast("cursor", "both") == 1
                assert await ear.until("both") == ["both"]


async def test_what_can_not_be_said_is_refused(tmp_path: Path, server: Within) -> None:
    """Too large, no JSON or no topic is a typed error; so is a space that one merely reads, or was taken out of."""
    async with persons(tmp_path, "Ada", "Ben", relay=server.url) as (ada, ben):
        space = await ada.create_space("Trip")
        fits = "x" * (MAX_VALUE - 2)
        assert await space.broadcast("t", fits) == 0
        circle: list[Any] = []
        circle.append(circle)
        for value in (fits + "x", b"bytes", {1: 2}, (1, 2), float("nan"), object(), {"a": {2**70}}, circle):
            with pytest.raises(InvalidValue):
                await space.broadcast("t", value)
        for topic in ("", "x" * 65, "a\nb"):
            with pytest.raises(InvalidValue):
                await space.broadcast(topic, 1)
            with pytest.raises(InvalidValue):
                await anext(space.ephemeral(topic))
        with pytest.raises(InvalidValue):
            await anext(space.ephemeral(room=0))
        news = await ada.create_space("News", public=True)
        await ada.sync()
        read = await ben.follow(news.address)
        (his,) = await shared(space, ada, ben)
        await space.remove("Ben")
        await ada.sync()
        await ben.sync()
        for none in (read, his):
            with pytest.raises(NotAllowed):
                await none.broadcast("t", 1)
            with pytest.raises(NotAllowed):
                await anext(none.ephemeral())


async def test_a_slow_app_keeps_the_newest_and_is_told_what_it_missed(tmp_path: Path, server: Within) -> None:
    """Of more than there is room for the oldest go; the next one counts them, and nobody else is held up."""
    async with three(tmp_path, server.url) as (_, (ada, _, ben)):
        slow, quick = ben.ephemeral(room=3), Ear(ben)
        first = asyncio.create_task(anext(slow))
        await ada.broadcast("t", 0)
        assert (await first).value == 0
        for number in range(1, 11):
            await ada.broadcast("t", number)
        assert await quick.until(10) == list(range(11))
        got = [await anext(slow) for _ in range(3)]
        assert [(one.value, one.missed) for one in got] == [(8, 7), (9, 0), (10, 0)]


@pytest.mark.slow
async def test_it_goes_over_several_relays_and_is_heard_once(tmp_path: Path, server: Within) -> None:
    """Two relays get it and the other device hears it once; when one of them goes it is heard all the same."""
    async with relay(tmp_path / "second") as second, company(tmp_path, server.url) as ((ada, tab, _), (hers, his, _)):
        for home in (ada, tab):
            await home.relays.add(second.url)
            await home.sync()
        async with connected(ada, tab):
            for link in (*ada._syncing.links, *tab._syncing.links):
                await link.synced(90)
            ear = Ear(his)
            for number in range(20):
                assert await hers.broadcast("t", number) == 2
            assert await ear.until(19) == list(range(20))
            await server.kill()

            async def alone() -> bool:
                return await hers.broadcast("t", "one left") == 1

            await turned_until(ada._syncing.links[0], alone)
            await hers.broadcast("t", "end")
            assert set(await ear.until("end")) <= {"one left", "end"}


@pytest.mark.slow
async def test_after_a_cut_it_goes_on(tmp_path: Path) -> None:
    """Connections are cut and taken up again: what is said then is heard, in order, by who listened before."""
    async with proxy() as front, behind(front, tmp_path / "r"), three(tmp_path, front.url) as (homes, (ada, _, ben)):
        ear = Ear(ben)
        await ada.broadcast("t", "before")
        assert await ear.until("before") == ["before"]
        front.cut()
        for home in homes:
            for link in home._syncing.links:
                while link.connections < 2:
                    link.check()
                    await link.turn()
                await link.synced(90)
        await ada.broadcast("t", "after")
        await ada.broadcast("t", "end")
        assert await ear.until("end") == ["after", "end"]


@pytest.mark.slow
async def test_a_new_epoch_interrupts_nobody_who_stays(tmp_path: Path, server: Within) -> None:
    """After a removal those who stay hear each other; who was taken out hears nothing, and nobody hears it."""
    async with three(tmp_path, server.url) as ((ada, tab, ben), (hers, other, his)):
        ears, stranger = [Ear(hers), Ear(other)], Ear(his)
        await hers.broadcast("t", "together")
        assert await stranger.until("together") == ["together"]
        old = his._held.replica.access.current
        await hers.remove("Ben")
        for home in (ada, tab):
            await home.sync()
        async with relays_hand(server.url, hers) as hand:
            said = Message(1, his._held.space.id, ben.device_id, bytes(16), 1, bytes(16), [], [], "t", b'"I was here"')
            for epoch in (old, hers._held.replica.access.current):
                hand.broadcast(his._held.space.handle, seal_message(
                    said, his._held.space.handle, epoch, ben._device.signing, bytes(24)))
            await recorded_none(hand)
        await again_heard(other, ears[0])
        await other.broadcast("t", "without him")
        await other.broadcast("t", "end")
        assert (await ears[0].until("end"))[-2:] == ["without him", "end"]
        assert stranger.heard == []


async def again_heard(space: chez.Space, ear: Ear) -> None:
    """What is said in a space is heard again. While a relay gets an epoch's keys, of which two devices may each start
    one, nobody is there for it: an app says once more what matters.
    """
    async with asyncio.timeout(90):
        while not any(message.value == "again" for message in ear.heard):
            await space.broadcast("t", "again")
            await asyncio.sleep(0.05)


async def recorded_none(hand: RelayConnection) -> None:
    """All that was sent over a connection was handled by the relay."""
    await hand.open([])


async def test_a_relay_that_plays_again_reorders_alters_or_forges_is_not_heard(tmp_path: Path, server: Within) -> None:
    """What was said is heard once and in order, whatever else is sealed alike, or is of another space or kind."""
    async with three(tmp_path, server.url) as ((ada, _, _), (hers, _, his)):
        other = await ada.create_space("Other")
        await ada.sync()
        ear, handle = Ear(his), hers._held.space.handle
        async with relays_hand(server.url, hers) as hand, relays_hand(server.url, other) as elsewhere:
            await hers.broadcast("t", "first")
            assert await ear.until("first") == ["first"]
            for number in range(10):
                await hers.broadcast("t", number)
                await other.broadcast("t", f"elsewhere {number}")
            assert await ear.until(9) == list(range(10))
            said = await recorded(hand, 11)
            foreign = await recorded(elsewhere, 10)
            for message in (*said, *reversed(said)):
                hand.broadcast(handle, message)
            for message in foreign:  # under this space's name
                hand.broadcast(handle, message[:4] + handle + message[36:])
            for place in (40, 70, 110, HEADER_BYTES, len(said[-1]) - 1):
                hand.broadcast(handle, said[-1][:place] + bytes((said[-1][place] ^ 1,)) + said[-1][place + 1:])
            hand.broadcast(handle, said[-1][:HEADER_BYTES] + said[-2][HEADER_BYTES:])
            await hers.broadcast("t", "end")
            assert await ear.until("end") == ["end"]


@pytest.mark.slow
async def test_questions_go_to_whom_they_are_for(tmp_path: Path, server: Within) -> None:
    """At a first word all who listen ask its author, and nobody else hears that: only what is said, and the answers."""
    async with three(tmp_path, server.url) as ((ada, _, _), (hers, other, his)):
        space = hers._held.space
        async with relays_hand(server.url, hers) as hand:
            ears = [Ear(other), Ear(his)]
            for topic in ("first", "second"):
                await hers.broadcast("t", topic)
                for ear in ears:
                    assert await ear.until(topic) == [topic]
            heard = [open_message(sealed, space.id, space.handle, space.epochs) for sealed in await recorded(hand, 3)]
            assert {message.author for message in heard} == {ada.device_id}
            assert {ear for message in heard for ear in message.heard} and not any(one.wanted for one in heard)


@pytest.mark.slow
async def test_a_session_that_ended_is_not_heard_by_who_comes_after(tmp_path: Path, server: Within) -> None:
    """All that a device said, played to one that was started since, or came again, tells it nothing."""
    async with company(tmp_path, server.url) as ((ada, tab, ben), (hers, other, his)):
        async with relays_hand(server.url, hers) as hand, connected(tab):
            async with connected(ada, ben):
                ear = Ear(his)
                for number in range(5):
                    await hers.broadcast("t", number)
                assert await ear.until(4) == list(range(5))
            said = await recorded(hand, 5)
            async with connected(ben):
                for message in said:
                    hand.broadcast(his._held.space.handle, message)
                await other.broadcast("t", "end")
                assert await ear.until("end") == ["end"]
    async with open_again(tmp_path / "tablet") as tab, open_again(tmp_path / "Ben") as ben:
        other, his = tab.space("Trip"), ben.space("Trip")
        async with relays_hand(server.url, other) as hand, connected(tab, ben):
            fresh = Ear(his)
            for message in said:
                hand.broadcast(his._held.space.handle, message)
            await other.broadcast("t", "end")
            assert await fresh.until("end") == ["end"]


@pytest.mark.slow
async def test_a_flood_holds_up_neither_records_nor_what_is_said(tmp_path: Path) -> None:
    """Thousands of messages of no worth: entries arrive as ever, and what a member says is heard."""
    free = [part for name in ("ephemeral_burst", "ephemeral_burst_per_address")
            for part in ("--set", f"limits.{name}=1000000")]
    async with relay(tmp_path / "relay", *free) as server, three(tmp_path, server.url) as (_, (hers, _, his)):
        ear, handle = Ear(his), hers._held.space.handle
        async with relays_hand(server.url, hers) as hand:
            await hers.broadcast("t", "first")
            (real,) = await recorded(hand, 1)
            for number in range(5000):
                hand.broadcast(handle, real[:100] + number.to_bytes(24, "big") + real[124:])
            await hers.collection("notes").put({"n": 1}, id="tea")
            async with asyncio.timeout(90):
                async for note in his.collection("notes").live("tea"):
                    if note is not None:
                        break
            found: list[Any] = []
            while "end" not in found:  # it may be among what is let go, too
                await hers.broadcast("t", "end")
                with suppress(TimeoutError):
                    found += await asyncio.wait_for(ear.until("end"), 0.1)
        assert set(found) <= {"first", "end"}


async def test_it_ends_with_the_home(tmp_path: Path, server: Within) -> None:
    """Who listens is done when the home closes, after what had come already."""
    async with persons(tmp_path, "Ada", relay=server.url) as (ada,):
        space = await ada.create_space("Trip")
        ear = Ear(space)
        await asyncio.sleep(0)
        await ada.end_shared()
        async with asyncio.timeout(90):
            await ear.task
        assert ear.heard == [] and encode_value(1) == b"1"
