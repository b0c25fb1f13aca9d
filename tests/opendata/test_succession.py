"""A publisher's new key: who follows goes on with it, and nobody else's, nor the former one's, counts."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez.crypto import SigningKey
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.opendata import held
from chez.opendata.editions import SUCCESSION, Chain, before_hash, pack_formerly, read_chain, read_formerly, record_of
from chez.opendata.errors import DataContested, DataForked, DataInvalid
from chez.opendata.following import COLLECTION, add_catalogue, catalogues, named, remove_catalogue, rows_at, trust
from chez.opendata.keys import key_words
from chez.opendata.lineage import MAX_NOTED, Known, check_key, choice, known_of, line_of, noted, unnoted
from chez.opendata.metadata import DATASETS
from chez.succession import Succession, succeed
from tests.opendata.support import KEY, NEW, OTHER, TIME, about, address, put_up, stations, table
from tests.opendata.test_editions import SPACE, edition
from tests.opendata.test_flow import follow
from tests.people.persons import persons
from tests.people.support import join
from tests.relay.support import Process

LATER = SigningKey.from_seed(b"the key after that".ljust(32, b"."))
THIEF = SigningKey.from_seed(b"of a thief".ljust(32, b"."))
SAID = succeed("publisher", KEY, NEW)
STOLEN = succeed("publisher", KEY, OTHER)


def chain(*keys: SigningKey, formerly: Sequence[Succession] = ()) -> Chain:
    """Editions that these keys sign one after the other."""
    made: list[dict[str, Any]] = []
    for key in keys:
        one = edition(read_chain(made, SPACE, tuple(formerly)), publisher=key.public)
        made.append(record_of(one, one.sign(key), b""))
    return read_chain(made, SPACE, tuple(formerly))


def holds(found: Chain, first: SigningKey | None = None, known: Known | None = None, seen: int = 0) -> str:
    """The key whose a chain is, as one sees it who added it with the `first`."""
    known = known or Known()
    line = line_of(found, "" if first is None else first.public.hex(), known)
    check_key(found, line, known, seen)
    return line.key.hex()


def test_a_chain_goes_on_along_its_keys_and_never_back() -> None:
    """Editions by one key after another are one chain where each signed the next; the former one's after the new one's,
    and those of a key that no statement names, are none."""
    second = succeed("publisher", NEW, LATER, [SAID])
    for keys, formerly in (((KEY, KEY, NEW), [SAID]), ((KEY, NEW, LATER), [SAID, second]), ((LATER,), [SAID, second]),
                           ((KEY, LATER), [SAID, second])):
        found = chain(*keys, formerly=formerly)
        for first in (None, KEY, keys[-1]):
            assert holds(found, first) == keys[-1].public.hex()
    for keys, formerly in (((KEY, NEW, KEY), [SAID]), ((KEY, OTHER), [SAID]), ((KEY, NEW), []), ((OTHER,), [SAID])):
        with pytest.raises(DataInvalid):
            chain(*keys, formerly=formerly)


def test_statements_that_are_none_of_this_publisher_lead_nowhere() -> None:
    """A statement of another publisher, of an organisation, replayed behind a later one, not signed by both, with a
    count that does not follow, too many, or garbage: each is refused, or leads nobody from the key that they knew."""
    second, back = succeed("publisher", NEW, LATER, [SAID]), succeed("publisher", NEW, KEY)
    organisation = succeed("organisation", KEY, NEW)
    unsigned = Succession(KEY.public, OTHER.public, 1, STOLEN.taken, STOLEN.taken)
    for formerly in ([organisation], [SAID, SAID], [second, SAID], [SAID, back], [unsigned],
                     [SAID, succeed("publisher", NEW, LATER)], [SAID] * 9):
        with pytest.raises(DataInvalid):
            read_formerly(pack_formerly(formerly))
    for record in ({}, {"formerly": b""}, {"formerly": b"\x90"}, {"formerly": "x"}, {"formerly": None}):
        with pytest.raises(DataInvalid):
            read_formerly(record)
    elsewhere = succeed("publisher", OTHER, LATER)
    assert read_formerly(pack_formerly([elsewhere])) == (elsewhere,)
    with pytest.raises(DataInvalid, match="another publisher's key"):  # whole, and of another catalogue
        holds(chain(OTHER, LATER, formerly=[elsewhere]), KEY)
    with pytest.raises(DataInvalid, match="another publisher's key"):  # who knew the new one is not led by the old one
        holds(chain(KEY, OTHER, formerly=[STOLEN]), NEW)


def test_a_former_key_counts_up_to_what_was_seen() -> None:
    """Once a key was succeeded, by whatever space that is known, its editions count that were there before, and no
    later ones; nor is it believed in a space of its own."""
    known = Known(frozenset([SAID]))
    old = chain(KEY, KEY)
    assert holds(old, KEY, known, seen=2) == NEW.public.hex() and holds(old, KEY) == KEY.public.hex()
    assert holds(old, NEW, known, seen=2) == NEW.public.hex()
    for first in (KEY, NEW, None):
        with pytest.raises(DataInvalid, match="given up"):
            holds(old, first, known, seen=1)


def test_two_successors_stop_it_until_the_person_chooses() -> None:
    """Of two keys that the former one signed neither counts, whichever came first and wherever; the one that the person
    chose does, with all that follow it, and the other never."""
    ours, theirs = chain(KEY, NEW, formerly=[SAID]), chain(KEY, OTHER, formerly=[STOLEN])
    for found, said in ((ours, STOLEN), (theirs, SAID)):
        with pytest.raises(DataContested) as error:
            holds(found, KEY, Known(frozenset([said])))
        assert all(key_words(key.public) in error.value.message for key in (NEW, OTHER))
    chosen = Known(frozenset([SAID, STOLEN, succeed("publisher", NEW, LATER, [SAID])]), frozenset([NEW.public]))
    assert holds(chain(KEY, NEW, LATER, formerly=[SAID, succeed("publisher", NEW, LATER, [SAID])]), KEY,
                 chosen) == LATER.public.hex()
    with pytest.raises(DataInvalid, match="another publisher's key"):
        holds(theirs, KEY, chosen)
    with pytest.raises(DataContested):
        holds(ours, KEY, Known(chosen.said, frozenset([NEW.public, OTHER.public])))


def test_a_choice_holds_over_the_next_one_and_can_be_taken_back() -> None:
    """Where keys were contested twice both choices count, the words of the newest key are enough for both, and who
    chose the wrong key chooses again; words that no contested key has choose nothing."""
    second, theirs = succeed("publisher", NEW, LATER, [SAID]), succeed("publisher", NEW, THIEF, [SAID])
    found, known = chain(KEY, NEW, LATER, formerly=[SAID, second]), Known(frozenset([SAID, STOLEN, second, theirs]))

    def said(key: SigningKey, before: Known) -> Known:
        made = choice(found, KEY.public.hex(), before, key_words(key.public).split())
        assert made is not None and made.key == key.public
        return Known(before.said, (before.chosen - made.wrong) | made.right)

    assert line_of(found, KEY.public.hex(), said(NEW, known)).rivals == tuple(sorted((LATER.public, THIEF.public)))
    for before in (known, said(NEW, known), said(OTHER, known), said(THIEF, said(NEW, known))):
        assert holds(found, KEY, said(LATER, before)) == LATER.public.hex()
    for words in (key_words(KEY.public), key_words(SigningKey.from_seed(b"5" * 32).public), ""):
        with pytest.raises(InvalidValue, match="no key that claims"):
            choice(found, KEY.public.hex(), known, words.split())
    assert choice(found, KEY.public.hex(), Known(frozenset([SAID])), key_words(NEW.public).split()) is None


def test_former_keys_without_end_are_noted_up_to_a_bound() -> None:
    """A publisher that tells of other former keys each time fills nobody's private space; what was noted is renewed."""
    mine: dict[str, Any] = {}
    for number in range(MAX_NOTED + 3):
        one = succeed("publisher", SigningKey.from_seed(number.to_bytes(32, "big")), KEY)
        told = chain(KEY, formerly=[one])
        assert holds(told, KEY, known_of([mine])) == KEY.public.hex()
        mine = {"successions": mine.get("successions", {}) | noted(unnoted(told, mine))}
        assert unnoted(told, mine) == () and len(mine["successions"]) == min(number + 1, MAX_NOTED)
    (key, _), *_ = mine["successions"].items()
    first = chain(KEY, formerly=[succeed("publisher", SigningKey.from_seed(bytes(32)), KEY)])
    assert unnoted(first, {"successions": mine["successions"] | {key: b"x"}}) == first.formerly


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1]), max_size=8),
       st.sets(st.integers(0, 4), max_size=3), st.data())
