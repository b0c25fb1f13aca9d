"""A relay process for the tests of open data: one for all of a module, for each test has spaces of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.relay.support import Process, relay


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """A relay as a process of its own."""
    async with relay(tmp_path_factory.mktemp("relay")) as running:
        yield running
