"""A home at several relays: each has all of it, one that goes is missed by nobody, one that lies is named alone."""

import asyncio
import shutil
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf, random_bytes
from chez.errors import InvalidValue, Misuse, NotFound, RelayMisbehaved, RelayRefused, RelayUnreachable, StorageFailed
from chez.sync.keeping import Keeping
from chez.sync.link import Link
from tests.home.pairing import PASSPHRASE, paired
from tests.people.persons import persons
from tests.people.proxy import behind, proxy
from tests.people.support import ids, join, raw_entries
from tests.relay.within import Within, relay


async def _put(home: chez.Home, *ids: str) -> None:
    for id in ids:
        await home.collection("notes").put({"n": id}, id=id)


async def _both(home: chez.Home, one: str, two: str) -> None:
    """The home is known by one relay, and kept at another too."""
    await home.set_relay(one)
    await home.relays.add(two)


async def test_each_relay_has_all_of_it(tmp_path: Path, server: Within) -> None:
    """A relay that is added is filled, and either alone brings a new device everything there is."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, b):
        await _put(a, "before")
        await b.sync(server.url)
        await _put(b, "of b")
        await b.sync(server.url)
        await a.sync(server.url)
        await _both(a, server.url, second.url)
        report = await a.sync()
        assert [one.url for one in report.relays] == [server.url, second.url] and not report.problems
        await _put(a, "after")
        await a.sync()
        await server.kill()
        async with join(a, tmp_path / "c", "c", second.url) as c:
            assert await ids(c) == {"before", "of b", "after"}


async def test_what_only_a_relay_that_was_left_has_is_pending(tmp_path: Path, server: Within) -> None:
    """Nobody gets it there any more: `chez status` said that nothing was left to send."""
    await chez.create(tmp_path / "a", passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with relay(tmp_path / "second") as second, chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
        assert (await home.status()).pending == 0
        await home.set_relay(server.url)
        await _put(home, "one")
        await home.sync()
        assert (await home.status()).pending == 0
        await home.set_relay(second.url)
        assert (await home.status()).pending >= 2  # the record, and what says who is in the space
        await home.sync()
        assert (await home.status()).pending == 0


async def test_a_link_is_in_step_also_where_another_one_did_the_rest(tmp_path: Path, server: Within) -> None:
    """What waits in the store for its turn is had over any link: who waited for one that did not have it waited on."""
    await chez.create(tmp_path / "a", passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with relay(tmp_path / "second") as second, chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
        await _both(home, server.url, second.url)
        async with home.connect():
            await home.synced()
            first, other = home._syncing.links
            replica = home._spaces.private.replica
            replica.hear()  # as a link's step of a checkpoint does, in the store's thread
            async with asyncio.timeout(10):
                waiting = asyncio.create_task(other.synced())
                await asyncio.sleep(0)
                assert not waiting.done()
                first.wake(replica.space.id)
                await waiting


async def test_when_one_goes_the_others_go_on_and_it_catches_up(tmp_path: Path) -> None:
    """A relay is killed: both devices go on over the other; back again, it is given what it missed by itself."""
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, b)):
        for home in (a, b):
            await _both(home, front.url, second.url)
            await home.sync()
        await first.kill()
        await _put(a, "one")
        report = await a.sync()
        assert report.relay == second.url and not report.problems
        assert [bool(one.problem) for one in report.relays] == [True, False]
        assert (await b.sync()).received >= 1
        await _put(b, "two")
        await b.sync()
        await a.sync()
        assert await ids(a) == await ids(b) == {"one", "two"}
        async with behind(front, tmp_path / "r"):
            for home in (a, b):
                report = await home.sync()
                assert not any(one.problem for one in report.relays)
        entries = raw_entries(tmp_path / "r"), raw_entries(tmp_path / "second")
        assert len(entries[0]) >= 2
        await second.kill()
        async with behind(front, tmp_path / "r"), join(a, tmp_path / "c", "c", front.url) as c:
            assert await ids(c) == {"one", "two"}


async def test_who_gave_a_relay_what_others_wrote_misses_nothing_of_its_own(tmp_path: Path) -> None:
    """What another device wrote while a relay was away it gets from this one: the doctor finds nothing lost here."""
    async with (proxy() as front, relay(tmp_path / "second") as second, behind(front, tmp_path / "r") as first,
                paired(tmp_path, front.url) as (a, b)):
        for home in (a, b):
            await _both(home, front.url, second.url)
            await home.sync()
        await first.kill()
        await _put(b, "of b")
        await b.sync()
        await a.sync()
        async with behind(front, tmp_path / "r"):
            await a.sync(everywhere=True)
            assert await a.examine() == [] and not any(one.problem for one in (await a.status()).relays)


@pytest.mark.parametrize("stays", [False, True])
async def test_a_relay_that_lost_its_store_is_told_of_once(tmp_path: Path, stays: bool) -> None:
    """Whether the home was connected when it came back empty or not, the next report names it, and no later one does.
    """
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, _)):
        await _both(a, front.url, second.url)
        await _put(a, "one")
        assert (await a.sync()).reset == ()
        async with a.connect() if stays else nullcontext():
            await first.kill()
            async with behind(front, tmp_path / "empty"):
                for link in a._syncing.links:
                    link.check()
                reports = [await a.sync(everywhere=True) for _ in range(3)]
                assert [report.reset for report in reports] == [(front.url,), (), ()]
                assert len(raw_entries(tmp_path / "empty")) >= 2


async def test_live_links_fail_over(tmp_path: Path) -> None:
    """Connected to two relays, what one device writes reaches the other while either relay is away."""
    async with (proxy() as front, proxy() as side, behind(front, tmp_path / "r") as first,
                behind(side, tmp_path / "s") as second, paired(tmp_path, front.url) as (a, b)):
        for home in (a, b):
            await _both(home, front.url, side.url)
        async with a.connect() as link, b.connect():
            await link.synced(90)
            await first.kill()
            await _put(a, "over the second")
            await _seen(b, "over the second")
            status = (await a.status()).spaces[0]
            assert status.link in ("synced", "syncing") and status.relay == side.url
            assert status.relays[0].link == "connecting"
            async with behind(front, tmp_path / "r"):
                for one in (*a._syncing.links, *b._syncing.links):
                    one.check()
                await link.synced(90)
                await second.kill()
                await _put(b, "over the first")
                await _seen(a, "over the first")


async def _seen(home: chez.Home, id: str) -> None:
    """Until a note is there."""
    async with asyncio.timeout(90):
        async for note in home.collection("notes").live(id):
            if note is not None:
                return


async def test_a_device_whose_disk_was_full_goes_on_when_there_is_room(tmp_path: Path, server: Within) -> None:
    """While nothing can be written the connection says so; with room what came meanwhile is taken in, unasked."""
    async with paired(tmp_path, server.url) as (a, b), b.connect(
            server.url) as link, a.connect(server.url) as other:
        await link.synced(90)
        pages = await b._database.write(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await b._database.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        for n in range(8):
            await a.collection("notes").put({"text": random_bytes(100_000).hex()}, id=f"{n}")
        await other.synced(90)
        async with asyncio.timeout(90):
            while not isinstance(link.error, StorageFailed):
                await link.turn()
        assert "full" in (await b.status()).relays[0].problem
        await b._database.write(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
        link.check()
        await _seen(b, "7")
        await link.synced(90)
        assert link.status == "synced" and len(await ids(b)) == 8


async def test_a_relay_that_lies_is_named_while_the_other_goes_on(tmp_path: Path) -> None:
    """A store that was set back is named; what is written leaves over the honest relay, and nothing is lost."""
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                paired(tmp_path, second.url) as (a, b)):
        for home in (a, b):
            await _both(home, second.url, front.url)
            await home.sync()
        await first.kill()
        shutil.copytree(tmp_path / "r", tmp_path / "old")
        async with behind(front, tmp_path / "r"):
            await _put(a, "early")
            await a.sync()
        async with behind(front, tmp_path / "old"):
            await _put(a, "late")
            report = await a.sync()
            lying = next(one for one in report.relays if one.url == front.url)
            assert "rolled back" in lying.problem and report.relay == second.url
            await b.sync()
            assert await ids(b) == {"early", "late"}
            await a.sync(reseed=True)
            assert not any(one.problem for one in (await a.sync()).relays)
            await second.kill()
            async with join(a, tmp_path / "c", "c", front.url) as c:
                assert await ids(c) == {"early", "late"}


@pytest.mark.slow
async def test_a_device_carries_between_relays_that_do_not_share_all_devices(tmp_path: Path, server: Within) -> None:
    """What came from one relay and the other does not show after a while, the device that knows both gives to it."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, b):
        await a.set_relay(server.url)
        await a.relays.add(second.url, here=True)  # b knows the first alone
        await a.sync()
        async with a.connect() as link:
            await link.synced(90)
            await _put(b, "of b")
            await b.sync(server.url)
            await _seen(a, "of b")
            before = len(raw_entries(tmp_path / "second"))
            other = next(one for one in a._syncing.links if one.url == second.url)
            for _ in range(2):  # the second look finds what the first did
                await other.synced(90)
                other._tick(False)
            await other.synced(90)
            assert len(raw_entries(tmp_path / "second")) > before
        await server.kill()
        async with join(a, tmp_path / "c", "c", second.url) as c:
            assert await ids(c) == {"of b"}


