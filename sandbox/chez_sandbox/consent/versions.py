"""Versions of a provider's job only rise: what was granted once is never granted older, nor as other bytes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.job_errors import VersionWentBack

if TYPE_CHECKING:
    from chez.home.transaction import Transaction

__all__ = ("require_rising",)


def require_rising(transaction: "Transaction", keys: Iterable[str], bundle: Bundle) -> None:
    """Raise `VersionWentBack` unless a bundle is newer than, or the same as, all that was granted of its job.

    `keys` are the provider's, those that it had before included. What was granted on the device that this home
    was before it was restored or copied counts.
    """
    manifest = bundle.manifest
    for key in sorted(keys):
        job = {"provider": key, "job": manifest.id}
        for receipt in (*transaction.former_receipts("grant", **job), *transaction.receipts("grant", **job)):
            granted = receipt.body["version"]
            if granted > manifest.version:
                raise refused(VersionWentBack, "older", granted=granted, job=manifest.id, version=manifest.version)
            if granted == manifest.version and receipt.body["bundle"] != bundle.hash.hex():
                raise refused(VersionWentBack, "same-version", job=manifest.id, version=manifest.version)
