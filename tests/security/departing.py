"""Granted jobs at a real relay, for what is watched on the wire."""

from chez import Home, inboxes
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.run import Departure, authorise
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import INBOX_OWNER, INBOX_WRITER, MEAN, RESULT
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_runs import LIMITS


async def granted_at(home: Home, relay: str, code: bytes = MEAN, *, parameters: str = "") -> Granted:
    """A grant of the sample job, whose results go to an inbox at this relay."""
    await inboxes.create(relay, INBOX_OWNER, INBOX_WRITER.public, ttl=3600)
    rest = RESULT.replace('note = "none"', f'note = "none"\n{parameters}')
    return await grant(home, bundle(code, relay=relay, rest=rest + LIMITS))


async def run_once(home: Home, id: str, runtime: Runtime) -> Departure:
    """One granted run, released."""
    async with authorise(home, id, TODAY) as run:
        return await run.release(await run.execute(runtime))
