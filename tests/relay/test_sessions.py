"""Both cores over a fake link: logins, roles, order, credit, and links that lie."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue, RelayMisbehaved
from chez.sync import session as client
from chez.sync.events import (
    AppendDone,
    Completed,
    EntriesArrived,
    InboxArrived,
    Refused,
    SpacesOpened,
    Welcomed,
)
from chez.sync.session import ClientSession
from chez_relay import session as relay
from chez_relay.effects import Ask, Close, Send
from chez_relay.errors import Code
from chez_relay.session import RelaySession
from chez_relay.storage import Quotas
from chez_wire import frames
from chez_wire.envelope import entry_id
from chez_wire.login import Role, inbox_of
from tests.relay.link import NAME, Link, World
from tests.relay.support import Space, key, seed

SPACE = Space()


def opened(world: World, *roles: Role, space: Space = SPACE, **options: bool) -> Link:
    """A link whose client created the space and opened roles at it."""
    link = world.connect(**options)
    link.client.create_space(space.admin, *space.others)
    link.client.open(space.claims(*roles))
    return link


def kinds(link: Link, kind: type) -> list:  # type: ignore[type-arg]
    return [event for event in link.events if isinstance(event, kind)]


def refusals(link: Link) -> list[str]:
    return [event.code for event in kinds(link, Refused)]


def outcomes(link: Link) -> list[str]:
    return [space.error for event in kinds(link, SpacesOpened) for space in event.spaces]


def envelopes(link: Link) -> list[bytes]:
    return [entry.envelope for event in kinds(link, EntriesArrived) for entry in event.entries]


def followed(link: Link) -> list[tuple[int, bytes]]:
    """Offset and id of each entry that a subscription stood at: sent to it, or its own and passed over."""
    seen = []
    for event in link.events:
        if isinstance(event, EntriesArrived):
            seen += [(entry.offset, entry_id(entry.envelope)) for entry in event.entries]
        elif isinstance(event, AppendDone) and event.passed:
            seen.append((event.offset, event.entry))
    return seen


@given(st.integers(0, 2**32))
def test_everybody_sees_the_same_log(number: int) -> None:
    """Two writers and a reader, any interleaving: all see one log, each entry once and acknowledged in it."""
    world = World(number)
    links = [opened(world) for _ in range(3)]
    for index, link in enumerate(links):
        link.client.subscribe(SPACE.handle, 0, 100_000)
        for part in range(4 * (index < 2)):
            link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(10 * index + part))
    world.run()
    logs = [followed(link) for link in links]
    assert logs[0] == logs[1] == logs[2] and [offset for offset, _ in logs[0]] == list(range(1, 9))
    for link in links:
        for done in kinds(link, AppendDone):
            assert logs[0][done.offset - 1] == (done.offset, done.entry)
    assert not any(link.client.unanswered for link in links)


def test_an_own_entry_does_not_come_back() -> None:
    """A writer that is up to date gets no copy of what it sent; one that is behind gets all of it in order."""
    world = World(5)
    writer, other = opened(world), opened(world)
    writer.client.subscribe(SPACE.handle, 0, 100_000)
    world.run()
    for part in range(3):
        writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part))
        world.run()
    assert envelopes(writer) == []
    assert [done.passed for done in kinds(writer, AppendDone)] == [True] * 3
    other.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(3))
    world.run()
    writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(4))
    world.run()
    assert envelopes(writer) == [SPACE.envelope(3)]
    other.client.subscribe(SPACE.handle, 0, 100_000)
    world.run()
    assert envelopes(other) == [SPACE.envelope(part) for part in range(5)]


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_a_cut_connection_resumes_without_loss_or_double(number: int, steps: int) -> None:
    """Cut anywhere, connect again, repeat what was not acknowledged: each entry is there once."""
    world = World(number)
    first = opened(world)
    wanted = [SPACE.envelope(part) for part in range(6)]
    for envelope in wanted:
        first.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run(steps)
    first.cut = True
    second = opened(world)
    acknowledged = {done.entry for done in kinds(first, AppendDone)}
    for envelope in wanted:
        if entry_id(envelope) not in acknowledged:
            second.client.append(SPACE.handle, Role.APPEND, envelope)
    second.client.subscribe(SPACE.handle, 0, 100_000)
    world.run()
    assert sorted(envelopes(second)) == sorted(wanted)


@given(st.integers(0, 2**32))
def test_a_link_that_loses_repeats_and_reorders_is_caught_or_harmless(number: int) -> None:
    """Whatever happens to the relay's frames, the client holds a true prefix of the log or says so."""
    world = World(number)
    reader = opened(world, hostile=True)
    reader.client.subscribe(SPACE.handle, 0, 100_000)
    writer = opened(world)
    truth = [SPACE.envelope(part) for part in range(8)]
    for envelope in truth:
        writer.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run()
    seen = envelopes(reader)
    assert seen == truth[: len(seen)]
    if reader.caught is not None:
        with pytest.raises(RelayMisbehaved):
            reader.client.receive(frames.encode(frames.Done(1)))


