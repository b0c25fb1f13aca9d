"""The publisher's side: a file becomes the next edition of a dataset, and what is said of it one of the catalogue.

The key never comes into the home. So it goes in two steps, each a function of the same file: `compose` writes nothing
and gives the editions to sign; `publish` composes again, and if the very same editions come out, writes rows, editions
and receipts in one transaction. Devices see all of that, or nothing. What was killed between the two is begun again.

A large change is written `AT_ONCE` rows at a time, each an edition of its own: until the last one it is not `whole`.
Publish from one device of the home at a time: another's editions are known when they have come.

A key that succeeds another first signs what that signed: an edition of each dataset, in which nothing changes, and then
one of the catalogue. So from then on no word of the former key counts anywhere.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chez.connectors import Reject
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.making_public import make_public
from chez.opendata.editions import (
    COLLECTION,
    KEPT,
    SUCCESSION,
    Chain,
    Edition,
    before_hash,
    pack_formerly,
    record_of,
)
from chez.opendata.errors import DataInvalid
from chez.opendata.held import content_of, filled, own_chain_of
from chez.opendata.loading import Loaded, load, metadata_of
from chez.opendata.metadata import CARD, DATASETS, PUBLISHER, About, Card, Metadata, read_metadata, require_readable
from chez.opendata.rows import Change, Content, Digest, Row, canonical, changes, pack_before
from chez.query.followed import FOLLOWED, PUBLISHED, first_table
from chez.shown import listed as shown
from chez.spaces.public import Address
from chez.succession import Succession, check_chain

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space
    from chez.home.transaction import Transaction

__all__ = ("AT_ONCE", "CATALOGUE", "MAX_DATASETS", "Draft", "Part", "Said", "compose", "publish")

CATALOGUE: Final = "catalogue"
"""What a catalogue is called as a dataset."""

AT_ONCE: Final = 5_000
"""Rows of one transaction: it holds the home up for a second or two."""

RENEWED_AT_ONCE: Final = 100
"""Datasets that a new key signs in one transaction."""

_LIVE: Final = ("1MIN", "10MIN", "12HRS", "15MIN", "CONT", "DAILY_2", "HOURLY", "TRIHOURLY", "UPDATE_CONT")

MAX_DATASETS: Final = 5_000
"""Datasets of one catalogue: everybody reads all that is said of them."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is published: by whom, in which catalogue, about which datasets, and from which file the data of one."""

    publisher: bytes
    card: Card
    catalogue: str
    abouts: tuple[About, ...] = ()
    withdrawn: tuple[str, ...] = ()
    file: Path | None = None
    partly: bool = False
    """Whether a file is published although some of its rows can't be read."""
    anew: bool = False
    """Whether a chain of editions that is not readable any more is let go, and a new one begun after its numbers."""
    at_once: int = AT_ONCE
    """Rows of one edition."""
    formerly: tuple[Succession, ...] = ()
    """How the publisher's key came to be, where it succeeds another."""

    @property
    def former(self) -> frozenset[bytes]:
        """The keys that the publisher had before."""
        return frozenset(one.old for one in self.formerly)


@dataclass(frozen=True, slots=True)
class Part:
    """The next edition of one space: what is written, and what is signed."""

    space: "Space"
    edition: Edition
    made: tuple[Change, ...] = field(repr=False)
    before: bytes = field(repr=False)
    formerly: tuple[Succession, ...] = ()
    """How its key came to be, where the space does not tell it yet."""
    oldest: int = 1
    """The oldest edition that stays."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be published: for each space that changes its next edition."""

    parts: tuple[Part, ...]
    whole: bool = True
    """Whether nothing is left to publish after this."""
    rejected: int = 0
    rejects: tuple[Reject, ...] = field(default=(), repr=False)

    @property
    def editions(self) -> tuple[Edition, ...]:
        """What is to be signed."""
        return tuple(part.edition for part in self.parts)


