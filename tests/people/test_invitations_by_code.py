"""Invitations by a code that a guest types while the host is there: let in, refused, wrong, over."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez import crypto, inboxes
from chez.crypto import Kdf
from chez.errors import BadPairing, NotAllowed, NotFound
from chez.home.pairing import split_code
from chez.spaces.card import Card
from chez.sync.codes import mailbox
from chez.sync.introducing import Guest
from chez_wire.login import inbox_of
from tests.home.pairing import PASSPHRASE
from tests.people.persons import in_step, persons, roles, shared, values
from tests.relay.within import Within


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
