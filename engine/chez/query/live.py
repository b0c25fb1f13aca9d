"""Live answers: the first comes at once, then one whenever it differs from the last.

Commits that come while the reader is busy with an answer are one commit to it, and the
last state is never missed: news is waited for only after a look that began later than
the news before. Each answer is of one instant: a transaction is in it whole or not at all.

A query is not asked again for each commit. The store numbers what it writes
(`record.changed`), so one statement reads the records of the collection that were written
since the last look, and whether each matches now; they are taken into the answer that is
held (`query.answer`). What a notice costs grows with the answer and with what was written
since, not with the store. Only where a record leaves a query with a limit, or very many
were written, it is asked in full.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from chez.query.answer import Answer, Row
from chez.query.selection import Facts, Selection

__all__ = ("Followed", "Following", "live", "live_records")

A = TypeVar("A")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

MOST_CHANGED: Final = 1000
"""Records written since the last look that are taken one by one; beyond, asking in full is no dearer."""


class Following(Protocol):
    """Somebody who is told of commits (`chez.records.news.Follower`)."""

    async def news(self) -> bool:
        """Wait for news since the last call; False when there will be none."""

    @property
    def told(self) -> bool:
        """Whether there is news that `news` has still to tell."""

    @property
    def seen(self) -> tuple[Any] | None:
        """What the writer saw for the last news; None where it did not look."""


class Followed(Protocol[R_co]):
    """What the records of a query are read from."""

    async def facts(self) -> Facts:
        """What queries go by, once what was declared has been made."""

    async def fetch(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement."""

    def record(self, row: Sequence[Any]) -> R_co:
        """The record of a row that begins with id, json, kinds."""


async def live(ask: Callable[[], Awaitable[A]], follower: Following) -> AsyncIterator[A]:
    """The answer to `ask` now, and again whenever it has changed; ends when the home closes.

    The follower may have it from the writer. News that came while it was asked for may be older than
    the answer, so then it is asked once more; whatever comes later is newer: the writer tells of a commit
    before it begins the next, and all are told in their order.
    """
    last = await ask()
    again = follower.told
    yield last
    while await follower.news():
        if again or follower.seen is None:
            answer = await ask()
            again = follower.told
        else:
            answer = follower.seen[0]
        if answer != last:
            last = answer
            yield answer


async def live_records(source: Followed[R], selection: Selection, follower: Following) -> AsyncIterator[list[R]]:
    """The records selected now, and again whenever they have changed; ends when the home closes."""
    answer = Answer(selection.directions, selection.most)
    wanted = slice(selection.offset, None)
    facts, at = await _begin(source, selection, answer)
    shown = answer[wanted]
    yield _records(source, shown)
    while await follower.news():
        rows = await source.fetch(*selection.changed(facts, at, MOST_CHANGED + 1))
        # Facts that a commit before this look made out of date: all records are to be seen by the new ones.
        anew = (await source.facts()).numeric != facts.numeric
        if not (rows or anew):
            continue
        at = rows[-1][0] if rows else at
        changed = [(id, answer.row(id, json, kinds, values) if hit else None)
                   for _, hit, id, json, kinds, *values in rows]
        if anew or len(rows) > MOST_CHANGED or not answer.take(changed):
            facts, at = await _begin(source, selection, answer)
        before, shown = shown, answer[wanted]
        if _differ(source, before, shown):
            yield _records(source, shown)


async def _begin(source: Followed[R], selection: Selection, answer: Answer) -> tuple[Facts, int]:
    """Ask in full; returns what was gone by, and the number of a write that is in it, with all before."""
    facts = await source.facts()
    # First the number: what is written between the two statements is looked at once more, which changes nothing.
    [(at,)] = await source.fetch("SELECT coalesce(max(changed), 0) FROM record", ())
    answer.begin([answer.row(id, json, kinds, values)
                  for id, json, kinds, *values in await source.fetch(*selection.upto_last(facts))])
    return facts, int(at)


def _records(source: Followed[R], rows: list[Row]) -> list[R]:
    # Made anew for each answer: values can be changed by whoever gets them.
    return [source.record((row.id, row.json, row.kinds)) for row in rows]


def _differ(source: Followed[R], before: list[Row], after: list[Row]) -> bool:
    if before == after:
        return False
    if [row.id for row in before] != [row.id for row in after]:
        return True
    # Not all that is written shows: the version of a migrated record, for one.
    return any(_records(source, [a]) != _records(source, [b])
               for a, b in zip(before, after, strict=True) if a is not b)