def test_a_replayed_login_is_refused() -> None:
    """The Open of one login, sent again on a new connection with the same Hello, opens nothing."""
    world = World(1)
    opened(world)
    world.run()
    recorded = capture(SPACE)
    thief = world.connect()
    thief.apply(thief.relay.receive(frames.encode(frames.Hello([1], capture_nonce(), NAME))))
    (ask,) = [effect for effect in thief.relay.receive(recorded) if isinstance(effect, Ask)]
    (answer,) = thief.relay.completed(ask, world.storage.perform_now([ask.request])[0])
    assert isinstance(answer, Send)
    decoded = frames.decode_relay(answer.data)
    assert isinstance(decoded, frames.Opened) and {space.error for space in decoded.spaces} == {Code.DENIED}


def capture_nonce() -> bytes:
    """The client's nonce of the login that `capture` recorded."""
    return World(2).random.randbytes(32)


def capture(space: Space) -> bytes:
    """The Open frame of a login on some other connection."""
    world = World(2)
    link = opened(world, space=space)
    while link.client.state is client.State.GREETING:
        link.step(world.random)
    return next(data for data in [*link.up, *link.client.data_to_send()]
                if isinstance(frames.decode_client(data), frames.Open))


def test_a_forwarded_login_is_refused() -> None:
    """A relay in the middle that forwards the honest relay's challenge gets no login for it.

    The victim dialled evil.test; whatever name the middleman says in its own Hello, the
    signature names the one dialled.
    """
    world = World(3)
    opened(world)
    world.run()
    victim = ClientSession("evil.test:1", seed("victim"))
    victim.open(SPACE.claims())
    honest = RelaySession(names=[NAME], nonce=seed("fresh"), incarnation=world.storage.incarnation)
    refused = honest.receive(victim.data_to_send()[0])
    assert isinstance(refused[-1], Close) and refused[-1].reason == Code.WRONG_RELAY
    honest = RelaySession(names=[NAME], nonce=seed("fresh"), incarnation=world.storage.incarnation)
    (welcome,) = honest.receive(frames.encode(frames.Hello([1], seed("victim"), NAME)))
    assert isinstance(welcome, Send)
    victim.receive(welcome.data)
    (ask,) = [effect for effect in honest.receive(victim.data_to_send()[0]) if isinstance(effect, Ask)]
    (answer,) = honest.completed(ask, world.storage.perform_now([ask.request])[0])
    assert isinstance(answer, Send)
    decoded = frames.decode_relay(answer.data)
    assert isinstance(decoded, frames.Opened) and {space.error for space in decoded.spaces} == {Code.DENIED}


def test_a_credential_opens_its_own_role_and_space_only() -> None:
    """The reader's key opens neither append nor control nor another space; an inbox role opens no space."""
    world = World(4)
    link, other = opened(world), Space("other")
    opened(world, space=other)
    world.run()
    reader = SPACE.credential(Role.READ)
    roles = (Role.APPEND, Role.CONTROL, Role.TAKE, Role.PUT)
    link.client.open([(SPACE.handle, role, reader) for role in roles])
    link.client.open([(other.handle, Role.READ, reader), (seed("nowhere"), Role.READ, reader)])
    link.events.clear()
    world.run()
    assert outcomes(link) == [Code.DENIED] * 5 + [Code.UNKNOWN]


def test_every_request_needs_its_role() -> None:
    """Without the role open on this very connection nothing is appended, read, put or taken."""
    world = World(5)
    owner = opened(world)
    box = inbox_of(key("owner").public)
    owner.client.create_inbox(key("owner"), key("writer").public, 60)
    world.run()
    reader = opened(world, Role.READ)
    for role in Role:
        reader.client.append(SPACE.handle, role, SPACE.envelope(1))
    reader.client.put(box, b"x")
    reader.client.watch(box)
    reader.client.ack(box, 1)
    writer = opened(world, Role.APPEND)
    writer.client.read(SPACE.handle, 0)
    writer.client.subscribe(SPACE.handle, 0, 1000)
    world.run()
    assert refusals(reader) == [Code.ROLE] * (len(Role) + 3)
    assert refusals(writer) == [Code.ROLE] * 2
    assert not envelopes(reader)


