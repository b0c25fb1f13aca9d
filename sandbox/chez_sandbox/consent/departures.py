"""What ever left this home for a provider: read back from the journals that say so.

Every run that was debited has one departure, a result or the code "none"; each is a receipt with the
sealed bytes themselves. The journals of the devices that this home was before it was restored or
copied count too: what left by them has left.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chez_sandbox.consent.leaving import run_of, time_of

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.journal import Receipt

__all__ = ("Left", "departures")


@dataclass(frozen=True, slots=True)
class Left:
    """One message to a provider. Times are RFC 3339 in UTC, `bits` an upper bound of what it can tell."""

    device: str
    """The device whose journal says so, in hexadecimal."""
    number: int
    """Of the receipt, in that device's journal."""
    time: str
    grant: str
    sequence: int
    job: str
    version: int
    provider: str
    """The provider's signing key."""
    provider_name: str
    outcome: str
    """"result", or "none"."""
    result: str | None = field(repr=False)
    """The exact text that was sealed; None when all that was told is that there is none."""
    reason: str
    bits: float | None
    """None when the run's own receipt is not in the same journal."""
    relay: str
    tried: str | None
    """When it was first tried to send it: it may have left from then on, whatever its relay said."""
    delivered: str | None
    """When the relay said to have it; None while it did not."""
    leaves: str | None
    """From when on it is sent; None when the run's own receipt is not in the same journal."""
    message: bytes = field(repr=False)
    """The sealed bytes, as they leave."""
    received: str | None = None
    """The day on which the provider says to have received it (`offers.acknowledged`)."""

    @property
    def sha256(self) -> str:
        """The hash of the sealed bytes, as other tools show it."""
        return hashlib.sha256(self.message).hexdigest()


async def departures(home: "Home") -> list[Left]:
    """Everything that left, or is about to, by this home, in the order of the journals; former devices' first."""
    journals: dict[str, list[Receipt]] = {}
    for device, receipt in await home.journal.former():
        journals.setdefault(device.hex(), []).append(receipt)
    kinds = ("run", "release", "refusal", "sending", "delivered")
    journals[home.device_id.hex()] = [one for kind in kinds for one in await home.journal.receipts(kind)]
    tried, delivered = (
        {run_of(one): one.time for receipts in journals.values() for one in receipts if one.kind == kind}
        for kind in kinds[-2:]
    )
    return [left for device, receipts in journals.items() for left in _of(device, receipts, tried, delivered)]


Times = Mapping[tuple[str, int], str]


def _of(device: str, receipts: Iterable["Receipt"], tried: Times, delivered: Times) -> list[Left]:
    receipts = sorted(receipts, key=lambda receipt: receipt.number)
    # What was withdrawn is followed by what leaves in its place, or by nothing that leaves.
    last = {run_of(one): one for one in receipts if one.kind in ("release", "refusal")}
    runs = {run_of(one): one for one in receipts if one.kind == "run"}
    return [
        Left(
            device=device,
            number=one.number,
            time=one.time,
            grant=one.body["grant"],
            sequence=one.body["sequence"],
            job=one.body["job"],
            version=one.body["version"],
            provider=one.body["provider"],
            provider_name=one.body["provider_name"],
            outcome=one.body["outcome"],
            result=one.body["result"],
            reason=one.body["reason"],
            bits=runs[run].body["bits"] if run in runs else None,
            relay=one.body["relay"],
            tried=tried.get(run),
            delivered=delivered.get(run),
            leaves=time_of(runs[run], one).isoformat(timespec="seconds") if run in runs else None,
            message=base64.b64decode(one.body["message"]),
        )
        for run, one in last.items()
        if one.body["message"]
    ]