def test_whose_a_space_is_does_not_depend_on_the_order(pairs: list[tuple[int, int]], chosen: set[int],
                                                       data: st.DataObject) -> None:
    """Whatever is noted and chosen, in whatever order, every device comes to the same line, which ends."""
    keys = [KEY, NEW, OTHER, LATER, SigningKey.from_seed(b"5" * 32)]
    said = [succeed("publisher", keys[old], keys[new]) for old, new in pairs]
    known = [known_of([{"successions": noted(data.draw(st.permutations(said))),
                        "chosen": {keys[one].public.hex(): True}} for one in data.draw(st.permutations(sorted(chosen)))]
                      + [{"successions": noted(said)}])
             for _ in range(2)]
    assert known[0] == known[1] and known[0].said == set(said)
    line = line_of(chain(KEY), KEY.public.hex(), known[0])
    assert line.keys[0] == KEY.public and len(set(line.keys)) == len(line.keys) and len(line.rivals) != 1
    assert known_of([{"successions": {"x": b"garbage", "y": None}, "chosen": "x"},
                     {"successions": 5, "chosen": {"x": True}}]) == Known()


async def problem(home: chez.Home, space: str) -> DataInvalid | None:
    """What is wrong with a catalogue that is followed."""
    (found,) = [one.standing.problem for one in await catalogues(home, note=True) if one.standing.space == space]
    return found


