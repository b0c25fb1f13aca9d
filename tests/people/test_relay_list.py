"""The list of a person's relays: said on one device, followed on the others, and led astray by nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, NotFound, RelayRefused, StorageFailed
from chez.home.relay_list import MAX_RELAYS, RelayList, _sound
from chez.home.transaction import Transaction
from chez.store.database import Connection
from tests.home.pairing import paired
from tests.people.persons import in_step, persons, shared, values
from tests.people.proxy import behind, proxy
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again
from tests.relay.within import Within, relay

PIN = "sha256:" + "A" * 43 + "="
AWAY = "ws://127.0.0.1:1"


@asynccontextmanager
async def _two(folder: Path, url: str) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """Two devices of a person that is known by a relay."""
    async with paired(folder, url) as (a, b):
        await a.set_relay(url)
        yield a, b


def _urls(home: chez.Home) -> list[str]:
    return [one.url for one in home.relays.list()]


async def _texts(home: chez.Home) -> list[str]:
    return [f"{one.body['what']} {one.body['url']}" for one in await home.journal.receipts("relay-changed")
            if "device" in one.body]


async def test_what_one_device_says_the_others_follow(tmp_path: Path, server: Within) -> None:
    """A relay that is added, or removed, on one device is so on the other after both were in step, with a receipt."""
    async with relay(tmp_path / "second") as second, _two(tmp_path, server.url) as (a, b):
        await a.relays.add(second.url)
        await a.sync()
        report = await b.sync()
        assert _urls(b) == [server.url, second.url] == [one.url for one in report.relays]
        assert all(one.lacks == 0 for one in report.relays)
        assert await _texts(b) == [f"added {second.url}"] and await _texts(a) == []
        (receipt,) = await b.journal.receipts("relay-changed")
        assert receipt.body["device"] == a.device_id.hex()
        await b.relays.remove(second.url)
        await b.sync()
        await a.sync()
        assert _urls(a) == _urls(b) == [server.url]
        assert await _texts(a) == [f"removed {second.url}"]
        await a.relays.add(second.url)
        await a.sync()
        await b.sync()  # which had it removed, from all devices, and not for itself alone
        assert _urls(b) == [server.url, second.url] and (await _texts(b))[1:] == [f"added {second.url}"]
        for home in (a, b):
            told = [one.body["what"] for one in await home.journal.receipts("relay-changed", url=second.url)]
            assert told == ["added", "removed", "added"]
    async with open_again(tmp_path / "b") as b:
        assert _urls(b) == [server.url, second.url]


async def test_the_relay_that_a_home_is_known_by_is_pinned_and_not_removed(tmp_path: Path) -> None:
    """Added again, with pins, it is pinned; it goes when another one is set, which may be given its pins with that."""
    async with persons(tmp_path, "anna") as (anna,):
        await anna.set_relay("wss://relay.invalid")
        await anna.relays.add("wss://relay.invalid", pins=[PIN])
        assert anna.relays.pins("wss://relay.invalid") == (PIN,) and _urls(anna) == ["wss://relay.invalid"]
        with pytest.raises(InvalidValue, match="is known by"):
            await anna.relays.remove("wss://relay.invalid")
        await anna.relays.set("wss://other.invalid", pins=[PIN])
        assert anna.relays.pins("wss://other.invalid") == (PIN,) and anna.relay == "wss://other.invalid"


async def test_who_is_connected_follows_at_once(tmp_path: Path, server: Within) -> None:
    """Both connected: the other device begins a link to the relay that was added, and ends it when it is removed."""
    async with relay(tmp_path / "second") as second, _two(tmp_path, server.url) as (a, b):
        async with a.connect(), b.connect():
            await a.relays.add(second.url)
            await _until(lambda: second.url in _urls(b))
            await b.synced(everywhere=True, timeout=90)
            await b.relays.remove(second.url)
            await _until(lambda: second.url not in _urls(a))
            assert len(a._syncing.links) == len(b._syncing.links) == 1


async def test_nothing_goes_on_for_a_relay_or_a_space_that_is_let_go_of(tmp_path: Path, server: Within) -> None:
    """Whatever a connected home does for either ends with it, and not with the connection: relays and spaces that come
    and go leave nothing behind."""
    async with relay(tmp_path / "second") as second, persons(tmp_path, "anna") as (anna,):
        await anna.set_relay(server.url)
        async with anna.connect():
            await anna.synced(timeout=90)
            before = len(asyncio.all_tasks())
            for name in ("one", "two"):
                await anna.relays.add(second.url)
                space = await anna.create_space(name)
                await anna.synced(everywhere=True, timeout=90)
                await space.delete()
                await anna.relays.remove(second.url)
            await _until(lambda: len(asyncio.all_tasks()) <= before)


async def _until(done: Callable[[], bool]) -> None:
    """Until something is so on a home that follows by itself."""
    async with asyncio.timeout(90):
        while not done():  # noqa: ASYNC110 (nobody is told when a list was taken over)
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_relay_that_moves_takes_all_devices_with_it(tmp_path: Path, server: Within) -> None:
    """The home's relay is set anew on one device: the others hear of it at the former one, and go on without that."""
    async with relay(tmp_path / "second") as second, _two(tmp_path, server.url) as (a, b):
        await a.set_relay(second.url)
        assert _urls(a) == [second.url, server.url]  # others may hear of it there only
        assert await a.relays.remove(server.url) == ("b",)  # who would be left behind is named
        await a.relays.add(server.url)
        await a.sync()
        await b.sync()
        assert b.relay == second.url and _urls(b) == [second.url, server.url]
        await a.relays.remove(server.url)
        await a.sync()
        await b.sync()
        assert _urls(b) == [second.url]
        await server.kill()
        await b.collection("notes").put({"n": 1}, id="of b")
        await b.sync()
        await a.sync()
        assert await ids(a) == {"of b"}
        await a.relays.add(server.url)
        assert await a.relays.remove(server.url) == ()


