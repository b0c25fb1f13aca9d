"""Consent is all or nothing: whatever races or crashes, records and receipts say the same."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed, NotFound
from chez.journal import Journal, Receipt
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.grants import COLLECTION, list_grants, load_grant, revoke_grant
from chez_sandbox.consent.run import Departure, authorise, settle, settle_all, withdraw_revoked
from chez_sandbox.job_errors import GrantEnded, GrantInvalid, VersionWentBack
from chez_sandbox.runtime.host import Outcome, RunResult
from tests.jobs.interleaving import Seeded
from tests.jobs.samples import LATER, MEAN
from tests.jobs.spending import spent
from tests.jobs.test_grants import TODAY, bundle, grant, tamper

ROOT = Path(__file__).parents[2]
SEEDS = 40


class Instant:
    """A runtime that runs nothing: every job's result is 150 W."""

    async def runtime_hash(self) -> str:
        """No runtime's."""
        return "00" * 32

    async def is_compiled(self) -> bool:
        """There is nothing to compile."""
        return True

    async def run_python(self, *_: Any, **__: Any) -> RunResult:
        """The same result at once."""
        return RunResult(Outcome.OK, b'{"watts":150}', 0, "", "00" * 32, ())


INSTANT: Any = Instant()


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> Seeded:
    """The scheduler of steps."""
    return Seeded(monkeypatch)


async def departures(home: chez.Home, id: str) -> list[Receipt]:
    """What left, or will, under a grant."""
    found = [*await home.journal.receipts("release"), *await home.journal.receipts("refusal")]
    return [receipt for receipt in found if receipt.body["grant"] == id]


async def test_of_two_bundles_of_one_version_one_is_granted(home: chez.Home, seeded: Seeded) -> None:
    """Two grants that race with different code under one version: one stands, the other is refused whole."""
    for seed in range(SEEDS):
        first, second = bundle(version=seed + 1), bundle(MEAN + b"#", version=seed + 1)
        numbers = (2 * seed + 1, 2 * seed + 2)
        ended = await seeded.run(seed, grant(home, first, numbers[0]), grant(home, second, numbers[1]))
        assert sorted(type(one).__name__ for one in ended) == ["Granted", VersionWentBack.__name__]
    granted = {one.grant.id for one in await list_grants(home)}
    assert granted == {receipt.body["grant"] for receipt in await home.journal.receipts("grant")}
    assert len(granted) == await home.collection(COLLECTION).count() == SEEDS


@pytest.mark.slow
async def test_a_revocation_that_came_first_releases_nothing(home: chez.Home, seeded: Seeded) -> None:
    """Revoking while a result is released: "none" if the revocation was there first, in every order of steps."""
    told = set()
    for seed in range(SEEDS):
        given = await grant(home, bundle(), seed + 1)
        async with authorise(home, given.grant.id, TODAY) as run:
            execution = await run.execute(INSTANT)
            await seeded.run(seed, run.release(execution), revoke_grant(home, given.grant.id))
        (left,) = await departures(home, given.grant.id)
        (revoked,) = [r for r in await home.journal.receipts("revocation") if r.body["grant"] == given.grant.id]
        assert left.body["outcome"] == ("none" if revoked.number < left.number else "result")
        assert (await load_grant(home, given.grant.id)).revoked
        told.add(left.body["outcome"])
    assert told == {"none", "result"}


@pytest.mark.slow
async def test_a_debited_run_departs_exactly_once(home: chez.Home, seeded: Seeded) -> None:
    """Release, refusal and settling of one run exclude each other, in every order of steps."""
    reasons = set()
    for seed in range(SEEDS):
        given = await grant(home, bundle(), seed + 1)
        async with authorise(home, given.grant.id, TODAY) as run:
            execution = await run.execute(INSTANT)
            ended = await seeded.run(
                seed, run.release(execution), run.decline(), settle(home, given, TODAY), run.release(execution)
            )
        (left,) = await departures(home, given.grant.id)
        settled = next(one for one in ended if isinstance(one, list))
        made = settled + [one for one in ended if isinstance(one, Departure)]
        assert [(one.sequence, one.outcome) for one in made] == [(1, left.body["outcome"])]
        assert all(isinstance(one, Departure | list | NotAllowed) for one in ended)
        reasons.add(left.body["reason"])
    assert reasons == {"", "declined", "interrupted"}


