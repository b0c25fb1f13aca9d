"""A restored or copied home beside the device it comes from, at a real relay: both go on, and all agree."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.crypto import Kdf, random_bytes
from chez.errors import HomeBusy, HomeCopied
from tests.home.conftest import PASSPHRASE
from tests.home.test_import_twice import Pair, everything, pair

__all__ = ("pair",)

BANK = Path(__file__).parents[1] / "data" / "bank-ofx" / "checking.ofx"


@pytest.fixture
async def offline(pair: Pair, tmp_path: Path) -> AsyncIterator[Pair]:
    """A pair in step, and then work on the laptop that was not sent, and a backup of it."""
    notes = pair.laptop.collection("notes")
    await notes.put({"list": ["first"], "title": "Tea"}, id="sent")
    await notes.put({"secret": 1}, id="purged")
    await pair.meet()
    async with notes.edit("sent") as draft:
        draft["list"].append("unsent")
        draft["cups"] = 2
    await notes.put({"list": [{"n": 1}]}, id="new")
    await notes.delete("purged")
    await notes.purge("purged")
    await pair.laptop.import_file(BANK)
    await pair.laptop.backup(tmp_path / "backup")
    yield pair


async def again(tmp_path: Path) -> Path:
    """The backup, restored."""
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, name="again", kdf=Kdf.minimum())
    return tmp_path / "again"


async def agree(*homes: chez.Home, url: str) -> dict[tuple[str, str], Any]:
    """All in step, and what they all hold."""
    for _ in range(2):
        for home in homes:
            assert (await home.sync(url)).quarantined == 0
    found = [await everything(home) for home in homes]
    assert all(one == found[0] for one in found)
    return found[0]


async def test_what_a_lost_device_had_not_sent_arrives(offline: Pair, tmp_path: Path) -> None:
    """The laptop is lost: the phone gets its unsent work from the restored home, and both go on."""
    before = await everything(offline.laptop)
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        assert await everything(home) == before
        assert await agree(home, offline.phone, url=offline.url) == before
        with pytest.raises(chez.ChezError, match="purged"):
            await offline.phone.collection("notes").put({}, id="purged")
        await offline.phone.collection("notes").put({"from": "phone"}, id="p")
        await home.collection("notes").put({"from": "again"}, id="a")
        found = await agree(home, offline.phone, url=offline.url)
        assert found["notes", "p"][0] == {"from": "phone"} and found["notes", "a"][0] == {"from": "again"}
        assert set((await offline.phone.status()).devices) == {"laptop", "phone", "again"}


async def test_what_a_lost_device_had_said_of_devices_arrives(pair: Pair, tmp_path: Path) -> None:
    """It stood in an entry that no relay got: the restored home says it anew."""
    await pair.meet()
    await pair.laptop.devices.rename("phone", "mobile")
    await pair.laptop._database.write(pair.laptop._spaces.private.replica.author.flush)
    await pair.laptop.backup(tmp_path / "backup")
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        await home.sync(pair.url)
        await pair.phone.sync(pair.url)
        assert {one.name for one in await pair.phone.devices.all()} == {"laptop", "mobile", "again"}


@pytest.mark.parametrize("together", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_what_others_built_upon_arrived_whatever_the_relay_acknowledged(pair: Pair, tmp_path: Path,
                                                                              together: bool) -> None:
    """The device was lost before it heard that its work was taken: what the phone went on with is not said anew, nor is
    the rest of what became visible with it; what came after it is."""
    notes, others = pair.laptop.collection("notes"), pair.phone.collection("notes")
    if together:
        def work(t: chez.Transaction) -> None:
            for id in "abc":
                t.put(notes, {"much": random_bytes(400_000)}, id=id)
                if id == "a":
                    t.put(notes, {"list": ["arrived"]}, id="tea")

        await pair.laptop.transaction(work)
    else:
        await notes.put({"list": ["arrived"]}, id="tea")
    await pair.meet()
    async with others.edit("tea") as draft:
        draft["list"].append("built")
    await pair.meet()
    await pair.laptop._database.write(lambda db: db.execute("UPDATE cursor SET acknowledged = 0"))
    async with notes.edit("tea") as draft:
        draft["list"].append("unsent")
    await pair.laptop.backup(tmp_path / "backup")
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        found = await agree(home, pair.phone, url=pair.url)
        assert found["notes", "tea"][0] == {"list": ["arrived", "built", "unsent"]}


@pytest.mark.slow
async def test_what_the_lost_device_sent_after_all_is_not_there_twice(offline: Pair, tmp_path: Path) -> None:
    """The laptop sent its work after the backup was made: nothing is doubled, and edits made meanwhile stay."""
    before = await everything(offline.laptop)
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        async with home.collection("notes").edit("sent") as draft:
            draft["list"].append("restored")
        await offline.laptop.sync(offline.url)
        found = await agree(home, offline.phone, offline.laptop, url=offline.url)
        assert found["notes", "sent"][0] == {"list": ["first", "unsent", "restored"], "title": "Tea", "cups": 2}
        assert {**found, ("notes", "sent"): None} == {**before, ("notes", "sent"): None}


@pytest.mark.slow
async def test_an_edit_that_is_open_while_the_work_arrives_is_kept(offline: Pair, tmp_path: Path) -> None:
    """What the edit builds on is made anew under it; what the person changed is there all the same."""
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        await offline.laptop.sync(offline.url)
        async with home.collection("notes").edit("sent") as draft:
            draft["cups"] = 3
            draft["more"] = True
            await home.sync(offline.url)
        found = await agree(home, offline.phone, url=offline.url)
        assert found["notes", "sent"][0] == {"list": ["first", "unsent"], "title": "Tea", "cups": 3, "more": True}


@pytest.mark.slow
async def test_what_was_undone_before_the_work_arrived_can_be_undone_after_it(offline: Pair, tmp_path: Path) -> None:
    """The edit that was undone and done again is made anew beneath the person: undo takes that back, redo brings it."""
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        async with notes.edit("sent") as draft:
            draft["title"] = "Coffee"
        await notes.undo("sent")
        await notes.redo("sent")
        await offline.laptop.sync(offline.url)
        await home.sync(offline.url)
        assert (await notes.get("sent")).value["title"] == "Coffee"
        await notes.undo("sent")
        found = await agree(home, offline.phone, offline.laptop, url=offline.url)
        assert found["notes", "sent"][0] == {"list": ["first", "unsent"], "title": "Tea", "cups": 2}
        await notes.redo("sent")
        found = await agree(home, offline.phone, offline.laptop, url=offline.url)
        assert found["notes", "sent"][0] == {"list": ["first", "unsent"], "title": "Coffee", "cups": 2}


async def test_both_go_on(offline: Pair, tmp_path: Path) -> None:
    """The laptop was not lost, and sends its work later: all three agree, and neither is taken for an impostor."""
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as home:
        await agree(home, offline.phone, url=offline.url)
        await offline.laptop.collection("notes").put({"from": "laptop"}, id="l")
        await home.collection("notes").put({"from": "again"}, id="a")
        found = await agree(offline.laptop, home, offline.phone, url=offline.url)
        assert found["notes", "l"][0] == {"from": "laptop"} and found["notes", "a"][0] == {"from": "again"}
        assert found["notes", "sent"][0]["cups"] == 2
        for one in (home, offline.laptop, offline.phone):
            assert (await one.journal.verify()).ok


@pytest.mark.slow
async def test_one_backup_restored_twice_says_its_work_once(pair: Pair, tmp_path: Path) -> None:
    """Two devices restored from one backup both send its unsent work: it is there once, and edits of both merge."""
    notes = pair.laptop.collection("notes")
    await notes.put({"list": ["first"], "cups": chez.Counter(1), "body": chez.Text("Tea")}, id="sent")
    await pair.meet()
    async with notes.edit("sent") as draft:
        draft["list"].append("unsent")
        draft["cups"] += 5
        draft["body"].append(" and milk")
    await notes.put({"list": [1], "cups": chez.Counter(2), "parts": {"in": chez.Counter(3)}}, id="new")
    async with notes.edit("new") as draft:
        draft["list"].append(2)
        draft["parts"]["in"] += 10
    await pair.laptop.import_file(BANK)
    accounts = pair.laptop.collection("accounts")
    async with accounts.edit((await accounts.where().all())[0].id) as account:
        account["tags"] = ["mine"]
    before = await everything(pair.laptop)
    await pair.laptop.backup(tmp_path / "backup")
    for name in ("one", "two"):
        await chez.restore(tmp_path / "backup", tmp_path / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
    async with (chez.open(tmp_path / "one", passphrase=PASSPHRASE) as one,
                chez.open(tmp_path / "two", passphrase=PASSPHRASE) as two):
        hashes = [await home._database.read(lambda db: sorted(db.execute(
            "SELECT hash, bytes FROM change WHERE state = 1").fetchall())) for home in (one, two)]
        assert hashes[0] == hashes[1]
        async with one.collection("notes").edit("new") as draft:
            draft["list"].append("one")
            draft["parts"]["in"] += 100
        async with two.collection("notes").edit("new") as draft:
            draft["list"].insert(0, "two")
            draft["parts"]["in"] += 1000
        found = await agree(one, two, pair.phone, url=pair.url)
        assert found["notes", "sent"][0] == {"body": chez.Text("Tea and milk"), "cups": 6, "list": ["first", "unsent"]}
        assert found["notes", "new"][0] == {"cups": 2, "list": ["two", 1, 2, "one"], "parts": {"in": 1113}}
        assert {**found, ("notes", "new"): None} == {**before, ("notes", "new"): None}
        kinds = [change.kind for change in await pair.phone.collection("notes").history("sent")]
        assert kinds == ["edited", "created"]
        for home in (one, two):
            assert (await home.status()).pending == 0


@pytest.mark.slow
async def test_the_second_copy_restored_later_still_says_nothing_twice(pair: Pair, tmp_path: Path) -> None:
    """What the first copy sent is known everywhere, and edited, before the second copy comes with the same work."""
    notes = pair.laptop.collection("notes")
    await notes.put({"cups": chez.Counter(1)}, id="a")
    await pair.meet()
    async with notes.edit("a") as draft:
        draft["cups"] += 5
    await pair.laptop.backup(tmp_path / "backup")
    names = ("one", "two")
    for name in names:
        await chez.restore(tmp_path / "backup", tmp_path / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "one", passphrase=PASSPHRASE) as one:
        await one.sync(pair.url)
        await pair.phone.sync(pair.url)
        for home in (one, pair.phone):
            async with home.collection("notes").edit("a") as draft:
                draft["cups"] += 10
        await pair.phone.sync(pair.url)
        async with chez.open(tmp_path / "two", passphrase=PASSPHRASE) as two:
            async with two.collection("notes").edit("a") as draft:
                draft["cups"] += 100
            found = await agree(two, one, pair.phone, url=pair.url)
            assert found["notes", "a"][0] == {"cups": 126}
            assert (await two.status()).pending == 0


async def test_a_home_that_never_met_a_relay(home: chez.Home, tmp_path: Path) -> None:
    """All of it is unsent: it goes out in the new device's name, its beginning included, and another joins."""
    from tests.relay.within import relay

    await home.collection("notes").put({"list": [1]}, id="a")
    await home.import_file(BANK)
    before = await everything(home)
    await home.backup(tmp_path / "backup")
    async with (relay(tmp_path / "relay") as process,
                chez.open(await again(tmp_path), passphrase=PASSPHRASE) as restored):
        await restored.sync(process.url)
        async with restored.pair(process.url) as pairing:
            import asyncio

            await asyncio.gather(pairing.confirm(), chez.join(
                tmp_path / "phone", pairing.code, passphrase=PASSPHRASE, name="phone", kdf=Kdf.minimum()))
        async with chez.open(tmp_path / "phone", passphrase=PASSPHRASE) as phone:
            assert await agree(phone, restored, url=process.url) == before


