"""Many spaces over one connection: how many frames and round trips, and that each goes its own way."""

import itertools

import pytest

from chez.errors import HomeCopied, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.sync.checkpoints.desk import Desk
from chez.sync.events import RolesEnded
from chez.sync.lane import State
from chez.sync.outbox import waiting_spaces
from chez_wire.frames import Append, Open, decode_client
from tests.simulation.device import Device
from tests.sync.wires import Wire, lanes_of, refuse


@pytest.mark.parametrize(("spaces", "frames"), [(1, 1), (2, 1), (85, 1), (86, 2),
                                                 pytest.param(200, 3, marks=pytest.mark.slow)])
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


def test_what_was_done_for_a_space_counts_after_it_was_let_go_of() -> None:
    """Else a sync in which one is deleted tells that it sent less than nothing; how far it was goes with it."""
    wire = Wire(2)
    wire.connect()
    wire.put(2, "a")
    wire.settle()
    lanes, dropped = wire.device.lanes, wire.device.replicas[2]
    assert lanes is not None and lanes.of[dropped.space.id].machine.progress.sent
    before, end = lanes.progress, lanes.all[0].machine.progress.end
    lanes.drop(dropped)
    now = lanes.progress
    assert (now.sent, now.received, now.read, now.end) == (before.sent, before.received, before.read, end)


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
