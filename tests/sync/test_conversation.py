"""What is told of what was said just now: in order, once, of sessions that answered, whatever a relay plays."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from chez.sync.ephemeral.conversation import HELD, HELD_BYTES, OVER, OWED, SESSIONS, Conversation, Stamp
from chez.sync.ephemeral.message import MAX_NAMED, MAX_VALUE, Message

SPACE = bytes(32)
_drawn = iter(range(2**60))


def fresh() -> bytes:
    """16 bytes that were never drawn before."""
    return next(_drawn).to_bytes(16, "big")


@dataclass
class Device:
    """A device that says and hears; each start of it is another session."""

    name: bytes
    talk: Conversation = field(init=False)
    told: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.talk = Conversation(fresh(), fresh())
        self.talk.listens = True
        self.told = []

    def say(self, topic: str = "t", value: bytes = b"1") -> Message:
        return self._message(self.talk.next(), topic, value)

    def _message(self, stamp: Stamp, topic: str, value: bytes) -> Message:
        return Message(1, SPACE, self.name, stamp.session, stamp.number, stamp.ear, stamp.wanted, stamp.heard, topic,
                       value if topic else b"")

    def hear(self, message: Message) -> list[Message]:
        if message.author == self.name:
            return []
        told = self.talk.take(message)
        self.told += told
        return told

    def answers(self) -> list[Message]:
        """What it asks and answers now; that a relay gives a question to others too does no harm."""
        asked = [self._message(self.talk.question(), "", b"")] if self.talk.asks else []
        return asked + [self.say("") for _ in iter(lambda: self.talk.owes, False)]


def settle(*devices: Device) -> None:
    """Everybody hears every question and answer, until nothing is owed."""
    while said := [message for device in devices for message in device.answers()]:
        for device in devices:
            for message in said:
                device.hear(message)


def test_the_first_word_is_told_within_a_round_trip() -> None:
    """What an unknown session says waits; asked, it answers once, and from then on all is told as it comes."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    assert ben.hear(first := ada.say()) == []
    (question,) = ben.answers()
    ada.hear(question)
    (answer,) = ada.answers()
    assert ben.hear(answer) == [first]
    assert not (ada.talk.owes or ada.talk.asks or ben.talk.owes or ben.talk.asks)
    assert ben.hear(second := ada.say()) == [second] and not ben.talk.asks


def test_what_is_repeated_or_late_is_not_told() -> None:
    """Of messages that come twice, or after a later one, none is told; they are counted."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    ben.hear(ada.say())
    settle(ada, ben)
    one, two, three = ada.say(), ada.say(), ada.say()
    assert [ben.hear(message) for message in (one, one, three, two, three)] == [[one], [], [three], [], []]
    assert ben.talk.stale == 3


def test_who_does_not_listen_asks_nothing_and_answers() -> None:
    """A device whose app only says something is asked and answers, and holds nothing of what it hears."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    ada.talk.listens = False
    assert ada.hear(ben.say()) == [] and not ada.talk.asks
    ben.hear(first := ada.say())
    settle(ada, ben)
    assert ben.told == [first] and ada.told == []


def test_a_lost_question_or_answer_is_made_up_for() -> None:
    """Every question or answer may be lost: with the next messages it is asked again, more and more rarely."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    asked = []
    for number in range(1, 65):
        ben.hear(ada.say())
        if ben.talk.asks:
            ben.answers()
            asked.append(number)
    assert asked == [1, 2, 4, 8, 16, 32, 64]
    while not ben.talk.asks:
        ben.hear(ada.say())
    settle(ada, ben)
    assert [message.number for message in ben.told] == list(range(ben.told[0].number, 129))


def test_what_was_said_by_who_is_gone_is_never_told() -> None:
    """A device hears another's ended session played whole, before and after its next one: nothing of it is told."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    ben.hear(ada.say())
    settle(ada, ben)
    played = [ada.say() for _ in range(20)]  # and kept back from Ben
    ada.start()
    ben.start()
    for message in played:
        assert ben.hear(message) == []
    settle(ada, ben)
    ben.hear(now := ada.say())
    settle(ada, ben)
    for message in played:
        ben.hear(message)
    settle(ada, ben)
    assert ben.told == [now]


def test_an_answer_is_worth_nothing_to_the_next_session_or_connection() -> None:
    """An answer that named this ear is played after the author began anew, or after this device connected anew."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    ben.hear(ada.say())
    ada.hear(ben.answers()[0])
    answer = ada.answers()[0]
    ben.hear(answer)
    later = ada.say()
    ada.start()
    ben.hear(ada.say())
    settle(ada, ben)
    count = len(ben.told)
    for message in (answer, later):
        assert ben.hear(message) == []
    ben.talk.connected(fresh())
    for message in (answer, later):
        assert ben.hear(message) == []
    settle(ada, ben)
    assert len(ben.told) == count


def test_what_was_kept_back_over_a_reconnection_is_not_told_of_who_is_gone() -> None:
    """A relay keeps words back until their author is gone and this device connected anew: they are told to nobody."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    ben.hear(ada.say())
    settle(ada, ben)
    kept = [ada.say() for _ in range(3)]
    ada.start()
    ben.talk.connected(fresh())
    for message in kept:
        assert ben.hear(message) == []
    settle(ada, ben)
    assert len(ben.told) == 1


