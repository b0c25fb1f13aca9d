"""A device of one's own that went bad certifies devices that are certified already: others', and one of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import chez
from chez.crypto import SealingKey
from chez.errors import ChezError
from chez.keys.device import DeviceKeys
from chez.spaces.copies import say_everywhere
from chez.spaces.enrolment import certificate, own_certificate
from chez.spaces.rotation import accept_packet, tag_of
from chez.spaces.statements import Certify, Signed
from chez.store.database import Connection
from chez.sync.connection import connect
from tests.people.recovering import founded
from tests.people.support import ids, join
from tests.relay.within import Within


def _certify(home: chez.Home) -> Certify:
    """The one certificate of a home's device."""
    (found,) = home._replica.space.membership.state.certificates[home._device.id].values()
    return found


async def _say(home: chez.Home, statements: Iterator[Signed]) -> None:
    """Say, as a device of the person, the first of these after which its names count; then sync."""
    def work(db: Connection) -> None:
        spaces = [held.space for held in home._spaces.all.values()]
        say_everywhere(db, spaces, next(statements))

    await home._database.write(work)
    await home.sync()


def _again(home: chez.Home, other: Certify, evil: SealingKey) -> Iterator[Signed]:
    """The certificate of another device with a sealing key of this one's choice, in many ways to write it."""
    members = home._replica.space.membership
    (first,) = members.state.certificates[other.device]
    for number in range(1000):
        made = certificate(other.person, members.person_heads(other.person), home._device.signing, other.device,
                           evil.public, f"{other.name}{number}", other.salt, other.consent)
        if made.hash < first:
            yield made


async def test_no_device_certifies_another_with_a_key_of_its_own(tmp_path: Path, server: Within) -> None:
    """Nobody but the device itself says which key it reads by: the others refuse it, and keys go to whom they went."""
    evil = SealingKey.from_seed(bytes(range(32)))
    async with founded(tmp_path, server.url, "laptop") as (laptop, _):
        async with (join(laptop, tmp_path / "phone", "phone", server.url) as phone,
                    join(laptop, tmp_path / "thief", "thief", server.url) as thief):
            await _say(thief, _again(thief, _certify(phone), evil))
            for home in (laptop, phone):
                await home.sync()
            await laptop.devices.remove("thief")
            await laptop.collection("notes").put({"n": 1}, id="after")
            await laptop.sync()
            space = laptop._replica.space
            async with connect(server.url) as relay:
                with pytest.raises(ChezError):
                    accept_packet(space.id, await relay.get_packet(space.handle, tag_of(space.id, evil.public)), evil)
            await phone.sync()
            assert await ids(phone) == {"after"}


async def test_who_let_in_a_device_is_shown_though_that_one_certified_itself(tmp_path: Path, server: Within) -> None:
    """It was let in by the one that certified it first: who takes that one out is asked about it."""
    own = DeviceKeys.from_seeds(bytes(range(32)), bytes(range(1, 33)))
    async with founded(tmp_path, server.url, "laptop") as (laptop, _):
        async with join(laptop, tmp_path / "thief", "thief", server.url) as thief:
            members, person = thief._replica.space.membership, thief.person_id
            await _say(thief, iter([own_certificate(person, members.person_heads(person), thief._device.signing, own,
                                                    "tablet")]))
            (first,) = members.state.certificates[own.id]
            await _say(thief, (made for number in range(1000) if (made := own_certificate(
                person, members.person_heads(person), own.signing, own, f"tablet{number}")).hash < first))
            await laptop.sync()
            listed = {info.name: info for info in await laptop.devices.all()}
            assert own.id in listed["thief"].let_in
            assert next(info for info in listed.values() if info.id == own.id).let_in_by == "thief"
