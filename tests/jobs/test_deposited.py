"""What an organisation gave back, on a device that never saw it come: a job runs on it there as on anything else."""

import json
from datetime import date
from pathlib import Path

import pytest
from examples.pilot.phone import allowance

import chez
from chez_sandbox.consent.grants import grant_job
from chez_sandbox.consent.run import authorise
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.host import Runtime
from tests.deposits.support import Insurer, lines, organisation
from tests.jobs.conftest import Relay
from tests.jobs.examples import example, run_example, sample_folder
from tests.people.support import join

JOB, DAY = "claims-prefilled", date(2026, 12, 3)
COLLECTIONS = ("contracts", "claims", "receipts", "receipt_lines")


def said() -> dict[str, list[dict[str, object]]]:
    """The made-up records of the job, by collection, as an organisation has them."""
    return {name: [json.loads(line) for line in (sample_folder(JOB) / f"{name}.jsonl").read_text().splitlines()]
            for name in COLLECTIONS}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_job_runs_on_a_second_device_on_what_was_deposited(
        tmp_path: Path, empty_home: chez.Home, relay: Relay, runtime: Runtime) -> None:
    """An organisation leaves records, the laptop takes them, the phone has them after a sync, with where they are from,
    and a job that is granted there gives what it gives on the same records anywhere."""
    laptop, folder = empty_home, tmp_path / "insurer"
    folder.mkdir()
    await laptop.set_relay(relay.url)
    insurer = Insurer(folder, organisation(relay=relay.url))
    made = await laptop.deposits.new("Insurer", COLLECTIONS, card=insurer.keys.card.text, acks="soon")
    assert made.text is not None
    insurer.book.add_customer("C", made.text)
    await laptop.sync()
    file = folder / "batch.jsonl"
    file.write_text("".join(lines("C", records, name) for name, records in said().items()))
    assert (await insurer.leave_file(file)).queued == 0
    assert (await laptop.sync()).deposits.added == sum(map(len, said().values()))
    bundle = example(JOB)
    with open_samples(sample_folder(JOB)) as samples:
        expected, told = await run_example(runtime, bundle, samples, DAY)
    async with join(laptop, tmp_path / "phone", "phone", relay.url) as phone:
        (record, *_) = await phone.collection("contracts").where().all()
        assert record.source is not None and record.source.startswith("deposit/1 ")
        granted = await grant_job(phone, bundle, id=bytes(16), seed=bytes(32), now="2026-12-03T10:00:00Z",
                                  until=date(2027, 1, 3), slots="at-once")
        await allowance(laptop, phone, granted.grant.id)
        async with authorise(phone, granted.grant.id, DAY) as run:
            done = await run.execute(runtime)
            assert done.admitted is not None and expected.admitted is not None
            assert done.admitted.encoded == expected.admitted.encoded and any(told.values())
            assert (await run.release(done)).outcome == "result"
    assert (await insurer.collect()).taken == 1
    insurer.book.db.close()
