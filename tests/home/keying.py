"""An app in which somebody types: numbers, a keystroke each; it says how many keystrokes are durable."""

import asyncio
import sys
from itertools import count

import chez
from tests.home.crashing import PASSPHRASE
from tests.home.feeding import say

__all__ = ("typed",)


def typed(strokes: int) -> str:
    """What so many keystrokes have written."""
    out: list[str] = []
    for number in count():
        for letter in f"{number} ":
            if len(out) == strokes:
                return "".join(out)
            out.append(letter)
    raise AssertionError


async def main(path: str) -> None:
    """Type for ever."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        async with home.collection("notes").typing("n", "body", within=0) as text:
            begun = len(text)
            letters = (letter for number in count() for letter in f"{number} ")
            for n, letter in enumerate(letters):
                if n < begun:
                    continue
                text.append(letter)
                if n % 7 == 0:
                    await asyncio.sleep(0)
                if n % 400 == 0:
                    await text.flush()
                say(str(len(text) - text.pending))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