async def test_a_copied_folder_becomes_a_device_of_its_own(pair: Pair, tmp_path: Path) -> None:
    """Both copies wrote: the second to sync is told, becomes a new device in place, and its work arrives."""
    await pair.laptop.collection("notes").put({"n": 1}, id="a")
    await pair.meet()
    shutil.copytree(pair.laptop.path, tmp_path / "copy")
    await pair.laptop.collection("notes").put({"from": "laptop"}, id="l")
    await pair.laptop.sync(pair.url)
    async with chez.open(tmp_path / "copy", passphrase=PASSPHRASE) as copy:
        await copy.collection("notes").put({"from": "copy"}, id="c")
        with pytest.raises(HomeCopied) as caught:
            await copy.sync(pair.url)
        assert "--as-new-device" in caught.value.hint
        assert [(one.kind, one.harm) for one in await copy.examine()] == [("copy", True), ("copy", False)]
        with pytest.raises(HomeBusy):
            await chez.become_new_device(tmp_path / "copy", passphrase=PASSPHRASE)
    mended = await chez.doctor(tmp_path / "copy", passphrase=PASSPHRASE, repair=True)
    assert mended.done == () and not mended.sound  # what is to be done, a person decides
    done = await chez.become_new_device(tmp_path / "copy", passphrase=PASSPHRASE, name="copy")
    assert done.former == pair.laptop.device_id != done.device and done.records == 1
    async with chez.open(tmp_path / "copy", passphrase=PASSPHRASE) as copy:
        assert await copy.examine() == [] == await pair.laptop.examine()
        there = await agree(copy, pair.phone, pair.laptop, url=pair.url)
        assert {id for _, id in there} == {"a", "l", "c"}
        assert [receipt.body["why"] for receipt in await copy.journal.receipts("device-renewed")] == ["copied"]


async def test_large_and_many_changes_are_made_anew(home: chez.Home, tmp_path: Path) -> None:
    """More than one change can hold, a record with a snapshot, and texts, counters and deletions among them."""
    notes = home.collection("notes")
    await notes.put({"a": "x" * 600_000}, id="large")
    async with notes.edit("large") as draft:
        draft["b"] = "y" * 600_000
    for number in range(210):
        await notes.put({"n": number}, id="long")
    await notes.put({"text": chez.Text("Tea"), "count": chez.Counter(3), "gone": None}, id="rich")
    async with notes.edit("rich") as draft:
        draft["text"].insert(3, " time")
        draft["count"] += 2
        del draft["gone"]
    await notes.put({"n": 1}, id="deleted")
    await notes.delete("deleted")
    before = await everything(home)
    await home.backup(tmp_path / "backup")
    async with chez.open(await again(tmp_path), passphrase=PASSPHRASE) as restored:
        assert await everything(restored) == before
        assert await restored._database.write(restored._replica.author.collect)  # it fits into entries
        with pytest.raises(chez.ChezError):
            await restored.collection("notes").get("deleted")
