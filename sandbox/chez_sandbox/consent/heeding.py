"""What stops a grant that its device runs is kept once it was heeded, whatever becomes of the record after.

Another device of the person revokes or pauses by a mark in the grant's record, which whoever may write there can take
away again. So the device that runs the grant writes what it found there into its own journal, before it acts on it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from chez.errors import NotFound
from chez_sandbox.consent.grants import COLLECTION, current_grant
from chez_sandbox.consent.pauses import standing
from chez_sandbox.job_errors import GrantInvalid

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = ("heed", "heed_all", "is_revoked")

_PAUSE: Final = re.compile(r"[0-9a-f]{32}")
"""The ids that `pause_grant` gives; whatever else stands in the map pauses for as long as it stands there."""


async def heed_all(home: "Home") -> None:
    """`heed` every grant that was given on this device. Raises `StorageFailed`."""

    def work(transaction: "Transaction") -> None:
        heed(home, transaction, (receipt.body["grant"] for receipt in transaction.receipts("grant")))

    await home.transaction(work)


def heed(home: "Home", transaction: "Transaction", ids: Iterable[str]) -> None:
    """Receipt what the records of these grants say of a revocation or a pause and the journal here does not.

    `ids` are whole. A grant that was given on another device is that one's to heed, and stays as it is.
    """
    for id in ids:
        (given, *_) = transaction.receipts("grant", grant=id) or (None,)
        try:
            record = transaction.get(home.collection(COLLECTION), id).value
        except NotFound:
            continue
        if given is not None:
            marks = {"grant": id, "job": given.body["job"], "provider": given.body["provider"], "from": "record"}
            _heed_revocation(transaction, record, marks)
            _heed_pause(transaction, home.device_id, record, marks)


def _heed_revocation(transaction: "Transaction", record: Mapping[str, Any], marks: dict[str, str]) -> None:
    if record.get("revoked") is not False and not transaction.receipts("revocation", grant=marks["grant"]):
        transaction.receipt("revocation", marks)


def _heed_pause(
    transaction: "Transaction", device: bytes, record: Mapping[str, Any], marks: dict[str, str]
) -> None:
    """One that stands is enough, since whoever resumes lifts all: so no record fills the journal with its pauses."""
    own = {receipt.body["pause"] for receipt in transaction.receipts("pause", grant=marks["grant"])}
    found = standing(marks["grant"], device, record, own)
    fresh = sorted(filter(_PAUSE.fullmatch, found - own))
    if fresh and not found & own:
        transaction.receipt("pause", {**marks, "pause": fresh[0]})


def is_revoked(home: "Home", transaction: "Transaction", id: str) -> bool:
    """Whether a grant is revoked, by its record or the journal; what the record says of it is heeded."""
    heed(home, transaction, [id])
    try:
        return current_grant(home, transaction, id).revoked
    except (GrantInvalid, NotFound):  # its record is of no use; the journal still is
        return bool(transaction.receipts("revocation", grant=id))
