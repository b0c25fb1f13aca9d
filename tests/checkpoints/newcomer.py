"""A device that comes anew to a space; run as `python -m tests.checkpoints.newcomer FOLDER CODE URL`.

Prints the process's peak memory (VmHWM, in KiB) once it has everything, and how many records that are.
"""

import asyncio
import sys
from pathlib import Path

import chez
from chez.crypto import Kdf
from tests.blobs.streaming import peak
from tests.people.persons import PASSPHRASE


async def main(folder: Path, code: str, url: str) -> None:
    """Join, fetch everything, tell."""
    await chez.join(folder, code, passphrase=PASSPHRASE, name="b", relay=url, kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as home:
        await home.sync(url, timeout=300)
        most = peak()  # a query fills another connection's pages
        print(most, await home.collection("items").where().count())  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
