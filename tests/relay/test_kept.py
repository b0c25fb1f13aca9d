"""What a relay keeps of connections: for whom, how much, how long; and what is worth nothing to whom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue, RelayMisbehaved
from chez.sync.events import AppendDone, EarlyArrived, SessionKept, SpacesOpened, SpacesResumed
from chez.sync.resuming import Reading
from chez.sync.session import ClientSession
from chez_relay.allowances import ANYTHING
from chez_relay.effects import Ask, Send
from chez_relay.errors import Code
from chez_relay.kept import ENTRY_BYTES, KeptSessions, Place
from chez_relay.session import RelaySession
from chez_relay.storage.refusals import DAMAGED
from chez_wire import frames
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.login import Role, resume_message
from tests.relay.link import NAME, Link, World, envelopes, kinds, opened, outcomes, refusals
from tests.relay.support import Space, key, seed
from tests.tries import tries

SPACE = Space()
MINE = key("kept")
GENESIS = Reading(SPACE.handle, 0, GENESIS_HEAD)


class Keeping(World):
    """A relay that keeps; its clock stands until it is moved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.now = 0.0
        self.kept = KeptSessions(lambda: self.now)

    def connect(self, dialled: str = NAME, **options: bool) -> Link:
        link = super().connect(dialled, **options)
        link.relay = RelaySession(names=[NAME, "other.test:1"], nonce=self.random.randbytes(32),
                                  incarnation=self.storage.incarnation, kept=self.kept.at("here"))
        return link


def kept(world: World, *roles: Role, space: Space = SPACE) -> Link:
    """A connection that follows a space, which the relay keeps under the key `MINE`."""
    link = opened(world, *(roles or (Role.READ, Role.APPEND)), space=space)
    link.client.subscribe(space.handle, 0, 10_000)
    world.run()
    link.client.keep(MINE.public)
    world.run()
    assert kinds(link, SessionKept)[-1].alike
    return link


def take_up(world: World, *readings: Reading, handles: tuple[bytes, ...] = (SPACE.handle,)) -> Link:
    """A new connection whose first request takes up what is kept under `MINE`."""
    link = world.connect()
    link.client.resume(MINE, handles, {one.handle: one for one in readings or (GENESIS,)}, 10_000)
    world.run()
    return link


def test_roles_and_subscription_come_back() -> None:
    """Without a login entries are sent and appended; exactly the roles that were open are."""
    world = Keeping(1)
    first = kept(world)
    first.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    link = take_up(world)
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(2))
    link.client.append(SPACE.handle, Role.CONTROL, SPACE.envelope(3))
    world.run()
    (event,) = kinds(link, SpacesResumed)
    assert event.alike and event.lost == () and event.back[0].end == 1
    assert envelopes(link) == [SPACE.envelope(1)]
    assert kinds(link, AppendDone)[0].passed and refusals(link) == [Code.ROLE]
    assert envelopes(first)[-1] == SPACE.envelope(2)


def test_a_second_connection_takes_up_the_same_and_a_third() -> None:
    """What is kept is not used up, and each connection follows for itself."""
    world = Keeping(2)
    kept(world)
    links = [take_up(world) for _ in range(3)]
    links[0].client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    assert [envelopes(link) for link in links] == [[], [SPACE.envelope(1)], [SPACE.envelope(1)]]


def test_what_needs_no_role_may_come_before() -> None:
    """A device that has no keys of one space asks for its packet there, and takes up the others all the same; once a
    role was asked for there is nothing to be taken up any more."""
    world = Keeping(12)
    kept(world).client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    link = world.connect()
    link.client.get_packet(seed("another space"), seed("tag"))
    link.client.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)
    world.run()
    assert refusals(link) == [Code.UNKNOWN] and envelopes(link) == [SPACE.envelope(1)]
    late = world.connect()
    late.client.open(SPACE.claims(Role.READ))
    with pytest.raises(InvalidValue, match="roles were asked for"):
        late.client.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)


