"""What is durable here leaves at once, whatever else the store has to do."""

import asyncio
import threading
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.store.database import Connection
from chez.store.writes import Write
from chez.sync import driver as driver_module
from chez.sync.events import AppendDone
from chez.sync.lanes import Lanes
from chez.sync.session import ClientSession
from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames

GROUP = 512
"""Writes that share a commit at most."""


class Watch:
    """Counts the entries that a device sends, and those that a relay acknowledges."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sent = self.acknowledged = 0
        send, event = ClientSession.data_to_send, Lanes._event

        def sends(session: ClientSession) -> list[bytes]:
            found = send(session)
            self.sent += sum(isinstance(frames.decode_client(data), frames.Append) for data in found)
            return found

        def hears(lanes: Lanes, one: object) -> None:
            event(lanes, one)  # type: ignore[arg-type]
            self.acknowledged += isinstance(one, AppendDone)

        patch.setattr(ClientSession, "data_to_send", sends)
        patch.setattr(Lanes, "_event", hears)

    async def until(self, sent: int, acknowledged: int) -> None:
        """Wait until so many were sent and acknowledged."""
        async with asyncio.timeout(90):
            while (self.sent, self.acknowledged) < (sent, acknowledged):  # noqa: ASYNC110 - the loop goes round
                await asyncio.sleep(0)


async def test_an_entry_does_not_wait_for_the_acknowledgement_of_the_one_before(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement is noted in its turn, behind what was asked of the store before; entries leave meanwhile."""
    await chez.create(tmp_path / "home", passphrase="x", kdf=Kdf.minimum())
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                chez.open(tmp_path / "home", passphrase="x") as home,
                home.connect(f"ws://127.0.0.1:{server.port}") as link):
        notes, gates = home.collection("notes"), [threading.Event(), threading.Event()]
        await notes.put({"n": 0}, id="r")
        await link.synced(90)
        watch = Watch(monkeypatch)

        def held(gate: threading.Event) -> "asyncio.Future[bool]":
            def work(_: Connection) -> bool:
                return gate.wait(90)

            return home._database.submit(work)

        await notes.put({"n": 1}, id="r")
        waits = [held(gates[0])]
        await watch.until(1, 1)
        link._driver.gathered()  # as it would be in a moment
        while len(home._database._queue) < 1:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)  # what notes the acknowledgement stands in line from now on, behind all below
        line: list[Write] = home._database._queue
        puts = [asyncio.create_task(notes.put({"n": n}, id="r")) for n in range(2, 2 + GROUP)]
        while len(line) < GROUP:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        # As if the acknowledgement had come a moment later: a commit of all puts, then one that takes long, and it is
        # noted in that.
        line.sort(key=lambda write: write.joint is None)
        waits.append(held(gates[1]))
        line.insert(GROUP, line.pop())
        gates[0].set()
        await asyncio.gather(*puts)
        await watch.until(2, 1)
        assert not waits[1].done()
        gates[1].set()
        assert all(await asyncio.gather(*waits))
        await link.synced(90)
        assert watch.acknowledged == 2


async def test_acknowledgements_are_noted_together_and_at_once_for_who_waits(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody waits they wait for each other; `synced` does not wait for that."""
    monkeypatch.setattr(driver_module, "GATHER", 3600.0)
    await chez.create(tmp_path / "home", passphrase="x", kdf=Kdf.minimum())
    async with (serving(MemoryStorage(bytes(32)), "127.0.0.1", 0) as server,
                chez.open(tmp_path / "home", passphrase="x") as home,
                home.connect(f"ws://127.0.0.1:{server.port}") as link):
        notes = home.collection("notes")
        await link.synced(90)
        watch = Watch(monkeypatch)

        async def sealed() -> int:
            return int(await home._database.read(lambda db: db.execute("SELECT count(*) FROM sealed").fetchone()[0]))

        for n in range(3):
            await notes.put({"n": n}, id="r")
            await watch.until(n + 1, n + 1)
        assert await sealed() == 3 and link.status == "syncing"
        await link.synced(90)
        assert not await sealed() and link.status == "synced"
        monkeypatch.setattr(driver_module, "GATHER", 0.0)
        link._driver.gathered()  # the hour that was begun is over
        await notes.put({"n": 3}, id="r")
        async with asyncio.timeout(90):
            while link.status != "synced":
                await link.turn()
        assert not await sealed()