async def compose(home: "Home", said: Said, time: int) -> Draft:
    """The next editions, still to be signed; `time` in Unix seconds. Nothing but empty spaces is written.

    A file with rows that can't be read gives no edition, unless it is published `partly`. Raises `InvalidValue` for
    what can't be published, `NotAllowed` for another publisher's space, `NotFound` while the home has no relay, and
    as `connectors.read`.
    """
    if said.file is not None and any(about.id == said.catalogue for about in said.abouts):
        raise InvalidValue(f"{said.catalogue!r} is the catalogue, and can't be a dataset too", "Give it another id.")
    check_chain("publisher", said.formerly, said.publisher)
    catalogue = await make_public(home, said.catalogue)
    there = await _own_chain(catalogue, said, CATALOGUE)
    listed = await content_of(catalogue, (DATASETS, PUBLISHER))
    # One that is begun anew does not tell which key signed it: a former one may have, and the datasets.
    if there.last.publisher != said.publisher if there.last is not None else there.after and said.formerly:
        return await _renewal(home, said, catalogue, there, listed, time)
    parts: list[Part] = []
    loaded, whole = None, True
    known = {about.id: _before(listed, about.id) for about in said.abouts}
    wanted: dict[str, Metadata] = {}
    for about in said.abouts:
        before = known[about.id]
        if said.file is not None:
            loaded = await asyncio.to_thread(load, said.file, about, before.tables if before else ())
            if loaded.rejected and not said.partly:
                return Draft((), False, loaded.rejected, tuple(loaded.rejects))
        wanted[about.id] = metadata_of(about, loaded, before)
        if loaded is not None:
            part, whole, after = await _data(home, said, about, loaded, wanted[about.id], time)
            wanted[about.id] = before if before is not None and _stands(before, after) else after
            parts += [part] if part else []
    if whole and (part := _listing(catalogue, there, listed, said, wanted, time)) is not None:
        parts.append(part)
    rejected, rejects = (loaded.rejected, tuple(loaded.rejects)) if loaded else (0, ())
    return Draft(tuple(parts), whole, rejected, rejects)


async def publish(
    home: "Home", said: Said, time: int, signed: Sequence[tuple[bytes, bytes]]
) -> Draft:
    """Write editions, as they were composed at that time, each with its signature; durable when this returns.

    Raises as `compose`; `NotAllowed` when others come out now than were signed, `DataInvalid` for one that is not
    signed.
    """
    draft = await compose(home, said, time)
    if [edition.encoded for edition in draft.editions] != [body for body, _ in signed]:
        raise NotAllowed("what would be published is not what was signed",
                         "The file, or the catalogue, changed meanwhile: publish again.")
    records = [record_of(part.edition, signature, part.before)
               for part, (_, signature) in zip(draft.parts, signed, strict=True)]

    pruned = [await _pruned(part) for part in draft.parts]

    def work(transaction: "Transaction") -> None:
        for part, record, gone in zip(draft.parts, records, pruned, strict=True):
            _write(transaction, home, part, record, gone)

    await home.transaction(work)
    return draft


def _write(transaction: "Transaction", home: "Home", part: Part, record: Mapping[str, Any],
           pruned: Iterable[str]) -> None:
    edition, space = part.edition, part.space
    if transaction.receipts("data-published", space=space.id, number=edition.number):
        raise NotAllowed(f"an edition {edition.number} of {edition.dataset} was signed here before",
                         "Sync, so that it is here again, and publish once more.")
    for one in part.made:
        collection = space.collection(one.table)
        if one.after is None:
            transaction.delete(collection, one.id)
        else:
            transaction.put(collection, msgspec.json.decode(one.after), id=one.id)
    editions = space.collection(COLLECTION)
    if part.formerly:
        transaction.put(editions, pack_formerly(part.formerly), id=SUCCESSION)
    transaction.put(editions, dict(record), id=_edition_id(edition.number))
    for id in pruned:
        transaction.delete(editions, id)
    if edition.dataset != CATALOGUE:
        _note(transaction, home, edition)
    transaction.receipt("data-published", {
        "space": space.id, "dataset": edition.dataset, "publisher": edition.publisher.hex(), "number": edition.number,
        "rows": edition.rows, "edition": edition.hash.hex()})


def _note(transaction: "Transaction", home: "Home", edition: Edition) -> None:
    """Note whose tables are in the space, so that SQL has no row among them from any other."""
    kept, id = home.collection(FOLLOWED), edition.space.hex()
    try:
        value = transaction.get(kept, id).value
    except NotFound:
        value = {}
    if value.get("wanted") is not True and (value.get("kind"), value.get("dataset")) != (PUBLISHED, edition.dataset):
        transaction.put(kept, {**value, "kind": PUBLISHED, "dataset": edition.dataset}, id=id)


