"""A granted run, from the debit to the one message that leaves.

    authorise  -> GrantedRun      the grant verifies, is running, and nobody else runs it
    execute    -> Execution       bits are debited and the run receipted, then the code runs
    release / decline             the message is made and receipted, then sent

`GrantedRun` is a capability: only `authorise` makes one, from a grant that verified, so
without a grant there is nothing to run or release. Each run that was debited leaves
exactly one message of the job's constant size; what crashed in between is settled as
"none" before the grant's next run (`settle`). A message is in the journal before it is
sent, and sent again, as the same bytes, until the relay has it.
"""

import base64
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from chez.crypto import SigningKey, derive
from chez.errors import NotAllowed
from chez_sandbox.consent.accounts import Ceilings, accounts_of
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.grants import Granted, load_grant
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.job_errors import BudgetSpent
from chez_sandbox.release.release import Address, build_message
from chez_sandbox.runtime.host import Runtime

if TYPE_CHECKING:
    from chez.home import Home

__all__ = ("Departure", "GrantedRun", "authorise", "settle")

_MINT: Final = object()

Reason = Literal["", "declined", "job", "revoked", "interrupted"]


@dataclass(frozen=True, slots=True)
class Departure:
    """What left, or will: the outcome, the result's canonical bytes, the sealed message."""

    grant: str
    sequence: int
    outcome: Literal["result", "none"]
    result: bytes | None
    message: bytes


@dataclass(slots=True)
class GrantedRun:
    """The right to one run of one verified grant. Made by `authorise` only."""

    home: "Home"
    granted: Granted
    sequence: int
    today: date
    ceilings: Ceilings
    mint: object = field(repr=False)
    debited: bool = False
    departed: bool = False

    def __post_init__(self) -> None:
        if self.mint is not _MINT:
            raise NotAllowed("a run comes from a grant", "see chez_sandbox.consent.run.authorise")

    async def execute(self, runtime: Runtime, on_progress: Callable[[int, int], None] | None = None) -> Execution:
        """Debit the run's bits, receipt it, and run the code on the granted rows.

        Raises `BudgetSpent` (nothing ran, nothing leaves). Once per GrantedRun.
        """
        if self.debited:
            raise NotAllowed("this run was executed before", "authorise another one")
        grant, bundle = self.granted.grant, self.granted.bundle
        tables = await granted_tables(self.home, bundle.manifest, self.today)
        seed = derive(grant.seed, f"chez/1 run seed {self.sequence}")
        body: dict[str, Any] = {
            "grant": grant.id,
            "sequence": self.sequence,
            "job": grant.job,
            "version": grant.job_version,
            "provider": grant.provider,
            "bundle": grant.bundle,
            "runtime": await _runtime_hash(runtime, bundle.kind),
            "date": self.today.isoformat(),
            "seed": seed.hex(),
            "bits": bundle.manifest.schema.bits,
            "rows": {table.name: len(table.rows) for table in tables},
        }
        accounts = accounts_of(grant.id, bundle.manifest, grant.bits, self.ceilings)
        try:
            await self.home.journal.reserve(accounts, bundle.manifest.schema.bits, "run", body)
        except NotAllowed as refusal:
            raise BudgetSpent(refusal.message, refusal.hint or "nothing ran and nothing left") from None
        self.debited = True
        return await execute(runtime, bundle, tables, seed, self.today.isoformat(), on_progress)

    async def release(self, execution: Execution) -> Departure:
        """Receipt the message with the run's result (or "none" when there is none)."""
        current = await load_grant(self.home, self.granted.grant.id)
        if current.revoked:
            return await self._depart(None, "revoked")
        if execution.admitted is None:
            return await self._depart(None, "job")
        return await self._depart(execution.admitted.encoded, "")

    async def decline(self, reason: Reason = "declined") -> Departure:
        """Receipt a message that says "none": the person said no."""
        return await self._depart(None, reason)

    async def _depart(self, result: bytes | None, reason: Reason) -> Departure:
        if not self.debited or self.departed:
            raise NotAllowed("a run leaves exactly one message")
        departure = await _write(self.home, self.granted, self.sequence, self.today, result, reason)
        self.departed = True
        return departure


