"""device list, rename, remove, rotate: with a real relay, with and without an owner."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Pair
from tests.cli.support import Chez, Terminal, another, pair, until


def named(chez: Chez) -> dict[str, dict[str, object]]:
    """The devices that a home lists, by name."""
    return {one["name"]: one for one in chez.lines("device", "list")}


def let_in_a_tablet(two: Pair, folder: Path) -> None:
    """The phone lets in a third device, and tells of it."""
    tablet = another(folder, "tablet")
    pair(two.phone, tablet, two.url, "tablet")
    two.phone.run("sync")


def test_devices_are_listed_and_renamed(two: Pair) -> None:
    """Both devices show both: who let in whom, when each was last seen, which one this is; a new name arrives."""
    assert two.laptop.json("device", "rename", "phone", "pocket")["name"] == "pocket"
    for device in (two.phone, two.laptop, two.phone):
        device.run("sync")
    listed = named(two.phone)
    assert list(listed) == ["pocket", "test"] and listed["pocket"]["own"] and not listed["test"]["own"]
    assert listed["pocket"]["let_in_by"] == "test" and listed["test"]["let_in"] == [listed["pocket"]["id"]]
    assert all(one["active"] and one["seen"] and one["removed_by"] is None for one in listed.values())
    shown = two.phone.run("device", "list").stdout
    assert "this device" in shown and str(listed["test"]["fingerprint"]) in shown
    assert two.laptop.error("device", "rename", "nobody", "x")["code"] == "NotFound"
    assert two.laptop.error("device", "rename", "pocket", "a\nb")["code"] == "InvalidValue"


@pytest.mark.parametrize("owned", [False, True])
def test_a_removed_device_hears_of_it_and_wipes_itself(two: Pair, owned: bool) -> None:
    """The removed device says who told it so, receives nothing new, keeps what it has, and `chez wipe` works.

    The device that removed it does so with or without an owner.
    """
    laptop, phone = two.laptop, two.phone
    laptop.run("put", "notes", "before", "n=1")
    laptop.run("sync")
    phone.run("sync")
    if owned:
        laptop.up()
    done = laptop.json("device", "remove", "phone", "--yes")
    assert [(one["name"], one["active"], one["removed_by"]) for one in done["removed"]] == [("phone", False, "test")]
    laptop.run("put", "notes", "after", "n=2")
    laptop.run("sync")
    failed = phone.error("sync")
    assert failed["code"] == "RelayRefused" and "removed" in failed["message"]
    assert [one["id"] for one in phone.lines("ls", "notes")] == ["before"]
    for words in (("status",), ("device", "list")):
        assert "this device was removed (test says so): it receives nothing new; `chez wipe` erases it" in phone.run(
            *words).stdout
    assert named(phone)["phone"]["active"] is False
    for act in (("rename", "test", "mine"), ("rotate",)):
        assert phone.error("device", *act)["code"] == "NotAllowed"
    phone.run("wipe", "--yes", passphrase=False)
    assert not phone.home.exists()
    assert laptop.error("device", "remove", "phone", "--yes")["code"] == "NotFound"


@pytest.mark.slow
def test_who_only_brings_word_of_a_removal_is_not_said_to_have_done_it(two: Pair, tmp_path: Path) -> None:
    """One device removes the phone, another makes new keys before the phone comes: that one's word is what it finds."""
    tablet = another(tmp_path, "tablet")
    pair(two.laptop, tablet, two.url, "tablet")
    two.laptop.run("sync")
    two.phone.run("sync")
    two.laptop.run("device", "remove", "phone", "--yes")
    two.laptop.run("sync")
    tablet.run("sync")
    tablet.run("device", "rotate")
    tablet.run("sync")
    two.phone.run("sync", code=1)
    for words in (("status",), ("device", "list"), ("space", "list")):
        said = two.phone.run(*words).stdout
        assert "removed (tablet says so)" in said and "removed by" not in said, words
    assert "removed by test" in tablet.run("device", "list").stdout
    tablet.end()