def test_control_appends_under_its_own_quota() -> None:
    """Role control appends entries, and its quota is not the data's."""
    world = World(6, Quotas(space_bytes=300, control_bytes=300))
    link = opened(world, Role.APPEND, Role.CONTROL)
    for number, role in enumerate((Role.APPEND, Role.APPEND, Role.CONTROL, Role.CONTROL)):
        link.client.append(SPACE.handle, role, SPACE.envelope(number))
    world.run()
    assert refusals(link) == [Code.QUOTA, Code.QUOTA] and len(kinds(link, AppendDone)) == 2


def test_an_entry_of_another_space_or_format_is_refused() -> None:
    """The header must name the space appended to, in a known format."""
    world = World(7)
    link = opened(world)
    bad = SPACE.envelope(1)
    for envelope in (Space("other").envelope(1), b"CZE\x09" + bad[4:], b"", bad[:100]):
        link.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run()
    assert refusals(link) == [Code.BAD_ENTRY] * 4


def test_creating_wants_the_keys_signature_and_the_operators_token() -> None:
    """A creation signed by another key, or without the token, makes nothing; again is fine."""
    world = World(8)
    link = world.connect()
    link.relay = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"), tokens=["secret"])
    link.client.create_space(SPACE.admin, *SPACE.others)
    link.client.create_space(SPACE.admin, *SPACE.others, token="secret!")
    for _ in range(2):
        link.client.create_space(SPACE.admin, *SPACE.others, token="secret")
    forged = replace(SPACE.admin, public=key("victim").public)
    link.client.create_space(forged, *SPACE.others, token="secret")
    link.client.create_inbox(replace(key("owner"), public=key("victim").public), key("w").public, 60)
    world.run()
    assert refusals(link) == [Code.TOKEN, Code.TOKEN, Code.DENIED, Code.DENIED]
    assert len(kinds(link, Completed)) == 2


@given(st.integers(0, 2**32), st.integers(300, 3000))
def test_pushes_never_exceed_the_credit(number: int, credit: int) -> None:
    """A reader that gives no more credit is owed at most that and one entry; later it gets the rest."""
    world = World(number)
    reader = opened(world, Role.READ)
    reader.client.subscribe(SPACE.handle, 0, credit)
    writer = opened(world)
    for part in range(20):
        writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part))
    world.run()
    assert credit <= sum(map(len, envelopes(reader))) < credit + 300
    while len(envelopes(reader)) < 20:
        before = len(envelopes(reader))
        reader.client.credit(SPACE.handle, 700)
        world.run()
        assert before < len(envelopes(reader)) <= before + 4


def test_inbox_items_come_in_order_and_are_deleted_when_acknowledged() -> None:
    """Put before and during the watch, taken once, gone after the acknowledgement."""
    world = World(9)
    owner, box = world.connect(), inbox_of(key("owner").public)
    owner.client.create_inbox(key("owner"), key("writer").public, 60)
    writer = world.connect()
    world.run()
    writer.client.open([(box, Role.PUT, key("writer"))])
    for item in (b"1", b"2", b"2", b"3"):
        writer.client.put(box, item)
    owner.client.open([(box, Role.TAKE, key("owner"))])
    owner.client.watch(box)
    world.run()
    items = [(item.number, item.item) for event in kinds(owner, InboxArrived) for item in event.items]
    assert items == [(1, b"1"), (2, b"2"), (3, b"3")]
    owner.client.ack(box, 2)
    owner.client.watch(box)
    owner.events.clear()
    world.run()
    assert [item.item for event in kinds(owner, InboxArrived) for item in event.items] == [b"3"]
    assert not owner.client.unanswered


def test_subscribing_again_replaces_the_first() -> None:
    """Pages still under way for the first subscription are dropped, none comes twice after it."""
    world = World(10)
    link = opened(world)
    for part in range(5):
        link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part))
    world.run()
    link.client.subscribe(SPACE.handle, 0, 100)
    second = link.client.subscribe(SPACE.handle, 3, 10_000)
    world.run()
    arrived = [event for event in kinds(link, EntriesArrived) if event.ref == second]
    assert [entry.offset for event in arrived for entry in event.entries] == [4, 5]
    assert not link.client.unanswered


