"""A relay that withholds, replaces or alters what recovery needs is named; what it has is had all the same."""

from pathlib import Path

import pytest

import chez
from chez.errors import LockedOut, RelayMisbehaved
from chez.keys import person_of
from chez.spaces.rotation import recovery_tag_of
from chez_wire.login import handle_of
from tests.people.lying import packets, rewrite, set_packet
from tests.people.proxy import behind, proxy
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again


def _place(words: str) -> tuple[bytes, bytes]:
    person = person_of(words)
    return handle_of(person.admin.public), recovery_tag_of(person.nonce, person.recovery.public)


async def _in_step(home: chez.Home, *, reseed: bool) -> None:
    """In step with a relay that lied: what speaks against it is raised, each time once."""
    for _ in range(5):
        try:
            await home.sync(reseed=reseed)
        except RelayMisbehaved:
            continue
        return
    raise AssertionError("the same is raised again and again")


async def test_a_packet_that_is_withheld_or_replaced_is_named(tmp_path: Path) -> None:
    """None, that of an earlier epoch, another person's, another device's, and noise: nothing is made of any."""
    async with proxy() as front:
        data = tmp_path / "r"
        async with behind(front, data), founded(tmp_path, front.url, "other") as (_, others):
            pass
        async with behind(front, data), founded(tmp_path, front.url) as (a, words):
            handle, tag = _place(words)
            first = packets(data, handle)[tag]
            await a.devices.rotate()
            await a.sync()
        true = packets(data, handle)
        theirs = packets(data, _place(others)[0])[_place(others)[1]]
        device = next(box for one, box in true.items() if one != tag)
        for box in (None, first, theirs, device):
            set_packet(data, handle, tag, box)
            async with behind(front, data):
                with pytest.raises(LockedOut) as told:
                    await back(tmp_path / "c", words, front.url)
            assert "chez take-back" in told.value.hint and not (tmp_path / "c").exists()
        set_packet(data, handle, tag, true[tag])
        async with behind(front, data):
            assert (await back(tmp_path / "c", words, front.url)).problem == ""


async def test_a_log_with_gaps_is_named_and_taken_as_it_is_on_demand(tmp_path: Path) -> None:
    """An entry left out in the middle: nothing is made of it unless the person says so; then the rest is there."""
    async with proxy() as front:
        data = tmp_path / "r"
        async with behind(front, data), founded(tmp_path, front.url) as (a, words):
            for number in range(4):
                await a.collection("notes").put({"n": number}, id=f"n{number}")
                await a.sync()
        handle, _ = _place(words)
        rewrite(data, handle, lambda log: log[:-2] + log[-1:])
        async with behind(front, data):
            with pytest.raises(RelayMisbehaved, match="does not show everything") as told:
                await back(tmp_path / "c", words, front.url)
            assert "--incomplete" in told.value.hint and not (tmp_path / "c").exists()
            result = await back(tmp_path / "c", words, front.url, incomplete=True, expel_others=True)
            assert result.missing == 1 and result.problem == ""
            async with open_again(tmp_path / "c") as c:
                assert await ids(c) == {"n0", "n1"}
                await c.collection("notes").put({"n": 9}, id="new")
                await c.sync()
            await back(tmp_path / "d", words, front.url, name="d", incomplete=True)


async def test_a_store_that_was_rolled_back_is_told_by_what_others_had_seen(tmp_path: Path) -> None:
    """An entry that names a head which the relay does not show any more: named, and taken as it is on demand."""
    async with proxy() as front:
        data = tmp_path / "r"
        async with behind(front, data), founded(tmp_path, front.url) as (a, words):
            async with join(a, tmp_path / "b", "b", front.url) as b:
                for number in range(3):
                    await a.collection("notes").put({"n": number}, id=f"a{number}")
                    await a.sync()
                await b.sync(front.url)
                await b.collection("notes").put({"n": 1}, id="b")
                await b.sync(front.url)
        rewrite(data, _place(words)[0], lambda log: log[:-3] + log[-1:])
        async with behind(front, data):
            with pytest.raises(RelayMisbehaved, match="does not show everything"):
                await back(tmp_path / "c", words, front.url)
            result = await back(tmp_path / "c", words, front.url, incomplete=True)
            assert result.problem == "" and result.records == 2
            async with open_again(tmp_path / "c") as c:
                assert await ids(c) == {"a0", "b"}
                await c.sync()
            # Whoever has the rest gives it back, and all of it is there.
            for name in ("a", "c"):
                async with open_again(tmp_path / name) as home:
                    await _in_step(home, reseed=name == "a")
                    assert await ids(home) == {"a0", "a1", "a2", "b"}
