"""Whom of a network to dial, and when: a machine without a network or a clock."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.lan.discovery import Neighbour
from chez.lan.policy import MAX_ADDRESSES, MAX_NEIGHBOURS, YIELD, Policy
from tests.tries import tries

LOW, MIDDLE, HIGH = (bytes((number,)) * 32 for number in (1, 128, 255))


def at(instance: bytes, *addresses: str, port: int = 4711) -> Neighbour:
    return Neighbour(instance, addresses or ("192.168.1.5",), port)


def dialled(policy: Policy, now: float) -> list[bytes]:
    return [neighbour.instance for neighbour in policy.due(now)]


def known_as(instance: bytes) -> Policy:
    policy = Policy()
    policy.announced(instance, 0.0)
    return policy


def test_of_two_devices_the_lower_dials_and_the_higher_waits() -> None:
    """Two devices that see each other make one connection: the lower dials, the higher doesn't."""
    low, high = known_as(LOW), known_as(HIGH)
    low.seen(at(HIGH), 0.0)
    high.seen(at(LOW), 0.0)
    assert dialled(low, 0.0) == [HIGH] and dialled(high, 0.0) == []
    low.linked(HIGH)
    high.guests([LOW])
    assert dialled(low, 1e6) == dialled(high, 1e6) == [] and high.wait(0.0) is None


def test_the_higher_dials_when_nobody_came() -> None:
    """A device that waited in vain, behind a wall that lets nobody in, dials itself."""
    high = known_as(HIGH)
    high.seen(at(LOW), 0.0)
    assert high.wait(0.0) == YIELD
    assert dialled(high, YIELD) == [LOW]


def test_who_is_not_announced_yet_waits() -> None:
    """A device whose relay is still starting lets others wait for its name; if it doesn't come up, it dials without."""
    policy = Policy()
    policy.seen(at(HIGH), 0.0)
    assert policy.wait(0.0) == YIELD
    policy.announced(LOW, 1.0)
    assert dialled(policy, 1.0) == [HIGH]
    late = Policy()
    late.seen(at(HIGH), 0.0)
    assert dialled(late, YIELD) == [HIGH]


@pytest.mark.parametrize("first", ["announced", "seen"])
def test_nobody_dials_itself(first: str) -> None:
    """What this device is announced as, now or before, is never dialled, in whatever order that is heard."""
    policy = Policy()
    if first == "seen":
        policy.seen(at(MIDDLE), 0.0)
    policy.announced(MIDDLE, 0.0)
    policy.seen(at(MIDDLE), 0.0)
    policy.announced(LOW, 1.0)
    policy.seen(at(MIDDLE), 1.0)
    assert dialled(policy, 1e6) == []


def test_a_stranger_is_tried_ever_more_seldom() -> None:
    """Who proves nothing is tried after a minute, then after two, and at last once an hour."""
    policy, now, pauses = known_as(LOW), 0.0, []
    policy.seen(at(HIGH), now)
    for _ in range(9):
        assert dialled(policy, now) == [HIGH]
        policy.stranger(HIGH, now)
        wait = policy.wait(now)
        assert wait is not None and dialled(policy, now + wait - 0.001) == []
        pauses.append(wait)
        now += wait
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] and policy.strangers == 1


def test_strangers_may_be_none_once_this_device_has_more_to_prove() -> None:
    """When a space comes, or its epoch, who was a stranger is tried at once."""
    policy = known_as(LOW)
    policy.seen(at(HIGH), 0.0)
    policy.due(0.0)
    policy.stranger(HIGH, 0.0)
    policy.renewed(1.0)
    assert policy.strangers == 0 and dialled(policy, 1.0) == [HIGH]


def test_who_comes_back_is_met_soon() -> None:
    """One that was met and parted is tried after a second, and one that is announced anew at once."""
    policy = known_as(LOW)
    policy.seen(at(HIGH), 0.0)
    policy.due(0.0)
    policy.linked(HIGH)
    policy.parted(HIGH, 50.0)
    assert policy.wait(50.0) == 1.0
    policy.gone(HIGH)
    assert policy.wait(50.0) is None
    policy.seen(at(HIGH), 60.0)
    assert dialled(policy, 60.0) == [HIGH]


def test_a_failure_of_who_is_gone_is_nobodys() -> None:
    """What a dial comes to when the announcement was taken back meanwhile changes nothing."""
    policy = known_as(LOW)
    policy.seen(at(HIGH), 0.0)
    policy.due(0.0)
    policy.gone(HIGH)
    for told in (policy.stranger, policy.away, policy.parted):
        told(HIGH, 1.0)
    policy.linked(HIGH)
    assert policy.visible == frozenset() and policy.wait(1.0) is None


@pytest.mark.parametrize("addresses", [(), ("8.8.8.8",), ("example.org",), ("2a01:e0a::1",)])
def test_no_announcement_sends_this_device_to_the_internet(addresses: tuple[str, ...]) -> None:
    """Who is announced at an address that the internet routes is not dialled: anybody may announce anything."""
    policy = known_as(LOW)
    policy.seen(Neighbour(HIGH, addresses, 443), 0.0)
    assert policy.visible == frozenset()


