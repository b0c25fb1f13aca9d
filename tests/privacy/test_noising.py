"""Noise under a grant: paid for before, drawn once for a window, by the host alone, from then on the same."""

import asyncio
import json
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotAllowed
from chez_sandbox.bundle import build_bundle
from chez_sandbox.consent import noising
from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.execution import execute
from chez_sandbox.consent.grants import revoke_grant
from chez_sandbox.consent.noising import epsilon_charges
from chez_sandbox.consent.run import plan_of
from chez_sandbox.consent.sharing import VERBS
from chez_sandbox.consent.slots import leaves_at
from chez_sandbox.errors import NoiseMissing
from chez_sandbox.job_errors import BudgetSpent, GrantEnded
from chez_sandbox.privacy import helper
from chez_sandbox.privacy.drawing import Drawn
from chez_sandbox.runtime.host import Runtime, Table
from tests.jobs.samples import SIGNING
from tests.jobs.spending import spent
from tests.jobs.test_grants import TODAY, grant
from tests.jobs.test_identity import NEXT, of
from tests.privacy.samples import COUNT, WINDOWED, Instant, noised, noised_manifest, rest, run_once

ROOT = Path(__file__).parents[2]
OWN = 'ok = { type = "boolean" }'
COUNTED: dict[str, Any] = {"rest": rest(COUNT, own=OWN)}
"""One count of an epsilon of 0.5, of 5 in all, and what the job says itself."""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each draw gives the next whole number; what was drawn so far."""
    made: list[int] = []

    async def next_number(manifest: Any, tables: Any, keys: Any) -> Drawn:
        made.append(len(made) + 1)
        return {key: [made[-1]] for key in keys}

    monkeypatch.setattr(noising, "draw_from", next_number)
    return made


def result(text: bytes | None) -> Any:
    """A result's value."""
    assert text is not None
    return json.loads(text)


async def test_the_host_alone_makes_what_is_noised(home: chez.Home) -> None:
    """All five values come from the granted rows without the job's code, near the truth, as the receipt has them."""
    runtime = Instant()
    given = await grant(home, noised(rest=rest().replace("epsilon = 0.5", "epsilon = 10").replace("= 5.0", "= 50")))
    left = result((await run_once(home, given.grant.id, runtime, ceilings=Ceilings(provider_epsilon=50,
                                                                                   collection_epsilon=50))).result)
    assert runtime.runs == 0
    # Ninety-six half-hours of 100 and 400 W. Fails by chance less than once in 10^10.
    assert abs(left["rows"] - 96) <= 3 and abs(left["sum"] - 14400) <= 3000 and abs(left["mean"] - 150) <= 50
    assert left["median"] in range(80, 130) and max(left["rates"]) <= 3
    (draw,) = await home.journal.receipts("draw")
    (numbers,) = draw.body["numbers"]["rows"],
    assert numbers == [left["rows"]] and set(draw.body["windows"]["rows"]) == {"2025-11-24", "2026-11-24"}


@pytest.mark.parametrize("said", [b'{"ok":true,"rows":96}', b'{"rows":96}', b'{"ok":true,"ROWS":96}'])
async def test_a_job_has_no_way_to_a_noised_value(said: bytes, home: chez.Home, drawn: list[int]) -> None:
    """A job that hands out the value itself, beside or without its own, tells "none": what was drawn stays here."""
    given = await grant(home, noised(**COUNTED))
    departure = await run_once(home, given.grant.id, Instant(said))
    # Drawn all the same, before the job began: a relay sees an entry for it.
    assert departure.outcome == "none" and drawn == [1] and len(await home.journal.receipts("draw")) == 1


async def test_a_message_leaves_after_the_longest_draw_there_may_be(home: chez.Home) -> None:
    """However long values are noised, which may tell how many rows there are, and the code runs: the slot is one."""
    given = await grant(home, noised(**COUNTED), slots="hour", review="within-the-grant")
    plan, longest = plan_of(given), round(1000 * (helper.SECONDS + given.bundle.manifest.limits.seconds))
    assert all(leaves_at(plan, begun, begun + longest) == leaves_at(plan, begun, begun)
               for begun in range(0, 3_600_000, 10_000))  # fmt: skip


