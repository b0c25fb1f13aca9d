"""What each address has of the relay at this moment: connections, places, memory, and how often it asked.

An account outlives its connections until all that it took came back, or a new connection would begin
afresh. Time is an argument of the whole (`clock`), and nothing here does I/O.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from chez_relay.bounds import MOST_AT_REST
from chez_relay.buckets import Bucket
from chez_relay.limits import Limits

__all__ = ("PREFIX", "Account", "Addresses", "Guest", "address_of", "forwarded")

PREFIX: Final = 64
"""Bits of an IPv6 address that tell customers apart: each has 2^64 addresses at least (RFC 6177)."""

_WITH_PORT: Final = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([^:]*):[0-9]+")
"""How some proxies write whom they speak for: with the port, which each connection has another of, or in brackets."""


class Guest(Protocol):
    """One connection, as its account sees it."""

    held: int
    """Bytes held for it."""

    def leave(self, why: str) -> None:
        """End it at once, for a reason that is counted."""


def address_of(host: str, prefix: int = PREFIX) -> str:
    """What stands for everybody who can have this address; the text itself where it is no IP address.

    `prefix` is how many bits of an IPv6 address tell them apart.
    """
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, prefix), strict=False))
    return str(found)


def forwarded(values: Iterable[str], trusted: Callable[[str], bool]) -> str:
    """Who a proxy says that it speaks for: the last in its header that is no trusted proxy itself.

    What stands before that was written by whoever it is, and says nothing. Empty when there is none.
    """
    for part in reversed([part for value in values for part in value.split(",")]):
        if not trusted(host := _bare(part.strip())):
            return host
    return ""


def _bare(host: str) -> str:
    """An address without its port."""
    found = _WITH_PORT.fullmatch(host)
    return host if found is None else found[1] or found[2] or ""


@dataclass(slots=True, eq=False)
class Account:
    """One address, by the name of all who can have it."""

    name: str
    dials: Bucket
    spaces: Bucket
    inboxes: Bucket
    packets: Bucket
    ephemeral: Bucket
    kept: Bucket
    logins: Bucket
    guests: set[Guest] = field(default_factory=set)
    places: int = 0
    held: int = 0
    left: int = 0
    """Bytes that the store was asked for by connections that have left, until it answers."""

    def idle(self, now: float) -> bool:
        """Whether nothing is to be remembered of it."""
        buckets = (self.dials, self.spaces, self.inboxes, self.packets, self.ephemeral, self.kept, self.logins)
        return not self.guests and not self.places and not self.left and all(bucket.full(now) for bucket in buckets)


class Addresses:
    """All accounts of one relay, and what they hold together; `prefix` as in `address_of`."""

    def __init__(self, limits: Limits, clock: Callable[[], float], prefix: int = PREFIX) -> None:
        self._limits = limits
        self._prefix = prefix
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._most = MOST_AT_REST
        self.held = 0
        self.left = 0

    def __len__(self) -> int:
        return len(self._accounts)

    def at(self, host: str) -> Account:
        """The account of an address."""
        name, most = address_of(host, self._prefix), self._limits
        account = self._accounts.get(name)
        if account is None:
            if len(self._accounts) >= self._most:
                self.forget_idle()
                self._most = max(MOST_AT_REST, 2 * len(self._accounts))
            account = self._accounts[name] = Account(
                name, dials=Bucket(most.dials_burst_per_address, most.dials_rate_per_address),
                spaces=Bucket(most.spaces_burst_per_address, most.spaces_rate_per_address),
                inboxes=Bucket(most.inboxes_burst_per_address, most.inboxes_rate_per_address),
                packets=Bucket(most.packets_burst_per_address, most.packets_rate_per_address),
                ephemeral=Bucket(most.ephemeral_burst_per_address, most.ephemeral_rate_per_address),
                kept=Bucket(most.kept_burst_per_address, most.kept_rate_per_address),
                logins=Bucket(most.logins_burst_per_address, most.logins_rate_per_address))
        return account

    def forget_idle(self) -> None:
        """Let go of accounts of which nothing is to be remembered."""
        now = self._clock()
        self._accounts = {name: account for name, account in self._accounts.items() if not account.idle(now)}

    def hold(self, account: Account, guest: Guest, change: int) -> None:
        """Note that more (or less) is held for a guest; above a limit whoever holds the most is let go.

        What those who left have asked for may be as much again. If it counted as what is held for those who are here,
        nothing would be gained by letting one go, before the store has answered, and so all would have to.
        """
        guest.held += change
        account.held += change
        self.held += change
        if change > 0:
            if _above(self._limits.memory_per_address, account):
                _let_go(account.guests)
            elif _above(self._limits.memory, self):
                there = [one for one in self._accounts.values() if one.guests]
                _let_go(max(there, key=lambda one: one.held).guests if there else ())

    def keep(self, account: Account, change: int) -> None:
        """Note that more (or less) is asked of the store by those of an address who have left."""
        account.left += change
        self.left += change

    def take(self, bucket: Bucket, count: int = 1) -> bool:
        """Take tokens of an account's bucket, as `Bucket.take` does."""
        return bucket.take(self._clock(), count)

    def place(self, account: Account) -> bool:
        """Open one more space or inbox, if the address may."""
        if account.places >= self._limits.places_per_address:
            return False
        account.places += 1
        return True


def _above(most: int, held: Account | Addresses) -> bool:
    return held.held > most or held.held + held.left > 2 * most


def _let_go(guests: Collection[Guest]) -> None:
    """End the one that holds the most, if any is there."""
    if guests:
        max(guests, key=lambda one: one.held).leave("memory")