@pytest.mark.slow
async def test_who_follows_goes_on_with_a_new_key_and_is_told_once(server: Process, tmp_path: Path) -> None:
    """The new key signs catalogue and datasets anew; who followed goes on, is told once by its words, and goes back
    through it; who comes by an old address is told as well; the former key publishes nothing more; a dataset goes on
    without its catalogue."""
    async with persons(tmp_path, "city", "anna", "bob", relay=server.url) as (city, anna, bob):
        await put_up(city, about(), file=table(tmp_path, stations(3)))
        await put_up(city, about("bus"), about("plan"))  # described alone
        old, space = address(city), await follow(city, anna)
        assert (await named(anna, "velov", note=True)).standing.formerly == ()
        with pytest.raises(InvalidValue):
            await put_up(city, key=OTHER, formerly=[SAID], time=TIME + 1)
        first, second = await put_up(city, key=NEW, formerly=[SAID], time=TIME + 1)
        assert [one.dataset for one in (*first.editions, *second.editions)] == ["velov", "catalogue"]
        assert await put_up(city, key=NEW, formerly=[SAID], time=TIME + 2) == []
        path = table(tmp_path, stations(3, n1=77))
        for rows in (path, None):
            with pytest.raises(NotAllowed, match="another key has succeeded"):
                await put_up(city, about(), file=rows, time=TIME + 3)
        await put_up(city, about(), file=path, key=NEW, formerly=[SAID], time=TIME + 3)
        await anna.sync()
        told = [(await catalogues(anna, note=True))[0].standing for _ in range(2)]
        assert [one.succeeded for one in told] == [True, False] and told[1].formerly == (KEY.public.hex(),)
        assert told[1].publisher == NEW.public.hex()
        here = await named(anna, "velov", check=True, note=True)
        assert (here.standing.problem, here.standing.chain.number, here.rows) == (None, 3, 3)
        assert [row.value["bikes"] for row in await rows_at(anna, "velov", 1) if row.value["id"] == 1] == [1]
        (receipt,) = await anna.journal.receipts("data-key-succeeded")
        assert receipt.body["words"] == key_words(NEW.public)

        await add_catalogue(bob, old)
        await bob.sync()
        (fresh,) = await catalogues(bob, note=True)
        assert fresh.standing.succeeded and fresh.standing.formerly == (KEY.public.hex(),) and len(fresh.datasets) == 3
        await remove_catalogue(anna, "Open data")
        beside = (await anna.collection(COLLECTION).get(here.standing.space)).value
        assert known_of([beside]).said == {SAID}  # what was noted beside the catalogue is forgotten with it
        second_step = succeed("publisher", NEW, LATER, [SAID])
        await put_up(city, key=LATER, formerly=[SAID, second_step], time=TIME + 4)
        await anna.sync()
        here = await named(anna, "velov", check=True, note=True)
        assert (here.standing.problem, here.standing.space, here.rows) == (None, space, 3)
        assert here.standing.formerly == (KEY.public.hex(), NEW.public.hex())


