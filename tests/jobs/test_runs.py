"""Granted runs: debited before, one message after, whatever the job does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed
from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.execution import execute
from chez_sandbox.consent.run import Departure, authorise, settle_all, withdraw
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.errors import SandboxError
from chez_sandbox.job_errors import AlreadyAnswered, BudgetSpent, GrantEnded
from chez_sandbox.manifest import parse_manifest
from chez_sandbox.release.release import message_size, open_message
from chez_sandbox.runtime.host import Outcome, RunResult, Runtime, Table
from tests.jobs.samples import INBOX, MEAN, READS, RESULT, SEALING, WHOLE, manifest_text
from tests.jobs.spending import spent
from tests.jobs.test_atomic import Instant
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.runtime.conftest import KEY
from tests.runtime.jobs import workers, zygotes

SIZE = message_size(bundle().manifest.schema)

LIMITS = """
[limits]
fuel = 2000000000
memory_mib = 64
seconds = 5
output_bytes = 4096
"""

HOSTILE = {
    "loops": "while True: pass",
    "allocates": "x = []\n    while True: x.append(bytearray(1 << 20))",
    "recurses": "return run(data, params)",
    "opens a file": "return open('/etc/passwd').read()",
    "imports socket": "import socket",
    "imports os by a trick": "return [c for c in ().__class__.__base__.__subclasses__() if 'os' in c.__module__][0].x",
    "reads an ungranted collection": "return {'watts': len(list(data.rows('diary')))}",
    "queries an ungranted collection": "return {'watts': data.query('select count(*) as n from diary')[0]['n']}",
    "reads an ungranted field": "return {'watts': len(data.query('select meter from readings'))}",
    "returns free text": "return {'watts': 'Alice'}",
    "returns an extra field": "return {'watts': 100, 'name': 'Alice'}",
    "returns nan": "return {'watts': float('nan')}",
    "returns too much": "return {'watts': 10001}",
    "returns an oversize value": "return {'watts': 'x' * 10_000_000}",
    "raises": "raise ValueError('Alice')",
    "exits": "raise SystemExit(3)",
    "gives up": "data.fail('not-applicable')",
}


# limit of the manifest: (what the job does, generous, met, how the run ends then)
LIMITED: dict[str, tuple[str, int, float, Outcome]] = {
    "fuel": ("sum(range(10**5))", 10**9, 10**6, Outcome.FUEL),
    "memory_mib": ("len(bytearray(120 << 20))", 256, 128, Outcome.MEMORY),
    "seconds": ("sum(range(10**6))", 300, 0.02, Outcome.TIME),
    "output_bytes": ("pass", 64, 16, Outcome.REFUSED),
}

ROW = Table("readings", ("local", "watts"), (("2026-11-20T00:00", 100),))


async def run_once(home: chez.Home, id: str, runtime: Runtime, *, decline: bool = False) -> Departure:
    """One granted run, released or declined."""
    async with authorise(home, id, TODAY) as run:
        execution = await run.execute(runtime)
        return await (run.decline() if decline else run.release(execution))


def opened(departure: Departure) -> Any:
    """What the provider reads."""
    return open_message(departure.message, SEALING, INBOX)


async def test_a_run_leaves_the_rounded_result(home: chez.Home, runtime: Runtime) -> None:
    """The provider gets the mean of the granted rows, rounded by the device, and its place."""
    given = await grant(home, bundle())
    departure = await run_once(home, given.grant.id, runtime)
    release = opened(departure)
    assert (release.outcome, release.result, release.sequence) == ("result", b'{"watts":150}', 1)
    assert release.bundle == given.bundle.hash and len(departure.message) == SIZE
    (ran,) = await home.journal.receipts("run")
    assert ran.body["rows"] == {"readings": 96} and ran.body["runtime"] == await runtime.runtime_hash()
    (left,) = await home.journal.receipts("release")
    assert left.body["result"] == '{"watts":150}'
    assert (await home.journal.verify()).ok
    for account in (f"grant:{given.grant.id}", f"provider:{given.grant.provider}", "collection:readings"):
        assert await spent(home, account) == pytest.approx(given.bundle.manifest.schema.bits, abs=0.01)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_job_leaves_one_message_of_the_same_length(
    name: str, home: chez.Home, runtime: Runtime
) -> None:
    """Whatever a job tries, the provider reads "none", in as many bytes as a result takes."""
    code = f"def run(data, params):\n    {HOSTILE[name]}\n".encode()
    given = await grant(home, bundle(code, rest=RESULT + LIMITS))
    departure = await run_once(home, given.grant.id, runtime)
    assert len(departure.message) == SIZE
    release = opened(departure)
    assert (release.outcome, release.result) == ("none", b"")
    assert len(await home.journal.receipts("refusal")) == 1 and not await home.journal.receipts("release")
    assert "Alice" not in json.dumps([receipt.body for receipt in await home.journal.receipts()])


async def test_the_longest_result_there_is_does_not_stop_the_engine() -> None:
    """A megabyte of numbers, each to be rounded, is checked while the event loop goes on."""
    ticks, answered = 0, 0

    class Long(Instant):
        async def run_python(self, *_: Any, **__: Any) -> RunResult:
            """Sixteen thousand numbers of sixty digits."""
            nonlocal answered
            answered = ticks
            return RunResult(Outcome.OK, b"[" + b",".join([b"5." + b"3" * 60] * 16000) + b"]", 0, "", "", ())

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    items = '[result.items]\ntype = "number"\nminimum = 0\nmaximum = 9\nmultipleOf = 1\n'
    budget = "[budget]\nruns = 1\nbits = 1000000\n[limits]\noutput_bytes = 1048576\n"
    rest = f'[result]\ntype = "array"\nmaxItems = 16000\n{items}{budget}'
    ticking, runtime = asyncio.create_task(tick()), Long()
    ended = await execute(runtime, bundle(rest=rest), (ROW,), bytes(32), "2026-11-24")  # type: ignore[arg-type]
    ticking.cancel()
    assert ended.admitted is not None and ended.admitted.encoded == b"[" + b",".join([b"5"] * 16000) + b"]"
    assert ticks - answered > 5


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMITED)
async def test_the_manifests_limits_are_the_sandboxs(limit: str, runtime: Runtime) -> None:
    """A job that succeeds with a limit of its manifest generous ends in that limit's outcome where it is less."""
    work, generous, met, ending = LIMITED[limit]
    code = f"def run(data, params):\n    {work}\n    return {{'watts': 301 / 3}}\n".encode()
    for given, outcome in ((generous, Outcome.OK), (met, ending)):
        job = bundle(code, rest=f"{RESULT}[limits]\n{limit} = {given}\n")
        ended = await execute(runtime, job, (ROW,), bytes(32), "2026-11-24")
        assert (ended.run.outcome, ended.admitted is None) == (outcome, outcome is not Outcome.OK), ended.run.log


