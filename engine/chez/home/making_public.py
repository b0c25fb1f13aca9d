"""The public space in which somebody publishes: a city its open data, a provider the offers of its jobs."""

from typing import TYPE_CHECKING

from chez.errors import NotAllowed, NotFound

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space

__all__ = ("make_public",)


async def make_public(home: "Home", name: str) -> "Space":
    """The public space of this name, which is made if there is none.

    Of several the one that is this person's own, or else that it may write in: whoever is followed calls a space as
    they like. Raises `NotAllowed` for one that is not public, or that this home can't write in.
    """
    its = [space for space in await home.spaces()
           if space.name == name and space.public and space.role in ("owner", "writer")]
    own = [space for space in its if space.role == "owner"] or its
    if len(own) == 1:
        return own[0]
    try:
        space = home.space(name)
    except NotFound:
        return await home.create_space(name, public=True)
    if not space.public or space.role not in ("owner", "writer"):
        raise NotAllowed(f"{name!r} is no public space of yours", "Choose another name.")
    return space
