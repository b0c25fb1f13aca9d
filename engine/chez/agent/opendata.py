"""Verbs about open data: what a person follows and subscribes, and what a publisher puts up.

A publisher's key never comes here: editions are handed out, signed by the command, and handed back.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from chez.agent.asking import Params, paged, plain, read_params
from chez.agent.ui import Ui
from chez.errors import ChezError, InvalidValue, NotFound
from chez.opendata.dcat import jsonld
from chez.opendata.editions import read_formerly
from chez.opendata.finding import search
from chez.opendata.following import (
    Catalogue,
    Dataset,
    Standing,
    add_catalogue,
    catalogues,
    find,
    named,
    remove_catalogue,
    rows_at,
    settle,
    subscribe,
    subscribed,
    trust,
    unsubscribe,
)
from chez.opendata.keys import key_words
from chez.opendata.metadata import About, Card
from chez.opendata.publishing import MAX_DATASETS, Draft, Said, compose, publish

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home

__all__ = ("VERBS",)

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Bytes = Annotated[int, Meta(ge=1, le=2**53)]


class _Address(Params, frozen=True, kw_only=True):
    address: Annotated[str, Meta(max_length=2048)]


class _Named(Params, frozen=True, kw_only=True):
    name: Name


async def data_add(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Follow a catalogue, and fetch it."""
    id = await add_catalogue(home, read_params(params, _Address).address)
    problem = await _in_step(home)
    listing = await catalogues(home, note=True)
    (one,) = [one for one in listing if one.standing.space == id]
    return {**_catalogue(one), "sync": problem, "renewed": _renewed(one for one in listing if one.standing.space != id)}


