"""What a person's devices say to each other of what they sent: each message's provider, run and hash, when it is gone.

A record of the private space for each message, signed by the device that sent it, and written when the relay
has the message: an entry then tells a relay what it just saw. Nothing in it follows from what the message
says, nor does its length. So what was sealed, and whether that was a result or "none", stands in the journal
of the device that sent it, and there alone: `chez left` there tells it.

Words, like `holdings`: a relay or program can hide or remove them, and forge none. What no device can have sent is
passed over, whichever signed it: the others must be told of theirs.
"""

import base64
import contextlib
import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from chez.errors import RecordPurged
from chez_sandbox.consent.allowance import say_holding
from chez_sandbox.consent.leaving import run_of
from chez_sandbox.consent.signed import opened_record, signed_record

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = ("Elsewhere", "say_sent", "sent_elsewhere")

COLLECTION: Final = "chez.left"
CONTEXT: Final = "message left"
SAID: Final = "left-said"
"""Under which a device keeps the number of the last receipt of a delivery that it told the others of."""


class _Sent(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    grant: str
    sequence: int
    job: str
    job_version: int
    provider: bytes
    provider_name: str
    time: str
    bits: float
    sha256: bytes


class Elsewhere(msgspec.Struct, frozen=True):
    """One message that another device of the person says to have sent; `bits` bound what it can tell."""

    device: str
    """In hexadecimal; `device_name` is what it is called."""
    device_name: str
    time: str
    """When the relay had it, by that device's clock; RFC 3339 in UTC."""
    grant: str
    sequence: int
    job: str
    version: int
    provider: str
    provider_name: str
    bits: float
    sha256: str
    """Of the sealed bytes."""


async def say_sent(home: "Home") -> int:
    """Tell the person's other devices of the messages that relays have since it was last said; how many those are.

    What is left of the allowance is said with them. Each in a transaction, and so an entry, of its own: its padded
    length is then the same for all.
    """
    new = await home.transaction(_unsaid)
    if new:
        await say_holding(home)
    for delivered in new:
        await home.transaction(partial(_say, home, delivered=delivered))
    return len(new)


def _unsaid(transaction: "Transaction") -> "list[Receipt]":
    said = int(transaction.kept(SAID) or b"0")
    return [one for one in transaction.receipts("delivered") if one.number > said]


def _say(home: "Home", transaction: "Transaction", *, delivered: "Receipt") -> None:
    grant, sequence = run_of(delivered)
    (run,) = transaction.receipts("run", grant=grant, sequence=sequence)
    kinds = ("release", "refusal")
    made = [one for kind in kinds for one in transaction.receipts(kind, grant=grant, sequence=sequence)]
    body = max(made, key=lambda one: one.number).body
    digest = hashlib.sha256(base64.b64decode(body["message"])).digest()
    told = _Sent(1, grant, sequence, body["job"], body["version"], bytes.fromhex(body["provider"]),
                 body["provider_name"], delivered.time, run.body["bits"], digest)  # fmt: skip
    record = {"device": home.device_id, **signed_record(home, CONTEXT, told)}
    with contextlib.suppress(RecordPurged):  # hidden for good; the next ones are told of all the same
        transaction.put(home.collection(COLLECTION), record, id=f"{grant} {sequence}")
    transaction.keep(SAID, str(delivered.number).encode())


async def sent_elsewhere(home: "Home", here: Collection[tuple[str, str, int]]) -> Sequence[Elsewhere]:
    """What other devices say to have sent, oldest first, but for what the journals here tell: (device, grant, run)."""
    names = {info.id: info.name for info in await home.devices.all() if not info.own}
    found: dict[tuple[str, str, int], Elsewhere] = {}
    async for record in home.collection(COLLECTION):
        device = record.value.get("device")
        if not isinstance(device, bytes) or device not in names:
            continue
        said = opened_record(record.value, device, CONTEXT, _Sent)
        if said is None or not _can_be(said) or (run := (device.hex(), said.grant, said.sequence)) in here:
            continue
        found[run] = Elsewhere(device.hex(), names[device], said.time, said.grant, said.sequence, said.job,
                               said.job_version, said.provider.hex(), said.provider_name, said.bits,
                               said.sha256.hex())  # fmt: skip
    return sorted(found.values(), key=lambda one: (one.time, one.device, one.grant, one.sequence))


def _can_be(said: _Sent) -> bool:
    """Whether there is such a time, and a message may have told so much."""
    try:
        datetime.fromisoformat(said.time).astimezone()
    except (ValueError, OverflowError):
        return False
    return 0 <= said.bits < 10**9