@pytest.mark.slow
async def test_with_no_relay_left_the_error_is_that_of_the_first(tmp_path: Path) -> None:
    """Only when no relay at all has what was written does a sync raise; it waits, and leaves with the next."""
    async with proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second:
        async with paired(tmp_path, front.url) as (a, _):
            await _both(a, front.url, second.url)
            await a.sync()
            await first.kill()
            await second.kill()
            await _put(a, "one")
            with pytest.raises(RelayUnreachable):
                await a.sync()
            async with behind(front, tmp_path / "r"):
                assert (await a.sync()).sent == 1


@pytest.mark.slow
async def test_everywhere_is_more_than_somewhere(tmp_path: Path) -> None:
    """One relay that has everything is enough, unless it is to be at each; what the others lack is said, and is true.
    """
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, _)):
        await _both(a, front.url, second.url)
        assert (await _lacks(a))[second.url] is None
        await a.sync(everywhere=True)
        assert await _lacks(a) == {front.url: 0, second.url: 0}
        await first.kill()
        await _put(a, "one", "two")
        assert await _lacks(a) == {front.url: 2, second.url: 2}
        with pytest.raises(RelayUnreachable):
            await a.sync(everywhere=True)
        report = await a.sync()
        assert {one.url: one.lacks for one in report.relays} == await _lacks(a) == {front.url: 1, second.url: 0}
        async with behind(front, tmp_path / "r"):
            await a.sync(everywhere=True)
            assert await _lacks(a) == {front.url: 0, second.url: 0}


