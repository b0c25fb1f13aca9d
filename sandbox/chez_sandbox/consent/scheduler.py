"""Runs what is due under the grants that a device runs by itself, and has ready what a person must see first.

Which turns are due follows from the journal (`schedule`), and so does which periods were run: one that was is not
run again, whatever came of it, so that a window is told of once. A grant that shows results first is run by nobody
but its person: of its turn there is a *preview*, a dry run, for which nothing is debited and of which nothing leaves.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec

from chez.agent.reports import FILE_NAME, write
from chez.crypto import derive
from chez.errors import ChezError
from chez_sandbox.consent.catalogue import Phrase
from chez_sandbox.consent.execution import Execution, execute, longest_of
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import list_grants, load_grant
from chez_sandbox.consent.heeding import heed_all
from chez_sandbox.consent.run import Departure, authorise
from chez_sandbox.consent.schedule import awaited, due, is_repeated, jitter, next_due
from chez_sandbox.consent.scope import granted_tables, read_windows
from chez_sandbox.consent.slots import MARGIN
from chez_sandbox.consent.stopping import unless_revoked
from chez_sandbox.errors import SandboxError
from chez_sandbox.manifest import Manifest
from chez_sandbox.runtime.host import Runtime

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("Look", "Pending", "due_turn", "look", "preview", "turn_to_run", "waiting_turns")

Windows = list[list[str] | None]
Again = Callable[[], Awaitable[datetime | None]]
"""What time it is by now; None where no turn may begin any more."""
Begin = Callable[[float], float]
"""Something begins that takes so many seconds at most: how many seconds later it counts as begun."""
Never = Callable[[float], None]
"""What was to begin last ran nothing, and takes none of its seconds."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A turn that waits for its person."""

    granted: Granted = field(repr=False)
    turn: date
    windows: Windows
    execution: Execution = field(repr=False)
    """What the job gave."""


class Look(msgspec.Struct, frozen=True):
    """What one look came to: what left or will, what waits for the person, what did not work, when to look again."""

    departed: list[Departure] = msgspec.field(default_factory=list)
    pending: list[Pending] = msgspec.field(default_factory=list)
    problems: dict[str, str] = msgspec.field(default_factory=dict)
    """By the grant's id."""
    next: datetime | None = None
    """By the wall's clock; None when no grant is run by itself."""


async def due_turn(home: "Home", granted: Granted, now: datetime) -> tuple[date, Windows] | None:
    """The first turn of a grant that is due on this device, and the windows that it would read; None when none is.

    A turn over windows that a run was given before is none: its period is told of. A job that waits for new data
    goes on to later steps alone, whatever comes late for earlier ones; to catch up it goes as of each day on which
    one of them was complete.
    """
    grant, manifest = granted.grant, granted.bundle.manifest
    runs = await home.journal.receipts("run", grant=grant.id)
    if not is_repeated(manifest.schedule) or granted.state(home.device_id, now.date(), len(runs)) != "running":
        return None
    since = datetime.fromisoformat(grant.granted).astimezone().date()
    ran = [date.fromisoformat(receipt.body["date"]) for receipt in runs]
    read: list[Windows] = [receipt.body["windows"] for receipt in runs]
    if manifest.schedule == "on-new-data" and manifest.catch_up == "all" and (told := _ends(manifest, read)):
        since, ran = date.fromisoformat(min(told)[:10]), []
    turns = due(manifest.schedule, manifest.catch_up, since=since, ran=ran, now=now, after=jitter(granted.seed))
    for turn in turns:
        between = await read_windows(home, manifest, turn, grant.narrowed)
        windows: Windows = [one and list(one) for one in between]
        if not _told(manifest, windows, read):
            return turn, windows
    return None


async def turn_to_run(home: "Home", granted: Granted, now: datetime) -> date:
    """The day as of which a person's run goes: the first turn that is due, or today."""
    first = await due_turn(home, granted, now)
    return now.date() if first is None else first[0]


async def waiting_turns(home: "Home", now: datetime) -> tuple[list[tuple[Granted, date, Windows]], dict[str, str]]:
    """The turns that are due and wait for their person, who sees each result first.

    And what keeps it from being known whether one is, by the grant's id: one job must not hide the others.
    """
    turns, problems = [], dict[str, str]()
    for one in await list_grants(home):
        if one.grant.review == "show-me-first":
            try:
                if (first := await due_turn(home, one, now)) is not None:
                    turns.append((one, *first))
            except ChezError as problem:
                problems[one.grant.id] = problem.message
    return turns, problems


