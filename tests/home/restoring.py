"""Restoring a backup in a test."""

from pathlib import Path

import chez
from chez.crypto import Kdf
from tests.home.conftest import PASSPHRASE


async def restored(file: Path, path: Path, **options: str) -> chez.Restored:
    """Restore at the least cost."""
    return await chez.restore(file, path, **{"passphrase": PASSPHRASE, **options}, kdf=Kdf.minimum())  # type: ignore[arg-type]