@pytest.mark.slow
@pytest.mark.parametrize("stays", [False, True], ids=["once", "connected"])
async def test_what_a_slow_relay_brings_the_others_have_too_at_the_end(tmp_path: Path, stays: bool) -> None:
    """A relay that was read before another one brought another device's work lacks none of it when each is waited for.
    """
    async with (proxy() as front, behind(front, tmp_path / "r"), relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, b)):
        await _both(a, front.url, second.url)
        await _put(b, "of b")
        await b.sync(front.url)  # b knows of no other yet
        front.passes.clear()
        async with a.connect() if stays else nullcontext():
            waiting = asyncio.create_task(a.synced(everywhere=True, timeout=250) if stays else a.sync(everywhere=True))
            await (await _link(a, second.url)).synced(60)
            front.passes.set()
            await waiting
            assert await _lacks(a) == {front.url: 0, second.url: 0}
            assert await ids(a) == {"of b"}


async def _link(home: chez.Home, url: str) -> Link:
    """The link to a relay, once it is begun."""
    while True:
        for link in home._syncing.links:
            if link.url == url:
                return link
        await asyncio.sleep(0)


async def _lacks(home: chez.Home) -> dict[str, int | None]:
    return {one.url: one.lacks for one in (await home.status()).relays}


@pytest.mark.slow
async def test_who_is_connected_waits_for_one_relay_or_for_all(tmp_path: Path) -> None:
    """While connected, `synced` returns when one relay has everything; for `everywhere` it takes the other one too."""
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, _)):
        await _both(a, front.url, second.url)
        with pytest.raises(Misuse):
            await a.synced()
        async with a.connect():
            await a.synced(everywhere=True, timeout=90)
            await first.kill()
            await _put(a, "one")
            await a.synced(timeout=90)
            assert (await _lacks(a))[second.url] == 0
            waiting = asyncio.create_task(a.synced(everywhere=True, timeout=90))
            await a.synced(timeout=90)
            assert not waiting.done()
            async with behind(front, tmp_path / "r"):
                for one in a._syncing.links:
                    one.check()
                await waiting
                assert await _lacks(a) == {front.url: 0, second.url: 0}


