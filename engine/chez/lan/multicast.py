"""Discovery by multicast DNS (RFC 6762) and DNS-SD (RFC 6763), with python-zeroconf: `pip install chez[lan]`.

What is announced: that somebody here speaks `_chez._tcp`, at which addresses and port, by IPv4 and IPv6. The name
and the host's name are drawn anew for each run, and no text goes with it. The library is imported when it is used.
"""

import asyncio
import base64
import os
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from chez.errors import Unavailable
from chez.lan.discovery import Neighbour, announced_at
from chez_wire.lan import is_near
from chez_wire.limits import ID_BYTES

if TYPE_CHECKING:
    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    from chez.lan.browser import Browser

__all__ = ("INTERFACES", "SERVICE", "Multicast", "own_addresses")

SERVICE: Final = "_chez._tcp.local."

INTERFACES: Final = "CHEZ_LAN"
"""The environment variable that names addresses of this device, with commas between: those of the networks to be
announced on. Without it all that it has on networks at hand."""

_ASK_MILLISECONDS: Final = 3000

_ASKING: Final = 64
"""Names that are asked about at once. Anybody may make up thousands, and each question goes to all of the network."""


def own_addresses() -> list[str]:
    """The addresses of this device on networks at hand, a link-local one of IPv6 with its interface (`fe80::1%4`).

    Those of loopback only where `CHEZ_LAN` names them.
    """
    named = os.environ.get(INTERFACES, "")
    if named:
        return [address for part in named.split(",") if is_near(address := part.strip())]
    import ifaddr

    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            on_link = ":" in address and ip_address(address).is_link_local
            found.append(f"{address}%{adapter.index}" if on_link else address)
    return [address for address in found if is_near(address) and not ip_address(address).is_loopback]


def _spoken_at(addresses: list[str]) -> list[str]:
    """Where multicast is sent from: all of IPv4, and of IPv6 those that tell an interface (RFC 6762, 15), if any do.

    A packet from another address does not tell who hears it the interface, so nobody could dial what is link-local.
    """
    newer = [one for one in addresses if ":" in one]
    return [one for one in addresses if ":" not in one] + ([one for one in newer if "%" in one] or newer)


