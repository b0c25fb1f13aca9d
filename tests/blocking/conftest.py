"""A home for programs without an event loop."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chez import blocking
from chez.crypto import Kdf

PASSPHRASE = "correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The folder of a home that was made and is not open."""
    blocking.create(tmp_path / "home", passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    return tmp_path / "home"


@pytest.fixture
def home(path: Path) -> Iterator[blocking.Home]:
    """An open home."""
    with blocking.open(path, passphrase=PASSPHRASE) as opened:
        yield opened


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[str]:
    """The URL of a relay process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chez_relay", "serve", "--listen", "127.0.0.1:0", "--data", tmp_path / "relay"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"ws://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
