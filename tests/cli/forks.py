"""`chez` in a forked process (see tests/forked.py), for tests that need a process and not how it is begun."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from typing import Any

from chez.cli.main import main
from tests.forked import PROCESSES

__all__ = ("command", "owner")

LIMIT = 250


def command(arguments: Sequence[str], stdin: bytes, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command line of `Chez.arguments` to its end."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        process = _begun(_command, arguments, env, *(file.fileno() for file in (given, out, err)))
        process.join(LIMIT)
        assert process.exitcode is not None, arguments
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([*arguments], process.exitcode, out.read(), err.read())


def owner(arguments: Sequence[str]) -> bytes:
    """Start an owner by a command line that ends with `up`; the line it says when it answers, empty if never."""
    ours, theirs = os.pipe()
    with open(os.devnull, "r+b") as nowhere:
        _begun(_owner, arguments, dict(os.environ), nowhere.fileno(), theirs, nowhere.fileno())
    os.close(theirs)
    with open(ours, "rb") as told:
        return told.readline()


def _begun(target: Callable[..., None], arguments: Sequence[str], env: dict[str, str],
           *standard: int) -> ForkServerProcess:
    # A daemon: who forgets to end it is not waited for.
    process = PROCESSES.Process(target=target, args=([*arguments[3:]], env, *map(DupFd, standard)), daemon=True)
    process.start()
    return process


def _command(arguments: list[str], env: dict[str, str], *standard: Any) -> None:
    os.environ.clear()
    os.environ.update(env)
    for number, one in enumerate(standard):
        os.dup2(one.detach(), number)
    sys.stdin = open(0, closefd=False)
    main(arguments)


def _owner(arguments: list[str], env: dict[str, str], *standard: Any) -> None:
    # As `chez up --detach` begins its child: in a session of its own, at no terminal, in no folder of anybody.
    os.setsid()
    os.chdir("/")
    _command(arguments, env, *standard)