@pytest.mark.slow
async def test_the_relay_moves_while_devices_are_connected(tmp_path: Path, server: Within) -> None:
    """The link to the new relay is begun on both devices without a connection of the home being ended."""
    async with relay(tmp_path / "second") as second, _two(tmp_path, server.url) as (a, b):
        async with a.connect(), b.connect():
            await a.set_relay(second.url)
            await _until(lambda: b.relay == second.url and _urls(b)[-1] == second.url)
            await a.synced(everywhere=True, timeout=90)
            await b.synced(everywhere=True, timeout=90)
            await server.kill()
            await a.collection("notes").put({"n": 1}, id="over the new one")
            async with asyncio.timeout(90):
                async for note in b.collection("notes").live("over the new one"):
                    if note is not None:
                        break


async def test_pins_and_tokens_go_along(tmp_path: Path, server: Within) -> None:
    """A device has the pins and the token of a relay that another one added, and they change with it."""
    async with _two(tmp_path, server.url) as (a, b):
        await a.relays.add("wss://relay.invalid", pins=[PIN])
        await a.relays.token("wss://relay.invalid", "given")
        await a.sync()
        await b.sync()
        assert b.relays.pins("wss://relay.invalid") == (PIN,) and await _token(b, "wss://relay.invalid") == "given"
        await b.relays.pin("wss://relay.invalid", [])
        await b.sync()
        await a.sync()
        assert a.relays.pins("wss://relay.invalid") == () and await _token(a, "wss://relay.invalid") == "given"
        (told,) = await a.journal.receipts("relay-changed", what="pinned")
        assert (told.body["device"], told.body["keys"]) == (b.device_id.hex(), 0)


async def _token(home: chez.Home, url: str) -> str:
    (token,) = await home._database.read(lambda db: db.execute("SELECT token FROM relay WHERE url = ?",
                                                               (url,)).fetchone())
    return str(token)


