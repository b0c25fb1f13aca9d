"""The store that settings name: a folder's, or a cluster's."""

from chez_relay.config import Configuration
from chez_relay.errors import BadConfiguration
from chez_relay.storage import Storage

__all__ = ("opened",)


async def opened(settings: Configuration) -> Storage:
    """Open it, made if there is none. Raises `BadConfiguration`, `StoreUnusable`, `StorageFailed`."""
    if not settings["cluster.nodes"]:
        from chez_relay.storage.sqlite import SqliteStorage

        return await SqliteStorage.open(settings.data, quotas=settings.quotas)
    if settings["data"]:
        folder, nodes = (settings.values[name].origin for name in ("data", "cluster.nodes"))
        raise BadConfiguration(f"both a data folder ({folder}) and a NATS cluster ({nodes}) are set",
                               "leave one of them out; a flag takes back what a file or a variable says: --data ''")
    try:
        from chez_relay.storage.jetstream.store import JetStreamStorage
    except ImportError:
        raise BadConfiguration("this installation has no NATS client", "pip install chez[cluster]") from None
    return await JetStreamStorage.open(
        settings["cluster.nodes"], prefix=settings["cluster.prefix"], shards=settings["cluster.shards"],
        replicas=settings["cluster.replicas"], quotas=settings.quotas)
