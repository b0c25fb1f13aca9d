"""Frames out of order, floods, lies and any bytes at all: typed answers from both cores, within bounds."""


import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue, RelayMisbehaved
from chez.sync import session as client
from chez.sync.events import AppendDone, RolesEnded, Welcomed
from chez.sync.meeting import Approach
from chez.sync.session import ClientSession
from chez_relay import session as relay
from chez_relay.bounds import MAX_WAITING_BYTES, MAX_WAITING_FRAMES
from chez_relay.effects import Ask, Close, Effect, Send
from chez_relay.errors import Code
from chez_relay.kept import KeptSessions, Place
from chez_relay.lan.meeting import Acquaintances
from chez_relay.session import RelaySession
from chez_relay.storage import Found, Page
from chez_wire import frames
from chez_wire.envelope import entry_id
from chez_wire.login import Role, resume_message
from chez_wire.meeting import LEAST_PROOFS, PLAIN_CHANNEL, Side, meeting_proof
from tests.relay.link import NAME, World, kinds, opened, refusals
from tests.relay.support import Space, key, seed
from tests.tries import tries
from tests.vectors.make_frames import FRAMES

SPACE = Space()


SAMPLES: dict[type, frames.ClientFrame] = {
    frames.Hello: frames.Hello([1], seed("c"), NAME),
    frames.CreateSpace: frames.CreateSpace(1, *[seed("k")] * 5, [], bytes(64)),
    frames.Open: frames.Open(1, [frames.Claim(SPACE.handle, Role.READ, bytes(64))]),
    frames.Append: frames.Append(1, SPACE.handle, Role.APPEND, b""),
    frames.Subscribe: frames.Subscribe(1, SPACE.handle, 0, 1),
    frames.Credit: frames.Credit(SPACE.handle, 1),
    frames.Read: frames.Read(1, SPACE.handle, 0, 1),
    frames.CreateInbox: frames.CreateInbox(1, seed("o"), seed("w"), 1, bytes(64)),
    frames.Put: frames.Put(1, seed("i"), b"x"),
    frames.Watch: frames.Watch(1, seed("i"), 0),
    frames.Ack: frames.Ack(1, seed("i"), 0),
    frames.PutChunk: frames.PutChunk(1, SPACE.handle, b"x"),
    frames.GetChunk: frames.GetChunk(1, SPACE.handle, seed("x")),
    frames.HasChunks: frames.HasChunks(1, SPACE.handle, [seed("x")]),
    frames.Rotate: frames.Rotate(1, SPACE.handle, *[seed("k")] * 6, [], bytes(64)),
    frames.GetPacket: frames.GetPacket(1, SPACE.handle, seed("t")),
    frames.Keep: frames.Keep(1, seed("k")),
    frames.Resume: frames.Resume(1, key("kept").public, key("kept").sign_bytes(
        resume_message(NAME, seed("c"), seed("n"), key("kept").public)), 2, 1, [0, None]),
    frames.Drop: frames.Drop(1, SPACE.handle, seed("k"), seed("v"), seed("i"), seed("f"), seed("c"),
                             [frames.Dropped(1, 1, seed("h"))], [], bytes(64), bytes(64)),
    frames.GetUsage: frames.GetUsage(1, SPACE.handle),
    frames.Broadcast: frames.Broadcast(SPACE.handle, SPACE.message(1)),
    frames.DeleteSpace: frames.DeleteSpace(1, SPACE.handle, seed("k"), bytes(64)),
    frames.Meet: frames.Meet(bytes(32), [meeting_proof(seed("met"), Side.DIALLING, NAME, seed("c"), seed("n"),
                                                       PLAIN_CHANNEL)] * LEAST_PROOFS),
}


def test_every_frame_has_a_sample() -> None:
    """The table is tried with each frame that a client may send."""
    assert set(SAMPLES) == set(frames.ClientFrame.__args__)


ALLOWED: dict[relay.State, dict[type, relay.State]] = {
    relay.State.GREETING: {frames.Hello: relay.State.READY},
    relay.State.MEETING: {frames.Meet: relay.State.READY},
    relay.State.READY: {kind: relay.State.READY for kind in SAMPLES if kind not in (frames.Hello, frames.Meet)}
    | {frames.Open: relay.State.OPENING, frames.Resume: relay.State.OPENING},
    relay.State.OPENING: {},
    relay.State.CLOSED: {},
}
"""Where each frame leads, said a second time: a session's table that allows more, or leads elsewhere, is noticed."""


