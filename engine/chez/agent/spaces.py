"""Verbs about spaces: which there are, a new one, how one stands."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.asking import Params, Placed, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home import Home, Space

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
    return await _shown(space) | {"collections": [plain(one) for one in await space.collections()]}


async def _shown(space: "Space") -> dict[str, Any]:
    records = sum(one.records for one in await space.collections())
    return {**plain(space.status()), "private": space.private, "public": space.public, "records": records}


VERBS: "Final[Mapping[str, Verb]]" = {
    "space-create": space_create, "space-list": space_list, "space-show": space_show,
}
"""The verbs of this module."""