async def data_remove(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Follow a catalogue no more."""
    return {"space": await remove_catalogue(home, read_params(params, _Named).name)}


class _Search(Params, frozen=True, kw_only=True):
    query: Annotated[str, Meta(max_length=400)] = ""
    theme: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_DATASETS)] = 20


async def data_search(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Find datasets in the catalogues that are followed, the best first, in pages. Nothing is asked of anybody."""
    asked = read_params(params, _Search)
    known = await catalogues(home)
    here = {one.standing.space: one for one in await subscribed(home)}
    found = search(known, asked.query, asked.theme)
    mine = {(one.listed.catalogue.standing.space, one.id) for one in here.values() if one.listed is not None}
    count = await paged(ui, "datasets", (
        {**plain(hit.metadata), "rows": hit.metadata.rows, "catalogue": hit.catalogue.standing.space,
         "subscribed": (hit.catalogue.standing.space, hit.metadata.id) in mine} for hit in found[:asked.limit]))
    return {"datasets": count, "found": len(found), "catalogues": [_catalogue(one) for one in known]}


async def data_show(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What a catalogue says of a dataset; for one that is subscribed also how it stands here, its rows checked."""
    asked = read_params(params, _Named)
    listed = await find(home, asked.name)
    catalogue = listed.catalogue
    place = (catalogue.standing.space, listed.metadata.id)
    mine = any(one.listed is not None and (one.listed.catalogue.standing.space, one.id) == place
               for one in await subscribed(home))
    one = await named(home, "/".join(place), check=True) if mine else None
    return {**plain(listed.metadata), "rows": listed.metadata.rows, "takes": listed.metadata.takes,
            "catalogue": catalogue.standing.space,
            "publisher": catalogue.standing.publisher, "words": _words(catalogue.standing),
            "formerly": [key_words(bytes.fromhex(key)) for key in catalogue.standing.formerly],
            "by": catalogue.card.name if catalogue.card else None, "here": None if one is None else _dataset(one)}


async def data_list(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The datasets that are subscribed, and the catalogues that are followed."""
    read_params(params, Params)
    return {"datasets": [_dataset(one) for one in await subscribed(home)],
            "catalogues": [_catalogue(one) for one in await catalogues(home)]}


class _Subscribe(_Named, frozen=True, kw_only=True):
    room: Bytes | None = None


async def data_subscribe(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Subscribe a dataset, and fetch it."""
    asked = read_params(params, _Subscribe)
    name = asked.name
    before = await catalogues(home)  # a new key is told of where it is noted
    await subscribe(home, name, room=asked.room)
    problem = await _in_step(home)
    renewed = _renewed([*before, *await catalogues(home, note=True)])
    return {**_dataset(await named(home, name, check=True, note=True)), "sync": problem, "renewed": renewed}


async def data_unsubscribe(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Free a dataset's space."""
    return {"space": await unsubscribe(home, read_params(params, _Named).name)}


async def data_update(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Bring everything into step, and check all that is followed."""
    read_params(params, Params)
    problem = await _in_step(home)
    problems = await settle(home)
    again = await _in_step(home)
    listing = await catalogues(home, note=True)  # once: a new key is told of where it is noted
    return {"datasets": [_dataset(one) for one in await subscribed(home, check=True, note=True)],
            "catalogues": [_catalogue(one) for one in listing], "sync": again or problem, "problems": problems}


class _Trust(_Named, frozen=True, kw_only=True):
    words: Annotated[str, Meta(max_length=200)]


async def data_trust(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Say by its words which of several keys goes on as a publisher."""
    asked = read_params(params, _Trust)
    key = await trust(home, asked.name, asked.words)
    return {"key": key, "words": key_words(bytes.fromhex(key))}


class _Room(_Named, frozen=True, kw_only=True):
    bytes: Bytes | None = None
    records: Annotated[int, Meta(ge=1, le=2**53)] | None = None


async def data_room(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """How much of this device a followed space takes and may take, of a dataset, a catalogue or any other; or more."""
    asked = read_params(params, _Room)
    try:
        space = home.space((await named(home, asked.name)).standing.space)
    except NotFound:
        space = home.space(asked.name)
    problem = ""
    if asked.bytes is not None or asked.records is not None:
        await space.give_room(bytes=asked.bytes, records=asked.records)
        problem = await _in_step(home)
    room = await space.room()
    if room is None:
        raise NotFound(f"the space {space.name!r} has no bound", "Spaces that you follow have one.")
    return {"space": space.id, "name": space.name, **plain(room), "sync": problem}


async def data_versions(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The editions of a subscribed dataset that are here, the newest first."""
    one = await named(home, read_params(params, _Named).name)
    if one.standing.problem is not None:
        raise one.standing.problem
    chain = one.standing.chain
    return {**_dataset(one), "editions": [
        {"number": edition.number, "time": edition.time, "rows": edition.rows, "added": edition.added,
         "changed": edition.changed, "removed": edition.removed, "whole": edition.whole, "hash": edition.hash.hex()}
        for edition in (signed.edition for signed in reversed(chain.signed))]}


class _At(_Named, frozen=True, kw_only=True):
    number: Annotated[int, Meta(ge=1)]


async def data_rows(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """All rows of a dataset as of an edition, in pages, checked against what was signed."""
    asked = read_params(params, _At)
    content = await rows_at(home, asked.name, asked.number)
    count = await paged(ui, "rows", ({"table": row.table, "id": row.id, "value": row.value} for row in content))
    return {"rows": count, "number": asked.number}


async def data_export(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The catalogues that are followed, each as JSON-LD (DCAT-AP 3)."""
    read_params(params, Params)
    found = []
    for one in await catalogues(home):
        if one.standing.problem is not None:
            raise one.standing.problem
        if one.card is not None:
            found.append(jsonld(one.card, one.standing.publisher, one.datasets.values()))
    return found


# --- publishing ----------------------------------------------------------------------


class _Compose(Params, frozen=True, kw_only=True):
    publisher: Annotated[bytes, Meta(min_length=32, max_length=32)]
    card: Card
    catalogue: Annotated[str, Meta(min_length=1, max_length=64)]
    abouts: Annotated[list[About], Meta(max_length=MAX_DATASETS)] = msgspec.field(default_factory=list)
    withdrawn: list[str] = msgspec.field(default_factory=list)
    file: str | None = None
    partly: bool = False
    anew: bool = False
    time: Annotated[int, Meta(ge=0)]
    formerly: Annotated[bytes, Meta(max_length=4096)] = b""
    renew: bool = False

    @property
    def said(self) -> Said:
        """What is to be published. Raises `InvalidValue`."""
        if self.file is not None and len(self.abouts) != 1:
            raise InvalidValue("a file is the data of one dataset", "Say what it is with one about.toml.")
        return Said(self.publisher, self.card, self.catalogue, tuple(self.abouts), tuple(self.withdrawn),
                    None if self.file is None else Path(self.file), self.partly, self.anew,
                    formerly=read_formerly({"formerly": self.formerly}) if self.formerly else ())


class _Publish(_Compose, frozen=True, kw_only=True):
    signed: list[tuple[bytes, bytes]]


async def publisher_compose(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The editions to sign; the rejected rows of a file go out in pages."""
    asked = read_params(params, _Compose)
    if asked.renew:
        home.space(asked.catalogue)  # one that there is: it is not made
    draft = await compose(home, asked.said, asked.time)
    await paged(ui, "rejects", draft.rejects)
    return {"editions": [edition.encoded.hex() for edition in draft.editions], "whole": draft.whole,
            "rejected": draft.rejected}


async def publisher_publish(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write signed editions, and send them."""
    asked = read_params(params, _Publish)
    draft = await publish(home, asked.said, asked.time, asked.signed)
    problem = await _in_step(home) if draft.whole else ""
    return {"published": [_published(draft, number) for number in range(len(draft.parts))], "whole": draft.whole,
            "sync": problem, "address": home.space(asked.catalogue).address}


def _published(draft: Draft, number: int) -> dict[str, Any]:
    edition = draft.parts[number].edition
    return {"dataset": edition.dataset, "number": edition.number, "rows": edition.rows, "added": edition.added,
            "changed": edition.changed, "removed": edition.removed}


# --- shown ---------------------------------------------------------------------------


async def _in_step(home: "Home") -> str:
    """Sync; why that did not work, in words, as what is here stays and is looked at all the same."""
    try:
        await home.sync()
    except ChezError as error:
        return str(error)
    return ""


def _words(standing: Standing) -> str | None:
    return key_words(bytes.fromhex(standing.publisher)) if standing.publisher else None


def _stands(standing: Standing) -> dict[str, Any]:
    problem, last = standing.problem, standing.chain.last
    return {"space": standing.space, "head": standing.chain.head, "missing": standing.missing,
            "whole": last is None or last.whole, "problem": None if problem is None else problem.message,
            "hint": None if problem is None else problem.hint, "succeeded": standing.succeeded,
            "formerly": [key_words(bytes.fromhex(key)) for key in standing.formerly],
            "rivals": [key_words(bytes.fromhex(key)) for key in standing.rivals]}


def _catalogue(one: Catalogue) -> dict[str, Any]:
    card = one.card
    return {**_stands(one.standing), "full": plain(one.full), "name": one.standing.name,
            "publisher": one.standing.publisher, "words": _words(one.standing), "by": card.name if card else None,
            "contact": card.contact if card else None,
            "title": card.title if card else None, "datasets": len(one.datasets), "unreadable": one.unreadable}


def _renewed(listing: Iterable[Catalogue]) -> list[dict[str, Any]]:
    return [_catalogue(one) for one in listing if one.standing.succeeded]


def _dataset(one: Dataset) -> dict[str, Any]:
    last = one.standing.chain.last
    return {**_stands(one.standing), "full": plain(one.full), "dataset": one.id, "here": one.here,
            "words": _words(one.standing),
            "catalogue": None if one.listed is None else one.listed.catalogue.standing.space,
            "title": None if one.listed is None else one.listed.metadata.title,
            "edition": one.standing.chain.number, "rows": 0 if last is None else last.rows,
            "tables": [] if last is None else list(last.tables)}


VERBS: "Final[Mapping[str, Verb]]" = {
    "data-add": data_add, "data-export": data_export, "data-list": data_list, "data-remove": data_remove,
    "data-room": data_room, "data-rows": data_rows, "data-search": data_search, "data-show": data_show,
    "data-subscribe": data_subscribe, "data-trust": data_trust,
    "data-unsubscribe": data_unsubscribe, "data-update": data_update, "data-versions": data_versions,
    "publisher-compose": publisher_compose, "publisher-publish": publisher_publish,
}
"""The verbs of this module."""
