"""Versions of a provider's job only rise: what was granted once is never granted older, nor as other bytes.

Nor under a key that the provider replaced since: whoever kept that one could sign a newer version with it.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.identity import Identity
from chez_sandbox.job_errors import VersionWentBack

if TYPE_CHECKING:
    from chez.home.transaction import Transaction

__all__ = ("require_rising",)

Given = tuple[str, int, str]
"""Under which key a job was granted, in which version, as which bundle."""


def require_rising(
    transaction: "Transaction", provider: Identity, bundle: Bundle, others: Iterable[Granted] = ()
) -> None:
    """Raise `VersionWentBack` unless a bundle is newer than, or the same as, all that was granted of its job.

    What was granted on the device that this home was before it was restored or copied counts, and `others`: what is
    known of other devices.
    """
    manifest = bundle.manifest
    for key, version, hash in _given(transaction, bundle, others):
        if key not in provider.keys:
            continue
        if version > manifest.version:
            raise refused(VersionWentBack, "older", granted=version, job=manifest.id, version=manifest.version)
        if version == manifest.version and hash != bundle.hash.hex():
            raise refused(VersionWentBack, "same-version", job=manifest.id, version=manifest.version)
        if key in provider.later:
            raise refused(VersionWentBack, "older-key", granted=version, job=manifest.id, version=manifest.version)


def _given(transaction: "Transaction", bundle: Bundle, others: Iterable[Granted]) -> Iterator[Given]:
    job = bundle.manifest.id
    for receipt in (*transaction.former_receipts("grant", job=job), *transaction.receipts("grant", job=job)):
        yield receipt.body["provider"], receipt.body["version"], receipt.body["bundle"]
    for one in (one.grant for one in others if one.grant.job == job):
        yield one.provider, one.job_version, one.bundle