def relay_in(state: relay.State) -> tuple[RelaySession, list[Effect]]:
    """A session that came there, and what its last step asked for."""
    kept = KeptSessions(lambda: 0.0)
    kept.at("").keep(key("kept").public, [Place.of(seed(name), {}) for name in ("a", "b")])
    known = Acquaintances(bytes, secrets={SPACE.handle: [seed("met")]}) if state is relay.State.MEETING else None
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"), kept=kept.at(""), known=known)
    effects: list[Effect] = []
    if state is relay.State.CLOSED:
        effects = session.receive(b"no frame")
    elif state is not relay.State.GREETING:
        effects = session.receive(frames.encode(SAMPLES[frames.Hello]))
    if state is relay.State.OPENING:
        effects = session.receive(frames.encode(SAMPLES[frames.Open]))
    assert session.state is state
    return session, effects


def out_of_order(effects: list[Effect]) -> bool:
    """Whether a frame was answered as one that may not come now."""
    answers = [frames.decode_relay(effect.data) for effect in effects if isinstance(effect, Send)]
    return any(isinstance(answer, frames.Failed) and answer.code == Code.OUT_OF_ORDER for answer in answers)


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", relay.State, ids=lambda state: state.name)
def test_the_state_decides_which_frames_are_allowed(state: relay.State, kind: type) -> None:
    """A frame that may not come now is answered with out_of_order and changes no state. Behind an Open each waits for
    its answer, and is then what it is where that was; of a connection that ended nothing is read."""
    session, asked = relay_in(state)
    effects, allowed = session.receive(frames.encode(SAMPLES[kind])), ALLOWED[state]
    if state is relay.State.OPENING:
        assert effects == [] and session.state is state
        (ask,) = asked
        assert isinstance(ask, Ask)
        effects, allowed, state = session.completed(ask, Found((None,))), ALLOWED[relay.State.READY], relay.State.READY
    if state is relay.State.CLOSED:
        assert effects == [] and session.state is state
        return
    assert session.state is allowed.get(kind, state)
    assert out_of_order(effects) is (kind not in allowed)


ANSWERS: dict[type, frames.RelayFrame] = {
    type(frame): frame for frame in FRAMES if isinstance(frame, frames.RelayFrame)
} | {
    frames.Welcome: frames.Welcome(1, seed("n"), seed("i")),
    frames.Failed: frames.Failed(0, "version", "no"),
    frames.Met: frames.Met(seed("i"), [meeting_proof(seed("met"), Side.ANSWERING, NAME, seed("c"), seed("n"),
                                                     PLAIN_CHANNEL)] * LEAST_PROOFS),
}


TAKEN: dict[client.State, dict[type, client.State]] = {
    client.State.GREETING: {frames.Welcome: client.State.READY, frames.Failed: client.State.REFUSED},
    client.State.MEETING: {frames.Met: client.State.READY, frames.Failed: client.State.REFUSED},
    client.State.READY: {kind: client.State.READY for kind in ANSWERS if kind not in (frames.Welcome, frames.Met)},
    client.State.REFUSED: {},
    client.State.BROKEN: {},
}
"""Where each of a relay's frames leads a device, said a second time."""


def device_in(state: client.State) -> ClientSession:
    """A device's session that came there, with an append that has no answer yet."""
    meets = state is client.State.MEETING
    approach = Approach({SPACE.handle: [seed("met")]}, PLAIN_CHANNEL, entropy=bytes) if meets else None
    session = ClientSession(NAME, seed("c"), approach)
    session.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    if state in (client.State.MEETING, client.State.READY):
        session.receive(frames.encode(ANSWERS[frames.Welcome]))
    if state is client.State.REFUSED:
        session.receive(frames.encode(ANSWERS[frames.Failed]))
    if state is client.State.BROKEN:
        with pytest.raises(RelayMisbehaved):
            session.receive(b"no frame")
    assert session.state is state
    return session


def test_every_answer_has_a_sample() -> None:
    """A device is tried with each frame that a relay may send."""
    assert set(ANSWERS) == set(frames.RelayFrame.__args__)


