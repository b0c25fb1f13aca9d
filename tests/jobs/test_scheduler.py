"""A device runs by itself what it was let run, each period once, and has ready what its person must see first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any

import pytest

import chez
from chez.agent import running
from chez.home.reports import HomeStatus
from chez_sandbox.consent import at_work, verbs
from chez_sandbox.consent.grants import revoke_grant
from chez_sandbox.consent.pausing import pause_grant
from chez_sandbox.consent.pending import job_pending
from chez_sandbox.consent.run import authorise, withdraw
from chez_sandbox.consent.scheduler import Look
from tests.jobs.spending import spent
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, bundle, grant, tamper
from tests.jobs.timetable import DAY, EVENING, ON_DATE, allow, instant, looked, row, runs, scheduled


@pytest.mark.parametrize(
    ("catch_up", "days"),
    [pytest.param("last", ["24", "28"], marks=pytest.mark.slow), ("all", ["24", "25", "26", "27", "28"])],
    ids=["last", "all"],
)
async def test_missed_turns_are_caught_up_with_as_the_manifest_says(
    home: chez.Home, catch_up: str, days: list[str]
) -> None:
    """After days in which nothing ran, the last period is run or each in its order; none twice, and one debit each."""
    given = await allow(home, scheduled("daily", catch_up=catch_up, reads=ON_DATE))
    assert [one.sequence for one in (await looked(home)).departed] == [1]
    for _ in range(2):
        found = await looked(home, datetime(2026, 11, 28, 18))
    assert found.departed == [] and found.problems == {} and found.next is not None
    assert [day for day, _ in await runs(home)] == [f"2026-11-{day}" for day in days]
    assert [window for _, window in await runs(home)] == [
        [f"2026-11-{int(day) - 1:02d}", f"2026-11-{day}"] for day in days
    ]
    bits = given.bundle.manifest.schema.bits * len(days)
    assert await spent(home, f"grant:{given.grant.id}") == pytest.approx(bits, abs=0.01)
    assert len(await home.journal.receipts("release")) == len(days)


@pytest.mark.parametrize(("schedule", "last", "turns"), [
    ("weekly", datetime(2026, 12, 9, 18), ["2026-11-23", "2026-11-30", "2026-12-07"]),
    ("monthly", datetime(2027, 1, 2, 18), ["2026-11-01", "2026-12-01", "2027-01-01"]),
])  # fmt: skip
async def test_a_week_and_a_month_are_each_run_once(
    home: chez.Home, schedule: str, last: datetime, turns: list[str]
) -> None:
    """From the week or month of the grant on, each is run once, as on its Monday or its first day; none twice."""
    job = scheduled(schedule, catch_up="all", reads=ON_DATE)
    given = await allow(home, job, until=date(2027, 12, 31))
    for now in (EVENING, EVENING, last, last):
        found = await looked(home, now)
    assert [day for day, _ in await runs(home)] == turns and found.problems == {}
    assert found.next is not None and found.next.date().isoformat() == {"weekly": "2026-12-14"}.get(
        schedule, "2027-02-01")  # fmt: skip
    assert await spent(home, f"runs:provider:{given.grant.provider}") == 3


@pytest.mark.parametrize(
    ("catch_up", "read"),
    [pytest.param("last", [21, 23], marks=pytest.mark.slow), ("all", [21, 22, 23])],
    ids=["last", "all"],
)
async def test_a_job_waits_for_new_data_and_late_rows_change_nothing(
    home: chez.Home, catch_up: str, read: list[int]
) -> None:
    """It runs over each step that the data completes, once; what comes late for one that was told changes nothing."""
    await allow(home, scheduled("on-new-data", catch_up=catch_up))
    await looked(home)
    await looked(home, datetime(2026, 11, 25, 18))
    assert await runs(home) == [("2026-11-24", ["2026-11-21", "2026-11-22"])]
    for day in (22, 23):
        await row(home, day)
    await row(home, 21, 9999)
    for now in (26, 26, 27):
        await looked(home, datetime(2026, 11, now, 18))
        await row(home, 23, 9999)
    assert [window for _, window in await runs(home)] == [[f"2026-11-{day}", f"2026-11-{day + 1}"] for day in read]
    assert len(await home.journal.receipts("release")) == len(read)


async def test_a_period_that_was_run_is_not_run_again_the_next_day(home: chez.Home) -> None:
    """A daily job over the newest day that has rows: while no row comes, the days after have nothing to run, also where
    what was made of it was withdrawn."""
    held = await allow(home, scheduled("daily"), review="hold", hold_hours=3)
    await looked(home)
    await withdraw(home, held.grant.id)
    found = await looked(home, datetime(2026, 11, 25, 18))
    assert found.departed == [] and found.problems == {} and len(await runs(home)) == 1
    await row(home, 23)
    assert len((await looked(home, datetime(2026, 11, 26, 18))).departed) == 1


async def test_new_data_is_complete_where_all_that_is_waited_for_is(home: chez.Home) -> None:
    """A job that reads several collections runs once each has a new step; one whose window ends with the date is not
    waited for, and a run by hand in which something was missing has told of no step."""
    lines = DAY + DAY.replace('"readings"', '"prices"') + ON_DATE.replace('"readings"', '"bills"')
    given = await allow(home, scheduled("on-new-data", reads=lines))
    async with authorise(home, given.grant.id, EVENING.date()) as run:
        await run.release(await run.execute(INSTANT))
    assert (await looked(home)).departed == []
    await home.collection("prices").put({"flow": "consumption", "local": "2026-11-21T12:00", "watts": 1})
    found = await looked(home, datetime(2026, 11, 25, 18))
    assert len(found.departed) == 1 and found.problems == {}


async def test_what_the_person_must_see_first_waits_and_nothing_of_it_is_spent(home: chez.Home) -> None:
    """Its result is ready and stays, the same over looks; it leaves when the person says so, as the run of its turn."""
    given = await grant(home, scheduled("daily", reads=ON_DATE))
    (waiting,) = (await looked(home)).pending
    assert waiting.turn == date(2026, 11, 24) and waiting.execution.admitted is not None
    assert (await looked(home, known=[waiting])).pending[0] is waiting
    (later,) = (await looked(home, datetime(2026, 11, 25, 18), [waiting])).pending
    assert later.turn == date(2026, 11, 25)
    assert await runs(home) == [] and await spent(home, f"grant:{given.grant.id}") == 0
    assert await home.journal.receipts("release") == await home.journal.receipts("refusal") == []


async def test_a_person_finds_what_waits_and_lets_it_leave(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chez job pending` tells the turn and what would leave, and nothing of a job that runs by hand alone; running the
    grant answers it, as of the turn's day, and nothing waits then."""
    monkeypatch.setattr(verbs, "runtime_of", lambda home: instant())
    long: dict[str, Any] = {"now": "2020-01-01T12:00:00+00:00", "until": date(9999, 1, 1)}
    given = await grant(home, scheduled("monthly", reads=ON_DATE), **long)
    await grant(home, bundle(job="by-hand"), 2, **long)
    (one,) = await job_pending(home, {}, Person(""))
    assert (one["grant"], one["preview"]) == (given.grant.id, None)
    (await at_work.standing_of(home)).take(await looked(home, datetime.now()))
    (one,) = await job_pending(home, {}, Person(""))
    assert (one["preview"]["result"], one["preview"]["outcome"]) == ('{"watts":150}', "result")
    done = await verbs.job_run(home, {"grant": given.grant.id}, Person("y"))
    assert done["result"] == '{"watts":150}'
    assert await job_pending(home, {}, Person("")) == []
    assert [day for day, _ in await runs(home)] == [one["turn"]]