async def test_a_declined_run_looks_like_a_failed_one_and_spends(home: chez.Home, runtime: Runtime) -> None:
    """Declining leaves the same "none" as a failure, and the bits are spent."""
    given = await grant(home, bundle())
    departure = await run_once(home, given.grant.id, runtime, decline=True)
    assert len(departure.message) == SIZE and opened(departure).outcome == "none"
    assert await spent(home, f"grant:{given.grant.id}") == pytest.approx(given.bundle.manifest.schema.bits, abs=0.01)


async def test_a_run_leaves_exactly_one_message(home: chez.Home, runtime: Runtime) -> None:
    """Neither a second release nor a second execution is possible."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY) as run:
        with pytest.raises(NotAllowed):
            await run.decline()
        execution = await run.execute(runtime)
        with pytest.raises(NotAllowed):
            await run.execute(runtime)
        await run.release(execution)
        for again in (run.release(execution), run.decline()):
            with pytest.raises(NotAllowed):
                await again
    assert len(await home.journal.receipts("release")) == 1


async def test_a_run_that_is_left_early_is_declined(home: chez.Home, runtime: Runtime) -> None:
    """An error between execution and release leaves "none", not silence."""
    given = await grant(home, bundle())
    with pytest.raises(RuntimeError):
        async with authorise(home, given.grant.id, TODAY) as run:
            await run.execute(runtime)
            raise RuntimeError
    (left,) = await home.journal.receipts("refusal")
    assert left.body["reason"] == "interrupted"


async def test_a_run_that_was_killed_is_settled_before_the_next(home: chez.Home, runtime: Runtime) -> None:
    """A debit without a message (the process was killed) becomes a "none" before anything else runs."""
    given = await grant(home, bundle())
    body = {"grant": given.grant.id, "sequence": 1, "date": "2026-11-23", "windows": [None],
            "leaves": {"step": 0, "offset": 0, "wait": 0}}
    await home.journal.reserve({}, 1.0, "run", body)
    departure = await run_once(home, given.grant.id, runtime)
    assert departure.sequence == 2
    (settled,) = await home.journal.receipts("refusal")
    assert (settled.body["sequence"], settled.body["reason"]) == (1, "interrupted")


async def test_a_spent_budget_is_a_typed_refusal(home: chez.Home, runtime: Runtime) -> None:
    """When an account has fewer bits than a run can carry, nothing runs and nothing leaves."""
    bits = bundle().manifest.schema.bits
    given = await grant(home, bundle(reads=WHOLE), bits=1.5 * bits)
    await run_once(home, given.grant.id, runtime)
    with pytest.raises(BudgetSpent, match="budget"):
        await run_once(home, given.grant.id, runtime)
    assert len(await home.journal.receipts("run")) == 1
    # The provider's account goes on across its jobs and grants, a collection's across providers.
    other = await grant(home, bundle(job="other-job"), 2)
    for ceilings, account in (
        (Ceilings(provider=1.5 * bits), "of provider:"),
        (Ceilings(collection=1.5 * bits), "of collection:"),
        (Ceilings(provider_runs=1), "of runs:provider:.* has 0 runs left"),
    ):
        with pytest.raises(BudgetSpent, match=account):
            async with authorise(home, other.grant.id, TODAY, ceilings) as run:
                await run.execute(runtime)
    assert len(await home.journal.receipts("run")) == 1


async def test_runs_are_counted(home: chez.Home, runtime: Runtime) -> None:
    """A grant for one run runs once, also when it was declined."""
    given = await grant(home, bundle(), runs=1)
    await run_once(home, given.grant.id, runtime, decline=True)
    with pytest.raises(GrantEnded, match="used"):
        await run_once(home, given.grant.id, runtime)


async def test_a_grant_revoked_during_its_run_releases_nothing(home: chez.Home, runtime: Runtime) -> None:
    """A revocation between execution and release turns the result into "none"."""
    from chez_sandbox.consent.grants import revoke_grant

    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY) as run:
        execution = await run.execute(runtime)
        await revoke_grant(home, given.grant.id)
        departure = await run.release(execution)
    assert opened(departure).outcome == "none"


async def test_providers_can_not_compare_pseudonyms(home: chez.Home, runtime: Runtime) -> None:
    """Two grants of one person are signed by unlinked keys; runs of one grant by the same."""
    first, second = await grant(home, bundle(reads=WHOLE), 1), await grant(home, bundle(reads=WHOLE), 2)
    departures = [await run_once(home, one.grant.id, runtime) for one in (first, first, second)]
    pseudonyms = [opened(departure).pseudonym for departure in departures]
    assert pseudonyms[0] == pseudonyms[1] != pseudonyms[2]
    assert home.device_id not in pseudonyms and home.person_id not in pseudonyms


async def test_the_same_rows_give_the_same_result_bytes(home: chez.Home, runtime: Runtime) -> None:
    """What is previewed is what is released: a second execution of the same rows is equal."""
    given = await grant(home, bundle(reads=WHOLE))
    results = {(await run_once(home, given.grant.id, runtime)).result for _ in range(2)}
    assert len(results) == 1


SCOPES = {
    "granted fields only": (READS, 96, ("local", "watts")),
    "a filter": (READS.replace('"consumption"', '"production"'), 0, ("local", "watts")),
    "a list filter": (READS.replace('"consumption"', '["consumption"], op = "in"'), 96, ("local", "watts")),
    "a window until the newest day": (READS.replace("last = 365", "last = 1"), 48, ("local", "watts")),
    "a window until the day of the run": (
        READS.replace("last = 365", "last = 3").replace('"latest"', '"run-date"'), 48, ("local", "watts")),
    "a field that does not exist": (READS.replace('"local", "watts"', '"local", "nosuch"'), 96, ("local", "nosuch")),
    "a filter on a field that does not exist": (READS.replace('"flow"', '"nosuch"'), 0, ("local", "watts")),
    "a collection that does not exist": (READS.replace('"readings"', '"nosuch"'), 0, ("local", "watts")),
    "a window over what is no date": (READS.replace('{ field = "local"', '{ field = "meter"'), 0, ("local", "watts")),
}  # fmt: skip


@pytest.mark.parametrize("name", SCOPES)
async def test_a_job_gets_the_granted_rows_and_no_others(name: str, home: chez.Home) -> None:
    """Fields, filters and whole-day windows cut what is handed over; what is missing is empty."""
    reads, count, columns = SCOPES[name]
    (table,) = await granted_tables(home, parse_manifest(manifest_text(reads=reads)), TODAY)
    assert (len(table.rows), table.columns) == (count, columns)
    if "nosuch" in columns:
        assert {row[1] for row in table.rows} == {None}


def test_the_sample_job_is_the_one_tested() -> None:
    """The helper grants the job these tests reason about."""
    assert bundle().code == MEAN


async def test_a_window_is_answered_once(home: chez.Home, runtime: Runtime) -> None:
    """What was released over a window is its answer, in the same bytes, though rows came late; nothing is debited."""
    given = await grant(home, bundle())
    first = await run_once(home, given.grant.id, runtime)
    before = await spent(home, f"grant:{given.grant.id}")
    late = {"flow": "consumption", "local": "2026-11-20T23:59", "watts": 10_000}
    await home.collection("readings").put(late)
    async with authorise(home, given.grant.id, TODAY) as run:
        assert await run.answered() == first
        with pytest.raises(AlreadyAnswered):
            await run.execute(runtime)
    assert await spent(home, f"grant:{given.grant.id}") == before
    assert len(await home.journal.receipts("run")) == len(await home.journal.receipts("release")) == 1
    # A new day moves the window: another question.
    await home.collection("readings").put({**late, "local": "2026-11-22T12:00"})
    assert (await run_once(home, given.grant.id, runtime)).sequence == 2


async def test_a_none_answers_nothing(home: chez.Home, runtime: Runtime) -> None:
    """A declined, a withdrawn or an interrupted run leaves the window open: the next is run, and debited, anew."""
    given = await grant(home, bundle())
    await run_once(home, given.grant.id, runtime, decline=True)
    await run_once(home, given.grant.id, runtime)
    await withdraw(home, given.grant.id)
    with pytest.raises(RuntimeError):
        async with authorise(home, given.grant.id, TODAY) as run:
            await run.execute(runtime)
            raise RuntimeError
    async with authorise(home, given.grant.id, TODAY) as run:
        assert await run.answered() is None
        last = await run.release(await run.execute(runtime))
    assert (last.sequence, last.outcome) == (4, "result")
    bits = given.bundle.manifest.schema.bits
    assert await spent(home, f"grant:{given.grant.id}") == pytest.approx(4 * bits, abs=0.01)


async def test_what_has_no_window_is_asked_anew(home: chez.Home, runtime: Runtime) -> None:
    """Without a window there is no telling that all rows are there: each run is another question, and is debited."""
    given = await grant(home, bundle(reads=WHOLE))
    for sequence in (1, 2):
        async with authorise(home, given.grant.id, TODAY) as run:
            assert await run.answered() is None
            assert (await run.release(await run.execute(runtime))).sequence == sequence


@pytest.mark.slow
async def test_closing_the_home_kills_a_run(tmp_path: Path, code_folder: Path) -> None:
    """Its worker is gone when the home is closed, and so is what waited for more; opened again, "none" is due."""
    path = tmp_path / "home"
    await chez.create(path, passphrase="correct horse", name="laptop", kdf=Kdf.minimum())
    code = b"def run(data, params):\n    while True: pass\n"

    async def endless(home: chez.Home, runtime: Runtime) -> None:
        async with authorise(home, "01" * 16, TODAY) as run:
            await run.execute(runtime)

    async with chez.open(path, passphrase="correct horse") as home:
        await grant(home, bundle(code))
        runtime = await home.shared("sandbox", lambda: Runtime(code_folder, KEY, spares=1))
        running = asyncio.create_task(endless(home, runtime))
        with anyio.fail_after(90):
            while not (await home.journal.receipts("run") and workers()):
                await anyio.lowlevel.checkpoint()
    assert not workers() and not zygotes()
    with pytest.raises(SandboxError, match="closed"):
        await running
    async with chez.open(path, passphrase="correct horse") as home:
        await settle_all(home, TODAY)
        (refusal,) = await home.journal.receipts("refusal")
        assert refusal.body["reason"] == "interrupted"
