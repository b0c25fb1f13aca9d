"""A server with verbs made for the purpose, over a home that is none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chez.agent.owner import Owner, serve
from tests.agent.owning import FakeHome, find


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    """A home in a private folder."""
    folder = tmp_path / "home"
    folder.mkdir(0o700)
    return FakeHome(folder)


@pytest.fixture
async def owner(home: FakeHome) -> AsyncIterator[Owner]:
    """A server over it."""
    async with serve(home, find=find) as running:  # type: ignore[arg-type]
        yield running
    running.release()