@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", client.State, ids=lambda state: state.name)
def test_the_state_decides_what_a_device_takes(state: client.State, kind: type) -> None:
    """A relay's frame that may not come now breaks the session, whatever was asked before; one that may is held against
    what was asked. After a refusal nothing is read, after a break all is an error."""
    session, told = device_in(state), ""
    try:
        heard = session.receive(frames.encode(ANSWERS[kind]))
    except RelayMisbehaved as error:
        told = str(error)
    if state is client.State.REFUSED:
        assert not told and heard == [] and session.state is state
    elif state is client.State.BROKEN:
        assert "goes on" in told and session.state is state
    elif kind in TAKEN[state]:
        assert "in state" not in told and session.state is (client.State.BROKEN if told else TAKEN[state][kind])
        assert not told or state is client.State.READY
    else:
        assert f"{kind.__name__} in state {state.name}" in told and session.state is client.State.BROKEN


def test_versions_are_negotiated() -> None:
    """A client without a version in common is told which one there is."""
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
    effects = session.receive(frames.encode(frames.Hello([7, 9], seed("c"), NAME)))
    assert isinstance(effects[-1], Close) and effects[-1].reason == Code.VERSION
    assert session.receive(frames.encode(SAMPLES[frames.Hello])) == []


@pytest.mark.parametrize("versions", [[1], [9, 1], [1, 9], [9, 1, 7]])
def test_the_version_in_common_is_chosen_wherever_it_stands(versions: list[int]) -> None:
    """Whatever else a newer client speaks, and prefers."""
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"))
    (answer,) = session.receive(frames.encode(frames.Hello(versions, seed("c"), NAME)))
    assert isinstance(answer, Send) and session.state is relay.State.READY
    assert frames.decode_relay(answer.data) == frames.Welcome(1, seed("n"), seed("i"))


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
        assert sent <= MAX_WAITING_FRAMES + 1
        assert sent * len(data) <= MAX_WAITING_BYTES + len(data)


def test_frames_behind_several_opens_are_handled_in_their_order() -> None:
    """Each waits for the Open before it alone, and what was handled counts no more, round after round."""
    world, spaces = World(12), (SPACE, Space("other"))
    link = world.connect()
    for space in spaces:
        link.client.create_space(space.admin, *space.others)
    world.run()
    for number in range(3):
        for space in spaces:
            link.client.open(space.claims(Role.APPEND))
            link.client.append(space.handle, Role.APPEND, space.envelope(number, 900_000))
        for data in link.client.data_to_send():
            link.apply(link.relay.receive(data))
        world.run()
    assert [done.offset for done in kinds(link, AppendDone)] == [1, 1, 2, 2, 3, 3] and not refusals(link)


def test_a_connection_that_ended_says_nothing_more() -> None:
    """Whatever comes of its spaces, and of what it asked, afterwards."""
    world = World(13)
    link = opened(world)
    link.client.subscribe(SPACE.handle, 0, 1000)
    world.run()
    assert link.relay.hears(SPACE.handle)
    (asked,) = link.relay.receive(frames.encode(SAMPLES[frames.Read]))
    assert isinstance(asked, Ask)
    link.apply(link.relay.receive(b"no frame"))
    assert link.relay.completed(asked, world.storage.perform_now([asked.request])[0]) == []
    assert link.closed is not None and not link.relay.hears(SPACE.handle)
    assert link.relay.grew(SPACE.handle, Page((), HEAD, 6)) == link.relay.rotated(SPACE.handle, None) == []
    assert link.relay.receive(frames.encode(SAMPLES[frames.Read])) == []


