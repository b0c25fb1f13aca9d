"""Invitations between homes of several people, over a real relay: by link and by code, and all that is refused."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

import chez
from chez import crypto, inboxes
from chez.crypto import Kdf
from chez.errors import BadPairing, ChezError, InvalidValue, NotAllowed, NotFound, RelayUnreachable, Unanswered
from chez.home import answering
from chez.home import guest as guest_module
from chez.home import home as home_module
from chez.home.pairing import split_code
from chez.spaces.card import Card
from chez.spaces.invitations import InviteLink, Reply, open_request, seal_request
from chez.spaces.saying import say
from chez.spaces.statements import Invite, Role
from chez.store.database import Connection
from chez.sync import pushes
from chez.sync.codes import mailbox
from chez.sync.connection import connect
from chez.sync.introducing import Guest
from chez_wire.login import Role as Put
from chez_wire.login import inbox_of
from tests.home.pairing import PASSPHRASE
from tests.people.persons import in_step, persons, roles, shared, values
from tests.people.support import join, open_again
from tests.relay.within import Within
from tests.spaces.people import Person

SOON = 0.4


async def invited(space: chez.Space, owner: chez.Home, **terms: object) -> str:
    """The link of a new invitation, which the relay knows of."""
    made = await space.invite(**terms)  # type: ignore[arg-type]
    await owner.sync()
    assert made.link is not None
    return made.link


async def asked(guest: chez.Home, link: str) -> None:
    """Ask to be let in while nobody answers."""
    with pytest.raises(Unanswered, match="waits at"):
        await guest.join(link, timeout=SOON)


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


async def test_a_guest_waits_for_an_owner_who_comes_later(tmp_path: Path, server: Within) -> None:
    """The guest asks while the owner is away; the owner's next sync lets it in; asked again it has the space, reads
    all there is and writes; the journals of both tell of it."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        link = await invited(trip, anna)
        await asked(berta, link)
        assert (await anna.sync()).unanswered == ""
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


