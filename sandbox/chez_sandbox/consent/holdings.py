"""What a person's devices say of their allowance to each other: what each holds, and what it asks for.

Words, each signed by the device that it is of; nothing is debited or credited by them. A device
says what it holds when shares move, when it is asked to (`chez job allowance`), and when messages were
sent: never when a run starts, for an entry at the relay then would tell when that was.

Records can be deleted, and older ones put back in their place. So a device keeps what it heard (`Heard`): of each
device the word with the highest number, and each takeover. What it has not heard yet is looked for in
the past of the records when it matters (`dig`).
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from chez.errors import InvalidValue, NotFound
from chez_sandbox.consent.accounts import check_shared
from chez_sandbox.consent.escrow import unit_of
from chez_sandbox.consent.signed import opened_record, signed_record

if TYPE_CHECKING:
    from chez.home.devices import DeviceInfo
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = (
    "COLLECTION",
    "Heard",
    "Holder",
    "ask_id",
    "asks_record",
    "ceiling_said",
    "dig",
    "hear",
    "holders",
    "holding_id",
    "holding_record",
    "reclaim_id",
    "reclaim_record",
    "reclaimed",
)

S = TypeVar("S", bound=msgspec.Struct)

COLLECTION: Final = "chez.allowance"
HOLDS: Final = "allowance holding"
ASKS: Final = "allowance asked"
RECLAIMS: Final = "allowance reclaimed"
HEARD: Final = "allowance heard"


class _Holding(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    number: int
    """Rises with each word of the device."""
    first: bool
    accounts: dict[str, tuple[int, int]]
    """What is left and what was spent, in thousandths."""
    ceilings: dict[str, int] = {}
    """What the person set on the first device in place of an account's own ceiling."""


