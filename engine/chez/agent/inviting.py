"""Verbs about coming into spaces: invitations made and revoked, joining, following."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.asking import Params, Placed, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home
    from chez.home.invitations import Invitation
    from chez.home.sharing import RoleName

__all__ = ("VERBS",)

Role = Annotated[str, Meta(pattern="^(owner|writer|reader)$")]


class _Invite(Placed, frozen=True, kw_only=True):
    role: Role = "writer"
    uses: int = 1
    seconds: Annotated[float, Meta(gt=0, le=366 * 86_400)] = 7 * 86_400.0


async def space_invite(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Make an invitation; its link is in the result."""
    asked = read_params(params, _Invite)
    role: RoleName = asked.role  # type: ignore[assignment]
    made = await asked.of(home).invite(role, uses=asked.uses, expires=timedelta(seconds=asked.seconds))
    return _shown(made)


class _Code(Placed, frozen=True, kw_only=True):
    role: Role = "writer"


async def space_invite_by_code(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Show a code, wait for the guest, ask, and let it in."""
    asked = read_params(params, _Code)
    role: RoleName = asked.role  # type: ignore[assignment]
    async with asked.of(home).invite_by_code(role) as invitation:
        await ui.show({"code": invitation.code})
        member = await invitation.joined(ui.ask)
    return {"id": member.id.hex(), "name": member.name, "role": member.role, "devices": list(member.devices)}


async def space_invitations(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The invitations of a space, the newest first."""
    asked = read_params(params, Placed)
    return [_shown(one) for one in await asked.of(home).invitations()]


class _Revoke(Placed, frozen=True, kw_only=True):
    invitation: Annotated[str, Meta(min_length=4, max_length=64)]


async def space_revoke(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Let an invitation be worth nothing any more."""
    asked = read_params(params, _Revoke)
    return _shown(await asked.of(home).revoke(asked.invitation))


async def space_address(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What lets anybody read a public space."""
    asked = read_params(params, Placed)
    return {"address": asked.of(home).address}


class _Join(Params, frozen=True, kw_only=True):
    link: Annotated[str, Meta(min_length=1, max_length=1 << 20)]
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 60.0


async def join(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Come into a space by its link, an invitation's link or its code, and fetch what is in it."""
    asked = read_params(params, _Join)
    return await _came(home, (await home.join(asked.link, timeout=asked.timeout)).id)


class _Follow(Params, frozen=True, kw_only=True):
    address: Annotated[str, Meta(min_length=1, max_length=4096)]


async def follow(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Read a public space, and fetch what is in it."""
    asked = read_params(params, _Follow)
    return await _came(home, (await home.follow(asked.address)).id)


async def _came(home: "Home", id: str) -> Any:
    await home.sync()
    space = home.space(id)
    return {**plain(space.status()), "role": space.role, "records": sum(
        one.records for one in await space.collections())}


def _shown(one: "Invitation") -> dict[str, Any]:
    shown: dict[str, Any] = plain(one)
    return shown


VERBS: "Final[Mapping[str, Verb]]" = {
    "follow": follow, "join": join, "space-address": space_address, "space-invitations": space_invitations,
    "space-invite": space_invite, "space-invite-by-code": space_invite_by_code, "space-revoke": space_revoke,
}
"""The verbs of this module."""
