"""Another incarnation for a store, by its operator's wish and beside its relays."""

import secrets
import time
from collections.abc import Sequence

from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage.jetstream.dialling import dial, let_go
from chez_relay.storage.jetstream.engine import Engine, Unavailable
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.store import OPENING
from chez_relay.storage.jetstream.streams import renew, there

__all__ = ("renewed",)


async def renewed(urls: Sequence[str], prefix: str, seconds: float = OPENING) -> None:
    """Give the store under a prefix another incarnation; none is made where there is no store.

    Raises `StoreUnusable` then, and where a newer version made it; `StorageFailed` when the cluster gives no answer.
    """
    end = time.monotonic() + seconds
    client = await dial(urls, seconds, name="chez-relay renew", max_reconnect_attempts=-1, reconnect_time_wait=1)
    try:
        engine = Engine(client)
        if not await patiently(engine, lambda: there(engine, f"{prefix}_store"), end - time.monotonic()):
            raise StoreUnusable(f"there is no store under the prefix {prefix!r} on this cluster",
                                "give --prefix as `cluster.prefix` of the relays has it")
        await patiently(engine, lambda: renew(engine, prefix, secrets.token_bytes(32)), end - time.monotonic())
    except Unavailable as error:
        raise StorageFailed(f"the cluster is not ready after {seconds:.0f} s: {error}",
                            "do most of its nodes run, and have they found each other? `chez-relay doctor` looks"
                            ) from error
    finally:
        await let_go(client)
