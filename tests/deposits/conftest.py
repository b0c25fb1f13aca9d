"""A relay and a home for all tests of a module: each test makes addresses of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from tests.deposits.support import Insurer, organisation
from tests.home.pairing import PASSPHRASE
from tests.relay.support import Process, relay


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """A relay as a process of its own."""
    async with relay(tmp_path_factory.mktemp("relay")) as running:
        yield running


@pytest.fixture(scope="module")
def url(server: Process) -> str:
    """Where homes and organisations of the module are."""
    return server.url


@pytest.fixture(scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory, url: str) -> AsyncIterator[chez.Home]:
    """A person's home at that relay, open."""
    folder = tmp_path_factory.mktemp("person") / "home"
    await chez.create(folder, passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as made:
        await made.set_relay(url)
        yield made


@pytest.fixture
def insurer(tmp_path: Path, url: str) -> Iterator[Insurer]:
    """An organisation with an empty book."""
    found = Insurer(tmp_path, organisation(relay=url))
    yield found
    found.book.db.close()
