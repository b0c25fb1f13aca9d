"""Rotation, packets and deletion between both cores: who may, who is put out, and what is never let through twice."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.crypto import SigningKey
from chez.errors import InvalidValue
from chez.sync.events import AppendDone, EntriesArrived, PacketArrived, Refused, RolesEnded
from chez.sync.requests import Rotation
from chez_relay.allowances import ANYTHING
from chez_relay.effects import Ask, Close, Effect, Send
from chez_relay.errors import Code
from chez_relay.session import RelaySession, State
from chez_relay.storage import Quotas
from chez_wire import frames
from chez_wire.limits import MAX_PACKETS
from chez_wire.login import ANY_KEY, Role
from tests.relay.link import NAME, Link, World, completed, envelopes, kinds, opened, outcomes, refusals
from tests.relay.support import Space, key, packet, seed

SPACE = Space()
NEXT, THIRD = SPACE.rotated(), SPACE.rotated("third")
HANDLE = SPACE.handle
ALL = (Role.READ, Role.APPEND, Role.CONTROL)


def refused(link: Link, ref: int) -> str:
    """The code that a request was refused with; empty when it was done."""
    (event,) = [event for event in link.events if getattr(event, "ref", None) == ref]
    return event.code if isinstance(event, Refused) else ""


def following(world: World, space: Space = SPACE) -> Link:
    """A link that holds all roles and follows the log."""
    link = world.connect()
    link.client.open(space.claims(*ALL))
    link.client.subscribe(HANDLE, 0, 100_000)
    return link


def owner(world: World, *packets: frames.SealedPacket) -> Link:
    """A link that created the space."""
    link = world.connect()
    link.client.create_space(SPACE.admin, *SPACE.others, packets=packets)
    world.run()
    return link


@given(st.integers(0, 2**32))
def test_a_rotation_puts_everybody_out_and_lets_in_who_has_the_new_keys(number: int) -> None:
    """Any interleaving: whoever holds old keys is told and gets nothing new; with new keys all is there."""
    world = World(number)
    admin = owner(world)
    member, removed = following(world), following(world)
    before = [SPACE.envelope(part) for part in range(3)]
    for envelope in before:
        member.client.append(HANDLE, Role.APPEND, envelope)
    world.run()
    rotate = admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    late = [removed.client.append(HANDLE, role, SPACE.envelope(10 + at)) for at, role in enumerate(ALL[1:])]
    world.run()
    member.client.open(NEXT.claims(*ALL))
    follow = member.client.subscribe(HANDLE, 0, 100_000)
    after = SPACE.envelope(20)
    member.client.append(HANDLE, Role.APPEND, after)
    world.run()
    assert rotate in completed(admin)
    assert kinds(member, RolesEnded) == kinds(removed, RolesEnded) == [RolesEnded(HANDLE, Code.ROTATED)]
    assert not kinds(admin, RolesEnded), "it held no role"
    assert after not in envelopes(removed)
    for ref in late:  # asked at the same time: before the rotation, or refused
        assert refused(removed, ref) in ("", Code.ROTATED)
    pages = [event for event in kinds(member, EntriesArrived) if event.ref == follow]
    log = [entry.envelope for page in pages for entry in page.entries]
    in_time = {SPACE.envelope(10 + at) for at, ref in enumerate(late) if not refused(removed, ref)}
    own = [event.passed for event in kinds(member, AppendDone)][-1]
    assert set(log) | ({after} if own else set()) == {*before, *in_time, after}
    assert not any(link.client.unanswered for link in world.links)


def test_old_credentials_open_nothing_and_old_roles_do_nothing() -> None:
    """After a rotation each request under the old keys is refused by name, and a new login with them denied."""
    world = World(1)
    admin, removed = owner(world), following(world)
    world.run()
    admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    world.run()
    client = removed.client
    refs = [*(client.append(HANDLE, role, SPACE.envelope(1)) for role in ALL[1:]), client.read(HANDLE, 0),
            client.subscribe(HANDLE, 0, 1000), client.put_chunk(HANDLE, b"x"),
            client.get_chunk(HANDLE, seed("c")), client.has_chunks(HANDLE, [seed("c")])]
    world.run()
    assert [refused(removed, ref) for ref in refs] == [Code.ROTATED] * 7
    removed.events.clear()
    again = world.connect()
    for link in (removed, again):
        link.client.open(SPACE.claims(*ALL))
    world.run()
    assert outcomes(removed) == outcomes(again) == [Code.DENIED] * 3
    assert world.storage.copy()._spaces[HANDLE].envelopes == []


@given(st.integers(0, 2**32))
def test_a_request_asked_before_and_carried_out_after_is_refused(number: int) -> None:
    """A removed member's append that the relay took in, but did not store before the rotation, is not stored."""
    world = World(number)
    admin, removed = owner(world), opened(world, *ALL)
    world.run()
    removed.client.append(HANDLE, Role.APPEND, SPACE.envelope(1))
    while not removed.owed:  # the relay has looked at the role, and asked its storage
        removed.step(world.random)
    other = [removed.owed.popleft()]
    admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    while admin.step(world.random):
        pass
    removed.owed.extend(other)
    world.run()
    assert kinds(removed, AppendDone) == [] and refusals(removed) == [Code.ROTATED]