def test_earlier_sessions_played_again_make_nothing_told_twice() -> None:
    """After a connection broke a relay plays words of sessions that ended, more than are remembered: what was told of
    the one that goes on stays told."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    ended = []
    for _ in range(2 * SESSIONS):
        ended.append(ada.say())
        ada.start()
    ben.hear(first := ada.say())
    settle(ada, ben)
    ben.talk.connected(fresh())
    for message in [*ended, first]:
        ben.hear(message)
    settle(ada, ben)
    ben.hear(second := ada.say())
    settle(ada, ben)
    assert ben.told == [first, second]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(0, MAX_VALUE)), max_size=80))
def test_memory_is_bounded_whatever_a_member_says(steps: list[tuple[int, int, int]]) -> None:
    """Sessions without end, large values, questions without end: a few of each are kept for each author."""
    ben = Device(b"b" * 32)
    for session, number, size in steps:
        ben.hear(Message(1, SPACE, b"m" * 32, bytes((session,)) * 16, number, fresh(), [fresh()], [], "t", b"1" * size))
    (author,) = ben.talk._authors.values() or (None,)
    if author is not None:
        assert len(author.sessions) <= SESSIONS
        for one in author.sessions.values():
            assert len(one.held) <= HELD and sum(len(message.value) for message in one.held) == one.size <= HELD_BYTES


def test_what_is_owed_is_bounded_and_said_in_parts() -> None:
    """A flood of questions is answered in messages that stay small, and the oldest are forgotten."""
    ada = Device(b"a" * 32)
    session = ada.say().session
    for number in range(1, 2 * OWED + 1):
        ada.hear(Message(1, SPACE, b"m" * 32, b"s" * 16, number, fresh(), [session], [], "", b""))
    answers = ada.answers()
    assert all(len(one.heard) <= MAX_NAMED for one in answers) and sum(len(one.heard) for one in answers) == OWED


def test_a_member_who_begins_anew_without_end_is_not_listened_to() -> None:
    """After so many sessions that all answered, no more is told of that author until this device connects anew."""
    ada, ben = Device(b"a" * 32), Device(b"b" * 32)
    for _ in range(OVER + 10):
        ada.start()
        ben.hear(ada.say())
        settle(ada, ben)
    assert len(ben.told) == OVER + 1
    ben.talk.connected(fresh())
    ben.hear(ada.say())
    settle(ada, ben)
    assert len(ben.told) == OVER + 2


class HostileRelay(RuleBasedStateMachine):
    """Three devices that start, connect and speak; a relay that delays, loses, repeats and reorders all it ever saw."""

    def __init__(self) -> None:
        super().__init__()
        self.devices = [Device(bytes((65 + number,)) * 32) for number in range(3)]
        self.seen: list[Message] = []
        self.clock = 0
        self.ended: dict[bytes, int] = {}
        self.connected = [0, 0, 0]
        self.told: list[dict[tuple[bytes, bytes], int]] = [{}, {}, {}]
        """By device, what was told last of each author's session, since it was started."""
        self.order: list[dict[bytes, list[bytes]]] = [{}, {}, {}]
        """By device and author, the sessions that were told of, since it connected."""

    def _connected(self, who: int) -> None:
        self.clock += 1
        self.connected[who], self.order[who] = self.clock, {}

    @rule(who=st.integers(0, 2))
    def speaks(self, who: int) -> None:
        """Somebody says something."""
        self.seen.append(self.devices[who].say())

    @rule(who=st.integers(0, 2))
    def starts_anew(self, who: int) -> None:
        """An app is closed and opened."""
        self._connected(who)
        self.ended[self.devices[who].say("").session] = self.clock
        self.devices[who].start()
        self.told[who] = {}

    @rule(who=st.integers(0, 2))
    def connects_anew(self, who: int) -> None:
        """A connection breaks, and another is made."""
        self._connected(who)
        self.devices[who].talk.connected(fresh())

    @rule(who=st.integers(0, 2), newest=st.booleans(), data=st.data())
    def hears(self, who: int, newest: bool, data: st.DataObject) -> None:
        """The relay gives a device the newest message there is, or any that it ever saw."""
        if self.seen:
            self._hears(who, self.seen[-1] if newest else data.draw(st.sampled_from(self.seen)))

    @rule(who=st.integers(0, 2))
    def is_heard(self, who: int) -> None:
        """For once all goes well: somebody says something, and all hear it, with what is asked and answered then."""
        new = len(self.seen)
        self.speaks(who)
        while new < len(self.seen):
            message, new = self.seen[new], new + 1
            for other in range(3):
                self._hears(other, message)

    def _hears(self, who: int, message: Message) -> None:
        for one in self.devices[who].hear(message):
            assert self.ended.get(one.session, self.clock + 1) > self.connected[who], "it had ended before"
            assert one.number > self.told[who].get((one.author, one.session), 0), "it was told, or a later one"
            self.told[who][one.author, one.session] = one.number
            order = self.order[who].setdefault(one.author, [])
            assert one.session not in order[:-1], "its author has begun anew since"
            if one.session not in order:
                order.append(one.session)
        self.seen += self.devices[who].answers()


TestHostileRelay = HostileRelay.TestCase
