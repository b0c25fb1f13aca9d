"""What every test shares."""

import _sqlite3
import ctypes
import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.tries import ALL, HALF

# An example's time says how busy the machine is: a test has its limit as a whole (`timeout`). Each run tries the same
# examples, so that what fails is what was changed; who looks for new ones, and more of them, has
# --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=ALL)
settings.register_profile("chez", deadline=None, derandomize=True, max_examples=HALF)
settings.load_profile("chez")

# A shell starts what it runs in the background with interrupts ignored, and children inherit
# that. With a handler here, those that the tests start begin with the default again, as they
# do at a terminal, and can be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests wait for the processes they start a third of their time."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_finish() -> None:
    """What collecting made stays to the end: looking for garbage in it again and again took a twentieth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Everything asynchronous runs on asyncio, which websockets and aiosqlite need."""
    return "asyncio"


_limit_heap = ctypes.CDLL(_sqlite3.__file__).sqlite3_hard_heap_limit64
_limit_heap.argtypes, _limit_heap.restype = [ctypes.c_int64], ctypes.c_int64


@pytest.fixture(autouse=True)
def heap_of_its_own() -> Iterator[None]:
    """SQLite's limit of memory is the whole process's, and SQL can only lower it: no test is held to another's."""
    yield
    _limit_heap(0)
