"""Many spaces over one connection: how many frames and round trips, and that each goes its own way."""

import itertools
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

import pytest

from chez.errors import HomeCopied, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.spaces.space import make_space
from chez.spaces.statements import Kind
from chez.sync.checkpoints.desk import Desk
from chez.sync.entry import CHANGES, STATEMENTS
from chez.sync.events import RolesEnded
from chez.sync.lane import State
from chez.sync.lanes import Lanes
from chez.sync.outbox import waiting_spaces
from chez.sync.patience import SLOWEST_SPAN
from chez.sync.work import Work
from chez_relay.effects import Ask, Send
from chez_relay.fanout import growth
from chez_relay.kept import KeptSessions
from chez_relay.session import RelaySession
from chez_relay.storage.memory import MemoryStorage
from chez_wire.frames import Append, Failed, Open, Opened, decode_client, decode_relay, encode
from chez_wire.login import Role
from tests.simulation.device import RELAY, Device
from tests.simulation.household import NOW, household, place_name

NAME = place_name(RELAY)


@dataclass
class Wire:
    """A device and a relay, joined by a wire that counts; `turns` are times that both sides said all they had."""

    spaces: int
    keeps: bool = False
    random: Random = field(default_factory=lambda: Random(7))
    up: list[bytes] = field(default_factory=list)
    down: list[bytes] = field(default_factory=list)
    turns: int = 0

    def __post_init__(self) -> None:
        self.house = household(self.random)
        db = self.house.store(self.house.founder, self.random.randbytes(32))
        self.device = Device(self.house, self.house.founder, self.random, db, self.keeps)
        for number in range(self.spaces - 1):
            self.make(f"space {number}")
        self.storage = MemoryStorage(self.random.randbytes(32))
        self.kept = KeptSessions(lambda: 0.0)

    def make(self, name: str) -> int:
        """One more space, which the device has from then on; its row."""
        device = self.device
        n = device.write(lambda db: make_space(db, device.replica.space, device.member.keys, name, Kind.SHARED,
                                               self.random.randbytes))
        device.open(n)
        return n

    def put(self, n: int, id: str, value: str = "x") -> None:
        """A record in the space of row `n`."""
        self.device.write(lambda db: self.device.records.put(db, n, "notes", id, {"title": value}))

    def connect(self) -> None:
        """A new connection, and all that follows, until nobody has anything to say."""
        self.device.disconnect()
        self.device.dial(NAME)
        self.relay = RelaySession(names=[NAME], nonce=self.random.randbytes(32),
                                  incarnation=self.storage.incarnation, kept=self.kept.at("here"))
        self.up.clear()
        self.down.clear()
        self.turns = 0
        self.settle()

    def settle(self) -> None:
        """Carry frames to and fro until there are none."""
        for _ in range(100):
            sent = self.device.flush()
            if not sent:
                return
            self.turns += 1
            self.up += sent
            answers = [frame for data in sent for frame in self._carry(data)]
            self.down += answers
            for frame in answers:
                self.device.receive(frame)
            while self.device.busy:
                self.device.work()
        raise AssertionError("they never come to rest")

    def _carry(self, data: bytes) -> list[bytes]:
        out: list[bytes] = []
        effects = deque(self.relay.receive(data))
        while effects:
            match effects.popleft():
                case Send(frame):
                    out.append(frame)
                case Ask() as ask:
                    result = self.storage.perform_now([ask.request])[0]
                    effects.extend(self.relay.completed(ask, result))
                    news = growth([ask.request], [result])
                    for handle, credentials in news.rotated.items():
                        effects.extend(self.relay.rotated(handle, credentials))
                    for handle, page in news.spaces.items():
                        effects.extend(self.relay.grew(handle, page))
                case _:
                    pass
        return out

    def sent(self, kind: type) -> list[object]:
        """The frames of a kind that the device sent on this connection."""
        return [frame for frame in map(decode_client, self.up) if isinstance(frame, kind)]