async def test_one_right_is_debited_once(home: chez.Home, seeded: Seeded) -> None:
    """Two executions of one run at once: one is debited, the other refused."""
    for seed in range(SEEDS):
        given = await grant(home, bundle(), seed + 1)
        async with authorise(home, given.grant.id, TODAY) as run:
            ended = await seeded.run(seed, run.execute(INSTANT), run.execute(INSTANT))
        assert sum(isinstance(one, NotAllowed) for one in ended) == 1
        bits = given.bundle.manifest.schema.bits
        assert await spent(home, f"grant:{given.grant.id}") == pytest.approx(bits, abs=0.01)
        (left,) = await departures(home, given.grant.id)
        assert left.body["reason"] == "interrupted"


async def test_a_right_ends_with_its_block(home: chez.Home) -> None:
    """A run that was kept beyond `authorise` debits nothing and leaves nothing."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY) as run:
        pass
    with pytest.raises(NotAllowed, match="left"):
        await run.execute(INSTANT)
    assert await home.journal.receipts("run") == await departures(home, given.grant.id) == []


async def test_a_grant_revoked_before_the_debit_does_not_run(home: chez.Home) -> None:
    """What was revoked after it was authorised spends nothing, runs nothing and leaves nothing."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY) as run:
        await revoke_grant(home, given.grant.id)
        with pytest.raises(GrantEnded, match="revoked"):
            await run.execute(INSTANT)
    assert await spent(home, f"grant:{given.grant.id}") == 0
    assert await home.journal.receipts("run") == await departures(home, given.grant.id) == []


