"""kill -9 while somebody types."""

from pathlib import Path
from random import Random

import pytest

import chez
from tests.home.consistency import problems
from tests.home.crashing import PASSPHRASE
from tests.home.keying import typed
from tests.home.test_crash import app, killed


@pytest.mark.slow
async def test_a_prefix_of_the_keystrokes_survives_a_kill(path: Path) -> None:
    """After each kill the text is the first of the keystrokes, in order, and no fewer than were said to be durable."""
    random = Random(1)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"body": chez.Text("")}, id="n")
    for _ in range(3):
        async with app("keying", path) as process:
            said = await killed(process, random.randint(1, 1500))
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            text = str((await home.collection("notes").get("n")).value["body"])
            assert text == typed(len(text))
            assert len(text) >= int(said[-1])
            assert await home._database.read(lambda db: problems(db, home.device_id)) == []
