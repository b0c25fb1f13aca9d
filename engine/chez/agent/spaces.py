"""Verbs about spaces: which there are, a new one, how one stands, what in it does not count."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.asking import Params, Placed, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.evidence import Evidence
    from chez.home.home import Home
    from chez.home.space import Space

__all__ = ("VERBS",)


async def space_list(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The spaces of the home, the private one first."""
    read_params(params, Params)
    return [await _shown(space) for space in await home.spaces()]


class _Create(Params, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    relay: str | None = None
    public: bool = False


async def space_create(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Make a space."""
    asked = read_params(params, _Create)
    return await _shown(await home.create_space(asked.name, relay=asked.relay, public=asked.public))


async def space_show(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """How a space stands, and its collections."""
    asked = read_params(params, Placed)
    space = asked.of(home)
    return await _shown(space) | {"members": len(await space.members()),
                                  "collections": [plain(one) for one in await space.collections()]}


async def space_audit(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What does not count, in one space or all, the alarms about relays, and where a new epoch is owed."""
    asked = read_params(params, Placed)
    names = {space.id: space.name for space in await home.spaces()}
    if asked.space is not None:
        names = {(only := asked.of(home)).id: only.name}
    found = [_finding(one, names) for one in await home.audit() if one.space in names]
    found += [{"kind": "relay", "space": space, "space_name": names[space], "relay": alarm.relay,
               "device": alarm.author.hex(), "name": alarm.name, "offset": alarm.offset, "hidden": alarm.hidden}
              for alarm in await home.alarms() if (space := alarm.space.hex()) in names]
    return found + [{"kind": "owed", "space": one.id, "space_name": one.name}
                    for one in (await home.status()).spaces if one.owed and one.id in names]


def _finding(one: "Evidence", names: Mapping[str, str]) -> dict[str, Any]:
    return {**plain(one), "device": one.device.hex(), "space_name": names[one.space]}


class _Pick(Params, frozen=True, kw_only=True):
    entry: Annotated[str, Meta(min_length=8, max_length=64)]


async def space_pick(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Say which entry of a fork counts; how that stands then, for beyond a removal none does."""
    asked = read_params(params, _Pick)
    await home.pick(asked.entry)
    names = {space.id: space.name for space in await home.spaces()}
    return next(_finding(one, names) for one in await home.audit()
                if one.kind == "fork" and any(entry.startswith(asked.entry.lower()) for entry in one.entries))


async def _shown(space: "Space") -> dict[str, Any]:
    records = sum(one.records for one in await space.collections())
    return {**plain(space.status()), "private": space.private, "public": space.public, "role": space.role,
            "archived": space.archived, "records": records}


VERBS: "Final[Mapping[str, Verb]]" = {
    "space-audit": space_audit, "space-create": space_create, "space-list": space_list, "space-pick": space_pick,
    "space-show": space_show,
}
"""The verbs of this module."""
