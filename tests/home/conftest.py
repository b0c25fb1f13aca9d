"""A home for the tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chez
from tests.fresh import PASSPHRASE, fresh_home
from tests.home.days import ROWS

__all__ = ("PASSPHRASE",)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """The folder of a home that was made and is not open."""
    return await fresh_home(tmp_path / "home")


@pytest.fixture
async def home(path: Path) -> AsyncIterator[chez.Home]:
    """An open home."""
    async with chez.open(path, passphrase=PASSPHRASE) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Some file."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * ROWS)
    return path
