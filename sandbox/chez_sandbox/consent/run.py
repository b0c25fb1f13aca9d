"""A granted run, from the debit to the one message that leaves.

    authorise  -> GrantedRun      the grant verifies, is running, and nobody else runs it
    execute    -> Execution       bits are debited and the run receipted, then the code runs
    release / decline             the message is made and receipted, then sent

`GrantedRun` is a capability: only `authorise` makes one, from a grant that verified, so
without a grant there is nothing to run or release. Each run that was debited leaves
exactly one message of the job's constant size; what crashed in between is settled as
"none" before the next run, of any grant (`settle`). Each step is one transaction, which checks
what it stands on in the journal, so that release, refusal and settling exclude each other
and a revocation that was there first is heeded. A message is in the journal before it is
sent, and sent again, as the same bytes, until the relay has it.
"""

import base64
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from chez.crypto import SigningKey, derive
from chez.errors import NotAllowed, NotFound
from chez_sandbox.consent.accounts import Ceilings, accounts_of
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.grants import Granted, current_grant, load_grant
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.job_errors import BudgetSpent, GrantInvalid
from chez_sandbox.release.release import Address, build_message
from chez_sandbox.runtime.host import Runtime

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = ("Departure", "GrantedRun", "authorise", "settle", "settle_all")

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
    ended: bool = False
    """Set when the block of `authorise` is left: the right ends with it."""

    def __post_init__(self) -> None:
        if self.mint is not _MINT:
            raise NotAllowed("a run comes from a grant", "see chez_sandbox.consent.run.authorise")

    async def execute(self, runtime: Runtime, on_progress: Callable[[int, int], None] | None = None) -> Execution:
        """Debit the run's bits, receipt it, and run the code on the granted rows.

        Raises `BudgetSpent`, and `GrantEnded` when the grant was revoked meanwhile; nothing
        ran then and nothing leaves. Once per GrantedRun.
        """
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
        await self.home.transaction(lambda transaction: self._debit(transaction, body))
        return await execute(runtime, bundle, tables, seed, self.today.isoformat(), on_progress)

    def _debit(self, transaction: "Transaction", body: dict[str, Any]) -> None:
        grant, manifest = self.granted.grant, self.granted.bundle.manifest
        done = len(transaction.receipts("run", grant=grant.id))
        if self.ended or done >= self.sequence:
            raise NotAllowed("this run was executed before, or its block was left", "authorise another one")
        current_grant(self.home, transaction, grant.id).require_running(self.home.device_id, self.today, done)
        accounts = accounts_of(grant.id, manifest, grant.bits, self.ceilings)
        try:
            transaction.reserve(accounts, manifest.schema.bits, "run", body)
        except NotAllowed as refusal:
            raise BudgetSpent(refusal.message, refusal.hint or "nothing ran and nothing left") from None

    async def release(self, execution: Execution) -> Departure:
        """Receipt the message with the run's result (or "none": there is none, or the grant was revoked).

        Raises `NotAllowed` when this run's message is made already, or nothing ran.
        """
        admitted = execution.admitted

        def work(transaction: "Transaction") -> Departure:
            if current_grant(self.home, transaction, self.granted.grant.id).revoked:
                return self._depart(transaction, None, "revoked")
            if admitted is None:
                return self._depart(transaction, None, "job")
            return self._depart(transaction, admitted.encoded, "")

        return await self.home.transaction(work)

    async def decline(self) -> Departure:
        """Receipt a message that says "none": the person said no. Raises like `release`."""
        return await self.home.transaction(lambda transaction: self._depart(transaction, None, "declined"))

    def _depart(self, transaction: "Transaction", result: bytes | None, reason: Reason) -> Departure:
        id = self.granted.grant.id
        if (id, self.sequence) not in _due(transaction, grant=id):
            raise NotAllowed("a run leaves exactly one message")
        return _write(self.home, transaction, self.granted, self.sequence, self.today, result, reason)


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
        done = len(await home.journal.receipts("run", grant=granted.grant.id))
        granted.require_running(home.device_id, today, done)
        run = GrantedRun(home, granted, done + 1, today, ceilings or Ceilings(), _MINT)
        try:
            yield run
        finally:
            run.ended = True
            # Asked of the journal: a cancelled task does not know how far its last step came.
            with anyio.CancelScope(shield=True):
                await settle(home, granted, today)


async def settle(home: "Home", granted: Granted, today: date) -> list[Departure]:
    """Make the messages of runs that were debited but never left (the process was killed)."""
    if granted.grant.device != home.device_id.hex():
        return []

    def work(transaction: "Transaction") -> list[Departure]:
        return [
            _write(home, transaction, granted, sequence, date.fromisoformat(run_date), None, "interrupted")
            for (_, sequence), run_date in _due(transaction, grant=granted.grant.id).items()
        ]

    return await home.transaction(work)


async def settle_all(home: "Home", today: date) -> list[Departure]:
    """`settle` for every grant that has such runs; one that is running just now settles itself.

    A grant whose record was changed since stays as it is: nobody knows to whom it would say "none".
    """
    made = []
    for id in await home.transaction(lambda transaction: sorted({grant for grant, _ in _due(transaction)})):
        with contextlib.suppress(GrantInvalid, NotFound, NotAllowed), _alone(home, id):
            made += await settle(home, await load_grant(home, id), today)
    return made


def _due(transaction: "Transaction", **fields: str) -> dict[tuple[str, int], str]:
    """The runs that were debited and have not left: (grant, sequence) -> day."""
    runs = {_run_of(receipt): receipt.body["date"] for receipt in transaction.receipts("run", **fields)}
    for kind in ("release", "refusal"):
        for receipt in transaction.receipts(kind, **fields):
            runs.pop(_run_of(receipt), None)
    return runs


def _run_of(receipt: "Receipt") -> tuple[str, int]:
    return receipt.body["grant"], receipt.body["sequence"]


def _write(
    home: "Home",
    transaction: "Transaction",
    granted: Granted,
    sequence: int,
    run_date: date,
    result: bytes | None,
    reason: Reason,
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
    transaction.receipt("refusal" if result is None else "release", body)
    return Departure(grant.id, sequence, "none" if result is None else "result", result, message)


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