@pytest.mark.slow
async def test_a_sync_tells_how_far_it_is(tmp_path: Path, server: Within) -> None:
    """What is done only grows, is never more than the whole, and is the whole at the end."""
    async with paired(tmp_path, server.url) as (a, b):
        for number in range(12):
            await a.collection("notes").put({"text": random_bytes(250_000)}, id=str(number))
        for home in (a, b):
            steps: list[tuple[int, int]] = []
            await home.sync(server.url, progress=lambda done, total, steps=steps: steps.append((done, total)))
            assert all(done <= total for done, total in steps) and steps == sorted(steps, key=lambda step: step[0])
            assert steps[-1][0] == steps[-1][1] >= 6


@pytest.mark.slow
async def test_relays_are_named_and_let_go(tmp_path: Path, server: Within) -> None:
    """The list is kept with the home; one that is removed gets nothing more, also while connected."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, _):
        with pytest.raises(NotFound):
            await a.relays.add(second.url)  # there is none beside which it could be
        await a.set_relay(server.url)
        with pytest.raises(InvalidValue):
            await a.relays.add("http://page")
        for _ in range(2):
            await a.relays.add(second.url)
        assert [(one.url, one.link) for one in a.relays.list()] == [(server.url, "off"), (second.url, "off")]
        with pytest.raises(InvalidValue):
            await a.relays.remove(server.url)
        async with a.connect() as link:
            await link.synced(90)
            await a.sync()
            await a.relays.remove(second.url)
            assert [one.url for one in a.relays.list()] == [server.url]
            held = len(raw_entries(tmp_path / "second"))
            await _put(a, "one")
            await a.sync()
            assert len(raw_entries(tmp_path / "second")) == held
            await a.relays.add(second.url)
            await a.sync()
            assert len(raw_entries(tmp_path / "second")) > held
        with pytest.raises(NotFound):
            await a.relays.remove("ws://127.0.0.1:1")


@pytest.mark.slow
async def test_a_relay_added_while_connected_does_not_hide_another_spaces_own(tmp_path: Path, server: Within) -> None:
    """A sync over links that stand waits for the relay of each space, in whatever order they came."""
    async with (relay(tmp_path / "own") as own, relay(tmp_path / "beside") as beside,
                paired(tmp_path, server.url) as (a, b)):
        await a.set_relay(server.url)
        space = await a.create_space("elsewhere", relay=own.url)
        async with a.connect() as link:
            await link.synced(90)
            await a.relays.add(beside.url)
            await space.collection("notes").put({"n": 1}, id="there")
            await a.sync()
            assert [one.url for one in space.status().relays] == [own.url]
            assert space.status().link == "synced"
        await b.sync(server.url)
        await b.sync(server.url)
        assert {note.id async for note in b.space("elsewhere").collection("notes")} == {"there"}
        assert {one.url for one in a.relays.list()} == {server.url, own.url, beside.url}


@pytest.mark.slow
async def test_attachments_are_at_each_relay(tmp_path: Path, server: Within) -> None:
    """A file that was added is fetched from whichever relay is left."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, b):
        for home in (a, b):
            await _both(home, server.url, second.url)
        blob = await a.blobs.add(b"x" * 100_000, name="x")
        await a.collection("files").put({"blob": blob}, id="x")
        await a.sync()
        await b.sync()
        await server.kill()
        async with b.connect():
            assert b"".join([part async for part in b.blobs.read(blob)]) == b"x" * 100_000


