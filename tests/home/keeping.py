"""An app that backs up, restores or repairs, telling each step, in a forked process (see tests/forked.py)."""

import asyncio
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import chez
from chez.crypto import Kdf
from tests.home.crashing import PASSPHRASE

__all__ = ("keep",)


def keep(what: str, source: Path, target: Path, link: Connection) -> None:
    """Do it, and tell whoever counts steps before, at each and after; then wait for a word, so that it can be killed
    here too. What goes wrong is told as text."""
    try:
        asyncio.run(_keep(what, source, target, link))
        link.recv()
    except BaseException:
        link.send(traceback.format_exc())
        raise


async def _keep(what: str, source: Path, target: Path, link: Connection) -> None:
    def tell(done: int = 0, total: int = 0) -> None:
        link.send((done, total))

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
