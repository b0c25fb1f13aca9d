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
sent, and sent again, as the same bytes, until the relay has it. It leaves at a fixed time
(`slots`); until then a result may be withdrawn, and "none" leaves in its place.
"""

import base64
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio
import msgspec

from chez.crypto import SigningKey, derive
from chez.errors import NotAllowed, NotFound
from chez_sandbox.consent.accounts import Ceilings, charges_of, runs_charges
from chez_sandbox.consent.allowance import charge
from chez_sandbox.consent.asking import with_shares
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.execution import Execution, execute, longest_of
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import current_grant, load_grant
from chez_sandbox.consent.handed import digests, machinery
from chez_sandbox.consent.heeding import heed, is_revoked
from chez_sandbox.consent.here import require_here
from chez_sandbox.consent.leaving import answer_over, leavings, run_of
from chez_sandbox.consent.noising import charge_epsilon, noise_under, noised_windows
from chez_sandbox.consent.scope import Between, read_windows, scope_at
from chez_sandbox.consent.slots import Plan, make_plan
from chez_sandbox.job_errors import AlreadyAnswered, GrantInvalid
from chez_sandbox.privacy.helper import require_noise
from chez_sandbox.release.release import Address, build_message
from chez_sandbox.runtime.host import Runtime

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = (
    "Departure",
    "GrantedRun",
    "authorise",
    "plan_of",
    "pseudonym_of",
    "settle",
    "settle_all",
    "withdraw",
    "withdraw_if_revoked",
    "withdraw_revoked",
)

_MINT: Final = object()

Reason = Literal["", "declined", "job", "revoked", "interrupted", "withdrawn"]


class Departure(msgspec.Struct, frozen=True):
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
    """Set when the run is paid for: before that nothing of the job runs."""
    ended: bool = False
    """Set when the block of `authorise` is left: the right ends with it."""

    def __post_init__(self) -> None:
        if self.mint is not _MINT:
            raise NotAllowed("a run comes from a grant", "see chez_sandbox.consent.run.authorise")

    async def answered(self) -> Departure | None:
        """The message by which a result over today's window was released before, under this grant, or None.

        That is then the answer, and stays it: nothing runs, nothing is debited, and nothing leaves again, for
        the provider has these bytes, or gets them at their time. A second result over the same window, from
        rows that came late or noise that was drawn anew, would tell what is between the two. The provider
        can't even see that it was asked again.
        """
        id = self.granted.grant.id
        narrowed = self.granted.grant.narrowed
        windows = await read_windows(self.home, self.granted.bundle.manifest, self.today, narrowed)
        said = [between and list(between) for between in windows]
        answer = await self.home.transaction(lambda transaction: answer_over(transaction, id, said))
        if answer is None:
            return None
        body = answer.receipt.body
        return Departure(
            id, answer.run[1], "result", body["result"].encode(), base64.b64decode(body["message"])
        )

    async def execute(
        self, runtime: Runtime, on_progress: Callable[[int, int], None] | None = None, *, late: float = 0.0
    ) -> Execution:
        """Debit the run and its bits, receipt it, and run the code on the granted rows.

        Values that are noised are paid for in the same debit, and drawn before the code begins, once for a window.
        It counts as begun `late` seconds after it does (`pace`), where its message waits for a slot.

        Raises `BudgetSpent`, `AlreadyAnswered` (see `answered`), and `GrantEnded` when the grant was
        revoked meanwhile; nothing ran then and nothing leaves. Once per GrantedRun.
        """
        grant, bundle = self.granted.grant, self.granted.bundle
        if bundle.manifest.measurements:
            require_noise()
        since = await self.home.cursor_now()
        tables, windows = await scope_at(self.home, since, bundle.manifest, self.today, grant.narrowed)
        noised = noised_windows(bundle.manifest, self.today, grant.narrowed)
        seed = derive(self.granted.seed, f"chez/1 run seed {self.sequence}")
        plan = plan_of(self.granted)
        body: dict[str, Any] = {
            "grant": grant.id,
            "sequence": self.sequence,
            "job": grant.job,
            "version": grant.job_version,
            "provider": grant.provider,
            "bundle": grant.bundle,
            **await machinery(runtime, bundle),
            "date": self.today.isoformat(),
            "seed": seed.hex(),
            "bits": bundle.manifest.schema.bits,
            "leaves": msgspec.structs.asdict(plan),
            **({"late": round(late * 1000)} if late and plan.wait else {}),
            "rows": {table.name: len(table.rows) for table in tables},
            "tables": await digests(tables),
            "cursor": since,
            "windows": [between and list(between) for between in windows],
        }
        await with_shares(self.home, lambda transaction: self._debit(transaction, body, noised))
        self.debited = True
        noise = noise_under(self.home, self.granted, self.sequence, noised)
        return await execute(runtime, bundle, tables, seed, self.today.isoformat(), on_progress, noise)

    def _debit(self, transaction: "Transaction", body: dict[str, Any], noised: Mapping[str, Between]) -> None:
        grant, manifest = self.granted.grant, self.granted.bundle.manifest
        done = len(transaction.receipts("run", grant=grant.id))
        if self.ended or done >= self.sequence:
            raise NotAllowed("this run was executed before, or its block was left", "authorise another one")
        current_grant(self.home, transaction, grant.id).require_running(self.home.device_id, self.today, done)
        if answer := answer_over(transaction, grant.id, body["windows"]):
            raise refused(AlreadyAnswered, "answered", sequence=answer.run[1])
        (given,) = transaction.receipts("grant", grant=grant.id)
        charges = charges_of(grant.id, manifest, amount=manifest.schema.bits, granted=grant.bits,
                             ceilings=self.ceilings, providers=given.body["accounts"])  # fmt: skip
        charges += runs_charges(manifest, self.ceilings, given.body["accounts"])
        charge(self.home, transaction, charges, "run", body)
        charge_epsilon(self.home, transaction, self.granted, self.sequence, noised, self.ceilings)

    async def release(self, execution: Execution) -> Departure:
        """Receipt the message with the run's result (or "none": there is none, or the grant was revoked).

        Raises `NotAllowed` when this run's message is made already, or nothing ran.
        """
        admitted = execution.admitted

        def work(transaction: "Transaction") -> Departure:
            heed(self.home, transaction, [self.granted.grant.id])
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
    await require_here(home, granted, today)
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
    """Make the messages of runs that were debited but never left: the process was killed, or the grant was revoked."""
    if granted.grant.device != home.device_id.hex():
        return []

    def work(transaction: "Transaction") -> list[Departure]:
        why: Reason = "revoked" if is_revoked(home, transaction, granted.grant.id) else "interrupted"
        return [
            _write(home, transaction, granted, sequence, date.fromisoformat(run_date), None, why)
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
    runs = {run_of(receipt): receipt.body["date"] for receipt in transaction.receipts("run", **fields)}
    for kind in ("release", "refusal"):
        for receipt in transaction.receipts(kind, **fields):
            runs.pop(run_of(receipt), None)
    return runs


def pseudonym_of(home: "Home", grant: str) -> SigningKey:
    """The key that signs a grant's messages, by the grant's whole id.

    It is for this grant alone: providers can't compare pseudonyms, nor can one provider tell that two
    of its grants are the same person's.
    """
    return SigningKey.from_seed(home.derive_key(f"grant pseudonym {grant}"))


def plan_of(granted: Granted) -> Plan:
    """When the messages of a grant's runs leave."""
    grant = granted.grant
    return make_plan(
        grant.slots,
        granted.seed,
        seconds=longest_of(granted.bundle.manifest),
        asked=grant.review == "show-me-first",
        hold_hours=grant.hold_hours,
    )