@pytest.mark.parametrize(("spaces", "frames"), [(1, 1), (2, 1), (85, 1), (86, 2), (200, 3)])
def test_all_spaces_are_opened_in_one_round_trip(spaces: int, frames: int) -> None:
    """A device that comes again is in step after as many round trips with two hundred spaces as with one."""
    wire = Wire(spaces)
    wire.connect()
    assert wire.device.idle
    wire.connect()
    assert wire.device.idle
    assert len(wire.sent(Open)) == frames
    assert wire.turns == 3  # Hello and Welcome; Open and Opened; Subscribe and what is new
    assert len(wire.up) == 1 + frames + spaces


def test_nothing_is_sent_twice_and_nothing_for_a_space_that_has_nothing() -> None:
    """One record in one of ten spaces is one entry of that space, and no frame of another."""
    wire = Wire(10)
    wire.connect()
    wire.up.clear()
    wire.put(5, "a")
    wire.settle()
    appended = [frame.handle for frame in wire.sent(Append) if isinstance(frame, Append)]
    assert appended == [wire.device.replicas[5].space.handle] and len(wire.up) == 1


def test_what_waits_is_asked_for_all_spaces_at_once() -> None:
    """One look at the outbox tells which spaces have something; after it left, none has."""
    wire = Wire(4)
    db, device = wire.device.db, wire.house.founder.keys.id
    wire.connect()
    assert waiting_spaces(db, device) == set()
    wire.device.disconnect()
    wire.put(2, "a")
    wire.put(4, "a")
    assert waiting_spaces(db, device) == {2, 4}
    n = wire.make("new")
    assert waiting_spaces(db, device) == {1, 2, 4, n}  # the private one tells of the new one
    wire.connect()
    assert waiting_spaces(db, device) == set()


def test_a_space_that_comes_later_is_opened_on_the_connection_that_stands() -> None:
    """Making a space while connected costs one Open for it, and no new connection."""
    wire = Wire(2)
    wire.connect()
    wire.up.clear()
    n = wire.make("late")
    wire.put(n, "a")
    wire.settle()
    assert wire.device.idle
    opened = [frame for frame in wire.sent(Open) if isinstance(frame, Open)]
    handles = {claim.handle for frame in opened for claim in frame.claims}
    assert handles == {wire.device.replicas[n].space.handle}


def refuse(wire: Wire, n: int, why: str = "too many") -> None:
    """From now on the relay's answers say no to the space of row `n`."""
    handle, carry = wire.device.replicas[n].space.handle, wire._carry

    def crooked(data: bytes) -> list[bytes]:
        answers = []
        for raw in carry(data):
            frame = decode_relay(raw)
            if isinstance(frame, Opened):
                frame = Opened(frame.ref, [type(one)(one.handle, one.role, why, 0, bytes(32))
                                           if one.handle == handle else one for one in frame.spaces])
            answers.append(encode(frame))
        return answers

    wire._carry = crooked  # type: ignore[method-assign]


def test_one_space_that_is_refused_stops_alone() -> None:
    """The others are in step, the refused one has its error, and what it has to send waits: it is tried again."""
    wire = Wire(3)
    wire.connect()
    honest = wire._carry
    refuse(wire, 2)
    wire.device.disconnect()
    for n in (1, 2, 3):
        wire.put(n, "a")
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None and lanes.settled
    assert [lane.state for lane in lanes.all] == [State.LIVE, State.RESTING, State.LIVE]
    assert [type(error) for error in lanes.problems.values()] == [RelayRefused]
    assert waiting_spaces(wire.device.db, wire.house.founder.keys.id) == {2}
    (lane,) = lanes.resting
    assert lane.turned_away  # for long
    wire._carry = honest  # type: ignore[method-assign]
    lanes.again(lane)
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert wire.device.idle and lanes.problems == {} and lane.state is State.LIVE
    assert waiting_spaces(wire.device.db, wire.house.founder.keys.id) == set()


