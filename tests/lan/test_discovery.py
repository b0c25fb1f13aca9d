"""What of an announcement is believed enough to be dialled: anybody on a network may announce anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.lan.discovery import Neighbour, announced_at
from chez_wire.lan import is_near
from tests.tries import tries

INSTANCE = bytes((7,)) * 32


def dialled(*addresses: str, port: int = 4711, loopback: bool = False) -> tuple[str, ...]:
    found = announced_at(INSTANCE, addresses, port, loopback=loopback)
    return () if found is None else found.addresses


@pytest.mark.parametrize("address", ["192.168.1.5", "10.0.0.7", "169.254.3.4", "fd12::1", "fe80::1%4"])
def test_what_a_network_leads_to_is_dialled(address: str) -> None:
    """Private addresses of both families, and link-local ones with the number of the interface."""
    assert dialled(address) == (address,)


@pytest.mark.parametrize("address", [
    "8.8.8.8", "2a01:e0a::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::ffff:192.168.1.5", "::ffff:8.8.8.8",
    "::192.168.1.5", "224.0.0.251", "ff02::fb%4", "0.0.0.0", "::", "example.org", ""])
def test_what_leads_elsewhere_is_not(address: str) -> None:
    """What the internet routes, tunnels through it, groups, names, and one family in the other's clothes."""
    assert dialled(address, loopback=True) == ()


@pytest.mark.parametrize("address", [
    "fe80::1", "fe80::1%", "fe80::1%0", "fe80::1%-1", "fe80::1%eth0", "fe80::1%4%4", "fe80::1%4]:22/", "fe80::1%4@evil",
    "fe80::1%" + "9" * 40, "fe80::1%4294967300", "fe80::1%\u0664", "fd12::1%4", "192.168.1.5%4", "::1%1"])
def test_an_interface_is_a_number_and_belongs_to_a_link(address: str) -> None:
    """Without an interface a link-local address leads anywhere; a made-up one, or one elsewhere, is no address."""
    assert dialled(address, loopback=True) == ()


def test_loopback_is_for_who_is_announced_there() -> None:
    """Nobody on the network sends this device to its own services."""
    assert dialled("127.0.0.1", "::1", "10.0.0.7") == ("10.0.0.7",)
    assert dialled("127.0.0.1", "::1", loopback=True) == ("127.0.0.1", "::1")


@pytest.mark.parametrize("port", [-1, 0, 22, 443, 1023, 65536])
def test_a_port_of_other_services_is_nobodys(port: int) -> None:
    """Whoever announces himself at the port of a printer or a router's page sends nobody there."""
    assert announced_at(INSTANCE, ["192.168.1.5"], port) is None


def test_the_families_take_turns() -> None:
    """One family that leads nowhere takes the other's places from nobody, and an address that is told twice is one."""
    many = [f"10.0.0.{number}" for number in range(1, 20)]
    assert dialled(*many, many[0], "fe80::1%4", "fd12::1")[:5] == ("10.0.0.1", "fe80::1%4", "10.0.0.2", "fd12::1",
                                                                  "10.0.0.3")


@settings(max_examples=tries(200))
@given(st.lists(st.one_of(
    st.text(max_size=30), st.ip_addresses().map(str), st.ip_addresses(network="fe80::/10").map(str),
    st.tuples(st.ip_addresses(network="fe80::/10"), st.text(max_size=5)).map(lambda one: f"{one[0]}%{one[1]}")),
    max_size=20), st.integers(-1, 1 << 17), st.booleans())
def test_whatever_is_announced_all_that_is_dialled_is_near(addresses: list[str], port: int, loopback: bool) -> None:
    """Any texts and numbers give nobody, or somebody at some of these addresses, near, at a free port."""
    found = announced_at(INSTANCE, addresses, port, loopback=loopback)
    if found is not None:
        assert found.instance == INSTANCE and 1024 <= found.port <= 65535 and found.addresses
        assert len(set(found.addresses)) == len(found.addresses) and set(found.addresses) <= set(addresses)
        assert all(is_near(one) for one in found.addresses)


def test_an_address_of_a_link_is_dialled_in_brackets() -> None:
    """What is dialled names the interface, for only this device's own system reads it."""
    assert Neighbour(INSTANCE, ("fe80::1%4", "10.0.0.7"), 4711).urls == ["wss://[fe80::1%4]:4711", "wss://10.0.0.7:4711"]