async def test_asking_again_gives_the_one_answer_there_is(home: chez.Home, drawn: list[int]) -> None:
    """Declined runs, and rows that come late, are answered by the one draw of the window, paid for once."""
    given = await grant(home, noised(**COUNTED))
    for _ in range(3):
        await run_once(home, given.grant.id, Instant(), decline=True)
        await home.collection("readings").put({"flow": "consumption", "local": "2026-11-22T00:00", "watts": 5})
    departure = await run_once(home, given.grant.id, Instant())
    assert result(departure.result) == {"ok": True, "rows": 1} and drawn == [1]
    account = f"epsilon:grant:{given.grant.id}"
    assert await spent(home, account) == 0.5 and len(await home.journal.receipts("run")) == 4
    assert [one.body["sequence"] for one in await home.journal.receipts("drawn-before")] == [2, 3, 4]
    # The next day is another window: another draw, and another debit.
    departure = await run_once(home, given.grant.id, Instant(), today=TODAY + timedelta(days=1))
    assert result(departure.result)["rows"] == 2 and await spent(home, account) == 1.0
    assert (await home.journal.verify()).ok


async def test_a_debit_without_a_draw_is_not_paid_twice(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch, drawn: list[int]
) -> None:
    """A run that ended between debit and draw is a "none"; the next one over the window draws, and pays no more."""
    given = await grant(home, noised(**COUNTED))
    with monkeypatch.context() as patch:

        async def broken(manifest: Any, tables: Any, keys: Any) -> Drawn:
            raise OSError("the power went")

        patch.setattr(noising, "draw_from", broken)
        with pytest.raises(OSError, match="power"):
            await run_once(home, given.grant.id, Instant())
    assert result((await run_once(home, given.grant.id, Instant())).result)["rows"] == 1
    assert await spent(home, f"epsilon:grant:{given.grant.id}") == 0.5
    assert [receipt.body["sequence"] for receipt in await home.journal.receipts("epsilon")] == [1]


