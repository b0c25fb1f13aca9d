"""Two relays over one store, as of a cluster, that a home keeps as if they were two stores."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.home.pairing import PASSPHRASE
from tests.relay.support import seed


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[chez.Home]:
    """A home with one device."""
    await chez.create(folder, passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as home:
        yield home


async def served(stack: AsyncExitStack, store: MemoryStorage) -> str:
    """One more relay over a store; its address."""
    return f"ws://127.0.0.1:{(await stack.enter_async_context(serving(store, '127.0.0.1', 0))).port}"


@pytest.mark.parametrize("connected", [False, True])
async def test_a_relay_that_has_the_store_of_another_is_told_of(tmp_path: Path, connected: bool) -> None:
    """The second name of one store is named, with what to do; two stores are not, nor the name that is left."""
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(alone(tmp_path / "a"))
        store, other = MemoryStorage(seed("one")), MemoryStorage(seed("other"))
        first, second, apart = [await served(stack, each) for each in (store, store, other)]
        await home.set_relay(first)
        await home.relays.add(second)
        await home.relays.add(apart)

        async def problems() -> dict[str, str]:
            if not connected:
                return {one.url: one.problem for one in (await home.sync()).relays}
            async with home.connect():
                await home.synced(everywhere=True)
                return {one.url: one.problem for one in (await home.status()).relays}

        found = await problems()
        assert found[first] == found[apart] == ""
        assert first in found[second] and f"chez relay remove {second}" in found[second]
        await home.relays.remove(second)
        assert await problems() == {first: "", apart: ""}