@pytest.mark.slow
async def test_what_is_said_for_here_stays_here(tmp_path: Path, server: Within) -> None:
    """A relay of one device alone is not told; one that a device does without is kept by the others."""
    async with relay(tmp_path / "second") as second, _two(tmp_path, server.url) as (a, b):
        await a.relays.add(AWAY, here=True)
        await a.relays.add(second.url)
        await a.sync()
        await b.sync()
        assert _urls(b) == [server.url, second.url] and a.relays.list()[1].here
        await b.relays.remove(second.url, here=True)
        await a.relays.pin(second.url, [])
        for home in (b, a, b):
            await home.sync()
        assert _urls(b) == [server.url] and _urls(a) == [server.url, AWAY, second.url]
        await b.relays.set(second.url, here=True)
        await a.set_relay(server.url)
        for home in (a, b, a):
            await home.sync()
        assert b.relay == second.url and a.relay == server.url


async def test_a_device_that_is_let_in_has_the_list_at_once(tmp_path: Path) -> None:
    """Pairing gives the whole list, so the new device goes on when the relay it was let in over is gone."""
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                _two(tmp_path, front.url) as (a, _)):
        await a.relays.add(second.url)
        await a.relays.add(AWAY, here=True)
        await a.sync()
        async with a.pair(front.url) as pairing:
            joined = asyncio.create_task(chez.join(tmp_path / "c", pairing.code, passphrase="correct horse", name="c",
                                                   relay=front.url, kdf=chez.crypto.Kdf.minimum()))
            await pairing.confirm()
            await joined
        await a.sync()
        await first.kill()
        async with open_again(tmp_path / "c") as c:
            assert _urls(c) == [front.url, second.url]
            assert (await c.sync()).relay == second.url


@pytest.mark.slow
async def test_two_devices_that_say_different_things_come_to_one(tmp_path: Path, server: Within) -> None:
    """Apart, one adds a relay and the other another one, and both set the home's: afterwards their lists are alike."""
    async with relay(tmp_path / "second") as second, relay(tmp_path / "third") as third, _two(
            tmp_path, server.url) as (a, b):
        await a.relays.add(second.url)
        await b.relays.add(third.url)
        await a.set_relay(second.url)
        await b.set_relay(third.url)
        for home in (a, b, a, b):
            await home.sync()
        assert a.relay == b.relay and set(_urls(a)) == set(_urls(b)) == {server.url, second.url, third.url}


@pytest.mark.slow
async def test_members_of_a_shared_space_lead_nobody_elsewhere(tmp_path: Path, server: Within) -> None:
    """A collection of the list's name in a space that is shared means nothing, whoever writes it."""
    async with paired(tmp_path / "anna", server.url) as (anna, _), paired(tmp_path / "mallory", server.url) as (m, _):
        await anna.set_relay(server.url)
        space = await anna.create_space("Trip")
        await space.add(await m.card(), "writer")
        await anna.sync()
        theirs = await m.join(space.link())
        relays = theirs.collection("chez-relays")
        await relays.put({"kept": True, "pins": "", "token": ""}, id="ws://127.0.0.1:2")
        await relays.put({"relay": "ws://127.0.0.1:2"}, id="home")
        await m.sync(server.url)
        await anna.sync()
        assert {record.id async for record in space.collection("chez-relays")} == {"home", "ws://127.0.0.1:2"}
        assert _urls(anna) == [server.url] and not await _texts(anna)


async def test_what_makes_no_sense_is_not_followed(tmp_path: Path, server: Within) -> None:
    """Records of the list may be written by anything: what is no relay is left alone, and a home opens with it."""
    async with _two(tmp_path, server.url) as (a, b):
        records = a.collection("chez-relays")
        for id, value in {"http://page": {"kept": True}, "ws://127.0.0.1:3": {"kept": 1},
                          "wss://r": {"kept": True, "pins": "sha1:AA"}, "ws://p": {"kept": True, "pins": PIN},
                          "ws://127.0.0.1:4": {"kept": True, "token": "x" * 600}, "home": {"relay": "gopher://x"},
                          "ws://127.0.0.1:5": {}}.items():
            await records.put(value, id=id)
        await a.sync()
        await b.sync()
        assert _urls(b) == [server.url] == _urls(a)
    async with open_again(tmp_path / "b") as b:
        assert _urls(b) == [server.url]


