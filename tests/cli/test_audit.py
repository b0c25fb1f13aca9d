"""space audit and space pick: what a hostile device, member or relay did, as the command line tells it."""

import asyncio
import shutil
from pathlib import Path

import pytest

import chez
from chez.spaces.space import keep_statement
from chez.spaces.statements import Add, Role, sign_statement
from chez.store.database import Connection
from tests.cli.conftest import Pair
from tests.cli.support import PASSPHRASE, Chez, another, running_relay
from tests.home.pairing import PASSPHRASE as SHORT
from tests.people.persons import crooked_put, in_step, persons, shared
from tests.ports import free_port


def test_a_quiet_home_has_nothing_to_tell(either: Chez) -> None:
    """Where everything counts the audit says so; a space that is not there is named."""
    assert either.lines("space", "audit") == []
    assert "every entry counts" in either.run("space", "audit", "private").stdout
    assert either.error("space", "audit", "Nowhere")["code"] == "NotFound"
    assert either.error("space", "pick", "00" * 8)["code"] == "NotFound"
    assert either.error("space", "pick", "00")["code"] == "InvalidValue"


@pytest.mark.slow
def test_what_a_removed_device_wrote_unseen_is_told(two: Pair) -> None:
    """What it sent while its removal was on its way counts for nothing, and the audit says of whom and how much."""
    two.phone.run("put", "notes", "late", "n=1")
    two.phone.run("sync")
    two.laptop.run("device", "remove", "phone", "--yes")
    two.laptop.run("sync")
    assert two.laptop.error("get", "notes", "late")["code"] == "NotFound"
    found, = [one for one in two.laptop.lines("space", "audit") if one["kind"] == "late"]
    assert (found["name"], found["space_name"]) == ("phone", "private") and found["count"] >= 1
    assert "private: device 'phone' wrote 1 entry beyond what its removal accepted" in two.laptop.run(
        "space", "audit").stdout


def test_a_copied_device_is_a_fork_until_its_owner_picks(two: Pair, tmp_path: Path) -> None:
    """Two copies write at two relays: the audit shows what each wrote, and one pick settles it everywhere."""
    laptop, phone = two.laptop, two.phone
    copy = another(tmp_path, "copy", PASSPHRASE)
    shutil.copytree(phone.home, copy.home)
    phone.run("put", "notes", "here", "n=1")
    phone.run("sync")
    copy.run("put", "notes", "there", "n=2")
    with running_relay(tmp_path / "other", free_port()) as other:
        laptop.run("sync", "--relay", other)
        copy.run("sync", "--relay", other)
        laptop.run("sync", "--relay", other)
    laptop.run("sync")
    assert laptop.lines("ls") == []
    found, = laptop.lines("space", "audit")
    assert (found["kind"], found["name"], found["counts"], len(found["entries"])) == ("fork", "phone", None, 2)
    assert sorted(branch["records"] for branch in found["branches"]) == [["notes/here"], ["notes/there"]]
    text = laptop.run("space", "audit").stdout
    assert "2 different entries" in text and "notes/there" in text and "chez space pick" in text
    there = next(branch["entry"] for branch in found["branches"] if branch["records"] == ["notes/there"])
    assert there[:12] in text
    assert laptop.error("space", "pick", "f" * 64)["code"] == "NotFound"
    assert "(counts)" in laptop.run("space", "pick", there[:12]).stdout
    assert [one["id"] for one in laptop.lines("ls", "notes")] == ["there"]
    assert [one["counts"] for one in laptop.lines("space", "audit")] == [there]


@pytest.mark.slow
def test_beyond_a_removal_no_entry_can_be_picked(two: Pair, tmp_path: Path) -> None:
    """A fork that a device wrote after it was taken out: picking one of its entries says that it changes nothing."""
    laptop, phone = two.laptop, two.phone
    copy = another(tmp_path, "copy", PASSPHRASE)
    shutil.copytree(phone.home, copy.home)
    phone.run("put", "notes", "here", "n=1")
    phone.run("sync")
    copy.run("put", "notes", "there", "n=2")
    with running_relay(tmp_path / "other", free_port()) as other:
        laptop.run("sync", "--relay", other)
        copy.run("sync", "--relay", other)
        laptop.run("device", "remove", "phone", "--yes")
        laptop.run("sync", "--relay", other)
    laptop.run("sync")
    found, = laptop.lines("space", "audit")
    assert (found["kind"], found["counts"], len(found["entries"])) == ("fork", None, 2)
    assert "counts for nothing" in laptop.run("space", "pick", found["entries"][0][:12]).stdout
    assert laptop.json("space", "pick", found["entries"][1])["counts"] is None and laptop.lines("ls") == []


def test_members_who_break_the_rules_are_told(tmp_path: Path) -> None:
    """A reader who writes with a stolen key, and a writer who lets somebody in: refused, void, and told as such."""
    with running_relay(tmp_path / "relay", free_port()) as url:
        asyncio.run(_break_rules(tmp_path, url))
    anna = another(tmp_path, "anna", SHORT)
    found = {one["kind"]: one for one in anna.lines("space", "audit", "Trip")}
    assert set(found) == {"refused", "void"}
    assert (found["refused"]["name"], found["void"]["name"], found["void"]["said"]) == ("berta", "carl", "Add")
    text = anna.run("space", "audit").stdout
    assert "that device 'berta' sent was refused: its author may read here, not write" in text
    assert "device 'carl' wanted to let somebody in, which has no effect: it needs an owner" in text


async def _break_rules(folder: Path, url: str) -> None:
    async with persons(folder, "anna", "berta", "carl", "dora", relay=url) as (anna, berta, carl, dora):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="reader")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        await crooked_put(berta, hers, trip._held.space.epoch, {"n": 666}, "a")
        await _let_in(carl, his, dora.person_id)
        await in_step(carl, anna)


async def _let_in(home: chez.Home, space: chez.Space, person: bytes) -> None:
    """A device says what it has no right to."""
    def work(db: Connection) -> None:
        keys = space._held.space
        keep_statement(db, keys.n, keys.membership, sign_statement(
            Add(keys.id, keys.membership.named_heads, home.device_id, person, Role.OWNER, b""), home._device.signing))

    await home._database.write(work)


def test_a_relay_that_shows_two_logs_is_told(tmp_path: Path, fresh_pair: tuple[Path, int]) -> None:
    """One address, two logs: the first entry that crosses raises the alarm, and the audit names relay and device."""
    shutil.copytree(fresh_pair[0], tmp_path / "two")
    shutil.copytree(tmp_path / "two" / "relay", tmp_path / "fork")
    laptop, phone = (another(tmp_path / "two", name, PASSPHRASE) for name in ("laptop", "phone"))
    for device, store in ((laptop, tmp_path / "two" / "relay"), (phone, tmp_path / "fork")):
        with running_relay(store, fresh_pair[1]) as url:
            for number in range(3):
                device.run("put", "notes", f"{device.home.name}-{number}", "n=1")
                device.run("sync")
    laptop.run("put", "notes", "told", "n=1")
    with running_relay(tmp_path / "fork", free_port()) as side:
        laptop.run("sync", "--relay", side)
    with running_relay(tmp_path / "fork", fresh_pair[1]) as url:
        assert phone.error("sync")["code"] == "RelayMisbehaved"
    found = [one for one in phone.lines("space", "audit") if one["kind"] == "relay"]
    assert {(one["relay"], one["name"], one["hidden"]) for one in found} == {(url, "test", False)}
    assert f"the relay {url} showed other entries here than to device 'test'" in phone.run("space", "audit").stdout
