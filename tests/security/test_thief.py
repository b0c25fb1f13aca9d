"""A thief with the disk, and a neighbour who lists processes, find nothing to read."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.demo.search import search

from tests.cli.support import PASSPHRASE, Chez, alive, until

MARKERS = [b"MARKER_collection_1f", b"MARKER-id-8e02", b"MARKER_field_77b", b"MARKER-value-c3d9", b"MARKER-laptop-5a",
           b"MARKER-file-content-20", b"MARKER-name.txt"]
SECRETS = [*MARKERS, PASSPHRASE.encode()]


@pytest.fixture
def chez(tmp_path: Path) -> Iterator[Chez]:
    """A home with its data on disk, held by an owner that runs in the background."""
    made = Chez(tmp_path / "home", tmp_path / "passphrase", inside=False)
    made.passphrase_file.write_text(PASSPHRASE + "\n")
    made.passphrase_file.chmod(0o600)
    made.run("init", "--kdf", "minimum", "--name", "MARKER-laptop-5a")
    yield made
    made.end()


def test_no_byte_of_the_disk_and_no_list_of_processes_tells_anything(chez: Chez, tmp_path: Path) -> None:
    """Database, write-ahead log, pieces of attachments, logs; arguments and environment: also after a kill."""
    pid = chez.up()
    chez.run("put", "MARKER_collection_1f", "MARKER-id-8e02", "MARKER_field_77b=MARKER-value-c3d9")
    (tmp_path / "MARKER-name.txt").write_bytes(b"MARKER-file-content-20" * 5000)
    chez.run("attach", "MARKER_collection_1f", "MARKER-id-8e02", "file", str(tmp_path / "MARKER-name.txt"))
    chez.run("ls", "MARKER_collection_1f", "--where", "MARKER_field_77b=MARKER-value-c3d9")
    listed = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    assert [list(search(data, [PASSPHRASE.encode(), MARKERS[3]])) for data in listed] == [[], []]
    running = disk(chez.home)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    killed = disk(chez.home)
    assert {"chez.db", "chez.db-wal", "chez.key"} <= running.keys() & killed.keys()
    assert sum(map(len, killed.values())) > 200_000
    for found in (running, killed):
        assert {name: list(search(data, SECRETS)) for name, data in found.items()} == {name: [] for name in found}


def disk(folder: Path) -> dict[str, bytes]:
    """All files of a folder, with their names in front of what they hold."""
    return {str(path.relative_to(folder)): path.name.encode() + path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}
