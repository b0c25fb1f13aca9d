"""Pausing a grant and resuming it: each a receipt and a mark in the record, in one transaction."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chez.errors import InvalidValue, NotAllowed
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.grant import Grant
from chez_sandbox.consent.grants import COLLECTION, current_grant, deleted_grants, find_grant, load_grant, stored
from chez_sandbox.consent.pauses import RESUME, UNREADABLE, Resumption
from chez_sandbox.consent.signed import signed_record
from chez_sandbox.job_errors import GrantEnded

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = ("pause_grant", "resume_grant")

PAUSE_BYTES: Final = 16


async def pause_grant(home: "Home", id: str, *, pause: bytes, now: str) -> Grant:
    """Let a grant run nothing until it is resumed; `id` may be a unique beginning, `pause` is 16 random bytes.

    Works on any of the person's devices, at the one that runs it as soon as that has synced; a
    run in progress ends as it would. A grant that is paused stays so, and one in the trash is brought back
    paused. Raises like `load_grant`, and `InvalidValue` for a `pause` that is none, or was one of this grant before.
    """
    if not isinstance(pause, bytes) or len(pause) != PAUSE_BYTES:
        raise InvalidValue("a pause is named by 16 random bytes", "Such as secrets.token_bytes(16).")
    gone = await deleted_grants(home)
    full = await find_grant(home, id, gone)
    return await home.transaction(
        partial(_pause, home=home, id=full, gone=gone.get(full), pause=pause.hex(), now=now)
    )


def _pause(
    transaction: "Transaction", *, home: "Home", id: str, gone: Mapping[str, Any] | None, pause: str, now: str
) -> Grant:
    found = current_grant(home, transaction, id, gone)
    grant = found.grant
    record = stored(home, transaction, id, gone)
    pauses = _map(record.get("pauses"))
    if not found.pauses:
        if pause in _map(record.get("resumptions")):  # it would be lifted by what lifted that one
            raise InvalidValue("a pause of this name was lifted before", "Name each by 16 random bytes of its own.")
        transaction.receipt("pause", {"grant": id, "job": grant.job, "provider": grant.provider, "pause": pause})
    elif UNREADABLE in found.pauses or not found.pauses.isdisjoint(pauses):
        return grant
    else:  # this device alone knows of it: its mark was taken away, and the device that runs the grant must see one
        pause = min(found.pauses)
    transaction.put(home.collection(COLLECTION), {**record, "pauses": {**pauses, pause: now}}, id=id)
    return grant


async def resume_grant(home: "Home", id: str, *, now: str) -> Grant:
    """Lift every pause of a grant that is known here; `id` may be a unique beginning.

    Raises like `load_grant`, `NotAllowed` on another device than the one that runs it, and `GrantEnded` for one that
    was revoked: it never runs again.
    """
    found = (await load_grant(home, id)).grant
    if found.device != home.device_id.hex():
        raise refused(NotAllowed, "resume-elsewhere")
    return await home.transaction(partial(_resume, home=home, id=found.id, now=now))


def _resume(transaction: "Transaction", *, home: "Home", id: str, now: str) -> Grant:
    found = current_grant(home, transaction, id)
    grant = found.grant
    if found.revoked:
        raise refused(GrantEnded, "revoked")
    if not found.pauses:
        return grant
    grants = home.collection(COLLECTION)
    record = transaction.get(grants, id).value
    said = {pause: signed_record(home, RESUME, Resumption(1, id, pause, now)) for pause in found.pauses - {UNREADABLE}}
    # A map that something else had taken away is put back: what stands is lifted by name.
    marks = {"pauses": _map(record.get("pauses")), "resumptions": {**_map(record.get("resumptions")), **said}}
    transaction.put(grants, {**record, **marks}, id=id)
    pauses = sorted(found.pauses)
    transaction.receipt("resumption", {"grant": id, "job": grant.job, "provider": grant.provider, "pauses": pauses})
    return grant


def _map(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