def test_a_space_that_was_refused_is_begun_anew_when_keys_come() -> None:
    """Another space told of its keys: it is opened on the connection that stands; one that fits no relay is not."""
    wire = Wire(3)
    wire.connect()
    honest = wire._carry
    refuse(wire, 2, "denied")
    wire.put(2, "a")
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None
    lane = lanes.all[1]
    assert lane.state is State.RESTING and lanes.settled
    wire._carry = honest  # type: ignore[method-assign]
    wire.device.open(2)
    assert lane.state is State.LIVE
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert wire.device.idle and lanes.problems == {}
    lane.state, lane.error = State.STOPPED, RelayMisbehaved("it shows another log")
    wire.device.open(2)
    assert lane.state is State.STOPPED


@pytest.mark.parametrize("epochs", [2, 3, 6])
def test_older_keys_open_a_space_that_the_relay_has_them_of(epochs: int) -> None:
    """A device that crashed before it noted which keys a relay has, and started new epochs since, is let in."""
    wire = Wire(1)
    wire.connect()
    wire.device.disconnect()
    wire.device.db.execute("UPDATE cursor SET epoch = NULL")
    for _ in range(epochs - 1):
        wire.device.write(wire.device.replica.rotate)
    wire.put(1, "a")
    wire.connect()
    assert wire.device.idle
    current = wire.device.replica.access.current
    assert (current.number, *wire.device.db.execute("SELECT epoch FROM cursor").fetchone()) == (epochs, current.id)


def test_a_space_whose_keys_are_replaced_between_two_tries_is_opened() -> None:
    """A relay that lets in nobody by all that was tried is asked once more, and no more than that."""
    wire = Wire(1)
    wire.connect()
    refuse(wire, 1, "denied")
    crooked, asked = wire._carry, 0

    def replacing(data: bytes) -> list[bytes]:
        nonlocal asked
        asked += isinstance(decode_client(data), Open)
        return crooked(data) if asked == 1 else Wire._carry(wire, data)

    wire._carry = replacing  # type: ignore[method-assign]
    wire.connect()
    assert wire.device.idle and asked == 2
    wire._carry = crooked  # type: ignore[method-assign]
    with pytest.raises(RelayRefused):
        wire.connect()
    assert len(wire.sent(Open)) == 2


def test_when_no_space_is_left_the_connection_ends() -> None:
    """What the first one ended with is the connection's own error then."""
    wire = Wire(1)
    wire.connect()
    refuse(wire, 1)
    with pytest.raises(RelayRefused):
        wire.connect()


def lanes_of(count: int) -> tuple[Wire, Lanes]:
    """So many spaces, connected."""
    wire = Wire(count)
    wire.connect()
    assert wire.device.lanes is not None
    return wire, wire.device.lanes


def test_a_lane_that_can_not_go_on_rests_and_begins_again() -> None:
    """Work that failed for now takes its lane out until it is begun again, on the same connection."""
    wire, lanes = lanes_of(2)
    lane = lanes.all[1]
    lane.works = lane.machine._resume()
    (job,) = lanes.take()
    lanes.failed(job, RelayUnreachable("an earlier page was not taken in"))
    assert lane.state is State.RESTING and lanes.resting == [lane] and not lanes.settled
    wire.put(lane.replica.space.n, "a")
    lanes.again(lane)
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert lane.state is State.LIVE and lane.idle and lane.rests == 0 and wire.device.idle


def test_what_came_for_a_lane_before_it_was_begun_again_is_nobodys() -> None:
    """Results of the former machine's work change nothing."""
    _, lanes = lanes_of(2)
    lane = lanes.all[1]
    lane.works = lane.machine._resume()
    (job,) = lanes.take()
    lanes.failed(job, RelayUnreachable("for now"))
    lanes.again(lane)
    before = list(lane.works)
    lanes.done(job, None)
    lanes.failed(job, RelayRefused("late"))
    assert lane.works == before and lane.state is State.LIVE


