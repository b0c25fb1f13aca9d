"""The streams of a store: made once, and all of them there ever after, or the store is not what it was."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from chez_relay.bounds import MAX_SHARDS
from chez_relay.errors import StoreUnusable
from chez_relay.storage.jetstream.engine import Conflict, Engine, Unavailable

__all__ = ("NOT_FOUND", "Opened", "configurations", "opened", "record", "renew", "there")

FORMAT: Final = 1
NOT_FOUND: Final = 10059
"""The server's code for a stream that is not there."""


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is written once all streams are there."""

    format: int
    incarnation: Annotated[bytes, Meta(min_length=32, max_length=32)]
    shards: Annotated[int, Meta(ge=1, le=MAX_SHARDS)]


@dataclass(frozen=True, slots=True)
class Opened:
    """A store's incarnation and number of shards, and the message that says so."""

    incarnation: bytes
    shards: int
    seq: int


def configurations(prefix: str, shards: int, replicas: int) -> list[dict[str, Any]]:
    """All streams of a store, the one with the incarnation last."""
    common = {
        "retention": "limits", "storage": "file", "num_replicas": replicas, "discard": "new", "max_age": 0,
        "max_msgs": -1, "max_bytes": -1, "allow_direct": True, "deny_delete": False, "deny_purge": False,
        # Nothing relies on it: what is written is written on a condition, which holds for ever.
        "duplicate_window": 100_000_000,
    }
    made: list[dict[str, Any]] = []
    for shard in range(shards):
        news = {"src": f"{prefix}.log.{shard}.s.*", "dest": f"{prefix}.news.{{{{wildcard(1)}}}}"}
        made.append({**common, "name": f"{prefix}_log_{shard}", "subjects": [f"{prefix}.log.{shard}.>"],
                     "allow_rollup_hdrs": True, "republish": news})
        made.append({**common, "name": f"{prefix}_blob_{shard}", "subjects": [f"{prefix}.blob.{shard}.>"]})
        news = {"src": f"{prefix}.box.{shard}.s.*", "dest": f"{prefix}.news.{{{{wildcard(1)}}}}"}
        made.append({**common, "name": f"{prefix}_box_{shard}", "subjects": [f"{prefix}.box.{shard}.>"],
                     "discard": "old", "max_msgs_per_subject": 1, "allow_msg_ttl": True, "republish": news})
    made.append({**common, "name": f"{prefix}_store", "subjects": [f"{prefix}.store"],
                 "republish": {"src": f"{prefix}.store", "dest": f"{prefix}.renewed"}})
    return made


async def opened(engine: Engine, prefix: str, shards: int, replicas: int, incarnation: bytes) -> Opened:
    """The store under a prefix, made if there is none. Two relays may make it at once.

    Raises `StoreUnusable` when streams of it are missing, or a newer version made it; `Unavailable`.
    """
    store = f"{prefix}.store"
    if await there(engine, f"{prefix}_store"):
        known = await record(engine, prefix)
        if known is not None:
            names = [one["name"] for one in configurations(prefix, known.shards, replicas)]
            found = await asyncio.gather(*(there(engine, name) for name in names))
            if not all(found):
                raise StoreUnusable(f"{found.count(False)} of the store's {len(names)} streams are gone",
                                    "restore them, or remove those that are left: devices fill a new store")
            return known
    for one in configurations(prefix, shards, replicas):
        answer = await engine.api(f"STREAM.CREATE.{one['name']}", one)
        if "error" in answer:
            raise Unavailable(str(answer["error"].get("description", "a stream can't be made")))
    try:
        await engine.publish(store, msgspec.msgpack.encode(_Record(FORMAT, incarnation, shards)), expected=0)
    except Conflict:
        pass  # another relay was first
    known = await record(engine, prefix)
    if known is None:
        raise Unavailable("what was just written is not there")
    return known


async def renew(engine: Engine, prefix: str, incarnation: bytes) -> bytes:
    """Give the store another incarnation; the one that it has then, of whoever was first. Raises `Unavailable`."""
    known = await record(engine, prefix)
    if known is None:
        raise Unavailable("the store has no record")
    with suppress(Conflict):
        await engine.publish(f"{prefix}.store", msgspec.msgpack.encode(_Record(FORMAT, incarnation, known.shards)),
                             expected=known.seq)
    after = await record(engine, prefix)
    return known.incarnation if after is None else after.incarnation


async def record(engine: Engine, prefix: str) -> Opened | None:
    """What the store says of itself. Raises `StoreUnusable` when a newer version made it, `Unavailable`."""
    kept = await engine.last(f"{prefix}_store", f"{prefix}.store")
    if kept is None:
        return None
    try:
        found = msgspec.msgpack.decode(kept.data, type=_Record)
    except msgspec.DecodeError:
        found = None
    if found is None or found.format != FORMAT:
        raise StoreUnusable("the store is of another version", "use the version of chez-relay that made it, or newer")
    return Opened(found.incarnation, found.shards, kept.seq)


async def there(engine: Engine, name: str) -> bool:
    """Whether a stream is there. Raises `Unavailable`."""
    answer = await engine.api(f"STREAM.INFO.{name}")
    if "error" not in answer:
        return True
    if answer["error"].get("err_code") == NOT_FOUND:
        return False
    raise Unavailable(str(answer["error"].get("description", "no answer")))
