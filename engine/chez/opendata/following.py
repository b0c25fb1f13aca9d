"""The person's side: which catalogues and datasets are followed, how they stand, and what was seen of them.

Each is a public space that the person follows, and a record of the private space, so that all devices of the person
have it: the publisher's key, and the newest editions that some device saw, by number and hash. So a publisher that
tells these devices different things is found out, and so is a relay that goes back. A catalogue is read whole and
searched here; a dataset's space is fetched when it is subscribed, and read whole as well. Nobody learns what is
looked up.

What is wrong with one is in it, and keeps no other from being shown. What is seen is noted where that is asked for,
beside a sync: a note is an entry in the private space, and one that follows a look would tell the relay of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from chez.errors import ChezError, InvalidValue, NotAllowed, NotFound
from chez.opendata.editions import Chain
from chez.opendata.errors import DataInvalid
from chez.opendata.keys import key_words
from chez.opendata.lineage import Choice, Known, choice, known_of
from chez.opendata.metadata import CARD, DATASETS, PUBLISHER, Card, Metadata, read_card, read_metadata
from chez.opendata.publishing import CATALOGUE
from chez.opendata.rows import Content, Digest
from chez.opendata.standing import COLLECTION, Standing, back, beside, look, read, seen_of
from chez.query.followed import PUBLISHED, first_table, is_table_of
from chez.spaces.public import Address
from chez.sync.room import DEFAULT_BYTES, LEAST_BYTES, Room

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space
    from chez.home.transaction import Transaction

__all__ = ("COLLECTION", "Catalogue", "Dataset", "Listed", "Standing", "add_catalogue", "catalogues", "find", "named",
           "remove_catalogue", "rows_at", "settle", "subscribe", "subscribed", "trust", "unsubscribe")

Kind = Literal["catalogue", "dataset"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A catalogue that is followed."""

    standing: Standing
    card: Card | None = None
    datasets: Mapping[str, Metadata] = field(default_factory=dict, repr=False)
    unreadable: int = 0
    """Datasets of which it says nothing that is readable."""
    full: Room | None = None
    """As of a dataset."""


class Listed(msgspec.Struct, frozen=True):
    """A dataset of a catalogue."""

    catalogue: Catalogue
    metadata: Metadata


class Dataset(msgspec.Struct, frozen=True):
    """A dataset that is subscribed."""

    id: str
    standing: Standing
    listed: Listed | None
    """What its catalogue says of it; None where that is not followed, or does not list it any more."""
    here: bool
    """Whether its space is on this device."""
    rows: int = 0
    """Rows that were checked against the newest edition; 0 where they were not asked for."""
    full: Room | None = None
    """The room that it has on this device, where it takes all of that, and nothing newer comes."""


async def add_catalogue(home: "Home", address: str) -> str:
    """Follow the catalogue at a public space's address; its space's id. Adding one twice changes nothing.

    What it lists comes with the next sync. Raises as `Home.follow`.
    """
    return await _follow(home, address, "catalogue", {})


async def remove_catalogue(home: "Home", what: str) -> str:
    """Follow a catalogue no more, on all devices of the person when they look next; its space's id.

    `what` is its name, or the beginning of its space's id. Datasets that are subscribed stay, and nothing tells of
    newer versions of them beforehand. Raises `NotFound`, `InvalidValue` where several are called so.
    """
    known = [one.standing for one in await catalogues(home)]
    found = [one for one in known if what in (one.name, one.space) or (len(what) >= 8 and one.space.startswith(what))]
    if not found:
        raise NotFound(f"you follow no catalogue {what!r}", "`chez data list` shows which you do.")
    if len(found) > 1:
        raise InvalidValue(f"you follow several catalogues {what!r}", "Say which by the beginning of its space's id.")
    return await _let_go(home, found[0].space)


async def catalogues(home: "Home", *, note: bool = False) -> list[Catalogue]:
    """Every catalogue that is followed, verified, and held against what was seen before; with `note` noted as seen."""
    spaces = {space.id: space for space in await home.spaces()}
    known = known_of((await _kept(home)).values())
    return [await _catalogue(home, spaces[id], value, known, note=note)
            for id, value in (await _kept(home, "catalogue")).items() if id in spaces]


