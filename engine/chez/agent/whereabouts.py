"""Where a record is that a verb did not find: in the trash, or in another space than was asked about."""

from collections.abc import Mapping
from functools import wraps
from shlex import quote
from typing import TYPE_CHECKING, Any

from chez.agent.ui import Ui
from chez.errors import ChezError, NotFound
from chez.shown import NO_RECORD

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home
    from chez.home.space import Space

__all__ = ("spaces_with", "telling_where")


def telling_where(verbs: "Mapping[str, Verb]") -> "dict[str, Verb]":
    """Verbs about one record, each telling where it is if it is not where it was looked for."""
    return {name: _telling(verb) for name, verb in verbs.items()}


def _telling(verb: "Verb") -> "Verb":
    @wraps(verb)
    async def telling(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
        try:
            return await verb(home, params, ui)
        except NotFound as error:
            collection, id = params.get("collection"), params.get("id")
            if error.hint not in ("", NO_RECORD) or not (isinstance(collection, str) and isinstance(id, str)):
                raise
            found = await _hint(home, home.space(params.get("space")), collection, id)
            raise NotFound(error.message, found or error.hint) from None

    return telling


async def _hint(home: "Home", space: "Space", collection: str, id: str) -> str:
    """What to do where a space has no such record; nothing where it has it."""
    try:
        if await _has(space, collection, id):
            return ""
        place = "" if space.private else f" --space {quote(space.name)}"
        if await _had(space, collection, id):
            return f"It was deleted: chez undelete {collection} {quote(id)}{place} brings it back."
        if found := [one for one in await home.spaces() if await _has(one, collection, id)]:
            return spaces_with(found)
        if collection in {info.name for info in await space.collections()}:
            return f"chez ls {collection}{place} lists those that there are"
    except ChezError:  # said of what went wrong already
        return ""
    return "chez ls shows which collections there are"


def spaces_with(found: "list[Space]") -> str:
    """How to ask for what is in other spaces."""
    names = ", ".join(repr(one.name) for one in found[:3])
    return f"It is in the space{'s' if len(found) > 1 else ''} {names}: --space {quote(found[0].name)}"


async def _has(space: "Space", collection: str, id: str) -> bool:
    try:
        await space.collection(collection).get(id)
    except NotFound:
        return False
    return True


async def _had(space: "Space", collection: str, id: str) -> bool:
    try:
        await space.collection(collection).history(id, limit=1)
    except NotFound:
        return False
    return True
