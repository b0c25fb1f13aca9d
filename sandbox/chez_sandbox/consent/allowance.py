"""This device's purse: what it may spend of each account, kept in the store and moved between devices.

    charge        debit a run (or a drawn noise) and write its receipt, in the caller's transaction
    give_share    debit here, write the receipt and the signed transfer, in one transaction
    take_shares   count what others gave to this device, each once
    ask_share     say to the other devices what is lacking here
    say_holding   say to them what this one has, so that a device that lacks some can tell who has it
    set_ceiling   how often a provider's jobs may run, over all devices: the person's own number

The purse (`escrow.Purse`) is kept on the device (`Transaction.keep`), is bound to its id, and
is gone with it: a home that was restored, or made again of a person's words, begins with nothing. Transfers, asks and
holdings are records of the collection "chez.allowance" in the private space, each with its
device's signature. A transfer alone moves anything; the rest is words, which is why debits need not
be told: a relay or program that hides or changes these records can withhold a share and nothing else,
as long as no share is taken over (`reclaiming` has what is left then). A record that was taken away is put back
by its giver, who has it in the journal; one that was purged stays away.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chez.crypto import hash_fields
from chez.errors import InvalidValue, NotAllowed, NotFound, RecordPurged
from chez_sandbox.consent.accounts import Ceilings, check_shared
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.escrow import (
    Charge,
    Purse,
    Transfer,
    available,
    bare,
    ceiling_of,
    credit,
    forgo,
    give,
    limit,
    read_transfer,
    shown,
    spend,
    thousandths,
    unit_of,
)
from chez_sandbox.consent.holdings import (
    COLLECTION,
    Heard,
    ask_id,
    asks_record,
    hear,
    holding_id,
    holding_record,
    reclaim_id,
    reclaim_record,
)
from chez_sandbox.job_errors import TransferRefused

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = (
    "ask_share", "charge", "give_share", "keep_purse", "must_yield", "purse_in", "say_holding", "say_in",
    "set_ceiling", "take_shares", "write_word",
)  # fmt: skip

PURSE: Final = "allowance"
MADE: Final = "home-created"
"""The first line in the journal of the device that the person's home was made on: it holds every ceiling."""


def purse_in(home: "Home", transaction: "Transaction") -> Purse:
    """This device's purse, as it stands in a transaction."""
    kept = transaction.kept(PURSE)
    if kept is not None:
        return msgspec.msgpack.decode(kept, type=Purse)
    return Purse(home.device_id, first=bool(transaction.receipts(MADE)))


def charge(
    home: "Home", transaction: "Transaction", charges: Iterable[Charge], kind: str, body: Mapping[str, Any]
) -> "Receipt":
    """Debit every charge or none, and write the receipt that says so; its "charged" names them, in thousandths.

    Before whatever is paid for begins. Raises `BudgetSpent`, which leaves the transaction as it was.
    """
    charges = tuple(charges)
    keep_purse(transaction, spend(purse_in(home, transaction), charges))
    charged = {one.account: one.amount for one in charges}
    return transaction.receipt(kind, {**body, "charged": charged})


async def give_share(
    home: "Home", device: str, amounts: Mapping[str, int], ceilings: Ceilings | None = None
) -> list[Transfer]:
    """Give a part of what this device holds (account -> thousandths) to another one, named as in `home.devices.find`.

    It is debited here, durably, before anybody sees it. All accounts or none. Raises `NotFound` for a
    device that is none, `BudgetSpent` for more than there is here, `InvalidValue`.
    """
    receiver, limits = await home.devices.find(device), ceilings or Ceilings()
    for account in amounts:
        check_shared(account)

    def work(transaction: "Transaction") -> list[Transfer]:
        purse, made = purse_in(home, transaction), []
        for account, amount in sorted(amounts.items()):
            purse, transfer = give(purse, account, limits.of(account), receiver.id, amount, home.sign)
            transaction.receipt("allowance-given", _told(transfer) | {"signature": transfer.signature.hex()})
            _put(home, transaction, transfer)
            made.append(transfer)
        keep_purse(transaction, purse)
        say_in(home, transaction, purse, limits)
        return made

    return await home.transaction(work)