async def look(
    home: "Home",
    runtime: Callable[[], Awaitable[Runtime]],
    now: datetime,
    known: Sequence[Pending] = (),
    *,
    believed: bool = True,
    again: Again | None = None,
    begin: Begin = lambda seconds: 0.0,
    never: Never = lambda seconds: None,
) -> Look:
    """Run what is due. `known` are the previews there were: what they say still holds for the same turn and windows.

    Nothing begins, and that is said beside each grant, where `now` is not `believed` (`clocks`). A run takes minutes,
    and there may be hundreds: before each further one it is asked `again` what time it is. To `begin` each is told
    that takes so many seconds at most, and says how much later it counts as begun (`pace`); `never` takes that back.
    """
    found, turns = Look(), _Turns(runtime, known, again, begin, never)
    times, done = [], 0
    await heed_all(home)
    for granted in await list_grants(home):
        schedule = granted.bundle.manifest.schedule
        if not is_repeated(schedule) or granted.grant.device != home.device_id.hex() or granted.revoked:
            continue
        if (more := len(found.departed) + len(found.pending)) > done:
            # Once after what took its time: to ask may take a minute, where a provider's relay says nothing.
            done = more
            if (moment := await _asked(again, now)) is None:
                return msgspec.structs.replace(found, next=now)
            now = moment
        times.append(next_due(schedule, now=now, after=jitter(granted.seed)))
        try:
            if believed:
                if not await _take(home, granted, now, found, turns):
                    return msgspec.structs.replace(found, next=now)
            elif await due_turn(home, granted, now) is not None:
                found.problems[granted.grant.id] = Phrase("pending.clock", time=f"{now:%Y-%m-%d %H:%M}")
        except (ChezError, SandboxError) as problem:  # one grant must not hold up the others
            found.problems[granted.grant.id] = problem.message
        except Exception as problem:  # nor must what nobody foresaw
            write(home.path, problem, now.isoformat())
            found.problems[granted.grant.id] = Phrase("pending.unexpected", kind=type(problem).__name__, file=FILE_NAME)
    return Look(found.departed, found.pending, found.problems, min(times, default=None))


async def preview(home: "Home", granted: Granted, turn: date, runtime: Runtime) -> Execution:
    """What the run of a turn would give now, by the seed that it will have. Nothing is debited or leaves."""
    grant, bundle = granted.grant, granted.bundle
    sequence = len(await home.journal.receipts("run", grant=grant.id)) + 1
    tables = await granted_tables(home, bundle.manifest, turn, grant.narrowed)
    seed = derive(granted.seed, f"chez/1 run seed {sequence}")
    return await execute(runtime, bundle, tables, seed, turn.isoformat())


class _Turns(msgspec.Struct, frozen=True):
    """What the turns of one look are run with."""

    runtime: Callable[[], Awaitable[Runtime]]
    known: Sequence[Pending]
    again: Again | None
    begin: Begin
    never: Never


async def _take(home: "Home", granted: Granted, now: datetime, found: Look, turns: _Turns) -> bool:
    """The due turns of one grant: one after the other, each as things stand then; or what waits for the person.

    False where no further one may begin now.
    """
    while (first := await due_turn(home, granted, now)) is not None:
        turn, windows = first
        if granted.grant.review == "show-me-first":
            same = (one for one in turns.known if (one.granted, one.turn, one.windows) == (granted, turn, windows))
            if (ready := next(same, None)) is None:
                ready = Pending(granted, turn, windows, await _preview(home, granted, turn, turns))
            found.pending.append(ready)
            return True
        departure = await _run(home, granted, turn, now, turns)
        if departure is None:
            return True
        found.departed.append(departure)
        if (moment := await _asked(turns.again, now)) is None:
            return False
        granted, now = await load_grant(home, granted.grant.id), moment
    return True


async def _asked(again: Again | None, now: datetime) -> datetime | None:
    return now if again is None else await again()


def _longest(granted: Granted) -> float:
    return longest_of(granted.bundle.manifest) + MARGIN


async def _preview(home: "Home", granted: Granted, turn: date, turns: _Turns) -> Execution:
    turns.begin(_longest(granted))
    try:
        return await preview(home, granted, turn, await turns.runtime())
    except Exception:
        # It is tried again at each look: what never ran must not make the others' messages later each time.
        turns.never(_longest(granted))
        raise


async def _run(home: "Home", granted: Granted, turn: date, now: datetime, turns: _Turns) -> Departure | None:
    """One run by itself; None when its turn was taken or its grant revoked meanwhile: what was due then says "none"."""
    id, runtime = granted.grant.id, await turns.runtime()
    async with authorise(home, id, turn) as run:
        # Asked again, now that nobody else may run it: the person, or another process, may have just done so.
        first = await due_turn(home, run.granted, now)
        if first is None or first[0] != turn:
            return None
        late = turns.begin(_longest(granted))
        try:
            execution = await unless_revoked(home, id, lambda: run.execute(runtime, late=late))
        finally:
            if not run.debited:  # as where a budget is spent, which is found at each look
                turns.never(_longest(granted))
        return None if execution is None else await run.release(execution)


def _told(manifest: Manifest, windows: Windows, read: Sequence[Windows]) -> bool:
    """Whether there is nothing to run over these windows, after runs that read those."""
    if manifest.schedule != "on-new-data":
        return None not in windows and windows in read
    fresh, told = _ends(manifest, [windows]), _ends(manifest, read)
    if len(fresh) < len(awaited(manifest)):
        return True  # no step of some collection is complete
    return bool(told) and (fresh == told or any(new < old for new, old in zip(fresh, told, strict=True)))


def _ends(manifest: Manifest, read: Sequence[Windows]) -> list[str]:
    """Where the windows of the collections whose new data is waited for ended at last; none where one had none."""
    of = [number for number, one in enumerate(manifest.reads) if one.collection in awaited(manifest)]
    ends = [[window[1] for number in of if (window := windows[number]) is not None] for windows in read]
    return max((end for end in ends if len(end) == len(of)), default=[])