def test_acknowledgements_are_not_gathered_for_a_lane_that_is_opened_anew() -> None:
    """Nothing comes of asking again and again, which a link does every few milliseconds while something is gathered."""
    wire = Wire(1)
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None
    (lane,) = lanes.all
    lane.machine.gathers = True
    wire.put(1, "a")
    (frame,) = (answer for data in wire.device.flush() for answer in wire._carry(data))
    wire.device.receive(frame)
    assert lanes.gathering and not lanes.busy
    works = lane.machine.handle(RolesEnded(lane.replica.space.handle, "rotated"))
    assert works and not lanes.gathering
    lanes.gathered()
    assert not lanes.busy


def test_what_concerns_every_space_is_raised() -> None:
    """A home that was copied ends the connection, whichever space showed it."""
    _, lanes = lanes_of(2)
    lanes.all[1].works = lanes.all[1].machine._resume()
    (job,) = lanes.take()
    with pytest.raises(HomeCopied):
        lanes.failed(job, HomeCopied("two copies"))


def test_a_relay_that_breaks_the_protocol_ends_the_connection() -> None:
    """Nonsense is not of one space."""
    _, lanes = lanes_of(2)
    with pytest.raises(RelayMisbehaved):
        lanes.receive(b"nonsense")


def test_two_spaces_of_one_handle_do_not_mix() -> None:
    """Whoever makes a space may give it another's handle: the second is refused, and the first goes on."""
    wire = Wire(2)
    wire.device.db.execute("UPDATE space SET handle = (SELECT handle FROM space WHERE n = 1) WHERE n = 2")
    wire.device.start()
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None
    assert [lane.state for lane in lanes.all] == [State.LIVE, State.STOPPED] and lanes.all[0].idle


def test_a_large_space_delays_no_small_one() -> None:
    """Of a space with a long log, one bounded turn is taken at a time, and every other space's work with it."""
    wire = Wire(2)
    big, small = wire.device.replicas[1], wire.device.replicas[2]
    wire.connect()
    for number in range(300):
        wire.put(1, f"{number}", "x" * 2000)
    wire.put(2, "a")
    wire.settle()
    newcomer = wire.house.candidate(wire.random)
    member = wire.device.write(lambda db: wire.house.admit(
        db, [big.space, small.space], wire.house.founder, newcomer, "late"))
    wire.settle()
    other = Device(wire.house, member, wire.random, wire.house.store(member, wire.random.randbytes(32)))
    wire.device = other
    wire.connect()
    assert other.idle and len(other.replicas) == 2
    # Its lanes had turns side by side, none more than one at a time.
    busy = [lane.machine.arrivals.busy for lane in (other.lanes.all if other.lanes else ())]
    assert busy == [False, False]
    assert other.db.execute("SELECT count(*) FROM record").fetchone()[0] == 301


def test_passes_take_one_turn_of_each() -> None:
    """However much came for one space, a pass has one piece of intake of it, and what others have beside it."""
    wire = Wire(2)
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None
    entries = [(lane.replica.space.n, f"{number}") for lane in lanes.all for number in range(5)]
    for n, id in entries:
        wire.put(n, id)
    answers = list(itertools.chain.from_iterable(wire._carry(data) for data in wire.device.flush()))
    for frame in answers:
        wire.device.receive(frame)
    jobs = lanes.take()
    turns = [job.lane.replica.space.n for job in jobs if job.work.run == job.machine.arrivals.turn]
    assert sorted(turns) == [1, 2]


def test_keys_that_are_replaced_while_a_page_is_taken_in_hold_up_nothing() -> None:
    """What is written meanwhile leaves once the space was opened anew, whatever the page led to in between."""
    wire = Wire(1)
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None
    (lane,) = lanes.all
    wire.put(1, "a")
    for frame in [answer for data in wire.device.flush() for answer in wire._carry(data)]:
        wire.device.receive(frame)
    (job,) = lanes.take()
    result = wire.device.write(job.work.run)
    lane.works += lane.machine.handle(RolesEnded(lane.replica.space.handle, "rotated"))
    lanes.done(job, result)
    wire.put(1, "b")
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert wire.device.idle
    assert wire.device.db.execute("SELECT count(*) FROM sealed").fetchone()[0] == 0


