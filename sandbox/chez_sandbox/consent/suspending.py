"""A pause that nobody asked for: a provider's key is another than it had, and the old one did not sign it."""

import contextlib
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

from chez.crypto import hash_fields
from chez.errors import NotFound
from chez_sandbox.consent.grant import Granted

if TYPE_CHECKING:
    from chez.home.transaction import Transaction
    from chez.records.collection import Collection

__all__ = ("suspend", "suspend_keys", "suspension")


def suspension(grant: str, cause: str) -> str:
    """The id of the pause that one grant gets for the sake of another, or of itself; ids are hexadecimal."""
    return hash_fields("chez/1 grant suspended", bytes.fromhex(grant), bytes.fromhex(cause)).hex()[:32]


def suspend(
    transaction: "Transaction", grants: "Collection[dict[str, Any]]", grant: str, cause: str, now: str
) -> str:
    """Pause a grant, in its record and in the journal here; gives the pause's id. `now` is an RFC 3339 time.

    Like any pause it is lifted on the device that runs the grant. One whose record is gone is suspended should it come
    back.
    """
    pause = suspension(grant, cause)
    with contextlib.suppress(NotFound):
        record = transaction.get(grants, grant).value
        pauses = record.get("pauses")
        if isinstance(pauses, dict):
            transaction.put(grants, {**record, "pauses": {**pauses, pause: now}}, id=grant)
    transaction.receipt("pause", {"grant": grant, "cause": cause, "pause": pause})
    return pause


def suspend_keys(
    transaction: "Transaction",
    grants: "Collection[dict[str, Any]]",
    known: "Iterable[Granted]",
    keys: Container[str],
    cause: str,
    now: str,
) -> None:
    """`suspend` what these keys were granted and was not revoked: what is `known`, and what the journal tells of."""
    others = list(known)
    given = {one.body["grant"]: one.body["provider"] for one in transaction.receipts("grant")}
    given |= {one.grant.id: one.grant.provider for one in others}
    over = {one.body["grant"] for one in transaction.receipts("revocation")}
    over |= {one.grant.id for one in others if one.revoked}
    for id, key in given.items():
        if key in keys and id not in over:
            suspend(transaction, grants, id, cause, now)
