"""From the 24 words and a relay alone everything comes back, on a machine that has nothing."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import chez
from chez.crypto import Kdf, random_bytes
from chez.errors import ChezError, HomeExists, InvalidValue, LockedOut, NotFound, RelayRefused, RelayUnreachable
from chez.home import recovery
from chez.keys import new_words, person_of
from chez.spaces.rotation import recovery_tag_of
from chez.spaces.statements import Kind
from chez.sync.entry import unseal
from chez_wire.envelope import Header
from tests.home.pairing import PASSPHRASE
from tests.people.persons import persons, shared, values
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again, raw_entries
from tests.people.test_moving import take_over
from tests.relay.within import Within, relay

LINKY = Path(__file__).resolve().parents[1] / "data" / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"


async def test_everything_comes_back(tmp_path: Path, server: Within) -> None:
    """Records, attachments, imports and spaces written under several epochs on two devices; nothing is set aside."""
    content = random_bytes(700_000)
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "b", "b", server.url) as b:
        file = tmp_path / "readings.csv"
        file.write_bytes(b"".join(LINKY.read_bytes().splitlines(keepends=True)[:60]))
        reading = await a.import_file(file)
        picture = await a.blobs.add(content, name="p.bin")
        await a.collection("notes").put({"n": 1, "picture": picture}, id="one")
        await a.devices.rotate()
        trip = await a.create_space("Trip")
        await trip.collection("costs").put({"euros": 84}, id="train")
        await a.sync()
        await b.sync(server.url)
        await b.collection("notes").put({"n": 2}, id="two")
        await b.space("Trip").collection("costs").put({"euros": 5}, id="tea")
        await b.devices.rotate()
        await b.sync(server.url)
        await a.sync()
        before = (await a.status()).records
    result = await back(tmp_path / "c", words, server.url)
    assert (result.records, result.missing, result.quarantined, result.problem) == (before, 0, 0, "")
    assert [info.name for info in result.devices] == ["a", "b"] and result.expelled == ()
    assert [(space.name, space.problem) for space in result.spaces] == [("private", ""), ("Trip", "")]
    async with open_again(tmp_path / "c") as c:
        assert await ids(c) == {"one", "two"}
        assert {note.id async for note in c.space("Trip").collection("costs")} == {"train", "tea"}
        found = (await c.collection("notes").get("one")).value["picture"]
        assert b"".join([piece async for piece in c.blobs.read(found)]) == content
        again = await c.import_file(file)
        assert reading.added > 0 and (again.added, again.unchanged) == (0, reading.added)
        assert (await c.journal.receipts())[0].kind == "home-recovered"
        assert (await c.journal.verify()).ok


async def test_the_devices_that_were_go_on(tmp_path: Path, server: Within) -> None:
    """Unless they are expelled they see the new device, and each gets what the other writes, in every space."""
    async with founded(tmp_path, server.url) as (a, words):
        await a.create_space("Trip")
        await a.sync()
        assert (await back(tmp_path / "c", words, server.url)).problem == ""
        async with open_again(tmp_path / "c") as c:
            await a.sync()
            assert {info.name for info in await a.devices.all() if info.active} == {"a", "new"}
            await c.collection("notes").put({"n": 1}, id="c")
            await a.collection("notes").put({"n": 1}, id="a")
            await c.space("Trip").collection("notes").put({"n": 1}, id="c")
            await a.devices.rotate()
            for home in (a, c, a, c):
                await home.sync()
            assert await ids(a) == await ids(c) == {"a", "c"}
            assert await values(a.space("Trip")) == {"c": {"n": 1}}
            assert a._replica.space.epoch == c._replica.space.epoch


async def test_expelled_devices_are_sent_nothing_any_more(tmp_path: Path, server: Within) -> None:
    """With all their keys, what the relay hands out afterwards does not open; what they write counts nowhere."""
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "b", "b", server.url) as b:
        await a.create_space("Trip")
        await a.collection("notes").put({"n": 1}, id="before")
        await a.sync()
        await b.sync(server.url)
        await b.collection("notes").put({"n": 1}, id="unsent")
        result = await back(tmp_path / "c", words, server.url, expel_others=True)
        assert [info.name for info in result.expelled] == ["a", "b"] and result.problem == ""
        async with open_again(tmp_path / "c") as c:
            assert await ids(c) == {"before"}
            assert [(info.name, info.active) for info in await c.devices.all()] == [
                ("new", True), ("a", False), ("b", False)]
            assert [receipt.body.get("name") for receipt in await c.journal.receipts("device-removed")] == ["a", "b"]
            await c.collection("notes").put({"n": 2}, id="after")
            await c.space("Trip").collection("notes").put({"n": 2}, id="after")
            await c.sync()
            for old in (a, b):
                with pytest.raises(RelayRefused):
                    await old.sync(server.url)
                assert (await old.status()).removed and "after" not in await ids(old)
            assert (await c.sync()).received == 0
        held = {held.space.handle: held.space.epochs for held in a._spaces.all.values()}
        later = [entry for entry in raw_entries(tmp_path / "relay")
                 if Header.decode(entry).epoch not in held[Header.decode(entry).handle]]
        assert {Header.decode(entry).handle for entry in later} == held.keys()
        for entry in later:
            handle = Header.decode(entry).handle
            with pytest.raises(ChezError):
                unseal(entry, handle, held[handle])


async def test_another_space_is_not_taken_for_the_private_one(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a relay has in its place, another person's private space, or one that this person made to share: it is
    named, and nothing is made of it."""
    true, places = recovery.survey, []
    async with founded(tmp_path, server.url, "other") as (other, theirs), founded(tmp_path, server.url) as (a, words):
        trip = await a.create_space("Trip")
        await a.sync()
        for space, whose in ((other._replica.space, theirs), (trip._held.space, words)):
            key, create = person_of(whose).recovery, space.membership.create
            assert create is not None
            places.append((space.handle, recovery_tag_of(create.nonce, key.public), key))
    for place in places:
        monkeypatch.setattr(recovery, "survey", lambda url, *_, place=place, **rest: true(url, *place, **rest))
        with pytest.raises(LockedOut, match="something else in the place of this person's private space"):
            await back(tmp_path / "c", words, server.url)
        assert not (tmp_path / "c").exists()


