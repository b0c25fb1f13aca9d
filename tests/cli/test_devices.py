"""relay, sync, pair, join, journal, with a real relay."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import Chez, Terminal, another, pair, running_relay, until
from tests.home.pairing import PASSPHRASE, paired
from tests.ports import free_port


def test_the_relay_is_set_and_shown(either: Chez) -> None:
    """`chez relay URL` is kept; a wrong one is refused and changes nothing."""
    assert either.json("relay") == {"relay": None}
    assert either.json("relay", "ws://127.0.0.1:1")["relay"] == "ws://127.0.0.1:1"
    assert either.error("relay", "ftp://nonsense")["code"] == "InvalidValue"
    assert either.json("relay") == {"relay": "ws://127.0.0.1:1"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8787", "relay.example", "relay:80", "[::1]:8787"])
def test_an_address_without_its_beginning_is_no_command(chez: Chez, host: str) -> None:
    """Who forgets ws:// or wss:// is told that, and not of commands; a mistyped command is one still."""
    refused = chez.error("relay", host, code=2)
    assert refused["message"].startswith(f"{host!r} is no relay's address") and f"wss://{host}" in refused["message"]
    assert "No such command 'lst'" in chez.error("relay", "lst", code=2)["message"]


@pytest.mark.slow
def test_relays_are_added_listed_and_removed(either: Chez, relay: str) -> None:
    """One more relay is kept beside the home's; a sync that reaches one of them is done, and says which is away."""
    assert either.error("relay", "add", relay)["code"] == "NotFound"
    either.run("relay", "ws://127.0.0.1:1")
    added = either.json("relay", "add", relay)["relays"]
    assert [one["url"] for one in added] == ["ws://127.0.0.1:1", relay]
    either.run("put", "notes", "a=1")
    done = either.run("sync", "--timeout", "20")
    assert f"in step with {relay}" in done.stdout and "not in step with ws://127.0.0.1:1" in done.stderr
    assert relay in either.run("relay", "list").stdout and relay in either.run("status").stdout
    assert either.error("relay", "remove", "ws://127.0.0.1:1")["code"] == "InvalidValue"
    assert [one["url"] for one in either.json("relay", "remove", relay)["relays"]] == ["ws://127.0.0.1:1"]
    assert either.error("relay", "remove", relay)["code"] == "NotFound"


def test_sync_without_a_relay_says_what_to_do(either: Chez) -> None:
    """No relay set, or none there: a typed error, and local work goes on."""
    assert either.error("sync")["hint"]
    either.run("relay", "ws://127.0.0.1:1")
    assert either.error("sync", "--timeout", "1")["code"] == "RelayUnreachable"
    assert either.run("put", "notes", "a=1").stdout


@pytest.mark.slow
def test_a_sync_that_reaches_none_of_two_relays_names_both(either: Chez) -> None:
    """Each with its own reason, and what to do once."""
    either.run("relay", "ws://127.0.0.1:1")
    either.run("relay", "add", "wss://nowhere.invalid")
    told = either.error("sync", "--timeout", "5")
    one, two = told["message"].split("; ")
    assert told["code"] == "RelayUnreachable" and "127.0.0.1:1" in one and "nowhere.invalid" in two
    assert one.partition(": ")[2] != two.partition(": ")[2] and told["hint"]


@pytest.mark.slow
def test_what_each_of_two_relays_was_given_is_told(either: Chez, relay: str, tmp_path: Path) -> None:
    """An entry goes to both: no sum says that there were two."""
    with running_relay(tmp_path / "other", free_port()) as other:
        either.run("relay", relay)
        either.run("relay", "add", other)
        either.run("sync")
        either.run("put", "notes", "a=1")
        assert either.run("sync").stdout.splitlines() == [
            f"in step with {url}: 1 sent, 0 received" for url in (relay, other)]


@pytest.mark.slow
def test_a_second_device_joins_and_both_converge(chez: Chez, phone: Chez, relay: str) -> None:
    """pair and join bring everything over; edits on both meet at the relay."""
    chez.run("put", "notes", "tea", "title=Tea", "cups=2")
    chez.run("relay", relay)
    chez.run("sync")
    pair(chez, phone, relay)
    assert phone.json("get", "notes", "tea")["value"] == {"title": "Tea", "cups": 2}
    phone.run("edit", "notes", "tea", "cups=3")
    chez.run("edit", "notes", "tea", "title=Green tea")
    for device in (phone, chez, phone):
        device.run("sync")
    both = {"title": "Green tea", "cups": 3}
    assert phone.json("get", "notes", "tea")["value"] == chez.json("get", "notes", "tea")["value"] == both


@pytest.mark.slow
def test_owners_keep_in_step_by_themselves(chez: Chez, phone: Chez, relay: str) -> None:
    """With an owner on both devices a put here is there without anybody asking."""
    chez.up()
    chez.run("relay", relay)
    pair(chez, phone, relay)
    phone.up()
    chez.run("put", "notes", "live", "n=1")

    def arrived() -> bool:
        done = subprocess.run(phone.arguments("get", "notes", "live"), capture_output=True, timeout=90)
        return done.returncode == 0

    until(arrived)