@pytest.mark.parametrize("step", ["run", "release"])
async def test_a_run_that_is_cancelled_in_a_step_departs_once(
    step: str, home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled task's write goes on without it; the run is then neither forgotten nor refused as well."""
    given = await grant(home, bundle())
    task: asyncio.Task[None]
    loop, record = asyncio.get_running_loop(), Journal.record

    def cancelling(journal: Journal, db: Any, kind: str, body: Any, **how: Any) -> Receipt:
        if kind == step:
            loop.call_soon_threadsafe(task.cancel)
        return record(journal, db, kind, body, **how)

    async def once() -> None:
        async with authorise(home, given.grant.id, TODAY) as run:
            await run.release(await run.execute(INSTANT))

    monkeypatch.setattr(Journal, "record", cancelling)
    task = asyncio.create_task(once())
    with pytest.raises(asyncio.CancelledError):
        await task
    (left,) = await departures(home, given.grant.id)
    assert left.kind == ("refusal" if step == "run" else "release")


async def test_what_a_killed_process_left_is_settled_for_every_grant(home: chez.Home) -> None:
    """Debited runs of any grant get their "none"; not one that is running, nor one whose record was changed."""
    for number in (1, 2, 3):
        given = await grant(home, bundle(), number)
        await home.journal.reserve({}, 1.0, "run", {"grant": given.grant.id, "sequence": 1, "date": "2026-11-23"})
    await tamper(home, "02" * 16, signature=b"")
    running = await grant(home, bundle(), 4)
    async with authorise(home, running.grant.id, TODAY) as run:
        execution = await run.execute(INSTANT)
        assert [one.grant for one in await settle_all(home, TODAY)] == ["01" * 16, "03" * 16]
        assert (await run.release(execution)).outcome == "result"
    assert await settle_all(home, TODAY) == []
    assert len(await departures(home, "01" * 16)) == 1


async def test_a_message_is_delivered_once_in_the_journal(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deliveries at once write one receipt, and one of them counts the message."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY) as run:
        await run.release(await run.execute(INSTANT))

    async def put(*_: Any) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("chez.inboxes.put", put)
    told = await asyncio.gather(deliver(home, LATER), deliver(home, LATER))
    assert sorted((one.sent, one.waiting) for one in told) == [(0, 0), (1, 0)]
    assert len(await home.journal.receipts("delivered")) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
async def test_a_grant_that_runs_is_refused_without_a_trace(home: chez.Home) -> None:
    """However often a program asks for a run of a grant that is running, no descriptor is left of it."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY):
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            with pytest.raises(NotAllowed, match="running"):
                async with authorise(home, given.grant.id, TODAY):
                    pass
        assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_a_damaged_grant_can_be_revoked(home: chez.Home) -> None:
    """Revoking works on a record that does not verify, and says that it did not; mending it changes nothing."""
    given = await grant(home, bundle())
    await tamper(home, given.grant.id, signature=b"")
    with pytest.raises(GrantInvalid, match="revoked"):
        await revoke_grant(home, given.grant.id)
    signature = home.sign("grant", (await home.collection(COLLECTION).get(given.grant.id)).value["body"])
    await tamper(home, given.grant.id, signature=signature, revoked=False)
    assert (await load_grant(home, given.grant.id)).revoked


async def step_of(home: chez.Home, step: str) -> None:
    """Take the step that writes a receipt of this kind."""
    if step == "grant":
        await grant(home, bundle(), 2)
    elif step == "revocation":
        await revoke_grant(home, "01" * 16)
    else:
        async with authorise(home, "01" * 16, TODAY) as run:
            execution = await run.execute(INSTANT)
            await (run.release(execution) if step == "release" else run.decline())


async def check_whole(home: chez.Home, step: str) -> None:
    """Hold that nothing of the step is there that was cut, and that what is due is done by the next run."""
    assert (await home.journal.verify()).ok
    assert [one.grant.id for one in await list_grants(home)] == ["01" * 16]
    assert len(await home.journal.receipts("grant")) == await home.collection(COLLECTION).count() == 1
    assert (await home.collection(COLLECTION).get("01" * 16)).value["revoked"] is False
    assert await home.journal.receipts("revocation") == await departures(home, "01" * 16) == []
    runs = len(await home.journal.receipts("run"))
    assert runs == (step in ("release", "refusal"))
    given = await load_grant(home, "01" * 16)
    assert await spent(home, "grant:" + "01" * 16) == pytest.approx(runs * given.bundle.manifest.schema.bits, abs=0.01)
    for count in (runs, 0):
        assert [one.outcome for one in await settle(home, given, TODAY)] == ["none"] * count


async def test_a_grant_whose_record_is_gone_can_be_revoked(home: chez.Home) -> None:
    """Whoever takes a grant's record away and puts it back later takes no revocation away: it holds, and is told once;
    a result that was held leaves no more."""
    given = await grant(home, bundle(), slots="hour")
    grants, id = home.collection(COLLECTION), given.grant.id
    record = (await grants.get(id)).value
    async with authorise(home, id, TODAY) as run:
        await run.release(await run.execute(INSTANT))
    await grants.delete(id)
    for _ in range(2):
        with pytest.raises(GrantInvalid, match="gone; it is revoked all the same"):
            await revoke_grant(home, id[:6])
    await grants.put(record, id=id)
    with pytest.raises(GrantEnded, match="revoked"):
        async with authorise(home, id, TODAY):
            pass
    assert len(await home.journal.receipts("revocation", grant=id)) == 1
    assert [one.outcome for one in await withdraw_revoked(home)] == ["none"]
    with pytest.raises(NotFound):
        await revoke_grant(home, "ff" * 16)


STEPS = ("grant", "revocation", "run", "release", "refusal")

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
import chez
from chez.journal import Journal
from tests.jobs.test_atomic import step_of

record = Journal.record

def dying(journal, db, kind, body, **how):
    receipt = record(journal, db, kind, body, **how)
    if kind == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return receipt

async def main():
    Journal.record = dying
    async with chez.open(Path(sys.argv[1]), passphrase="correct horse") as home:
        await step_of(home, sys.argv[2])

asyncio.run(main())
"""


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_fails_in_its_midst_leaves_nothing(
    step: str, home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after the receipt was written undoes the step whole: record, debit and receipt."""
    await grant(home, bundle())
    record, broken = Journal.record, True

    def failing(journal: Journal, db: Any, kind: str, body: Any, **how: Any) -> Receipt:
        receipt = record(journal, db, kind, body, **how)
        if broken and kind in (step, "refusal"):
            raise OSError("the power went")
        return receipt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record", failing)
        with pytest.raises(OSError, match="power"):
            await step_of(home, step)
    await check_whole(home, step)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.slow
async def test_a_process_killed_in_a_step_leaves_nothing_of_it(step: str, tmp_path: Path) -> None:
    """`kill -9` inside a step leaves neither a record without its receipt nor the reverse."""
    folder = tmp_path / "killed"
    await chez.create(folder, passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase="correct horse") as other:
        await grant(other, bundle())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, folder, step, cwd=ROOT)
    assert await process.wait() == -9
    async with chez.open(folder, passphrase="correct horse") as other:
        await check_whole(other, step)
