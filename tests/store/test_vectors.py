"""A key file of version 1 opens for ever, and with its own passphrase only."""

import json
from pathlib import Path

import pytest

from chez.errors import Damaged, WrongPassphrase
from chez.store.keyfile import KEY_FILE, read_key
from tests.vectors.golden import golden
from tests.vectors.make_keyfile import vectors

GOLDEN = golden("keyfile")


def put(folder: Path, text: bytes) -> Path:
    """Make these bytes the key file of a folder."""
    (folder / KEY_FILE).write_bytes(text)
    return folder


def test_golden_vectors_hold() -> None:
    """The key wraps to the bytes it always had."""
    assert vectors() == GOLDEN


def test_the_pinned_file_opens(tmp_path: Path) -> None:
    """The file gives its key to its passphrase, however its JSON is laid out, and to no other."""
    for indent in (None, 2):
        put(tmp_path, json.dumps(GOLDEN["file"], indent=indent).encode())
        assert read_key(tmp_path, GOLDEN["passphrase"]).hex() == GOLDEN["key"]
        with pytest.raises(WrongPassphrase):
            read_key(tmp_path, GOLDEN["passphrase"] + " ")


def test_a_changed_file_does_not_open(tmp_path: Path) -> None:
    """A flipped bit anywhere makes it damaged, or the passphrase wrong; so does each field altered."""
    text = json.dumps(GOLDEN["file"], separators=(",", ":")).encode()
    changed = [text[:at] + bytes((text[at] ^ 1,)) + text[at + 1 :] for at in range(len(text))]
    fields = {"version": 2, "kdf": "scrypt", "operations": 2, "memory": 16_384, "salt": "00" * 16, "nonce": "00" * 24,
              "wrapped": "00" * 48}
    changed += [json.dumps(GOLDEN["file"] | {name: value}).encode() for name, value in fields.items()]
    for other in changed:
        with pytest.raises((Damaged, WrongPassphrase)):
            read_key(put(tmp_path, other), GOLDEN["passphrase"])
