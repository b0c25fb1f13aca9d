"""Allowance in escrow: what of an account's ceiling one device may spend, without asking another.

    available = what the person's first device began with (the ceiling; other devices: nothing)
              + what others gave to this device - what it gave away - what it spent

So what all devices spend together never exceeds the ceiling, however long they are apart. A share
moves by a `Transfer` that its giver signs. The giver's side comes first: `give` takes the share from
what is available, and the caller stores that together with the transfer before anybody sees it. The
receiver counts a transfer once, by the giver's number for it. Whoever carries it in between, a relay
for one, can withhold it, and then the share is nobody's; repeating, altering or inventing gives nothing.

A device that was restored has another id, and nothing; so has a copied one, once it was made a device of its own:
what it held, and what was on its way to it, is its former self's. A share that was lost so is lost, for a
ceiling is an upper bound, until the person says on one device that the other will spend no more (`reclaim`).

Residual: a disk that is put back to an earlier state *under the device's id*, and is not noticed (the
journal's heads, which other devices keep, show it), has what it had then once more. So has a folder that was copied
by hand: both copies are one device until the second of them syncs, and each spends what that one had.

A device that is dishonest, not merely out of step, can sign away more than it has: whoever runs code of
his own on a device of the person reads the data itself.

Amounts are whole thousandths of a bit (or of an epsilon, or of a run: each account has one unit), rounded against the
spender, so that sums are exact. There is no clock, no store and no randomness here: every function takes
a `Purse` and returns the next one. `allowance` stores it, in the transaction of what it stands for.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, hash_fields, verify
from chez.errors import InvalidValue
from chez.phrasing import Figure
from chez_sandbox.consent.catalogue import Phrase, refused
from chez_sandbox.job_errors import BudgetSpent, TransferRefused

__all__ = (
    "EPSILON",
    "RUNS",
    "Charge",
    "Purse",
    "Transfer",
    "Unit",
    "available",
    "bare",
    "ceiling_of",
    "credit",
    "forgo",
    "give",
    "is_signed",
    "limit",
    "read_transfer",
    "reclaim",
    "shown",
    "spend",
    "thousandths",
    "unit_of",
)

Unit = Literal["bits", "epsilon", "runs"]

EPSILON: Final = "epsilon:"
"""How the names of accounts begin that count epsilon."""

RUNS: Final = "runs:"
"""How the names of accounts begin that count runs; what begins otherwise counts bits."""

CONTEXT: Final = "allowance transfer"
"""The context that a transfer is signed under (`Home.sign`)."""

SIGNED: Final = f"chez/1 application {CONTEXT}"

Device = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class Charge(msgspec.Struct, frozen=True):
    """What is debited from one account, and the account's ceiling, both in thousandths.

    `own` is an account that this device alone has, as a grant's is: it begins with the ceiling there.
    """

    account: str
    amount: int
    ceiling: int
    own: bool = False


class Transfer(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A share of one account, from one device to another; `number` counts the giver's transfers from 1."""

    version: Literal[1]
    giver: Device
    receiver: Device
    number: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    account: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    amount: Amount
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]

    @property
    def fields(self) -> tuple[bytes, ...]:
        """What is signed, after the context."""
        return _fields(self.giver, self.receiver, self.number, self.account, self.amount)


