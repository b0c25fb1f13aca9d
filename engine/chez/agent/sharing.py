"""Verbs about who shares a space, and about what its owners say of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.asking import Placed, plain, read_params
from chez.agent.ui import Ui
from chez.errors import NotFound

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home
    from chez.home.sharing import Member, RoleName
    from chez.home.space import Space

__all__ = ("VERBS",)

Role = Annotated[str, Meta(pattern="^(owner|writer|reader)$")]


async def space_members(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Who shares a space: owners first, then writers, then readers."""
    asked = read_params(params, Placed)
    return [_member(one) for one in await asked.of(home).members()]


class _Add(Placed, frozen=True, kw_only=True):
    who: Annotated[str, Meta(min_length=1, max_length=1 << 20)]
    role: Role = "writer"


async def space_add(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Let a contact in, or the person of a card; with the link by which it comes."""
    asked = read_params(params, _Add)
    role: RoleName = asked.role  # type: ignore[assignment]
    space = asked.of(home)
    member = _member(await space.add(asked.who, role))
    return {**_done(space), "member": member, "link": _link(space)}


class _Who(Placed, frozen=True, kw_only=True):
    who: Annotated[str, Meta(min_length=1, max_length=64)]


class _Role(_Who, frozen=True, kw_only=True):
    role: Role


async def space_role(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Give a member another role."""
    asked = read_params(params, _Role)
    role: RoleName = asked.role  # type: ignore[assignment]
    space = asked.of(home)
    return {**_done(space), "member": _member(await space.set_role(asked.who, role))}


async def space_member(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """One member, with its devices."""
    asked = read_params(params, _Who)
    return {**_done(asked.of(home)), "member": _member(await asked.of(home).member(asked.who))}


async def space_remove(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take a member out."""
    asked = read_params(params, _Who)
    space = asked.of(home)
    return {**_done(space), "member": _member(await space.remove(asked.who))}


async def space_transfer(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Make another member an owner, and oneself a writer."""
    asked = read_params(params, _Who)
    space = asked.of(home)
    return {**_done(space), "member": _member(await space.transfer(asked.who))}


async def space_leave(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """End one's part in a space."""
    space = read_params(params, Placed).of(home)
    await space.leave()
    return _done(space)


class _Rename(Placed, frozen=True, kw_only=True):
    name: str


async def space_rename(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Call a space differently, for all members."""
    asked = read_params(params, _Rename)
    space = asked.of(home)
    await space.rename(asked.name)
    return _done(space)


class _Archive(Placed, frozen=True, kw_only=True):
    archived: bool = True


async def space_archive(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Put a space away, for all members, or take it out again."""
    asked = read_params(params, _Archive)
    space = asked.of(home)
    await space.archive(asked.archived)
    return {**_done(space), "archived": space.archived}


class _Checkpoint(Placed, frozen=True, kw_only=True):
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 600.0


async def space_checkpoint(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write what is at a space's relay smaller."""
    asked = read_params(params, _Checkpoint)
    done = await asked.of(home).checkpoint(timeout=asked.timeout)
    return None if done is None else plain(done)


class _Usage(Placed, frozen=True, kw_only=True):
    relay: Annotated[str, Meta(max_length=512)] | None = None


async def space_usage(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """How much room a space takes at a relay."""
    asked = read_params(params, _Usage)
    return plain(await asked.of(home).usage(relay=asked.relay))


async def space_move(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take a space to another place at its relay, or to another relay; gives the link by which members come."""
    asked = read_params(params, _Usage)
    space = asked.of(home)
    await space.move(relay=asked.relay)
    return {**_done(space), "link": _link(space)}


async def space_link(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What a member needs to find a space."""
    return {"link": read_params(params, Placed).of(home).link()}


async def space_forget(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Erase a space on this device that the person has no part in."""
    space = read_params(params, Placed).of(home)
    done = _done(space)
    await space.forget()
    return done


async def space_delete(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Delete a space of which the person is the only member."""
    space = read_params(params, Placed).of(home)
    done = _done(space)
    await space.delete()
    return done


def _done(space: "Space") -> dict[str, Any]:
    return {"space": space.id, "name": space.name}


def _member(one: "Member") -> dict[str, Any]:
    return {**plain(one), "id": one.id.hex()}


def _link(space: "Space") -> str | None:
    try:
        return space.link()
    except NotFound:  # it is at no relay yet
        return None


VERBS: "Final[Mapping[str, Verb]]" = {
    "space-add": space_add, "space-archive": space_archive,
    "space-checkpoint": space_checkpoint, "space-delete": space_delete,
    "space-forget": space_forget, "space-leave": space_leave, "space-link": space_link,
    "space-member": space_member, "space-members": space_members, "space-move": space_move,
    "space-remove": space_remove,
    "space-rename": space_rename, "space-role": space_role, "space-transfer": space_transfer,
    "space-usage": space_usage,
}
"""The verbs of this module."""