async def find(home: "Home", name: str, *, note: bool = False) -> Listed:
    """The dataset of this name in the catalogues: "DATASET", or "CATALOGUE/DATASET" by the beginning of a space's id.

    Raises `NotFound`, `InvalidValue` where several have one of this name, and `DataInvalid` of a catalogue that may
    be meant and does not verify.
    """
    place, _, id = name.rpartition("/")
    known = [one for one in await catalogues(home, note=note) if one.standing.space.startswith(place)]
    found = [Listed(one, one.datasets[id]) for one in known if id in one.datasets]
    if not found:
        for one in known:
            if one.standing.problem is not None:
                raise one.standing.problem
        raise NotFound(f"no catalogue here lists a dataset {name!r}", "`chez data search` shows what there is.")
    if len(found) > 1:
        names = " or ".join(f"{one.catalogue.standing.space[:8]}/{id}" for one in found)
        raise InvalidValue(f"several catalogues list a dataset {id!r}", f"Say {names}.")
    return found[0]


async def subscribe(home: "Home", name: str, *, room: int | None = None) -> str:
    """Follow the space with a dataset's data, on all devices of the person; its id. Its rows come with the next sync.

    `room` is how many bytes of this device it may take, else what any followed space may (`Space.room`). Raises as
    `find` and `Home.follow`; `NotFound` for one without data, `NotAllowed` where another dataset that is subscribed has
    a table of the same name, for SQL would read both as one, and for one that takes more than its room by what its
    publisher says.
    """
    listed = await find(home, name)
    metadata, publisher = listed.metadata, listed.catalogue.standing.publisher
    if metadata.address is None:
        raise NotFound(f"there is no data of {metadata.id!r} here, only what is said of it",
                       metadata.download or metadata.landing_page or "Ask its publisher.")
    _check_room(metadata, room)
    id = Address.read(metadata.address).space.hex()
    async for record in home.collection(COLLECTION):
        if (record.value.get("kind") == PUBLISHED and record.id != id
                and first_table(str(record.value.get("dataset"))) == first_table(metadata.id)):
            raise NotAllowed(f"you publish a dataset {record.value['dataset']!r} yourself, whose table has this name",
                             "SQL would read both as one: subscribe it in another home.")
    for other in await subscribed(home):
        if other.standing.space != id and _share_a_table(metadata, other):
            raise NotAllowed(f"the dataset {other.id!r}, which you subscribed, has a table of the same name",
                             "Unsubscribe one of them.")
    await _follow(home, metadata.address, "dataset", {
        "dataset": metadata.id, "catalogue": listed.catalogue.standing.space, "publisher": publisher})
    if room is not None and await home.space(id).room() is not None:
        await home.space(id).give_room(bytes=room)
    await catalogues(home, note=True)  # it writes anyway
    return id


def _share_a_table(one: Metadata, other: Dataset) -> bool:
    """Whether two datasets have a table of one name, or may have each that the other may, or the first one has some
    that are called after the other."""
    last, mine = other.standing.chain.last, {table.name for table in one.tables}
    return (bool(last is not None and mine & set(last.tables)) or first_table(one.id) == first_table(other.id)
            or not all(is_table_of(name, one.id, [other.id]) for name in mine))