def test_a_replayed_resume_is_refused() -> None:
    """The very bytes on another connection, under the same Hello, meet another nonce; a login goes on from there."""
    world = Keeping(3)
    kept(world)
    recorded = take_up(world)
    honest = ClientSession(NAME, seed("c"))
    honest.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)
    relay = RelaySession(names=[NAME], nonce=seed("n"), incarnation=seed("i"), kept=world.kept.at("there"))
    (welcome,) = relay.receive(honest.data_to_send()[0])
    assert isinstance(welcome, Send)
    honest.receive(welcome.data)
    (resume,) = honest.data_to_send()
    (effect,) = relay.receive(resume)
    assert isinstance(effect, Ask)  # it is good where it belongs
    again = RelaySession(names=[NAME], nonce=seed("m"), incarnation=seed("i"), kept=world.kept.at("there"))
    again.receive(frames.encode(frames.Hello([1], seed("c"), NAME)))
    (refusal,) = again.receive(resume)
    assert isinstance(refusal, Send)
    failed = frames.decode_relay(refusal.data)
    assert isinstance(failed, frames.Failed) and failed.code == Code.DENIED
    assert recorded.closed is None


def test_a_stolen_kept_session_is_worth_nothing_without_its_key() -> None:
    """Whoever reads the relay's memory knows a public key and handles: another's signature opens nothing."""
    world = Keeping(4)
    kept(world)
    thief = world.connect()
    greeting = (NAME, thief.client._nonce)
    world.run()
    message = resume_message(*greeting, thief.client._relay_nonce, MINE.public)
    thief.apply(thief.relay.receive(frames.encode(
        frames.Resume(1, MINE.public, key("thief").sign_bytes(message), 2, 1000, [0]))))
    failed = frames.decode_relay(thief.down.popleft())
    assert isinstance(failed, frames.Failed) and failed.code == Code.DENIED
    assert not thief.relay._roles.open_anywhere


def test_a_resume_for_another_relay_is_refused() -> None:
    """A signature that names the relay that was dialled opens nothing at another name."""
    world = Keeping(5)
    kept(world)
    link = world.connect()
    world.run()
    message = resume_message("other.test:1", link.client._nonce, link.client._relay_nonce, MINE.public)
    link.apply(link.relay.receive(frames.encode(
        frames.Resume(1, MINE.public, MINE.sign_bytes(message), 2, 1000, [0]))))
    failed = frames.decode_relay(link.down.popleft())
    assert isinstance(failed, frames.Failed) and failed.code == Code.DENIED


@pytest.mark.parametrize("how", ["rotated", "deleted"])
def test_what_was_kept_before_a_removal_opens_nothing_after_it(how: str) -> None:
    """A removed device's kept session brings back no role once the credentials were replaced, or the space deleted."""
    world = Keeping(6)
    kept(world)
    owner = opened(world)
    if how == "rotated":
        owner.client.rotate(SPACE.handle, SPACE.admin, SPACE.rotated().rotation())
    else:
        owner.client.delete_space(SPACE.handle, SPACE.admin)
    world.run()
    link = take_up(world)
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    link.client.read(SPACE.handle, 0)
    world.run()
    (event,) = kinds(link, SpacesResumed)
    assert event.back == () and event.lost == ((SPACE.handle, how),)
    assert refusals(link) == [Code.ROLE, Code.ROLE]


def test_a_rotation_while_it_is_looked_up_ends_it() -> None:
    """Credentials that are replaced just after the look end the roles that came back, and are told."""
    world = Keeping(7)
    kept(world)
    owner = opened(world)
    world.run()
    link = world.connect()
    link.client.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)
    for _ in range(2):
        for data in link.client.data_to_send():
            link.apply(link.relay.receive(data))
        while link.down:
            link.events += link.client.receive(link.down.popleft())
    (look,) = link.owed
    (result,) = world.storage.perform_now([look.request])
    link.owed.clear()
    owner.client.rotate(SPACE.handle, SPACE.admin, SPACE.rotated().rotation())
    world.run()
    link.apply(link.relay.completed(look, result))
    for one in world.links:
        one.apply(one.relay.rotated(SPACE.handle, SPACE.rotated().keys.credentials))
    link.client.read(SPACE.handle, 0)
    world.run()
    assert link.caught is None and refusals(link) == [Code.ROTATED]


class _Full(type(ANYTHING)):  # type: ignore[misc]
    """An address that holds as many places as it may."""

    def open_place(self) -> bool:
        return False


def test_what_an_address_may_hold_is_counted_when_it_is_taken_up() -> None:
    """A kept session is no way around the limit of places: what is too many is neither open nor followed."""
    world = Keeping(12)
    first = kept(world)
    link = world.connect()
    link.relay = RelaySession(names=[NAME], nonce=seed("n"), incarnation=world.storage.incarnation,
                              kept=world.kept.at("here"), may=_Full())
    link.client.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)
    world.run()
    first.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    assert kinds(link, SpacesResumed)[0].lost == ((SPACE.handle, Code.TOO_MANY),)
    assert envelopes(link) == [] and not link.relay._roles.open_anywhere


