"""A run in progress ends when its grant is revoked, on this device or by what syncs from another."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import anyio

from chez.tasks import stop
from chez_sandbox.consent.grants import COLLECTION

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("unless_revoked",)

T = TypeVar("T")


async def unless_revoked(home: "Home", id: str, work: Callable[[], Awaitable[T]]) -> T | None:
    """What `work` gives, or None when the grant with this whole id was revoked meanwhile: `work` is cancelled then.

    A worker process that is cancelled is killed before this returns. What is due to the
    provider is the caller's: a run that was debited leaves its one message all the same.
    """
    with anyio.CancelScope() as scope:
        watcher = asyncio.create_task(_watch(home, id, scope.cancel))
        try:
            return await work()
        finally:
            with anyio.CancelScope(shield=True):
                await stop(watcher)
    return None


async def _watch(home: "Home", id: str, revoked: Callable[[], None]) -> None:
    async for record in home.collection(COLLECTION).live(id):
        if record is None or record.value.get("revoked") is not False:
            revoked()
