"""A home at several relays that is restored, and what its former device had written."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import RelayRefused
from tests.home.pairing import PASSPHRASE
from tests.people.persons import persons
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
