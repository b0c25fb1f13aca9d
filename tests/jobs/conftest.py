"""A real home, a real relay and the real sandbox, for the tests of jobs."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez_sandbox.runtime.host import Runtime
from tests.relay.within import relay_beside
from tests.runtime.conftest import KEY, compiled_code


@pytest.fixture(scope="session")
def code_folder() -> Path:
    """Where tests/runtime has components compiled to, and the runtime compiled."""
    return compiled_code()


@pytest.fixture(scope="session")
async def runtime(code_folder: Path) -> AsyncIterator[Runtime]:
    """The sandbox, its Python compiled."""
    async with Runtime(code_folder, KEY) as runtime:
        await runtime.prepare()
        yield runtime


@pytest.fixture
def provider_cache(tmp_path: Path, code_folder: Path) -> Path:
    """An XDG cache folder for `chez-job`, the runtime compiled."""
    return tmp_path / "cache"


@pytest.fixture
async def empty_home(tmp_path: Path) -> AsyncIterator[chez.Home]:
    """A home with nothing in it."""
    path = tmp_path / "home"
    await chez.create(path, passphrase="correct horse", name="laptop", kdf=Kdf.minimum())
    async with chez.open(path, passphrase="correct horse") as home:
        yield home


@pytest.fixture
async def home(empty_home: chez.Home) -> chez.Home:
    """A home with two days of half-hours: 100 W, and 400 W from 18:00 to 22:00."""
    await fill(empty_home)
    return empty_home


async def fill(home: chez.Home) -> None:
    """Write what the home of these tests has."""
    halves = [(day, half) for day in (20, 21) for half in range(48)]
    readings = [
        {
            "meter": "09111642617347",
            "flow": "consumption",
            "local": f"2026-11-{day:02d}T{half // 2:02d}:{half % 2 * 30:02d}",
            "seconds": 1800,
            "watts": 400 if 18 <= half // 2 < 22 else 100,
        }
        for day, half in halves
    ]
    await home.collection("readings").put_many(readings)
    await home.collection("diary").put({"text": "met Alice at the station"})


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay: where it listens, and where it keeps its store."""

    url: str
    data: Path


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A relay on a free port of loopback."""
    with relay_beside(tmp_path / "relay") as url:
        yield Relay(url, tmp_path / "relay")
