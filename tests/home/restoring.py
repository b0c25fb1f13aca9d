"""Restoring a backup, or in a process that is killed meanwhile: `python -m tests.home.restoring FILE PATH`."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import chez
from chez.crypto import Kdf
from chez.home import restoring
from tests.home.conftest import PASSPHRASE


async def restored(file: Path, path: Path, **options: str) -> chez.Restored:
    """Restore at the least cost."""
    return await chez.restore(file, path, **{"passphrase": PASSPHRASE, **options}, kdf=Kdf.minimum())  # type: ignore[arg-type]


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    restoring.write_key = _die  # all of the store is there by then
    asyncio.run(restored(Path(sys.argv[1]), Path(sys.argv[2])))