async def take_shares(home: "Home") -> list[Transfer]:
    """Count the shares that reached this device, each once, and put back the records of its own that are gone.

    What is for this device and not what its giver signed is refused, with a receipt, once; so is a share whose
    giver was lost, and all it had taken over before this came. Of a lost device's share that another one took over,
    too, apart from this one, this one lets go unless it has the lower id.
    """
    heard = await hear(home)
    devices = {info.id for info in await home.devices.all()} - heard.claims.keys()
    records = [record async for record in home.collection(COLLECTION)]
    found = [
        record.value["transfer"] for record in records if isinstance(record.value.get("transfer"), bytes)
    ]
    asked = [record.id for record in records if record.id.startswith(ask_id(home.device_id))]

    def work(transaction: "Transaction") -> list[Transfer]:
        before = purse = purse_in(home, transaction)
        taken = []
        for encoded in found:
            purse, transfer = _counted(home, transaction, purse, encoded, devices)
            taken += [transfer] if transfer is not None else []
        purse = _yielded(home, transaction, purse, heard)
        if purse != before:
            keep_purse(transaction, purse)
            say_in(home, transaction, purse, Ceilings())
        if taken:
            _answered(home, transaction, asked)
        _put_back(home, transaction, found)
        _claim_again(home, transaction)
        return taken

    return await home.transaction(work)


async def must_yield(home: "Home") -> bool:
    """Whether this device took over a share that, as is known here by now, another one has: `take_shares` lets it go.

    Of a device that took over none nothing is read but its journal.
    """
    if not await home.journal.receipts("allowance-reclaimed"):
        return False
    heard = await hear(home)
    return await home.transaction(lambda transaction: bool(list(_to_yield(home, transaction, heard))))


async def ask_share(home: "Home", amounts: Mapping[str, int], *, now: str) -> None:
    """Say to the person's other devices what is lacking here (account -> thousandths); the last word counts.

    `now` is an RFC 3339 time. Raises `InvalidValue`.
    """
    for account, amount in amounts.items():
        if not 1 <= amount <= 10**12:
            said = {"amount": shown(amount, account), "account": check_shared(account)}
            raise refused(InvalidValue, "cant-ask", **said)
    record = asks_record(home, amounts, now)
    await home.transaction(lambda transaction: _ask(home, transaction, record, amounts))


async def say_holding(home: "Home", ceilings: Ceilings | None = None) -> None:
    """Say to the person's other devices what this one holds and has spent, when that is news."""
    limits = ceilings or Ceilings()
    await hear(home)
    await home.transaction(lambda transaction: say_in(home, transaction, purse_in(home, transaction), limits))


async def set_ceiling(home: "Home", account: str, runs: int, ceilings: Ceilings | None = None) -> int:
    """Set the most runs of an account of runs, over all devices; what it was, in thousandths.

    On the device that has what is left of it: a ceiling that two devices set apart would be none. Raises
    `NotAllowed` on another, `InvalidValue` for an account of something else or a number that is none.
    """
    limits = ceilings or Ceilings()
    if unit_of(check_shared(account)) != "runs":
        raise refused(InvalidValue, "ceiling", account=account)

    def work(transaction: "Transaction") -> int:
        purse = purse_in(home, transaction)
        if not purse.first:
            raise refused(NotAllowed, "ceiling-here")
        before = ceiling_of(purse, account, limits.of(account))
        purse = limit(purse, account, thousandths(runs))
        keep_purse(transaction, purse)
        body = {"account": account, "amount": purse.ceilings[account], "before": before}
        transaction.receipt("allowance-ceiling", body)
        say_in(home, transaction, purse, limits)
        return before

    return await home.transaction(work)


def _ask(home: "Home", transaction: "Transaction", record: Mapping[str, Any], amounts: Mapping[str, int]) -> None:
    for number in count(1):
        with contextlib.suppress(RecordPurged):  # by whoever may write in the private space: it hides no later word
            transaction.put(home.collection(COLLECTION), dict(record), id=ask_id(home.device_id, number))
            break
    transaction.receipt("allowance-asked", {"amounts": dict(amounts)})


def _counted(
    home: "Home", transaction: "Transaction", purse: Purse, encoded: bytes, devices: Collection[bytes]
) -> tuple[Purse, Transfer | None]:
    """The purse with one more share, and the share if it is new and right."""
    transfer = read_transfer(encoded)
    if transfer is None or transfer.receiver != home.device_id:
        return purse, None  # nobody's, perhaps: what it was, its giver puts back
    try:
        check_shared(transfer.account)
        after = credit(purse, transfer, devices)
    except (TransferRefused, InvalidValue) as error:
        mark = hash_fields("chez/1 allowance refused", encoded).hex()
        if not transaction.receipts("allowance-refused", share=mark):
            transaction.receipt("allowance-refused", _told(transfer) | {"share": mark, "why": str(error.message)})
        return purse, None
    if after is purse:
        return purse, None
    transaction.receipt("allowance-received", _told(transfer))
    return after, transfer


