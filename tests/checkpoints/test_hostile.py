"""A member gone bad, and a relay that helps: nothing is dropped on their word, and whoever reads finds out."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez.sync.checkpoints.dropping import Dropping
from chez.sync.checkpoints.forms import Forms
from chez.sync.checkpoints.heard import manifest_of, vouches
from chez.sync.checkpoints.site import Site
from chez.sync.checkpoints.vouching import Vouching, vouch_for
from chez.sync.entry import MANIFEST, VOUCH, read_signed, unseal
from chez_relay.storage.census import census
from chez_relay.storage.sqlite import FILE_NAME
from chez_wire.dropping import NO_DROP
from tests.checkpoints.test_homes import shown, shrunk, written
from tests.checkpoints.test_made_up import made_up, signed, slip_in
from tests.checkpoints.test_releasing import released
from tests.people.persons import persons, shared
from tests.people.support import join
from tests.relay.within import Within

_record, _independent = Forms.record, Site.independent


def _kinds(receipts: list[Any]) -> set[str]:
    return {receipt.kind for receipt in receipts}


async def _filled(anna: chez.Home, berta: chez.Home) -> tuple[chez.Space, chez.Space]:
    trip = await anna.create_space("Trip")
    (hers,) = await shared(trip, anna, berta)
    for _ in range(3):
        await written(trip, "anna", 3)
        await anna.sync()
        await berta.sync()
    return trip, hers


@pytest.mark.parametrize("fault", ["omits", "alters", "adds", "reorders"])
async def test_a_bad_checkpoint_is_refused_and_told(tmp_path: Path, server: Within, fault: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads it back finds that it is not what its authors signed: nobody vouches, nothing is dropped or lost."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, hers = await _filled(anna, berta)
        before, held = await shown(trip), census(server.data).bytes

        def bad(forms: Forms, key: tuple[str, str], rows: Any, actor: Any) -> Any:
            rows = list(rows)
            if fault == "omits":
                rows = rows[:-1] or rows
            elif fault == "alters":
                key = key[0], key[1] + "x"
            elif fault == "adds":
                rows.append((rows[-1][0], rows[-1][1] + 10_000, rows[-1][2]))
            elif len(rows) > 1:
                rows[0], rows[1] = (rows[0][0], rows[0][1], rows[1][2]), (rows[1][0], rows[1][1], rows[0][2])
            return _record(forms, key, rows, actor)

        monkeypatch.setattr(Forms, "record", bad)
        await hers.checkpoint()
        monkeypatch.undo()
        await anna.sync()
        refused = [receipt for receipt in await anna.journal.receipts() if receipt.kind == "checkpoint-refused"]
        assert [receipt.body["name"] for receipt in refused] == ["berta"]
        assert "entries-dropped" not in _kinds(await anna.journal.receipts())
        assert census(server.data).bytes >= held and await shown(trip) == before
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            assert await shown(phone.space("Trip")) == before


async def test_what_a_bad_checkpoint_is_in_leaves_the_relay(tmp_path: Path, server: Within,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """It was announced and refused, and another one goes as far: it does not count against the room for ever."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, hers = await _filled(anna, berta)
        with monkeypatch.context() as patched:
            patched.setattr(Forms, "record", lambda forms, key, rows, actor: _record(
                forms, (key[0], key[1] + "x"), rows, actor))
            await hers.checkpoint()
        await anna.sync()
        assert "checkpoint-refused" in _kinds(await anna.journal.receipts())
        assert server.data is not None and census(server.data).chunks
        await written(trip, "anna", 3)
        await anna.sync()
        done = await trip.checkpoint()
        for home in (berta, anna):
            await home.sync()
        assert done is not None and "entries-dropped" in _kinds(await anna.journal.receipts())
        await released(server, done.bytes)
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            assert await shown(phone.space("Trip")) == await shown(trip) != {}


