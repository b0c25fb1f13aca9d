"""space invite, invitations, revoke, address; join, follow: two people with a real relay."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import Chez, Terminal, until


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another person's home, made once, to be copied."""
    folder = tmp_path_factory.mktemp("somebody")
    Chez(folder / "home", folder / "passphrase").init()
    return folder / "home"


@pytest.fixture
def guest(tmp_path: Path, somebody: Path, chez: Chez, relay: str) -> Iterator[Chez]:
    """Another person's home, at the same relay, with an owner."""
    other = Chez(tmp_path / "guest", chez.passphrase_file)
    shutil.copytree(somebody, other.home)
    other.run("relay", relay)
    other.up()
    chez.run("relay", relay)
    yield other
    other.end()


@pytest.mark.slow
def test_an_invitation_from_link_to_records(chez: Chez, guest: Chez) -> None:
    """Without an owner running the guest waits, and is let in by the next sync; people see what is going on."""
    chez.run("space", "create", "Trip")
    shown = chez.run("space", "invite", "Trip", "--role", "reader", "--expires", "2d")
    assert shown.stdout.startswith("chez-invite:") and shown.stdout.count("\n") == 1
    assert "one person as reader" in shown.stderr
    link = shown.stdout.strip()
    assert "Run `chez sync` now" in shown.stderr
    chez.run("sync")
    waiting = guest.run("join", "-", "--timeout", "0.3", code=1, stdin=link.encode()).stderr
    assert "Waiting for a device" in waiting and "chez sync" in waiting
    assert "let in by an invitation: 'test' into 'Trip' as reader" in chez.run("sync").stdout
    assert chez.json("sync")["let_in"] == []
    assert "you are in 'Trip', as reader: 0 records" in guest.run("join", link).stdout
    assert guest.error("put", "notes", "b", "n=2", "--space", "Trip")["code"] == "NotAllowed"
    listed = chez.run("space", "invitations", "Trip").stdout
    assert "1 of 1" in listed and "used" in listed


def test_with_an_owner_running_guests_are_answered_at_once(chez: Chez, guest: Chez) -> None:
    """A guest comes in while it waits; a revoked invitation refuses the next; odd terms are refused."""
    chez.up()
    made = chez.json("space", "create", "Trip")
    invited = chez.json("space", "invite", "Trip", "--uses", "2")

    def came() -> bool:
        done = subprocess.run(guest.arguments("--json", "join", invited["link"]), capture_output=True, check=False)
        return done.returncode == 0 and json.loads(done.stdout)["id"] == made["id"]

    until(came)  # the relay hears of the invitation from the owner's process
    assert [(one["space"], one["name"]) for one in chez.json("sync")["let_in"]] == [("Trip", "test")]
    (listed,) = chez.lines("space", "invitations", "Trip")
    assert (listed["id"], listed["state"], listed["used"], listed["uses"]) == (invited["id"], "open", 1, 2)
    assert listed["link"] == invited["link"]
    assert "lets nobody in" in chez.run("space", "revoke", "Trip", listed["id"][:8]).stdout
    (revoked,) = chez.lines("space", "invitations", "Trip")
    assert revoked["state"] == "revoked"
    assert chez.error("space", "revoke", "Trip", "ffffffff")["code"] == "NotFound"
    assert chez.error("space", "invite", "Trip", "--expires", "1y")["code"] == "InvalidValue"
    assert chez.error("space", "invite", "Trip", "--code", "--uses", "2", code=2)["code"] == "Usage"
    assert chez.error("space", "invite", "private")["code"] == "NotAllowed"


