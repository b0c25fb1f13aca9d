"""`python -m examples.pilot.worker FOLDER arrive|live`: people, one after another, as numbers on standard input.

For each a line of JSON comes back: the number, and what was wrong with it, if something was. Killed at any moment,
everything is done again from where it stood in the homes.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from examples.pilot.person import Person, sandbox
from examples.pilot.plan import PilotFailed, Places, Plan

from chez.errors import ChezError
from chez_sandbox.errors import SandboxError
from chez_sandbox.runtime.host import Runtime

__all__ = ("Done", "main")


class Done(msgspec.Struct, frozen=True):
    """One person's step is done, or failed with `problem`."""

    number: int
    problem: str = ""


async def main(folder: Path, step: str) -> None:
    """Answer each number with a `Done`, until standard input ends."""
    places = Places(folder)
    plan = msgspec.json.decode(places.plan.read_bytes(), type=Plan)
    async with _sandbox(step) as runtime:
        while line := await asyncio.to_thread(sys.stdin.readline):
            person, problem = Person(places, plan, int(line)), ""
            try:
                await (person.arrive() if runtime is None else person.live(runtime))
            except (ChezError, SandboxError, PilotFailed) as error:
                problem = f"{type(error).__name__}: {error}"
            sys.stdout.write(msgspec.json.encode(Done(person.number, problem)).decode() + "\n")
            sys.stdout.flush()


@asynccontextmanager
async def _sandbox(step: str) -> AsyncIterator[Runtime | None]:
    """The sandbox, for the step that runs jobs: one for all homes of this process, as their jobs follow each other."""
    if step == "arrive":
        yield None
        return
    async with sandbox() as runtime:
        yield runtime


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