def test_a_space_is_not_in_step_while_work_on_it_is_under_way() -> None:
    """Whoever waits for all to be in step is not told so between a piece of work and what it leads to."""
    wire = Wire(1)
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None and lanes.settled
    (lane,) = lanes.all
    lane.works.append(lane.machine._caught_up())
    while lanes.busy:
        (job,) = lanes.take()
        assert not lanes.settled
        lanes.done(job, wire.device.write(job.work.run))
    assert lanes.settled
    lane.works.append(lane.machine._caught_up())
    (job,) = lanes.take()
    with pytest.raises(RelayUnreachable):
        lanes.failed(job, RelayUnreachable("gone"))
    assert lane.state is State.RESTING and lane.under_way == 0


def test_a_space_of_which_the_relay_says_nothing_rests_and_is_told() -> None:
    """Its write is not acknowledged while another space's is: that one goes on, and this one is asked again."""
    wire, lanes = lanes_of(2)
    quiet, other = wire.device.replicas[1].space.handle, lanes.all[1]
    honest = wire._carry

    def carry(data: bytes) -> list[bytes]:
        frame = decode_client(data)
        return [] if isinstance(frame, Append) and frame.handle == quiet else honest(data)

    wire._carry = carry  # type: ignore[method-assign]
    lanes.listen(0.0, 0)
    wire.put(1, "a")
    wire.put(2, "b")
    wire.settle()
    for now in (1.0, 2.0, 119.0):
        lanes.listen(now, 0)
        assert not lanes.problems
    wire.put(2, "c")  # what the others say is no word of this one
    wire.settle()
    lanes.listen(1.0 + 2 * SLOWEST_SPAN, 0)
    assert [type(one) for one in lanes.problems.values()] == [RelayUnreachable] and not lanes.settled
    assert lanes.all[0].state is State.RESTING and other.idle
    wire._carry = honest  # type: ignore[method-assign]
    lanes.again(lanes.resting.pop())
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert lanes.settled and not lanes.problems


def test_who_is_in_step_is_not_taken_for_silent() -> None:
    """A relay that was asked nothing says nothing."""
    _, lanes = lanes_of(2)
    for now in range(0, 100_000, 1000):
        lanes.listen(float(now), 0)
    assert lanes.settled and not lanes.problems


def test_hearsay_is_looked_into_again_and_ever_more_seldom() -> None:
    """A lane that ended by somebody's word is begun anew, and what it came to since makes the next pause no shorter."""
    wire, lanes = lanes_of(2)
    lane = lanes.all[1]
    for number in range(1, 5):
        lane.works.append(Work(lambda db: None, hear))
        (job,) = lanes.take()
        lanes.done(job, None)
        assert (lane.state, lane.rests) == (State.RESTING, number) and lanes.settled and lanes.problems
        lanes.again(lanes.resting.pop())
        while wire.device.busy:
            wire.device.work()
        wire.settle()
        assert lane.idle and not lanes.problems


def hear(_: object) -> list[Work]:
    """What a member's word leads to."""
    raise RelayMisbehaved("the relay showed other entries to another device", hearsay=True)


def test_a_relay_without_room_is_given_what_is_said_of_a_space() -> None:
    """Changes wait there; a statement that another relay brought goes past them, and a change is left to its author."""
    wire, lanes = lanes_of(1)
    device, honest = wire.device, wire._carry
    device.learn(2)

    def carry(data: bytes) -> list[bytes]:
        frame = decode_client(data)
        if isinstance(frame, Append) and frame.role is Role.APPEND:
            return [encode(Failed(frame.ref, "quota", "full", False))]
        return honest(data)

    wire._carry = carry  # type: ignore[method-assign]
    wire.put(1, "a")
    wire.settle()
    assert lanes.all[0].stuck
    change, said = (device.write(lambda db, kind=kind: device.replica.author._append(db, NOW, kind, []))[0]
                    for kind in (CHANGES, STATEMENTS))
    device.db.execute("UPDATE cursor SET acknowledged = ?", (said,))
    device.db.executemany("INSERT INTO lacking (relay, entry) VALUES (1, ?)", [(change,), (said,)])
    wire.up.clear()
    lanes.forward(at_once=True)
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert Role.CONTROL in [frame.role for frame in wire.sent(Append) if isinstance(frame, Append)]
    assert lanes.all[0].stuck and device.db.execute("SELECT entry FROM lacking").fetchall() == [(change,)]
    assert not device.db.execute("SELECT 1 FROM sealed WHERE entry = ?", (change,)).fetchall()