def test_a_client_refuses_to_ask_for_the_impossible() -> None:
    """Sizes outside the protocol are the caller's error, before anything is sent."""
    session = ClientSession(NAME, seed("n"))
    session.data_to_send()
    for call in (
        lambda: session.open([]), lambda: session.append(SPACE.handle, Role.APPEND, bytes(2**20)),
        lambda: session.subscribe(SPACE.handle, 0, 0), lambda: session.credit(SPACE.handle, 5),
        lambda: session.put(seed("i"), b""), lambda: session.create_inbox(key("o"), key("w").public, 0),
        lambda: session.broadcast(SPACE.handle, bytes(2**15)),
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
    "another space's acknowledgement": lambda s: frames.Appended(
        s.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)), HEAD, entry_id(SPACE.envelope(1)), 1, HEAD, 0),
    "an acknowledgement at no place": lambda s: frames.Appended(
        s.append(SPACE.handle, Role.APPEND, SPACE.envelope(1)), SPACE.handle, entry_id(SPACE.envelope(1)), 0, HEAD, 0),
    "another chunk": lambda s: frames.Chunk(s.get_chunk(SPACE.handle, HEAD), b"x"),
    "word of more chunks than were asked about": lambda s: frames.ChunksHeld(
        s.has_chunks(SPACE.handle, [HEAD]), [True, True], HEAD),
    "a range that ends before it begins": lambda s: frames.Entries(
        s.subscribe(SPACE.handle, 0, 1000), SPACE.handle, [], HEAD, 1, [frames.Dropped(1, 0, HEAD)]),
    "a gap before a range": lambda s: frames.Entries(
        s.subscribe(SPACE.handle, 0, 1000), SPACE.handle, [], HEAD, 2, [frames.Dropped(2, 2, HEAD)]),
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
    "another space": lambda s: frames.Entries(s.read(SPACE.handle, 0), HEAD, [], bytes(32), 0),
    "entries for another question": lambda s: frames.Entries(
        s.get_packet(SPACE.handle, HEAD), SPACE.handle, [], bytes(32), 0),
    "entries beyond the end": lambda s: frames.Entries(
        s.read(SPACE.handle, 4), SPACE.handle, [frames.Entry(5, b"x")], HEAD, 3),
    "items nobody asked for": lambda s: frames.InboxItems(3, HEAD, []),
    "items of another inbox": lambda s: frames.InboxItems(s.watch(HEAD), bytes(32), []),
    "items for another question": lambda s: frames.InboxItems(s.watch(HEAD) and s.get_packet(HEAD, HEAD), HEAD, []),
    "items under another number": lambda s: frames.InboxItems(s.watch(HEAD) + 1, HEAD, []),
    "entries under another number": lambda s: frames.Entries(
        s.subscribe(SPACE.handle, 0, 1000) + 1, SPACE.handle, [], bytes(32), 0),
    "an item twice": lambda s: frames.InboxItems(
        s.watch(HEAD), HEAD, [frames.InboxItem(1, b"x"), frames.InboxItem(1, b"x")]),
    "an ephemeral message of a space that is not open": lambda s: frames.Ephemeral(
        SPACE.handle, SPACE.message(1), bytes(16)),
    "a second welcome": lambda s: frames.Welcome(1, HEAD, HEAD),
    "an end of roles that are not open": lambda s: frames.Ended(SPACE.handle, "rotated"),
    "a packet for another question": lambda s: frames.Packet(s.get_chunk(SPACE.handle, HEAD), bytes(256)),
    "a rotation answered with a packet": lambda s: frames.Packet(
        s.rotate(SPACE.handle, SPACE.admin, SPACE.rotated().rotation()), bytes(256)),
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


@pytest.mark.parametrize("lie", [
    *(frames.Welcome(version, HEAD, HEAD) for version in (0, 2, 9)), frames.Done(1), frames.Met(HEAD, [HEAD] * 64),
], ids=["version 0", "version 2", "version 9", "Done", "Met"])
def test_a_relay_that_greets_with_a_lie_is_named(lie: frames.RelayFrame) -> None:
    """A version that was not offered, or an answer before the greeting: nothing that waits is sent to such a relay."""
    session = ClientSession(NAME, seed("n"))
    session.data_to_send()
    session.open(SPACE.claims(Role.READ))
    for _ in range(2):
        with pytest.raises(RelayMisbehaved):
            session.receive(frames.encode(lie))
    assert session.state is client.State.BROKEN and session.data_to_send() == []


def test_an_end_of_roles_is_believed_once() -> None:
    """Roles that were opened end once; a second end, or entries for the subscription that ended, are named."""
    for lie in (frames.Ended(SPACE.handle, "rotated"), frames.Entries(2, SPACE.handle, [], HEAD, 0)):
        session = greeted()
        ref = session.open(SPACE.claims(Role.READ))
        session.subscribe(SPACE.handle, 0, 1000)
        opened = frames.OpenedSpace(SPACE.handle, Role.READ, "", 0, bytes(32))
        for answer in (frames.Opened(ref, [opened]), frames.Entries(ref + 1, SPACE.handle, [], bytes(32), 0),
                       frames.Ended(SPACE.handle, "rotated")):
            (event,) = session.receive(frames.encode(answer))
        assert event == RolesEnded(SPACE.handle, "rotated")
        with pytest.raises(InvalidValue):
            session.credit(SPACE.handle, 1)
        with pytest.raises(RelayMisbehaved):
            session.receive(frames.encode(lie))


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


@settings(max_examples=tries(200))
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
