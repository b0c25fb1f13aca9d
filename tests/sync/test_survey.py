"""From one packet and a log everything that was ever said comes out, whatever else is in the log."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import RelayMisbehaved
from chez.keys.epochs import Epoch
from chez.sync import survey
from chez.sync.entry import STATEMENT, STATEMENTS, Item
from chez.sync.survey import Survey, Surveying
from chez_wire.frames import Entry
from tests.sync.logs import HANDLE, Log

seeds = st.integers(0, 2**32)


def read(log: Log, random: Random, packet: Epoch | None = None) -> tuple[Survey, int]:
    """Read a log in pages of any size; what came, and how many entries were fetched."""
    core = Surveying(HANDLE, log.space, packet or log.newest)
    fetched = 0
    while (after := core.after) is not None:
        page = log.entries[after : after + random.randint(1, 5)]
        fetched += len(page)
        core.take(page, len(log.entries))
        done, of = core.progress
        assert done <= of == len(log.entries)
    return core.result(), fetched


def grown(random: Random, steps: int) -> Log:
    """A log of rotations, forks, changes under any epoch, and junk."""
    log = Log(random)
    for _ in range(steps):
        match random.randrange(8):
            case 0 | 1:
                log.rotate()
            case 2:
                log.fork()
            case 3:
                log.spoil()
            case 4:
                log.write(random.choice(list(log.epochs.values())))
            case _:
                log.write()
    return log


@settings(deadline=None)
@given(seeds, st.integers(0, 25))
def test_every_epoch_and_statement_comes_out(number: int, steps: int) -> None:
    """Through any number of rotations and forks, with junk between, in pages of any size."""
    random = Random(number)
    log = grown(random, steps)
    found, _ = read(log, random)
    assert {one.hash for one in found.membership.statements} == {one.hash for one in log.members.statements}
    assert {id: epoch.secret for id, epoch in found.epochs.items()} == {
        id: epoch.secret for id, epoch in log.epochs.items()}
    assert (found.entries, found.unreadable, found.space) == (len(log.entries), log.junk, log.space)
    assert found.newest == log.newest and found.newest.admin_seed is not None


@settings(deadline=None)
@given(seeds, st.integers(0, 25))
def test_epochs_beyond_the_room_for_places_cost_no_entry(number: int, steps: int) -> None:
    """Where there is room for the places of one epoch only, the same comes out."""
    random = Random(number)
    log = grown(random, steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "MAX_SPANS", 1)
        found, _ = read(log, random)
    assert found.epochs.keys() == log.epochs.keys() and found.unreadable == log.junk


def test_a_long_history_is_fetched_twice_at_most() -> None:
    """Twenty epochs one after the other: nearly each entry is fetched once to find its place, once to be read."""
    random = Random(1)
    log = Log(random)
    for _ in range(20):
        for _ in range(10):
            log.write()
        log.rotate()
    found, fetched = read(log, random)
    assert len(found.epochs) == 21 and fetched < 2.6 * len(log.entries)


def test_a_log_that_does_not_tell_of_the_packets_epoch_is_refused() -> None:
    """No statement, one of a past that is hidden, or one that commits to other keys: the packet is not believed."""
    random = Random(2)
    log = Log(random)
    log.rotate()
    log.write()
    entries = log.entries
    for shown in ([], entries[:1], entries[1:]):
        log.entries = [Entry(n, entry.envelope) for n, entry in enumerate(shown, 1)]
        with pytest.raises(RelayMisbehaved, match="whose they are"):
            read(log, random)
    log.entries = entries
    true = log.newest
    for false in (Epoch(true.id, true.number + 1, true.secret, None),
                  Epoch(true.id, true.number, true.secret, bytes(32)), Epoch(log.space, 1, true.secret, None)):
        with pytest.raises(RelayMisbehaved, match="whose they are"):
            read(log, random, false)
    assert read(log, random, Epoch(true.id, true.number, true.secret, None))[0].newest.admin_seed is None


@settings(deadline=None)
@given(seeds, st.integers(0, 15), st.data())
def test_of_a_log_with_gaps_nothing_false_comes_out(number: int, steps: int, data: st.DataObject) -> None:
    """Whatever entries are left out: it is refused, or what comes out is true."""
    random = Random(number)
    log = grown(random, steps)
    kept = data.draw(st.lists(st.booleans(), min_size=len(log.entries), max_size=len(log.entries)))
    shown = [entry for entry, keep in zip(log.entries, kept, strict=True) if keep]
    log.entries = [Entry(n, entry.envelope) for n, entry in enumerate(shown, 1)]
    try:
        found, _ = read(log, random)
    except RelayMisbehaved:
        return
    assert found.membership.state.epochs[log.newest.id] == log.members.state.epochs[log.newest.id]
    assert all(epoch.secret == log.epochs[id].secret for id, epoch in found.epochs.items())


def test_a_relay_that_claims_entries_and_hands_out_none_is_named() -> None:
    """An end beyond what is handed out raises instead of waiting for ever."""
    log = Log(Random(3))
    core = Surveying(HANDLE, log.space, log.newest)
    core.take(log.entries, 100)
    with pytest.raises(RelayMisbehaved, match="hands out none"):
        core.take([], 100)


def test_what_is_appended_meanwhile_is_left_to_others() -> None:
    """The log is read to where it ended at the first look."""
    random = Random(4)
    log = Log(random)
    core = Surveying(HANDLE, log.space, log.newest)
    end = len(log.entries)
    log.write()
    core.take(log.entries, end)
    assert core.after is None and core.result().entries == end
    with pytest.raises(ValueError, match="nothing left"):
        core.take([], end)


def test_statements_of_another_space_are_not_taken() -> None:
    """An entry that was signed for another space, or an item that is no statement, teaches nothing."""
    random = Random(5)
    log = Log(random)
    said = [Item(STATEMENT, "", "", one.raw) for one in log.members.statements]
    log.append(STATEMENTS, said, log.newest, bytes(32))
    log.append(STATEMENTS, [Item(STATEMENT, "", "", b"none")], log.newest)
    found, _ = read(log, random)
    assert found.unreadable == 2 and len(found.membership) == len(log.members)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=400) | st.integers(0, 300), max_size=12))
def test_arbitrary_bytes_are_passed_over(parts: list[bytes | int]) -> None:
    """Arbitrary bytes, and entries cut short, neither raise nor are counted as read."""
    log = Log(Random(7))
    good = log.entries[0].envelope
    for part in parts:
        log.raw(part if isinstance(part, bytes) else good[: len(good) - 1 - part])
    found, _ = read(log, Random(8))
    assert found.unreadable == len(parts) and len(found.epochs) == 1


@settings(deadline=None)
@given(seeds, st.integers(1, 25))
def test_a_survey_ends_though_entries_are_dropped_meanwhile(number: int, steps: int) -> None:
    """What a checkpoint stands for by now is passed over, also where what was to be read next ends with it."""
    random = Random(number)
    log = grown(random, steps)
    log.write()
    core = Surveying(HANDLE, log.space, log.newest)
    end, kept, pages = len(log.entries), list(log.entries), 0
    while (after := core.after) is not None:
        page = [entry for entry in kept if entry.offset > after][:random.randint(1, 5)]
        core.take(page, len(log.entries))
        pages += 1
        assert pages <= 100 * end
        if random.random() < 0.5:  # changes are dropped, and another entry comes behind them
            kept = [entry for entry in kept if random.random() < 0.5]
            log.write()
            kept.append(log.entries[-1])
    assert core.progress[0] <= core.progress[1] <= end
