"""What one address may have: accounts, and whom a proxy speaks for."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez_relay.addresses import Addresses, address_of, forwarded
from chez_relay.bounds import MOST_AT_REST
from chez_relay.limits import Limits
from tests.relay.storing import Clock

SMALL = Limits(places_per_address=3, spaces_burst_per_address=2.0, spaces_rate_per_address=1.0,
               memory_per_address=100, memory=150)


@dataclass(eq=False)
class Visitor:
    """A connection that only remembers what happened to it."""

    held: int = 0
    left: str = ""

    def leave(self, why: str) -> None:
        self.left = why


@pytest.mark.parametrize(("host", "name"), [
    ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("fe80::1%eth0", "fe80::/64"), ("", ""), ("no address", "no address"),
])
def test_an_address_stands_for_all_that_one_customer_has(host: str, name: str) -> None:
    """IPv4 one by one, whichever way it is written; IPv6 by the network of 2^64 that anybody has."""
    assert address_of(host) == name


@pytest.mark.parametrize(("host", "name"), [
    ("fe80::1%4", "fe80::1/128"), ("fd12::7", "fd12::7/128"), ("::ffff:10.0.0.7", "10.0.0.7")])
def test_on_one_network_each_device_is_a_customer(host: str, name: str) -> None:
    """There all devices share a prefix, and one of them must not use up what is for the others."""
    assert address_of(host, 128) == name
    assert Addresses(SMALL, Clock(), 128).at(host).name == name


HOSTS = st.sampled_from(["a", "b", "c", "proxy", "other proxy", ""])


@given(st.lists(st.lists(HOSTS, min_size=1, max_size=3), max_size=3))
def test_only_what_a_trusted_proxy_added_is_believed(header: list[list[str]]) -> None:
    """The nearest that is no proxy counts, whatever a client wrote before it; spread over lines it is one list."""
    flat = [one for line in header for one in line]
    found = forwarded([", ".join(line) for line in header], lambda host: "proxy" in host)
    others = [one for one in flat if "proxy" not in one]
    assert found == (others[-1] if others else "")
    assert forwarded(["forged", *(", ".join(line) for line in header), "true"], lambda host: "proxy" in host) == "true"


@pytest.mark.parametrize(("said", "host"), [
    ("192.0.2.7:49152", "192.0.2.7"), ("[2001:db8::7]:443", "2001:db8::7"), ("[2001:db8::7]", "2001:db8::7"),
    ("2001:db8::7", "2001:db8::7"), ("::1", "::1"), ("192.0.2.7", "192.0.2.7"), ("a name:80", "a name"), (":80", "")])
def test_a_port_is_no_part_of_an_address(said: str, host: str) -> None:
    """Of a client, or of a proxy between, as some proxies write them."""
    assert forwarded([f"forged, {said}, 10.0.0.1:80, [fd00::1]:80"], {"10.0.0.1", "fd00::1"}.__contains__) == host


def test_accounts_are_forgotten_once_all_came_back() -> None:
    """What was used comes back with time, and an account at rest takes no memory."""
    clock = Clock()
    addresses = Addresses(SMALL, clock)
    account = addresses.at("192.0.2.7")
    assert [addresses.take(account.spaces) for _ in range(3)] == [True, True, False]
    addresses.forget_idle()
    assert addresses.at("192.0.2.7") is account
    clock.now += 10
    assert addresses.place(account)
    addresses.forget_idle()
    assert len(addresses) == 1
    account.places -= 1
    addresses.keep(account, 1)  # what it asked for is under way, or what comes next began afresh
    addresses.forget_idle()
    assert addresses.at("192.0.2.7") is account
    addresses.keep(account, -1)
    addresses.forget_idle()
    assert len(addresses) == 0


@pytest.mark.parametrize("name", ["dials", "spaces", "inboxes", "packets", "ephemeral", "kept", "logins"])
def test_whatever_was_used_is_remembered_until_it_came_back(name: str) -> None:
    """Else who dials anew would begin with all of it."""
    clock = Clock()
    addresses = Addresses(Limits(), clock)
    account = addresses.at("192.0.2.7")
    assert addresses.take(getattr(account, name))
    addresses.forget_idle()
    assert addresses.at("192.0.2.7") is account
    clock.now += 10
    addresses.forget_idle()
    assert len(addresses) == 0


def test_addresses_without_end_are_forgotten_in_time() -> None:
    """Who has as many addresses as he likes, and dials once from each, is not remembered at all of them."""
    clock = Clock()
    addresses = Addresses(SMALL, clock, 128)
    most = 0
    for number in range(4 * MOST_AT_REST):
        clock.now += 0.001
        assert addresses.take(addresses.at(f"fe80::{number:x}").dials)
        most = max(most, len(addresses))
    assert most <= MOST_AT_REST


def test_places_are_held_to_the_limit() -> None:
    """An address opens so many places and not one more, until some are given back."""
    addresses = Addresses(SMALL, Clock())
    account = addresses.at("192.0.2.7")
    assert [addresses.place(account) for _ in range(4)] == [True, True, True, False]
    account.places -= 1
    assert addresses.place(account)


def test_whoever_holds_the_most_is_let_go() -> None:
    """Above the limit of an address its largest connection goes; above that of all, the one of the largest address."""
    addresses = Addresses(SMALL, Clock())
    one, other = addresses.at("192.0.2.1"), addresses.at("192.0.2.2")
    small, large, far = Visitor(), Visitor(), Visitor()
    one.guests |= {small, large}
    other.guests.add(far)
    addresses.hold(one, large, 90)
    addresses.hold(one, small, 10)
    assert not (small.left or large.left)
    addresses.hold(one, small, 1)
    assert (small.left, large.left) == ("", "memory")
    addresses.hold(one, large, -90)
    addresses.hold(other, far, 100)
    addresses.hold(one, small, 39)
    assert addresses.held == 150 and not far.left
    addresses.hold(one, small, 1)
    assert far.left == "memory" and not small.left


def test_what_those_who_left_wait_for_may_be_as_much_again() -> None:
    """Of one address and of all; what makes room for nobody lets nobody go before."""
    for limit, others in ((200, 0), (300, 1)):
        addresses = Addresses(SMALL, Clock())
        accounts = [addresses.at("192.0.2.1"), *(addresses.at("192.0.2.2") for _ in range(others))]
        here = Visitor()
        accounts[0].guests.add(here)
        addresses.keep(accounts[-1], limit - 10)
        addresses.hold(accounts[0], here, 10)
        assert not here.left
        addresses.hold(accounts[0], here, 1)
        assert here.left == "memory"
        accounts[0].guests.clear()  # who left while it was handled, and there is nobody else
        addresses.hold(accounts[0], here, 1)