class Purse(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One device's part of all accounts; each function that changes something returns another one."""

    device: Device
    first: bool
    """Whether this is the person's first device, which holds every ceiling until it gives of it."""
    spent: dict[str, int] = {}
    given: dict[str, int] = {}
    received: dict[str, int] = {}
    transfers: int = 0
    """How many this device made."""
    credited: dict[str, bytes] = {}
    """The hash of each transfer that was counted, by "giver number"."""
    ceilings: dict[str, int] = {}
    """The ceilings that the person set, on the first device, in place of those that accounts have."""
    apart: dict[str, int] = {}
    """Of one that became the first by taking over (`reclaim`): what of an account's ceiling does not begin here."""


def thousandths(bits: float) -> int:
    """Bits (or epsilon) as whole thousandths, rounded up: nobody spends less than was told. Raises `InvalidValue`."""
    if not 0 <= bits < 10**9:
        raise refused(InvalidValue, "amount", amount=bits)
    return math.ceil(bits * 1000)


def unit_of(account: str) -> Unit:
    """In what an account counts."""
    return "epsilon" if account.startswith(EPSILON) else "runs" if account.startswith(RUNS) else "bits"


def bare(account: str) -> str:
    """An account's name without what says its unit."""
    return account.removeprefix(EPSILON).removeprefix(RUNS)


def shown(amount: int, account: str) -> str:
    """An account's thousandths as people read them: "12.5 bits"; it can be said in another language (`again`)."""
    number = f"{amount / 1000:,.3f}".rstrip("0").rstrip(".")
    return Phrase(f"unit.{unit_of(account)}", number=Figure(number))


def ceiling_of(purse: Purse, account: str, ceiling: int) -> int:
    """The ceiling of an account: what the person set, or else what it has, both in thousandths."""
    return purse.ceilings.get(account, ceiling)


def available(purse: Purse, account: str, ceiling: int, *, own: bool = False) -> int:
    """The thousandths that this device may spend or give, of an account with this ceiling; never below 0.

    A ceiling that was lowered leaves the first device what it has not used of the lower one.
    """
    began = ceiling_of(purse, account, ceiling) - purse.apart.get(account, 0) if purse.first or own else 0
    taken = purse.spent.get(account, 0) + purse.given.get(account, 0)
    return max(0, began + purse.received.get(account, 0) - taken)


def spend(purse: Purse, charges: Iterable[Charge]) -> Purse:
    """Take all charges, or none. Raises `BudgetSpent` naming the account that lacks it, and `InvalidValue`."""
    spent = dict(purse.spent)
    for charge in charges:
        if charge.amount < 0:
            raise InvalidValue(f"a debit is a number from 0, not {charge.amount}")
        account, left = charge.account, available(purse, charge.account, charge.ceiling, own=charge.own)
        # Two charges of one account count together.
        before = spent.get(account, 0)
        lacks = charge.amount + before - purse.spent.get(account, 0) - left
        if lacks > 0:
            takes = shown(charge.amount, account)
            raise BudgetSpent(
                Phrase("refused.budget", account=account, left=shown(left, account), takes=takes),
                Phrase("refused.budget.hint"),
                account=account,
                lacks=lacks,
                shared=not charge.own,
            )
        spent[account] = before + charge.amount
    return msgspec.structs.replace(purse, spent=spent)


def give(
    purse: Purse, account: str, ceiling: int, receiver: bytes, amount: int, sign: Callable[..., bytes]
) -> tuple[Purse, Transfer]:
    """Take a share from this device, for another one; `sign(context, *fields)` is this device's.

    The purse must be durable before the transfer is shown to anybody. Raises `BudgetSpent`, `InvalidValue`.
    """
    if amount < 1 or receiver == purse.device:
        raise refused(InvalidValue, "share")
    if amount > (left := available(purse, account, ceiling)):
        has = {"left": shown(left, account), "account": account, "amount": shown(amount, account)}
        raise refused(BudgetSpent, "lacks", **has)
    number = purse.transfers + 1
    signature = sign(CONTEXT, *_fields(purse.device, receiver, number, account, amount))
    transfer = Transfer(1, purse.device, receiver, number, account, amount, signature)
    given = {**purse.given, account: purse.given.get(account, 0) + amount}
    return msgspec.structs.replace(purse, given=given, transfers=number), transfer


def credit(purse: Purse, transfer: Transfer, devices: Collection[bytes]) -> Purse:
    """Count a transfer to this device; the same purse again when it was counted before.

    `devices` are the person's, those that were restored since included, for a share that was given counts; but
    without those whose share was taken over (`reclaim`).
    Raises `TransferRefused` for one that is not for this device, not of a device of the person, not signed
    by it, or another one under a number that was counted (then the giver's disk was put back).
    """
    if transfer.receiver != purse.device:
        raise TransferRefused("this share of allowance is for another device")
    name, digest = f"{transfer.giver.hex()} {transfer.number}", hash_fields(SIGNED, *transfer.fields)
    if (before := purse.credited.get(name)) == digest:
        return purse
    if transfer.giver not in devices or transfer.giver == purse.device:
        raise TransferRefused("this share of allowance is not of a device that may give one")
    if not is_signed(transfer):
        raise TransferRefused("this share of allowance is not signed by its giver")
    if before is not None:
        raise TransferRefused(
            "a device gave two shares of allowance under one number",
            "its disk was put back to an earlier state: run `chez journal verify` there",
        )
    received = {**purse.received, transfer.account: purse.received.get(transfer.account, 0) + transfer.amount}
    return msgspec.structs.replace(purse, received=received, credited={**purse.credited, name: digest})


def is_signed(transfer: Transfer) -> bool:
    """Whether its giver signed a transfer as it stands."""
    try:
        verify(transfer.giver, transfer.signature, SIGNED, *transfer.fields)
    except CryptoFailed:
        return False
    return True


def read_transfer(encoded: object) -> Transfer | None:
    """The transfer that a record holds, by whomever, or None where it holds none."""
    if not isinstance(encoded, bytes):
        return None
    try:
        return msgspec.msgpack.decode(encoded, type=Transfer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def limit(purse: Purse, account: str, ceiling: int) -> Purse:
    """Set an account's ceiling (thousandths), on the first device: what it has is what is left below it.

    What other devices were given of a higher one they keep. Raises `InvalidValue`, on other devices too.
    """
    if not purse.first or not 0 <= ceiling <= 10**12:
        raise InvalidValue(f"{ceiling} can't be the ceiling of {account} on this device")
    return msgspec.structs.replace(purse, ceilings={**purse.ceilings, account: ceiling})


def reclaim(
    purse: Purse, first: bool, shares: Mapping[str, tuple[int, int]], ceilings: Mapping[str, int] | None = None
) -> Purse:
    """Take over what a lost device had: account -> (share, ceiling); where it was the `first`, all not named, too.

    `ceilings` are those that were set on it, which hold on here. The person's word that it spends no more;
    nothing here can know. Raises `InvalidValue` for a share that is none.
    """
    received = dict(purse.received)
    for account, (share, ceiling) in shares.items():
        if not 0 <= share <= ceiling:
            raise InvalidValue(f"a share is from 0 to the ceiling, not {share} of {ceiling}")
        received[account] = received.get(account, 0) + share
    apart, limits = purse.apart, purse.ceilings
    if first and not purse.first:
        # The first device begins with the ceiling of each account: of these the share alone is taken over.
        apart = {account: ceiling for account, (_, ceiling) in shares.items()}
        limits = {**(ceilings or {}), **limits}
    return msgspec.structs.replace(
        purse, first=purse.first or first, received=received, apart=apart, ceilings=limits
    )


def forgo(purse: Purse, first: bool, shares: Mapping[str, int]) -> Purse:
    """Let go of what was taken over (account -> share), for another device had taken it over as well.

    `first` is whether this device was the first by that alone. What was spent of it meanwhile is owed: it counts
    against what comes later.
    """
    received = dict(purse.received)
    for account, share in shares.items():
        received[account] = received.get(account, 0) - share
    if first:
        return msgspec.structs.replace(purse, first=False, received=received, apart={}, ceilings={})
    return msgspec.structs.replace(purse, received=received)


def _fields(giver: bytes, receiver: bytes, number: int, account: str, amount: int) -> tuple[bytes, ...]:
    return giver, receiver, number.to_bytes(8, "big"), account.encode(), amount.to_bytes(8, "big")
