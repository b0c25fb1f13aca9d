"""What two sides tell each other before either names a space: to members all they need, to everybody else nothing."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.crypto import SealingKey
from chez.errors import RelayMisbehaved
from chez.sync.events import Event, Refused, Welcomed
from chez.sync.meeting import Approach, pair_secret
from chez.sync.session import ClientSession
from chez_relay.effects import Ask, Send
from chez_relay.errors import Code
from chez_relay.lan.meeting import Acquaintances
from chez_relay.session import RelaySession, State
from chez_wire import frames
from chez_wire.login import Role
from chez_wire.meeting import LEAST_PROOFS, Met, Side, channel_of, filled, found, fresh, meeting_proof
from tests.relay.support import Space, key, seed
from tests.tries import tries

NAME = "192.0.2.7:4711"
CHANNEL = channel_of(b"certificate")
INCARNATION = seed("incarnation")
HOME = Space("home")


class Draw:
    """Random bytes that a test can tell: no two alike."""

    def __init__(self, name: str) -> None:
        self.name, self.drawn = name, 0

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return seed(f"{self.name} {self.drawn}")[:count]


Secrets = Mapping[bytes, tuple[bytes, ...]]


def secrets(*spaces: Space, others: tuple[bytes, ...] = ()) -> dict[bytes, tuple[bytes, ...]]:
    return {space.handle: (seed(f"meeting secret of {space.name}"), *others) for space in spaces}


def relay(known: Secrets, nonce: str = "relay", channel: bytes = CHANNEL) -> RelaySession:
    return RelaySession(names=[NAME], nonce=seed(nonce), incarnation=INCARNATION,
                        known=Acquaintances(Draw("relay"), channel, dict(known)))


def device(known: Secrets, nonce: str = "device", channel: bytes = CHANNEL,
           name: str = NAME) -> ClientSession:
    return ClientSession(name, seed(nonce), Approach(dict(known), channel, entropy=Draw("device")))


def said(session: RelaySession, data: bytes) -> list[frames.RelayFrame]:
    return [frames.decode_relay(effect.data) for effect in session.receive(data) if isinstance(effect, Send)]


def meet(client: ClientSession, server: RelaySession) -> list[Event]:
    """Let both talk until neither has more to say; what the device heard."""
    heard: list[Event] = []
    while sent := client.data_to_send():
        for data in sent:
            for effect in server.receive(data):
                if isinstance(effect, Send):
                    heard += client.receive(effect.data)
    return heard


@settings(max_examples=tries(30))
@given(st.sets(st.integers(0, 90)), st.sets(st.integers(0, 90)))
def test_both_sides_learn_exactly_what_both_keep(mine: set[int], yours: set[int]) -> None:
    """Whatever either keeps, after a meeting both know the spaces that both keep, and a stranger is sent away."""
    spaces = [Space(f"space {number}") for number in range(91)]
    client, server = device(secrets(*(spaces[n] for n in mine))), relay(secrets(*(spaces[n] for n in yours)))
    heard = meet(client, server)
    common = frozenset(spaces[n].handle for n in mine & yours)
    assert server.meeting is not None and frozenset(server.meeting.met) == common
    if common:
        assert heard == [Welcomed(INCARNATION, 1, common)] and server.state is State.READY
    else:
        assert [event.code for event in heard if isinstance(event, Refused)] == [Code.STRANGER]
        assert server.state is State.CLOSED


def test_a_stranger_can_not_tell_one_home_from_another() -> None:
    """What a relay says to who proves nothing is the same, whether it has one space or fifty; no incarnation either."""
    heard = []
    for known in (secrets(HOME), secrets(*(Space(f"space {n}") for n in range(50)))):
        server = relay(known)
        answers = said(server, frames.encode(frames.Hello([1], seed("device"), NAME)))
        answers += said(server, frames.encode(frames.Meet(bytes(32), filled([], Draw("nobody")))))
        heard.append(answers)
    assert heard[0] == heard[1]
    assert heard[0][0] == frames.Welcome(1, seed("relay"), bytes(32))


def test_a_device_tells_a_stranger_no_number_and_no_handle() -> None:
    """Up to 64 spaces, what a device sends whom it doesn't know has one size, and nothing in it is a handle."""
    sizes = set()
    for number in (1, 2, 33, 64):
        spaces = [Space(f"space {n}") for n in range(number)]
        client = device(secrets(*spaces))
        client.open(spaces[0].claims(Role.READ))
        client.data_to_send()
        client.receive(frames.encode(frames.Welcome(1, seed("relay"), bytes(32))))
        (data,) = client.data_to_send()
        sizes.add(len(data))
        assert not any(space.handle in data or space.credential(Role.READ).public in data for space in spaces)
    assert len(sizes) == 1


