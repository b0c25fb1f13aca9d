"""Discovery by real multicast DNS, on loopback: what is announced, what is found, and what of it says who."""

import asyncio
import os
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from zeroconf import DNSAddress, DNSIncoming, DNSOutgoing, DNSPointer, DNSService, DNSText
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
from zeroconf.const import _CLASS_IN, _FLAGS_QR_RESPONSE, _TYPE_A, _TYPE_AAAA, _TYPE_PTR, _TYPE_SRV, _TYPE_TXT

from chez.crypto import random_bytes
from chez.errors import Unavailable
from chez.lan.discovery import Neighbour
from chez.lan.multicast import SERVICE, Multicast, _label, own_addresses
from tests.lan.support import needs_ipv6
from tests.relay.support import seed

ONE, TWO = random_bytes(32), random_bytes(32)
"""Instances; others than those of who tests on this machine at the same time, and is heard here too."""

DRAWN = re.compile(rb"[a-z2-7]{52}|[a-z2-7]{32}")
"""An instance, or its host: of a machine whose name is short they have all letters now and then."""


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine."""
    monkeypatch.setenv("CHEZ_LAN", "127.0.0.1")


class Heard:
    """What one device's discovery told."""

    def __init__(self) -> None:
        self.told: list[Neighbour | bytes] = []
        self.news = asyncio.Event()

    def __call__(self, what: Neighbour | bytes) -> None:
        self.told.append(what)
        self.news.set()

    async def until(self, wanted: Callable[[Neighbour | bytes], bool]) -> None:
        async with asyncio.timeout(90):
            while not any(wanted(one) for one in self.told):
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def looking() -> AsyncIterator[tuple[Multicast, Heard]]:
    discovery, heard = Multicast(), Heard()
    await discovery.begin(heard, heard)
    try:
        yield discovery, heard
    finally:
        await discovery.end()


@pytest.mark.slow
async def test_who_announces_himself_is_found_until_he_leaves() -> None:
    """An instance is told with its address and port; when it is announced under another name, or ends, it is gone."""
    async with looking() as (_, heard):
        async with looking() as (other, _):
            await other.announce(ONE, 4711)
            await heard.until(lambda one: one == Neighbour(ONE, ("127.0.0.1",), 4711))
            await other.announce(TWO, 4712)
            await heard.until(lambda one: one == ONE)
            await heard.until(lambda one: one == Neighbour(TWO, ("127.0.0.1",), 4712))
        await heard.until(lambda one: one == TWO)


async def test_what_is_announced_names_nobody() -> None:
    """In every packet of an announcement, up to its end: neither this machine's name nor anything of its user."""
    packets: list[bytes] = []
    async with looking() as (_, heard), looking() as (other, _):
        assert other._zeroconf is not None
        send = other._zeroconf.zeroconf.async_send

        def sent(out, *arguments, **options) -> None:  # type: ignore[no-untyped-def]
            packets.extend(out.packets())
            send(out, *arguments, **options)

        other._zeroconf.zeroconf.async_send = sent  # type: ignore[method-assign]
        await other.announce(ONE, 4711)
        await heard.until(lambda one: one == Neighbour(ONE, ("127.0.0.1",), 4711))
        assert other._info is not None
        info = AsyncServiceInfo(SERVICE, other._info.name)
        assert await info.async_request(other._zeroconf.zeroconf, 3000)
        assert info.text in (b"", b"\0") and not info.properties
    name = socket.gethostname().encode()
    assert packets
    assert not any(name in DRAWN.sub(b"", packet) for packet in packets)


