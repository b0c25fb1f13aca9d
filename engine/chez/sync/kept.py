"""The spaces that a link keeps in step, and what each of them is told of the link's relay."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from chez.sync.replica import Replica

__all__ = ("Kept",)

LONGEST_WAIT: Final = 60.0
"""Seconds for which other relays wait at most until this one was read, after a start: it may be slow, or be so on
purpose. Where somebody waits for one of them, half as long as they do at most."""


class Kept:
    """Replicas of spaces; `relay` is the relay's row in the store, `near`: it is another device's, on this network."""

    def __init__(self, relay: int, *, near: bool) -> None:
        self._relay = relay
        self._near = near
        self._replicas: list[Replica] = []
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas)

    def __contains__(self, replica: Replica) -> bool:
        return replica in self._replicas

    def has(self, space: bytes) -> bool:
        """Whether a space is among them, by its id."""
        return any(replica.space.id == space for replica in self._replicas)

    @property
    def first(self) -> Replica | None:
        """The one that came first of those that are left."""
        return self._replicas[0] if self._replicas else None

    def add(self, replica: Replica, wake: Callable[[], None], *, reached: bool) -> None:
        """One more; `wake` is called when what waited for other relays may go on. Unless the relay is `reached`, or may
        be soon, nobody waits for it.
        """
        self._replicas.append(replica)
        relays, relay = replica.relays, self._relay
        relays.kept.add(relay)
        relays.read_first(relay, wake, near=self._near)
        if not reached:
            self._read(replica)
        elif not self._near:
            self._loop.call_later(LONGEST_WAIT, self._read, replica)

    def drop(self, replica: Replica) -> None:
        """One less."""
        self._replicas.remove(replica)
        self._forget(replica)

    def close(self) -> None:
        """The link is over."""
        for replica in self._replicas:
            self._forget(replica)

    def disconnected(self) -> None:
        """The connection to the relay ended."""
        for replica in self._replicas:
            replica.relays.end(self._relay)

    def unreached(self) -> None:
        """No connection came, or what came of it is over: nobody waits for what the relay has."""
        for replica in self._replicas:
            self._read(replica)

    def wait_no_more(self) -> None:
        """Somebody waits for the relay, and is to have something of it: others kept it waiting long enough."""
        for replica in self._replicas:
            replica.relays.wait_no_more(self._relay)

    def _read(self, replica: Replica) -> None:
        replica.relays.was_read(self._relay, whole=False)

    def _forget(self, replica: Replica) -> None:
        if not self._near:  # a device is met again: what it lacks meanwhile is to be known then
            replica.relays.kept.discard(self._relay)
        replica.relays.let_go(self._relay)
