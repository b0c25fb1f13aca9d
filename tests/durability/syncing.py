"""Scenarios: a device that receives from a relay, and one that sends to it.

The device that meets the fault is alone in the folder that is recorded; the relay and the
person's other device are beside it, as they are when a disk fails.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import chez
from chez.crypto import Kdf
from tests.blobs.support import content, read
from tests.durability.relays import relay
from tests.durability.scene import (
    PASSPHRASE,
    Everything,
    Place,
    Scenario,
    Step,
    everything,
    follow,
    made,
    opened,
)

__all__ = ("RECEIVING", "SENDING", "TAPED")

TAPED: Final = "device"
FILE: Final = content(5000, 3)


async def _two_devices(folder: Path, *, more_here: bool) -> None:
    """A phone in `device/home` and a laptop, in step; then one of them writes."""
    (folder / TAPED).mkdir()
    (folder / "relay").mkdir()
    phone, laptop = folder / TAPED / "home", folder / "laptop"
    await made(laptop)
    with relay(folder / "relay") as url:
        async with chez.open(laptop, passphrase=PASSPHRASE) as home:
            await home.set_relay(url)
            await home.collection("notes").put_many([{"n": n} for n in range(5)], ids=[f"old{n}" for n in range(5)])
            await home.sync()
            async with home.pair() as pairing:
                joining = chez.join(phone, pairing.code, passphrase=PASSPHRASE, name="phone", kdf=Kdf.minimum())
                await asyncio.gather(joining, pairing.confirm())
            async with chez.open(phone, passphrase=PASSPHRASE) as other:
                await other.sync()
                await home.sync()
                await other.sync()
                await _some_work(other if more_here else home)
                if not more_here:
                    await home.sync()


async def _some_work(home: chez.Home) -> None:
    notes = home.collection("notes")
    await notes.put({"n": 10, "file": await home.blobs.add(FILE, name="file")}, id="new")
    async with notes.edit("old0") as draft:
        draft["text"] = "edited"
    await notes.put_many([{"n": n, "pad": "é" * 100} for n in range(8)], ids=[f"many{n}" for n in range(8)])
    await notes.delete("old1")
    await home.transaction(lambda transaction: [transaction.put(notes, {"together": n}, id=f"both{n}")
                                                for n in range(2)])


async def _sync(home: chez.Home) -> None:
    await home.sync()


def _note(id: str) -> Step:
    async def step(home: chez.Home) -> None:
        await home.collection("notes").put({"late": id}, id=id)
    return step


async def _receive(place: Place) -> None:
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        # What is written here afterwards stands behind what came, in one log: it must not fall with it.
        await follow(place, home, [_sync, _note("mine")])


async def _send(place: Place) -> None:
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        await follow(place, home, [_note("a"), _sync, _note("b"), _sync])


async def _met(folder: Path, acknowledged: Sequence[str]) -> None:
    """Both devices sync and agree, the records that were acknowledged are there, and neither is set aside."""
    with relay(folder / "relay"):
        async with opened(folder / TAPED / "home") as phone:
            found = await everything(phone)
            assert all(("notes", id) in found for id in acknowledged), (acknowledged, found.keys())
            await phone.collection("notes").put({"from": "phone"}, id="phone")
            report = await phone.sync()
            assert report.quarantined == 0
            async with chez.open(folder / "laptop", passphrase=PASSPHRASE) as laptop:
                assert (await laptop.sync()).quarantined == 0
                await laptop.collection("notes").put({"from": "laptop"}, id="laptop")
                assert (await laptop.sync()).quarantined == 0
                assert (await phone.sync()).quarantined == 0
                both = await everything(laptop)
                assert both == await everything(phone)
                _whole(both)
                assert await read(laptop, both["notes", "new"]["file"]) == FILE
                assert await read(phone, both["notes", "new"]["file"]) == FILE
            assert (await phone.status()).pending == 0


def _whole(found: Everything) -> None:
    here = {id for (name, id) in found if name == "notes"}
    assert {"old0", "new", "both0", "both1", "phone", "laptop", *(f"many{n}" for n in range(8))} <= here
    assert "old1" not in here and found["notes", "old0"] == {"n": 0, "text": "edited"}


async def _received(folder: Path, acknowledged: Sequence[str]) -> None:
    await _met(folder, [[], ["new", "many7", "both1"], ["new", "mine"]][len(acknowledged)])


async def _sent(folder: Path, acknowledged: Sequence[str]) -> None:
    await _met(folder, [[], ["a"], ["a"], ["a", "b"], ["a", "b"]][len(acknowledged)])


RECEIVING = Scenario(lambda folder: _two_devices(folder, more_here=False), _receive, _received, TAPED)
SENDING = Scenario(lambda folder: _two_devices(folder, more_here=True), _send, _sent, TAPED)
