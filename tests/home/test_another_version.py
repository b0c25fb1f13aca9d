"""Homes that another version of Chez made."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import Damaged
from chez.store.file import connect
from chez.store.keyring import database_key
from tests.home.pairing import PASSPHRASE


@pytest.mark.parametrize(("pragma", "says", "advice"), [
    ("user_version = 99", "a newer Chez wrote this home", "Update Chez"),
    ("application_id = 7", "another development version of Chez", "chez export"),
])
async def test_a_home_of_another_version_is_told_and_left_alone(tmp_path: Path, pragma: str, says: str,
                                                                 advice: str) -> None:
    """Neither a newer store nor one of the same number with other tables is opened, for writing or beside a writer."""
    path = tmp_path / "home"
    await chez.create(path, passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    with_key = database_key(path, PASSPHRASE)
    db = connect(path / "chez.db", with_key)
    db.execute(f"PRAGMA {pragma}")
    db.close()
    for read_only in (False, True):
        with pytest.raises(Damaged, match=says) as told:
            async with chez.open(path, passphrase=PASSPHRASE, read_only=read_only):
                pass
        assert advice in told.value.hint
