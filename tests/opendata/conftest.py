"""A relay process for the tests of open data: one for all of a module, for each test has spaces of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.opendata.support import Two
from tests.people.persons import persons
from tests.relay.support import Process, relay


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """A relay as a process of its own."""
    async with relay(tmp_path_factory.mktemp("relay")) as running:
        yield running


@pytest.fixture
async def two(server: Process, tmp_path: Path) -> AsyncIterator[Two]:
    """The homes of a city and of a person, at one relay."""
    async with persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        yield city, anna
