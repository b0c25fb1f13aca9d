"""What a person's devices say of their allowance to each other: what each holds, and what it asks for.

Words, each signed by the device that it is of; nothing is debited or credited by them. A device
says what it holds when shares move, when it is asked to (`chez job allowance`), and when messages were
sent: never when a run starts, for an entry at the relay then would tell when that was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from chez.crypto import CryptoFailed, verify
from chez.errors import NotFound

if TYPE_CHECKING:
    from chez.home.devices import DeviceInfo
    from chez.home.home import Home

__all__ = (
    "COLLECTION",
    "Holder",
    "ask_id",
    "asks_record",
    "ceiling_said",
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


class _Holding(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
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


@dataclass(frozen=True, slots=True)
class Holder:
    """A device of the person, and what it said of its allowance; amounts in thousandths.

    `first` is the device that holds, of accounts it does not name, all; `said` is whether it said anything
    that is here.
    """

    id: bytes = field(repr=False)
    name: str
    own: bool
    active: bool
    said: bool
    first: bool
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


def ask_id(device: bytes) -> str:
    """The id of the record in which a device asks."""
    return f"ask {device.hex()}"


def ceiling_said(devices: Iterable[Holder], account: str, ceiling: int) -> int:
    """An account's ceiling, as the first device said that it was set; or the one that it has."""
    return next((one.ceilings[account] for one in devices if one.first and account in one.ceilings), ceiling)


def holding_record(
    home: "Home", first: bool, accounts: Mapping[str, tuple[int, int]], ceilings: Mapping[str, int]
) -> dict[str, Any]:
    """The record in which a device says what it holds: account -> (left, spent); and the ceilings set there."""
    return _signed(home, HOLDS, _Holding(1, first, dict(accounts), dict(ceilings)))


def asks_record(home: "Home", amounts: Mapping[str, int], now: str) -> dict[str, Any]:
    """The record in which a device says what it lacks."""
    return _signed(home, ASKS, _Asks(1, dict(amounts), now))


def reclaim_id(lost: bytes) -> str:
    """The id of the record that says that a lost device's share was taken over."""
    return f"reclaim {lost.hex()}"


def reclaim_record(home: "Home", lost: bytes) -> dict[str, Any]:
    """The record in which this device says that it took over a lost device's share."""
    return {"by": home.device_id, **_signed(home, RECLAIMS, _Reclaim(1, lost))}


async def reclaimed(home: "Home") -> dict[bytes, str]:
    """The devices whose share was taken over, by id, and the name of the one that said that it did so."""
    names = {info.id: info.name for info in await home.devices.all()}
    found = {}
    for lost in names:
        try:
            record = (await home.collection(COLLECTION).get(reclaim_id(lost))).value
        except NotFound:
            continue
        by = record.get("by")
        said = _opened(record, by, RECLAIMS, _Reclaim) if isinstance(by, bytes) and by in names else None
        if isinstance(by, bytes) and said is not None and said.lost == lost:
            found[lost] = names[by]
    return found


async def holders(home: "Home") -> list[Holder]:
    """The person's devices that are or were, this one first, each with what it said last and signed.

    Of one whose share was taken over, what it spent is all that counts.
    """
    records = {record.id: record.value async for record in home.collection(COLLECTION)}
    gone = await reclaimed(home)
    return [_holder(records, info, info.id in gone) for info in await home.devices.all()]


def _holder(records: Mapping[str, Mapping[str, Any]], info: "DeviceInfo", gone: bool) -> Holder:
    holding = _opened(records.get(holding_id(info.id)), info.id, HOLDS, _Holding)
    asks = _opened(records.get(ask_id(info.id)), info.id, ASKS, _Asks)
    accounts = holding.accounts if holding is not None else {}
    return Holder(
        info.id,
        info.name,
        info.own,
        info.active,
        holding is not None,
        not gone and (holding.first if holding is not None else info.founder),
        {name: 0 if gone else left for name, (left, _) in accounts.items()},
        {name: spent for name, (_, spent) in accounts.items()},
        asks.amounts if asks is not None else {},
        holding.ceilings if holding is not None else {},
    )


def _signed(home: "Home", context: str, said: msgspec.Struct) -> dict[str, Any]:
    body = msgspec.msgpack.encode(said)
    return {"body": body, "signature": home.sign(context, body)}


def _opened(record: Mapping[str, Any] | None, device: bytes, context: str, kind: type[S]) -> S | None:
    """What a device said, or None when it did not say it."""
    if record is None:
        return None
    body, signature = record.get("body"), record.get("signature")
    if not isinstance(body, bytes) or not isinstance(signature, bytes):
        return None
    try:
        verify(device, signature, f"chez/1 application {context}", body)
        return msgspec.msgpack.decode(body, type=kind)
    except (CryptoFailed, msgspec.DecodeError):
        return None
