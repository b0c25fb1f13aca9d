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
from chez.records.collection import Collection
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent import at_work, verbs
from chez_sandbox.consent import scheduler as scheduling
from chez_sandbox.consent.allowance import set_ceiling
from chez_sandbox.consent.grants import Granted, revoke_grant
from chez_sandbox.consent.leaving import leavings
from chez_sandbox.consent.pausing import pause_grant
from chez_sandbox.consent.pending import job_pending
from chez_sandbox.consent.run import authorise
from chez_sandbox.consent.scheduler import Look, look
from chez_sandbox.consent.scope import read_windows
from chez_sandbox.consent.slots import Plan, leaves_at
from chez_sandbox.errors import WorkerFailed
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import MEAN, READS, SIGNING, manifest_text
from tests.jobs.spending import spent
from tests.jobs.test_atomic import INSTANT, Instant
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, bundle, grant, tamper

EVENING = datetime(2026, 11, 24, 18)
"""Of the day of the sample grants; whatever their jitter is."""

DAY = READS.replace("last = 365", "last = 1")
ON_DATE = DAY.replace('"latest"', '"run-date"')


def scheduled(schedule: str, *, catch_up: str = "last", reads: str = DAY, version: int = 1) -> Bundle:
    """The sample job, with a schedule, over the last day."""
    text = manifest_text(reads=reads, version=version).decode()
    more = f'schedule = "{schedule}"\ncatch_up = "{catch_up}"\nretention_days'
    return build_bundle(text.replace("retention_days", more, 1).encode(), MEAN, "python", SIGNING)


async def instant() -> Runtime:
    """A runtime that runs nothing."""
    made: Runtime = INSTANT
    return made


async def looked(home: chez.Home, now: datetime = EVENING, known: Any = ()) -> Look:
    """One look of the device at a time."""
    return await look(home, instant, now, known)


async def runs(home: chez.Home) -> list[tuple[str, Any]]:
    """The day and the window of every run, in order."""
    return [(one.body["date"], one.body["windows"][0]) for one in await home.journal.receipts("run")]


async def row(home: chez.Home, day: int, watts: int = 100) -> None:
    """One more reading, at noon of a day of November."""
    await home.collection("readings").put(
        {"flow": "consumption", "local": f"2026-11-{day:02d}T12:00", "seconds": 1800, "watts": watts}
    )


async def allow(home: chez.Home, job: Bundle, number: int = 1, **options: Any) -> Granted:
    """Grant a job whose results may leave unseen."""
    return await grant(home, job, number, **({"review": "within-the-grant"} | options))


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
    """`chez job pending` tells the turn and what would leave; running the grant answers it, and nothing waits then."""
    monkeypatch.setattr(verbs, "runtime_of", lambda home: instant())
    given = await grant(home, scheduled("daily", reads=ON_DATE), now="2020-01-01T12:00:00+00:00",
                        until=date(9999, 1, 1))  # fmt: skip
    (one,) = await job_pending(home, {}, Person(""))
    assert (one["grant"], one["preview"]) == (given.grant.id, None)
    (await at_work.standing_of(home)).take(await looked(home, datetime.now()))
    (one,) = await job_pending(home, {}, Person(""))
    assert one["preview"]["result"] == '{"watts":150}'
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


async def test_a_turn_that_its_person_takes_meanwhile_is_not_run_again(home: chez.Home) -> None:
    """Between the look's question and its run the person runs the turn and declines: that stays the one answer."""
    given = await allow(home, scheduled("daily", reads=ON_DATE))

    async def meanwhile() -> Runtime:
        async with authorise(home, given.grant.id, EVENING.date()) as run:
            await run.execute(INSTANT)
            await run.decline()
        return await instant()

    found = await look(home, meanwhile, EVENING)
    assert found.departed == [] and found.problems == {} and len(await runs(home)) == 1
    assert [one.body["reason"] for one in await home.journal.receipts("refusal")] == ["declined"]
    assert await home.journal.receipts("release") == []


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
