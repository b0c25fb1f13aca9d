"""A relay for the tests of this folder that need one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.relay.within import Within, relay


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Within]:
    """A relay within this process."""
    async with relay(tmp_path / "relay") as running:
        yield running