async def test_of_two_draws_at_once_the_first_is_the_one_there_is(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was drawn while another process drew the same value, and kept it, was never seen, and is gone; so is what
    was drawn and not paid for."""
    given, numbers = await grant(home, noised(**COUNTED)), iter(range(1, 9))

    async def drawn_within(manifest: Any, tables: Any, keys: Any) -> Drawn:
        mine = next(numbers)
        if mine == 1:
            windows = noising.noised_windows(given.bundle.manifest, TODAY)
            kept = await noising.noise_under(home, given, 1, windows)(manifest, tables)
            assert kept == {"rows": [2]}
        return {key: [mine] for key in keys}

    monkeypatch.setattr(noising, "draw_from", drawn_within)
    assert result((await run_once(home, given.grant.id, Instant())).result)["rows"] == 2
    unpaid = noising.noised_windows(given.bundle.manifest, TODAY + timedelta(days=1))
    with pytest.raises(NotAllowed, match="not paid for"):
        await noising.noise_under(home, given, 2, unpaid)(given.bundle.manifest, [])
    assert [one.body["numbers"] for one in await home.journal.receipts("draw")] == [{"rows": [2]}]


async def test_past_the_budget_nothing_runs_and_what_is_left_is_told(home: chez.Home, drawn: list[int]) -> None:
    """A window that takes more epsilon than the grant has left is refused whole: no bits, no run, no draw; and a grant
    has as much as one window takes at least, and never more than the job asks for."""
    for epsilon in (5.001, 0.499, -1.0, math.nan):
        with pytest.raises(InvalidValue, match="epsilon"):
            await grant(home, noised(**COUNTED), epsilon=epsilon)
    given = await grant(home, noised(**COUNTED), epsilon=1.2)
    for days in range(2):
        await run_once(home, given.grant.id, Instant(), today=TODAY + timedelta(days=days))
    with pytest.raises(BudgetSpent, match=r"epsilon:grant:.* has 0.2 epsilon left .* takes 0.5"):
        await run_once(home, given.grant.id, Instant(), today=TODAY + timedelta(days=2))
    assert len(await home.journal.receipts("run")) == 2 and drawn == [1, 2]
    assert await spent(home, f"epsilon:provider:{given.grant.provider}") == 1.0


async def test_epsilon_adds_up_over_jobs_versions_and_providers(home: chez.Home, drawn: list[int]) -> None:
    """Another version, another job and another key of a provider spend one account, and another provider the
    collection's."""
    ceilings = Ceilings(provider_epsilon=1.0, collection_epsilon=1.5)
    later = of(NEXT, SIGNING, job="third", reads=WINDOWED, **COUNTED)
    jobs = [noised(**COUNTED, **parts) for parts in ({"version": 1}, {"version": 2}, {"job": "other"})]
    for number, job in zip((1, 2, 3, 6), (*jobs, later), strict=True):
        given = await grant(home, job, number)
        if number < 3:
            await run_once(home, given.grant.id, Instant(), ceilings=ceilings)
            continue
        with pytest.raises(BudgetSpent, match=r"epsilon:provider:.* has 0 epsilon left"):
            await run_once(home, given.grant.id, Instant(), ceilings=ceilings)
    foreign = SIGNING.from_seed(bytes([9]) * 32)
    for number in (4, 5):
        text = noised_manifest(rest=COUNTED["rest"], job=f"job-{number}").replace(
            SIGNING.public.hex().encode(), foreign.public.hex().encode())
        text = text.replace(b"Example Energy Advice", b"Another").replace(b'"example.org"', b'"other.net"')
        given = await grant(home, build_bundle(text, b"pass", "python", foreign), number)
        if number == 4:
            await run_once(home, given.grant.id, Instant(), ceilings=ceilings)
    with pytest.raises(BudgetSpent, match="epsilon:collection:readings has 0 epsilon left"):
        await run_once(home, given.grant.id, Instant(), ceilings=ceilings)
    assert drawn == [1, 2, 3]


async def test_what_noise_takes_can_be_asked_of_another_device(home: chez.Home) -> None:
    """A device that lacks epsilon asks for what the windows of a grant take, beside the bits of its runs; a collection
    is charged for what is drawn of it alone."""
    given = await grant(home, noised(**COUNTED))
    ui: Any = None
    asked = (await VERBS["job-allowance-ask"](home, {"what": given.grant.id, "runs": 3}, ui))["asked"]
    assert asked[f"epsilon:provider:{given.grant.provider}"] == asked["epsilon:collection:readings"] == 1.5
    assert asked[f"runs:provider:{given.grant.provider}"] == 3 and len(asked) == 5
    (one,) = given.bundle.manifest.measurements
    two = [one, msgspec.structs.replace(one, collection="meals", epsilon=0.25)]
    charged = {charge.account: charge.amount for charge in epsilon_charges(given.grant, two, Ceilings(), ["k"])}
    assert charged == {f"epsilon:grant:{given.grant.id}": 750, "epsilon:provider:k": 750,
                       "epsilon:collection:meals": 250, "epsilon:collection:readings": 500}  # fmt: skip


async def test_a_restored_device_draws_for_no_former_grant(home: chez.Home, tmp_path: Path, drawn: list[int]) -> None:
    """Of two devices that hold a grant, the one it names draws; a restored one holds nothing to pay with."""
    given = await grant(home, noised(**COUNTED))
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        with pytest.raises(GrantEnded):
            await run_once(again, given.grant.id, Instant())
        windows = noising.noised_windows(given.bundle.manifest, TODAY)
        with pytest.raises(GrantEnded):
            await noising.noise_under(again, given, 1, windows)(given.bundle.manifest, [])
        assert not await again.journal.receipts("draw")
        fresh = await grant(again, noised(**COUNTED), 2, epsilon=0.5)
        with pytest.raises(BudgetSpent):
            await run_once(again, fresh.grant.id, Instant())
        assert not await again.journal.receipts("epsilon")
    await run_once(home, given.grant.id, Instant())


async def test_what_was_revoked_while_it_was_drawn_is_not_kept(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation that comes before the draw is kept ends it: no receipt has a number, and "none" leaves."""
    given = await grant(home, noised(**COUNTED))

    async def revoked(manifest: Any, tables: Any, keys: Any) -> Drawn:
        await revoke_grant(home, given.grant.id)
        return {"rows": [1]}

    monkeypatch.setattr(noising, "draw_from", revoked)
    with pytest.raises(GrantEnded):
        await run_once(home, given.grant.id, Instant())
    assert not await home.journal.receipts("draw") and len(await home.journal.receipts("refusal")) == 1


async def test_without_the_library_nothing_is_debited(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenDP is not installed, a run with noised values ends before its debit."""
    given = await grant(home, noised(**COUNTED))
    monkeypatch.setattr(helper, "find_spec", lambda name: None)
    with pytest.raises(NoiseMissing):
        await run_once(home, given.grant.id, Instant())
    assert not await home.journal.receipts("run") and not await home.journal.receipts("epsilon")


async def test_an_example_before_the_grant_looks_at_no_row() -> None:
    """A dry run shows noised values of made-up rows: a thousand of them, whatever the person's rows are."""
    table = Table("readings", ("local", "watts", "rate"), [("2026-11-20", 1000, "high")] * 5)
    made = await execute(Instant(), noised(), [table], bytes(32), "2026-11-24")  # type: ignore[arg-type]
    assert made.admitted is not None
    value = result(made.admitted.encoded)
    assert abs(value["rows"] - 1000) <= 100 and abs(value["mean"] - 500) <= 200 and sum(value["rates"]) > 800


MIXED = b"""
def run(data, params):
    rows = list(data.rows("readings"))
    return {"ok": len(rows) == 96 and all(row["watts"] >= 100 for row in rows)}
"""


@pytest.mark.slow
async def test_a_real_job_says_its_part_beside_what_is_noised(home: chez.Home, runtime: Runtime) -> None:
    """In the real sandbox the job sees the rows and says its own value; the host's stands beside it."""
    given = await grant(home, noised(MIXED, **COUNTED))
    left = result((await run_once(home, given.grant.id, runtime)).result)
    # An epsilon of 0.5 is off by more than 60 once in 10^13 times.
    assert left["ok"] is True and abs(left["rows"] - 96) <= 60


KILLED = """
import asyncio, os, signal, sys
from datetime import date
from pathlib import Path
import chez
from chez_sandbox.consent.run import authorise
from tests.privacy.samples import Instant

async def main():
    async with chez.open(Path(sys.argv[1]), passphrase="correct horse") as home:
        async with authorise(home, sys.argv[2], date(2026, 11, 24)) as run:
            await run.execute(Instant())
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_draw_outlives_the_process_that_was_killed_before_it_showed_it(tmp_path: Path) -> None:
    """`kill -9` between the draw and the screen: the next run shows that draw, which nobody saw, and no other;
    what was debited for it is debited still, and once."""
    folder = tmp_path / "killed"
    await chez.create(folder, passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase="correct horse") as home:
        given = await grant(home, noised(rest=rest(COUNT, own=OWN).replace("epsilon = 0.5", "epsilon = 0.001")))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, folder, given.grant.id, cwd=ROOT)
    assert await process.wait() == -9
    accounts = [f"epsilon:grant:{given.grant.id}", f"epsilon:provider:{given.grant.provider}"]
    async with chez.open(folder, passphrase="correct horse") as home:
        assert [await spent(home, account) for account in accounts] == [0.001, 0.001]
        (draw,) = await home.journal.receipts("draw")
        departure = await run_once(home, given.grant.id, Instant())
        (number,) = draw.body["numbers"]["rows"]
        assert result(departure.result)["rows"] == min(max(number, 0), 1000)
        assert len(await home.journal.receipts("draw")) == 1
        assert [await spent(home, account) for account in accounts] == [0.001, 0.001]
