"""Invitations between homes of several people, over a real relay: by link, and all that is refused."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

import chez
from chez import inboxes
from chez.errors import ChezError, InvalidValue, NotAllowed, NotFound, RelayUnreachable, Unanswered
from chez.home import guest as guest_module
from chez.home import home as home_module
from chez.home import joining
from chez.home.answering import Answering
from chez.home.invitations import Own
from chez.spaces.card import Card
from chez.spaces.invitations import InviteLink, Reply, seal_request
from chez.spaces.saying import say
from chez.spaces.statements import Invite, Role
from chez.store.database import Connection
from chez.sync.connection import connect
from chez.sync.link import Link
from chez_wire.login import Role as Put
from tests.people.guests import SOON, asked, invited
from tests.people.persons import in_step, persons, roles, shared, values
from tests.people.support import join, open_again, turned_until
from tests.relay.within import Within


async def test_what_no_relay_took_is_not_said_to_wait_there(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that answers nothing has not what was asked: the guest hears that, and not that it waits there."""
    monkeypatch.setattr(guest_module, "REACHED_WITHIN", SOON)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with (persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta),
                await asyncio.start_server(listen, "127.0.0.1", 0) as silent):
        link = InviteLink.read(await invited(await anna.create_space("Trip"), anna))
        there = f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        with pytest.raises(RelayUnreachable, match="did not take"):
            await berta.join(structs.replace(link, relay=there).text, timeout=0.1)