@pytest.mark.slow
async def test_a_lying_first_relay_raises_only_when_it_is_alone(tmp_path: Path) -> None:
    """The home's own relay may be the one that lies: the one beside it keeps the home in step."""
    async with (proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, _)):
        await _put(a, "early")
        await first.kill()
        shutil.copytree(tmp_path / "r", tmp_path / "old")
        async with behind(front, tmp_path / "r"):
            await a.sync(front.url)
        async with behind(front, tmp_path / "old"):
            with pytest.raises(RelayMisbehaved):
                await a.sync(front.url)
            await _both(a, front.url, second.url)
            report = await a.sync()
            assert report.relay == second.url and report.relays[0].problem


async def test_a_relay_that_wants_a_token_takes_the_spaces_of_who_was_given_one(tmp_path: Path) -> None:
    """Without a token and with a wrong one nothing is made there, and the person hears which and what to do."""
    (tmp_path / "tokens").write_text("given-to-Anna\ngiven-to-Berta\n")
    async with relay(tmp_path / "data", "--token-file", str(tmp_path / "tokens")) as process:
        await chez.create(tmp_path / "a", passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
        async with chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
            await home.set_relay(process.url)
            await _put(home, "one")
            for wrong, why in (("", "none was given"), ("another", "is none of those")):
                await home.relays.token(process.url, wrong)
                with pytest.raises(RelayRefused, match=why) as caught:
                    await home.sync()
                assert caught.value.reason == "token" and "chez relay token" in caught.value.hint
            await home.relays.token(process.url, "given-to-Anna")
            assert (await home.sync()).sent
            with pytest.raises(InvalidValue):
                await home.relays.token(process.url, "x" * 513)


def slow_links(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Set when a link is to be made; and what it waits for then, which is set at first."""
    load, asked, go_on = Keeping.load.__func__, threading.Event(), threading.Event()  # type: ignore[attr-defined]

    def slowly(kind: type[Keeping], *arguments: object, **named: object) -> Keeping:
        asked.set()
        assert go_on.wait(90)
        return load(kind, *arguments, **named)  # type: ignore[no-any-return]

    monkeypatch.setattr(Keeping, "load", classmethod(slowly))
    go_on.set()
    return asked, go_on


async def test_a_sync_while_the_home_just_connects_goes_over_that_connection(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until the home is connected, and leaves it so; to connect once more is refused as ever."""
    asked, go_on = slow_links(monkeypatch)
    async with persons(tmp_path, "a", relay=server.url) as (a,):
        go_on.clear()
        connected, enough = asyncio.Event(), asyncio.Event()

        async def stay() -> None:
            async with a.connect():
                connected.set()
                await enough.wait()

        staying = asyncio.create_task(stay())
        await asyncio.to_thread(asked.wait, 90)
        syncing = asyncio.create_task(a.sync())
        await asyncio.sleep(0)  # it has begun
        go_on.set()
        assert not (await syncing).problems
        await connected.wait()
        with pytest.raises(Misuse, match="connected to"):
            async with a.connect():
                pass
        await _put(a, "later")
        await a.synced(timeout=90)
        enough.set()
        await staying


async def test_a_relay_that_is_added_while_the_home_disconnects_is_let_go(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who disconnects while a link to an added relay is being made leaves none behind, and syncs with both later."""
    asked, go_on = slow_links(monkeypatch)
    async with relay(tmp_path / "second") as second, persons(tmp_path, "a") as (a,):
        await a.set_relay(server.url)
        async with a.connect():
            go_on.clear()
            asked.clear()
            adding = asyncio.create_task(a.relays.add(second.url))
            await asyncio.to_thread(asked.wait, 90)
        go_on.set()
        await adding
        assert [one.link for one in a.relays.list()] == ["off", "off"]
        assert not (await a.sync(timeout=90)).problems
