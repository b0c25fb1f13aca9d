"""The bench of a scenario, for the tests of this folder."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.trial import Bench

MEMORY = Path("/dev/shm")
ROOM = 32 << 20


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where trials are made: in memory, for what a disk would keep follows from the tape, and an fsync takes long."""
    try:
        room = os.statvfs(MEMORY)
        in_memory = room.f_bavail * room.f_frsize > ROOM and os.access(MEMORY, os.W_OK)
    except OSError:
        in_memory = False
    if not in_memory:
        yield tmp_path_factory.mktemp("ground")
        return
    with tempfile.TemporaryDirectory(prefix="chez-durability-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def bench(request: pytest.FixtureRequest, ground: Path) -> Bench:
    """The bench of the scenario that a test is about; what it begins with is made once."""
    return Bench(request.param, ground)
