"""A relay process for the tests of this folder that need one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.relay.support import Process, relay


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Process]:
    """A relay as a process of its own."""
    async with relay(tmp_path / "relay") as running:
        yield running
