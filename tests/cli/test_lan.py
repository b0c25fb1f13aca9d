"""`chez lan`: two real owners find each other by multicast DNS, on loopback, and no relay can be reached."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import PASSPHRASE, Chez, another, until


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes are announced on loopback alone."""
    monkeypatch.setenv("CHEZ_LAN", "127.0.0.1")


@pytest.fixture
def apart(tmp_path: Path, fresh_pair: tuple[Path, int]) -> Iterator[tuple[Chez, Chez]]:
    """Two paired devices whose relay is not there."""
    shutil.copytree(fresh_pair[0], tmp_path / "two")
    laptop, phone = (another(tmp_path / "two", name, PASSPHRASE) for name in ("laptop", "phone"))
    yield laptop, phone
    laptop.end()
    phone.end()


@pytest.mark.slow
def test_two_owners_meet_and_have_each_others_records(apart: tuple[Chez, Chez]) -> None:
    """Turned on and up, two devices in one network have what either wrote, and say in plain words that they met."""
    for device, id in zip(apart, ("of laptop", "of phone"), strict=True):
        device.run("put", "notes", "{}", "--id", id)
        said = device.run("lan", "on")
        assert "not who" in said.stderr and "from when the home is connected" in said.stdout
        device.up()
    laptop, phone = apart
    until(lambda: len(laptop.lines("ls", "notes")) == len(phone.lines("ls", "notes")) == 2)
    found = [device.json("lan") for device in apart]
    assert sum(len(one["devices"]) for one in found) >= 1 and sum(one["guests"] for one in found) >= 1
    assert all(one["on"] and one["working"] and one["port"] and not one["problem"] for one in found)
    dialling = laptop if found[0]["devices"] else phone
    for command in (["lan"], ["status"], ["relay", "list"]):
        assert "this network: in step with 1 device" in dialling.run(*command).stdout


@pytest.mark.slow
def test_off_takes_everything_back(apart: tuple[Chez, Chez]) -> None:
    """Turned off, the relay's process and its store are gone, and `status` is silent about the network."""
    laptop, _ = apart
    laptop.run("lan", "on")
    laptop.up()
    until(lambda: laptop.json("lan")["port"] > 0)
    assert (laptop.home / "lan").is_dir()
    assert laptop.run("lan", "off").stdout == "this network: off\n"
    assert not (laptop.home / "lan").exists()
    assert laptop.json("lan") == {"on": False, "working": False, "port": 0, "devices": [], "guests": 0,
                                  "strangers": 0, "problem": ""}
    assert "this network" not in laptop.run("status").stdout


def test_it_is_off_unless_asked_for(apart: tuple[Chez, Chez]) -> None:
    """A home that nobody turned on runs no relay and announces nothing."""
    laptop, _ = apart
    laptop.up()
    assert laptop.json("lan")["on"] is False and not (laptop.home / "lan").exists()
