"""An app that writes until it is killed; run as `python -m tests.home.crashing HOME SEED`.

Several tasks write side by side. Each follows a plan that depends on the seed and on what
the home held of it before, so that whoever killed the app can tell from the number of
acknowledgements what must be there.
"""

import asyncio
import sys
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import chez

PASSPHRASE = "correct horse"
WORKERS = 5

State = dict[str, Any]
"""Of one task: its records by id, its mark in the record that all share, its debits."""

MARK, DEBIT = "(mark)", "(debit)"


@dataclass(frozen=True, slots=True)
class Step:
    """One write: its kind, and what is there after it (None: no longer there)."""

    kind: str
    after: State


async def look(home: chez.Home) -> list[State]:
    """What a home holds of each task, in one pass."""
    shared = (await home.collection("shared").get("one")).value
    states = [{MARK: shared.get(f"w{worker}", 0), DEBIT: await home.journal.spent(f"account {worker}")}
              for worker in range(WORKERS)]
    async for record in home.collection("notes"):
        states[int(record.id[0])][record.id] = record.value
    return states


def plan(seed: str, worker: int, state: State) -> Iterator[tuple[Step, State]]:
    """The steps of one task, each with what is there after it."""
    random = Random(f"{seed} {worker}")
    ids = sorted(id for id in state if not id.startswith("("))
    for n in count():
        step = _step(random, f"{worker}-{seed}-{n}", state, ids)
        state = state.copy()
        for id, value in step.after.items():
            if value is None:
                ids.remove(id)
                del state[id]
            else:
                if id not in state:
                    insort(ids, id)
                state[id] = value
        yield step, state


def _step(random: Random, new: str, state: State, ids: list[str]) -> Step:
    kind = random.choice(("put", "put", "put", "edit", "edit", "delete", "many", "mark", "move"))
    if kind == "many":
        return Step(kind, {f"{new}-{i}": _value(random) for i in range(random.randint(2, 60))})
    if kind == "mark":
        return Step(kind, {MARK: state[MARK] + 1})
    if not ids or kind == "put":
        return Step("put", {random.choice([new, *ids[:5]]): _value(random)})
    old = random.choice(ids)
    if kind == "edit":
        return Step(kind, {old: _value(random)})
    if kind == "delete":
        return Step(kind, {old: None})
    return Step(kind, {old: None, new: state[old], DEBIT: state[DEBIT] + 1.0})


def _value(random: Random) -> dict[str, Any]:
    value = {"n": random.randint(-(2**63), 2**63 - 1), "text": "é" * random.randint(0, 400)}
    deep = {"deep": {"list": [random.random(), None, b"bytes"], "true": True}}
    return value | (deep if random.random() < 0.3 else {})


async def do(home: chez.Home, worker: int, step: Step) -> None:
    """Carry out one step; it is acknowledged when this returns."""
    notes, after = home.collection("notes"), step.after
    if step.kind == "many":
        await notes.put_many(after.values(), ids=after)
    elif step.kind == "mark":
        async with home.collection("shared").edit("one") as draft:
            draft[f"w{worker}"] = after[MARK]
    elif step.kind == "move":
        (old,) = (id for id, value in after.items() if value is None)
        ((new, value),) = ((id, value) for id, value in after.items() if isinstance(value, dict))

        def move(transaction: chez.Transaction) -> None:
            transaction.delete(notes, old)
            transaction.put(notes, value, id=new)
            transaction.reserve({f"account {worker}": 1e9}, 1.0, "moved", {"to": new})

        await home.transaction(move)
    elif step.kind == "delete":
        await notes.delete(*after)
    else:
        ((id, value),) = after.items()
        if step.kind == "put":
            await notes.put(value, id=id)
        else:
            async with notes.edit(id) as draft:
                draft.clear()
                draft.update(value)


async def work(home: chez.Home, seed: str, worker: int, state: State) -> None:
    """Follow the plan, and say so after each step."""
    for step, _ in plan(seed, worker, state):
        await do(home, worker, step)
        sys.stdout.write(f"{worker}\n")
        sys.stdout.flush()


async def main() -> None:
    """Write without end."""
    path, seed = sys.argv[1:]
    async with chez.open(Path(path), passphrase=PASSPHRASE) as home, asyncio.TaskGroup() as tasks:
        for worker, state in enumerate(await look(home)):
            tasks.create_task(work(home, seed, worker, state))


if __name__ == "__main__":
    asyncio.run(main())
