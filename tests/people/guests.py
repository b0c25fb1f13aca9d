"""Guests by an invitation's link: one is made and known at the relay, and one asks while nobody answers."""

from typing import Final

import pytest

import chez
from chez.errors import Unanswered

__all__ = ("SOON", "asked", "invited")

SOON: Final = 0.4
"""Seconds that a guest waits for an answer that does not come."""


async def invited(space: chez.Space, owner: chez.Home, **terms: object) -> str:
    """The link of a new invitation, which the relay knows of."""
    made = await space.invite(**terms)  # type: ignore[arg-type]
    await owner.sync()
    assert made.link is not None
    return made.link


async def asked(guest: chez.Home, link: str) -> None:
    """Ask to be let in while nobody answers."""
    with pytest.raises(Unanswered, match="waits at"):
        await guest.join(link, timeout=SOON)