def test_nothing_is_asked_before_the_other_side_proved_something() -> None:
    """Requests wait until Met; one that proves nothing ends the session with an error, and nothing was told."""
    client = device(secrets(HOME))
    client.open(HOME.claims(Role.READ))
    client.data_to_send()
    client.receive(frames.encode(frames.Welcome(1, seed("relay"), bytes(32))))
    assert [type(frames.decode_client(data)) for data in client.data_to_send()] == [frames.Meet]
    with pytest.raises(RelayMisbehaved, match="proves nothing"):
        client.receive(frames.encode(Met(INCARNATION, filled([], Draw("liar")))))
    assert client.data_to_send() == []


def test_a_relay_can_not_answer_with_the_proofs_it_was_sent() -> None:
    """The proofs of one side are none of the other's: to send them back proves nothing."""
    client = device(secrets(HOME))
    client.data_to_send()
    client.receive(frames.encode(frames.Welcome(1, seed("relay"), bytes(32))))
    told = frames.decode_client(client.data_to_send()[0])
    assert isinstance(told, frames.Meet)
    with pytest.raises(RelayMisbehaved):
        client.receive(frames.encode(Met(INCARNATION, told.proofs)))


@pytest.mark.parametrize("change", ["client nonce", "relay nonce", "name", "channel"])
def test_recorded_proofs_are_worth_nothing_elsewhere(change: str) -> None:
    """Proofs of one connection prove nothing with another nonce of either side, under another name, or over another
    channel, which is what somebody in the middle who forwards them has."""
    first = device(secrets(HOME), channel=channel_of(b"of the one between") if change == "channel" else CHANNEL)
    first.data_to_send()
    first.receive(frames.encode(frames.Welcome(1, seed("relay"), bytes(32))))
    (recorded,) = first.data_to_send()
    name = "192.0.2.66:4711" if change == "name" else NAME
    server = RelaySession(names=[NAME, name], nonce=seed("later" if change == "relay nonce" else "relay"),
                          incarnation=INCARNATION, known=Acquaintances(Draw("relay"), CHANNEL, secrets(HOME)))
    said(server, frames.encode(frames.Hello([1], seed("later" if change == "client nonce" else "device"), name)))
    (answer,) = said(server, recorded)
    assert isinstance(answer, frames.Failed) and answer.code == Code.STRANGER


def test_the_very_same_connection_would_have_known_it() -> None:
    """The recording of the test before is good where nothing changed: it fails for its reason there."""
    first = device(secrets(HOME))
    first.data_to_send()
    first.receive(frames.encode(frames.Welcome(1, seed("relay"), bytes(32))))
    (recorded,) = first.data_to_send()
    server = relay(secrets(HOME))
    said(server, frames.encode(frames.Hello([1], seed("device"), NAME)))
    (answer,) = said(server, recorded)
    assert isinstance(answer, Met)


OTHER = Space("other")

UNPROVEN: list[frames.ClientFrame] = [
    frames.Open(1, [frames.Claim(HOME.handle, Role.READ, bytes(64)), frames.Claim(OTHER.handle, Role.READ, bytes(64))]),
    frames.CreateSpace(1, OTHER.admin.public, *OTHER.others, [], bytes(64)),
    frames.CreateInbox(1, seed("o"), seed("w"), 1, bytes(64)),
    frames.Keep(1, seed("k")),
    frames.Resume(1, key("kept").public, bytes(64), 2, 1, [0]),
    frames.Append(1, OTHER.handle, Role.APPEND, b""),
    frames.GetPacket(1, OTHER.handle, seed("t")),
    frames.Put(1, seed("i"), b"x"),
    frames.Watch(1, seed("i"), 0),
    frames.PutChunk(1, HOME.handle, b"x"),
    frames.GetChunk(1, OTHER.handle, seed("x")),
    frames.DeleteSpace(1, OTHER.handle, seed("k"), bytes(64)),
]


@pytest.mark.parametrize("frame", UNPROVEN, ids=lambda frame: type(frame).__name__)
def test_what_was_not_proven_is_not_served(frame: frames.ClientFrame) -> None:
    """After a meeting, a frame about another space, an inbox, or a piece to store, is refused and asks the storage for
    nothing."""
    client, server = device(secrets(HOME)), relay(secrets(HOME, OTHER))
    meet(client, server)
    effects = server.receive(frames.encode(frame))
    assert not any(isinstance(effect, Ask) for effect in effects)
    (answer,) = [frames.decode_relay(effect.data) for effect in effects if isinstance(effect, Send)]
    assert isinstance(answer, frames.Failed) and answer.code == Code.STRANGER


