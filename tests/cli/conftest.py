"""Homes for the tests of the command line."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import Chez


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Chez]:
    """No home yet."""
    chez = Chez(tmp_path / "home", tmp_path / "passphrase")
    chez.passphrase_file.write_text("correct horse battery staple\n")
    chez.passphrase_file.chmod(0o600)
    yield chez
    chez.end()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that is made once, to be copied: each of these commands takes half a second."""
    folder = tmp_path_factory.mktemp("fresh")
    Chez(folder / "home", folder / "passphrase").init()
    return folder / "home"


@pytest.fixture
def chez(empty: Chez, fresh: Path) -> Chez:
    """A fresh home without an owner."""
    shutil.copytree(fresh, empty.home)
    return empty


@pytest.fixture
def owned(chez: Chez) -> Chez:
    """A fresh home with an owner."""
    chez.up()
    return chez


@pytest.fixture(params=["alone", "owned"])
def either(request: pytest.FixtureRequest, chez: Chez) -> Chez:
    """A fresh home, once without and once with an owner: the answers must be the same."""
    if request.param == "owned":
        chez.up()
    return chez