async def test_nothing_runs_that_may_not(home: chez.Home) -> None:
    """A grant that is paused, revoked, over, used up, damaged, or the person's to start runs nothing."""
    job = scheduled("daily", reads=ON_DATE)
    await pause_grant(home, (await allow(home, job, 1)).grant.id, pause=bytes(16), now=NOW)
    await revoke_grant(home, (await allow(home, job, 2)).grant.id)
    await allow(home, job, 3, until=date(2026, 11, 23))
    await tamper(home, (await allow(home, job, 4)).grant.id, signature=b"")
    await allow(home, bundle(version=2, reads=ON_DATE), 5)
    assert (await looked(home)).departed == [] and await runs(home) == []
    await allow(home, scheduled("daily", reads=ON_DATE, version=3), 6, runs=1)
    assert len((await looked(home)).departed) == 1
    assert (await looked(home, datetime(2026, 11, 29, 18))).departed == [] and len(await runs(home)) == 1


async def test_a_clock_that_is_set_ahead_runs_no_turn_to_come(home: chez.Home) -> None:
    """Five weeks ahead for a look nothing begins, and it is said why; put right, today's turn runs and no other."""
    given = await allow(home, scheduled("daily", catch_up="all", reads=ON_DATE))
    now = EVENING

    async def sent() -> None:
        pass

    made = at_work.Scheduler(home, instant, sent, lambda: now, lambda: 7.0)
    await made.look()
    now = datetime(2026, 12, 31, 12)
    await made.look()
    (told,) = await job_pending(home, {}, Person(""))
    assert told["grant"] == given.grant.id and "was set ahead, to 2026-12-31 12:00" in told["problem"]
    assert [day for day, _ in await runs(home)] == ["2026-11-24"]
    now = datetime(2026, 11, 24, 19)
    await made.look()
    assert await job_pending(home, {}, Person("")) == [] and len(await runs(home)) == 1


