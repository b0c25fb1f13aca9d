"""Pairing goes on after a device of one's own went bad: whatever it said, and whichever keys it gave out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chez import crypto
from chez.errors import RelayRefused
from chez.keys.epochs import Epoch
from chez.spaces.copies import say_everywhere
from chez.spaces.rotation import Packet, packets_for, tag_of
from chez.spaces.state import State
from chez.spaces.statements import RenameDevice, sign_statement
from chez.store.database import Connection
from chez.sync import rotating
from chez_wire.limits import MAX_INBOX_ITEM
from tests.people.recovering import founded
from tests.people.support import ids, join, open_again
from tests.people.test_take_back import taken_back
from tests.relay.within import Within

WORDS = 300


async def test_a_device_that_said_very_much_keeps_no_other_from_coming(tmp_path: Path, server: Within) -> None:
    """What is handed over to a new device is longer than an item of an inbox: it comes in several."""
    async with founded(tmp_path, server.url, "laptop") as (laptop, _):
        async with join(laptop, tmp_path / "thief", "thief", server.url) as thief:
            def work(db: Connection) -> None:
                spaces, device = [thief._replica.space], thief._device
                for number in range(WORDS):
                    heads = spaces[0].membership.person_heads(thief.person_id)
                    say_everywhere(db, spaces, sign_statement(RenameDevice(
                        thief.person_id, heads, device.id, device.id, f"{number:0128}"), device.signing))

            await thief._database.write(work)
            await thief.sync()
            await laptop.sync()
            await laptop.devices.remove(thief.device_id)
        assert sum(len(one.raw) for one in laptop._replica.space.membership.statements) > MAX_INBOX_ITEM
        await laptop.collection("notes").put({"n": 1}, id="after")
        async with join(laptop, tmp_path / "new", "new", server.url) as new:
            assert await ids(new) == {"after"}
            assert [info.name for info in await new.devices.all() if info.active] == ["new", "laptop"]


@contextmanager
def false_keys(patch: pytest.MonkeyPatch, sealing: bytes) -> Iterator[None]:
    """Epochs that begin meanwhile have keys of an epoch that nobody started for the device with this sealing key."""
    def crooked(space: bytes, state: State, epoch: Epoch, *rest: object) -> list[Packet]:
        false = Epoch(crypto.random_bytes(32), epoch.number, *(crypto.random_bytes(32) for _ in range(3)))
        tag = tag_of(space, sealing)
        there = [one for one in packets_for(space, state, epoch, *rest) if one.tag != tag]  # type: ignore[arg-type]
        return [*there, *(one for one in packets_for(space, state, false, *rest)  # type: ignore[arg-type]
                          if one.tag == tag)]

    with patch.context() as patched:
        patched.setattr(rotating, "packets_for", crooked)
        yield


async def test_keys_that_a_thief_made_up_keep_no_other_from_coming(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that was given false keys, and took its spaces back, hands over the true ones."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        async with join(thief, tmp_path / "left", "left", server.url) as left:
            with false_keys(monkeypatch, left._device.sealing.public):
                await thief.devices.rotate()
                await thief.sync()
            with pytest.raises(RelayRefused):
                await left.sync()
            space = left._replica.space
            assert [id for id in space.epochs if space.membership.epoch(id) is None]
        assert (await taken_back(tmp_path / "left", words, expel=["thief"])).problem == ""
        async with open_again(tmp_path / "left") as left:
            await left.collection("notes").put({"n": 1}, id="after")
            async with join(left, tmp_path / "new", "new", server.url) as new:
                assert await ids(new) == {"after"}
