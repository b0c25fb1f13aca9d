"""kill -9 while a file of records is put: whole batches of it are there, from its beginning, and all that was told."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import Chez, alive, until

BATCH = 1000
COUNT = 3 * BATCH + 10


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Records in the order of their numbers."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"n": n, "text": "x" * 50}) + "\n" for n in range(COUNT)))
    return path


def putting(chez: Chez, file: Path) -> "subprocess.Popen[bytes]":
    """The command, as a process of its own."""
    return subprocess.Popen(chez.arguments("--json", "put", "rows", "--file", str(file)),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def put_before(chez: Chez, told: bytes) -> int:
    """How many records are there: a beginning of the file, by whole batches, with all that was told of."""
    ids = {json.loads(line)["id"] for line in told.splitlines(keepends=True) if line.endswith(b"\n")}
    kept = {one["value"]["n"]: one["id"] for one in chez.lines("ls", "rows")}
    assert kept.keys() == {*range(len(kept))} and ids <= {*kept.values()}
    assert len(kept) % BATCH == 0 or len(kept) == COUNT
    return len(kept)


@pytest.mark.parametrize("lines", [1, BATCH + 200])
def test_a_command_that_is_killed_leaves_whole_batches(chez: Chez, file: Path, lines: int) -> None:
    """Without an owner, after so many lines of its answer."""
    with putting(chez, file) as process:
        assert process.stdout is not None
        told = b"".join(process.stdout.readline() for _ in range(lines))
        process.kill()
        told += process.stdout.read()
    assert put_before(chez, told) >= lines


def test_an_owner_that_is_killed_is_told_of_with_what_stays(owned: Chez, file: Path) -> None:
    """The command ends with an error, whose hint says how many were put before; or it opened the home and ended well.
    """
    with putting(owned, file) as process:
        assert process.stdout is not None and process.stderr is not None
        told = process.stdout.readline()
        os.kill(owned.made[0], signal.SIGKILL)
        told += process.stdout.read()
        error = process.stderr.read()
    until(lambda: not alive(owned.made[0]))
    count = put_before(owned, told)
    if process.returncode:
        said = json.loads(error.splitlines()[-1])["error"]
        before = told.count(b"\n")
        assert f"The first {before:,} of {COUNT:,} were put before, and stay." in said["hint"]
        assert count in (before, before + BATCH)  # the last one may have been done, and not answered
    else:
        assert count == COUNT
