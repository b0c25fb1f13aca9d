"""An app that makes homes until it is killed; run as `python -m tests.home.creating FOLDER`."""

import asyncio
import sys
from itertools import count
from pathlib import Path

import chez
from chez.crypto import Kdf
from tests.home.crashing import PASSPHRASE


async def main() -> None:
    """Make homes without end, and say the name of each that is made."""
    for number in count():
        await chez.create(Path(sys.argv[1]) / f"home{number}", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        sys.stdout.write(f"home{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
