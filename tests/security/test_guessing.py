"""A thief with the disk guesses passphrases: each guess costs what the person paid, and tells nothing but yes or no."""

import json
from pathlib import Path

import pytest

from chez import crypto
from chez.crypto import Kdf
from chez.errors import Damaged, WrongPassphrase
from chez.store.keyfile import KEY_FILE, read_key, write_key

PASSPHRASE = "correct horse"
PAID = Kdf(3, 64 * 1024)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A stolen key file."""
    write_key(tmp_path, crypto.random_bytes(32), PASSPHRASE, PAID)
    return tmp_path


def altered(disk: Path, **fields: object) -> None:
    """Change fields of the key file."""
    file = json.loads((disk / KEY_FILE).read_text())
    (disk / KEY_FILE).write_text(json.dumps(file | fields))


def guess(disk: Path, passphrase: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[Kdf]]:
    """What a guess is answered, and what was computed for it."""
    paid: list[Kdf] = []
    true = crypto.passphrase_key

    def counted(passphrase: str, salt: bytes, kdf: Kdf) -> bytes:
        paid.append(kdf)
        return true(passphrase, salt, kdf)

    with monkeypatch.context() as patch:
        patch.setattr(crypto, "passphrase_key", counted)
        with pytest.raises(WrongPassphrase) as error:
            read_key(disk, passphrase)
    return str(error.value), paid


def test_every_guess_costs_the_same_and_is_answered_alike(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near or far, short or long: one Argon2id at the stored cost, then the same words; no shortcut, no hint."""
    guesses = ("", "c", PASSPHRASE[:-1], PASSPHRASE + " ", PASSPHRASE.upper(), "x" * 10_000, "\x00", "é" * 50)
    answers = {guess(disk, text, monkeypatch)[0] for text in guesses}
    assert len(answers) == 1 and [guess(disk, text, monkeypatch)[1] for text in guesses] == [[PAID]] * len(guesses)


def test_no_field_can_be_bent_into_a_cheaper_question(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lowered cost, another salt, nonce or box: the true passphrase is answered as a wrong one is."""
    wrong, _ = guess(disk, "wrong", monkeypatch)
    original = (disk / KEY_FILE).read_bytes()
    for fields in ({"operations": 1}, {"memory": 8192}, {"operations": 1, "memory": 8192}, {"salt": "00" * 16},
                   {"nonce": "00" * 24}, {"wrapped": "00" * 48}, {"wrapped": ""}):
        altered(disk, **fields)
        said, paid = guess(disk, PASSPHRASE, monkeypatch)
        assert said == wrong and len(paid) == 1
        (disk / KEY_FILE).write_bytes(original)
    assert read_key(disk, PASSPHRASE)


@pytest.mark.parametrize("fields", [{"operations": 0}, {"memory": 0}, {"memory": 2**40}, {"operations": 10**6},
                                    {"kdf": "pbkdf2"}, {"version": 0}])
def test_a_cost_that_is_none_or_would_end_the_machine_is_damage(disk: Path, fields: dict[str, object]) -> None:
    """What lies outside of what Argon2id takes here is refused before anything is computed."""
    altered(disk, **fields)
    with pytest.raises(Damaged):
        read_key(disk, PASSPHRASE)


def test_a_new_home_costs_a_guess_256_mebibytes() -> None:
    """What a person gets who chooses nothing; less is for tests alone."""
    assert Kdf.moderate() == Kdf(3, 256 * 2**20)
    assert Kdf.sensitive() == Kdf(4, 2**30)