async def test_a_guest_waits_for_an_owner_who_comes_later(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest asks while the owner is away; the owner's next sync lets it in; asked again it has the space and no
    other, whatever is answered, reads all there is and writes; the journals of both tell of it."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trap, trip = await anna.create_space("Trap"), await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        link = await invited(trip, anna)
        await asked(berta, link)
        assert (await anna.sync()).unanswered == ""

        async def elsewhere(*_: object) -> str:
            return trap.link()

        with monkeypatch.context() as patch, pytest.raises(InvalidValue, match="'Trip' names another space"):
            patch.setattr(joining, "ask", elsewhere)
            await berta.join(link)
        hers = await berta.join(link)
        await berta.sync()
        assert (hers.role, await values(hers)) == ("writer", {"a": {"n": 1}})
        await hers.collection("notes").put({"n": 2}, id="b")
        await berta.sync()
        await anna.sync()
        assert set(await values(trip)) == {"a", "b"} and await roles(trip) == {"anna": "owner", "berta": "writer"}
        (one,) = await trip.invitations()
        assert (one.state, one.used, one.uses, one.own, one.by) == ("used", 1, 1, True, "anna")
        kinds = [receipt.kind for receipt in await anna.journal.receipts()]
        assert kinds[-2:] == ["invitation-made", "member-added"]
        (added,) = await anna.journal.receipts("member-added")
        assert (added.body["name"], added.body["invitation"]) == ("berta", one.id)
        assert [receipt.kind for receipt in await berta.journal.receipts()][-3:] == [
            "invitation-asked", "invitation-asked", "space-joined"]
        assert [one.body["name"] for one in await berta.journal.receipts("space-joined")] == ["Trip"]
        with pytest.raises(NotAllowed, match="already"):
            await berta.join(link)


async def test_a_connected_owner_answers_at_once(tmp_path: Path, server: Within) -> None:
    """While the owner's home is connected, invitations made before and meanwhile are answered as guests come."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        first = await invited(trip, anna, role="reader")
        async with anna.connect():
            assert (await berta.join(first, timeout=90)).role == "reader"
            second = (await trip.invite("owner")).link
            assert second is not None
            assert (await clara.join(second, timeout=90)).role == "owner"
            assert await roles(trip) == {"anna": "owner", "berta": "reader", "clara": "owner"}


async def test_any_device_of_who_invited_answers(tmp_path: Path, server: Within) -> None:
    """The second device of the owner, paired before, lets the guest in; the first one then answers as well, alike."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            trip = await anna.create_space("Trip")
            link = await invited(trip, anna, uses=2)
            await asked(berta, link)
            await phone.sync()
            await phone.sync()
            (seen,) = await phone.space("Trip").invitations()
            assert (seen.own, seen.by, seen.link) == (True, "anna", link)
            assert (await berta.join(link)).role == "writer"
            await anna.sync()
            assert await roles(trip) == {"anna": "owner", "berta": "writer"}
            assert [one.used for one in await trip.invitations()] == [1]


async def test_an_answer_that_did_not_leave_leaves_later(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's device is cut off after it let the guest in and before it answered, and the home is opened anew: the
    sync tells of it, the next one answers, and the invitation was used once."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna)
        await asked(berta, link)

        async def broken(*_: object) -> None:
            raise RelayUnreachable("cut off")

        with monkeypatch.context() as patch:
            patch.setattr(inboxes, "put", broken)
            assert "cut off" in (await anna.sync()).unanswered
        assert set(await roles(trip)) == {"anna", "berta"}
    async with open_again(tmp_path / "anna") as anna, open_again(tmp_path / "berta") as berta:
        assert (await anna.sync()).unanswered == ""
        assert (await berta.join(link)).role == "writer"
        assert [one.used for one in await anna.space("Trip").invitations()] == [1]


async def test_another_owner_sees_an_invitation_and_has_no_part_in_it(tmp_path: Path, server: Within) -> None:
    """A second owner is shown the invitation without its link, does not answer, and can revoke it."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna, role="owner")
        await asked(berta, link)
        await anna.sync()
        hers = await berta.join(link)
        await berta.sync()
        link = await invited(trip, anna)
        await berta.sync()
        newest = (await hers.invitations())[0]
        assert (newest.own, newest.link, newest.state, newest.by) == (False, None, "open", "anna")
        await asked(clara, link)
        await berta.sync()
        assert set(await roles(hers)) == {"anna", "berta"}
        assert (await hers.revoke(newest.id[:8])).state == "revoked"
        await berta.sync()
        await anna.sync()
        with pytest.raises(NotAllowed, match="revoked"):
            await clara.join(link)
        assert set(await roles(trip)) == {"anna", "berta"}


async def test_of_two_guests_with_one_use_the_first_comes_in(tmp_path: Path, server: Within) -> None:
    """Both ask while the owner is away: who asked first is let in, the other is told that the invitation is used up."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna)
        await asked(berta, link)
        await asked(clara, link)
        await anna.sync()
        with pytest.raises(NotAllowed, match="used by as many"):
            await clara.join(link)
        assert (await berta.join(link)).role == "writer"
        assert await roles(trip) == {"anna": "owner", "berta": "writer"}
        (refused,) = await anna.journal.receipts("invitation-refused")
        assert (refused.body["name"], refused.body["reason"]) == ("clara", "used")


async def test_an_invitation_that_expired_or_was_revoked_lets_nobody_in(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked in time and answered too late, or after it was revoked: refused, and said so; afterwards the guest's own
    device knows, and a relay that never heard of it is told apart."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna, expires=timedelta(hours=1))
        other = await trip.invite()
        await asked(berta, link)
        now = home_module.unix_milliseconds
        with pytest.raises(NotFound, match="no such invitation"):
            await clara.join(other.link or "", timeout=SOON)
        await anna.sync()
        await trip.revoke(other)
        with pytest.raises(Unanswered):
            await clara.join(other.link or "", timeout=SOON)
        await anna.sync()
        with pytest.raises(NotAllowed, match="revoked"):
            await clara.join(other.link or "")
        (again,) = [one for one in await trip.invitations() if one.id == other.id]
        assert again.state == "revoked" and (await trip.revoke(other)).state == "revoked"
    async with open_again(tmp_path / "berta") as berta:
        monkeypatch.setattr(home_module, "unix_milliseconds", lambda: now() + 3_700_000)
        with pytest.raises(NotAllowed, match="ended on"):
            await berta.join(link)


async def test_who_may_not_invite_is_refused(tmp_path: Path, server: Within) -> None:
    """A writer makes, revokes and hosts none; nor is one made for a private space, on odd terms, or at no relay."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna)
        await asked(berta, link)
        await anna.sync()
        hers = await berta.join(link)
        (made,) = await trip.invitations()
        for refused in (hers.invite(), hers.revoke(made.id), anna.space().invite()):
            with pytest.raises(NotAllowed):
                await refused
        with pytest.raises(NotAllowed):
            async with hers.invite_by_code():
                pass
        for terms in ({"uses": 0}, {"uses": 1001}, {"uses": True}, {"expires": timedelta(seconds=1)},
                      {"expires": timedelta(days=91)}, {"role": "king"}):
            with pytest.raises(InvalidValue):
                await trip.invite(**terms)  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            await trip.revoke("0000")
        for text in ("", "chez-invite:", link[:-5], "chez-invite" + link, "chez-public:AA"):
            with pytest.raises(InvalidValue):
                await berta.join(text)
    async with persons(tmp_path, "dora") as (dora,):
        with pytest.raises(NotFound):
            await (await dora.create_space("Away")).invite()


async def test_a_stolen_card_and_a_replayed_request_let_nobody_in(tmp_path: Path, server: Within) -> None:
    """A thief has the link and Berta's card: without her device nothing comes of it, and the journal says so once. A
    relay that repeats Berta's request, after she was taken out, brings nobody back."""
    async with persons(tmp_path, "anna", "berta", "mallory", relay=server.url) as (anna, berta, mallory):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna, uses=3)
        invitation, card = InviteLink.read(link), Card.read(await berta.card())
        reply = Reply(bytes(32))
        await inboxes.create(server.url, reply.inbox, reply.put.public, ttl=60)
        for _ in range(2):
            await inboxes.put(server.url, invitation.inbox, invitation.put,
                              seal_request(invitation, card, mallory._device, reply))
        hers = seal_request(invitation, card, berta._device, reply)
        await inboxes.put(server.url, invitation.inbox, invitation.put, hers)
        await anna.sync()
        assert set(await roles(trip)) == {"anna", "berta"}
        assert [one.body["reason"] for one in await anna.journal.receipts("invitation-refused")] == ["no request"]
        await trip.remove("berta")
        await inboxes.put(server.url, invitation.inbox, invitation.put, hers)
        await anna.sync()
        assert set(await roles(trip)) == {"anna"}
        answers = []
        async with inboxes.watch(server.url, reply.inbox) as items, asyncio.timeout(90):
            async for item in items:
                answers.append(type(reply.open(item.item)).__name__)
                if len(answers) == 2:
                    break
        assert answers == ["Welcome", "Refusal"]
        with pytest.raises(ChezError):
            await mallory.join(trip.link())


async def test_a_guest_who_left_comes_back_by_its_card(tmp_path: Path, server: Within) -> None:
    """It forgot the space, and a new invitation lets it in no more than the old one would: that is not what it is told
    to ask for, but the card by which an owner adds it again."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="one")
        (hers,) = await shared(trip, anna, berta)
        await hers.leave()
        await in_step(berta, anna)
        await hers.forget()
        link = await invited(trip, anna)
        await asked(berta, link)
        await anna.sync()
        with pytest.raises(NotAllowed, match="brings nobody back") as refused:
            await berta.join(link)
        assert "`chez card`" in refused.value.hint and "new one" not in refused.value.hint
        await trip.add(await berta.card())
        await anna.sync()
        again = await berta.join(trip.link())
        await berta.sync()
        assert await values(again) == {"one": {"n": 1}} and set(await roles(trip)) == {"anna", "berta"}


async def test_an_invitation_that_came_to_nothing_is_answered(tmp_path: Path, server: Within) -> None:
    """Another owner takes the role from who invites at the same time, so that the invitation takes no effect: the guest
    who had asked hears that, and it is shown so, also when the role was given back."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        link = await invited(trip, anna)
        await asked(carl, link)
        await hers.set_role("anna", "writer")
        await berta.sync()
        await anna.sync()
        assert await roles(trip) == {"anna": "writer", "berta": "owner"}
        with pytest.raises(NotAllowed, match="revoked"):
            await carl.join(link)
        await hers.set_role("anna", "owner")
        await in_step(berta, anna)
        assert [(one.state, one.own) for one in await trip.invitations()] == [("revoked", True)]
        assert await hers.invitations() == []


async def test_an_invitation_that_another_owner_repeats_is_not_answered_as_ones_own(
        tmp_path: Path, server: Within) -> None:
    """Another owner says Anna's invitation again, for more and as owners, when she has revoked it: her link is worth
    nothing still, and she is shown no link for the other's."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        link = await invited(trip, anna, role="reader")
        await trip.revoke((await trip.invitations())[0])
        await in_step(anna, berta)

        def repeat(db: Connection) -> None:
            space = hers._held.space
            (said,) = [one.body for one in space.membership.statements if isinstance(one.body, Invite)]
            say(db, space, berta._device.signing, structs.replace(
                said, heads=space.membership.named_heads, issuer=berta._device.id, role=Role.OWNER, uses=9))

        await berta._database.write(repeat)
        await asked(carl, link)
        await in_step(berta, anna)
        assert [(one.own, one.link is None, one.state) for one in await trip.invitations()] == [
            (False, True, "open"), (True, False, "revoked")]
        with pytest.raises(NotAllowed, match="revoked"):
            await carl.join(link)
        assert await roles(trip) == {"anna": "owner", "berta": "owner"}


async def test_a_sync_tells_whom_it_let_in(tmp_path: Path, server: Within) -> None:
    """By name, space and role, each once; what a connected home does in between is told by its next sync."""
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna, uses=2)
        await asked(berta, link)
        assert (await anna.sync()).let_in == (chez.Admitted("Trip", "berta", "writer"),)
        await berta.join(link)
        assert (await anna.sync()).let_in == ()
        async with anna.connect():
            await clara.join(link)
            assert (await anna.sync()).let_in == (chez.Admitted("Trip", "clara", "writer"),)
        assert (await anna.sync()).let_in == ()


async def test_an_invitation_made_while_connected_works_at_once(tmp_path: Path, server: Within) -> None:
    """When it is made the relay knows of it, and says so; offline it says that it is not ready."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        early = await trip.invite()
        assert not early.ready
        async with anna.connect():
            made = await trip.invite()
            assert made.ready and made.link is not None
            one = InviteLink.read(made.link)
            async with connect(server.url) as relay:
                (outcome,) = await relay.open([(one.inbox, Put.PUT, one.put)])
                assert outcome.error == ""
            assert {one.id for one in await trip.invitations() if one.ready} >= {made.id}
            assert (await berta.join(made.link)).role == "writer"


async def test_an_invitation_made_while_it_is_looked_which_there_are_works_at_once(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an owner's link does while that is looked up is looked at next: nothing else may come for minutes, and the
    guest would wait as long."""
    calls, looking, made, look = 0, asyncio.Event(), asyncio.Event(), Answering._open

    async def slowly(answering: Answering, url: str) -> dict[bytes, Own]:
        nonlocal calls
        found = await look(answering, url)
        calls += 1
        if calls == 2:  # after the one with which it begins
            looking.set()
            await made.wait()
        return found

    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await anna.sync()
        monkeypatch.setattr(Answering, "_open", slowly)
        async with anna.connect() as link, asyncio.timeout(60):
            await looking.wait()
            inviting = asyncio.create_task(trip.invite())
            await turned_until(link, lambda: said(trip, link))
            made.set()
            assert (await inviting).ready
            assert (await berta.join((await inviting).link or "", timeout=20)).role == "writer"


async def said(space: chez.Space, link: Link) -> bool:
    """Whether an invitation of it is at the relay, and nothing is left to do for the link."""
    return bool(await space.invitations()) and link.status == "synced"


async def test_a_guest_who_is_early_waits_a_little(tmp_path: Path, server: Within) -> None:
    """Asked before the relay knows of the invitation, the guest comes in when it does."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await anna.sync()
        made = await trip.invite()
        assert made.link is not None and not made.ready
        coming = asyncio.create_task(berta.join(made.link))
        async with connect(server.url) as relay:
            one = InviteLink.read(made.link)
            assert (await relay.open([(one.inbox, Put.PUT, one.put)]))[0].error == "unknown"
        async with anna.connect():
            assert (await coming).role == "writer"


async def test_who_was_taken_out_answers_those_whom_it_invited(tmp_path: Path, server: Within) -> None:
    """The device of an owner who is in the space no more tells its guests so, instead of letting them wait."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        link = await invited(hers, berta)
        await asked(carl, link)
        await trip.remove("berta")
        await anna.sync()
        report = await berta.sync()
        assert hers.status().removed and report.unanswered == "" and report.let_in == ()
        with pytest.raises(NotAllowed, match="revoked"):
            await carl.join(link)
        assert await roles(trip) == {"anna": "owner"}
