"""Fresh homes: each kind is made once in a process that tests, and copied. Making one costs more than most tests do."""

import asyncio
import atexit
import shutil
import tempfile
from pathlib import Path

import chez
from chez.crypto import Kdf

__all__ = ("PASSPHRASE", "fresh_home")

PASSPHRASE = "correct horse"

_made: dict[str, Path] = {}


async def fresh_home(path: Path, name: str = "laptop") -> Path:
    """Put a home at `path` that was just made and is not open; its device is `name`, and so is its person.

    All of one name are copies of one home: a test that needs two of a name, or meets a relay that another test had
    too, makes its own.
    """
    if name not in _made:
        folder = Path(tempfile.mkdtemp(prefix="chez-fresh-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        await chez.create(folder / "home", passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
        _made[name] = folder / "home"
    await asyncio.to_thread(shutil.copytree, _made[name], path)
    return path
