"""A pause that nobody asked for: a provider's key is another than it had, and the old one did not sign it."""

from typing import TYPE_CHECKING, Any

from chez.crypto import hash_fields
from chez.errors import NotFound

if TYPE_CHECKING:
    from chez.home.transaction import Transaction
    from chez.records.collection import Collection

__all__ = ("suspend", "suspension")


def suspension(grant: str, cause: str) -> str:
    """The id of the pause that one grant gets for the sake of another, or of itself; ids are hexadecimal."""
    return hash_fields("chez/1 grant suspended", bytes.fromhex(grant), bytes.fromhex(cause)).hex()[:32]


def suspend(
    transaction: "Transaction", grants: "Collection[dict[str, Any]]", grant: str, cause: str, now: str
) -> str:
    """Pause a grant, in its record and in the journal here; gives the pause's id. `now` is an RFC 3339 time.

    Like any pause it is lifted on the device that runs the grant. Nothing happens to a record that is gone.
    """
    pause = suspension(grant, cause)
    try:
        record = transaction.get(grants, grant).value
    except NotFound:
        return pause
    pauses = record.get("pauses")
    if isinstance(pauses, dict):
        transaction.put(grants, {**record, "pauses": {**pauses, pause: now}}, id=grant)
    transaction.receipt("pause", {"grant": grant, "cause": cause, "pause": pause})
    return pause