@pytest.mark.slow
@needs_ipv6
async def test_both_families_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with addresses of both is told with both."""
    monkeypatch.setenv("CHEZ_LAN", "127.0.0.1,::1")
    async with looking() as (_, heard), looking() as (other, _):
        await other.announce(ONE, 4711)
        await heard.until(lambda one: one == Neighbour(ONE, ("127.0.0.1", "::1"), 4711))


def announcement(*addresses: str, port: int = 4711, text: bytes = b"") -> list[bytes]:
    """The packets of an announcement as anybody may write them."""
    name, server = f"{_label(seed('hostile'))}.{SERVICE}", "hostile.local."
    out = DNSOutgoing(_FLAGS_QR_RESPONSE)
    out.add_answer_at_time(DNSPointer(SERVICE, _TYPE_PTR, _CLASS_IN, 4500, name), 0)
    out.add_answer_at_time(DNSService(name, _TYPE_SRV, _CLASS_IN, 4500, 0, 0, port, server), 0)
    out.add_answer_at_time(DNSText(name, _TYPE_TXT, _CLASS_IN, 4500, text), 0)
    for one in map(ip_address, addresses):
        out.add_answer_at_time(
            DNSAddress(server, _TYPE_AAAA if one.version == 6 else _TYPE_A, _CLASS_IN, 4500, one.packed), 0)
    return out.packets()


@pytest.mark.parametrize(("packets", "found"), [
    (announcement("10.0.0.7", text=b"\xff" + b"x" * 255 + b"\xfe" * 8000), ("10.0.0.7",)),
    (announcement("8.8.8.8", "2a01:e0a::1", "::ffff:8.8.8.8", "ff02::1"), None),
    (announcement("10.0.0.7", port=22), None),
    (announcement("10.0.0.7", port=0), None),
    (announcement("fe80::1"), ("fe80::1%4",)),
], ids=["giant text", "foreign addresses", "another service's port", "no port", "a link's address"])
async def test_a_hostile_announcement(
        packets: list[bytes], found: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, however much, is passed over; foreign addresses and other services' ports are nobody's; and an address of
    a link gets the interface that the packet came by, for it says none itself."""
    async with looking() as (discovery, heard):
        assert discovery._zeroconf is not None
        ask, asked = discovery._ask, asyncio.Event()

        async def to_the_end(*about: Any) -> None:
            await ask(*about)
            asked.set()

        monkeypatch.setattr(discovery, "_ask", to_the_end)
        for packet in packets:
            discovery._zeroconf.zeroconf.record_manager.async_updates_from_response(
                DNSIncoming(packet, ("fe80::9", 5353), scope_id=4))
        async with asyncio.timeout(90):
            await asked.wait()
        told = [one for one in heard.told if isinstance(one, Neighbour)]
        assert [one.addresses for one in told[-1:]] == ([] if found is None else [found])


async def test_nobody_keeps_a_device_from_being_announced_by_claiming_its_name() -> None:
    """Anybody may say that a name is taken, of each that he hears of; a key is nobody else's."""
    claim = DNSOutgoing(_FLAGS_QR_RESPONSE)
    claim.add_answer_at_time(DNSPointer(SERVICE, _TYPE_PTR, _CLASS_IN, 4500, f"{_label(ONE)}.{SERVICE}"), 0)
    async with looking() as (_, heard), looking() as (other, _):
        assert other._zeroconf is not None
        for packet in claim.packets():
            other._zeroconf.zeroconf.record_manager.async_updates_from_response(
                DNSIncoming(packet, ("10.0.0.9", 5353)))
        await other.announce(ONE, 4711)
        await heard.until(lambda one: one == Neighbour(ONE, ("127.0.0.1",), 4711))


def name(*labels: bytes) -> bytes:
    """A name as it is in a packet."""
    return b"".join(bytes([len(one)]) + one for one in labels) + bytes(1)


def record(of: bytes, kind: int, data: bytes) -> bytes:
    """A record as it is in a packet, good for decades."""
    return of + struct.pack(">HHIH", kind, _CLASS_IN, 2**31 - 1, len(data)) + data


def hears(discovery: Multicast, *records: bytes) -> None:
    """Let a device hear an answer with these."""
    assert discovery._zeroconf is not None
    packet = struct.pack(">HHHHHH", 0, _FLAGS_QR_RESPONSE, 0, len(records), 0, 0) + b"".join(records)
    discovery._zeroconf.zeroconf.record_manager.async_updates_from_response(DNSIncoming(packet, ("10.0.0.9", 5353)))


