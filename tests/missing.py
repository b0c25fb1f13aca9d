"""What a machine may lack that some tests need: they are left out there, but in CI."""

import os
from typing import NoReturn

import pytest

__all__ = ("leave_out",)


def leave_out(why: str) -> NoReturn:
    """Skip the test that asks for it; in CI, where nobody would see that, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}, and CI leaves no test out")
    pytest.skip(why)
