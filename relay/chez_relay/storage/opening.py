"""The store that settings name: a folder's, or a cluster's."""

from chez_relay.config import Configuration
from chez_relay.errors import BadConfiguration
from chez_relay.storage import Storage

__all__ = ("opened",)


async def opened(settings: Configuration) -> Storage:
    """Open it, made if there is none. Raises `BadConfiguration`, `StoreUnusable`, `StorageFailed`."""
    if not (nodes := settings.nodes):
        from chez_relay.storage.sqlite import SqliteStorage

        return await SqliteStorage.open(settings.data, quotas=settings.quotas)
    try:
        from chez_relay.storage.jetstream.store import JetStreamStorage
    except ImportError:
        raise BadConfiguration("this installation has no NATS client", "pip install chez[cluster]") from None
    return await JetStreamStorage.open(
        nodes, prefix=settings["cluster.prefix"], shards=settings["cluster.shards"],
        replicas=settings["cluster.replicas"], quotas=settings.quotas)