@given(st.integers(0, 2**32))
def test_one_round_trip_rotates_and_goes_on(number: int) -> None:
    """Rotate, open with the new keys, subscribe, append and give credit, all in one go: the new roles stand."""
    world = World(number)
    link = owner(world)
    link.client.open(SPACE.claims(*ALL))
    link.client.subscribe(HANDLE, 0, 1000)
    link.client.append(HANDLE, Role.APPEND, SPACE.envelope(1))
    world.run()
    link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    link.client.credit(HANDLE, 500)
    link.client.open(NEXT.claims(*ALL))
    link.client.credit(HANDLE, 500)  # for the subscription that the relay is about to end
    link.client.subscribe(HANDLE, 1, 1000)
    link.client.append(HANDLE, Role.APPEND, SPACE.envelope(2))
    world.run()
    assert refusals(link) == [] and link.caught is None
    assert kinds(link, RolesEnded) == [RolesEnded(HANDLE, Code.ROTATED)]
    other = following(world, NEXT)
    other.client.append(HANDLE, Role.APPEND, SPACE.envelope(3))
    world.run()
    assert SPACE.envelope(3) in envelopes(link)
    assert not link.client.unanswered


@given(st.integers(0, 2**32), st.integers(0, 40))
def test_a_subscription_under_way_is_answered_whenever_the_rotation_comes(number: int, steps: int) -> None:
    """However far a login got: no request stays without an answer, and neither side calls the other a liar."""
    world = World(number)
    admin = owner(world)
    late = following(world)
    late.client.read(HANDLE, 0)
    world.run(steps)
    late.client.credit(HANDLE, 100)
    late.client.subscribe(HANDLE, 0, 1000)
    admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    world.run(steps)
    late.client.subscribe(HANDLE, 0, 1000)
    world.run()
    assert late.caught is None and not late.client.unanswered
    assert set(refusals(late)) <= {Code.ROTATED, Code.ROLE, Code.NOT_SUBSCRIBED}


@given(st.integers(0, 2**32))
def test_of_two_rotations_at_once_one_wins(number: int) -> None:
    """Two owners rotate the same state: one is done, the other stale, and the space has the winner's keys alone."""
    world = World(number)
    owner(world)
    spaces = [NEXT, THIRD]
    rotations = [(link := world.connect(), link.client.rotate(HANDLE, SPACE.admin, one.rotation())) for one in spaces]
    world.run()
    outcome = [refused(link, ref) for link, ref in rotations]
    assert sorted(outcome) == ["", Code.STALE], "though the first took the second's admin key"
    winner = spaces[outcome.index("")]
    probe = world.connect()
    for space in spaces:
        probe.client.open(space.claims(Role.READ))
    world.run()
    assert outcomes(probe) == ["" if space is winner else Code.DENIED for space in spaces]


def test_of_two_rotations_under_one_admin_key_the_second_is_stale() -> None:
    """Where the admin key stays, compare and set on the read key decides."""
    world = World(2)
    link = owner(world)
    stays = [Rotation(one.previous_read, SPACE.admin.public, one.read_key, one.append_key, one.control_key)
             for one in (NEXT.rotation(), THIRD.rotation())]
    refs = [link.client.rotate(HANDLE, SPACE.admin, one) for one in stays]
    world.run()
    assert [refused(link, ref) for ref in refs] == ["", Code.STALE]


@given(st.integers(0, 2**32), st.integers(0, 12))
def test_a_rotation_whose_answer_was_lost_is_said_again(number: int, steps: int) -> None:
    """Cut anywhere: on the next connection the same rotation is done, by the key that it replaced."""
    world = World(number)
    link = owner(world)
    rotation = NEXT.rotation(packet("a"), packet("b"))
    link.client.rotate(HANDLE, SPACE.admin, rotation)
    world.run(steps)
    link.cut = True
    again = world.connect()
    ref = again.client.rotate(HANDLE, SPACE.admin, rotation)
    again.client.open(NEXT.claims(*ALL))
    asked = again.client.get_packet(HANDLE, packet("a").tag)
    world.run()
    assert refused(again, ref) == "" and outcomes(again) == ["", "", ""]
    assert PacketArrived(asked, packet("a").box) in again.events


