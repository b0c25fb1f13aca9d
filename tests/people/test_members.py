"""Members come, go and change roles over a real relay: who reads what, whose writing counts, on every device alike."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import ChezError, InvalidValue, NotAllowed
from chez.sync.entry import unseal
from chez.sync.replacement import Replacement
from chez_wire.envelope import Header
from tests.home.pairing import PASSPHRASE
from tests.people.persons import crooked_put, in_step, persons, roles, shared, values
from tests.people.support import join, open_again, raw_entries
from tests.relay.within import Within


async def test_a_reader_reads_and_each_device_alone_refuses_what_it_writes(tmp_path: Path, server: Within) -> None:
    """A reader reads all; what it appends with a stolen credential shows on no other device, and is told of."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        (hers,) = await shared(trip, anna, berta, role="reader")
        (his,) = await shared(trip, anna, carl)
        async with join(carl, tmp_path / "phone", "phone", server.url) as phone:
            await in_step(anna, berta)
            assert await values(hers) == {"a": {"n": 1}} and hers.role == "reader"
            with pytest.raises(NotAllowed, match="read"):
                await hers.collection("notes").put({"n": 2}, id="a")
            await crooked_put(berta, hers, trip._held.space.epoch, {"n": 666}, "a")
            await in_step(anna, carl, phone)
            for home, space in ((anna, trip), (carl, his), (phone, phone.space("Trip"))):
                assert await values(space) == {"a": {"n": 1}}
                assert (await home.status()).quarantined >= 1
            reasons = await carl._database.read(lambda db: db.execute("SELECT reason FROM quarantine").fetchall())
            assert any("read here, not write" in reason for (reason,) in reasons)


async def test_a_removed_member_is_sent_no_later_key_and_nothing_it_could_read(tmp_path: Path, server: Within) -> None:
    """All that the relay hands out after a removal, tried with every key of the removed: nothing opens."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, his = await shared(trip, anna, berta, carl)
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await in_step(anna, berta, phone)
            await hers.collection("notes").put({"n": 1}, id="before")
            await in_step(berta, anna, carl)
            await trip.remove("berta")
            await trip.collection("notes").put({"n": 2}, id="after")
            await anna.sync()
            for home in (berta, phone):
                report = await home.sync()
                assert [problem.name for problem in report.problems] == ["Trip"]
                space = home.space("Trip")
                assert space.status().removed and space.role is None
                with pytest.raises(NotAllowed, match="no part"):
                    await space.collection("notes").put({"n": 3})
            await carl.sync()
            assert set(await values(his)) == {"before", "after"} and set(await values(hers)) == {"before"}
            held = {**hers._held.space.epochs, **phone.space("Trip")._held.space.epochs}
            later = [entry for entry in raw_entries(tmp_path / "relay") if Header.decode(entry).epoch not in held]
            assert later, "what was written after the removal is under another epoch"
            for entry in later:
                with pytest.raises(ChezError):
                    unseal(entry, hers._held.space.handle, held)
            assert trip._held.space.epoch.id not in held


async def test_what_a_removed_member_goes_on_writing_counts_for_nothing(tmp_path: Path, server: Within) -> None:
    """A removed member with credentials that somebody leaked to it: no device shows what it writes."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, his = await shared(trip, anna, berta, carl)
        await hers.collection("notes").put({"n": 1}, id="before")
        await in_step(berta, anna, carl)
        await trip.remove("berta")
        await in_step(anna, carl)
        await crooked_put(berta, hers, trip._held.space.epoch, {"n": 666}, "late")
        await in_step(carl, anna)
        assert await values(trip) == await values(his) == {"before": {"n": 1}}
        for home in (anna, carl):
            evidence = [one for one in await home.audit() if one.space == trip.id]
            assert [(one.kind, one.name) for one in evidence] == [("late", "berta")]


