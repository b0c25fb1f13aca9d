"""The homes of tests/jobs."""

from tests.jobs.conftest import code_folder, empty_home, home, runtime

__all__ = ("code_folder", "empty_home", "home", "runtime")