async def test_a_catalogue_that_is_begun_anew_by_a_new_key_is_renewed(server: Process, tmp_path: Path) -> None:
    """Whoever wrote in a publisher's space for a while leaves nothing there that --anew does not mend: a record of keys
    that is none goes; and a new key that begins a catalogue anew signs its other datasets as well."""
    async with persons(tmp_path, "city", relay=server.url) as (city,):
        for one in ("velov", "bus"):
            await put_up(city, about(one), file=table(tmp_path, stations(3)))
        inside = city.space("Open data").collection("chez.editions")
        await inside.put({"formerly": b"garbage"}, id=SUCCESSION)
        with pytest.raises(NotAllowed, match="--anew"):
            await put_up(city, about("bus", notes="Again."), time=TIME + 1)
        await put_up(city, about("bus", notes="Again."), time=TIME + 1, anew=True)
        assert (await held.chain_of(city.space("Open data"))).number == 3

        await inside.put({"formerly": b"garbage"}, id=SUCCESSION)
        await put_up(city, about("bus", notes="Anew."), key=NEW, formerly=[SAID], time=TIME + 2, anew=True)
        for name in ("velov", "bus", "Open data"):
            last = (await held.chain_of(city.space(name))).last
            assert last is not None and last.publisher == NEW.public
        assert await put_up(city, key=NEW, formerly=[SAID], time=TIME + 3) == []


@pytest.mark.slow
async def test_a_dataset_whose_space_is_gone_is_withdrawn_by_a_new_key(server: Process, tmp_path: Path) -> None:
    """A new key can't sign what is gone: withdrawn by that key it stands in no way of the rest, also of a catalogue
    that is begun anew when the former key was destroyed."""
    async with persons(tmp_path, "city", relay=server.url) as (city,):
        for one in ("velov", "bus", "metro"):
            await put_up(city, about(one), file=table(tmp_path, stations(3)))
        for gone, time in (("bus", 1), ("metro", 2)):
            await city.space(gone).delete()
            with pytest.raises(NotAllowed, match=f"'{gone}'.*publisher withdraw"):
                await put_up(city, about(), key=NEW, formerly=[SAID], time=TIME + time, anew=True)
            await put_up(city, withdrawn=(gone,), key=NEW, formerly=[SAID], time=TIME + time, anew=True)
            last = (await held.chain_of(city.space("velov"))).last
            assert last is not None and last.publisher == NEW.public
            inside = city.space("Open data").collection("chez.editions")
            await inside.put({"formerly": b"garbage"}, id=SUCCESSION)
        await put_up(city, about(notes="Anew."), key=NEW, formerly=[SAID], time=TIME + 3, anew=True)
        assert [id async for id in ids_of(city)] == ["velov"]


async def ids_of(city: chez.Home) -> AsyncIterator[str]:
    """The datasets that the catalogue lists."""
    async for record in city.space("Open data").collection(DATASETS):
        yield record.id


async def succeeded(city: chez.Home, anna: chez.Home, folder: Path) -> str:
    """The publisher's new key signed the catalogue that is followed; the space."""
    await put_up(city, about(), file=table(folder, stations(3)))
    space = await add_catalogue(anna, address(city))
    await put_up(city, key=NEW, formerly=[SAID], time=TIME + 1)
    await anna.sync()
    assert await problem(anna, space) is None
    return space