@asynccontextmanager
async def authorise(
    home: "Home", grant_id: str, today: date, ceilings: Ceilings | None = None
) -> AsyncIterator[GrantedRun]:
    """Verify a grant and give the right to one run of it; leaving early declines the run.

    Raises `GrantInvalid`, `GrantEnded`, `NotFound`; `NotAllowed` while it is running.
    """
    granted = await load_grant(home, grant_id)
    with _alone(home, granted.grant.id):
        await settle(home, granted, today)
        done = len(await _of_grant(home, "run", granted.grant.id))
        granted.require_running(home.device_id, today, done)
        run = GrantedRun(home, granted, done + 1, today, ceilings or Ceilings(), _MINT)
        try:
            yield run
        finally:
            if run.debited and not run.departed:
                with anyio.CancelScope(shield=True):
                    await run.decline("interrupted")


async def settle(home: "Home", granted: Granted, today: date) -> list[Departure]:
    """Make the messages of runs that were debited but never left (the process was killed)."""
    id = granted.grant.id
    if granted.grant.device != home.device_id.hex():
        return []
    left = {receipt.body["sequence"] for kind in ("release", "refusal") for receipt in await _of_grant(home, kind, id)}
    return [
        await _write(
            home,
            granted,
            receipt.body["sequence"],
            date.fromisoformat(receipt.body["date"]),
            None,
            "interrupted",
        )
        for receipt in await _of_grant(home, "run", id)
        if receipt.body["sequence"] not in left
    ]


async def _write(
    home: "Home", granted: Granted, sequence: int, run_date: date, result: bytes | None, reason: Reason
) -> Departure:
    grant, manifest = granted.grant, granted.bundle.manifest
    # A key for this grant alone: providers can't compare pseudonyms, nor can one provider
    # tell that two of its grants are the same person's.
    pseudonym = SigningKey.from_seed(home.derive_key(f"grant pseudonym {grant.id}"))
    address = Address(bytes.fromhex(manifest.provider.sealing_key), bytes.fromhex(manifest.provider.inbox))
    message = build_message(
        manifest.schema,
        address,
        pseudonym,
        grant=bytes.fromhex(grant.id),
        sequence=sequence,
        run_date=run_date,
        bundle=granted.bundle.hash,
        result=result,
    )
    body = {
        "grant": grant.id,
        "sequence": sequence,
        "job": grant.job,
        "version": grant.job_version,
        "provider": grant.provider,
        "provider_name": manifest.provider.name,
        "outcome": "none" if result is None else "result",
        "result": None if result is None else result.decode(),
        "reason": reason,
        "relay": manifest.provider.relay,
        "inbox": manifest.provider.inbox,
        "inbox_write_seed": manifest.provider.inbox_write_seed,
        "message": base64.b64encode(message).decode(),
    }
    await home.journal.append("refusal" if result is None else "release", body)
    return Departure(grant.id, sequence, "none" if result is None else "result", result, message)


async def _of_grant(home: "Home", kind: str, id: str) -> list[Any]:
    return [receipt for receipt in await home.journal.receipts(kind) if receipt.body["grant"] == id]


async def _runtime_hash(runtime: Runtime, kind: str) -> str | None:
    return await runtime.runtime_hash() if kind == "python" else None


class _alone:
    """One run of a grant at a time, held by an advisory file lock that a killed process loses."""

    def __init__(self, home: "Home", id: str) -> None:
        self._path = home.path / "jobs" / f"{id}.lock"

    def __enter__(self) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise NotAllowed("this grant is running already", "wait for that run to end") from None

    def __exit__(self, *_: object) -> None:
        # The file stays: unlinking it would let a waiter lock a name that is gone.
        os.close(self._descriptor)