def test_pairing_asks_the_person(chez: Chez, phone: Chez, relay: str) -> None:
    """Without --yes the old device asks, and no means no."""
    chez.run("relay", relay)
    terminal = Terminal(chez.arguments("pair"))
    terminal.expect("chez join ")
    terminal.expect("\n")
    code = terminal.seen.split("chez join ")[1].split()[0]
    words = phone.arguments("join", code, "--kdf", "minimum", "--relay", relay)
    joining = subprocess.Popen(words, stderr=subprocess.PIPE)
    terminal.expect("?")
    terminal.type("no\n")
    assert terminal.finish() == 1
    with joining:
        assert joining.wait(timeout=90) == 1


@pytest.mark.slow
def test_a_wrong_code_does_not_join(chez: Chez, phone: Chez, relay: str) -> None:
    """A made-up code ends in a typed error, and no half-made home stays in the way."""
    chez.run("relay", relay)
    assert phone.error("join", "1-nonsense-words", "--kdf", "minimum", "--relay", relay)["code"] != "Unexpected"
    pair(chez, phone, relay)


def test_the_journal_is_shown_and_verified(either: Chez) -> None:
    """Receipts are listed oldest first, and their chain holds."""
    shown = either.lines("journal")
    assert [one["number"] for one in shown] == sorted(one["number"] for one in shown)
    found = either.json("journal", "verify")
    assert found["ok"] is True and found["receipts"] == len(shown)
    assert "holds" in either.run("journal", "verify").stdout


def test_status_tells_what_waits(either: Chez) -> None:
    """status names the device and counts records and what is not at the relay yet."""
    either.run("put", "notes", "a", "n=1")
    found = either.json("status")
    assert found["name"] == "test" and found["records"] == 1 and found["pending"] >= 1
    assert found["relay"] is None and len(found["device"]) == 64
    assert found["device"] in either.run("status").stdout


@pytest.mark.slow
def test_a_copied_home_says_so_instead_of_forking(chez: Chez, relay: str, tmp_path: Path) -> None:
    """Two copies of one folder, both written to: the second to sync is told, and keeps what it has."""
    chez.run("relay", relay)
    chez.run("put", "notes", "a", "n=1")
    chez.run("sync")
    copy = Chez(tmp_path / "copy", chez.passphrase_file)
    shutil.copytree(chez.home, copy.home)
    chez.run("put", "notes", "b", "from=original")
    chez.run("sync")
    copy.run("put", "notes", "c", "from=copy")
    for _ in range(2):  # the second time too
        failed = copy.run("sync", code=1)
        assert "--as-new-device" in failed.stderr and "copies" in failed.stderr
    assert copy.json("get", "notes", "c")["value"] == {"from": "copy"}
    chez.run("sync")
    assert chez.json("get", "notes", "b")["value"] == {"from": "original"}
    done = copy.json("doctor", "--as-new-device", "--name", "copy")
    assert done["former"] == chez.json("status")["device"] != done["device"]
    for device in (copy, chez):
        device.run("sync")
        assert {one["id"] for one in device.lines("ls", "notes")} == {"a", "b", "c"}
    copy.up()
    try:
        assert copy.error("doctor", "--as-new-device")["code"] == "HomeBusy"
    finally:
        copy.end()


@pytest.mark.slow
def test_a_restored_home_that_wrote_nothing_new_is_told_too(chez: Chez, relay: str, tmp_path: Path) -> None:
    """A folder restored from yesterday finds its own later entries at the relay, and stops before it writes."""
    chez.run("relay", relay)
    chez.run("put", "notes", "a", "n=1")
    chez.run("sync")
    old = Chez(tmp_path / "old", chez.passphrase_file)
    shutil.copytree(chez.home, old.home)
    chez.run("put", "notes", "b", "n=2")
    chez.run("sync")
    assert "--as-new-device" in old.run("sync", code=1).stderr
    assert old.json("get", "notes", "a")["value"] == {"n": 1}


@pytest.mark.slow
def test_a_pairing_code_is_shown_as_a_qr_code(chez: Chez, phone: Chez, relay: str) -> None:
    """--qr shows the same text in blocks, dark on light at a terminal; join takes what a camera reads there."""
    from chez.qr import blocks

    chez.run("relay", relay)
    terminal = Terminal(chez.arguments("pair", "--qr", "--yes"))
    terminal.expect("Waiting")
    code = terminal.seen.split("chez join ")[1].split()[0]
    assert all(line in terminal.seen for line in blocks(code)) and "\x1b[30m\x1b[107m" in terminal.seen
    phone.run("join", code, "--kdf", "minimum")
    assert terminal.finish() == 0


@pytest.mark.slow
def test_an_owner_keeps_in_step_with_a_relay_that_a_sync_told_of(tmp_path: Path, relay: str) -> None:
    """Of a home that has none: another device of the person set it, which is heard at the one that is named once."""
    async def known() -> None:
        async with paired(tmp_path, relay) as (_, b):
            await b.set_relay(relay)
            await b.sync()

    asyncio.run(known())
    laptop = another(tmp_path, "a", PASSPHRASE)
    laptop.up()
    try:
        assert laptop.json("relay", "list")["relays"] == []
        laptop.run("sync", "--relay", relay)
        until(lambda: [(one["url"], one["link"]) for one in laptop.json("relay", "list")["relays"]] == [
            (relay, "synced")])
    finally:
        laptop.end()