def _told(transfer: Transfer) -> dict[str, Any]:
    """What receipts say of a share; the amount in thousandths."""
    return {
        "giver": transfer.giver.hex(),
        "receiver": transfer.receiver.hex(),
        "number": transfer.number,
        "account": transfer.account,
        "amount": transfer.amount,
        "unit": unit_of(transfer.account),
    }


def _put(home: "Home", transaction: "Transaction", transfer: Transfer) -> None:
    id = f"share {transfer.giver.hex()} {transfer.number}"
    write_word(home, transaction, {"transfer": msgspec.msgpack.encode(transfer)}, id)


def _put_back(home: "Home", transaction: "Transaction", found: Collection[bytes]) -> None:
    """Write the transfers of this device again that something took away or changed."""
    there = set(found)
    for receipt in transaction.receipts("allowance-given"):
        body = receipt.body
        giver, receiver, signature = (bytes.fromhex(body[name]) for name in ("giver", "receiver", "signature"))
        transfer = Transfer(1, giver, receiver, body["number"], body["account"], body["amount"], signature)
        if msgspec.msgpack.encode(transfer) not in there:
            _put(home, transaction, transfer)


def _yielded(home: "Home", transaction: "Transaction", purse: Purse, heard: Heard) -> Purse:
    """The purse without what this device took over and another one, of a lower id, did as well; with its receipts."""
    claims = [one.body for one in transaction.receipts("allowance-reclaimed")]
    yielded = {one.body["device"] for one in transaction.receipts("allowance-yielded")}
    firsts = {body["device"] for body in claims if body["first"]} - yielded
    for body, by in list(_to_yield(home, transaction, heard)):
        lost = body["device"]
        was = lost in firsts
        firsts.discard(lost)
        purse = forgo(purse, was and not firsts and not transaction.receipts(MADE), body["amounts"])
        told = {"device": lost, "name": body["name"], "by": by.hex(), "first": was, "amounts": body["amounts"]}
        transaction.receipt("allowance-yielded", told)
    return purse


def _to_yield(home: "Home", transaction: "Transaction", heard: Heard) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    """What this device took over, by its receipts, and another of a lower id did as well: which has it."""
    yielded = {one.body["device"] for one in transaction.receipts("allowance-yielded")}
    for body in (one.body for one in transaction.receipts("allowance-reclaimed")):
        by = heard.claims.get(bytes.fromhex(body["device"]), [home.device_id])[0]
        if body["device"] not in yielded and by != home.device_id:
            yield body, by


def _claim_again(home: "Home", transaction: "Transaction") -> None:
    """Write again what something took away: that this device took over a share."""
    for receipt in transaction.receipts("allowance-reclaimed"):
        lost = bytes.fromhex(receipt.body["device"])
        write_word(home, transaction, reclaim_record(home, lost), reclaim_id(lost, home.device_id))


def _answered(home: "Home", transaction: "Transaction", asked: Iterable[str]) -> None:
    """What came answers what was asked for, in these records; what is lacking still is asked for again."""
    for id in asked:
        with contextlib.suppress(NotFound):
            transaction.delete(home.collection(COLLECTION), id)


def keep_purse(transaction: "Transaction", purse: Purse) -> None:
    """Keep this device's purse, together with the receipt of what changed it."""
    transaction.keep(PURSE, msgspec.msgpack.encode(purse))


def say_in(home: "Home", transaction: "Transaction", purse: Purse, ceilings: Ceilings) -> None:
    """Say what this device holds, in the transaction that changed it, if it is not what it said last."""
    names = {*purse.spent, *purse.given, *purse.received, *purse.ceilings}
    shared = sorted(name for name in names if not bare(name).startswith("grant:"))
    accounts = {
        name: (available(purse, name, ceilings.of(name)), purse.spent.get(name, 0)) for name in shared
    }
    record = holding_record(home, transaction, purse.first, accounts, purse.ceilings)
    write_word(home, transaction, record, holding_id(home.device_id))


def write_word(home: "Home", transaction: "Transaction", record: dict[str, Any], id: str) -> None:
    """Write a record unless it is there. One that was purged can't be written again: what it said is withheld."""
    collection = home.collection(COLLECTION)
    with contextlib.suppress(NotFound, InvalidValue):
        if transaction.get(collection, id).value == record:
            return
    with contextlib.suppress(RecordPurged):
        transaction.put(collection, record, id=id)
