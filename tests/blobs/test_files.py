"""Pieces as files of a home: what is durable once they are settled, whatever another process had left undone."""

from pathlib import Path

import pytest

from chez.blobs import files
from chez.blobs.files import PieceFiles

ONE, OTHER = b"\xab" * 32, b"\xab\xcd" * 16
"""Names of pieces that are in one folder."""


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """The folders whose names were made durable."""
    found = set[Path]()
    plain = files.sync_folder

    def sync(folder: Path) -> None:
        plain(folder)
        found.add(folder)

    monkeypatch.setattr(files, "sync_folder", sync)
    return found


def test_folders_that_a_killed_process_made_are_settled_too(tmp_path: Path, synced: set[Path]) -> None:
    """Else a power cut takes them, and with them what is written into them later."""
    PieceFiles(tmp_path / "blobs").write(ONE, b"one")  # and was killed before it settled
    again = PieceFiles(tmp_path / "blobs")
    again.clear_new()
    again.write(OTHER, b"other")
    again.settle()
    assert synced == {tmp_path, tmp_path / "blobs", again.path(OTHER).parent}


def test_a_removal_is_settled_though_a_killed_process_did_it(tmp_path: Path, synced: set[Path]) -> None:
    """Else a power cut brings the piece back, and nobody knows of it any more."""
    PieceFiles(tmp_path / "blobs").write(ONE, b"one")
    PieceFiles(tmp_path / "blobs").remove(ONE)  # and was killed before it settled
    again = PieceFiles(tmp_path / "blobs")
    again.remove(ONE)
    again.remove(b"\x01" * 32)  # of which not even the folder is there
    again.settle()
    assert synced == {again.path(ONE).parent}
