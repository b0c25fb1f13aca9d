"""A connection that takes up what the relay kept of the last: what it costs, and when it is worth nothing."""

import pytest

from chez.errors import RelayMisbehaved
from chez.sync.lane import State
from chez_relay.errors import Code
from chez_relay.kept import KeptSessions
from chez_relay.storage.memory import MemoryStorage
from chez_wire.frames import Append, Entries, Failed, Keep, Kept, Open, Resume, Resumed, Subscribe, decode_relay, encode
from tests.simulation.device import Device
from tests.sync.wires import Wire


def kept(spaces: int) -> Wire:
    """So many spaces, followed on a connection that the relay kept; the next is not begun yet."""
    wire = Wire(spaces, keeps=True)
    wire.connect()
    assert wire.device.idle and len(wire.sent(Keep)) == 1
    wire.device.disconnect()
    return wire


def received(wire: Wire, kind: type) -> list:  # type: ignore[type-arg]
    """The frames of a kind that the relay sent on this connection."""
    return [frame for frame in map(decode_relay, wire.down) if isinstance(frame, kind)]


@pytest.mark.parametrize("spaces", [1, 50, pytest.param(1000, marks=pytest.mark.exhaustive)])
def test_coming_again_is_one_round_trip_after_the_greeting(spaces: int) -> None:
    """However many spaces there are, two frames each way open and follow them, in some bytes for each."""
    wire = kept(spaces)
    wire.connect()
    assert wire.device.idle and wire.turns == 2  # Hello and Welcome; Resume and Resumed
    assert (len(wire.up), len(wire.down)) == (2, 2)
    assert sum(map(len, [*wire.up, *wire.down])) <= 500 + 3 * spaces


def test_what_was_taken_up_works_as_what_was_opened() -> None:
    """On a connection that was taken up entries leave and come, and the relay keeps it for the one after."""
    wire = kept(3)
    wire.put(2, "while away")
    wire.connect()
    wire.put(3, "later")
    wire.settle()
    assert wire.device.idle and len(wire.sent(Append)) == 2
    wire.connect()
    assert wire.turns == 2 and wire.sent(Open) == wire.sent(Keep) == []


def test_news_comes_in_the_same_round_trip() -> None:
    """What another device sent meanwhile follows the answer, and nothing else is asked for."""
    wire, other = pair()
    other.put(2, "a")
    other.settle()
    other.device.disconnect()
    wire.connect()
    (answer,) = received(wire, Resumed)
    assert len(answer.ahead) == 1 and len(received(wire, Entries)) == 1
    assert wire.device.db.execute("SELECT id FROM record WHERE space = 2").fetchall() == [("a",)]
    assert wire.sent(Open) == wire.sent(Subscribe) == []


def test_who_wants_more_than_others_under_way_goes_on_however_much_there_is() -> None:
    """Spaces are let go of while the rest says how much may be under way: what is taken up lends all of them the
    least of that, and who wanted more gave nothing back until more was taken than the relay may send."""
    wire, other = pair(6)
    for number in range(9):  # 1 MiB at least, of which nothing is compressed
        other.put(2, f"{number}", wire.random.randbytes(60_000).hex())
    other.settle()
    other.device.disconnect()
    work, left = wire.device.work, [wire.device.replicas[n] for n in (3, 4, 5, 6)]

    def letting_go() -> None:
        work()
        while left:  # the private space has said what it wants, and space 2 not
            assert wire.device.lanes is not None
            wire.device.lanes.drop(left.pop())

    wire.device.work = letting_go  # type: ignore[method-assign]
    wire.connect()
    (asked,) = wire.sent(Resume)
    assert isinstance(asked, Resume) and asked.offsets.count(None) == 4
    assert wire.device.idle and wire.device.db.execute("SELECT count(*) FROM record WHERE space = 2").fetchone() == (9,)


def pair(spaces: int = 2) -> tuple[Wire, Wire]:
    """Two devices of one person at one relay; the first is away and kept, the second is connected."""
    wire = Wire(spaces, keeps=True)
    wire.connect()
    newcomer = wire.house.candidate(wire.random)
    member = wire.device.write(lambda db: wire.house.admit(
        db, [one.space for one in wire.device.replicas.values()], wire.house.founder, newcomer, "other"))
    wire.settle()
    second = Wire(1, keeps=True)
    second.house, second.storage, second.kept = wire.house, wire.storage, wire.kept
    second.device = Device(wire.house, member, wire.random, wire.house.store(member, wire.random.randbytes(32)), True)
    second.connect()
    assert second.device.idle and len(second.device.replicas) == spaces
    wire.connect()
    wire.device.disconnect()
    return wire, second


def test_a_relay_that_was_started_anew_costs_the_ordinary_login() -> None:
    """It knows nothing that it kept: told so, the device opens its spaces on the same connection."""
    wire = kept(5)
    wire.kept = KeptSessions(lambda: 0.0)
    wire.connect()
    assert [frame.code for frame in received(wire, Failed)] == [Code.UNKNOWN]
    assert wire.device.idle and len(wire.sent(Open)) == 1 and len(wire.sent(Keep)) == 1
    wire.connect()
    assert wire.turns == 2


