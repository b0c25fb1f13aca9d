"""Verbs about deposits: addresses for organisations, and what they left."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chez.agent.asking import Params, paged, plain, read_params
from chez.agent.ui import Ui
from chez.deposits.address import Quota
from chez.deposits.types import RecordType, read_type

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.deposits.reports import DepositAddress
    from chez.home.home import Home

__all__ = ("VERBS",)

Which = Annotated[str, Meta(min_length=1, max_length=128)]


class _New(Params, frozen=True, kw_only=True):
    label: Which
    types: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=64)] = msgspec.field(
        default_factory=list)
    described: Annotated[list[Annotated[str, Meta(max_length=1 << 16)]], Meta(max_length=64)] = msgspec.field(
        default_factory=list)
    card: Annotated[str, Meta(max_length=1 << 16)] | None = None
    records: int = Quota().records
    bytes: int = Quota().bytes
    seconds: Annotated[float, Meta(gt=0, le=3660 * 86_400)] = 366 * 86_400.0
    acks: Literal["none", "soon", "later"] = "later"


async def deposit_address_new(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Make a deposit address; its text is in the result."""
    asked = read_params(params, _New)
    types: list[str | RecordType] = [*asked.types, *(read_type(one.encode()) for one in asked.described)]
    return _shown(await home.deposits.new(
        asked.label, types, card=asked.card, quota=Quota(asked.records, asked.bytes),
        expires=timedelta(seconds=asked.seconds), acks=asked.acks))


async def deposit_address_list(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Every deposit address, the oldest first."""
    read_params(params, Params)
    return [_shown(one) for one in await home.deposits.addresses()]


class _Which(Params, frozen=True, kw_only=True):
    which: Which


async def deposit_address_show(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """One deposit address, with who asks at it."""
    return _shown(await home.deposits.address(read_params(params, _Which).which))


async def deposit_address_revoke(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take nothing more at a deposit address."""
    return _shown(await home.deposits.revoke(read_params(params, _Which).which))


async def deposit_address_renew(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Put a new deposit address in the place of one; its text is in the result."""
    return _shown(await home.deposits.renew(read_params(params, _Which).which))


class _Allow(_Which, frozen=True, kw_only=True):
    words: Annotated[str, Meta(min_length=1, max_length=256)]


async def deposit_address_allow(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Say whose a deposit address is, by the words of the organisation's key."""
    asked = read_params(params, _Allow)
    return _shown(await home.deposits.allow(asked.which, asked.words))


class _Deposits(Params, frozen=True, kw_only=True):
    which: Which | None = None


async def deposits(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What organisations left, the first first, in pages."""
    return {"deposits": await paged(ui, "deposits", await home.deposits.all(read_params(params, _Deposits).which))}


def _shown(one: "DepositAddress") -> dict[str, Any]:
    shown: dict[str, Any] = plain(one)
    for applicant in shown["applicants"]:
        applicant.pop("key")  # its words stand for it
    return shown


VERBS: "Final[Mapping[str, Verb]]" = {
    "deposit-address-allow": deposit_address_allow, "deposit-address-list": deposit_address_list,
    "deposit-address-new": deposit_address_new, "deposit-address-renew": deposit_address_renew,
    "deposit-address-revoke": deposit_address_revoke,
    "deposit-address-show": deposit_address_show, "deposits": deposits,
}
"""The verbs of this module."""
