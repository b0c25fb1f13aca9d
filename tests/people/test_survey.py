"""A space is read at a relay by who has a key and nothing else; what a relay hides or alters is named."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez.crypto import SealingKey, random_bytes
from chez.errors import NotAllowed, NotFound, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.spaces.rotation import tag_of
from chez.sync import surveyor
from chez.sync.connection import RelayConnection
from chez.sync.patience import Pace
from chez.sync.survey import Survey
from chez.sync.surveyor import survey
from tests.home.pairing import paired
from tests.people.lying import packets, rewrite, set_packet
from tests.people.persons import persons
from tests.people.proxy import behind, proxy
from tests.relay.within import Within


class Outsider:
    """A device's handle, tag and key, taken from a home that is there: all that a survey is given."""

    def __init__(self, home: chez.Home, url: str) -> None:
        self.url = url
        self.handle = home._replica.space.handle
        self.space = home._replica.space.id
        self.tag = tag_of(self.space, home._device.sealing.public)
        self.key: SealingKey = home._device.sealing

    async def look(self, space: bytes | None = None, tag: bytes | None = None) -> Survey:
        return await survey(self.url, self.handle, tag or self.tag, self.key, space=space)


async def _written(a: chez.Home, b: chez.Home, url: str, epochs: int) -> None:
    for number in range(epochs):
        await (a, b)[number % 2].collection("notes").put({"n": number, "text": "x" * 5000})
        await a.devices.rotate()
        for home in (a, b, a):
            await home.sync(url)


async def test_a_space_is_read_from_its_beginning(tmp_path: Path, server: Within) -> None:
    """Over several epochs all statements and keys come out, with or without knowing which space it is."""
    async with paired(tmp_path, server.url) as (a, b):
        await _written(a, b, server.url, 3)
        outsider = Outsider(b, server.url)
        steps: list[tuple[int, int]] = []
        found = await survey(server.url, outsider.handle, outsider.tag, outsider.key,
                             progress=lambda done, of: steps.append((done, of)))
        mine = a._replica.space
        assert found.space == mine.id and found.epochs.keys() == mine.epochs.keys() and len(found.epochs) == 4
        assert {id: epoch.secret for id, epoch in found.epochs.items()} == {
            id: epoch.secret for id, epoch in mine.epochs.items()}
        assert found.membership.heads == mine.membership.heads and found.unreadable == 0
        assert found.newest.admin_seed is not None and steps[-1] == (found.entries, found.entries)
        assert (await outsider.look(mine.id)).entries == found.entries


async def test_who_has_no_packet_or_was_taken_out_is_told(tmp_path: Path, server: Within) -> None:
    """No packet under the tag, an unknown space, a farewell, and a relay that has other keys are told apart."""
    async with paired(tmp_path, server.url) as (a, b):
        outsider = Outsider(b, server.url)
        with pytest.raises(NotFound):  # what it has it was given by the other device
            await outsider.look()
        await _written(a, b, server.url, 1)
        with pytest.raises(NotFound):
            await outsider.look(tag=bytes(32))
        with pytest.raises(NotFound):
            await survey(server.url, bytes(32), outsider.tag, outsider.key)
        with pytest.raises(RelayMisbehaved, match="another space"):
            await outsider.look(space=bytes(32))
        await a.devices.remove("b")
        await a.sync(server.url)
        with pytest.raises(NotAllowed, match="taken out"):
            await outsider.look()


@pytest.mark.slow
async def test_a_relay_that_alters_what_it_has_is_named(tmp_path: Path) -> None:
    """A log cut short behind new keys, entries left out, a packet of before, of others, and of nobody."""
    async with proxy() as front:
        async with behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, b):
            await _written(a, b, front.url, 1)
            outsider, data = Outsider(b, front.url), tmp_path / "r"
            await first.kill()
            had = packets(data, outsider.handle)
            old, other = had[outsider.tag], had[Outsider(a, front.url).tag]
            async with behind(front, data):
                await _written(a, b, front.url, 1)
                assert (await outsider.look()).unreadable == 0
        new = packets(data, outsider.handle)[outsider.tag]
        for box, error in ((old, RelayRefused), (other, RelayMisbehaved), (bytes(256), RelayMisbehaved),
                           (None, NotFound), (new, None)):
            set_packet(data, outsider.handle, outsider.tag, box)
            async with behind(front, data):
                if error is not None:
                    with pytest.raises(error):
                        await outsider.look()
        whole: list[bytes] = []
        rewrite(data, outsider.handle, lambda log: whole.extend(log) or log)
        for shown in (whole[:2], whole[1:]):
            rewrite(data, outsider.handle, lambda _, shown=shown: shown)
            async with behind(front, data):
                with pytest.raises(RelayMisbehaved, match="whose they are"):
                    await outsider.look()


@pytest.mark.slow
async def test_a_page_that_takes_long_on_a_slow_line_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes no slower than is asked for, and is one answer: a join waits until it is whole."""
    async with proxy() as front, behind(front, tmp_path / "r"), persons(
            tmp_path, "anna", "berta", relay=front.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"data": random_bytes(40_000)}, id="a")
        await trip.add(await berta.card(), "writer")
        await anna.sync()
        monkeypatch.setattr(surveyor, "Pace", lambda: Pace(2.0, 16_384))
        get_packet = RelayConnection.get_packet

        async def slow_from_here_on(self: RelayConnection, handle: bytes, tag: bytes) -> bytes:
            front.rate = 16_384
            return await get_packet(self, handle, tag)

        monkeypatch.setattr(RelayConnection, "get_packet", slow_from_here_on)
        joining = asyncio.create_task(berta.join(trip.link()))
        await asyncio.sleep(1.5)
        assert not joining.done() and front.rate
        assert (await joining).name == "Trip"


@pytest.mark.slow
async def test_a_relay_that_is_too_slow_is_not_waited_for(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come one by one: a join ends by itself, and says what to do; later it works."""
    async with proxy() as front, behind(front, tmp_path / "r"), persons(
            tmp_path, "anna", "berta", relay=front.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"text": "x" * 20_000}, id="a")
        await trip.add(await berta.card(), "writer")
        await anna.sync()
        monkeypatch.setattr(surveyor, "Pace", lambda: Pace(0.3, 1 << 20))
        get_packet = RelayConnection.get_packet

        async def slow_from_here_on(self: RelayConnection, handle: bytes, tag: bytes) -> bytes:
            front.drips = True
            return await get_packet(self, handle, tag)

        with monkeypatch.context() as patch:
            patch.setattr(RelayConnection, "get_packet", slow_from_here_on)
            with pytest.raises(RelayUnreachable, match="too slow") as caught:
                await berta.join(trip.link())
        assert "better connection" in caught.value.hint
        front.drips = False
        monkeypatch.setattr(surveyor, "Pace", Pace)
        assert (await berta.join(trip.link())).name == "Trip"