async def _pruned(part: Part) -> list[str]:
    """The editions that go with this one: the oldest, or all where a chain is begun anew, with what is told of keys."""
    edition = part.edition
    anew = edition.previous == bytes(32)
    oldest = edition.number if anew else max(part.oldest, edition.number - KEPT + 1)
    gone = [id for id in await _edition_ids(part.space) if not id.isdecimal() or int(id) < oldest]
    if anew and not part.formerly:
        with suppress(NotFound):
            gone.append((await part.space.collection(COLLECTION).get(SUCCESSION)).id)
    return gone


def _edition_id(number: int) -> str:
    return f"{number:016d}"


async def _own_chain(space: "Space", said: Said, dataset: str) -> Chain:
    """The chain that is gone on with. Two devices that published at once leave one that nobody can read."""
    try:
        chain = await own_chain_of(space)
    except DataInvalid as error:
        if not said.anew:
            raise NotAllowed(f"the versions of {dataset} can't be gone on with: {error.message}",
                             "If two devices published at once, publish with --anew from one of them.") from None
        return Chain(after=max([int(id) for id in await _edition_ids(space) if id.isdecimal()], default=0))
    last = chain.last
    if last is not None and said.publisher in {one.old for one in chain.formerly}:
        raise NotAllowed(f"another key has succeeded this one in the space of {dataset}", "Publish with the new key.")
    if last is not None and (last.publisher not in {said.publisher, *said.former} or last.dataset != dataset):
        raise NotAllowed(f"this space has editions of {last.dataset} by another key, or is of another dataset",
                         "Publish with the key that signed them, or under another name.")
    return chain


async def _edition_ids(space: "Space") -> list[str]:
    return [record.id async for record in space.collection(COLLECTION) if record.id != SUCCESSION]


def _stands(before: Metadata, after: Metadata) -> bool:
    """Whether what the catalogue says may stay: of data that is never the same, it tells the newest edition once a day.

    Everybody reads the catalogue, and few the data.
    """
    now = msgspec.structs.replace(after, edition=before.edition, content=before.content, tables=before.tables,
                                  distributions=before.distributions, size=before.size)
    return after.frequency in _LIVE and now == before


def _before(listed: Content, id: str) -> Metadata | None:
    json = listed.get(DATASETS, id)
    return None if json is None else read_metadata(id, msgspec.json.decode(json))


async def _data(
    home: "Home", said: Said, about: About, loaded: Loaded, metadata: Metadata, time: int
) -> tuple[Part | None, bool, Metadata]:
    """The next edition of a dataset's space, whether that is all, and what is said of it then.

    Of several spaces of its name, which devices make that publish it for the first time at once, it is the listed one.
    """
    try:
        space = _written(home, metadata)
    except NotAllowed:
        space = await make_public(home, about.id)
    async for record in home.collection(FOLLOWED):
        if (record.value.get("wanted") is True and record.value.get("kind") == "dataset" and record.id != space.id
                and first_table(str(record.value.get("dataset"))) == first_table(about.id)):
            raise NotAllowed(f"you subscribed another publisher's dataset {record.value['dataset']!r}, whose table has "
                             "this name", "Unsubscribe it here: SQL would read both as one.")
    chain = await _own_chain(space, said, about.id)
    last = chain.last
    tables = sorted({*loaded.content.tables, *(last.tables if last else ())})
    here = await content_of(space, tables)
    part, whole = await asyncio.to_thread(_part, space, chain, here, loaded.content, said, about.id, time,
                                        said.at_once)
    edition = last if part is None else part.edition
    metadata = msgspec.structs.replace(
        metadata, address=space.address, edition=0 if edition is None else edition.number,
        content=None if edition is None else edition.content.hex(),
        modified=datetime.fromtimestamp(time, UTC).date().isoformat() if part else metadata.modified)
    return part, whole, metadata


def _listing(catalogue: "Space", chain: Chain, listed: Content, said: Said, metadata: Mapping[str, Metadata],
             time: int) -> Part | None:
    """The next edition of the catalogue, None when nothing in it changes."""
    if missing := [id for id in said.withdrawn if listed.get(DATASETS, id) is None]:
        there = shown(row.id for row in listed if row.table == DATASETS) or "none"
        raise NotFound(f"the catalogue has no dataset {missing[0]!r}", f"It has: {there}.")
    rows = {(row.table, row.id): row.json for row in listed}
    require_readable(said.card)
    rows[PUBLISHER, CARD] = canonical(msgspec.to_builtins(said.card))
    for id, one in metadata.items():
        require_readable(one)
        rows[DATASETS, id] = canonical(msgspec.to_builtins(one))
    for id in said.withdrawn:
        del rows[DATASETS, id]
    if len(rows) > MAX_DATASETS:
        raise InvalidValue(f"a catalogue has at most {MAX_DATASETS} datasets", "Begin another one.")
    wanted = Content(Row(table, id, json) for (table, id), json in rows.items())
    part, _ = _part(catalogue, chain, listed, wanted, said, CATALOGUE, time, MAX_DATASETS)
    return part