async def test_a_clock_that_is_set_ahead_before_chez_up_runs_no_turn_to_come(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known of the clock before the owner started holds for its turns, unless the machine was started anew."""
    await allow(home, scheduled("daily", catch_up="all", reads=ON_DATE))
    looks = asyncio.Event()

    async def sent() -> None:
        pass

    async def stands(*given: Any, **named: Any) -> Look:
        looks.set()
        return found.append(named["believed"]) or Look()

    found: list[bool] = []
    monkeypatch.setattr(at_work, "look", stands)
    monkeypatch.setattr(at_work, "start_of_machine", lambda: "a start")
    await (await at_work.time_of(home)).told()
    for start, believed in (("a start", False), ("another start", True)):
        monkeypatch.setattr(at_work, "start_of_machine", lambda start=start: start)
        looks.clear()
        async with at_work.scheduler(home, instant, sent, lambda: datetime.now() + timedelta(days=2)):
            await asyncio.wait_for(looks.wait(), 60)
        assert found.pop() is believed


async def test_the_owner_of_a_home_lets_due_jobs_run(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a home is served a job that is granted begins by itself, and its message is sent; not out of step."""
    ran, put = asyncio.Event(), asyncio.Event()
    status = HomeStatus(0, 0, 0, "ws://127.0.0.1:9", 0, "connecting", ())

    async def sent(*_: Any) -> None:
        put.set()

    async def stands() -> HomeStatus:
        ran.set()
        return status

    monkeypatch.setattr("chez.inboxes.put", sent)
    monkeypatch.setattr(running, "WORK_AFTER", 0.0)
    monkeypatch.setattr(verbs, "runtime_of", lambda home: instant())
    monkeypatch.setattr(at_work, "OUT_OF_STEP", 0.0)
    await home.set_relay("ws://127.0.0.1:9")
    monkeypatch.setattr(home, "status", stands)
    await allow(home, scheduled("daily", reads=ON_DATE), now="2020-01-01T12:00:00+00:00", until=date(9999, 1, 1))
    async with running._at_work(home):
        await asyncio.wait_for(ran.wait(), 60)
        assert await runs(home) == []
        status = HomeStatus(0, 0, 0, "ws://127.0.0.1:9", 0, "synced", ())
        await asyncio.wait_for(put.wait(), 60)
    assert len(await runs(home)) == 1


async def test_what_breaks_in_a_packages_work_ends_nothing_else(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package whose work fails keeps no home from closing; its error is kept for whoever looks."""
    begun = asyncio.Event()

    @asynccontextmanager
    async def breaking(home: chez.Home) -> AsyncIterator[None]:
        begun.set()
        yield
        raise ZeroDivisionError

    monkeypatch.setattr("chez.agent.verbs.at_work", lambda: ([breaking], []))
    monkeypatch.setattr(running, "WORK_AFTER", 0.0)
    async with running._at_work(home):
        await asyncio.wait_for(begun.wait(), 60)
    assert "ZeroDivisionError" in (home.path / "unexpected.txt").read_text()