def test_only_a_connection_without_roles_takes_up() -> None:
    """Where something was opened already, nothing is taken up: answers would not be told apart."""
    world = Keeping(8)
    link = kept(world)
    message = resume_message(NAME, link.client._nonce, link.client._relay_nonce, MINE.public)
    link.apply(link.relay.receive(frames.encode(
        frames.Resume(9, MINE.public, MINE.sign_bytes(message), 10, 1000, [0]))))
    failed = frames.decode_relay(link.down.popleft())
    assert isinstance(failed, frames.Failed) and failed.code == Code.OUT_OF_ORDER
    with pytest.raises(InvalidValue):
        link.client.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)


def test_a_key_keeps_once() -> None:
    """Nobody can put something else under a key that is in use, and who follows nothing keeps nothing."""
    world = Keeping(9)
    kept(world)
    other = Space("other")
    thief = opened(world, space=other)
    thief.client.keep(MINE.public)
    world.run()
    thief.client.subscribe(other.handle, 0, 10_000)
    thief.client.keep(MINE.public)
    world.run()
    assert refusals(thief) == [Code.ROLE, Code.EXISTS]
    assert kinds(take_up(world), SpacesResumed)[0].back[0].handle == SPACE.handle


def test_after_a_refusal_the_login_goes_on_as_ever() -> None:
    """A relay that keeps nothing says so, and the same connection opens everything by itself."""
    world = Keeping(10)
    world.kept = KeptSessions(lambda: 0.0)
    opened(world)
    world.run()
    link = take_up(world)
    link.client.open(SPACE.claims())
    world.run()
    assert refusals(link) == [Code.UNKNOWN] and outcomes(link) == ["", ""]


def test_where_the_store_fails_the_connection_goes_on() -> None:
    """What can't be looked up is not taken up: the device is told, and may log in instead, or ask again."""
    world = Keeping(13)
    kept(world)
    link = world.connect()
    link.client.resume(MINE, [SPACE.handle], {SPACE.handle: GENESIS}, 10_000)
    while not link.owed:
        link.step(world.random)
    link.apply(link.relay.completed(link.owed.popleft(), DAMAGED))
    world.run()
    link.client.open(SPACE.claims())
    world.run()
    assert refusals(link) == [Code.DAMAGED] and outcomes(link) == ["", ""]


def test_a_log_of_another_head_is_not_alike() -> None:
    """Where the relay has another log of that length than was read, nothing is followed: each is opened by itself."""
    world = Keeping(11)
    link = kept(world)
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    good = Reading(SPACE.handle, 1, fold_head(GENESIS_HEAD, entry_id(SPACE.envelope(1))))
    assert kinds(take_up(world, good), SpacesResumed)[0].alike
    bad = take_up(world, Reading(SPACE.handle, 1, seed("other")))
    assert not kinds(bad, SpacesResumed)[0].alike
    bad.client.open(SPACE.claims())
    bad.client.subscribe(SPACE.handle, 0, 10_000)
    world.run()
    assert len(kinds(bad, SpacesOpened)) == 1 and envelopes(bad) == [SPACE.envelope(1)]
    ahead = take_up(world, Reading(SPACE.handle, 2, seed("other")))
    assert kinds(ahead, SpacesResumed)[0].lost == ((SPACE.handle, Code.AHEAD),)


def test_what_is_being_stored_while_all_is_opened_anew_is_no_lie() -> None:
    """The relay follows what it took up, until each is opened by itself."""
    world = Keeping(12)
    link = kept(world)
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
    world.run()
    anew = take_up(world, Reading(SPACE.handle, 1, seed("other")))
    anew.apply(anew.relay.early(SPACE.handle, SPACE.envelope(2)))
    world.run()
    assert anew.caught is None and not kinds(anew, EarlyArrived)
    world.early = 0
    anew.client.open(SPACE.claims())
    anew.client.subscribe(SPACE.handle, 0, 10_000)
    link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(2))
    world.run()
    assert anew.caught is None and envelopes(anew) == [SPACE.envelope(1), SPACE.envelope(2)]