async def test_a_list_that_cannot_be_taken_over_keeps_no_home_from_opening(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the home opens: it goes by the list that it had, and takes the new one over later."""
    async with _two(tmp_path, server.url) as (a, b):
        await a.relays.add(AWAY)
        await a.sync()
        await b.sync()

    async def full(_: RelayList) -> None:
        raise StorageFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(RelayList, "follow", full)
        async with open_again(tmp_path / "b") as b:
            assert _urls(b) == [server.url, AWAY]


async def test_the_list_has_an_end(tmp_path: Path, server: Within) -> None:
    """So many relays and no more, said or followed; what can't be told to others is refused, and can be had here."""
    async with _two(tmp_path, server.url) as (a, b):
        for number in range(MAX_RELAYS):
            await a.relays.add(f"ws://127.0.0.1:1/{number:02}")
        with pytest.raises(InvalidValue, match="at most"):
            await a.relays.add("ws://127.0.0.1:1/more")
        await a.collection("chez-relays").put({"kept": True, "pins": "", "token": ""}, id="ws://127.0.0.1:1/more")
        long = "ws://127.0.0.1:1/" + "x" * 120
        with pytest.raises(InvalidValue, match="told to other devices"):
            await b.relays.add(long)
        await b.relays.add(long, here=True)
        with pytest.raises(NotFound):
            await a.relays.remove(long)
        await a.collection("chez-relays").put({"kept": True, "pins": PIN, "token": ""}, id="wss://relay.invalid")
        await a.relays.follow()
        assert len(_urls(a)) == MAX_RELAYS + 1
        assert a.relays.pins("wss://relay.invalid") == (PIN,)  # it may be the home's, which counts as none of them


@given(st.text(max_size=40) | st.sampled_from(("wss://r", "ws://r")), st.dictionaries(
    st.sampled_from(("kept", "pins", "token", "more")),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.just(PIN), st.lists(st.text()))))
def test_any_record_is_a_relay_or_none(url: str, value: dict[str, object]) -> None:
    """Whatever a record of the list holds, it is a relay that can be dialled, or it is left alone."""
    said = _sound(url, value)
    if said is not None:
        assert url.startswith(("ws://", "wss://")) and (not said[1] or url.startswith("wss://"))


@pytest.mark.slow
async def test_recovery_brings_the_list(tmp_path: Path, server: Within) -> None:
    """A device that comes by another one's hand finds the list in the private space too, not only in the pairing."""
    async with relay(tmp_path / "second") as second, _two(tmp_path, server.url) as (a, _):
        async with join(a, tmp_path / "c", "c", server.url) as c:
            await a.relays.add(second.url)
            await a.sync()
            await c.sync()
            assert _urls(c) == [server.url, second.url]


@pytest.mark.parametrize("by", ["words", "code"])
async def test_who_comes_by_the_second_relay_is_where_guests_are(tmp_path: Path, server: Within, by: str) -> None:
    """A guest is at the relay of its link alone, the first one of its host's: the host's device that came by the other
    one, by the 24 words or a code, keeps their space in step there too.
    """
    async with relay(tmp_path / "second") as second, AsyncExitStack() as stack:
        a, words = await stack.enter_async_context(founded(tmp_path, server.url))
        (berta,) = await stack.enter_async_context(persons(tmp_path, "berta", relay=server.url))
        (hers,) = await shared(await a.create_space("Trip"), a, berta)
        await a.relays.add(second.url)
        await a.sync()
        if by == "words":
            await back(tmp_path / "new", words, second.url, expel_others=True)
            new = await stack.enter_async_context(open_again(tmp_path / "new"))
        else:
            new = await stack.enter_async_context(join(a, tmp_path / "new", "new", second.url))
        await new.space("Trip").collection("notes").put({"n": 1}, id="of new")
        await in_step(new, berta)
        assert set(_urls(new)) == {server.url, second.url}
        assert set(await values(hers)) == {"of new"}