class Multicast:
    """A `Discovery` over the networks that this device is in."""

    def __init__(self) -> None:
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: Browser | None = None
        self._changed: Callable[..., None] | None = None
        self._info: AsyncServiceInfo | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._addresses: list[str] = []
        self.missed = False
        """See `Discovery`."""

    async def begin(self, seen: Callable[[Neighbour], None], gone: Callable[[bytes], None]) -> None:
        """See `Discovery`."""
        try:
            from zeroconf import ServiceStateChange
            from zeroconf.asyncio import AsyncServiceInfo
        except ImportError:
            raise Unavailable("this installation can't look for devices on a network",
                              "pip install chez[lan]") from None
        self.missed = False
        self._addresses = own_addresses()
        if not self._addresses:
            raise Unavailable("this device is in no network that devices are looked for in",
                              "It is looked for again when there is one.")
        self._zeroconf = _speaking(self._addresses)

        def changed(zeroconf: "Zeroconf", service_type: str, name: str, state_change: Any) -> None:
            instance = _instance(name)
            if instance is None:
                return
            if state_change is ServiceStateChange.Removed:
                self.missed = True  # anybody may have said so
                gone(instance)
                return
            # An announcement that was heard whole needs no question, however many others do.
            if len(self._asking) >= _ASKING and not AsyncServiceInfo(SERVICE, name).load_from_cache(zeroconf):
                self.missed = True
                return
            task = asyncio.get_running_loop().create_task(self._ask(zeroconf, name, instance, seen))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

        self._changed = changed
        self._browser = self._browsing(self._zeroconf, changed)

    async def again(self) -> None:
        """See `Discovery`."""
        self.missed = False
        zeroconf, browser, changed = self._zeroconf, self._browser, self._changed
        if zeroconf is None or browser is None or changed is None:
            return
        await browser.async_cancel()
        if self._zeroconf is zeroconf:  # else it has ended meanwhile
            cache = zeroconf.zeroconf.cache  # who is there says so again; what a flood made up does not
            cache.async_remove_records(list(cache.async_entries_with_name(SERVICE)))
            self._browser = self._browsing(zeroconf, changed)

    async def announce(self, instance: bytes, port: int) -> None:
        """See `Discovery`."""
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        if self._zeroconf is None:
            return
        before, label = self._info, _label(instance)
        self._info = AsyncServiceInfo(
            SERVICE, f"{label}.{SERVICE}", port, addresses=[ip_address(one).packed for one in self._addresses],
            properties={}, server=f"{label[:32]}.local.")
        try:
            if before is not None:
                await self._zeroconf.async_unregister_service(before)
            # The name is a key, and nobody else's. If the network was asked whether it is (RFC 6762, 8.1), anybody
            # could say so, and this device would not be announced.
            await self._zeroconf.async_register_service(self._info, cooperating_responders=True)
        except Error as error:
            raise Unavailable(f"the network refuses the announcement ({type(error).__name__})") from error

    async def end(self) -> None:
        """See `Discovery`."""
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        zeroconf, browser, info = self._zeroconf, self._browser, self._info
        self._zeroconf = self._browser = self._info = None
        if zeroconf is None:
            return
        from zeroconf import Error

        with suppress(Error, OSError):  # the network is gone: nobody is there to be told
            if browser is not None:
                await browser.async_cancel()
            if info is not None:
                await (await zeroconf.async_unregister_service(info))
        with suppress(Error, OSError):
            await zeroconf.async_close()

    def _browsing(self, zeroconf: "AsyncZeroconf", changed: Callable[..., None]) -> "Browser":
        from chez.lan.browser import Browser

        def full() -> None:
            self.missed = True

        return Browser(zeroconf.zeroconf, SERVICE, changed, lambda name: _instance(name) is not None, full)

    async def _ask(self, zeroconf: "Zeroconf", name: str, instance: bytes, seen: Callable[[Neighbour], None]) -> None:
        """Where an instance is."""
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        info, found = AsyncServiceInfo(SERVICE, name), False
        with suppress(Error):  # it says to be at a host whose name fits in no question
            found = await info.async_request(zeroconf, _ASK_MILLISECONDS)
        if found:
            loopback = any(ip_address(one).is_loopback for one in self._addresses)
            neighbour = announced_at(instance, info.parsed_scoped_addresses(), info.port or 0, loopback=loopback)
            if neighbour is not None:
                seen(neighbour)


def _speaking(addresses: list[str]) -> "AsyncZeroconf":
    """Multicast on the networks of these addresses; by IPv4 alone where IPv6 can't be. Raises `Unavailable`."""
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncZeroconf

    spoken = _spoken_at(addresses)
    older = [one for one in spoken if ":" not in one]
    tries = [(spoken, IPVersion.V4Only if older == spoken else IPVersion.All if older else IPVersion.V6Only)]
    if older and older != spoken:
        tries.append((older, IPVersion.V4Only))
    problem = ""
    for interfaces, version in tries:
        try:
            return AsyncZeroconf(interfaces=interfaces, ip_version=version)
        except (OSError, RuntimeError) as error:  # the latter: an address went meanwhile
            problem = getattr(error, "strerror", None) or str(error)
    raise Unavailable(f"devices can't be looked for on this network: {problem}")


def _label(instance: bytes) -> str:
    """A name of a service has at most 63 bytes: 52 letters and digits of base 32."""
    return base64.b32encode(instance).decode().rstrip("=").lower()


def _instance(name: str) -> bytes | None:
    """The instance of a name; None for what is none of ours."""
    label = name.removesuffix(f".{SERVICE}").upper()
    try:
        instance = base64.b32decode(label + "=" * (-len(label) % 8))
    except ValueError:
        return None
    return instance if len(instance) == ID_BYTES else None