@pytest.mark.slow
async def test_a_removed_member_comes_back(tmp_path: Path, server: Within) -> None:
    """Let in again, who was removed goes on with what it has by the same link, reads what it missed, and writes."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await hers.collection("notes").put({"n": 1}, id="before")
        await in_step(berta, anna)
        await trip.remove("berta")
        await trip.collection("notes").put({"n": 2}, id="missed")
        await anna.sync()
        await berta.sync()
        assert hers.status().removed
        with pytest.raises(NotAllowed, match="taken out"):
            await berta.join(trip.link())
        await trip.add(await berta.card(), "writer")
        await anna.sync()
        assert await berta.join(trip.link()) == hers
        await in_step(berta)
        assert set(await values(hers)) == {"before", "missed"} and not hers.status().removed
        await hers.collection("notes").put({"n": 3}, id="again")
        await in_step(berta, anna)
        assert await values(trip) == await values(hers) and len(await values(trip)) == 3
        assert await anna.audit() == await berta.audit() == []


async def test_who_leaves_is_gone_everywhere_and_what_it_wrote_stays(tmp_path: Path, server: Within) -> None:
    """A member leaves with work unsent: that counts; an owner's device starts the epoch that is owed."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, his = await shared(trip, anna, berta, carl)
        await in_step(anna, berta, carl)
        number = trip._held.space.epoch.number
        await hers.collection("notes").put({"n": 1}, id="last words")
        await hers.leave()
        await berta.sync()
        await in_step(anna, carl)
        for space in (trip, his):
            assert await roles(space) == {"anna": "owner", "carl": "writer"}
            assert await values(space) == {"last words": {"n": 1}}
            assert space._held.space.epoch.number == number + 1
            assert not space._held.space.membership.state.rotation_owed
        assert [await home.audit() for home in (anna, berta, carl)] == [[], [], []]
        assert [(await home.status()).quarantined for home in (anna, carl)] == [0, 0]
        report = await berta.sync()
        assert hers.role is None and hers.status().removed and await values(hers) == {"last words": {"n": 1}}
        assert report.problems == ()  # it is out of the space, as it wanted


async def test_an_owner_leaves_and_the_others_go_on(tmp_path: Path, server: Within) -> None:
    """The owner who made the space leaves; the other owner's second device starts the epoch, and lets people in."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await in_step(anna, berta, phone)
            await trip.leave()
            await anna.sync()
            await phone.sync()
            assert not phone.space("Trip")._held.space.membership.state.rotation_owed
            (his,) = await shared(phone.space("Trip"), phone, carl)
            await his.collection("notes").put({"n": 1}, id="a")
            await in_step(carl, berta)
            assert await roles(hers) == {"berta": "owner", "carl": "writer"} and set(await values(hers)) == {"a"}
            await anna.sync()
            assert await values(trip) == {}


async def test_two_owners_remove_each_other(tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both removals arrive before the relay's keys change: both owners are out everywhere, the third one goes on."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, his = await shared(trip, anna, berta, carl, role="owner")
        await in_step(anna, berta, carl)
        await trip.remove("berta")
        await hers.remove("anna")
        with monkeypatch.context() as patch:  # each is cut off before it replaces the keys
            patch.setattr(Replacement, "due", False)
            await anna.sync()
            await berta.sync()
        await carl.sync()
        assert await roles(his) == {"carl": "owner"}
        assert not his._held.space.membership.state.rotation_owed
        await his.collection("notes").put({"n": 1}, id="mine")
        await carl.sync()
        for home, space in ((anna, trip), (berta, hers)):
            await home.sync()
            assert await values(space) == {} and space.status().removed and space.role is None


@pytest.mark.slow
async def test_of_two_owners_who_remove_each_other_the_first_to_arrive_stays(tmp_path: Path, server: Within) -> None:
    """Once the relay's keys changed, the other's word reaches nobody: it is out, and told that it is."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        hers, his = await shared(trip, anna, berta, carl, role="owner")
        await in_step(anna, berta, carl)
        await trip.remove("berta")
        await hers.remove("anna")
        for _ in range(2):
            for home in (anna, berta, carl):
                await home.sync()
        assert await roles(trip) == await roles(his) == {"anna": "owner", "carl": "owner"}
        (problem,) = (await berta.sync()).problems
        assert problem.name == "Trip" and "no more" in problem.problem


