"""A run of a world that says, when it fails, what plays it again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.world import World

__all__ = ("replaying",)


@contextmanager
def replaying(world: World, seed: int, steps: int) -> Iterator[None]:
    """Whatever fails inside is raised on, behind the seed and the last events on standard error."""
    try:
        yield
    except BaseException:
        last = "\n".join(world.trace[-30:])
        sys.stderr.write(f"\nfailing run: CHEZ_SEED={seed} CHEZ_STEPS={steps} ({len(world.trace)} events)\n{last}")
        raise
