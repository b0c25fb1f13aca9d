"""A removed device that goes on writing, and a copied one that writes twice: what counts, and what is told of it."""

import shutil
from pathlib import Path

import pytest

import chez
from chez.errors import HomeCopied, NotAllowed, NotFound, RelayRefused
from chez.home.evidence import pick
from chez.keys.device import DeviceKeys
from chez.records.encode import encode_fields
from chez.store.database import Connection
from chez.sync.entry import CHANGE, CHANGES, Item
from chez_wire.envelope import entry_id, fold_head
from chez_wire.frames import Entry
from tests.home.pairing import paired
from tests.people.persons import persons, shared
from tests.people.support import ids, open_again
from tests.relay.within import Within, relay


async def test_what_a_removed_device_sent_beyond_what_was_accepted_does_not_count(
        tmp_path: Path, server: Within) -> None:
    """What it wrote while its removal was on its way, and what a relay hands out of it after that, changes nothing.

    The owner's journal and `audit` tell of it; the device itself keeps what it has.
    """
    async with paired(tmp_path, server.url) as (a, b):
        await b.collection("notes").put({"n": 1}, id="seen")
        await b.sync(server.url)
        await a.sync(server.url)
        await b.collection("notes").put({"n": 2}, id="late")
        await b.collection("notes").put({"n": 2}, id="seen")
        await b.sync(server.url)
        await a.devices.remove("b")
        await a.sync(server.url)
        assert await ids(a) == {"seen"}
        await b.collection("notes").put({"n": 3}, id="later")
        await _handed_out(a, b)
        assert await ids(a) == {"seen"}
        note = await a.collection("notes").get("seen")
        assert note is not None and note.value == {"n": 1}
        evidence, = await a.audit()
        assert (evidence.kind, evidence.name, evidence.device) == ("late", "b", b.device_id)
        assert evidence.count >= 2 and evidence.counts is None
        assert [receipt.kind for receipt in await a.journal.receipts()][-1] == "entries-beyond-removal"
        with pytest.raises(RelayRefused):
            await b.sync(server.url)
        assert await ids(b) == {"seen", "late", "later"}


async def _handed_out(a: chez.Home, b: chez.Home) -> None:
    """A relay hands out what a device wrote after its keys there were replaced."""
    sealed = await b._database.write(lambda db: b._replica.author.outgoing(db, 1))
    assert sealed

    def arrive(db: Connection) -> None:
        position, head = db.execute("SELECT position, head FROM cursor WHERE space = 1 AND relay = 1").fetchone()
        page = []
        for number, one in enumerate(sealed, 1):
            head = fold_head(head, entry_id(one.envelope))
            page.append(Entry(position + number, one.envelope))
        a._replica.incoming(db, 1, page, head)

    await a._database.write(arrive)


async def test_a_copied_home_that_writes_twice_is_a_fork_until_its_owner_picks(tmp_path: Path, server: Within) -> None:
    """Two copies of a home write at two relays: neither counts, both are told, and one `pick` settles it."""
    async with paired(tmp_path, server.url) as (a, b):
        await b.collection("notes").put({"n": 1}, id="before")
        await b.sync(server.url)
        await a.sync(server.url)
        assert a._replica.space.membership.devices.keys() == {a.device_id, b.device_id}
    shutil.copytree(tmp_path / "b", tmp_path / "copy")
    async with relay(tmp_path / "other") as other, open_again(tmp_path / "a") as a:
        await a.sync(other.url)
        for name, url in (("b", server.url), ("copy", other.url)):
            async with open_again(tmp_path / name) as home:
                await home.collection("notes").put({"n": 2}, id=name)
                await home.sync(url)
        await a.sync(server.url)
        assert await ids(a) == {"before", "b"}
        await a.sync(other.url)
        assert await ids(a) == {"before"}
        fork, = [one for one in await a.audit() if one.kind == "fork"]
        assert (fork.name, len(fork.entries), fork.counts) == ("b", 2, None) and fork.found is not None
        assert "equivocation" in {receipt.kind for receipt in await a.journal.receipts()}
        with pytest.raises(NotFound):
            await a.pick("00" * 32)
        rows = await a._database.read(lambda db: db.execute(
            "SELECT lower(hex(hash)), inner FROM entry WHERE branch = 1").fetchall())
        assert rows[0][0] in fork.entries
        stranger = DeviceKeys.from_seeds(b"1" * 32, b"2" * 32)
        with pytest.raises(NotAllowed, match="only an owner"):
            await a._database.write(lambda db: pick(db, a._spaces.all.values(), stranger, rows[0][0]))
        assert await a.audit() == [fork]
        await a.pick(rows[0][0])
        assert await ids(a) == {"before", "copy"}
        assert [one.counts for one in await a.audit()] == [rows[0][0]]
    async with open_again(tmp_path / "a") as a, open_again(tmp_path / "b") as b:
        assert await ids(a) == {"before", "copy"}
        await a.sync(server.url, reseed=True)
        with pytest.raises(HomeCopied):
            await b.sync(server.url)


async def test_an_entry_that_broke_a_rule_is_shown_and_cannot_be_picked(tmp_path: Path, server: Within) -> None:
    """Beside a good entry a broken one of the same number: both are evidence, and only the good one can be picked."""
    async with paired(tmp_path, server.url) as (a, b):
        await b.sync(server.url)
        await a.sync(server.url)
    shutil.copytree(tmp_path / "b", tmp_path / "copy")
    foreign = Item(CHANGE, "notes", "a", encode_fields(b"z" * 32, 1, 1, (), {"x": 1}).bytes)
    async with relay(tmp_path / "other") as other, open_again(tmp_path / "a") as a:
        await a.sync(other.url)
        async with open_again(tmp_path / "copy") as copy:
            await copy._database.write(lambda db: copy._replica.author._append(db, 1, CHANGES, [foreign]))
            await copy.sync(other.url)
        await a.sync(other.url)
        refused, = await a.audit()
        assert (refused.kind, refused.name, refused.count) == ("refused", "b", 1) and "another" in refused.reason
        async with open_again(tmp_path / "b") as b:
            await b.collection("notes").put({"n": 1}, id="good")
            await b.sync(server.url)
        await a.sync(server.url)
        assert await ids(a) == set()
        fork, = [one for one in await a.audit() if one.kind == "fork"]
        good, broken = sorted(fork.branches, key=lambda branch: branch.broken)
        assert (good.records, good.broken, broken.records, broken.broken) == (("notes/good",), False, (), True)
        with pytest.raises(NotAllowed, match="broke a rule"):
            await a.pick(broken.entry)
        with pytest.raises(NotFound):
            await a.pick(good.entry[:7])
        await a.pick(good.entry[:8].upper())
        assert await ids(a) == {"good"}
        assert {receipt.body["entry"] for receipt in await a.journal.receipts("entry-picked")} == {good.entry}


async def test_a_new_epoch_that_is_owed_is_told(tmp_path: Path, server: Within) -> None:
    """A member leaves: until an owner's device was there, the space says at the others that its leaver still reads."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, his = await shared(trip, anna, berta, carl)
        await hers.leave()
        await berta.sync()
        await carl.sync()
        assert his.status().owed and [one.owed for one in (await carl.status()).spaces] == [False, True]
        await anna.sync()
        await carl.sync()
        assert not his.status().owed and not trip.status().owed