def _check_room(metadata: Metadata, room: int | None) -> None:
    """Raise `NotAllowed` for a dataset that will not fit, by what is said of it: it would stop half-way."""
    mib = -(-metadata.takes // 2**20)
    if room is None and metadata.takes > DEFAULT_BYTES:
        raise NotAllowed(f"the dataset {metadata.id!r} takes about {mib:,} MiB of this device, with {metadata.rows:,} "
                         f"rows, which is more than a followed space has ({DEFAULT_BYTES // 2**20} MiB)",
                         f"Give it more if you want it: `chez data subscribe {metadata.id} --room {mib + mib // 4}`.")
    if room is not None and room < LEAST_BYTES:
        raise InvalidValue("this is no room for a dataset", f"It has {LEAST_BYTES // 2**20} MiB at least.")


async def unsubscribe(home: "Home", name: str) -> str:
    """Free a dataset's space here, and on the other devices of the person when they look next; its id.

    Raises `NotFound` for one that is not subscribed.
    """
    one = await named(home, name)
    return await _let_go(home, one.standing.space)


async def subscribed(home: "Home", *, check: bool = False, note: bool = False) -> list[Dataset]:
    """Every dataset that is subscribed, its editions verified.

    With `check` its rows are as well; with `note` what was seen is noted, as an entry of the private space.
    """
    spaces = {space.id: space for space in await home.spaces()}
    listing = {one.standing.space: one for one in await catalogues(home, note=note)}
    known = known_of((await _kept(home)).values())  # with what the catalogues told of keys
    found, kept = [], await _kept(home, "dataset")
    names = [str(value.get("dataset")) for value in kept.values()]
    for id, value in kept.items():
        listed, dataset = _listed(listing, value), str(value.get("dataset"))
        if id not in spaces:
            standing = Standing(id, dataset, str(value.get("publisher", "")), Chain())
            found.append(Dataset(dataset, standing, listed, False))
        else:
            found.append(await _dataset(home, spaces[id], dataset, value, known, listed, names, check=check,
                                        note=note))
    return found


async def named(home: "Home", name: str, *, check: bool = False, note: bool = False) -> Dataset:
    """The subscribed dataset of a name, as `find` reads it. Raises `NotFound`, `InvalidValue`."""
    place, _, id = name.rpartition("/")
    found = [one for one in await subscribed(home, check=check, note=note) if one.id == id and (
        not place or (one.listed is not None and one.listed.catalogue.standing.space.startswith(place)))]
    if not found:
        raise NotFound(f"you did not subscribe a dataset {name!r}", "`chez data list` shows which you did.")
    if len(found) > 1:
        raise InvalidValue(f"you subscribed several datasets {id!r}",
                           "Say CATALOGUE/DATASET, by the id of its catalogue that `chez data list` shows.")
    return found[0]


async def trust(home: "Home", name: str, words: str) -> str:
    """Say which key goes on as a publisher, where two claim to, by its six words; the key, in hexadecimal.

    `name` is a catalogue or a dataset that is contested, or was: what was said before can be said otherwise. The words
    may be of a key that came after one which claims. It counts on all devices of the person, for all that this
    publisher signs. Raises `NotFound` for a name that is not followed, `InvalidValue` where nothing is contested, or no
    key has these words.
    """
    standings = [one.standing for one in await catalogues(home)] + [one.standing for one in await subscribed(home)]
    found = [one for one in standings if name == one.name or (len(name) >= 8 and one.space.startswith(name))]
    if not found:
        raise NotFound(f"you follow no catalogue or dataset {name!r}", "`chez data list` shows which you do.")
    every = await _kept(home)
    one, made = _choice(found, every, words)
    # Beside whatever of this publisher is followed: one that is let go takes what was said with it.
    right = {key.hex() for key in made.right}
    its = right | {_first(every, one.space)}
    places = {other.space for other in standings if its & {_first(every, other.space), *(
        key.hex() for step in other.chain.formerly for key in (step.old, step.new))}}
    kept, wrong = home.collection(COLLECTION), {key.hex() for key in made.wrong}

    def work(transaction: "Transaction") -> None:
        for id in every:
            value = transaction.get(kept, id).value
            before = value.get("chosen") or {}
            after = {key: True for key in before if key not in wrong} | (dict.fromkeys(right, True) if id in places
                                                                         else {})
            if after != before:
                transaction.put(kept, {**value, "chosen": after}, id=id)
        transaction.receipt("data-key-chosen", {"space": one.space, "name": one.name, "key": made.key.hex(),
                                                "words": key_words(made.key)})

    await home.transaction(work)
    return made.key.hex()


def _choice(found: Sequence[Standing], kept: Mapping[str, Mapping[str, Any]], words: str) -> tuple[Standing, Choice]:
    """What words say of one of these spaces, the first of which it is true."""
    known, refused = known_of(kept.values()), InvalidValue(
        f"nobody contests whose {found[0].name!r} is", "`chez data list` shows its key in words.")
    for one in found:
        try:
            made = choice(one.chain, _first(kept, one.space), known, words.split())
        except InvalidValue as error:
            refused = error
            continue
        if made is not None:
            return one, made
    raise refused


def _first(kept: Mapping[str, Mapping[str, Any]], space: str) -> str:
    return str(kept.get(space, {}).get("publisher", ""))


async def settle(home: "Home") -> list[str]:
    """Let this device have what the person's devices subscribed, where it is now, and nothing that they unsubscribed.

    Where a dataset is, its catalogue says. What could not be done now, in words: it is tried again when this is called
    next.
    """
    spaces = {space.id: space for space in await home.spaces()}
    listing = {one.standing.space: one for one in await catalogues(home)}
    problems = []
    async for record in home.collection(COLLECTION):
        wanted = record.value.get("wanted") is True
        try:
            if wanted and record.id not in spaces:
                address = Address.read(str(record.value.get("address")))
                if address.space.hex() == record.id:
                    await home.follow(address.text)
            elif wanted and (listed := _listed(listing, record.value)) is not None and listed.metadata.address:
                if Address.read(listed.metadata.address).space.hex() == record.id:
                    await _go_to(home, listed.metadata.address)
            elif not wanted and record.id in spaces and spaces[record.id].role is None:
                await spaces[record.id].forget()
        except ChezError as error:
            problems.append(str(error))
    return problems


async def rows_at(home: "Home", name: str, number: int) -> Content:
    """All rows of a subscribed dataset as its publisher signed them under a number.

    Raises `NotFound` for an edition that one can't go back to, and `DataInvalid` for rows that are not what was signed.
    """
    one = await named(home, name)
    if one.standing.problem is not None:
        raise one.standing.problem
    chain, content = one.standing.chain, None
    if one.here:
        chain, content = await read(home.space(one.standing.space), Content)
    if content is None or chain.find(number) is None:
        raise NotFound(f"the edition {number} of {one.id!r} is not here", "`chez data versions` shows which are.")
    return await asyncio.to_thread(back, content, chain, number)


# --- looking -------------------------------------------------------------------------


async def _catalogue(home: "Home", space: "Space", kept: Mapping[str, Any], known: Known, *, note: bool) -> Catalogue:
    standing, content = await look(home, space, kept, known, CATALOGUE, lambda names: names <= {DATASETS, PUBLISHER},
                                    Content, note=note)
    if standing.problem is not None or content is None:
        return Catalogue(standing, full=await _full(space))
    datasets, unreadable, card = {}, 0, None
    for row in content:
        if row.table == PUBLISHER and row.id == CARD:
            card = read_card(row.value)
        elif row.table == DATASETS:
            if (one := read_metadata(row.id, row.value)) is None:
                unreadable += 1
            else:
                datasets[row.id] = one
    return Catalogue(standing, card, datasets, unreadable, await _full(space))


async def _full(space: "Space") -> Room | None:
    """The room of a space that takes all of it."""
    room = await space.room()
    return room if room is not None and room.full else None


async def _dataset(home: "Home", space: "Space", dataset: str, kept: Mapping[str, Any], known: Known,
                   listed: Listed | None, others: Sequence[str], *, check: bool, note: bool) -> Dataset:
    standing, content = await look(home, space, kept, known, dataset,
                                    lambda names: all(is_table_of(name, dataset, others) for name in names),
                                    Digest if check else None, note=note,
                                    told=0 if listed is None else listed.metadata.edition)
    if standing.problem is None and listed is not None:
        standing = beside(standing, listed.metadata)
    return Dataset(dataset, standing, listed, True, 0 if content is None else len(content), await _full(space))


# --- what is kept of it ----------------------------------------------------------------


def _listed(listing: Mapping[str, Catalogue], kept: Mapping[str, Any]) -> Listed | None:
    """What the catalogue by which a dataset was subscribed says of it; None where that is not followed, or silent."""
    catalogue = listing.get(str(kept.get("catalogue")))
    metadata = catalogue.datasets.get(str(kept.get("dataset"))) if catalogue is not None else None
    return Listed(catalogue, metadata) if catalogue is not None and metadata is not None else None


async def _kept(home: "Home", kind: Kind | None = None) -> dict[str, dict[str, Any]]:
    return {record.id: record.value async for record in home.collection(COLLECTION)
            if kind in (None, record.value.get("kind")) and record.value.get("wanted") is True}


async def _follow(home: "Home", address: str, kind: Kind, more: Mapping[str, Any]) -> str:
    id = Address.read(address).space.hex()
    kept = home.collection(COLLECTION)
    try:
        value = (await kept.get(id)).value  # before it is followed, by which it is no open data any more
        seen_of(value)
    except (NotFound, DataInvalid):
        value = {"seen": {}, "publisher": ""}
    await _go_to(home, address)
    if not home.space(id).public:
        raise NotAllowed("this is no public space", "A catalogue is one: ask its publisher for the address.")
    await kept.put({**value, **more, "kind": kind, "wanted": True, "address": address}, id=id)
    return id


async def _go_to(home: "Home", address: str) -> None:
    """Follow a space at an address. One that is here already goes there if it was moved, and stays if it was not."""
    try:
        await home.follow(address)
    except (NotAllowed, InvalidValue):  # it is there, or this is where it was before
        if Address.read(address).space.hex() not in {space.id for space in await home.spaces()}:
            raise


async def _let_go(home: "Home", id: str) -> str:
    async with home.collection(COLLECTION).edit(id) as draft:
        draft["wanted"] = False
    # A publisher's own space stays: it is followed by nobody's leave, and written here.
    if any(space.id == id and space.role is None for space in await home.spaces()):
        await home.space(id).forget()
    return id
