"""Whatever calls are given up while lines break and homes are closed: it settles, and every promise holds."""

import asyncio
import gc
from pathlib import Path

import pytest

from tests.cuts import open_files
from tests.people.proxy import behind, proxy
from tests.people.storms import Storm

SEEDS = (*(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 11)),
         *(pytest.param(seed, marks=[pytest.mark.slow, pytest.mark.exhaustive]) for seed in range(2, 11)))


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_a_storm_all_is_as_was_said(tmp_path: Path, seed: int) -> None:
    """All devices hold the same, nothing that was done is lost, each result left once, and nothing is left over."""
    files, tasks = open_files(), asyncio.all_tasks()
    async with (proxy() as first, proxy() as second, behind(first, tmp_path / "first"),
                behind(second, tmp_path / "second")):
        storm = Storm(tmp_path, [first, second], seed)
        try:
            await storm.begin()
            await storm.rage(8 if seed == 1 else 40)
            await storm.check()
        except BaseException as error:
            error.add_note("\n".join(storm.told))
            raise
        finally:
            await storm.end()
    gc.collect()
    assert asyncio.all_tasks() == tasks
    assert open_files() <= files
