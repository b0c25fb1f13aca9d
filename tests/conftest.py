"""What every test shares."""

import _sqlite3
import ctypes
import gc
import importlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

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


_MARKS = ("slow", "exhaustive")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests wait for the processes they start a third of their time."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Processes that collect the same share what that costs where nothing is compiled yet, as in a fresh clone.

    Each begins with modules of its own, whose code it leaves in `__pycache__`: to rewrite the assertions of all takes
    three times as long as to collect them.
    """
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if worker is None or workers is None:
        return
    root = session.config.rootpath
    modules = [module for argument in session.config.args for module in _modules(root / argument.split("::")[0])]
    for module in modules[int(worker.removeprefix("gw"))::int(workers)]:
        if module.is_relative_to(root) and not pytest_ignore_collect(module, session.config):
            with suppress(Exception, pytest.skip.Exception):  # who collects it says what is wrong with it
                importlib.import_module(".".join(module.relative_to(root).with_suffix("").parts))


def _modules(path: Path) -> Sequence[Path]:
    return sorted(path.rglob("test_*.py")) if path.is_dir() else [path]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Who asks for the tests of a mark alone imports the modules that name it, or whose `conftest.py` does."""
    mark = _mark_alone(config)
    if mark is None or not collection_path.match("test_*.py"):
        return None
    return not _names(collection_path, mark) or None


def _names(module: Path, mark: str) -> bool:
    return any(f"mark.{mark}" in path.read_text() for path in (module, module.with_name("conftest.py"))
               if path.is_file())


def _mark_alone(config: pytest.Config) -> str | None:
    first, *_ = config.option.markexpr.split(" and ")
    return first if first in _MARKS and " or " not in config.option.markexpr else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test has a mark that neither its module nor the `conftest.py` beside it names: it would be missed."""
    marked = {(item.path, mark): item.nodeid for item in items for mark in _MARKS if item.get_closest_marker(mark)}
    missed = [test for (module, mark), test in marked.items() if not _names(module, mark)]
    if missed:
        raise pytest.UsageError(f"Name the mark in the module of {missed[0]}, or it is not found by that mark alone.")


def pytest_collection_finish() -> None:
    """What collecting made stays to the end: looking for garbage in it again and again took a twentieth of the time.

    To look after each 700 objects, as Python does by itself, took as much again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, *gc.get_threshold()[1:])


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