def test_a_device_whose_owner_runs_hears_of_its_removal_by_itself(two: Pair) -> None:
    """With an owner running on the removed device nobody asks for anything there: status tells, and wipe ends it."""
    two.phone.up()
    until(lambda: two.phone.json("status")["link"] == "synced")
    two.laptop.run("device", "remove", "phone", "--yes")
    two.laptop.run("sync")
    until(lambda: two.phone.json("status")["removed"])
    assert two.phone.json("status")["spaces"][0]["removed_by"] == "test"
    two.phone.run("wipe", "--yes", passphrase=False)
    assert not two.phone.home.exists()


def test_a_restored_home_that_no_relay_lets_in_is_not_said_to_be_no_removed_one(two: Pair, tmp_path: Path) -> None:
    """Its status says what the relay did, what that may mean, and where to look; to programs, that it is shut out."""
    two.phone.run("backup", str(tmp_path / "backup"))
    two.laptop.run("device", "remove", "phone", "--yes")
    two.laptop.run("sync")
    two.phone.run("restore", str(tmp_path / "backup"), str(tmp_path / "again"), "--kdf", "minimum")
    again = Chez(tmp_path / "again", two.phone.passphrase_file)
    again.run("sync", code=1)
    found = again.json("status")
    assert found["shut_out"] and not found["removed"]
    said = again.run("status").stdout
    assert "lets this device in no more: it may have been removed (`chez device list` on another device" in said
    assert re.search(r"(?m)^removed +maybe$", said) and "shut_out" not in said
    assert re.search(r"(?m)^removed +no$", two.laptop.run("status").stdout)


def test_the_person_sees_what_goes_and_is_asked(two: Pair, tmp_path: Path) -> None:
    """A removal shows the device and those it let in, asks about each of them, and no removes nothing.

    For scripts --yes takes the device alone; --too takes those with it that it had let in, and no others.
    """
    laptop = two.laptop
    let_in_a_tablet(two, tmp_path)
    laptop.up()
    laptop.run("sync")
    fingerprint = str(named(laptop)["tablet"]["fingerprint"])
    assert laptop.error("device", "remove", "tablet", "--too", "phone", "--yes")["code"] == "InvalidValue"
    assert laptop.error("device", "remove", "phone")["code"] == "NotAllowed"  # nobody is there to answer
    assert laptop.error("device", "remove", "test", "--yes")["code"] == "NotAllowed"
    for answers, code in ((("no", "no"), 1), (("yes", "yes"), 0)):
        terminal = Terminal(laptop.arguments("device", "remove", "phone"))
        terminal.expect("it let in tablet")
        terminal.expect("Remove 'tablet' too")
        terminal.type(answers[0] + "\n")
        terminal.expect("from all your spaces")
        terminal.type(answers[1] + "\n")
        assert terminal.finish() == code
        assert fingerprint in terminal.seen and "last seen" in terminal.seen
        assert {one["active"] for name, one in named(laptop).items() if name != "test"} == {code == 1}


def test_what_a_device_let_in_stays_unless_it_is_named(two: Pair, tmp_path: Path) -> None:
    """For scripts --yes takes the device alone."""
    let_in_a_tablet(two, tmp_path)
    two.laptop.run("sync")
    two.laptop.run("device", "remove", "phone", "--yes")
    assert {name for name, one in named(two.laptop).items() if one["active"]} == {"test", "tablet"}


def test_rotate_starts_new_epochs(two: Pair) -> None:
    """In the private space, in one by name, or in all that the person owns; another device goes on reading."""
    laptop = two.laptop
    laptop.up()
    laptop.run("space", "create", "Trip")
    assert [(one["name"], one["epoch"]) for one in laptop.lines("device", "rotate")] == [("private", 2)]
    assert [(one["name"], one["epoch"]) for one in laptop.lines("device", "rotate", "--space", "Trip")] == [("Trip", 2)]
    assert [one["epoch"] for one in laptop.lines("device", "rotate", "--all")] == [3, 3]
    assert laptop.error("device", "rotate", "--all", "--space", "Trip", code=2)["code"] == "Usage"
    assert laptop.error("device", "rotate", "--space", "Nowhere")["code"] == "NotFound"
    laptop.run("put", "notes", "new", "n=1", "--space", "Trip")
    for device in (laptop, two.phone):
        assert device.json("sync")["problems"] == []
    assert two.phone.json("get", "notes", "new", "--space", "Trip")["value"] == {"n": 1}
    assert len(laptop.lines("journal", "--kind", "epoch-started")) == 4