def _part(space: "Space", chain: Chain, here: Content, wanted: Content, said: Said, dataset: str, time: int,
          at_once: int) -> tuple[Part | None, bool]:
    """The next edition of a space, None when it has all of it, and whether that leaves nothing."""
    last, every = chain.last, changes(here, wanted)
    made = tuple(islice(every, at_once))
    whole = next(every, None) is None
    if (not made and last is not None and last.whole and last.content == wanted.hash
            and last.publisher == said.publisher):
        return None, True
    after = wanted if whole else Digest(here.after(made))
    # One goes back to what an edition was of: not to rows that were never in one, and not before the first whole one.
    known = last is not None and last.content == here.hash and any(one.edition.whole for one in chain.signed)
    before = pack_before(made) if known else b""
    tables = after.tables if whole else tuple(sorted({*after.tables, *wanted.tables}))
    edition = chain.next(
        publisher=said.publisher, space=bytes.fromhex(space.id), dataset=dataset, content=after.hash,
        before=before_hash(before), tables=tables, rows=len(after),
        added=sum(one.before is None for one in made), changed=sum(None not in (one.before, one.after) for one in made),
        removed=sum(one.after is None for one in made), whole=whole, time=time)
    return _told(Part(space, edition, made, before), chain, said), whole


def _told(part: Part, chain: Chain, said: Said) -> Part:
    """The same, which tells how the key came to be where its space does not; without editions of keys that led not
    to it."""
    ours = [one.edition.number for one in chain.signed if one.edition.publisher in {said.publisher, *said.former}]
    fresh = said.formerly if chain.formerly != said.formerly else ()
    return replace(part, formerly=fresh, oldest=min(ours, default=part.oldest))


async def _renewal(home: "Home", said: Said, catalogue: "Space", there: Chain, listed: Content, time: int) -> Draft:
    """What a new key signs first: the datasets that a former one signed, some at once, and then the catalogue.

    But for those that are withdrawn next: the space of one may be gone.
    """
    parts: list[Part] = []
    wanted: dict[str, Metadata] = {}
    for id in sorted(row.id for row in listed if row.table == DATASETS):
        metadata = _before(listed, id)
        if metadata is None or metadata.address is None or id in said.withdrawn:
            continue
        space = _written(home, metadata)
        chain = await _own_chain(space, said, id)
        if chain.last is not None and chain.last.publisher != said.publisher:
            parts.append(await _renewed(space, chain, said, chain.last, time))
            if len(parts) == RENEWED_AT_ONCE:
                break
        elif chain.last is not None:
            wanted[id] = msgspec.structs.replace(metadata, edition=chain.last.number,
                                                 content=chain.last.content.hex())
    if parts:
        return Draft(tuple(parts), False)
    listing = _listing(catalogue, there, listed, replace(said, withdrawn=()), wanted, time)
    return Draft(() if listing is None else (listing,), not (said.abouts or said.withdrawn))


def _written(home: "Home", metadata: Metadata) -> "Space":
    """The space of a dataset, in which this home writes. Raises `NotAllowed`."""
    with suppress(NotFound, InvalidValue):
        space = home.space(Address.read(metadata.address or "").space.hex())
        if space.role in ("owner", "writer"):
            return space
    raise NotAllowed(f"this home can't write in the space of {metadata.id!r}, which the new key has to sign",
                     "Go on in the home that has it; or withdraw it (`chez publisher withdraw`).")


async def _renewed(space: "Space", chain: Chain, said: Said, last: Edition, time: int) -> Part:
    """The edition by which a new key goes on: nothing changes in it."""
    if (await filled(Digest(), space, last.tables)).hash != last.content:
        raise NotAllowed(f"the rows of {last.dataset!r} are not what its publisher signed",
                         "Publish it from its file with the former key first.")
    before = pack_before(()) if any(one.edition.whole for one in chain.signed) else b""
    edition = chain.next(
        publisher=said.publisher, space=last.space, dataset=last.dataset, content=last.content,
        before=before_hash(before), tables=last.tables, rows=last.rows, added=0, changed=0, removed=0,
        whole=last.whole, time=time)
    return _told(Part(space, edition, (), before), chain, said)