UNFIT = b"\xff" * 60
"""What is read as three times as many bytes, which fit in no packet."""

OURS = (b"_chez", b"_tcp", b"local")


@pytest.mark.parametrize("service", [OURS, (b"_CHEZ", b"_TCP", b"local")], ids=["so", "in capitals"])
async def test_a_name_that_fits_in_no_packet_ends_no_questions(
        service: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known is said with each question: that this device could not say ended its questions, with a trace."""
    asked = asyncio.Event()
    async with looking() as (discovery, _):
        assert discovery._zeroconf is not None
        monkeypatch.setattr(discovery._zeroconf.zeroconf, "async_send", lambda *_, **__: asked.set())
        hears(discovery, record(name(*service), _TYPE_PTR, name(UNFIT, *OURS)))
        async with asyncio.timeout(20):
            await asked.wait()


async def test_a_host_whose_name_fits_in_no_packet_is_nobodys() -> None:
    """Who says to be there is asked about in vain, and no error of a library's is left over."""
    one = name(_label(random_bytes(32)).encode(), *OURS)
    async with looking() as (discovery, heard):
        hears(discovery, record(name(*OURS), _TYPE_PTR, one),
              record(one, _TYPE_SRV, struct.pack(">HHH", 0, 0, 4711) + name(UNFIT, b"local")))
        asking = tuple(discovery._asking)
        async with asyncio.timeout(90):
            assert asking and await asyncio.gather(*asking) == [None]
        assert heard.told == []


async def test_of_names_without_end_some_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are a device's so many, until all are looked for anew, and of others none: a second of a flood on a
    fast network is megabytes."""
    monkeypatch.setattr("chez.lan.browser.MAX_NAMES", 10)
    async with looking() as (discovery, _):
        assert discovery._zeroconf is not None and discovery._browser is not None
        cache = discovery._zeroconf.zeroconf.cache
        for label in (b"living room %d", b"somebody %d"):
            hears(discovery, *(record(name(*OURS), _TYPE_PTR, name(label % (n % 40), *OURS)) for n in range(50)))
        assert cache.async_entries_with_name(SERVICE) == [] and not discovery.missed
        for _ in range(2):
            names = [_label(random_bytes(32)).encode() for _ in range(50)]
            hears(discovery, *(record(name(*OURS), _TYPE_PTR, name(one, *OURS)) for one in names))
            assert len(cache.async_entries_with_name(SERVICE)) == 10 and discovery.missed
            assert len(discovery._browser.query_scheduler._query_heap) == 10
        await discovery.again()
        assert not discovery.missed and cache.async_entries_with_name(SERVICE) == []


@pytest.mark.slow
async def test_names_that_are_none_of_ours_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is announced under the service is no device: nothing is asked about it, nor told of it."""
    async with looking() as (discovery, heard), looking() as (other, _):
        ask, asked = discovery._ask, list[str]()

        async def noted(zeroconf: Any, name: str, *about: Any) -> None:
            asked.append(name)
            await ask(zeroconf, name, *about)

        monkeypatch.setattr(discovery, "_ask", noted)
        stranger = AsyncZeroconf(interfaces=["127.0.0.1"])
        try:
            await stranger.async_register_service(AsyncServiceInfo(
                SERVICE, f"living room {os.getpid()}.{SERVICE}", 4790, addresses=[socket.inet_aton("127.0.0.1")],
                server="x.local."))
            await other.announce(ONE, 4711)
            await heard.until(lambda one: one == Neighbour(ONE, ("127.0.0.1",), 4711))
        finally:
            await stranger.async_close()
        # Devices that another test has on this machine just now are heard too.
        assert not [name for name in asked if name.startswith("living room")]
        assert 4790 not in {one.port for one in heard.told if isinstance(one, Neighbour)}
        assert {len(one.instance if isinstance(one, Neighbour) else one) for one in heard.told} == {len(ONE)}


async def test_without_a_network_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose named addresses are none of a network at hand is told that nobody can be found."""
    monkeypatch.setenv("CHEZ_LAN", "8.8.8.8, nonsense")
    assert own_addresses() == []
    with pytest.raises(Unavailable, match="no network"):
        await Multicast().begin(lambda neighbour: None, lambda instance: None)


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra is told how to get it, and goes on."""
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(Unavailable, match=r"chez\[lan\]"):
        await Multicast().begin(lambda neighbour: None, lambda instance: None)


async def test_made_up_names_are_not_all_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hundreds of names that lead nowhere some are asked about at once: each question goes to all of the network."""
    monkeypatch.setattr("chez.lan.multicast._ASKING", 3)
    async with looking() as (discovery, _):
        assert discovery._zeroconf is not None
        zeroconf, asked = discovery._zeroconf.zeroconf, asyncio.Event()

        async def ask(*_: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(discovery, "_ask", ask)
        out = DNSOutgoing(_FLAGS_QR_RESPONSE)
        for number in range(20):
            name = f"{_label(seed(f'made up {number}'))}.{SERVICE}"
            out.add_answer_at_time(DNSPointer(SERVICE, _TYPE_PTR, _CLASS_IN, 4500, name), 0)
        for packet in out.packets():
            zeroconf.record_manager.async_updates_from_response(DNSIncoming(packet))
        async with asyncio.timeout(90):
            await asked.wait()
        assert len(discovery._asking) == 3


async def test_names_without_end_keep_nobody_out_who_is_announced_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """While others are asked about, who needs no question is told of at once; that some were passed over is told."""
    monkeypatch.setattr("chez.lan.multicast._ASKING", 3)
    async with looking() as (discovery, heard):
        assert discovery._zeroconf is not None

        def hear(packets: list[bytes]) -> None:
            for packet in packets:
                discovery._zeroconf.zeroconf.record_manager.async_updates_from_response(DNSIncoming(packet))  # type: ignore[union-attr]

        for number in range(4):
            out = DNSOutgoing(_FLAGS_QR_RESPONSE)
            name = f"{_label(seed(f'made up {number}'))}.{SERVICE}"
            out.add_answer_at_time(DNSPointer(SERVICE, _TYPE_PTR, _CLASS_IN, 4500, name), 0)
            hear(out.packets())
        assert discovery.missed and len(discovery._asking) == 3
        hear(announcement("10.0.0.7"))
        await heard.until(lambda one: isinstance(one, Neighbour) and one.addresses == ("10.0.0.7",))


@pytest.mark.slow
async def test_who_was_said_to_have_left_is_found_again() -> None:
    """Anybody may say so of anybody, and who is there does not hear of it: it answers when all are looked for again."""
    left = seed("who is said to have left")
    async with looking() as (discovery, heard), looking() as (other, _):
        await other.announce(left, 4711)
        await heard.until(lambda one: one == Neighbour(left, ("127.0.0.1",), 4711))
        assert discovery._zeroconf is not None
        out = DNSOutgoing(_FLAGS_QR_RESPONSE)
        name = f"{_label(left)}.{SERVICE}"
        out.add_answer_at_time(DNSPointer(SERVICE, _TYPE_PTR, _CLASS_IN, 0, name), 0)
        discovery._zeroconf.zeroconf.record_manager.async_updates_from_response(DNSIncoming(out.packets()[0]))
        await heard.until(lambda one: one == left)
        assert discovery.missed
        heard.told.clear()
        await discovery.again()
        await heard.until(lambda one: one == Neighbour(left, ("127.0.0.1",), 4711))


@pytest.mark.slow
async def test_it_ends_though_the_network_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be sent any more, taking back what was announced raises nothing, and a second time is fine."""
    async with looking() as (other, _):
        await other.announce(ONE, 4711)
        assert other._zeroconf is not None

        async def unreachable(info: AsyncServiceInfo) -> None:
            raise OSError(101, "Network is unreachable")

        monkeypatch.setattr(other._zeroconf, "async_unregister_service", unreachable)
        await other.end()
        await other.end()