def test_a_relay_without_room_for_what_is_said_goes_on_with_changes() -> None:
    """Whatever is said of the space waits and is told, changes come and go, and all of it leaves once there is room."""
    wire, lanes = lanes_of(2)
    device, honest, lane = wire.device, wire._carry, lanes.all[0]

    def carry(data: bytes) -> list[bytes]:
        frame = decode_client(data)
        if isinstance(frame, Append) and frame.role is Role.CONTROL:
            return [encode(Failed(frame.ref, "quota", "full", False))]
        return honest(data)

    wire._carry = carry  # type: ignore[method-assign]
    for number in range(3):
        device.write(device.replica.rotate)
        wire.settle()
        wire.put(1, f"{number}")
        wire.settle()
        assert lane.state is State.LIVE and lane.stuck and lanes.settled and not device.idle
        (error,) = lanes.problems.values()
        assert isinstance(error, RelayRefused) and error.reason == "quota" and lane.machine.unsaid
    waiting = "SELECT kind FROM entry WHERE n IN (SELECT entry FROM sealed UNION SELECT entry FROM lacking)"
    assert device.db.execute(waiting).fetchall() == [(STATEMENTS,)] * 3
    wire.up.clear()
    lanes.forward()
    wire.settle()
    assert len(wire.sent(Append)) == 1, "one is tried now and then"
    wire._carry = honest  # type: ignore[method-assign]
    lanes.forward()
    wire.settle()
    assert device.idle and lanes.problems == {}
    assert device.db.execute(waiting).fetchall() == []


def test_a_checkpoint_that_waits_for_an_entry_is_looked_at_when_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on meanwhile costs no step of the desk, however long it is until then."""
    wire, lanes = lanes_of(1)
    steps: list[object] = []
    step = Desk.step
    monkeypatch.setattr(Desk, "step", lambda desk, db: (steps.append(desk), step(desk, db))[1])
    site, author = lanes.all[0].machine.course.desk.site, wire.device.member.keys.id
    site.awaited[bytes(32)] = author, 2**40, bytes(32)
    for number in range(5):
        wire.put(1, f"{number}")
        wire.settle()
    assert not steps and lanes.settled
    place = wire.device.db.execute("SELECT author, sequence, hash FROM entry WHERE kind <> 0 LIMIT 1").fetchone()
    site.awaited[bytes(32)] = tuple(place)
    wire.put(1, "last")
    wire.settle()
    assert steps and not site.awaited and lanes.settled


@pytest.mark.parametrize("near", [True, False])
def test_a_neighbours_log_that_is_another_is_read_anew(monkeypatch: pytest.MonkeyPatch, near: bool) -> None:
    """Whose store it is nobody proves on a network: a member may have said so, or it was set back with its device.
    A relay that people name is refused for it."""
    wire = Wire(1)
    wire.put(1, "a")
    wire.connect()
    before = deepcopy(wire.storage)
    wire.put(1, "b")
    wire.settle()
    wire.storage = before
    monkeypatch.setattr(Lanes, "_near", near)
    if not near:
        with pytest.raises(RelayMisbehaved):
            wire.connect()
        return
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None and lanes.all[0].state is State.RESTING and lanes.problems
    lanes.again(lanes.resting.pop())
    while wire.device.busy:
        wire.device.work()
    wire.settle()
    assert lanes.settled and not lanes.problems and wire.sent(Append)