async def test_a_space_to_share_that_has_all_else_of_the_private_one_is_not_taken_for_it(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stolen device knows the person, the first key and the nonce of the private space, and may sign the beginning of
    another one with them, to which it lets in whom it likes: what comes back is to be the person's alone."""
    true = recovery.survey

    async def instead(kind: Kind, *given: Any, **rest: Any) -> Any:
        found = await true(*given, **rest)
        begun = found.membership.create
        assert begun is not None
        return replace(found, membership=SimpleNamespace(create=msgspec.structs.replace(begun, kind=kind)))

    async with founded(tmp_path, server.url) as (_, words):
        pass
    for kind in (Kind.SHARED, Kind.PUBLIC):
        monkeypatch.setattr(recovery, "survey", partial(instead, kind))
        with pytest.raises(LockedOut, match="something else in the place of this person's private space"):
            await back(tmp_path / "c", words, server.url)
        assert not (tmp_path / "c").exists()


async def test_the_person_is_asked_about_the_others_by_name(tmp_path: Path, server: Within) -> None:
    """Anything but a yes leaves them in; where there are no others nobody is asked."""
    asked: list[str] = []

    async def answer(question: str, *, default: str | None = None) -> str:
        asked.append(question)
        assert default == "no"
        return "no" if len(asked) == 1 else "Yes"

    async with founded(tmp_path, server.url) as (a, words):
        assert (await back(tmp_path / "c", words, server.url, ask=answer)).expelled == ()
        assert "'a' (fingerprint" in asked[0] and "1 other device:" in asked[0]
        result = await back(tmp_path / "d", words, server.url, ask=answer, name="third")
        assert {info.name for info in result.expelled} == {"a", "new"} and "2 other devices:" in asked[1]
        await back(tmp_path / "e", words, server.url, name="fourth", expel_others=True)
        with pytest.raises(RelayRefused):
            await a.sync()
    assert len(asked) == 2


async def test_spaces_of_others_come_back_too(tmp_path: Path, server: Within) -> None:
    """With what was written there meanwhile under epochs that the lost device never had; their owner hears of all."""
    async with persons(tmp_path, "berta", relay=server.url) as (berta,):
        async with founded(tmp_path, server.url) as (a, words):
            club = await berta.create_space("Club")
            (mine,) = await shared(club, berta, a)
            await mine.collection("notes").put({"n": 1}, id="a")
            await a.sync()
        await berta.sync()
        await berta._database.write(berta._spaces.all[club._held.space.n].replica.rotate)
        await club.collection("notes").put({"n": 2}, id="b")
        await berta.sync()
        result = await back(tmp_path / "c", words, server.url, expel_others=True)
        assert [(space.name, space.problem) for space in result.spaces] == [("private", ""), ("Club", "")]
        async with open_again(tmp_path / "c") as c:
            assert set(await values(c.space("Club"))) == {"a", "b"}
            await c.space("Club").collection("notes").put({"n": 3}, id="c")
            await c.sync()
            await berta.sync()  # hears of it, and starts the epoch that is owed
            await club.collection("notes").put({"n": 4}, id="d")
            await berta.sync()
            await c.sync()
            assert set(await values(club)) == set(await values(c.space("Club"))) == {"a", "b", "c", "d"}
            state = club._held.space.membership.state
            assert c.device_id in state.devices and not state.rotation_owed
        async with open_again(tmp_path / "a") as a:
            with pytest.raises(RelayRefused):
                await a.sync()
            assert "d" not in await values(a.space("Club"))


async def test_a_space_at_a_relay_of_its_own(tmp_path: Path, server: Within) -> None:
    """It is read there; where that relay is gone the space is told of, and comes with a later sync."""
    async with relay(tmp_path / "second") as second, founded(tmp_path, server.url) as (a, words):
        far = await a.create_space("Far", relay=second.url)
        await far.collection("notes").put({"n": 1}, id="far")
        await a.sync()
        result = await back(tmp_path / "c", words, server.url, expel_others=True)
        async with open_again(tmp_path / "c") as c:
            assert await values(c.space("Far")) == {"far": {"n": 1}}
        assert [space.problem for space in result.spaces] == ["", ""]
        await second.kill()
        result = await back(tmp_path / "d", words, server.url, name="fourth", expel_others=True)
        assert [bool(space.problem) for space in result.spaces] == [False, True] and result.problem == ""


async def test_words_that_lead_nowhere(tmp_path: Path, server: Within) -> None:
    """No words, another person's, another relay, none at all, a place that is taken: each is told, nothing is made."""
    async with founded(tmp_path, server.url) as (_, words), relay(tmp_path / "other") as other:
        stranger = new_words(random_bytes(32))
        swapped = " ".join(["abandon"] * 24)  # words of the list, and no checksum
        for phrase, url, error in ((swapped, server.url, InvalidValue), ("a b c", server.url, InvalidValue),
                                   (stranger, server.url, NotFound), (words, other.url, NotFound),
                                   (words, "ws://127.0.0.1:1", RelayUnreachable), (words, "http://x", InvalidValue)):
            with pytest.raises(error) as told:
                await back(tmp_path / "c", phrase, url)
            assert told.value.hint
        for wrong in ({"passphrase": ""}, {"name": ""}):
            with pytest.raises(InvalidValue):
                await chez.recover(tmp_path / "c", words, relay=server.url, kdf=Kdf.minimum(),
                                   **({"passphrase": PASSPHRASE} | wrong))
        with pytest.raises(HomeExists):
            await back(tmp_path / "a", words, server.url)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "other", "relay"]


async def test_a_thief_who_replaces_the_relays_keys_meanwhile_is_shut_out_all_the_same(
        tmp_path: Path, server: Within) -> None:
    """The stolen device starts an epoch while the person is asked, with keys for itself alone: the words outrank it."""
    async with founded(tmp_path, server.url) as (a, words):
        trip = await a.create_space("Trip")
        await a.collection("notes").put({"n": 1}, id="before")
        await a.sync()

        async def ask(question: str, *, default: str | None = None) -> str:
            for space in (a.space(), trip):
                await take_over(space, a)
            return "yes"

        result = await back(tmp_path / "c", words, server.url, ask=ask)
        assert [info.name for info in result.expelled] == ["a"]
        assert (result.problem, [space.problem for space in result.spaces]) == ("", ["", ""])
        async with open_again(tmp_path / "c") as c:
            await c.collection("notes").put({"n": 2}, id="after")
            await c.space("Trip").collection("notes").put({"n": 2}, id="after")
            report = await c.sync()
            assert not report.problems and report.sent
            with pytest.raises(RelayRefused):
                await a.sync(server.url)
            assert await ids(a) == {"before"}
        again = await back(tmp_path / "d", words, server.url)
        assert again.problem == "" and again.records == 3
