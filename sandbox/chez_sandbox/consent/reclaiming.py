"""The share of a device that is gone: lost until the person says, on one device, that it spends no more.

Nothing proves that. The head of a lost device's journal stands for what was before it, and the
device may run a job a minute later, without a network too. So this is the person's word, as a receipt,
after the device was removed (or mended into this one). It takes over what the device said last that it
held, and what it was given besides and had not counted by then, less whatever all others hold and have
spent. What the lost device spent since it last said so may be told a second time. A transfer of its own
that comes only now is counted by nobody any more: what it was of may have been taken over.

Its last word is the one with the highest number that this device ever heard or finds in the past of its
record: deleting the record, or putting an older one back, changes nothing. Only a purge of it before it
was heard, or a relay that hid it, does. Then a first device has said nothing, and holds all of each account by that,
but of what others say to have; the person is told so and asked for it apart.

Once for each device: a record says who did it, which its device puts back. Two devices that do it at
once, apart from each other, both count it, until they hear of each other: then the one with the lower id
goes on (`allowance.take_shares`). What both spent until then is told besides.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez_sandbox.consent.accounts import Ceilings, check_shared
from chez_sandbox.consent.allowance import keep_purse, purse_in, say_in, take_shares, write_word
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.escrow import Transfer, is_signed, read_transfer, reclaim
from chez_sandbox.consent.holdings import (
    COLLECTION,
    Holder,
    dig,
    holders,
    reclaim_id,
    reclaim_record,
    reclaimed,
)

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = ("Takeover", "find_lost", "reclaim_share")


class Takeover(msgspec.Struct, frozen=True):
    """What was taken over of accounts that are named, in thousandths; `rest` is whether all else was, too."""

    amounts: Mapping[str, int]
    rest: bool


async def find_lost(home: "Home", which: str) -> Holder:
    """A removed device whose share nobody took over, by the beginning of its id or its name.

    Raises `NotFound`, `InvalidValue` when several are called so, `NotAllowed` for one that is not
    removed, or whose share was taken over.
    """
    devices = [one for one in await holders(home) if not one.own]
    found = [one for one in devices if one.name == which or (len(which) >= 4 and one.id.hex().startswith(which))]
    gone = [one for one in found if not one.active] or found
    if not gone:
        raise refused(NotFound, "no-device", name=which)
    if len(gone) > 1:
        raise refused(InvalidValue, "devices", name=which, count=len(gone))
    (lost,) = gone
    # A home that was mended in place has no other copy, and may have no relay to remove what it was at.
    if lost.active and not await home.journal.receipts("device-renewed", former=lost.id.hex(), why="repaired"):
        raise refused(NotAllowed, "active", name=lost.name, device=repr(lost.name))
    await dig(home, lost.id)
    if (by := (await reclaimed(home)).get(lost.id)) is not None:
        raise refused(NotAllowed, "taken-by", name=lost.name, by=by)
    return next(one for one in await holders(home) if one.id == lost.id)


async def reclaim_share(home: "Home", lost: Holder) -> Takeover:
    """Take over the share of a device as `find_lost` gives it.

    Where it was the first device, all of what nobody named, too, unless another one says that it is. Raises as
    `find_lost`.
    """
    await take_shares(home)  # of the lost one's gifts none counts that comes later: what lies here was given
    lost, limits = await find_lost(home, lost.id.hex()), Ceilings()
    devices, transfers = await holders(home), await _transfers(home)
    rest = lost.first and not any(one.first for one in devices if one.id != lost.id and not one.own)
    accounts = _named(devices) if lost.first else set(lost.left)
    accounts |= {one.account for one in transfers if one.receiver == lost.id}
    most = {account: lost.ceilings.get(account, limits.of(account)) for account in sorted(accounts)}
    shares = {
        account: (_left(account, lost, devices, [one for one in transfers if one.account == account], ceiling), ceiling)
        for account, ceiling in most.items()
    }
    said = {account: share for account, (share, _) in shares.items()}

    def work(transaction: "Transaction") -> None:
        if transaction.receipts("allowance-reclaimed", device=lost.id.hex()):
            raise refused(NotAllowed, "taken", name=lost.name)
        purse = reclaim(purse_in(home, transaction), rest, shares, lost.ceilings)
        keep_purse(transaction, purse)
        say_in(home, transaction, purse, limits)
        body: dict[str, Any] = {"device": lost.id.hex(), "name": lost.name, "first": rest, "amounts": said}
        transaction.receipt("allowance-reclaimed", body)
        write_word(home, transaction, reclaim_record(home, lost.id), reclaim_id(lost.id, home.device_id))

    await home.transaction(work)
    return Takeover(said, rest)


def _named(devices: Iterable[Holder]) -> set[str]:
    """The accounts that any device said to have something of, or to have spent."""
    return {account for one in devices for account in (*one.left, *one.spent)}


async def _transfers(home: "Home") -> list[Transfer]:
    """What the person's devices gave to each other, each once."""
    givers = {info.id for info in await home.devices.all()}
    found = {}
    async for record in home.collection(COLLECTION):
        one = read_transfer(record.value.get("transfer"))
        if one is not None and one.giver in givers and _is_shared(one.account) and is_signed(one):
            found[one.giver, one.number] = one
    return list(found.values())


def _is_shared(account: str) -> bool:
    try:
        return check_shared(account) == account
    except InvalidValue:
        return False


def _left(account: str, lost: Holder, devices: list[Holder], transfers: list[Transfer], ceiling: int) -> int:
    """What a lost device had, by its own word and what it was given since, and never more than all others leave of the
    ceiling, by theirs."""

    def held(one: Holder) -> int:
        # Of this one nothing is on its way: it counted what is here.
        uncounted = 0 if one.own else _uncounted(account, one, transfers, ceiling)
        return one.left_of(account, ceiling) + uncounted

    others = sum(held(one) + one.spent.get(account, 0) for one in devices if one.id != lost.id)
    return max(0, min(held(lost), ceiling - others - lost.spent.get(account, 0)))


def _uncounted(account: str, one: Holder, transfers: list[Transfer], ceiling: int) -> int:
    """What a device was given of an account and had not counted by its last word: all, less what that must stand for.

    A device says what it has with each share that it counts. What it took over stands there, too, and is not told
    apart: then this is less than it may be. Of one whose share was taken over nothing is left.
    """
    if one.gone:
        return 0
    came = sum(share.amount for share in transfers if share.receiver == one.id)
    went = sum(share.amount for share in transfers if share.giver == one.id)
    began = ceiling if one.first and one.founder else 0
    stands = one.left_of(account, ceiling) + one.spent.get(account, 0) + went - began
    return max(0, came - max(0, stands))
