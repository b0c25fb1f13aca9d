"""A stolen device that starts an epoch while it is being taken out: the relay recovery key has the last word."""

from pathlib import Path
from typing import Any

import pytest

import chez
from chez import crypto
from chez.errors import RelayRefused
from chez.keys import person_of
from chez.keys.epochs import Epoch
from chez.spaces.rotation import Packet, _seal, recovery_tag_of
from chez.spaces.space import keep_statement
from chez.spaces.state import State
from chez.spaces.statements import Move, Role, sign_statement
from chez.store.database import Connection
from chez.sync import rotating
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again
from tests.relay.within import Within


async def test_a_thief_that_rotates_meanwhile_is_out_all_the_same(tmp_path: Path, server: Within) -> None:
    """After the person's yes: what it started is void, the relay has the new device's keys, the words go on working."""
    async with founded(tmp_path, server.url) as (a, words):
        trip = await a.create_space("Trip")
        await a.collection("notes").put({"n": 1}, id="mine")
        await trip.collection("notes").put({"n": 1}, id="trip")
        await a.sync()

        async def thief(question: str, *, default: str | None = None) -> str:
            await a.devices.rotate(everywhere=True)
            await a.collection("notes").put({"n": 2}, id="thief")
            await a.sync()
            return "yes"

        await _recovered_and_out(tmp_path, words, server, a, thief)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["nothing", "reading", "reading, long before"])
async def test_a_thief_that_keeps_keys_from_the_recovery_packet_comes_too_late(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    """It leaves the packet away, or puts into it what only reads: the relay recovery key replaces its keys."""
    async with founded(tmp_path, server.url) as (a, words):
        await a.collection("notes").put({"n": 1}, id="mine")
        await a.sync()
        person, true = person_of(words), rotating.packets_for

        def crooked(space: bytes, state: State, epoch: Epoch, *rest: Any) -> list[Packet]:
            tag = recovery_tag_of(person.nonce, person.recovery.public)
            packets = [packet for packet in true(space, state, epoch, *rest) if packet.tag != tag]
            reads = Packet(tag, _seal(space, epoch, Role.READER, person.recovery.public))
            return packets if kept == "nothing" else [*packets, reads]

        async def thief(question: str, *, default: str | None = None) -> str:
            with monkeypatch.context() as patch:
                patch.setattr(rotating, "packets_for", crooked)
                await a.devices.rotate()
                await a.collection("notes").put({"n": 2}, id="thief" if kept != "reading, long before" else "mine")
                await a.sync()
            return "yes"

        before = kept == "reading, long before"
        if before:
            await thief("")
        await _recovered_and_out(tmp_path, words, server, a, _yes if before else thief)


async def _yes(question: str, *, default: str | None = None) -> str:
    return "yes"


async def _recovered_and_out(folder: Path, words: str, server: Within, a: chez.Home, thief: Any) -> None:
    result = await back(folder / "c", words, server.url, ask=thief)
    assert [info.name for info in result.expelled] == ["a"] and result.problem == ""
    with pytest.raises(RelayRefused):
        await a.sync()
    async with open_again(folder / "c") as c:
        await c.collection("notes").put({"n": 3}, id="after")
        await c.sync()
        assert await ids(c) == {"mine", "after"}
    again = await back(folder / "d", words, server.url, name="d")
    assert again.problem == "" and all(not space.problem for space in again.spaces)
    async with open_again(folder / "d") as d:
        assert await ids(d) == {"mine", "after"}


async def test_a_private_space_has_one_place_whatever_a_device_says(tmp_path: Path, server: Within) -> None:
    """A thief's word that it moved is void: the other devices and the words find it where it always was."""
    async with founded(tmp_path, server.url) as (a, words):
        async with join(a, tmp_path / "b", "b", server.url) as b:
            await a.collection("notes").put({"n": 1}, id="mine")
            keys, handle = a._replica.space, a._replica.space.handle

            def moved(db: Connection) -> None:
                away = crypto.SigningKey.from_seed(bytes(32)).public
                keep_statement(db, keys.n, keys.membership, sign_statement(
                    Move(keys.id, keys.membership.named_heads, a.device_id, away), a._device.signing))

            await a._database.write(moved)
            await a.sync()
            await b.sync()
            assert [one.said for one in await b.audit()] == ["Move"]
            assert a._replica.space.handle == b._replica.space.handle == handle
        assert (await back(tmp_path / "c", words, server.url)).problem == ""
        async with open_again(tmp_path / "c") as c:
            assert await ids(c) == {"mine"} and c._replica.space.handle == handle