def test_an_offset_beyond_the_end_is_refused() -> None:
    """A relay that was rolled back says that it never had what the client holds."""
    world = World(11)
    link = opened(world)
    link.client.read(SPACE.handle, 7)
    link.client.subscribe(SPACE.handle, 7, 1000)
    world.run()
    assert refusals(link) == [Code.AHEAD, Code.AHEAD]


SAMPLES: dict[type, frames.ClientFrame] = {
    frames.Hello: frames.Hello([1], seed("c"), NAME),
    frames.CreateSpace: frames.CreateSpace(1, *[seed("k")] * 5, bytes(64)),
    frames.Open: frames.Open(1, [frames.Claim(SPACE.handle, Role.READ, bytes(64))]),
    frames.Append: frames.Append(1, SPACE.handle, Role.APPEND, b""),
    frames.Subscribe: frames.Subscribe(1, SPACE.handle, 0, 1),
    frames.Credit: frames.Credit(SPACE.handle, 1),
    frames.Read: frames.Read(1, SPACE.handle, 0, 1),
    frames.CreateInbox: frames.CreateInbox(1, seed("o"), seed("w"), 1, bytes(64)),
    frames.Put: frames.Put(1, seed("i"), b"x"),
    frames.Watch: frames.Watch(1, seed("i"), 0),
    frames.Ack: frames.Ack(1, seed("i"), 0),
}


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", [relay.State.GREETING, relay.State.READY])
def test_the_table_decides_which_frames_are_allowed(state: relay.State, kind: type) -> None:
    """A frame outside the table is answered with out_of_order and changes no state."""
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
    if state is relay.State.READY:
        session.receive(frames.encode(SAMPLES[frames.Hello]))
    effects = session.receive(frames.encode(SAMPLES[kind]))
    after = relay.TRANSITIONS[state].get(kind)
    assert session.state is (after or state)
    codes = [answer.code for effect in effects if isinstance(effect, Send)
             and isinstance(answer := frames.decode_relay(effect.data), frames.Failed)]
    assert (Code.OUT_OF_ORDER in codes) is (after is None)


def test_versions_are_negotiated() -> None:
    """A client without a version in common is told which one there is."""
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
    effects = session.receive(frames.encode(frames.Hello([7, 9], seed("c"), NAME)))
    assert isinstance(effects[-1], Close) and effects[-1].reason == Code.VERSION
    assert session.receive(frames.encode(SAMPLES[frames.Hello])) == []


def test_what_waits_behind_an_open_is_bounded() -> None:
    """A client that floods while its login is checked is let go; memory stays bounded."""
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
    session.receive(frames.encode(SAMPLES[frames.Hello]))
    session.receive(frames.encode(SAMPLES[frames.Open]))
    assert session.busy
    big = frames.encode(frames.Append(1, SPACE.handle, Role.APPEND, bytes(900_000)))
    for data in (big, frames.encode(SAMPLES[frames.Read])):
        twin = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
        twin.receive(frames.encode(SAMPLES[frames.Hello]))
        twin.receive(frames.encode(SAMPLES[frames.Open]))
        sent = 0
        while twin.state is not relay.State.CLOSED:
            twin.receive(data)
            sent += 1
        assert sent <= relay.MAX_WAITING_FRAMES + 1
        assert sent * len(data) <= relay.MAX_WAITING_BYTES + len(data)


def test_a_client_refuses_to_ask_for_the_impossible() -> None:
    """Sizes outside the protocol are the caller's error, before anything is sent."""
    session = ClientSession(NAME, seed("n"))
    session.data_to_send()
    for call in (
        lambda: session.open([]), lambda: session.append(SPACE.handle, Role.APPEND, bytes(2**20)),
        lambda: session.subscribe(SPACE.handle, 0, 0), lambda: session.credit(SPACE.handle, 5),
        lambda: session.put(seed("i"), b""), lambda: session.create_inbox(key("o"), key("w").public, 0),
    ):
        with pytest.raises(InvalidValue):
            call()
    assert session.data_to_send() == []


def greeted() -> ClientSession:
    session = ClientSession(NAME, seed("n"))
    (event,) = session.receive(frames.encode(frames.Welcome(1, seed("r"), seed("i"))))
    assert isinstance(event, Welcomed)
    session.data_to_send()
    return session