def sent(link: Link, kind: type) -> bytes:
    """The bytes of a frame that a client is about to send."""
    data = link.client.data_to_send()
    link.up.extend(data)
    return next(one for one in data if isinstance(frames.decode_client(one), kind))


def codes(effects: list[Effect]) -> list[str]:
    """What a relay's session answers at once."""
    return [frame.code for effect in effects if isinstance(effect, Send)
            and isinstance(frame := frames.decode_relay(effect.data), frames.Failed)]


REQUESTS: dict[type, Callable[[Link], int]] = {
    frames.Rotate: lambda link: link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation()),
    frames.DeleteSpace: lambda link: link.client.delete_space(HANDLE, SPACE.admin),
}


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_a_signed_request_is_worth_nothing_a_second_time(kind: type) -> None:
    """Replayed on the same connection, on another one, or forwarded from another relay, it is denied."""
    world = World(3)
    link = owner(world)
    REQUESTS[kind](link)
    recorded = sent(link, kind)
    world.run()
    assert codes(link.relay.receive(recorded)) == [Code.DENIED], "on its own connection"
    other = opened(world, Role.READ)
    world.run()
    assert codes(other.relay.receive(recorded)) == [Code.DENIED], "on another connection"
    evil = World(4).connect("evil.test:1")
    evil.client.receive(frames.encode(frames.Welcome(1, other.relay._signatures.relay_nonce, seed("i"))))
    REQUESTS[kind](evil)
    assert codes(other.relay.receive(sent(evil, kind))) == [Code.DENIED], "meant for another relay"


@pytest.mark.parametrize("signer", [
    Space("other").admin, SPACE.credential(Role.READ), SPACE.credential(Role.CONTROL), key("somebody"),
    replace(key("forger"), public=SPACE.admin.public),
], ids=["another space's admin", "a reader", "any member", "somebody", "under the admin's name"])
def test_nobody_else_rotates_or_deletes(signer: SigningKey) -> None:
    """Neither another space's admin nor a member's credential, nor the admin's name without the key: denied."""
    world = World(5)
    link = owner(world)
    other = opened(world, space=Space("other"))
    world.run()
    refs = [link.client.rotate(HANDLE, signer, NEXT.rotation()), link.client.delete_space(HANDLE, signer)]
    other.client.open(SPACE.claims(Role.READ))
    world.run()
    assert [refused(link, ref) for ref in refs] == [Code.DENIED] * 2
    assert not kinds(other, RolesEnded) and outcomes(other)[-1] == ""


def test_every_field_of_a_rotation_is_signed() -> None:
    """Whoever changes anything in a rotation on its way, its packets included, gets it denied."""
    world = World(6)
    link = owner(world)
    link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(packet("a"), packet("b")))
    whole = frames.decode_client(sent(link, frames.Rotate))
    assert isinstance(whole, frames.Rotate)
    changes = {field: seed("other") for field in frames.Rotate.__struct_fields__[1:-2]}
    altered = [changes.copy() for _ in changes]
    variants = [
        {"ref": whole.ref + 1}, {"packets": whole.packets[:1]}, {"packets": []}, {"signature": bytes(64)},
        {"packets": sorted([packet("a"), packet("c")], key=lambda one: one.tag)},
        *({field: one[field]} for field, one in zip(changes, altered, strict=True)),
    ]
    for fields in variants:
        values = {field: getattr(whole, field) for field in frames.Rotate.__struct_fields__} | fields
        assert codes(link.relay.receive(frames.encode(frames.Rotate(**values)))) == [Code.DENIED], fields
    world.run()
    assert refusals(link) == []  # the true one, which came after them


def test_packets_out_of_order_or_twice_are_refused() -> None:
    """A relay takes a table of packets in the order of its tags only, so that order tells it nothing."""
    world = World(7)
    link = owner(world)
    link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(packet("a"), packet("b"), packet("c")))
    whole = frames.decode_client(sent(link, frames.Rotate))
    assert isinstance(whole, frames.Rotate)
    link.client.create_space(key("x"), *SPACE.others, packets=[packet("a")])
    create = frames.decode_client(sent(link, frames.CreateSpace))
    assert isinstance(create, frames.CreateSpace)
    for packets in (whole.packets[::-1], [packet("a"), packet("a")], [packet("a"), packet("a", 1)]):
        for frame in (whole, create):
            values = {field: getattr(frame, field) for field in frame.__struct_fields__} | {"packets": packets}
            assert codes(link.relay.receive(frames.encode(type(frame)(**values)))) == [Code.BAD_PACKETS]
    assert [one.tag for one in whole.packets] == sorted(one.tag for one in whole.packets)