class _Asks(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    amounts: dict[str, int]
    time: str


class _Reclaim(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    lost: bytes


class Heard(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What this device heard and does not forget: devices' last words, and who took over from whom (sorted ids)."""

    words: dict[bytes, bytes] = {}
    claims: dict[bytes, list[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Holder:
    """A device of the person, and what it said of its allowance, as far as that can be; amounts in thousandths.

    `first` is the device that holds, of accounts it does not name, all; `founder` whether it began so, and is not
    so by taking over; `said` is whether it said anything that is here, `gone` whether its share was taken over.
    """

    id: bytes = field(repr=False)
    name: str
    own: bool
    active: bool
    said: bool
    first: bool
    founder: bool
    gone: bool
    left: Mapping[str, int]
    spent: Mapping[str, int]
    asks: Mapping[str, int]
    ceilings: Mapping[str, int]

    def left_of(self, account: str, ceiling: int) -> int:
        """What it said to have of an account with this ceiling, or has if it never spent or gave of it."""
        return self.left.get(account, ceiling if self.first else 0)


def holding_id(device: bytes) -> str:
    """The id of the record in which a device says what it holds."""
    return f"holding {device.hex()}"


def ask_id(device: bytes, number: int = 1) -> str:
    """The id of the record in which a device asks; the next number's where the one before was purged."""
    return f"ask {device.hex()}{f' {number}' if number > 1 else ''}"


def ceiling_said(devices: Iterable[Holder], account: str, ceiling: int) -> int:
    """An account's ceiling, as the first device said that it was set; or the one that it has."""
    return next((one.ceilings[account] for one in devices if one.first and account in one.ceilings), ceiling)


def holding_record(
    home: "Home",
    transaction: "Transaction",
    first: bool,
    accounts: Mapping[str, tuple[int, int]],
    ceilings: Mapping[str, int],
) -> dict[str, Any]:
    """The record in which a device says what it holds: account -> (left, spent); and the ceilings set there.

    The last one again, when that is no news.
    """
    heard = _heard(transaction)
    last = _holding(heard.words.get(home.device_id))
    if last is None or (last.first, last.accounts, last.ceilings) != (first, accounts, ceilings):
        last = _Holding(1, last.number + 1 if last is not None else 1, first, dict(accounts), dict(ceilings))
        words = {**heard.words, home.device_id: msgspec.msgpack.encode(last)}
        transaction.keep(HEARD, msgspec.msgpack.encode(msgspec.structs.replace(heard, words=words)))
    return {"by": home.device_id, **signed_record(home, HOLDS, last)}


def asks_record(home: "Home", amounts: Mapping[str, int], now: str) -> dict[str, Any]:
    """The record in which a device says what it lacks."""
    return signed_record(home, ASKS, _Asks(1, dict(amounts), now))


def reclaim_id(lost: bytes, by: bytes) -> str:
    """The id of the record in which a device says that it took over a lost device's share."""
    return f"reclaim {lost.hex()} {by[:16].hex()}"


def reclaim_record(home: "Home", lost: bytes) -> dict[str, Any]:
    """The record in which this device says that it took over a lost device's share."""
    return {"by": home.device_id, **signed_record(home, RECLAIMS, _Reclaim(1, lost))}


async def hear(home: "Home") -> Heard:
    """What the person's devices said, here now or ever heard here; kept, so that no record takes it back."""
    records = [record.value async for record in home.collection(COLLECTION)]
    return await _keep_heard(home, records)


async def dig(home: "Home", lost: bytes) -> Heard:
    """As `hear`, with all that a device said, and others of its share, in the past of their records."""
    records = await _past(home, holding_id(lost), lost)
    for info in await home.devices.all():
        records += await _past(home, reclaim_id(lost, info.id), info.id)
    await _keep_heard(home, records)
    return await hear(home)


async def reclaimed(home: "Home") -> dict[bytes, str]:
    """The devices whose share was taken over, by id, and the name of the one that has it.

    Of several that did so apart from each other it is the one with the lowest id.
    """
    names = {info.id: info.name for info in await home.devices.all()}
    return {lost: names.get(by[0], by[0].hex()) for lost, by in (await hear(home)).claims.items()}


async def holders(home: "Home") -> list[Holder]:
    """The person's devices that are or were, this one first, each with what it said last and signed.

    Of one whose share was taken over, what it spent is all that counts.
    """
    records = {record.id: record.value async for record in home.collection(COLLECTION)}
    heard = await _keep_heard(home, records.values())
    return [_holder(records, info, heard) for info in await home.devices.all()]


def _holder(records: Mapping[str, Mapping[str, Any]], info: "DeviceInfo", heard: Heard) -> Holder:
    holding, gone = _holding(heard.words.get(info.id)), info.id in heard.claims
    asked = [said for id, record in records.items() if id.startswith(ask_id(info.id))
             and (said := opened_record(record, info.id, ASKS, _Asks)) is not None]
    asks = max(asked, key=lambda one: one.time, default=None)
    accounts = {
        name: (left, spent)
        for name, (left, spent) in (holding.accounts if holding is not None else {}).items()
        if _can_be(name, left, spent)
    }
    ceilings = holding.ceilings if holding is not None else {}
    return Holder(
        info.id,
        info.name,
        info.own,
        info.active,
        holding is not None,
        not gone and (holding.first if holding is not None else info.founder),
        info.founder,
        gone,
        {name: 0 if gone else left for name, (left, _) in accounts.items()},
        {name: spent for name, (_, spent) in accounts.items()},
        {name: amount for name, amount in (asks.amounts if asks is not None else {}).items() if _can_be(name, amount)},
        {name: most for name, most in ceilings.items() if unit_of(name) == "runs" and _can_be(name, most)},
    )


def _can_be(account: str, *amounts: int) -> bool:
    """Whether a device could say this: one that runs other code must not keep the others from being told of theirs."""
    try:
        check_shared(account)
    except InvalidValue:
        return False
    return all(0 <= amount <= 10**12 for amount in amounts)


async def _keep_heard(home: "Home", records: Iterable[Mapping[str, Any]]) -> Heard:
    devices, found = {info.id for info in await home.devices.all()}, list(records)

    def work(transaction: "Transaction") -> Heard:
        before = _heard(transaction)
        own = {bytes.fromhex(one.body["device"]) for one in transaction.receipts("allowance-reclaimed")}
        after = _merged(before, devices, found, [(lost, home.device_id) for lost in own])
        if after != before:
            transaction.keep(HEARD, msgspec.msgpack.encode(after))
        return after

    return await home.transaction(work)


def _merged(
    heard: Heard, devices: set[bytes], records: Iterable[Mapping[str, Any]], own: Iterable[tuple[bytes, bytes]]
) -> Heard:
    """What was heard, with what records say that their devices signed; in whatever order they come."""
    words, claims = dict(heard.words), {lost: set(by) for lost, by in heard.claims.items()}
    for lost, by in own:
        claims.setdefault(lost, set()).add(by)
    for record in records:
        device = record.get("by")
        if not isinstance(device, bytes) or device not in devices:
            continue
        if (claim := opened_record(record, device, RECLAIMS, _Reclaim)) is not None and claim.lost in devices:
            claims.setdefault(claim.lost, set()).add(device)
        elif (said := opened_record(record, device, HOLDS, _Holding)) is not None:
            last = _holding(words.get(device))
            if last is None or _rank(said) > _rank(last):
                words[device] = msgspec.msgpack.encode(said)
    return Heard(words, {lost: sorted(by) for lost, by in claims.items()})


def _rank(said: _Holding) -> tuple[int, int]:
    """Which of a device's words is the later one; of two under one number (its disk was put back), who spent more."""
    return said.number, sum(spent for _, spent in said.accounts.values())


async def _past(home: "Home", id: str, device: bytes) -> list[Mapping[str, Any]]:
    """The values that a device ever gave to a record, also to one that is deleted; of a purged one there are none."""
    collection, found, before = home.collection(COLLECTION), list[Mapping[str, Any]](), None
    with contextlib.suppress(NotFound):
        while page := await collection.history(id, before=before):
            for change in page:
                if change.device == device:
                    with contextlib.suppress(NotFound, InvalidValue):  # it deleted it then
                        found.append(await collection.at(id, change.hash))
            before = page[-1].oldest
    return found


def _heard(transaction: "Transaction") -> Heard:
    kept = transaction.kept(HEARD)
    return Heard() if kept is None else msgspec.msgpack.decode(kept, type=Heard)


def _holding(kept: bytes | None) -> _Holding | None:
    return None if kept is None else msgspec.msgpack.decode(kept, type=_Holding)
