"""Verbs about contacts: the person's own card, and the persons one knows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.asking import Params, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.contacts import Contact
    from chez.home.home import Home

__all__ = ("VERBS",)

CardText = Annotated[str, Meta(max_length=1 << 20)]
Which = Annotated[str, Meta(min_length=1, max_length=64)]
"""A contact, by its name, its id or the beginning of that."""


async def card(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The person's own card."""
    read_params(params, Params)
    return {"card": await home.card()}


async def contact_list(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Every contact, by name."""
    read_params(params, Params)
    return [_shown(one) for one in await home.contacts.all()]


class _Add(Params, frozen=True, kw_only=True):
    card: CardText
    name: str | None = None


async def contact_add(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Keep a person's card, or what is new in it."""
    asked = read_params(params, _Add)
    return _shown(await home.contacts.add(asked.card, asked.name))


class _One(Params, frozen=True, kw_only=True):
    contact: Which


async def contact_show(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """A contact with its card, the safety words, and the spaces that are shared with it."""
    asked = read_params(params, _One)
    found = await home.contacts.find(asked.contact)
    spaces = [space.name for space in await home.spaces() if any(one.id == found.id for one in await space.members())]
    return {**_shown(found), "card": found.card, "words": await home.contacts.words(found.id), "spaces": spaces}


class _Verify(_One, frozen=True, kw_only=True):
    verified: bool = True


async def contact_verify(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Say that safety words were compared, or take it back."""
    asked = read_params(params, _Verify)
    return _shown(await home.contacts.verify(asked.contact, asked.verified))


async def contact_remove(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Forget a contact."""
    asked = read_params(params, _One)
    return _shown(await home.contacts.remove(asked.contact))


def _shown(one: "Contact") -> dict[str, Any]:
    shown: dict[str, Any] = {**plain(one), "id": one.id.hex()}
    del shown["card"]  # long, and asked for by itself
    return shown


VERBS: "Final[Mapping[str, Verb]]" = {
    "card": card, "contact-add": contact_add, "contact-list": contact_list, "contact-remove": contact_remove,
    "contact-show": contact_show, "contact-verify": contact_verify,
}
"""The verbs of this module."""