def test_one_packet_too_many_or_too_large_is_no_frame() -> None:
    """The largest table fits a frame; one more packet, or a box of another size, ends the connection."""
    world = World(8)
    link = owner(world)
    most = [frames.SealedPacket(number.to_bytes(32, "big"), bytes(256)) for number in range(MAX_PACKETS + 1)]
    ref = link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(*most[:-1]))
    world.run()
    assert refused(link, ref) == ""
    for packets in (most, [frames.SealedPacket(seed("t"), bytes(255))], [frames.SealedPacket(seed("t"), bytes(257))]):
        victim = world.connect()
        world.run()
        frame = frames.Rotate(1, HANDLE, *[seed("k")] * 6, packets, bytes(64))
        effects = victim.relay.receive(frames.encode(frame))
        assert isinstance(effects[-1], Close) and effects[-1].reason == Code.MALFORMED
        with pytest.raises(InvalidValue):
            link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(*packets))
    for twice in ([packet("a"), packet("a", 1)],):
        with pytest.raises(InvalidValue):
            link.client.create_space(SPACE.admin, *SPACE.others, packets=twice)
    with pytest.raises(InvalidValue, match="read key"):
        link.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(previous=NEXT.credential(Role.READ).public))


def test_the_recovery_key_takes_a_space_back() -> None:
    """A hostile owner rotates and changes the admin key; the recovery key rotates over it, whatever it holds now."""
    world = World(9)
    link, hostile = owner(world), world.connect()
    hostile.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    hostile.client.open(NEXT.claims(*ALL))
    world.run()
    link.client.rotate(HANDLE, SPACE.recovery, THIRD.rotation(packet("me")))
    blind = link.client.rotate(HANDLE, SPACE.recovery, THIRD.rotation(packet("me"), previous=ANY_KEY))
    world.run()
    assert refusals(link) == [Code.STALE] and blind in completed(link)
    assert kinds(hostile, RolesEnded) == [RolesEnded(HANDLE, Code.ROTATED)]
    back = hostile.client.rotate(HANDLE, NEXT.admin, NEXT.rotation(previous=THIRD.credential(Role.READ).public))
    any_key = hostile.client.rotate(HANDLE, NEXT.admin, NEXT.rotation(previous=ANY_KEY))
    gone = hostile.client.delete_space(HANDLE, NEXT.admin)
    world.run()
    assert [refused(hostile, ref) for ref in (back, any_key, gone)] == [Code.DENIED, Code.STALE, Code.DENIED]


def test_an_owner_does_not_shake_off_the_recovery_key() -> None:
    """Deleting the space and making it anew with another recovery key is refused, also much later."""
    world = World(12)
    hostile = owner(world)
    hostile.client.rotate(HANDLE, SPACE.admin, NEXT.rotation())
    hostile.client.delete_space(HANDLE, NEXT.admin)
    _, *keys = SPACE.others
    other = hostile.client.create_space(SPACE.admin, key("hostile").public, *keys)
    same = hostile.client.create_space(SPACE.admin, *SPACE.others)
    hostile.client.open(SPACE.claims(Role.READ))
    again = hostile.client.create_space(SPACE.admin, key("hostile").public, *keys)
    world.run()
    assert [refused(hostile, ref) for ref in (other, same, again)] == [Code.EXISTS, "", Code.EXISTS]
    assert outcomes(hostile) == [""]


def test_a_packet_needs_a_tag_and_nothing_else() -> None:
    """Whoever holds a tag gets its box, before and after a rotation; all else is unknown in the same words."""
    world = World(10)
    admin, away = owner(world, packet("me"), packet("other")), world.connect()
    first = away.client.get_packet(HANDLE, packet("me").tag)
    world.run()
    admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(packet("me", 1)))
    world.run()
    asked = [(HANDLE, packet("me").tag), (HANDLE, packet("other").tag), (seed("nowhere"), packet("me").tag)]
    second, removed, nowhere = (away.client.get_packet(*one) for one in asked)
    world.run()
    assert PacketArrived(first, packet("me").box) in away.events
    assert PacketArrived(second, packet("me", 1).box) in away.events
    unknown = [event for event in kinds(away, Refused) if event.ref in (removed, nowhere)]
    assert len(unknown) == 2 and len({(event.code, event.message, event.retry) for event in unknown}) == 1


