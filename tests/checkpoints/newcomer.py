"""A device that comes anew to a space; run as `python -m tests.checkpoints.newcomer FOLDER CODE URL`.

Prints the process's peak memory (VmHWM, in KiB) once it has everything, and how many records that are. SQLite keeps
few pages here: what it fills up to its bound as records come would hide what else grows.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any

import sqlcipher3

import chez
from chez.crypto import Kdf
from tests.blobs.streaming import peak
from tests.people.persons import PASSPHRASE


class FewPages(sqlcipher3.Connection):  # type: ignore[misc]
    """A connection that keeps pages of a megabyte, whatever it is asked."""

    def execute(self, sql: str, *arguments: Any) -> Any:
        """As of any connection."""
        return super().execute("PRAGMA cache_size = -1000" if "cache_size" in sql else sql, *arguments)


async def main(folder: Path, code: str, url: str) -> None:
    """Join, fetch everything, tell."""
    await chez.join(folder, code, passphrase=PASSPHRASE, name="b", relay=url, kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as home:
        await home.sync(url, timeout=300)
        most = peak()  # a query fills another connection's pages
        print(most, await home.collection("items").where().count())  # noqa: T201


if __name__ == "__main__":
    sqlcipher3.connect = partial(sqlcipher3.connect, factory=FewPages)
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