LIES = {
    "a space that was not asked for": frames.Resumed(1, [], [frames.Lost(1, "unknown")], seed("d")),
    "one in two ways": frames.Resumed(1, [frames.Ahead(0, 5)], [frames.Lost(0, "unknown")], seed("d")),
    "one twice": frames.Resumed(1, [frames.Ahead(0, 5), frames.Ahead(0, 6)], [], seed("d")),
    "news that are none": frames.Resumed(1, [frames.Ahead(0, 0)], [], seed("d")),
    "one that is not wanted": frames.Resumed(1, [frames.Ahead(2, 5)], [], seed("d")),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_can_not_be_true_is_named(lie: str) -> None:
    """Places that were not asked for, named twice, or with news before their end break the session."""
    session = ClientSession(NAME, seed("n"))
    session.receive(frames.encode(frames.Welcome(1, seed("r"), seed("i"))))
    handles = sorted([SPACE.handle, seed("second"), seed("third")])
    first, _, third = handles
    asked = {first: Reading(first, 0, GENESIS_HEAD)} if lie == "one that is not wanted" else {
        first: Reading(first, 0, GENESIS_HEAD), third: Reading(third, 0, GENESIS_HEAD)}
    session.resume(MINE, handles, asked, 1000)
    with pytest.raises(RelayMisbehaved):
        session.receive(frames.encode(LIES[lie]))


# --- how much, how long ----------------------------------------------------------------


def places(count: int) -> list[Place]:
    return [Place.of(seed(f"space {number}"), {Role.READ: seed("read")}) for number in range(count)]


def test_what_no_connection_holds_grows_old() -> None:
    """A day after its last connection ended a kept session is gone; while one stands it does not age."""
    now = 0.0
    store = KeptSessions(lambda: now, seconds=10)
    here = store.at("a")
    assert here.keep(seed("k"), places(2))
    now = 100.0
    store.forget_old()
    assert store.at("b").find(seed("k")) == tuple(places(2))
    here.close()
    now = 109.0
    there = store.at("b")
    assert there.find(seed("k")) is not None
    there.take_up(seed("k"))
    now = 200.0
    store.forget_old()
    assert len(store) == 1
    there.close()
    now = 211.0
    assert store.at("c").find(seed("k")) is None
    assert (len(store), store.size) == (0, 0)


def test_what_nobody_comes_back_for_is_let_go_of() -> None:
    """Without a connection that asks: memory is given back a day after the last one ended, and what stands stays."""
    now = 0.0
    store = KeptSessions(lambda: now, seconds=10)
    gone, stands = store.at("a"), store.at("b")
    assert gone.keep(seed("gone"), places(2)) and stands.keep(seed("stands"), places(1))
    gone.close()
    now = 10.0
    store.forget_old()
    assert len(store) == 2
    now = 10.5
    store.forget_old()
    assert len(store) == 1 and stands.find(seed("stands")) == tuple(places(1))


def test_a_connection_keeps_one_session() -> None:
    """What it kept before is gone with the next, unless another connection took that up."""
    store = KeptSessions(lambda: 0.0)
    here, there = store.at("a"), store.at("a")
    assert here.keep(seed("1"), places(1)) and here.keep(seed("2"), places(1))
    there.take_up(seed("2"))
    assert here.keep(seed("3"), places(1))
    assert [here.find(seed(name)) is not None for name in "123"] == [False, True, True]


@settings(max_examples=tries(60))
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(1, 30), st.booleans()), max_size=60))
def test_memory_is_bounded_whatever_is_kept(steps: list[tuple[int, int, int, bool]]) -> None:
    """In all, and for each address; who needs room gets it from the oldest of the address, then of all."""
    one = ENTRY_BYTES + 30 * 49
    store = KeptSessions(lambda: 0.0, bytes_in_all=4 * one, bytes_per_address=2 * one)
    for number, (address, name, count, stays) in enumerate(steps):
        here = store.at(f"address {address}")
        if here.keep(seed(f"{name} {number}"), places(count)):
            assert here.find(seed(f"{name} {number}")) == tuple(places(count))
        if not stays:
            here.close()
        assert store.size <= 4 * one
        assert store.size == sum(kept.size for kept in store._all.values())
        for own in store._addresses.values():
            assert 0 < sum(kept.size for kept in own.values()) <= 2 * one


def test_a_flood_from_one_address_costs_no_other_its_place() -> None:
    """One address that keeps without end drives out its own."""
    store = KeptSessions(lambda: 0.0, bytes_per_address=10 * (ENTRY_BYTES + 49))
    store.at("quiet").keep(seed("quiet"), places(1))
    for number in range(100):
        store.at("loud").keep(seed(f"{number}"), places(1))
    assert store.at("quiet").find(seed("quiet")) is not None and len(store) == 11
