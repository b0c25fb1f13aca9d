"""What a step asks of the relay, and what becomes of the answers: a desk and a channel that only remember."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from chez.sync.checkpoints.course import Course
from chez.sync.checkpoints.errands import Answer, Ask, Errand
from chez.sync.events import ChunksFound, Refused
from chez.sync.work import Work
from chez_wire.limits import MAX_CHUNK_IDS

ENTRY, DROP = b"e" * 32, b"d" * 32
IDS = tuple(n.to_bytes(32, "big") for n in range(2 * MAX_CHUNK_IDS + 500))


@dataclass
class Desk:
    """Gives the errands that it was given, and keeps what was answered."""

    errands: list[Errand]
    answer: Answer | None = None
    answers: list[Answer | None] = field(default_factory=list)
    replica: Any = field(default_factory=lambda: SimpleNamespace(space=SimpleNamespace(handle=b"h" * 32)))

    def step(self, db: Any) -> Errand:
        self.answers.append(self.answer)
        self.answer = None
        return self.errands.pop(0) if self.errands else None


@dataclass
class Channel:
    """Gives out refs."""

    asked: list[tuple[bytes, ...]] = field(default_factory=list)

    def has_chunks(self, handle: bytes, chunks: Sequence[bytes]) -> int:
        self.asked.append(tuple(chunks))
        return len(self.asked)


def begun(*errands: Errand) -> tuple[Course, Desk, Channel]:
    """A course whose first step was taken."""
    desk, channel = Desk(list(errands)), Channel()
    course = Course(desk, channel, lambda sealed: [], lambda received: [], lambda: [])  # type: ignore[arg-type]
    play(course.next())
    return course, desk, channel


def play(works: list[Work]) -> None:
    """Do what is to be done."""
    while works:
        work = works.pop(0)
        works += work.then(work.run(None))  # type: ignore[arg-type]


def test_segments_are_asked_about_in_pages() -> None:
    """However many a checkpoint has, each is asked about once, and all answers make one."""
    course, desk, channel = begun(Ask(ENTRY, IDS))
    assert [len(ids) for ids in channel.asked] == [MAX_CHUNK_IDS, MAX_CHUNK_IDS, 500]
    assert sum(channel.asked, ()) == IDS
    for ref in (2, 3):
        play(course.handle(ChunksFound(ref, (True,) * len(channel.asked[ref - 1]), DROP)))
    assert course.busy and desk.answers == [None]
    play(course.handle(ChunksFound(1, (True,) * MAX_CHUNK_IDS, DROP)))
    every = frozenset(IDS)
    assert desk.answers == [None, Answer(ENTRY, True, DROP, every, every)]


@pytest.mark.parametrize("page", range(3))
def test_one_segment_that_lacks_is_enough(page: int) -> None:
    """In whichever page it is: the checkpoint is not whole."""
    course, desk, channel = begun(Ask(ENTRY, IDS))
    for ref, ids in enumerate(channel.asked, 1):
        held = [True] * len(ids)
        held[-1] = ref != page + 1
        play(course.handle(ChunksFound(ref, tuple(held), DROP)))
    every = frozenset(IDS)
    assert desk.answers[-1] == Answer(ENTRY, False, DROP, every - {channel.asked[page][-1]}, every)


def test_a_drop_between_two_pages_makes_the_answer_worthless() -> None:
    """What the first page said may be otherwise after it: the desk hears nothing, and asks anew."""
    course, desk, channel = begun(Ask(ENTRY, IDS), Ask(ENTRY, IDS[:3]))
    for ref, ids in enumerate(list(channel.asked), 1):
        play(course.handle(ChunksFound(ref, (True,) * len(ids), DROP if ref < 3 else b"f" * 32)))
    assert desk.answers == [None, None] and channel.asked[-1] == IDS[:3]


def test_a_relay_that_does_not_say_bears_no_drop() -> None:
    """A refusal is an answer: the checkpoint is not whole there, and the last drop unknown."""
    course, desk, _ = begun(Ask(ENTRY, IDS[:5]))
    play(course.handle(Refused(1, "damaged", "", False)))
    assert desk.answers == [None, Answer(ENTRY, False, b"", asked=frozenset(IDS[:5]))]


def test_what_is_refused_beside_what_was_refused_already_is_nobodys() -> None:
    """All segments of a checkpoint lack, one after the other, also when the space was opened anew meanwhile."""
    course, desk, channel = begun(Ask(ENTRY, IDS), Ask(ENTRY, IDS))
    play(course.handle(Refused(1, "missing", "not here", False)))
    assert len(desk.answers) == 2 and len(channel.asked) == 6
    for ref in (2, 3):
        late = Refused(ref, "missing", "not here", False)
        assert course.mine(late) and not course.handle(late) and not course.mine(late)
    course.begin()
    for ref in (4, 5, 6):
        late = Refused(ref, "missing", "not here", False)
        assert course.mine(late) and not course.handle(late)
    assert len(desk.answers) == 2 and not course.busy
