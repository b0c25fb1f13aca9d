"""Homes for the tests of the command line."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.support import PASSPHRASE, Chez, another, pair, running_relay
from tests.ports import free_port


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Chez]:
    """No home yet."""
    chez = Chez(tmp_path / "home", tmp_path / "passphrase")
    chez.passphrase_file.write_text("correct horse battery staple\n")
    chez.passphrase_file.chmod(0o600)
    yield chez
    chez.end()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that is made once, to be copied: each of these commands takes half a second."""
    folder = tmp_path_factory.mktemp("fresh")
    Chez(folder / "home", folder / "passphrase").init()
    return folder / "home"


@pytest.fixture
def chez(empty: Chez, fresh: Path) -> Chez:
    """A fresh home without an owner."""
    shutil.copytree(fresh, empty.home)
    return empty


@pytest.fixture
def owned(chez: Chez) -> Chez:
    """A fresh home with an owner."""
    chez.up()
    return chez


@pytest.fixture(params=[pytest.param("alone", marks=pytest.mark.slow), "owned"])
def either(request: pytest.FixtureRequest, chez: Chez) -> Chez:
    """A fresh home, once without and once with an owner: the answers must be the same."""
    if request.param == "owned":
        chez.up()
    return chez


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[str]:
    """The URL of a relay on loopback."""
    with running_relay(tmp_path / "relay", free_port()) as url:
        yield url


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Chez]:
    """A second device without a home yet."""
    device = another(tmp_path, "phone")
    yield device
    device.end()


@dataclass
class Pair:
    """Two devices of one person, "test" and "phone", in step with a relay."""

    laptop: Chez
    phone: Chez
    url: str


@pytest.fixture(scope="session")
def fresh_pair(tmp_path_factory: pytest.TempPathFactory, fresh: Path) -> tuple[Path, int]:
    """Two paired homes and their relay's store, made once, to be copied; and the port that they know it by."""
    folder, port = tmp_path_factory.mktemp("pair"), free_port()
    laptop, phone = another(folder, "laptop", PASSPHRASE), another(folder, "phone", PASSPHRASE)
    shutil.copytree(fresh, laptop.home)
    with running_relay(folder / "relay", port) as url:
        laptop.run("relay", url)
        pair(laptop, phone, url)
        laptop.run("sync")
    return folder, port


@pytest.fixture
def two(tmp_path: Path, fresh_pair: tuple[Path, int]) -> Iterator[Pair]:
    """Two paired devices without owners, and their relay."""
    shutil.copytree(fresh_pair[0], tmp_path / "two")
    laptop, phone = (another(tmp_path / "two", name, PASSPHRASE) for name in ("laptop", "phone"))
    with running_relay(tmp_path / "two" / "relay", fresh_pair[1]) as url:
        yield Pair(laptop, phone, url)
        laptop.end()
        phone.end()
