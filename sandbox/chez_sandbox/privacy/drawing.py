"""Noised values for a manifest: from the rows that a run was given, or from rows that are made up.

Both draw anew each time they are called. Who may call the first, and that it happens once for a window of a
grant, is `chez_sandbox.consent.noising`'s matter; the second looks at nobody's data.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import anyio.to_thread

from chez_sandbox.manifest import Manifest, Measurement
from chez_sandbox.privacy.helper import Request, draw_all
from chez_sandbox.privacy.statistics import contributions, question
from chez_sandbox.runtime.host import Table

__all__ = ("MADE_ROWS", "Drawn", "Noise", "draw_from", "made_up")

MADE_ROWS = 1000
"""Rows that an example is made of."""

Drawn = Mapping[str, Sequence[int]]
"""What was drawn for each noised key of a result, as `mechanism.draw` gives it."""

Noise = Callable[[Manifest, Sequence[Table]], Awaitable[Drawn]]
"""Where a run's noised values come from."""


async def draw_from(manifest: Manifest, tables: Sequence[Table], keys: Collection[str] | None = None) -> Drawn:
    """A fresh noised value for each measurement, or those of `keys`, from these rows; raises like `draw_all`."""
    rows = {table.name: table for table in tables}
    chosen = [one for one in manifest.measurements if keys is None or one.key in keys]

    def requests() -> list[Request]:
        return [(question(one), contributions(one, _cells(one, rows[one.collection]))) for one in chosen]

    # Two million rows take a second, which the event loop does not have.
    drawn = await draw_all(await anyio.to_thread.run_sync(requests))
    return {one.key: numbers for one, numbers in zip(chosen, drawn, strict=True)}


def _cells(one: Measurement, table: Table) -> list[object]:
    if one.field is None:
        return [None] * len(table.rows)
    place = table.columns.index(one.field)
    return [row[place] for row in table.rows]


async def made_up(manifest: Manifest, tables: Sequence[Table]) -> Drawn:
    """What noised values look like, from `MADE_ROWS` rows spread over the bounds or bins; none of `tables`."""
    asked = [question(one) for one in manifest.measurements]
    requests = [
        (one, [one.low + (one.high - one.low) * row // (MADE_ROWS - 1) for row in range(MADE_ROWS)]) for one in asked
    ]
    drawn = await draw_all(requests)
    return {one.key: numbers for one, numbers in zip(manifest.measurements, drawn, strict=True)}
