"""A space that can't go on over a connection that others share: it rests, is told of, and begins again."""

from copy import deepcopy

import pytest

from chez.errors import RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.sync.entry import CHANGES, STATEMENTS
from chez.sync.lane import State
from chez.sync.lanes import Lanes
from chez.sync.outbox import waiting_spaces
from chez.sync.patience import SLOWEST_SPAN
from chez.sync.work import Work
from chez_wire.frames import Append, Failed, decode_client, encode
from chez_wire.login import Role
from tests.simulation.household import NOW
from tests.sync.wires import Wire, lanes_of, refuse


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


def test_when_no_space_is_left_the_connection_ends() -> None:
    """What the first one ended with is the connection's own error then."""
    wire = Wire(1)
    wire.connect()
    refuse(wire, 1)
    with pytest.raises(RelayRefused):
        wire.connect()


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