async def withdraw(home: "Home", id: str) -> list[Departure]:
    """Have every result of a grant that is still here leave as "none", at its time; `id` may be a unique beginning.

    What it spent stays spent. Raises `NotFound`, and `NotAllowed` when nothing is here that could be withdrawn.
    """

    def work(transaction: "Transaction") -> list[Departure]:
        grants = {grant for grant, _ in map(run_of, transaction.receipts("run")) if id and grant.startswith(id)}
        if len(grants) != 1:
            raise refused(NotFound, "ambiguous" if grants else "never-ran", id=id)
        return _withdraw(home, transaction, *grants)

    if not (made := await home.transaction(work)):
        raise refused(NotAllowed, "nothing-here")
    return made


async def withdraw_revoked(home: "Home") -> list[Departure]:
    """Withdraw the results that are still here of every grant that was revoked, on whichever device."""

    def work(transaction: "Transaction") -> list[Departure]:
        held = {leaving.run[0] for leaving in leavings(transaction) if leaving.may_be_withdrawn}
        return [made for id in sorted(held) for made in withdraw_if_revoked(home, transaction, id)]

    return await home.transaction(work)


def withdraw_if_revoked(home: "Home", transaction: "Transaction", id: str) -> list[Departure]:
    """The same of one grant by its whole id, in a transaction."""
    return _withdraw(home, transaction, id) if is_revoked(home, transaction, id) else []


