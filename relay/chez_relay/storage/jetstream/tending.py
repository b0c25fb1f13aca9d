"""What an operator does to a store on a cluster beside its relays: another incarnation, and chunks counted anew."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage.jetstream.dialling import dial, let_go
from chez_relay.storage.jetstream.engine import Engine, Unavailable
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.recounting import SETTLED, Recount, Recounted
from chez_relay.storage.jetstream.store import OPENING
from chez_relay.storage.jetstream.streams import record, renew, there
from chez_relay.storage.jetstream.views import Views

__all__ = ("recounted", "renewed")


async def renewed(urls: Sequence[str], prefix: str, seconds: float = OPENING) -> None:
    """Give the store under a prefix another incarnation; none is made where there is no store.

    Raises `StoreUnusable` then, and where a newer version made it; `StorageFailed` when the cluster gives no answer.
    """
    end = time.monotonic() + seconds
    async with _reached(urls, prefix, "renew", end) as engine:
        await patiently(engine, lambda: renew(engine, prefix, secrets.token_bytes(32)), end - time.monotonic())


async def recounted(urls: Sequence[str], prefix: str, seconds: float = OPENING,
                    settled: float = SETTLED) -> Recounted:
    """Count the chunks of all spaces of a store anew, `settled` seconds after each was put. Raises as `renewed`."""
    end = time.monotonic() + seconds

    async def lost() -> None:
        """What the cluster lost of logs its relays find."""

    async with _reached(urls, prefix, "recount", end) as engine:
        known = await patiently(engine, lambda: record(engine, prefix), end - time.monotonic())
        if known is None:
            raise Unavailable("the store has no record")
        places = Places(prefix, known.shards)
        return await Recount(engine, places, Views(engine, places, lost), settled).run()


@asynccontextmanager
async def _reached(urls: Sequence[str], prefix: str, name: str, end: float) -> AsyncIterator[Engine]:
    """A store that is there."""
    seconds = end - time.monotonic()
    client = await dial(urls, seconds, name=f"chez-relay {name}", max_reconnect_attempts=-1, reconnect_time_wait=1)
    try:
        engine = Engine(client)
        if not await patiently(engine, lambda: there(engine, f"{prefix}_store"), end - time.monotonic()):
            raise StoreUnusable(f"there is no store under the prefix {prefix!r} on this cluster",
                                "give --prefix as `cluster.prefix` of the relays has it")
        yield engine
    except Unavailable as error:
        raise StorageFailed(f"the cluster is not ready after {seconds:.0f} s: {error}",
                            "do most of its nodes run, and have they found each other? `chez-relay doctor` looks"
                            ) from error
    finally:
        await let_go(client)
