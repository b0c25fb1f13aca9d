"""An app that writes and follows a change feed until it is killed; `python -m tests.home.feeding HOME KEPT SEED`.

KEPT is a folder where it keeps its cursor and what it saw outside of the home; with "-" it
keeps both in the home, in one transaction.
"""

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

import chez

PASSPHRASE = "correct horse"


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def write(home: chez.Home, seed: str) -> None:
    """Put one record after the other, each id once, and say so."""
    notes = home.collection("notes")
    for n in count():
        await notes.put({"n": n}, id=f"{seed} {n}")
        say(f"{seed}.{n}")


async def inside(home: chez.Home) -> None:
    """Count how often each record came, in one transaction with the cursor."""
    seen = home.collection("seen")
    async for page in home.collection("notes").changes(since=await home.saved_cursor("count")):
        def work(transaction: chez.Transaction, page: chez.FeedPage = page) -> None:  # type: ignore[type-arg]
            for change in page.changes:
                try:
                    times = transaction.get(seen, change.id).value["times"]
                except chez.ChezError:
                    times = 0
                transaction.put(seen, {"times": times + 1}, id=change.id)
            transaction.save_cursor("count", page.cursor)

        await home.transaction(work)
        say("page")


async def outside(home: chez.Home, kept: Path) -> None:
    """Write down each record that came, then the cursor: two files, so a crash may come between."""
    cursor = kept / "cursor"
    since = cursor.read_text() if cursor.exists() else None
    with (kept / "seen").open("a") as seen:
        async for page in home.collection("notes").changes(since=since):
            seen.writelines(f"{change.id}\n" for change in page.changes)
            seen.flush()
            say("page")
            (kept / "new").write_text(page.cursor)
            os.replace(kept / "new", cursor)


async def main() -> None:
    """Both at once, without end."""
    path, kept, seed = sys.argv[1:]
    async with chez.open(Path(path), passphrase=PASSPHRASE) as home, asyncio.TaskGroup() as tasks:
        tasks.create_task(write(home, seed))
        await (inside(home) if kept == "-" else outside(home, Path(kept)))


if __name__ == "__main__":
    asyncio.run(main())
