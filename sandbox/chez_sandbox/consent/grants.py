"""Grants: the person's recorded consent to one job, and the only way to a run.

A grant is one record of the collection "chez.grants" in the private space: the signed
body, the signature of the device that runs it, and the bundle it was given for. Reading
one back checks the signature, and that the bundle is the one whose hash was signed: a
record changed by whatever means is `GrantInvalid`, so new code or a wider scope can
only come through a new grant.

A revocation is a receipt of the journal and a mark on the record, so that the person's
other devices can revoke too; either suffices, and neither is ever taken back.

Record and receipt are written in one transaction, with the conditions they stand on, so
that nothing that races or crashes leaves one without the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chez.crypto import hash_fields
from chez.errors import NotFound
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.grant import (
    CONTEXT,
    SEED,
    Grant,
    Granted,
    Review,
    read_grant,
    require_fitting,
    require_readable,
)
from chez_sandbox.consent.identity import identify, receipted, said_of
from chez_sandbox.consent.narrowing import WHOLE, Narrowing, narrow
from chez_sandbox.consent.slots import Slots
from chez_sandbox.consent.suspending import suspend, suspend_keys
from chez_sandbox.consent.versions import require_rising
from chez_sandbox.job_errors import GrantInvalid

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = (
    "COLLECTION",
    "current_grant",
    "damaged_grants",
    "deleted_grants",
    "find_grant",
    "grant_job",
    "list_grants",
    "load_grant",
    "revoke_grant",
    "stored",
)

COLLECTION: Final = "chez.grants"
async def grant_job(
    home: "Home",
    bundle: Bundle,
    *,
    id: bytes,
    seed: bytes,
    now: str,
    until: date,
    runs: int | None = None,
    bits: float | None = None,
    epsilon: float | None = None,
    review: Review = "show-me-first",
    slots: Slots = "hour",
    hold_hours: int = 0,
    narrowing: Narrowing = WHOLE,
) -> Granted:
    """Record the person's consent to a job, on this device.

    `id` is 16 random bytes, `seed` 32, and `now` an RFC 3339 time.
    `runs`, `bits` and `epsilon` may be fewer than the manifest asks for, never more, and `narrowing` takes
    fields and days away. Where the provider's key is another than it had, and not signed by that
    one, it begins suspended, as do the other key's grants (`identity`). Raises
    `VersionWentBack` for an older version than was ever granted, or other bytes under the
    same version; `NotAllowed`, `InvalidValue` for more than the manifest asks for, or hours of
    hold without the review "hold" (and the reverse).
    """
    manifest, asked = bundle.manifest, bundle.manifest.budget
    require_fitting(bundle, runs, bits, epsilon, review, hold_hours)
    runs, bits = asked.runs if runs is None else runs, asked.bits if bits is None else bits
    epsilon = (asked.epsilon or 0.0) if epsilon is None else epsilon
    narrow(manifest, narrowing)
    grant = Grant(
        1,
        id.hex(),
        manifest.id,
        manifest.version,
        manifest.provider.signing_key,
        bundle.hash.hex(),
        bundle.code_hash.hex(),
        home.device_id.hex(),
        now,
        until.isoformat(),
        runs,
        bits,
        review,
        hash_fields(SEED, seed),
        slots,
        hold_hours,
        narrowing,
        epsilon,
    )
    require_readable(grant, bundle, seed)
    others = await list_grants(home)
    work = partial(_put_grant, home, bundle=bundle, grant=grant, seed=seed, others=others)
    return Granted(grant, bundle, False, seed, await home.transaction(work))


def _put_grant(
    home: "Home", transaction: "Transaction", *, bundle: Bundle, grant: Grant, seed: bytes, others: Sequence[Granted]
) -> frozenset[str]:
    """Store a grant with its receipt; the pauses that it begins with, for the sake of another key's."""
    grants, body = home.collection(COLLECTION), grant.body
    provider = identify(bundle, others, receipted(transaction))
    require_rising(transaction, provider, bundle, others)
    transaction.put(grants, _record(home, bundle, body, seed), id=grant.id)
    transaction.receipt("grant", {**_receipt(grant, bundle, body), "accounts": list(provider.accounts)})
    if not provider.foreign:
        return frozenset()
    suspend_keys(transaction, grants, others, provider.foreign, grant.id, grant.granted)
    return frozenset({suspend(transaction, grants, grant.id, grant.id, grant.granted)})


def _record(home: "Home", bundle: Bundle, body: bytes, seed: bytes) -> dict[str, Any]:
    """What is stored of a grant: its body, signed here, its job, and the seed whose hash is signed."""
    return {
        "body": body,
        "signature": home.sign(CONTEXT, body),
        "bundle": bundle.encoded,
        "seed": seed,
        "revoked": False,
        # There from the beginning, so that what two devices put into them at once merges.
        "pauses": {},
        "resumptions": {},
    }


def _receipt(grant: Grant, bundle: Bundle, body: bytes) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "grant": grant.id,
        "job": grant.job,
        "version": grant.job_version,
        "provider": grant.provider,
        **said_of(bundle),
        "purpose": manifest.purpose.dpv,
        "bundle": grant.bundle,
        "code": grant.code,
        "until": grant.until,
        "runs": grant.runs,
        "bits": grant.bits,
        "epsilon": grant.epsilon,
        "review": grant.review,
        "slots": grant.slots,
        "hold_hours": grant.hold_hours,
        "hash": hash_fields(CONTEXT, body).hex(),
    }


