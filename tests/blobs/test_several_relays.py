"""Attachments of a home at several relays, of which one lacks them, alters them, lets nobody in, or is left."""

import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.blobs import transfer
from chez.blobs.transfer import open_roles
from chez.errors import BlobMissing, NotAllowed, RelayMisbehaved, RelayRefused
from chez.records.reference import Blob
from chez.sync.connection import RelayConnection
from tests.blobs.support import CHUNK, content, made, read, settled
from tests.blobs.test_two_devices import attached, tamper
from tests.relay.support import relay as relay_process
from tests.relay.within import Within, relay


@asynccontextmanager
async def given_up(tmp_path: Path, first: str, second: str) -> AsyncIterator[tuple[chez.Home, Blob]]:
    """A home at two relays, both of which have an attachment of several pieces that is not on the device."""
    async with made(tmp_path / "laptop", first) as home:
        await home.relays.add(second)
        blob = await attached(home, content(6 * CHUNK))
        await home.sync()
        await home.blobs.evict(blob)
        await settled(home)
        yield home, blob


async def test_what_one_relay_lost_comes_from_the_other(tmp_path: Path, server: Within) -> None:
    """Several pieces are asked for at once, and the first of them that was missing sent the others nowhere."""
    async with relay(tmp_path / "second") as second, given_up(tmp_path, server.url, second.url) as (home, blob):
        tamper(server.data, "DELETE FROM chunks WHERE length(data) > 500000")
        assert await read(home, blob) == content(6 * CHUNK)
        await home.blobs.evict(blob)
        await settled(home)
        tamper(second.data, "DELETE FROM chunks WHERE length(data) > 500000")
        with pytest.raises(BlobMissing):
            await read(home, blob)


@pytest.mark.parametrize("both", [False, True])
async def test_a_relay_that_lets_nobody_in_is_not_the_last_that_is_asked(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, both: bool) -> None:
    """It may hold another epoch's credentials. Where the other one lacks it, that is what is told."""
    def refusing(connection: RelayConnection, *rest: Any) -> Awaitable[None]:
        if not asked:
            asked.append(True)
            raise RelayRefused("nobody is let in", reason="denied")
        return open_roles(connection, *rest)

    asked: list[bool] = []
    async with relay(tmp_path / "second") as second, given_up(tmp_path, server.url, second.url) as (home, blob):
        monkeypatch.setattr(transfer, "open_roles", refusing)
        if not both:
            assert await read(home, blob) == content(6 * CHUNK)
            return
        tamper(second.data, "DELETE FROM chunks WHERE length(data) > 500000")
        with pytest.raises(RelayRefused, match="let in"):
            await read(home, blob)


async def test_what_one_relay_alters_comes_from_the_other(tmp_path: Path, server: Within) -> None:
    """None of what the first gives is kept; where the other has nothing either, that it lied is told."""
    change = "UPDATE chunks SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE length(data) > 500000"
    async with (relay_process(tmp_path / "lying", command=(sys.executable, "-m", "tests.blobs.lying")) as lying,
                given_up(tmp_path, lying.url, server.url) as (home, blob)):
        tamper(lying.data, change)
        assert await read(home, blob) == content(6 * CHUNK)
        await home.blobs.evict(blob)
        await settled(home)
        tamper(server.data, "DELETE FROM chunks WHERE length(data) > 500000")
        with pytest.raises(RelayMisbehaved):
            await read(home, blob)


async def test_nothing_is_given_up_that_only_a_relay_has_which_was_left(tmp_path: Path, server: Within) -> None:
    """Nobody asks that one any more: the last copy was given up for it, and no relay was said to lack it."""
    async with relay(tmp_path / "second") as second, made(tmp_path / "laptop", server.url) as home:
        blob = await attached(home, content(CHUNK))
        await home.sync()
        assert (await home.blobs.info(blob)).at_relay and (await home.blobs.status()).waiting == 0
        await home.set_relay(second.url)
        assert not (await home.blobs.info(blob)).at_relay and (await home.blobs.status()).waiting == 1
        assert (await home.status()).attachments == 1
        with pytest.raises(NotAllowed, match="no relay"):
            await home.blobs.evict(blob)
        await home.sync()
        assert (await home.blobs.info(blob)).at_relay and (await home.blobs.status()).waiting == 0
        await home.blobs.evict(blob)
        await settled(home)
        await server.kill()
        assert await read(home, blob) == content(CHUNK)


async def test_where_a_relay_is_named_at_each_sync_all_say_alike_whether_it_has_an_attachment(
        tmp_path: Path, server: Within) -> None:
    """It is at a relay, and waits no more; and is not given up, for no relay is asked for it."""
    async with made(tmp_path / "laptop") as home:
        blob = await attached(home, content(CHUNK))
        assert not (await home.blobs.info(blob)).at_relay and (await home.blobs.status()).waiting == 1
        await home.sync(server.url)
        assert (await home.blobs.info(blob)).at_relay and (await home.blobs.status()).waiting == 0
        with pytest.raises(NotAllowed, match="no relay"):
            await home.blobs.evict(blob)
