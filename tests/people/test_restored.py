"""A home at several relays that is restored, and what its former device had written."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import RelayRefused
from tests.home.pairing import PASSPHRASE
from tests.people.persons import persons, shared, values
from tests.people.support import ids, join, open_again
from tests.relay.within import Within, relay


async def test_what_a_relay_did_not_take_before_reaches_it_after(tmp_path: Path, server: Within) -> None:
    """A relay was added that asks for a token, and the home restored of a backup of then: once the token is said, the
    relay has what the device before had written as well, and brings a newcomer everything by itself."""
    (tmp_path / "token").write_text("sesame\n")
    async with relay(tmp_path / "second", "--token-file", str(tmp_path / "token")) as second:
        async with persons(tmp_path, "a", relay=server.url) as (a,):
            await a.relays.add(second.url)
            for id in ("first", "second"):  # the second one is written when that relay was asked already
                await a.collection("notes").put({"n": 1}, id=id)
                with pytest.raises(RelayRefused, match="tokens"):
                    await a.sync(everywhere=True)
            await a.backup(tmp_path / "backup")
        await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with open_again(tmp_path / "again") as again:
            await again.relays.token(second.url, "sesame")
            await again.collection("notes").put({"n": 2}, id="after")
            assert not (await again.sync(everywhere=True)).problems
            await server.kill()
            async with join(again, tmp_path / "late", "late", second.url) as late:
                assert await ids(late) == {"first", "second", "after"}


async def test_what_others_built_upon_is_not_said_anew(tmp_path: Path, server: Within) -> None:
    """No relay at a space's new place has acknowledged anything: what another edited since did arrive, and stays as it
    is; what nobody else built upon goes out anew; and all of it is shown at once, before a relay is met."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        notes = trip.collection("notes")
        for id in ("before", "edited"):
            await notes.put({"n": 1}, id=id)
        (hers,) = await shared(trip, anna, berta)
        await hers.collection("notes").put({"n": 2}, id="edited")
        await berta.sync()
        for n in (3, 4):  # the second of these builds on the first, and nobody else does
            await anna.sync()
            await notes.put({"n": n}, id="edited")
            await notes.put({"n": n}, id=f"after {n}")
        await anna.sync()
        await trip.move()
        await anna.backup(tmp_path / "backup")
        wanted = await values(trip)
        assert wanted == {"before": {"n": 1}, "edited": {"n": 4}, "after 3": {"n": 3}, "after 4": {"n": 4}}
        restored = await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        assert restored.unsent == 3
        async with open_again(tmp_path / "again") as again:
            assert await values(again.space("Trip")) == wanted
            await again.sync()
            assert await berta.join(again.space("Trip").link()) == hers
            await berta.sync()
            assert await values(hers) == wanted
