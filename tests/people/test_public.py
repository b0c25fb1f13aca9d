"""Public spaces with a real relay: whoever has the address reads, and nobody else than members writes."""

from pathlib import Path

import pytest

from chez.errors import NotAllowed, NotFound
from chez.keys.epochs import Epoch
from chez.spaces.public import Address
from chez.spaces.rotation import accept_packet, tag_of
from chez.sync.connection import RelayConnection, connect
from chez_wire.login import Role
from tests.home.pairing import paired
from tests.relay.support import Process


async def outcome(relay: RelayConnection, address: Address, role: Role, key: object) -> str:
    """What the relay says when somebody wants a role with a key."""
    (answer,) = await relay.open([(address.handle, role, key)])  # type: ignore[list-item]
    return answer.error


async def test_an_address_opens_the_log_and_no_way_to_post_anything(tmp_path: Path, server: Process) -> None:
    """With the address alone the newest epoch is found at the relay, over rotations; its secret reads, and is refused
    for appending, and for what members of other spaces may post too."""
    async with paired(tmp_path, server.url) as (a, b):
        news = await a.create_space("News", public=True)
        assert news.public and not a.space().public
        await news.collection("notes").put({"n": 1}, id="a")
        await a.set_relay(server.url)
        await a.sync()
        await b.sync(server.url)
        await b.space("News").collection("notes").put({"n": 2}, id="b")
        await b.sync(server.url)
        await a.sync(server.url)
        assert sorted([note.id async for note in news.collection("notes")]) == ["a", "b"]
        address = Address.read(news.address)
        for _ in range(2):
            async with connect(server.url) as relay:
                box = await relay.get_packet(address.handle, tag_of(address.space, address.key.public))
                epoch = accept_packet(address.space, box, address.key)
                assert isinstance(epoch, Epoch) and epoch.append is None
                assert await outcome(relay, address, Role.READ, epoch.read) == ""
                page = await relay.read(address.handle, 0)
                assert page.entries
                for role in (Role.CONTROL, Role.APPEND):
                    for key in (epoch.control, epoch.read):
                        assert await outcome(relay, address, role, key) == "denied"
            await a.devices.remove("b") if epoch.number == 1 else None
            await a.sync(server.url)
        assert epoch.number == 2


async def test_only_a_public_space_at_a_relay_has_an_address(tmp_path: Path, server: Process) -> None:
    """A shared space, and a public one that no relay has, have none; the name in it is the space's."""
    async with paired(tmp_path, server.url) as (a, _):
        with pytest.raises(NotAllowed):
            (await a.create_space("Trip")).address  # noqa: B018
        news = await a.create_space("News", public=True)
        with pytest.raises(NotFound):
            news.address  # noqa: B018
        await a.set_relay(server.url)
        assert Address.read(news.address).name == "News"