def test_asking_for_packets_is_held_to_what_the_shell_allows() -> None:
    """Where the allowance is used up, a request is refused without touching the storage, and may be repeated later."""
    allowed = [True, True, False, True]
    class Some(type(ANYTHING)):  # type: ignore[misc]
        def look_up(self) -> bool:
            return allowed.pop(0)

    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"), may=Some())
    session.receive(frames.encode(frames.Hello([1], seed("c"), NAME)))
    effects = [session.receive(frames.encode(frames.GetPacket(n, HANDLE, seed("t")))) for n in range(4)]
    assert [isinstance(one[0], Ask) for one in effects] == [True, True, False, True]
    assert codes(effects[2]) == [Code.TOO_OFTEN] and session.state is State.READY
    (answer,) = [frames.decode_relay(one.data) for one in effects[2] if isinstance(one, Send)]
    assert isinstance(answer, frames.Failed) and answer.retry


@given(st.integers(0, 2**32))
def test_a_deleted_space_ends_for_everybody_and_may_be_made_anew(number: int) -> None:
    """Any interleaving: roles end by name, logins hear why, repeating is done, a new one begins empty."""
    world = World(number)
    admin, member = owner(world), following(world)
    member.client.append(HANDLE, Role.APPEND, SPACE.envelope(1))
    world.run()
    refs = [admin.client.delete_space(HANDLE, SPACE.recovery) for _ in range(2)]
    member.client.read(HANDLE, 0)
    world.run()
    assert [refused(admin, ref) for ref in refs] == ["", ""]
    assert kinds(member, RolesEnded) == [RolesEnded(HANDLE, Code.DELETED)]
    append = member.client.append(HANDLE, Role.APPEND, SPACE.envelope(2))
    member.client.open(SPACE.claims(*ALL))
    world.run()
    assert refused(member, append) == Code.DELETED and outcomes(member)[-3:] == [Code.DELETED] * 3
    admin.client.create_space(SPACE.admin, *SPACE.others)
    admin.client.open(SPACE.claims(*ALL))
    admin.client.subscribe(HANDLE, 0, 1000)
    world.run()
    assert outcomes(admin) == ["", "", ""] and envelopes(admin) == []
    assert not any(link.client.unanswered for link in world.links)


def test_a_full_space_can_be_rotated() -> None:
    """Whoever fills a space cannot keep its owner from rotating; packets take their room all the same."""
    world = World(11, Quotas(space_bytes=1000))
    admin, hostile = owner(world), opened(world, *ALL)
    for number in range(3):
        hostile.client.append(HANDLE, Role.APPEND, SPACE.envelope(number))
    world.run()
    ref = admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(packet("me")))
    admin.client.open(NEXT.claims(*ALL))
    append = admin.client.append(HANDLE, Role.APPEND, SPACE.envelope(9, 150))
    control = admin.client.append(HANDLE, Role.CONTROL, SPACE.envelope(10))
    world.run()
    assert [refused(admin, one) for one in (ref, append, control)] == ["", Code.QUOTA, ""]
    big = Space("big")
    many = admin.client.create_space(big.admin, *big.others, packets=[packet(str(n)) for n in range(4)])
    world.run()
    assert refused(admin, many) == Code.QUOTA


def test_a_space_whose_quota_was_lowered_is_rotated_with_as_many_packets() -> None:
    """As many as it has, or fewer: nobody could be put out of it otherwise. One more is refused."""
    three = sorted([packet("me"), packet("you"), packet("them")], key=lambda one: one.tag)
    world = World(12, Quotas(space_bytes=1000))
    admin = world.connect()
    admin.client.create_space(SPACE.admin, *SPACE.others, packets=three)
    world.run()
    world.storage._quotas = Quotas(space_bytes=100)
    third, fourth = SPACE.rotated("third"), SPACE.rotated("fourth")
    second, last = (one.credential(Role.READ).public for one in (NEXT, third))
    refs = [admin.client.rotate(HANDLE, SPACE.admin, NEXT.rotation(*three)),
            admin.client.rotate(HANDLE, NEXT.admin, third.rotation(*three[:2], previous=second)),
            admin.client.rotate(HANDLE, third.admin, fourth.rotation(*three, previous=last))]
    world.run()
    assert [refused(admin, one) for one in refs] == ["", "", Code.QUOTA]