def _withdraw(home: "Home", transaction: "Transaction", id: str) -> list[Departure]:
    return [
        _write_instead(home, transaction, leaving.receipt)
        for leaving in leavings(transaction, grant=id)
        if leaving.may_be_withdrawn
    ]


def _write_instead(home: "Home", transaction: "Transaction", release: "Receipt") -> Departure:
    """A "none" in a result's place. Of a grant whose record was changed, or is another device's by now, nothing can be
    sealed: nothing leaves."""
    grant, sequence = run_of(release)
    (run,) = transaction.receipts("run", grant=grant, sequence=sequence)
    granted = None
    with contextlib.suppress(GrantInvalid, NotFound):
        granted = current_grant(home, transaction, grant)
    if granted is None or granted.grant.device != home.device_id.hex():
        gone = {"outcome": "none", "result": None, "reason": "withdrawn", "message": "", "instead": release.time}
        transaction.receipt("refusal", {**release.body, **gone}, waits=True)
        return Departure(grant, sequence, "none", None, b"")
    day = date.fromisoformat(run.body["date"])
    return _write(home, transaction, granted, sequence, day, None, "withdrawn", instead=release.time)


def _write(
    home: "Home",
    transaction: "Transaction",
    granted: Granted,
    sequence: int,
    run_date: date,
    result: bytes | None,
    reason: Reason,
    instead: str | None = None,
) -> Departure:
    """Seal a message and receipt it; `instead` is the time of the one in whose place it leaves."""
    grant, manifest = granted.grant, granted.bundle.manifest
    pseudonym = pseudonym_of(home, grant.id)
    address = Address(bytes.fromhex(manifest.provider.sealing_key), bytes.fromhex(manifest.provider.inbox))
    message = build_message(
        manifest.schema,
        address,
        pseudonym,
        grant=bytes.fromhex(grant.id),
        sequence=sequence,
        run_date=run_date,
        bundle=granted.bundle.hash,
        consent=grant.hash,
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
        **({} if instead is None else {"instead": instead}),
    }
    # An entry for it would tell a relay when the run ended; the one before it is sent, at its slot, is for both.
    transaction.receipt("refusal" if result is None else "release", body, waits=True)
    return Departure(grant.id, sequence, "none" if result is None else "result", result, message)


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
            raise refused(NotAllowed, "running") from None

    def __exit__(self, *_: object) -> None:
        # The file stays: unlinking it would let a waiter lock a name that is gone.
        os.close(self._descriptor)