def test_a_guest_needs_no_relay_of_its_own(tmp_path: Path, somebody: Path, chez: Chez, relay: str) -> None:
    """A new person who has nothing but the link is in with one command, its owner stays in step with the space's relay,
    and the private space stays where it is."""
    chez.run("relay", relay)
    chez.up()
    guest = Chez(tmp_path / "guest", chez.passphrase_file)
    shutil.copytree(somebody, guest.home)
    try:
        guest.up()
        assert guest.error("sync")["message"] == "no relay is set"
        chez.run("space", "create", "Trip")
        chez.run("put", "notes", "a", "n=1", "--space", "Trip")
        link = chez.run("space", "invite", "Trip").stdout.strip()
        assert "you are in 'Trip', as writer: 1 record" in guest.run("join", link).stdout
        guest.run("put", "notes", "b", "n=2", "--space", "Trip")
        until(lambda: len(chez.lines("ls", "notes", "--space", "Trip")) == 2)
        assert f"in step with {relay}" in guest.run("sync").stdout
        spaces = guest.json("status")["spaces"]
        assert [(one["relay"], one["link"]) for one in spaces] == [(None, "off"), (relay, "synced")]
    finally:
        guest.end()


def test_a_space_that_is_made_with_a_relay_is_in_step_at_once(chez: Chez, relay: str) -> None:
    """The owner of a home that has no relay connects to that of a space that is made meanwhile."""
    chez.up()
    assert chez.error("sync")["message"] == "no relay is set"
    chez.run("space", "create", "Trip", "--relay", relay)
    until(lambda: [one["link"] for one in chez.json("status")["spaces"]] == ["off", "synced"])


@pytest.mark.slow
def test_an_invitation_by_a_code(chez: Chez, guest: Chez) -> None:
    """The owner sees who comes, with what devices, and says yes; the guest, with a home of its own, is in."""
    chez.up()
    chez.run("space", "create", "Trip")
    terminal = Terminal(chez.arguments("space", "invite", "Trip", "--code"))
    terminal.expect("Waiting")
    code = terminal.seen.split("chez join ")[1].split()[0]
    with subprocess.Popen(guest.arguments("--json", "join", code), stdout=subprocess.PIPE) as coming:
        terminal.expect("into 'Trip'")
        terminal.type("yes\n")
        assert terminal.finish() == 0 and "test is in, as writer" in terminal.seen
        assert coming.stdout is not None
        assert json.loads(coming.stdout.read())["role"] == "writer"


@pytest.mark.slow
def test_a_public_space_is_followed(chez: Chez, guest: Chez) -> None:
    """An address is shown, somebody else follows it and reads, over a sync, and can write nothing."""
    chez.up()
    assert chez.json("space", "create", "News", "--public")["public"]
    chez.run("put", "notes", "a", "n=1", "--space", "News")
    chez.run("sync")
    address = chez.run("space", "address", "News").stdout.strip()
    assert "you follow 'News': 1 record" in guest.run("follow", address).stdout
    chez.run("put", "notes", "b", "n=2", "--space", "News")
    until(lambda: len(guest.lines("ls", "notes", "--space", "News")) == 2)
    assert guest.error("put", "notes", "c", "n=3", "--space", "News")["code"] == "NotAllowed"
    assert guest.error("follow", address)["code"] == "NotAllowed"
    assert guest.error("follow", address[:-8])["code"] == "InvalidValue"
    assert guest.error("join", address)["code"] == "InvalidValue"
    chez.run("rm", "notes", "b", "--space", "News")
    until(lambda: len(guest.lines("ls", "notes", "--space", "News")) == 1)
    assert [one["id"] for one in guest.lines("trash", "notes", "--space", "News")] == ["b"]
    assert guest.lines("trash") == []  # it is what somebody else publishes


def test_a_link_needs_a_home(empty: Chez) -> None:
    """Without a home a link makes none: it says how to begin."""
    for word, given in (("chez-invite:AA", b""), ("-", b"chez-invite:AA")):
        refused = empty.error("join", word, stdin=given)
        assert refused["code"] == "HomeMissing" and not empty.home.exists()


@pytest.mark.slow
def test_what_is_neither_a_link_nor_a_code_is_refused_in_words(chez: Chez) -> None:
    """Whatever was pasted, the answer says what is expected, and where one gets it."""
    refused = chez.error("join", "hello")
    assert "neither a link nor a code" in refused["message"] and "chez-invite:" in refused["hint"]
    chez.run("relay", "ws://127.0.0.1:9")
    assert "chez space invite --code" in chez.error("join", "48151-orbit-lemo")["hint"]