@pytest.mark.slow
async def test_a_flood_of_guests_fills_no_journal_and_keeps_nobody_out(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a link sends rubbish, requests of made persons and repeats of them: the journal tells of a few, all is
    taken out of the inbox, and an honest guest who comes after it is answered."""
    monkeypatch.setattr(answering, "MOST_TOLD", 3)
    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna, uses=2)
        await asked(berta, link)
        invitation = InviteLink.read(link)
        await anna.sync()
        for number in range(6):
            made = Person(f"made {number}")
            enrol = made.enrol()
            card = Card.of(made.id, [enrol, made.certify([enrol.hash], 0, made.root)])
            async with connect(server.url) as relay:
                await relay.open([(invitation.inbox, Put.PUT, invitation.put)])
                for _ in range(2):
                    await relay.put(invitation.inbox, crypto.random_bytes(100))
                    await relay.put(invitation.inbox, seal_request(invitation, card, made.devices[0], Reply(bytes(32))))
        await asked(clara, link)
        for _ in range(2):
            assert (await anna.sync()).unanswered == ""
        assert len(await roles(trip)) == 3
        assert len(await anna.journal.receipts("invitation-refused")) == 3
        with pytest.raises(NotAllowed, match="used by as many"):
            await clara.join(link)


@pytest.mark.slow
async def test_an_inbox_full_of_rubbish_is_emptied_by_one_sync(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pages of large items, in two inboxes: each item is looked at once, and who asks after them is let in."""
    looked_at: list[int] = []

    def counted(box: bytes, *rest: object) -> object:
        looked_at.append(len(box))
        return open_request(box, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(answering, "open_request", counted)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        links = [await invited(trip, anna) for _ in range(2)]
        async with connect(server.url) as relay:
            for one in map(InviteLink.read, links):
                await relay.open([(one.inbox, Put.PUT, one.put)])
                await asyncio.gather(*(relay.put(one.inbox, crypto.random_bytes(60_000)) for _ in range(100)))
        await asked(berta, links[0])
        assert (await anna.sync()).unanswered == ""
        assert len(looked_at) == 201
        assert (await berta.join(links[0])).role == "writer"


async def test_an_inbox_with_more_than_there_is_room_for_is_worked_off(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items come faster than they are looked at: those there was no room for come again, and each is looked at once."""
    looked_at: list[int] = []

    def counted(box: bytes, *rest: object) -> object:
        looked_at.append(len(box))
        return open_request(box, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(answering, "open_request", counted)
    monkeypatch.setattr(pushes, "ITEM_ROOM", 1_000_000)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        link = await invited(trip, anna)
        one = InviteLink.read(link)
        async with connect(server.url) as relay:
            await relay.open([(one.inbox, Put.PUT, one.put)])
            await asyncio.gather(*(relay.put(one.inbox, crypto.random_bytes(60_000)) for _ in range(60)))
        await asked(berta, link)
        assert (await anna.sync()).unanswered == ""
        assert len(looked_at) == 61
        assert (await berta.join(link)).role == "writer"


async def test_who_refills_an_inbox_without_pause_keeps_no_sync(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync looks at as much as an inbox has room for, brings the spaces in step, and says where more is; guests of
    other invitations are let in meanwhile."""
    monkeypatch.setattr(answering, "MOST_LOOKED_AT", 40)

    async def fill(one: InviteLink) -> None:
        async with connect(server.url) as relay:
            await relay.open([(one.inbox, Put.PUT, one.put)])
            while True:
                await asyncio.gather(*(relay.put(one.inbox, crypto.random_bytes(2_000)) for _ in range(20)))

    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip, other = await anna.create_space("Trip"), await anna.create_space("Other")
        flooded, link = await invited(trip, anna), await invited(other, anna)
        await asked(berta, link)
        filling = asyncio.create_task(fill(InviteLink.read(flooded)))
        await trip.collection("notes").put({"n": 1}, id="a")
        report = await anna.sync()
        filling.cancel()
        assert report.problems == () and (await anna.status()).pending == 0
        assert "more came by an invitation to 'Trip'" in report.unanswered and "Other" not in report.unanswered
        assert (await berta.join(link)).role == "writer"


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


async def test_by_code_while_both_are_there(tmp_path: Path, server: Within) -> None:
    """The guest types the code, the owner says yes, and the guest has the space at once; connected or not."""
    async def yes(question: str, *, default: str = "") -> str:
        assert "'berta'" in question and "'Trip'" in question
        return "yes"

    async with persons(tmp_path, "anna", "berta", "clara", relay=server.url) as (anna, berta, clara):
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        async with trip.invite_by_code("reader") as invitation:
            assert invitation.code not in repr(invitation)
            coming = asyncio.create_task(berta.join(invitation.code))
            member = await invitation.joined(yes)
            assert (member.name, member.role) == ("berta", "reader")
            hers = await coming
        await berta.sync()
        assert await values(hers) == {"a": {"n": 1}}
        async with anna.connect(), trip.invite_by_code() as invitation:
            coming = asyncio.create_task(clara.join(invitation.code))
            await invitation.joined()
            assert (await coming).role == "writer"


async def test_a_wrong_code_is_burnt_and_no_is_no(tmp_path: Path, server: Within) -> None:
    """A guess burns the code and is told to both; a person who says no lets nobody in; a code that is over is so."""
    async def no(question: str, *, default: str = "") -> str:
        return "no"

    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await anna.sync()
        async with trip.invite_by_code() as invitation:
            code, _ = split_code(invitation.code)
            wrong = code.rsplit("-", 1)[0] + ("-zoo" if not code.endswith("-zoo") else "-zone")
            to_guest, _ = mailbox(wrong, True, "invitation")
            to_host, _ = mailbox(wrong, False, "invitation")
            guest = Guest(wrong, Card.read(await berta.card()), berta._device, crypto.random_bytes(32))
            async with inboxes.watch(server.url, to_guest) as items:
                async for item in items:
                    await inboxes.put(server.url, inbox_of(to_host.public), to_host, guest.answer(item.item))
                    break
            with pytest.raises(BadPairing, match="burnt"):
                await invitation.joined()
        async with trip.invite_by_code() as invitation:
            coming = asyncio.create_task(berta.join(invitation.code))
            with pytest.raises(NotAllowed):
                await invitation.joined(no)
            with pytest.raises(NotAllowed, match="said no"):
                await coming
        assert [one.body["reason"] for one in await anna.journal.receipts("invitation-refused")] == [
            "wrong code", "the person said no"]
        assert await roles(trip) == {"anna": "owner"}
        with pytest.raises(NotFound):
            await berta.join(f"00000-zoo-zoo@{server.url}")
        for _ in range(4):
            await anna.journal.append("invitation-refused", {"reason": "wrong code"})
        with pytest.raises(NotAllowed, match="5 wrong codes"):
            async with trip.invite_by_code():
                pass


async def test_a_guest_by_code_who_cannot_be_let_in_does_not_wait(tmp_path: Path, server: Within) -> None:
    """The host is an owner no more when the guest types the code: both are told at once, and the guest is not in. A
    code that pairs devices is none for guests, and what it may be is said."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta, role="owner")
        async with trip.invite_by_code() as invitation:
            await hers.set_role("anna", "writer")
            await in_step(berta, anna)
            coming = asyncio.create_task(carl.join(invitation.code))
            with pytest.raises(NotAllowed, match="only an owner"):
                await invitation.joined()
            async with asyncio.timeout(90):
                with pytest.raises(NotAllowed, match="said no"):
                    await coming
        assert await roles(trip) == {"anna": "writer", "berta": "owner"}
        async with anna.pair() as pairing:
            with pytest.raises(NotFound, match="no such code") as refused:
                await carl.join(pairing.code)
            assert "pairs devices" in refused.value.hint
        async with hers.invite_by_code() as invitation:
            with pytest.raises(NotFound, match="no such code") as refused:
                await chez.join(tmp_path / "new", invitation.code, passphrase=PASSPHRASE, kdf=Kdf.minimum())
            assert "guest" in refused.value.hint and not (tmp_path / "new").exists()


async def test_who_types_a_code_wrong_or_too_late_does_not_wait(tmp_path: Path, server: Within) -> None:
    """The guest hears at once that the code was not the right one, and of one that its host took back, that it is over;
    the next code works."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        async with asyncio.timeout(60):
            async with trip.invite_by_code() as invitation:
                code, _ = split_code(invitation.code)
                wrong = code.rsplit("-", 1)[0] + ("-zoo" if not code.endswith("-zoo") else "-zone")
                coming = asyncio.create_task(berta.join(f"{wrong}@{server.url}"))
                with pytest.raises(BadPairing, match="burnt"):
                    await invitation.joined()
            with pytest.raises(NotAllowed, match="not the right one"):
                await coming
            async with trip.invite_by_code() as invitation:
                pass
            with pytest.raises(NotAllowed, match="the code is over"):
                await berta.join(invitation.code)
            async with trip.invite_by_code() as invitation:
                coming = asyncio.create_task(berta.join(invitation.code))
                await invitation.joined()
            assert (await coming).role == "writer"