@pytest.mark.slow
async def test_a_removal_said_offline_meets_an_addition(tmp_path: Path, server: Within) -> None:
    """Offline one owner removes a member, another lets one in: both stand, the newcomer reads, one epoch leads."""
    async with persons(tmp_path, "anna", "berta", "carl", "dora", relay=server.url) as (anna, berta, carl, dora):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        await trip.remove("carl")
        await hers.add(await dora.card())
        await berta.sync()
        theirs = await dora.join(hers.link())
        await in_step(anna, berta, dora)
        for space in (trip, hers, theirs):
            assert await roles(space) == {"anna": "owner", "berta": "owner", "dora": "writer"}
            state = space._held.space.membership.state
            assert not state.rotation_owed and len(state.epoch_heads) == 1
        assert trip._held.space.epoch == hers._held.space.epoch
        await theirs.collection("notes").put({"n": 1}, id="dora's")
        await in_step(dora, anna, berta)
        assert await values(trip) == await values(hers) == {"dora's": {"n": 1}}
        await carl.sync()
        assert his.status().removed and await values(his) == {}


@pytest.mark.slow
async def test_the_epoch_owed_by_a_removal_is_started_by_another_owner(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner's removal arrives, the new keys never do: another owner's device starts the epoch."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        (his,) = await shared(trip, anna, carl)
        await in_step(anna, berta, carl)
        before = hers._held.space.epoch.number
        await trip.remove("carl")
        with monkeypatch.context() as patch:  # it is cut off, and never comes again
            patch.setattr(Replacement, "due", False)
            await anna.sync()
        await berta.sync()
        assert hers._held.space.epoch.number == before + 1
        assert not hers._held.space.membership.state.rotation_owed
        await hers.collection("notes").put({"n": 1}, id="secret")
        await berta.sync()
        await carl.sync()
        assert await values(his) == {} and his.status().removed
        await in_step(anna, berta, anna)
        assert trip._held.space.epoch == hers._held.space.epoch and set(await values(trip)) == {"secret"}


async def test_who_calls_itself_by_anothers_id_is_not_taken_for_that_one(tmp_path: Path, server: Within) -> None:
    """A guest's name is the beginning of a member's id: neither is meant by it, and each by more of its own id."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.add(await berta.card())
        begins = berta.person_id.hex()[:12]
        await chez.create(tmp_path / "thief", passphrase=PASSPHRASE, name=begins, kdf=Kdf.minimum())
        async with open_again(tmp_path / "thief") as thief:
            await trip.add(await thief.card())
            for refused in (trip.set_role(begins, "owner"), trip.remove(begins)):
                with pytest.raises(InvalidValue, match="2 members"):
                    await refused
            for home, start in ((berta, 16), (thief, 12), (berta, 64)):
                assert (await trip.set_role(home.person_id.hex()[:start], "writer")).id == home.person_id


async def test_two_removals_in_a_row_leave_nothing_unreadable(tmp_path: Path, server: Within) -> None:
    """Two members are removed before a relay hears of either: who is let in then reads all of every epoch."""
    async with persons(tmp_path, "anna", "berta", "carl", "dora", relay=server.url) as (anna, berta, carl, dora):
        trip = await anna.create_space("Trip")
        await shared(trip, anna, berta, carl)
        for name in ("berta", "carl"):
            await trip.collection("notes").put({"n": 1}, id=name)
            await trip.remove(name)
        (theirs,) = await shared(trip, anna, dora)
        assert await roles(theirs) == {"anna": "owner", "dora": "writer"}
        assert set(await values(theirs)) == {"berta", "carl"}
        held = {epoch.number for epoch in theirs._held.space.epochs.values()}
        assert held == set(range(1, trip._held.space.epoch.number + 1))


@pytest.mark.slow
async def test_a_demoted_writer_keeps_what_it_had_not_sent(tmp_path: Path, server: Within) -> None:
    """Work that was unsent when its author became a reader stays there, and goes out when it may write again."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await in_step(anna, berta)
        await hers.collection("notes").put({"n": 1}, id="unsent")
        await trip.set_role("berta", "reader")
        await anna.sync()
        await in_step(berta, anna, berta)
        assert hers.role == "reader" and await values(trip) == {}
        await trip.set_role("berta", "writer")
        await in_step(anna, berta, anna)
        assert hers.role == "writer" and set(await values(hers)) == {"unsent"}
        await hers.collection("notes").put({"n": 2}, id="more")
        await in_step(berta, anna)
        assert set(await values(trip)) >= {"more"}
        assert [(await home.status()).quarantined for home in (anna, berta)] == [0, 0]


async def test_a_space_is_transferred(tmp_path: Path, server: Within) -> None:
    """The new owner lets people in and names the space; the former one writes, and may do neither."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await trip.transfer("berta")
        await in_step(anna, berta, anna)
        assert await roles(hers) == await roles(trip) == {"berta": "owner", "anna": "writer"}
        assert not trip._held.space.membership.state.rotation_owed
        assert trip._held.space.epoch.admin_seed is None and hers._held.space.epoch.admin_seed is not None
        (his,) = await shared(hers, berta, carl)
        await hers.rename("Journey")
        await trip.collection("notes").put({"n": 1}, id="a")
        await in_step(anna, berta, carl)
        assert his.name == trip.name == "Journey" and set(await values(his)) == {"a"}
        await hers.archive()
        await in_step(berta, carl, anna)
        for space in (trip, his, hers):
            with pytest.raises(NotAllowed, match="archived"):
                await space.collection("notes").put({"n": 2}, id="a")


async def test_what_is_written_in_the_same_breath_as_leaving_arrives(tmp_path: Path, server: Within) -> None:
    """Connected, a member writes and leaves in one commit: what it wrote is there for the others, and it is gone."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        async with berta.connect() as link:
            await link.synced(90)
            records, n = berta._spaces.records, hers._held.space.n
            await asyncio.gather(
                berta._database.write(lambda db: records.put(db, n, "notes", "last", {"n": 1})), hers.leave())
            await link.synced(90)
            await in_step(anna)
            assert set(await values(trip)) == {"last"} and await roles(trip) == {"anna": "owner"}
        assert await anna.audit() == []


@pytest.mark.slow
async def test_a_reader_brings_a_new_device(tmp_path: Path, server: Within) -> None:
    """A reader's later device is certified in the space by the reader's own word, and gets the keys of later epochs."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        await shared(trip, anna, berta, role="reader")
        await shared(trip, anna, carl)
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await in_step(berta, anna, phone)
            assert {member.name: member.devices for member in await trip.members()}["berta"] == ("berta", "phone")
            await trip.remove("carl")
            await trip.collection("notes").put({"n": 1}, id="later")
            await in_step(anna, phone)
            assert set(await values(phone.space("Trip"))) == {"later"}
            with pytest.raises(NotAllowed, match="read"):
                await phone.space("Trip").collection("notes").put({"n": 2})
            assert [await home.audit() for home in (anna, berta, phone)] == [[], [], []]
            receipts = [receipt.kind for receipt in await anna.journal.receipts()]
            assert "entries-beyond-removal" not in receipts


async def test_what_cannot_be_said_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    """A statement that no device could read is refused, and the home opens afterwards."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        with pytest.raises(InvalidValue):
            await trip.add(await berta.card(), invite=b"x" * 33)
        assert await roles(trip) == {"anna": "owner"}
    async with open_again(tmp_path / "anna") as anna:
        assert await roles(anna.space("Trip")) == {"anna": "owner"}


@pytest.mark.parametrize("told", [False, True], ids=["at-once", "one-after-the-other"])
async def test_what_was_written_while_the_right_was_gone_counts_for_all_once_it_is_back(
        tmp_path: Path, server: Within, told: bool) -> None:
    """Its author was shown it, and the others were not for as long as she wrote nothing more; it is said once."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await hers.collection("notes").put({"n": 1}, id="before")
        await in_step(berta, anna)
        await hers.collection("notes").put({"n": 1}, id="late")
        await trip.set_role("berta", "reader")
        if told:
            await in_step(anna, berta)
            assert "late" not in await values(trip)
        await trip.set_role("berta", "writer")
        await in_step(anna, berta, anna)
        assert await values(trip) == await values(hers) == {"before": {"n": 1}, "late": {"n": 1}}
        assert not await anna.audit() and not await berta.audit()
        await in_step(anna, berta)
        there = len(raw_entries(tmp_path / "relay"))
        await in_step(berta, anna, berta)
        assert len(raw_entries(tmp_path / "relay")) == there