@pytest.mark.slow
async def test_ones_own_second_device_is_no_independent_word(tmp_path: Path, server: Within,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """A vouch by a device of the maker's own person is not counted where there is another person."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        _, hers = await _filled(anna, berta)
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            bad = {bytes.fromhex(home.device_id.hex()) for home in (berta, phone)}
            monkeypatch.setattr(Site, "independent", lambda self, voucher, maker: (
                self.replica.access.device in bad or _independent(self, voucher, maker)))
            await hers.checkpoint()
            await phone.sync(server.url)
            done = await hers.checkpoint()
            assert done is not None and done.vouched
            # Anna does not read it back herself just now, so that there is no other word than theirs.
            monkeypatch.setattr(Vouching, "step", lambda self, db, answer: None)
            await anna.sync()
            assert "entries-dropped" not in _kinds(await anna.journal.receipts())


@pytest.mark.slow
@pytest.mark.parametrize("another", [False, True])
async def test_nothing_is_dropped_on_the_word_of_a_device_that_was_taken_out(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, another: bool) -> None:
    """Who took it out is a guest and starts no epoch: its vouch counts no more, and keeps nobody from saying another.
    """
    step, mute = Vouching.step, set[bytes]()
    monkeypatch.setattr(Vouching, "step", lambda self, db, answer: (
        None if self.site.replica.access.device in mute else step(self, db, answer)))
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, _ = await shared(trip, anna, berta, carl)
        async with join(carl, tmp_path / "phone", "phone", server.url) as phone:
            for _ in range(3):
                await written(trip, "anna", 3)
                for home in (anna, berta, carl, phone):
                    await home.sync()
            mute |= {home.device_id for home in (anna, berta, carl)}
            await hers.checkpoint()
            await berta.sync()
            await phone.sync()  # it vouches
            await carl.devices.remove(phone.device_id)
            if another:
                mute.discard(carl.device_id)
            await carl.sync()
            await anna.sync()
            assert ("entries-dropped" in _kinds(await anna.journal.receipts())) == another


@pytest.mark.slow
@pytest.mark.parametrize("out", [False, True])
async def test_nothing_is_released_on_the_word_of_a_device_that_was_taken_out(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, out: bool) -> None:
    """It vouched for the checkpoint that was dropped on: what that stands for need not be in it, so no other goes."""
    step, release, mute, waits = Vouching.step, Dropping._release, set[bytes](), [True]
    monkeypatch.setattr(Vouching, "step", lambda self, db, answer: (
        None if self.site.replica.access.device in mute else step(self, db, answer)))
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    monkeypatch.setattr(Dropping, "_release", lambda self, *given: None if waits else release(self, *given))
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, _ = await shared(trip, anna, berta, carl)
        async with join(carl, tmp_path / "phone", "phone", server.url) as phone:
            mute |= {home.device_id for home in (anna, berta, carl)}
            for _ in range(2):
                await written(trip, "anna", 6)
                for home in (anna, berta, carl, phone):
                    await home.sync()
                await hers.checkpoint()
                await berta.sync()
                await phone.sync()  # it vouches
                await anna.sync()  # and drops
            assert len(await anna.journal.receipts("entries-dropped")) == 2
            if out:
                await carl.devices.remove(phone.device_id)
                await carl.sync()
            waits.clear()
            await anna.sync()
            assert ("chunks-released" in _kinds(await anna.journal.receipts())) == (not out)


@pytest.mark.parametrize("ranges", [False, True])
async def test_nothing_is_released_on_anothers_word(tmp_path: Path, server: Within, ranges: bool,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """A member says that the segments of the last checkpoint may go, by themselves or with entries: no owner asks."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, hers = await _filled(anna, berta)
        await trip.checkpoint()
        bad, step, said = berta.device_id, Vouching.step, []

        def lying(self: Vouching, db: Any, answer: Any) -> Any:
            if self.site.replica.access.device != bad or self.site.replica.space.private:
                return step(self, db, answer)
            if said:
                return None
            ((entry, _, manifest),) = self.site.manifests(db)
            said.append(manifest.segments)
            return vouch_for(db, self.site, entry if ranges else bytes(32), NO_DROP,
                             self._ranges(db, manifest) if ranges else [], manifest.segments)

        monkeypatch.setattr(Vouching, "step", lying)
        await berta.sync()
        assert server.data is not None and said
        held = census(server.data)
        for _ in range(2):
            await anna.sync()
        assert not {"chunks-released", "entries-dropped"} & _kinds(await anna.journal.receipts())
        async with persons(tmp_path, "carl", relay=server.url) as (carl,):
            (his,) = await shared(trip, anna, carl)
            assert await shown(his) == await shown(hers) == await shown(trip) != {}
        assert census(server.data).chunks == held.chunks


@pytest.mark.slow
async def test_a_gap_that_nobody_vouched_for_is_told(tmp_path: Path, server: Within,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner and its relay drop on the maker's own word: who comes later has what the checkpoint has, and is told."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, _ = await _filled(anna, berta)
        held = census(server.data).bytes
        mine = anna.device_id
        monkeypatch.setattr(Site, "independent", lambda self, voucher, maker: (
            self.replica.access.device == mine or _independent(self, voucher, maker)))
        done = await trip.checkpoint()
        assert done is not None and done.dropped
        await shrunk(server, held + 20_000)
        monkeypatch.setattr(Vouching, "step", lambda self, db, answer: None)
        async with persons(tmp_path, "carl", relay=server.url) as (carl,):
            (his,) = await shared(trip, anna, carl)
            assert await shown(his) == await shown(trip)
            assert "entries-missing" in _kinds(await carl.journal.receipts())


async def test_no_other_checkpoint_is_put_in_the_place_of_the_one_that_was_dropped_on(tmp_path: Path,
                                                                                      server: Within) -> None:
    """A member says a vouch like the one that was dropped on, for a checkpoint of its own that goes as far, and is made
    of an attachment: the segments of the one that stands for all that was dropped stay; a newcomer has everything."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, hers = await _filled(anna, berta)
        await trip.checkpoint()
        await berta.sync()
        await anna.sync()
        assert "entries-dropped" in _kinds(await anna.journal.receipts())
        await hers.collection("notes").put({"scan": await hers.blobs.add(b"a page" * 99)}, id="hers")
        await berta.sync()
        held, keys, author = census(server.data), hers._held.space, hers._held.replica.access.signer
        ((_, vouch, manifest),) = await berta._database.read(lambda db: [
            (entry, vouch, manifest_of(db, keys.n, vouch.manifest)) for entry, _, vouch, _ in vouches(db, keys.n)])
        with closing(sqlite3.connect(server.data / FILE_NAME)) as db:
            held_chunks = db.execute("SELECT chunk FROM chunks JOIN spaces USING (space) WHERE handle = ?",
                                     (keys.handle,)).fetchall()
        pieces = [one for (one,) in held_chunks if one not in manifest.segments]
        assert pieces
        for number in range(40, 60):  # whichever hash it has
            mine = signed(keys, author, number, MANIFEST, made_up([one for bundle in manifest.bundles
                                                                   for one in bundle.upto], pieces))
            await slip_in(berta, hers, [mine, signed(keys, author, number + 100, VOUCH, msgspec.structs.replace(
                vouch, manifest=read_signed(unseal(mine, keys.handle, keys.epochs)).hash))])
        for _ in range(3):
            await anna.sync()
        assert "chunks-released" not in _kinds(await anna.journal.receipts())
        assert census(server.data).chunks == held.chunks
        async with persons(tmp_path, "carl", relay=server.url) as (carl,):
            (his,) = await shared(trip, anna, carl)
            assert await shown(his) == await shown(trip) != {}
