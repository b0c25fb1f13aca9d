"""What a turn of a job has to do with others: none ends, delays or tells of another."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

import chez
from chez.records.collection import Collection
from chez_sandbox.bundle import build_bundle
from chez_sandbox.consent import at_work
from chez_sandbox.consent import scheduler as scheduling
from chez_sandbox.consent.allowance import set_ceiling
from chez_sandbox.consent.leaving import leavings
from chez_sandbox.consent.pending import job_pending
from chez_sandbox.consent.run import authorise
from chez_sandbox.consent.scheduler import Look, look
from chez_sandbox.consent.scope import read_windows
from chez_sandbox.consent.slots import Plan, leaves_at
from chez_sandbox.errors import WorkerFailed
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import MEAN, SIGNING, manifest_text
from tests.jobs.test_atomic import INSTANT, Instant
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import grant
from tests.jobs.timetable import EVENING, ON_DATE, allow, instant, looked, runs, scheduled


async def test_one_grant_that_can_not_run_holds_up_no_other(home: chez.Home) -> None:
    """What keeps one from running is told beside its id, and it is tried again; the others run."""
    zoned = ON_DATE.replace("last = 1,", 'last = 1, zone = "Nowhere/Atall",')
    broken = await allow(home, scheduled("daily", reads=zoned), 1)
    fine = await allow(home, scheduled("daily", reads=ON_DATE, version=2), 2)
    found = await looked(home)
    (await at_work.standing_of(home)).take(found)
    (told,) = await job_pending(home, {}, Person(""))
    assert told["grant"] == broken.grant.id and "Nowhere/Atall" in told["problem"]
    assert list(found.problems) == [broken.grant.id] and [one.grant for one in found.departed] == [fine.grant.id]


async def test_one_grant_that_can_not_run_hides_no_other_that_waits(home: chez.Home) -> None:
    """Of those whose person sees each result first, one that can't run is told beside those that wait."""
    zoned = ON_DATE.replace("last = 1,", 'last = 1, zone = "Nowhere/Atall",')
    given = [
        await grant(home, scheduled("daily", reads=reads, version=number), number, now="2020-01-01T12:00:00+00:00",
                    until=date(9999, 1, 1))
        for number, reads in enumerate((zoned, ON_DATE), 1)
    ]  # fmt: skip
    waits, broken = await job_pending(home, {}, Person(""))
    assert [waits["grant"], broken["grant"]] == [given[1].grant.id, given[0].grant.id]
    assert waits["turn"] is not None and "Nowhere/Atall" in broken["problem"]


async def test_a_sandbox_that_fails_is_told_and_ends_no_look(home: chez.Home) -> None:
    """A worker that can't be started is the grant's problem, whose turn told "none"; the next turn is run again."""

    async def failing() -> Any:
        class Failing(Instant):
            async def run_python(self, *_: Any, **__: Any) -> Any:
                raise WorkerFailed("no worker")

        return Failing()

    given = await allow(home, scheduled("daily", reads=ON_DATE))
    found = await look(home, failing, EVENING)
    assert found.problems == {given.grant.id: "no worker"} and found.next is not None
    assert [one.body["reason"] for one in await home.journal.receipts("refusal")] == ["interrupted"]
    assert (await looked(home)).departed == []
    assert len((await looked(home, datetime(2026, 11, 25, 18))).departed) == 1


