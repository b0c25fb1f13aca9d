"""A home, and a relay, for the tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from tests.relay.within import Within, relay

PASSPHRASE = "correct horse"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """The folder of a home that was made and is not open."""
    await chez.create(tmp_path / "home", passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    return tmp_path / "home"


@pytest.fixture
async def home(path: Path) -> AsyncIterator[chez.Home]:
    """An open home."""
    async with chez.open(path, passphrase=PASSPHRASE) as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Within]:
    """A relay within this process."""
    async with relay(tmp_path / "relay") as running:
        yield running