def test_what_was_proven_is_served() -> None:
    """After a meeting, the space that both keep may be made and opened."""
    client, server = device(secrets(HOME)), relay(secrets(HOME, OTHER))
    meet(client, server)
    client.create_space(HOME.admin, *HOME.others)
    client.open(HOME.claims(Role.READ))
    effects = [effect for data in client.data_to_send() for effect in server.receive(data)]
    assert len([effect for effect in effects if isinstance(effect, Ask)]) == 2


def test_an_ordinary_relay_takes_no_meeting() -> None:
    """A relay that serves everybody answers Meet with out_of_order, as it does what it does not expect."""
    server = RelaySession(names=[NAME], nonce=seed("relay"), incarnation=INCARNATION)
    said(server, frames.encode(frames.Hello([1], seed("device"), NAME)))
    (answer,) = said(server, frames.encode(frames.Meet(bytes(32), filled([], Draw("nobody")))))
    assert isinstance(answer, frames.Failed) and answer.code == Code.OUT_OF_ORDER


def test_a_device_that_meets_takes_no_welcome_for_a_meeting() -> None:
    """A relay that goes on as if nothing had to be proven breaks the protocol."""
    client = device(secrets(HOME))
    client.receive(frames.encode(frames.Welcome(1, seed("relay"), INCARNATION)))
    with pytest.raises(RelayMisbehaved):
        client.receive(frames.encode(frames.Done(1)))


def test_a_second_meeting_on_one_connection_is_refused() -> None:
    """What was proven stays what it is until the connection ends."""
    client, server = device(secrets(HOME)), relay(secrets(HOME))
    meet(client, server)
    (answer,) = said(server, frames.encode(frames.Meet(bytes(32), filled([], Draw("nobody")))))
    assert isinstance(answer, frames.Failed) and answer.code == Code.OUT_OF_ORDER


@given(st.integers(0, 300))
def test_proofs_are_filled_up(count: int) -> None:
    """Proofs come in a power of two, 64 at least, sorted, and with every true one among them."""
    proofs = [seed(f"proof {n}") for n in range(count)]
    full = filled(proofs, Draw("fill"))
    assert len(full) >= max(LEAST_PROOFS, count) and len(full).bit_count() == 1 and len(full) < max(128, 2 * count)
    assert full == sorted(full) and set(proofs) <= set(full)


def test_a_proof_is_found_only_by_its_secret() -> None:
    """A proof made with another space's secret, or the other side's, is not found."""
    greeting = (NAME, seed("device"), seed("relay"))
    proof = meeting_proof(seed("secret"), Side.DIALLING, *greeting, CHANNEL)
    several = {b"a": (seed("third"), seed("secret")), b"b": (seed("another"),)}
    assert found(several, Side.DIALLING, greeting, CHANNEL, [proof]) == {b"a": seed("secret")}
    assert found({b"a": (seed("secret"),)}, Side.ANSWERING, greeting, CHANNEL, [proof]) == {}


def test_two_devices_know_each_other_though_one_missed_an_epoch() -> None:
    """One secret of several is enough for either side, and it alone is proven back."""
    old, new = seed("former epoch"), seed("this epoch")
    client = device({HOME.handle: (old, seed("of the two"))})
    server = relay({HOME.handle: (new, seed("of the two"), seed("of another two"))})
    assert meet(client, server) == [Welcomed(INCARNATION, 1, frozenset({HOME.handle}))]
    assert server.meeting is not None and server.meeting.met == {HOME.handle: seed("of the two")}


def test_a_secret_of_two_devices_is_the_same_from_both_sides_and_no_third_has_it() -> None:
    """Either device computes it from its own key and the other's public one; another space, or device, has another."""
    one, two, three = (SealingKey.from_seed(seed(name)) for name in ("one", "two", "three"))
    secret = pair_secret(one, two.public, seed("space"))
    assert secret is not None and secret == pair_secret(two, one.public, seed("space"))
    others = [pair_secret(one, two.public, seed("another space")), pair_secret(three, two.public, seed("space")),
              pair_secret(one, three.public, seed("space"))]
    assert secret not in others and len(set(others)) == 3
    assert pair_secret(one, bytes(32), seed("space")) is None  # a key of low order


def test_fresh_secrets_are_those_that_may_bring_more() -> None:
    """A space that is new, or has a secret more, is worth another meeting; one that lost a secret, or went, is not."""
    one, two = seed("one"), seed("two")
    assert fresh({b"a": (one,), b"b": (one, two), b"c": (one,)}, {b"a": (one, two), b"b": (two,), b"d": ()}) == {b"a"}
    assert fresh({}, {b"a": (one,)}) == {b"a"}