async def test_what_nobody_foresaw_ends_no_look(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is none of ours is told beside its grant, without its words, and its like in sending ends no look:
    the others run, it is tried again, and the home's file of such errors names both."""
    broken = await allow(home, scheduled("daily", reads=ON_DATE), 1)
    await allow(home, scheduled("daily", reads=ON_DATE, version=2), 2)

    async def failing(*asked: Any) -> Any:
        if asked[1].version == 1:
            raise OSError("Marie's rent")
        return await read_windows(*asked)

    async def sent() -> None:
        raise ZeroDivisionError

    made = at_work.Scheduler(home, instant, sent, lambda: EVENING)
    with monkeypatch.context() as patched:
        patched.setattr(scheduling, "read_windows", failing)
        assert await made.look() == Look()
    (told,) = await job_pending(home, {"language": "fr"}, Person(""))
    assert told["grant"] == broken.grant.id and "erreur imprévue (OSError)" in told["problem"]
    kept = (home.path / "unexpected.txt").read_text()
    assert "OSError" in kept and "ZeroDivisionError" in kept and "Marie" not in kept + str(told)
    assert len(await runs(home)) == 1
    await made.look()
    assert len(await runs(home)) == 2 and await job_pending(home, {}, Person("")) == []


async def test_a_scheduler_that_can_not_watch_its_grants_looks_all_the_same(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks the feed of grants keeps no due job from running and no home from closing, and is kept."""
    put = asyncio.Event()

    async def breaking(*_: Any, **__: Any) -> AsyncIterator[None]:
        raise OSError
        yield

    async def sent() -> None:
        put.set()

    await allow(home, scheduled("daily", reads=ON_DATE))
    monkeypatch.setattr(Collection, "changes", breaking)
    async with at_work.scheduler(home, instant, sent, lambda: EVENING):
        await asyncio.wait_for(put.wait(), 60)
    assert len(await runs(home)) == 1 and "OSError" in (home.path / "unexpected.txt").read_text()


@pytest.mark.parametrize(("catch_up", "later"), [("last", []), ("all", ["2026-11-25"])])
async def test_a_turn_that_its_person_takes_meanwhile_is_not_run_again(
    home: chez.Home, catch_up: str, later: list[str]
) -> None:
    """Between the look's question and its run the person runs the turn and declines: that stays the one answer, also
    where another turn is due after it, which is run by the next look."""
    given, now = await allow(home, scheduled("daily", catch_up=catch_up, reads=ON_DATE)), EVENING
    now += timedelta(days=len(later))

    async def meanwhile() -> Runtime:
        async with authorise(home, given.grant.id, EVENING.date()) as run:
            await run.execute(INSTANT)
            await run.decline()
        return await instant()

    found = await look(home, meanwhile, now)
    assert found.departed == [] and found.problems == {} and len(await runs(home)) == 1
    assert [one.body["reason"] for one in await home.journal.receipts("refusal")] == ["declined"]
    assert await home.journal.receipts("release") == []
    assert len((await looked(home, now)).departed) == len(later)
    assert [day for day, _ in await runs(home)] == ["2026-11-24", *later]


async def test_a_turn_whose_run_is_cut_off_is_not_run_again(home: chez.Home) -> None:
    """A device that goes down while the code runs tells "none" of this period: the next look begins no run over it."""

    class Dying:
        async def runtime_hash(self) -> str:
            return "00" * 32

        async def run_python(self, *_: Any, **__: Any) -> None:
            raise asyncio.CancelledError

    async def dying() -> Any:
        return Dying()

    await allow(home, scheduled("daily", reads=ON_DATE))
    with pytest.raises(asyncio.CancelledError):
        await look(home, dying, EVENING)
    assert (await looked(home)).departed == []
    (left,) = await home.journal.receipts("refusal")
    assert left.body["reason"] == "interrupted" and len(await runs(home)) == 1


@pytest.mark.parametrize("change", ["day", "link", "clock"])
async def test_each_turn_begins_as_things_stand_then(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Of many turns that are caught up with each takes its time: past the grant's last day, out of step with the
    relay, or by a clock that was set ahead meanwhile, no further one begins, of this grant or another."""
    now, steps = datetime(2026, 11, 28, 23, 50), [True]
    for number in (1, 2):
        await allow(home, scheduled("daily", catch_up="all", reads=ON_DATE), number, until=date(2026, 11, 28))

    class Slow(Instant):
        async def run_python(self, *asked: Any, **more: Any) -> Any:
            """A run in which time goes by."""
            nonlocal now
            steps[0] = change != "link"
            now += {"day": timedelta(minutes=20), "link": timedelta(), "clock": timedelta(minutes=90)}[change]
            return await super().run_python(*asked, **more)

    async def runtime() -> Any:
        return Slow()

    async def in_step(_: chez.Home) -> bool:
        return steps[0]

    async def sent() -> None:
        """Nothing is sent."""

    monkeypatch.setattr(at_work, "_in_step", in_step)
    made = at_work.Scheduler(home, runtime, sent, lambda: now, lambda: 7.0)
    for _ in range(2):
        await made.look()
    assert [day for day, _ in await runs(home)] == ["2026-11-24"]


@pytest.mark.parametrize("took", [0, 50, 80])
async def test_the_time_of_a_message_tells_nothing_of_the_runs_before_its_own(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch, took: int
) -> None:
    """Whatever a turn took that ran before it, or that another grant's person is to see first, a message leaves as
    long after the look began; what sending takes between them counts as it is."""
    job = scheduled("daily", catch_up="all", reads=ON_DATE)
    await grant(home, scheduled("daily", reads=ON_DATE, version=2), 1, slots="hour")
    await allow(home, build_bundle(job.manifest_text.replace(b'"mean-power"', b'"other"'), MEAN, "python", SIGNING), 2,
                slots="hour")  # fmt: skip
    boot = [0.0]
    begun: list[float] = []

    class Slow(Instant):
        async def run_python(self, *asked: Any, **more: Any) -> Any:
            """A run, or a preview, in which time goes by."""
            begun.append(boot[0])
            boot[0] += took
            return await super().run_python(*asked, **more)

    async def runtime() -> Any:
        return Slow()

    async def sent() -> None:
        boot[0] += 45

    await at_work.Scheduler(home, runtime, sent, lambda: datetime(2026, 11, 26, 18), lambda: boot[0]).look()
    made, ran = await home.transaction(leavings), await home.journal.receipts("run")
    assert len(made) == len(ran) == 3 and len(begun) == 4
    for at, (leaving, receipt) in enumerate(zip(made, ran, strict=True), 1):
        # Each run has 20 s, and a minute to begin and end.
        late, plan = receipt.body.get("late", 0), Plan(**receipt.body["leaves"])
        assert begun[at] + late / 1000 == at * (20 + 60 + 45)
        began = round(datetime.fromisoformat(receipt.time).timestamp() * 1000) + late
        assert leaving.leaves.timestamp() * 1000 == leaves_at(plan, began, began)


async def test_what_never_ran_makes_no_message_later(home: chez.Home) -> None:
    """A budget that is spent and a preview that fails are tried at each look, for days; when a job runs again, its
    message leaves as if they had not been."""
    account = f"runs:provider:{SIGNING.public.hex()}"
    await set_ceiling(home, account, 1)
    await grant(home, scheduled("daily", reads=ON_DATE), 1)
    await allow(home, scheduled("daily", catch_up="all", reads=ON_DATE, version=2), 2, slots="hour")
    boot, calls, fails = 0.0, 0, True

    class Failing(Instant):
        async def run_python(self, *asked: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if fails and calls != 2:  # a preview, and not the one run that there is budget for
                raise WorkerFailed("no worker")
            return await super().run_python(*asked, **more)

    async def runtime() -> Any:
        return Failing()

    async def sent() -> None:
        pass

    made = at_work.Scheduler(home, runtime, sent, lambda: datetime(2026, 11, 26, 18), lambda: boot)
    for _ in range(20):
        found = await made.look()
        assert found is not None
        boot += 60
    assert len(found.problems) == 2 and len(await runs(home)) == 1
    fails = False
    await set_ceiling(home, account, 400)
    await made.look()
    ran = await home.journal.receipts("run")
    assert [receipt.body.get("late", 0) for receipt in ran[1:]] == [80_000, 160_000]


async def test_what_a_turn_made_is_sent_before_the_next_one_runs(home: chez.Home) -> None:
    """A message leaves at its time, however many turns are still caught up with; an error in sending ends none."""
    await allow(home, scheduled("daily", catch_up="all", reads=ON_DATE))
    told: list[str] = []

    class Telling(Instant):
        async def run_python(self, *asked: Any, **more: Any) -> Any:
            """A run that is noted."""
            told.append("run")
            return await super().run_python(*asked, **more)

    async def runtime() -> Any:
        return Telling()

    async def sent() -> None:
        told.append("sent")
        raise ZeroDivisionError

    await at_work.Scheduler(home, runtime, sent, lambda: datetime(2026, 11, 26, 18), lambda: 7.0).look()
    assert told == ["run", "sent"] * 3 + ["sent"] and len(await runs(home)) == 3


async def test_grants_that_are_not_due_cost_no_sending(home: chez.Home) -> None:
    """To send may take a minute, where a provider's relay says nothing: it is done after what ran, not for each grant
    that is there."""
    await allow(home, scheduled("daily", reads=ON_DATE))
    for number in range(2, 8):
        await allow(home, build_bundle(manifest_text(version=number), MEAN, "python", SIGNING), number)
    told: list[str] = []

    async def sent() -> None:
        told.append("sent")

    found = await at_work.Scheduler(home, instant, sent, lambda: datetime(2026, 11, 26, 18), lambda: 7.0).look()
    assert found is not None and len(found.departed) == 1
    assert len(told) <= 3
