"""What fails as a change is sent right behind its commit ends the link as what it is; the change stays."""

import asyncio
from pathlib import Path

import pytest

from chez.errors import RelayMisbehaved
from chez.sync.driver import Driver
from chez.sync.lanes import Lanes
from chez.sync.socket import Socket
from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.home.pairing import paired


@pytest.mark.parametrize(("error", "told"), [(RelayMisbehaved("it lies"), "it lies"),
                                             (RuntimeError("a defect"), "unexpected (RuntimeError)")])
async def test_a_link_ends_with_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception,
                                            told: str) -> None:
    """It is not taken for a cut, nor passed over; who waits for the link hears of it, and the next one sends all."""
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                paired(tmp_path, url := f"ws://127.0.0.1:{server.port}") as (a, b)):
        notes = a.collection("notes")
        async with a.connect(url) as link:
            await link.synced(30)
            real = Lanes.sealed

            def failing(*args: object) -> None:
                monkeypatch.setattr(Lanes, "sealed", real)
                raise error

            monkeypatch.setattr(Lanes, "sealed", failing)
            await notes.put({"n": 1}, id="r")
            with pytest.raises(RelayMisbehaved) as found:
                async with asyncio.timeout(10):
                    await link.synced(30)
            assert told in str(found.value)
            assert link.status == "failed"
            assert link.connections == 1
        assert (await notes.get("r")).value == {"n": 1}
        await a.sync(url)
        await b.sync(url)
        assert (await b.collection("notes").get("r")).value == {"n": 1}


async def test_what_was_committed_is_heard_of_though_the_connection_breaks(tmp_path: Path) -> None:
    """Another device tells of a space; while that is taken in, what waits to be sent can't be."""
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                paired(tmp_path, url := f"ws://127.0.0.1:{server.port}") as (a, b)):
        async with a.connect(url) as one, b.connect(url) as other:
            await one.synced(30)
            await other.synced(30)
            begin, broken = Driver._begin, asyncio.Event()

            async def breaks(socket: Socket, message: bytes) -> None:
                patch.undo()
                broken.set()
                raise ConnectionResetError("gone")

            def begins(driver: Driver) -> None:
                begin(driver)
                if driver._rests and driver._database is b._database and driver._begun:
                    patch.setattr(Socket, "send", breaks)
                    driver._frames.append(b"")

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Driver, "_begin", begins)
                await a.create_space("Trip")
                await asyncio.wait_for(broken.wait(), 30)
            await one.synced(30)
            await other.synced(30)
            assert "Trip" in {space.name for space in await b.spaces()}
