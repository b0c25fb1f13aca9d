"""A home that was set back to what it was (a virtual machine's snapshot), and meets relays that know more of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import chez
from chez.errors import HomeCopied, RelayUnreachable
from tests.home.pairing import PASSPHRASE
from tests.people.persons import persons
from tests.people.proxy import Proxy, behind, proxy
from tests.people.support import ids, join, open_again


async def _put(home: chez.Home, *ids: str) -> None:
    for id in ids:
        await home.collection("notes").put({"n": id}, id=id)


async def _stands(home: chez.Home, *links: str, seconds: float) -> bool:
    """Whether the links to the home's relays come to stand like that in so many seconds."""
    for _ in range(int(seconds / 0.05)):
        if [status.link for status in (await home.status()).relays] == [*links]:
            return True
        await asyncio.sleep(0.05)
    return False


@asynccontextmanager
async def set_back(folder: Path, one: Proxy, two: Proxy) -> AsyncIterator[None]:
    """`folder`/anna is as it was before it wrote what the first of two relays has alone; `folder`/phone knows both."""
    async with behind(one, folder / "one"):
        async with behind(two, folder / "two"), persons(folder, "anna", relay=one.url) as (anna,):
            await anna.relays.add(two.url)
            await _put(anna, "early")
            await anna.sync(everywhere=True)
            async with join(anna, folder / "phone", "phone", one.url) as phone:
                await phone.sync(everywhere=True)
            await anna.sync(everywhere=True)
        shutil.copytree(folder / "anna", folder / "before")
        async with open_again(folder / "anna") as anna:
            await _put(anna, "at one alone")
            await anna.sync()
        shutil.rmtree(folder / "anna")
        (folder / "before").rename(folder / "anna")
    yield


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.slow
async def test_no_relay_is_sent_anything_before_the_others_were_read(tmp_path: Path, stays: bool) -> None:
    """The second relay, which answers at once, hears nothing that the first one knows to be another's number."""
    async with proxy() as one, proxy() as two, set_back(tmp_path, one, two), behind(one, tmp_path / "one"), behind(
            two, tmp_path / "two"), open_again(tmp_path / "phone") as phone:
        async with open_again(tmp_path / "anna") as anna:
            await _put(anna, "after")
            one.passes.clear()
            asyncio.get_running_loop().call_later(1.0, one.passes.set)
            if stays:
                async with anna.connect() as link, asyncio.timeout(60):
                    while link.status != "failed":
                        await link.turn()
                    assert isinstance(link.error, HomeCopied)
                    await _put(anna, "still")
                    with pytest.raises(HomeCopied):
                        await anna.sync()
            else:
                with pytest.raises(HomeCopied):
                    await anna.sync()
        await phone.sync(everywhere=True)
        assert await ids(phone) == {"early", "at one alone"} and await phone.audit() == []
        done = await chez.become_new_device(tmp_path / "anna", passphrase=PASSPHRASE, name="anna again")
        assert done.records == 1 + stays
        async with open_again(tmp_path / "anna") as anna:
            await anna.sync(everywhere=True)
            await phone.sync(everywhere=True)
            await anna.sync(everywhere=True)
            assert await ids(phone) == await ids(anna) == {"early", "at one alone", "after", *["still"] * stays}


async def test_a_home_that_heard_of_its_copy_sends_nothing_more_to_any_relay(tmp_path: Path) -> None:
    """What it sent where nobody knew better stands; from the moment it hears, each sync says so, and nothing leaves."""
    async with proxy() as one, proxy() as two, set_back(tmp_path, one, two), behind(
            two, tmp_path / "two"), open_again(tmp_path / "anna") as anna, open_again(tmp_path / "phone") as phone:
        await _put(anna, "after")
        await anna.sync()  # the first relay is away
        with pytest.raises(RelayUnreachable):
            await anna.sync(everywhere=True)
        async with behind(one, tmp_path / "one"):
            with pytest.raises(HomeCopied):
                await anna.sync()
        await _put(anna, "late")
        for _ in range(2):
            with pytest.raises(HomeCopied):
                await anna.sync()
        async with anna.connect():
            assert await _stands(anna, "connecting", "failed", seconds=30.0)
        await phone.sync()
        assert "late" not in await ids(phone)
        assert (await anna.status()).pending > 0


async def _at_both(folder: Path, one: str, two: str) -> None:
    """A home of anna's that is in step at two relays, and closed."""
    async with persons(folder, "anna", relay=one) as (anna,):
        await anna.relays.add(two)
        await anna.sync(everywhere=True)


async def test_a_relay_that_never_comes_to_its_end_keeps_others_waiting_for_a_while_only(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is about, a home that begins is in step with another one soon."""
    monkeypatch.setattr("chez.sync.kept.LONGEST_WAIT", 1.0)
    async with proxy() as one, proxy() as two, behind(one, tmp_path / "one"), behind(two, tmp_path / "two"):
        await _at_both(tmp_path, one.url, two.url)
        one.passes.clear()
        async with open_again(tmp_path / "anna") as anna:
            await _put(anna, "late")
            async with anna.connect():
                assert await _stands(anna, "connecting", "synced", seconds=8.0)
        one.passes.set()


async def test_who_was_away_is_in_step_with_both_relays_at_once(tmp_path: Path) -> None:
    """While each is read to its end what waits for it waits for the other; then it goes, to the last that was read too.
    """
    async with proxy() as one, proxy() as two, behind(one, tmp_path / "one"), behind(two, tmp_path / "two"):
        async with persons(tmp_path, "anna", relay=one.url) as (anna,):
            await anna.relays.add(two.url)
            await anna.sync(everywhere=True)
            async with join(anna, tmp_path / "phone", "phone", one.url) as phone:
                await anna.sync(everywhere=True)
                for number in range(40):
                    await phone.collection("notes").put({"text": "x" * 3000}, id=f"{number}")
                await phone.sync(everywhere=True)
        async with open_again(tmp_path / "anna") as anna:
            await _put(anna, "late")
            async with anna.connect():
                assert await _stands(anna, "synced", "synced", seconds=20.0)


@pytest.mark.slow
async def test_who_waits_for_a_sync_is_kept_by_no_relay_that_never_comes_to_its_end(tmp_path: Path) -> None:
    """Each sync would end without anything sent to the relay that is there: however short it is waited for, it is."""
    async with proxy() as one, proxy() as two, behind(one, tmp_path / "one"), behind(two, tmp_path / "two"):
        await _at_both(tmp_path, one.url, two.url)
        one.passes.clear()
        async with open_again(tmp_path / "anna") as anna:
            await _put(anna, "late")
            assert (await anna.sync(timeout=6.0)).sent == 1
        one.passes.set()