def test_of_several_addresses_those_at_hand_are_dialled() -> None:
    """Of what is announced together only what is near is kept."""
    policy = known_as(LOW)
    policy.seen(at(HIGH, "8.8.8.8", "10.0.0.7"), 0.0)
    assert policy.due(0.0) == [at(HIGH, "10.0.0.7")]


def test_of_many_addresses_a_few_are_dialled() -> None:
    """An announcement does not make this device dial its way through a network."""
    policy = known_as(LOW)
    policy.seen(at(HIGH, *(f"10.0.{number // 256}.{number % 256}" for number in range(2000))), 0.0)
    (neighbour,) = policy.due(0.0)
    assert len(neighbour.addresses) == MAX_ADDRESSES


def names(count: int) -> Iterable[bytes]:
    return (number.to_bytes(32, "big") for number in range(1, count + 1))


def test_a_flood_of_announcements_is_bounded() -> None:
    """Of ten thousand made-up names some are remembered, eight are dialled at once, and then about one a second."""
    policy = known_as(bytes(32))
    for instance in names(10_000):
        policy.seen(at(instance), 0.0)
    assert len(policy.visible) == MAX_NEIGHBOURS
    count = 0
    for tenth in range(600):
        for instance in dialled(policy, tenth / 10):
            count += 1
            policy.stranger(instance, tenth / 10)
            policy.gone(instance)
            policy.seen(at(bytes((7,)) + instance[1:]), tenth / 10)
    assert 8 <= count <= 8 + 68


@pytest.mark.parametrize("came_to", [Policy.stranger, Policy.away])
def test_a_flood_keeps_no_later_device_out(came_to: Callable[[Policy, bytes, float], None]) -> None:
    """Who is announced after a flood of strangers, or of names that lead nowhere, takes the place of one of them."""
    policy = known_as(bytes(32))
    for instance in names(MAX_NEIGHBOURS):
        policy.seen(at(instance), 0.0)
    now = 0.0
    for _ in range(MAX_NEIGHBOURS):
        now += policy.wait(now) or 0.0
        for instance in dialled(policy, now):
            came_to(policy, instance, now)
    policy.seen(at(HIGH), now)
    assert HIGH in policy.visible and len(policy.visible) == MAX_NEIGHBOURS


def test_who_was_missed_in_a_flood_is_met_when_all_are_looked_for_anew() -> None:
    """Somebody comes while none of a flood was dialled yet: that it was missed is told, and later it has a place,
    though all of the flood are announced still."""
    policy = known_as(bytes(32))
    flood, linked = list(names(MAX_NEIGHBOURS)), bytes((9,)) * 32
    for instance in (linked, *flood[1:]):
        policy.seen(at(instance), 0.0)
    policy.linked(linked)
    assert not policy.missed
    policy.seen(at(HIGH), 0.0)
    assert policy.missed and HIGH not in policy.visible
    now = 0.0
    for _ in range(MAX_NEIGHBOURS // 2):
        now += policy.wait(now) or 0.0
        for instance in dialled(policy, now):
            policy.stranger(instance, now)
    policy.missed = False
    for instance in (*flood[1:], HIGH):
        policy.seen(at(instance), now)
    assert {HIGH, linked} <= policy.visible and len(policy.visible) == MAX_NEIGHBOURS
    assert policy.missed  # whose place it has


EVENTS = st.lists(st.tuples(
    st.sampled_from(["seen", "gone", "linked", "parted", "stranger", "away", "guests", "announced", "renewed"]),
    st.integers(1, 5), st.floats(0, 100)), max_size=60)


@settings(max_examples=tries(200))
@given(EVENTS)
def test_whatever_happens_it_waits_exactly_for_what_is_due(events: list[tuple[str, int, float]]) -> None:
    """After any history nothing is due before `wait` is over, something is then, nobody is dialled twice without an
    answer, and neither this device nor a guest is."""
    policy, now = Policy(), 0.0
    guests: set[bytes] = set()
    for event, number, pause in events:
        instance = number.to_bytes(32, "big")
        match event:
            case "seen":
                policy.seen(at(instance), now)
            case "guests":
                guests = {instance}
                policy.guests(guests)
            case "announced":
                policy.announced(instance, now)
            case "renewed":
                policy.renewed(now)
            case "gone" | "linked":
                getattr(policy, event)(instance)
            case _:
                getattr(policy, event)(instance, now)
        now += pause
        wait = policy.wait(now)
        if wait is None:
            assert dialled(policy, now + 1e9) == []
        elif wait > 0:
            assert dialled(policy, now + wait / 2) == []
        else:
            found = dialled(policy, now)
            assert found and not set(found) & (guests | policy.own) and not set(found) & set(dialled(policy, now))
