"""An app that backs up, restores or repairs, telling each step; run as `python -m tests.home.keeping WHAT FROM TO`."""

import asyncio
import sys
from pathlib import Path

import chez
from chez.crypto import Kdf
from tests.home.crashing import PASSPHRASE


def tell(done: int = 0, total: int = 0) -> None:
    """One line, for whoever counts them."""
    sys.stdout.write(f"{done}/{total}\n")
    sys.stdout.flush()


async def main() -> None:
    """Do it, with a line before, at each step and after."""
    what, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    tell()
    if what == "backup":
        async with chez.open(source, passphrase=PASSPHRASE) as home:
            tell()
            await home.backup(target, verify=True, progress=tell)
    elif what == "restore":
        await chez.restore(source, target, passphrase=PASSPHRASE, kdf=Kdf.minimum(), progress=tell)
    elif what == "repair":
        await chez.doctor(source, passphrase=PASSPHRASE, repair=True, progress=tell)
    elif what == "renew":
        await chez.become_new_device(source, passphrase=PASSPHRASE)
    elif what == "export":
        async with chez.open(source, passphrase=PASSPHRASE) as home:
            await home.export(target, history=True, progress=tell)
    tell()
    sys.stdin.read()  # so that it can be killed here too


if __name__ == "__main__":
    asyncio.run(main())
