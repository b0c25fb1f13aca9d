"""A device that is killed anywhere on the way of a result: one debit, and one message that the provider counts."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import chez
from chez import inboxes
from chez.crypto import Kdf
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.run import settle_all
from chez_sandbox.provider.keys import ProviderKeys
from chez_sandbox.provider.results import ResultBook
from tests.jobs.conftest import Relay
from tests.jobs.samples import INBOX_OWNER, INBOX_WRITER, LATER, SEALING, SIGNING, WHOLE
from tests.jobs.spending import spent
from tests.jobs.test_grants import TODAY, bundle, grant

ROOT = Path(__file__).parents[2]

POINTS = ("code", "made", "begun", "put", "delivered")
"""While the code runs, when the message is made, when sending began, when the relay has it, when all is written."""

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
import chez
from chez import inboxes
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.run import authorise
from tests.jobs.samples import LATER
from tests.jobs.test_atomic import Instant
from tests.jobs.test_grants import TODAY

folder, grant, point = sys.argv[1:]
put = inboxes.put

def here(name):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)

class Dying(Instant):
    async def run_python(self, *given, **named):
        here("code")
        return await super().run_python(*given, **named)

async def putting(*given):
    here("begun")
    await put(*given)
    here("put")

async def main():
    inboxes.put = putting
    async with chez.open(Path(folder), passphrase="correct horse") as home:
        async with authorise(home, grant, TODAY) as run:
            await run.release(await run.execute(Dying()))
        here("made")
        await deliver(home, LATER)
        here("delivered")

asyncio.run(main())
"""


def keys_at(relay: str) -> ProviderKeys:
    """The sample provider's key file."""
    return ProviderKeys(
        name="Example Energy Advice",
        contact="privacy@example.org",
        domain="example.org",
        relay=relay,
        signing_seed=SIGNING.seed.hex(),
        sealing_seed=SEALING.seed.hex(),
        inbox_owner_seed=INBOX_OWNER.seed.hex(),
        inbox_writer_seed=INBOX_WRITER.seed.hex(),
    )


async def take(relay: str, book: ResultBook, wait: float) -> list[dict[str, Any]]:
    """What the provider counts as new of the items in its inbox, which the relay then forgets."""
    lines: list[dict[str, Any]] = []
    async with inboxes.watch(relay, INBOX_OWNER) as items:
        waiting = aiter(items)
        while True:
            try:
                item = await asyncio.wait_for(anext(waiting), wait)
            except TimeoutError:
                return lines
            kept = book.keep(item.item, datetime.now(UTC))
            lines += [kept.line] if kept.new else []
            await items.ack(item.number)
            wait = 0.3


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_result_is_counted_once_wherever_the_device_is_killed(relay: Relay, tmp_path: Path) -> None:
    """`kill -9` while the code runs, before sending, while it is sent and after the relay has it: the provider, which
    may have taken it before it comes again, counts one message of each run, and each run was debited once."""
    await inboxes.create(relay.url, INBOX_OWNER, INBOX_WRITER.public, ttl=86_400)
    folder, job = tmp_path / "home", bundle(relay=relay.url, reads=WHOLE)
    await chez.create(folder, passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase="correct horse") as home:
        grants = [(await grant(home, job, number)).grant.id for number in range(1, len(POINTS) + 1)]
    with ResultBook(tmp_path / "results.jsonl", keys_at(relay.url), [job]) as book:
        lines = []
        for point, id in zip(POINTS, grants, strict=True):
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, folder, id, point, cwd=ROOT)
            assert await process.wait() == -9
            early = await take(relay.url, book, 30.0 if point in ("put", "delivered") else 0.3)
            assert bool(early) is (point in ("put", "delivered"))
            async with chez.open(folder, passphrase="correct horse") as home:
                assert len(await settle_all(home, TODAY)) == (point == "code")
                told = await deliver(home, LATER)
                assert (told.sent, told.waiting) == (point != "delivered", 0)
                assert (await deliver(home, LATER)).sent == 0
            lines += [*early, *await take(relay.url, book, 0.3 if early else 30.0)]
    assert [(line["grant"], line["sequence"]) for line in lines] == [(id, 1) for id in grants]
    assert [line["outcome"] for line in lines] == ["none", *["result"] * 4]
    async with chez.open(folder, passphrase="correct horse") as home:
        for id in grants:
            assert await spent(home, f"grant:{id}") == pytest.approx(job.manifest.schema.bits, abs=0.01)
        for kind in ("run", "sending", "delivered"):
            assert len(await home.journal.receipts(kind)) == len(POINTS)
        assert (await home.journal.verify()).ok
