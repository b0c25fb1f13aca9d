"""Verbs about the person's devices."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from chez.agent.asking import Params, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.devices import DeviceInfo
    from chez.home.home import Home

__all__ = ("VERBS",)

Which = Annotated[str, Meta(min_length=1, max_length=64)]
"""A device, by its name, its id or the beginning of that."""


async def device_list(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Every device that ever was one of the person's, this one first, those taken out last."""
    read_params(params, Params)
    found = [_shown(info) for info in await home.devices.all()]
    return sorted(found, key=lambda one: (not one["own"], not one["active"]))


class _One(Params, frozen=True, kw_only=True):
    device: Which


async def device_show(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """One device that was not taken out, and those that it let in, as devices."""
    asked = read_params(params, _One)
    info = await home.devices.find(asked.device)
    known = {one.id: one for one in await home.devices.all()}
    return {**_shown(info), "let_in": [_shown(known[id]) for id in info.let_in]}


class _Rename(Params, frozen=True, kw_only=True):
    device: Which
    name: str


async def device_rename(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Call a device differently."""
    asked = read_params(params, _Rename)
    found = await home.devices.find(asked.device)
    await home.devices.rename(found.id, asked.name)
    return _shown(await home.devices.find(found.id))


class _Remove(Params, frozen=True, kw_only=True):
    device: Which
    too: list[Which] = msgspec.field(default_factory=list)


async def device_remove(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take out a device, and with it some that it let in."""
    asked = read_params(params, _Remove)
    chosen = [await home.devices.find(which) for which in (asked.device, *asked.too)]
    await home.devices.remove(chosen[0].id, too=[one.id for one in chosen[1:]])
    ids = {one.id for one in chosen}
    return {"removed": [_shown(info) for info in await home.devices.all() if info.id in ids],
            "addresses": [one.label for one in await home.deposits.addresses() if one.readers]}


class _Rotate(Params, frozen=True, kw_only=True):
    space: str | None = None
    everywhere: bool = False


async def device_rotate(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Start a new epoch in one space, or in all that the person owns."""
    asked = read_params(params, _Rotate)
    return plain(await home.devices.rotate(asked.space, everywhere=asked.everywhere))


def _shown(info: "DeviceInfo") -> dict[str, Any]:
    return {**plain(info), "id": info.id.hex(), "let_in": [id.hex() for id in info.let_in]}


VERBS: "Final[Mapping[str, Verb]]" = {
    "device-list": device_list, "device-remove": device_remove, "device-rename": device_rename,
    "device-rotate": device_rotate, "device-show": device_show,
}
"""The verbs of this module."""
