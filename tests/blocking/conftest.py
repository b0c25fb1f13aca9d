"""A home for programs without an event loop."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chez import blocking
from tests.fresh import PASSPHRASE, fresh_home
from tests.relay.within import relay_beside

__all__ = ("PASSPHRASE",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The folder of a home that was made and is not open."""
    return asyncio.run(fresh_home(tmp_path / "home"))


@pytest.fixture
def home(path: Path) -> Iterator[blocking.Home]:
    """An open home."""
    with blocking.open(path, passphrase=PASSPHRASE) as opened:
        yield opened


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[str]:
    """The URL of a relay."""
    with relay_beside(tmp_path / "relay") as url:
        yield url
