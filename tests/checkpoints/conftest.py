"""A relay that lets go of what is dropped at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.relay.within import Within, relay

AT_ONCE = ("--set", "quotas.grace=0.001", "--set", "limits.expiry_interval=0.05")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Within]:
    """A relay within this process."""
    async with relay(tmp_path / "relay", *AT_ONCE) as running:
        yield running
