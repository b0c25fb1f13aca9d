"""Verbs about attachments: into a record's field from a file, and back; what is kept on this device."""

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta

from chez.agent.asking import Placed, plain, read_params, reporting
from chez.agent.ui import Ui
from chez.agent.whereabouts import telling_where
from chez.errors import InvalidValue, NotFound
from chez.records.reference import DEFAULT_TYPE, Blob

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home

__all__ = ("VERBS",)

Name = Annotated[str, Meta(min_length=1, max_length=128)]


class _Field(Placed, frozen=True, kw_only=True):
    collection: Name
    id: Name
    field: Name


class _Attach(_Field, frozen=True, kw_only=True):
    path: str
    media_type: str | None = None
    name: str | None = None


async def attach(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Add a file (an absolute path) and put it into a field of a record that exists."""
    asked = read_params(params, _Attach)
    collection = asked.of(home).collection(asked.collection)
    await collection.get(asked.id)  # before a large file is read for nothing
    guessed = mimetypes.guess_type(asked.name or asked.path, strict=True)[0]
    async with reporting(ui, "attach") as progress:
        blob = await asked.of(home).blobs.add(
            Path(asked.path), media_type=asked.media_type or guessed or DEFAULT_TYPE, name=asked.name,
            progress=progress)
    async with collection.edit(asked.id) as draft:
        draft[asked.field] = blob
    return _shown(blob)


class _Fetch(_Field, frozen=True, kw_only=True):
    path: str
    into_folder: bool = False
    overwrite: bool = False


async def fetch(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write an attachment to a file (an absolute path), or under its own name into a folder."""
    asked = read_params(params, _Fetch)
    blob = await _blob(home, asked)
    path = Path(asked.path)
    if asked.into_folder:
        if not blob.name:
            raise InvalidValue("the attachment has no name of its own", "Give the file's name.")
        # Somebody else may have chosen it: a file that programs look for and people don't see, or an option.
        if blob.name[0] in ".-~":
            raise InvalidValue(f"the attachment's own name begins with {blob.name[0]!r}", "Give the file's name.")
        path /= blob.name
    async with reporting(ui, "fetch") as progress:
        await asked.of(home).blobs.save(blob, path, overwrite=asked.overwrite, progress=progress)
    return {**_shown(blob), "path": str(path)}


class _Keep(_Field, frozen=True, kw_only=True):
    do: Literal["pin", "unpin", "evict", "info"]


async def keep(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Pin, unpin or evict an attachment of a record, and tell how it stands then."""
    asked = read_params(params, _Keep)
    blob = await _blob(home, asked)
    match asked.do:
        case "pin":
            async with reporting(ui, "fetch") as progress:
                await asked.of(home).blobs.pin(blob, progress=progress)
        case "unpin":
            await asked.of(home).blobs.unpin(blob)
        case "evict":
            await asked.of(home).blobs.evict(blob)
        case "info":
            pass
    return {**_shown(blob), **plain(await asked.of(home).blobs.info(blob))}


async def status(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """How the attachments of the home stand."""
    asked = read_params(params, Placed)
    return plain(await asked.of(home).blobs.status())


async def _blob(home: "Home", asked: _Field) -> Blob:
    record = await asked.of(home).collection(asked.collection).get(asked.id)
    found = record.value.get(asked.field)
    if not isinstance(found, Blob):
        raise NotFound(f"the record {asked.id!r} has no attachment in {asked.field!r}", "chez get shows its fields.")
    return found


def _shown(blob: Blob) -> dict[str, Any]:
    return {"id": blob.id, "size": blob.size, "type": blob.media_type, "name": blob.name}


VERBS: Final[Mapping[str, "Verb"]] = telling_where({
    "attach": attach, "blob-keep": keep, "blob-status": status, "fetch": fetch,
})