async def load_grant(home: "Home", id: str) -> Granted:
    """Read and verify one grant; `id` may be a unique beginning.

    Raises `NotFound`, or `GrantInvalid` when record, signature or bundle were changed.
    """
    full = await find_grant(home, id)
    record = await home.collection(COLLECTION).get(full)
    revoked = bool(await home.journal.receipts("revocation", grant=full))
    return read_grant(full, record.value, revoked, _paused(await home.journal.receipts("pause", grant=full)))


def current_grant(
    home: "Home", transaction: "Transaction", id: str, gone: Mapping[str, Any] | None = None
) -> Granted:
    """The grant with this whole id as it stands in a transaction, or as `gone` in the trash; raises as `load_grant`."""
    revoked = bool(transaction.receipts("revocation", grant=id))
    record = stored(home, transaction, id, gone)
    return read_grant(id, record, revoked, _paused(transaction.receipts("pause", grant=id)))


def stored(home: "Home", transaction: "Transaction", id: str, gone: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of a grant, or what is in the trash of it: to write it brings it back. Raises `NotFound`."""
    try:
        return transaction.get(home.collection(COLLECTION), id).value
    except NotFound:
        if gone is None:
            raise
        return dict(gone)


async def deleted_grants(home: "Home") -> dict[str, Mapping[str, Any]]:
    """The records of grants that are in the trash, by id: what stops one of them on its own device is written there."""
    return {one.id: one.value for one in await home.collection(COLLECTION).trash()}


def _paused(receipts: Iterable["Receipt"]) -> frozenset[str]:
    return frozenset(receipt.body["pause"] for receipt in receipts)


async def list_grants(home: "Home") -> list[Granted]:
    """All grants that verify, oldest first; damaged ones are left out (`damaged_grants` tells why)."""
    found = [one for one in (await _read_all(home)).values() if isinstance(one, Granted)]
    return sorted(found, key=lambda granted: granted.grant.granted)


async def damaged_grants(home: "Home") -> dict[str, GrantInvalid]:
    """The grants that do not verify, by id, and why. They never run."""
    return {id: one for id, one in (await _read_all(home)).items() if isinstance(one, GrantInvalid)}


async def _read_all(home: "Home") -> dict[str, Granted | GrantInvalid]:
    revoked = {receipt.body["grant"] for receipt in await home.journal.receipts("revocation")}
    pauses = await home.journal.receipts("pause")
    return {
        record.id: _verified(
            record.id,
            record.value,
            record.id in revoked,
            _paused(receipt for receipt in pauses if receipt.body["grant"] == record.id),
        )
        async for record in home.collection(COLLECTION)
    }


async def revoke_grant(home: "Home", id: str) -> Grant:
    """End a grant for good; `id` may be a unique beginning. Works on any of the person's devices.

    One in the trash is brought back revoked, unless this device gave it, whose receipt is enough.
    Raises `NotFound`, and `GrantInvalid` for a record that was changed, or taken away from the device
    that gave it: it is revoked all the same, lest it be changed back.
    """
    gone = await deleted_grants(home)
    full = await find_grant(home, id, [*gone, *[one.body["grant"] for one in await home.journal.receipts("grant")]])
    revoked = await home.transaction(lambda transaction: _revoke(home, transaction, full, gone.get(full)))
    if isinstance(revoked, GrantInvalid):
        raise refused(GrantInvalid, "damaged-revoked", problem=revoked.message)
    return revoked


def _revoke(
    home: "Home", transaction: "Transaction", id: str, gone: Mapping[str, Any] | None
) -> Grant | GrantInvalid:
    """Write of a revocation what is not there yet."""
    grants, given = home.collection(COLLECTION), transaction.receipts("grant", grant=id)
    record, body = None, {"grant": id}
    try:
        record = stored(home, transaction, id, None if given else gone)
        found = _verified(id, record, True, frozenset())
    except NotFound:
        if not given:
            raise
        found = refused(GrantInvalid, "gone", grant=id[:8])
    if isinstance(found, Granted):
        body |= {"job": found.grant.job, "provider": found.grant.provider}
    if not transaction.receipts("revocation", grant=id):
        transaction.receipt("revocation", body)
    if record is not None and record.get("revoked") is not True:
        transaction.put(grants, {**record, "revoked": True}, id=id)
    return found.grant if isinstance(found, Granted) else found


def _verified(
    id: str, record: Mapping[str, Any], revoked: bool, paused: frozenset[str]
) -> Granted | GrantInvalid:
    try:
        return read_grant(id, record, revoked, paused)
    except GrantInvalid as error:
        return error


async def find_grant(home: "Home", id: str, gone: Iterable[str] = ()) -> str:
    """The whole id that begins so, of a record or of those that may be `gone`. Raises `NotFound`."""
    ids: set[str] = {record.id async for record in home.collection(COLLECTION)} | set(gone)
    matches = [one for one in ids if id and one.startswith(id)]
    if len(matches) != 1:
        raise refused(NotFound, "ambiguous" if matches else "unknown", id=id)
    return matches[0]