@pytest.mark.parametrize("spaces", [2, 50])
def test_another_process_of_a_cluster_costs_one_round_trip_more_than_a_login(spaces: int) -> None:
    """Of one store, but with a memory of its own: the device asks in vain once, logs in, and is kept there.

    It remembers the last relay that kept it: back at the first it is the same again.
    """
    plain = Wire(spaces)
    plain.connect()
    plain.connect()
    wire = kept(spaces)
    here, there = wire.kept, KeptSessions(lambda: 0.0)
    for process in (there, here):
        wire.kept = process
        wire.connect()
        assert [frame.code for frame in received(wire, Failed)] == [Code.UNKNOWN]
        assert wire.device.idle and wire.turns == plain.turns + 1
        assert sum(map(len, [*wire.up, *wire.down])) <= sum(map(len, [*plain.up, *plain.down])) + 500 + 3 * spaces
        wire.connect()
        assert wire.turns == 2


def test_a_space_whose_keys_were_replaced_is_opened_by_itself() -> None:
    """The others are taken up; the rotated one comes back with its new credentials, and the relay keeps all anew."""
    wire, other = pair()
    other.device.write(other.device.replicas[2].rotate)
    other.settle()
    assert other.device.idle
    other.device.disconnect()
    wire.connect()
    (answer,) = received(wire, Resumed)
    assert [lost.code for lost in answer.lost] == [Code.ROTATED]
    assert wire.device.idle
    assert wire.device.replicas[2].access.current.number == 2
    assert len(wire.sent(Keep)) == 1
    wire.connect()
    assert wire.turns == 2


def test_a_space_that_was_left_is_not_taken_up() -> None:
    """What is on this device no more is not asked for, and the rest comes back as before."""
    wire = kept(3)
    replica = wire.device.replicas.pop(3)
    wire.connect()
    (asked,) = wire.sent(Resume)
    assert isinstance(asked, Resume) and asked.offsets.count(None) == 1
    assert wire.device.idle and wire.turns == 2
    assert replica.space.handle not in wire.relay._subscriptions.followed


def test_a_space_that_was_made_while_away_is_opened_beside() -> None:
    """What the relay keeps is taken up, what it does not know is made, and then it keeps both."""
    wire = kept(2)
    n = wire.make("new")
    wire.put(n, "a")
    wire.connect()
    assert wire.device.idle and len(wire.sent(Resume)) == 1 and len(wire.sent(Keep)) == 1
    wire.connect()
    assert wire.turns == 2 and len(wire.device.replicas) == 3


@pytest.mark.parametrize("lies", [False, True])
def test_a_log_that_went_back_is_told_of_its_space_alone(lies: bool) -> None:
    """A rolled back log, whether the relay owns up to it or not, ends its own lane with the error of a login."""
    wire = kept(3)
    wire.put(2, "a")
    wire.connect()
    wire.device.disconnect()
    space = wire.storage._spaces[wire.device.replicas[2].space.handle]
    if lies:  # as many entries, and another head
        space.heads[-1] = bytes(31) + b"\1"
    else:
        del space.envelopes[-1], space.heads[-1]
    wire.connect()
    lanes = wire.device.lanes
    assert lanes is not None
    assert [lane.state for lane in lanes.all] == [State.LIVE, State.RESTING, State.LIVE]
    assert isinstance(lanes.all[1].error, RelayMisbehaved)
    assert len(received(wire, Resumed)) == 1 and len(wire.sent(Open)) == 1


def test_a_store_that_was_lost_is_filled_again() -> None:
    """A relay with a new store, which kept nothing of it, gets everything anew."""
    wire = kept(2)
    wire.put(2, "a")
    wire.connect()
    wire.storage = MemoryStorage(wire.random.randbytes(32))
    wire.kept = KeptSessions(lambda: 0.0)
    wire.connect()
    wire.connect()
    assert wire.device.idle and wire.turns == 2
    assert len(wire.storage._spaces) == 2


def test_what_the_relay_kept_otherwise_is_not_taken_up() -> None:
    """An answer to Keep over other spaces than are followed here is worth nothing: the next login is ordinary."""
    wire = Wire(3, keeps=True)
    honest = wire._carry

    def crooked(data: bytes) -> list[bytes]:
        return [encode(Kept(frame.ref, frame.count, bytes(32))) if isinstance(frame := decode_relay(raw), Kept) else raw
                for raw in honest(data)]

    wire._carry = crooked  # type: ignore[method-assign]
    wire.connect()
    assert len(wire.sent(Keep)) == 1  # and not over and over
    wire.connect()
    assert wire.device.idle and wire.sent(Resume) == [] and len(wire.sent(Open)) == 1