class Intruder:
    """Who writes in the publisher's own catalogue, with what keys it has; Anna follows that."""

    def __init__(self, city: chez.Home, anna: chez.Home, space: str) -> None:
        self.city, self.anna, self.space = city, anna, space
        self._inside = city.space("Open data").collection("chez.editions")

    async def begin(self) -> None:
        """Remember what the publisher said."""
        last = (await held.chain_of(self.city.space("Open data"))).last
        assert last is not None
        self._last = last
        self._honest = {id: (await self._inside.get(id)).value for id in (f"{last.number:016d}", SUCCESSION)}

    async def edition(self, key: SigningKey, number: int = 0) -> DataInvalid | None:
        """Another edition by this key in the place of the last one, or behind it; what Anna finds."""
        last = self._last
        said = {name: getattr(last, name) for name in last.__struct_fields__} | {
            "before": before_hash(b""), "publisher": key.public}
        made = type(last)(**(said | ({"number": number, "previous": last.hash} if number else {})))
        await self._inside.put(record_of(made, made.sign(key), b""), id=f"{made.number:016d}")
        return await self._found()

    async def names(self, successor: Succession) -> None:
        """Another successor is said."""
        await self._inside.put(pack_formerly([successor]), id=SUCCESSION)

    async def goes(self, number: int = 0) -> DataInvalid | None:
        """What was there is there again, and the edition of this number is not; what Anna finds."""
        if number:
            await self._inside.delete(f"{number:016d}")
        for id, value in self._honest.items():
            await self._inside.put(value, id=id)
        return await self._found()

    async def _found(self) -> DataInvalid | None:
        await self.city.sync()
        await self.anna.sync()
        return await problem(self.anna, self.space)


async def test_who_has_a_former_key_gets_nobody(server: Process, tmp_path: Path) -> None:
    """With the former key of a publisher, and a catalogue of one's own, that key and a successor of one's own are each
    refused by who follows the publisher, whose catalogue goes on."""
    async with persons(tmp_path, "city", "thief", "anna", relay=server.url) as (city, thief, anna):
        space = await succeeded(city, anna, tmp_path)
        await put_up(thief, about("bus"), time=TIME + 2)
        theirs = await add_catalogue(anna, address(thief))
        await anna.sync()
        found = await problem(anna, theirs)
        assert found is not None and "given up" in found.message
        await put_up(thief, key=OTHER, formerly=[STOLEN], time=TIME + 3)
        await anna.sync()
        assert isinstance(await problem(anna, theirs), DataContested) and await problem(anna, space) is None


async def chooses(phone: chez.Home, space: str) -> None:
    """A person chooses between two who claim to be a publisher, by the words of their keys, and may change that."""
    with pytest.raises(InvalidValue, match="no key that claims"):
        await trust(phone, "Open data", key_words(KEY.public))
    with pytest.raises(NotFound):
        await trust(phone, "Nothing", key_words(NEW.public))
    assert await trust(phone, "Open data", key_words(NEW.public)) == NEW.public.hex()
    await phone.sync()
    kept = phone.collection(COLLECTION)
    assert (await kept.get(space)).value["chosen"] == {NEW.public.hex(): True}
    await trust(phone, "Open data", key_words(OTHER.public))  # by mistake
    assert (await kept.get(space)).value["chosen"] == {OTHER.public.hex(): True}
    assert await trust(phone, "Open data", key_words(NEW.public)) == NEW.public.hex()
    second = [succeed("publisher", NEW, key, [SAID]) for key in (LATER, THIEF)]
    async with kept.edit(space) as draft:
        draft["successions"] = noted([SAID, *second])
    await trust(phone, "Open data", key_words(LATER.public))
    assert (await kept.get(space)).value["chosen"] == {key.public.hex(): True for key in (NEW, LATER)}


async def test_a_former_key_in_the_publishers_own_space_stops_it_until_the_person_chooses(
        server: Process, tmp_path: Path) -> None:
    """An edition of the former key after the new one's is another's; another successor there stops the catalogue on all
    devices until the person chooses by the words, and it goes on once what the publisher said is there again."""
    async with persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        space = await succeeded(city, anna, tmp_path)
        intruder = Intruder(city, anna, space)
        await intruder.begin()
        found = await intruder.edition(KEY, number=3)
        assert found is not None and "another publisher's key" in found.message
        assert await intruder.goes(number=3) is None
        await intruder.names(STOLEN)
        assert isinstance(await intruder.edition(OTHER), DataContested)
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            for _ in range(2):
                await phone.sync()
            assert isinstance(await problem(phone, space), DataContested)
            await chooses(phone, space)
        await anna.sync()
        found = await problem(anna, space)
        assert found is not None and not isinstance(found, DataContested | DataForked)
        assert await intruder.goes() is None
        with pytest.raises(InvalidValue, match="nobody contests"):
            await trust(anna, "Open data", key_words(NEW.public))
