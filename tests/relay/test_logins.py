"""Who may do what between both cores: replayed and forwarded logins, roles, the making of spaces."""

from dataclasses import replace

from chez.sync import session as client
from chez.sync.events import (
    AppendDone,
    Completed,
    SpacesOpened,
)
from chez.sync.session import ClientSession
from chez_relay.effects import Ask, Close, Send
from chez_relay.errors import Code
from chez_relay.session import RelaySession
from chez_relay.storage import Found
from chez_relay.storage.refusals import DAMAGED
from chez_wire import frames
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.login import Role, inbox_of
from tests.relay.link import NAME, World, envelopes, kinds, opened, outcomes, refusals
from tests.relay.support import Space, key, seed

SPACE = Space()


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


def test_a_login_says_where_a_log_ends_to_who_may_read_it() -> None:
    """Who appends, or has the role control, learns nothing of the log, not even how long it is."""
    world = World(6)
    link = opened(world)
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    member = opened(world, Role.APPEND, Role.READ, Role.CONTROL)
    world.run()
    ends = [(one.role, one.offset, one.head) for event in kinds(member, SpacesOpened) for one in event.spaces]
    assert ends == [(Role.APPEND, 0, GENESIS_HEAD), (Role.READ, 1, kinds(link, AppendDone)[0].head),
                    (Role.CONTROL, 0, GENESIS_HEAD)]


def test_a_login_that_a_store_can_not_answer_is_refused_and_may_be_repeated() -> None:
    """A space whose row is damaged by itself, all of them where the store failed; the connection goes on."""
    world = World(7)
    link = opened(world)
    world.run()
    link.events.clear()
    for result in (Found((DAMAGED, DAMAGED)), DAMAGED, None):
        link.client.open(SPACE.claims())
        link.apply(link.relay.receive(link.client.data_to_send()[0]))
        assert link.relay.busy
        ask = link.owed.popleft()
        link.apply(link.relay.completed(ask, result or world.storage.perform_now([ask.request])[0]))
        assert not link.relay.busy
        world.run()
    assert (outcomes(link), refusals(link)) == ([Code.DAMAGED, Code.DAMAGED, "", ""], [Code.DAMAGED])


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


def test_creating_wants_the_keys_signature_and_the_operators_token() -> None:
    """A creation signed by another key, without a token or with a wrong one makes nothing, and hears why."""
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
