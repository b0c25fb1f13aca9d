"""The homes and the sandbox of tests/jobs, and a relay whose wire is recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.conftest import code_folder, empty_home, home, runtime
from tests.security.wire import Wire, recorded_relay

__all__ = ("code_folder", "empty_home", "home", "runtime", "wire")


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """A relay process behind a recording proxy."""
    with recorded_relay(tmp_path) as running:
        yield running