async def test_whoever_is_alone_and_has_several_relays_tells_of_each(tmp_path: Path, server: Within) -> None:
    """One that is set when others were said stands in the list, with the former one, for who comes by the 24 words."""
    async with relay(tmp_path / "second") as second, founded(tmp_path, server.url) as (a, words):
        await a.relays.add(second.url)
        await a.set_relay(AWAY)
        await a.sync()
        await back(tmp_path / "new", words, second.url)
        async with open_again(tmp_path / "new") as new:
            assert new.relay == AWAY and set(_urls(new)) == set(_urls(a)) == {server.url, second.url, AWAY}


async def test_a_token_that_is_said_while_the_home_is_connected_is_used(tmp_path: Path) -> None:
    """A relay that wants one refuses the home, which stays connected; once it has it, it is in step by itself."""
    (tmp_path / "tokens").write_text("given\n")
    (tmp_path / "tokens").chmod(0o600)
    async with relay(tmp_path / "r", "--token-file", str(tmp_path / "tokens")) as server, persons(
            tmp_path, "anna", relay=server.url) as (anna,):
        await anna.collection("notes").put({"n": 1}, id="one")
        async with anna.connect() as link, asyncio.timeout(60):
            while link.status != "failed":
                await link.turn()
            assert isinstance(link.error, RelayRefused) and link.error.reason == "token"
            await anna.relays.token(server.url, "given")
            await anna.synced(timeout=30)
            assert [one.link for one in (await anna.status()).relays] == ["synced"]


@pytest.mark.parametrize(("what", "here"), [("add", True), ("set", False), ("set", True), ("remove", True)])
async def test_what_is_said_of_relays_holds_whoever_waits_for_it(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, what: str, here: bool) -> None:
    """Who says it while the home is connected, and is cancelled before it is done, need not say anything again."""
    said, write = asyncio.Event(), RelayList._write

    async def written(self: RelayList, work: Callable[[Transaction, Connection], Any]) -> Any:
        said.set()
        return await write(self, work)

    async with relay(tmp_path / "second") as second, persons(tmp_path, "anna") as (anna,):
        await anna.set_relay(server.url)
        if what == "remove":
            await anna.relays.add(second.url)
        async with anna.connect():
            monkeypatch.setattr(RelayList, "_write", written)
            saying = asyncio.create_task(getattr(anna.relays, what)(second.url, here=here))
            await said.wait()  # the store has it then, or soon
            saying.cancel()
            await asyncio.wait([saying])
            assert saying.cancelled()
            after = {"add": [server.url, second.url], "set": [second.url], "remove": [server.url]}[what]
            async with asyncio.timeout(20):
                while [(one.url, one.link) for one in anna.relays.list()] != [  # noqa: ASYNC110 - nothing announces it
                        (url, "synced") for url in after]:
                    await asyncio.sleep(0.01)


async def test_who_shares_a_space_with_a_home_that_gets_another_relay_is_in_step_with_it(
        tmp_path: Path, server: Within) -> None:
    """A member and a follower stay where they came to it: a device that is the only one of its home keeps that relay,
    until all are taken elsewhere."""
    async with (relay(tmp_path / "second") as second,
                persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta)):
        trip, news = await anna.create_space("Trip"), await anna.create_space("News", public=True)
        (hers,) = await shared(trip, anna, berta)
        read = await berta.follow(news.address)
        await anna.set_relay(second.url)
        assert _urls(anna) == [second.url, server.url]
        for space, id in ((trip, "a"), (hers, "b"), (news, "c")):
            await space.collection("notes").put({"n": 1}, id=id)
        await in_step(anna, berta, anna)
        assert set(await values(trip)) == set(await values(hers)) == {"a", "b"} and set(await values(read)) == {"c"}
    async with relay(tmp_path / "third") as third, persons(tmp_path, "carl", relay=server.url) as (carl,):
        await carl.create_space("Alone")
        await carl.set_relay(third.url)
        assert _urls(carl) == [third.url]