HEAD = seed("head")
LIES = {
    "an acknowledgement of nothing": lambda s: frames.Appended(9, SPACE.handle, HEAD, 1, HEAD, 0),
    "another entry's acknowledgement": lambda s: frames.Appended(
        s.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)), SPACE.handle, HEAD, 1, HEAD, 0),
    "an own entry passed over that does not come next": lambda s: frames.Appended(
        s.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)), SPACE.handle, entry_id(SPACE.envelope(1)), 2, HEAD,
        s.subscribe(SPACE.handle, 0, 1000)),
    "an own entry passed over under another head": lambda s: frames.Appended(
        s.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)), SPACE.handle, entry_id(SPACE.envelope(1)), 1, HEAD,
        s.subscribe(SPACE.handle, 0, 1000)),
    "an own entry passed over without a subscription": lambda s: frames.Appended(
        s.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)), SPACE.handle, entry_id(SPACE.envelope(1)), 1, HEAD, 7),
    "another kind of answer": lambda s: frames.Done(s.read(SPACE.handle, 0)),
    "other claims": lambda s: frames.Opened(s.open(SPACE.claims(Role.READ)), []),
    "a gap": lambda s: frames.Entries(
        s.subscribe(SPACE.handle, 0, 1000), SPACE.handle, [frames.Entry(2, b"x")], HEAD, 2),
    "a head that does not fold": lambda s: frames.Entries(
        s.subscribe(SPACE.handle, 0, 1000), SPACE.handle, [frames.Entry(1, b"x")], HEAD, 1),
    "another space": lambda s: frames.Entries(s.read(SPACE.handle, 0), HEAD, [], HEAD, 1),
    "entries beyond the end": lambda s: frames.Entries(
        s.read(SPACE.handle, 4), SPACE.handle, [frames.Entry(5, b"x")], HEAD, 3),
    "items nobody asked for": lambda s: frames.InboxItems(3, HEAD, []),
    "an item twice": lambda s: frames.InboxItems(
        s.watch(HEAD), HEAD, [frames.InboxItem(1, b"x"), frames.InboxItem(1, b"x")]),
    "a second welcome": lambda s: frames.Welcome(1, HEAD, HEAD),
    "a refusal of nothing": lambda s: frames.Failed(77, "quota", "no"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_relay_is_named(lie: str) -> None:
    """An answer that can't be true raises RelayMisbehaved and breaks the session for good."""
    session = greeted()
    data = frames.encode(LIES[lie](session))
    for _ in range(2):
        with pytest.raises(RelayMisbehaved):
            session.receive(data)
    assert session.state is client.State.BROKEN


def test_more_than_the_credit_is_named() -> None:
    """A relay that pushes past the credit is caught."""
    session = greeted()
    ref = session.subscribe(SPACE.handle, 5, 10)
    session.receive(frames.encode(frames.Entries(ref, SPACE.handle, [frames.Entry(6, b"x" * 10)], HEAD, 9)))
    with pytest.raises(RelayMisbehaved):
        session.receive(frames.encode(frames.Entries(ref, SPACE.handle, [frames.Entry(7, b"x")], HEAD, 9)))


nested = st.integers(0, 400_000).map(lambda depth: b"\x91" * depth)
shaped = st.recursive(
    st.none() | st.booleans() | st.integers(-2**63, 2**64 - 1) | st.binary(max_size=70) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=9), max_leaves=20,
)


@settings(max_examples=300)
@given(st.lists(st.one_of(
    st.binary(max_size=200), nested, st.just(bytes(2**20 + 1)),
    st.tuples(st.integers(0, 45), st.lists(shaped, max_size=8)).map(
        lambda pair: frames._encoder.encode([pair[0], *pair[1]])),
), max_size=6), st.booleans())
def test_any_bytes_give_typed_results_only(messages: list[bytes], ready: bool) -> None:
    """Arbitrary, huge, deeply nested messages: the relay answers Failed, the client raises typed errors."""
    server = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
    device = ClientSession(NAME, seed("n"))
    if ready:
        server.receive(frames.encode(SAMPLES[frames.Hello]))
        device = greeted()
        device.subscribe(SPACE.handle, 0, 1000)
    for data in messages:
        for effect in server.receive(data):
            if isinstance(effect, Send):
                frames.decode_relay(effect.data)
        try:
            device.receive(data)
        except RelayMisbehaved:
            assert device.state is client.State.BROKEN
