"""Key files that a disk, a backup or somebody else has damaged."""

import json
from pathlib import Path

import nacl.exceptions
import pytest
from hypothesis import example, given, settings

from chez import crypto
from chez.errors import Damaged, InvalidValue, Unavailable, WrongPassphrase
from chez.store.keyfile import KEY_FILE, read_key, write_key
from chez_sandbox.provider.keys import ProviderKeys, load_keys, save_keys
from tests.parsers.mutations import attempt, bytes_like
from tests.tries import tries
from tests.vectors.golden import golden

FILE = golden("keyfile")["file"]
TEXT = json.dumps(FILE, indent=2).encode()
SEED = "01" * 32
PROVIDER = ProviderKeys(name="x", contact="y", domain="example.org", relay="wss://relay.example", signing_seed=SEED,
                        sealing_seed=SEED, inbox_owner_seed=SEED, inbox_writer_seed=SEED)
JSON = (b'"', b"\\", b"\\ud800", b"\\u0000", b"9" * 30, b"9" * 5000, b"1e999", b"-1", b"null", b"true", b"[", b"{}",
        b"[" * 3000, b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"version": 2,', "é".encode(), "٣".encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one key file after the other."""
    return tmp_path_factory.mktemp("keys")


def _read(folder: Path, text: bytes) -> None:
    """Read a key file at no cost: what a damaged one asks for, within bounds, may take hours."""
    (folder / KEY_FILE).write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypto, "passphrase_key", lambda passphrase, salt, kdf: bytes(32))
        read_key(folder, "x")


@given(bytes_like([TEXT], JSON))
@settings(max_examples=tries(150), deadline=None)
@example(b"")
@example(TEXT.replace(b'"memory": 8192', b'"memory": ' + b"9" * 5000))
@example(TEXT.replace(b'"operations": 1', b'"operations": 1e3'))
@example(TEXT.replace(FILE["nonce"].encode(), b"00"))
@example(TEXT.replace(FILE["wrapped"].encode(), b""))
@example(TEXT.replace(FILE["salt"].encode(), "é".encode() * 32))
def test_any_key_file_is_opened_or_refused(folder: Path, text: bytes) -> None:
    """A home's key file of any content is damaged, or its passphrase wrong."""
    attempt(lambda data: _read(folder, data), text, Damaged, WrongPassphrase)


@given(bytes_like([json.dumps({"chez_provider_key": 1}).encode()], JSON))
@settings(max_examples=tries(100), deadline=None)
def test_any_provider_key_file_is_read_or_refused(folder: Path, text: bytes) -> None:
    """A provider's key file of any content is one, or named as none."""
    path = folder / "provider.key"
    path.unlink(missing_ok=True)
    save_keys(path, PROVIDER)
    assert load_keys(path) == PROVIDER
    for content in (text, path.read_bytes().replace(b'"x"', text), text + path.read_bytes()):
        path.write_bytes(content)
        attempt(lambda _: load_keys(path), content, InvalidValue)


def test_too_little_memory_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine can't spare what the passphrase costs, the person learns how much that is."""

    def starved(*_: object, **__: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr("nacl.pwhash.argon2id.kdf", starved)
    (folder / KEY_FILE).write_bytes(TEXT.replace(b'"memory": 8192', b'"memory": 268435456'))
    with pytest.raises(Unavailable, match="256 MiB"):
        read_key(folder, "x")
    with pytest.raises(Unavailable, match="256 MiB"):
        write_key(folder, bytes(32), "x", crypto.Kdf.moderate())
